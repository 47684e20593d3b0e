package machine

import (
	"bytes"
	"debug/pe"
	"fmt"
	"io"
	"io/fs"
)

// loader is what an EFI program says of itself.
type loader struct {
	arch string // as in file names: "x64", "ia32", "aa64", "arm", "riscv64"
	shim bool
}

// loaderMax bounds an EFI program that is read whole; shim has about 1 MiB.
const loaderMax = 32 << 20

// archNames are the suffixes of UEFI 2.10 table 3.3 by PE machine type; shim builds the name of its MokManager with them.
var archNames = map[uint16]string{
	pe.IMAGE_FILE_MACHINE_AMD64:   "x64",
	pe.IMAGE_FILE_MACHINE_I386:    "ia32",
	pe.IMAGE_FILE_MACHINE_ARM64:   "aa64",
	pe.IMAGE_FILE_MACHINE_ARMNT:   "arm",
	pe.IMAGE_FILE_MACHINE_RISCV64: "riscv64",
}

// inspect reads an EFI program. It is shim when it has a section .vendor_cert (shim's cert.S), which neither MokManager nor any other
// loader has; a program without a string table has the name cut to 8 bytes.
func (m *Machine) inspect(path string) (loader, error) {
	file, err := m.Files.Open(path)
	if err != nil {
		return loader{}, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return loader{}, err
	} else if !info.Mode().IsRegular() {
		return loader{}, fmt.Errorf("/%s is no file: %w", path, fs.ErrInvalid)
	}
	data, err := io.ReadAll(io.LimitReader(file, loaderMax))
	if err != nil {
		return loader{}, err
	}
	program, err := parseLoader(data)
	if err != nil {
		return loader{}, fmt.Errorf("/%s is no EFI program: %w", path, err)
	}
	return program, nil
}

func parseLoader(data []byte) (loader, error) {
	program, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return loader{}, err
	}
	defer program.Close()
	arch, known := archNames[program.Machine]
	if !known {
		return loader{}, fmt.Errorf("unknown machine type %#x", program.Machine)
	}
	return loader{arch: arch, shim: program.Section(".vendor_cert") != nil || program.Section(".vendor_") != nil}, nil
}
