package efivars

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Name of a variable. Name is in UTF-8 and has no slash and no NUL: the kernel shows a slash as an exclamation mark.
type Name struct {
	Vendor GUID
	Name   string
}

// Well-known variables that are not shim's.
var (
	SecureBoot  = Name{Global, "SecureBoot"}
	SetupMode   = Name{Global, "SetupMode"}
	PK          = Name{Global, "PK"}
	KEK         = Name{Global, "KEK"}
	DB          = Name{ImageSecurity, "db"}
	DBX         = Name{ImageSecurity, "dbx"}
	BootOrder   = Name{Global, "BootOrder"}
	BootNext    = Name{Global, "BootNext"}
	BootCurrent = Name{Global, "BootCurrent"}
	// StoreFile exists where the firmware keeps variables in a file that only boot services write (EBBR).
	StoreFile = Name{GUID{0xb2ac5fc9, 0x92b7, 0x4acd, [8]uint8{0xae, 0xac, 0x11, 0xe8, 0x18, 0xc3, 0x13, 0x0c}}, "RTStorageVolatile"}
)

// BootEntry names the load option with this number, as Boot0001: four upper-case hexadecimal digits.
func BootEntry(number uint16) Name {
	return Name{Global, fmt.Sprintf("Boot%04X", number)}
}

// nameLimit is NAME_MAX: no file of efivarfs has a longer name.
const nameLimit = 255

// String is the name of the variable's file in efivarfs: name, dash, vendor in lower case.
func (n Name) String() string { return n.Name + "-" + n.Vendor.String() }

// ParseName reads the name of a file of efivarfs. It accepts exactly what String writes for a valid name. Source:
// fs/efivarfs/inode.c, efivarfs_valid_name.
func ParseName(file string) (Name, error) {
	cut := len(file) - 36 - 1
	if cut < 1 || file[cut] != '-' {
		return Name{}, fmt.Errorf("%q is no EFI variable: no name, dash and GUID", clip(file))
	}
	vendor, err := ParseGUID(file[cut+1:])
	if err != nil {
		return Name{}, fmt.Errorf("%q is no EFI variable: at offset %d: %w", clip(file), cut+1, err)
	}
	n := Name{Vendor: vendor, Name: file[:cut]}
	if err := n.check(); err != nil {
		return Name{}, err
	}
	return n, nil
}

// check refuses a name that cannot be a file of efivarfs. It keeps path elements out of paths.
func (n Name) check() error {
	why := ""
	switch {
	case n.Name == "":
		why = "it is empty"
	case len(n.Name)+37 > nameLimit:
		why = "it is too long"
	case strings.ContainsAny(n.Name, "/\x00"):
		why = "it holds a slash or a NUL"
	case !utf8.ValidString(n.Name):
		why = "it is not UTF-8"
	default:
		return nil
	}
	return fmt.Errorf("%w: name %q: %s", ErrInvalid, clip(n.Name), why)
}

// clip keeps a foreign name in a message short.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
