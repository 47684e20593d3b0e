package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"strings"
)

// Info is what a module says of itself in its section .modinfo (include/linux/moduleparam.h, __MODULE_INFO).
type Info struct {
	Name     string // as the kernel will call it
	Vermagic string // release and build options of the kernel that it was made for (include/linux/vermagic.h)
	Depends  []string
	Machine  elf.Machine // processor that it was made for
	InTree   bool        // built with the kernel itself ("intree=Y")
}

// ErrNoInfo: the file is no kernel module, or one without the section.
var ErrNoInfo = errors.New("no kernel module that says anything of itself")

// modinfoMax bounds the section, in bytes; the largest are some hundred KiB, with many aliases.
const modinfoMax = 16 << 20

// ParseInfo reads an unpacked module. Errors: ErrNoInfo, with what is wrong.
func ParseInfo(module []byte) (*Info, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoInfo, err)
	}
	section := file.Section(".modinfo")
	if section == nil || section.Type == elf.SHT_NOBITS || section.Size > modinfoMax {
		return nil, fmt.Errorf("%w: no section .modinfo", ErrNoInfo)
	}
	content, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("%w: .modinfo: %w", ErrNoInfo, err)
	}
	info := &Info{Machine: file.Machine}
	for entry := range bytes.SplitSeq(content, []byte{0}) {
		key, value, _ := strings.Cut(string(entry), "=")
		switch key {
		case "name":
			info.Name = value
		case "vermagic":
			info.Vermagic = value
		case "intree":
			info.InTree = value == "Y"
		case "depends":
			if value != "" {
				info.Depends = strings.Split(value, ",")
			}
		}
	}
	return info, nil
}

// MadeFor is the release in the version magic.
func (i *Info) MadeFor() string {
	release, _, _ := strings.Cut(i.Vermagic, " ")
	return release
}
