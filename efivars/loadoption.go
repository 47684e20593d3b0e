package efivars

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf16"
)

// LoadOption is one EFI_LOAD_OPTION, the content of a Boot#### variable (UEFI 2.10 section 3.1.3).
type LoadOption struct {
	// Attributes has LoadActive and other bits; it is not a variable's attributes.
	Attributes uint32
	// Path is the device path to start, without its end.
	Path []Node
	// Data is handed to the program that is started.
	Data []byte

	title []uint16 // kept as it is: firmware writes unpaired surrogates too
	rest  []byte   // device paths after the first
}

// LoadActive marks an option that the boot manager may try by itself.
const LoadActive = 1

const (
	optionHeader = 4 + 2
	whatOption   = "EFI load option"
)

// ParseLoadOption decodes a Boot#### variable. On error it returns a *CorruptError and an empty option. The result shares
// memory with b.
func ParseLoadOption(b []byte) (LoadOption, error) {
	bad := func(at int, format string, args ...any) (LoadOption, error) {
		return LoadOption{}, &CorruptError{What: whatOption, Offset: at, Why: fmt.Sprintf(format, args...)}
	}
	if len(b) < optionHeader {
		return bad(0, "%d bytes, its header needs %d", len(b), optionHeader)
	}
	o := LoadOption{Attributes: binary.LittleEndian.Uint32(b)}
	paths := int(binary.LittleEndian.Uint16(b[4:]))
	at := optionHeader
	for ; ; at += 2 {
		if len(b)-at < 2 {
			return bad(at, "the description has no end")
		}
		unit := binary.LittleEndian.Uint16(b[at:])
		if unit == 0 {
			break
		}
		o.title = append(o.title, unit)
	}
	at += 2
	if paths > len(b)-at {
		return bad(4, "the device paths claim %d bytes, %d are left", paths, len(b)-at)
	}
	nodes, used, err := parseDevicePath(b[at : at+paths])
	if err != nil {
		err.Offset += at
		return LoadOption{}, err
	}
	o.Path = nodes
	o.rest = b[at+used : at+paths : at+paths]
	o.Data = b[at+paths:]
	return o, nil
}

// Encode gives the bytes that ParseLoadOption read. ErrInvalid when the paths do not fit their 16 bits of length.
func (o LoadOption) Encode() ([]byte, error) {
	path := appendDevicePath(nil, o.Path)
	if size := len(path) + len(o.rest); size > math.MaxUint16 {
		return nil, fmt.Errorf("%w: %d bytes of device paths", ErrInvalid, size)
	}
	b := binary.LittleEndian.AppendUint32(nil, o.Attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)+len(o.rest)))
	for _, unit := range o.title {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	b = append(b, 0, 0)
	b = append(b, path...)
	b = append(b, o.rest...)
	return append(b, o.Data...), nil
}

// Active reports whether the boot manager may try the option by itself.
func (o LoadOption) Active() bool { return o.Attributes&LoadActive != 0 }

// Description is the name for people. It is foreign text.
func (o LoadOption) Description() string { return string(utf16.Decode(o.title)) }

// Partition is the GPT partition that the path starts from, if it names one.
func (o LoadOption) Partition() (GUID, bool) {
	for _, n := range o.Path {
		if id, ok := n.partition(); ok {
			return id, true
		}
	}
	return GUID{}, false
}

// File is the path of the program on that partition, with backslashes, if the path names one.
func (o LoadOption) File() (string, bool) {
	file, found := "", false
	for _, n := range o.Path {
		part, ok := n.file()
		if !ok {
			continue
		}
		// Several nodes are one path; a separator may stand at either side or at none (section 10.3.5.4).
		if found && !hasSeparator(file, part) {
			file += `\`
		}
		file, found = file+part, true
	}
	return file, found
}

func hasSeparator(before, after string) bool {
	return len(before) > 0 && before[len(before)-1] == '\\' || len(after) > 0 && after[0] == '\\'
}

// ParseBootOrder decodes BootOrder: numbers of Boot#### in the order they are tried.
func ParseBootOrder(b []byte) ([]uint16, error) {
	if len(b)%2 != 0 {
		return nil, &CorruptError{What: "boot order", Offset: len(b) - 1, Clean: len(b) - 1, Why: "half a number is left"}
	}
	var order []uint16
	for ; len(b) > 0; b = b[2:] {
		order = append(order, binary.LittleEndian.Uint16(b))
	}
	return order, nil
}

// ParseBootNumber decodes BootNext and BootCurrent: one number of a Boot####.
func ParseBootNumber(b []byte) (uint16, error) {
	if len(b) != 2 {
		return 0, &CorruptError{What: "boot number", Why: fmt.Sprintf("%d bytes instead of 2", len(b))}
	}
	return binary.LittleEndian.Uint16(b), nil
}
