package machine

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"io"
	"path"
	"strings"
)

// programMax bounds what is kept of a file that is no EFI program, in bytes.
const programMax = 64 << 10

// sections are those of a loader that say something besides what it does.
var sections = map[string]bool{".sbat": true}

// bootProgram gives how to record a program of the boot chain. shim and MokManager are kept whole: whether they are what was signed is
// seen from all of their bytes. Of other loaders it is enough to know that they are neither.
func bootProgram(name string) item {
	manager := strings.HasPrefix(strings.ToLower(path.Base(name)), "mm")
	return item{path: name, keep: keepReduced, why: whyBoot, reduce: func(r io.Reader) ([]byte, error) { return reduceProgram(r, manager) }}
}

// reduceProgram keeps of an EFI program that is not needed whole its headers, the names of its sections and its generation numbers (.sbat); all
// other bytes are zero, so that offsets and size stay. A file that is no program is kept to its first bytes: it is no program either way.
func reduceProgram(r io.Reader, whole bool) ([]byte, error) {
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	program, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return data[:min(len(data), programMax)], nil
	}
	defer program.Close()
	if whole || program.Section(".vendor_cert") != nil || program.Section(".vendor_") != nil {
		return data, nil
	}
	out := make([]byte, len(data))
	keep := func(from, size uint64) {
		if end := min(from+size, uint64(len(data))); from < end {
			copy(out[from:end], data[from:end])
		}
	}
	start := uint64(0)
	if data[0] == 'M' { // a DOS header, which tells where the other begins
		start = uint64(binary.LittleEndian.Uint32(data[0x3c:])) + 4
	}
	h := program.FileHeader
	keep(0, start+20+uint64(h.SizeOfOptionalHeader)+40*uint64(h.NumberOfSections))
	// The names of sections that are longer than 8 bytes stand behind the symbols.
	if h.PointerToSymbolTable > 0 {
		keep(uint64(h.PointerToSymbolTable)+18*uint64(h.NumberOfSymbols), uint64(4+len(program.StringTable)))
	}
	for _, s := range program.Sections {
		if sections[s.Name] {
			keep(uint64(s.Offset), uint64(s.Size))
		}
	}
	return out, nil
}
