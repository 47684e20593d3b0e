package machine

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"

	"kkeys/efivars"
	"kkeys/evidence"
)

// loader is what an EFI program says of itself.
type loader struct {
	arch string // as in file names: "x64", "ia32", "aa64", "arm", "riscv64"
	shim bool
	flaw error // what is wrong with its signatures: see checkSignatures
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
// loader has; a program without a string table has the name cut to 8 bytes. A flaw in its signatures is no error.
func (m *Machine) inspect(path string) (loader, error) {
	file, err := m.open(path)
	if err != nil {
		return loader{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, loaderMax+1))
	if err != nil {
		return loader{}, err
	}
	program, err := parseLoader(data)
	if err != nil {
		return loader{}, fmt.Errorf("/%s is no EFI program: %w", path, err)
	}
	if len(data) > loaderMax {
		program.flaw = fmt.Errorf("%w: it has more than %d MiB", errNotJudged, loaderMax>>20)
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
	return loader{
		arch: arch,
		shim: program.Section(".vendor_cert") != nil || program.Section(".vendor_") != nil,
		flaw: checkSignatures(program, data),
	}, nil
}

// startable tells whether who ("shim", "the firmware") will start a program, as far as its signatures tell: see checkSignatures. Without
// Secure Boot nobody looks at them, but a damaged program is not fit to be started even then. Where shim's own validation is disabled while
// Secure Boot is on, shim starts an unsigned program too; the answer here is no all the same.
func (m *Machine) startable(path, who string, program loader) evidence.Reading {
	fact := evidence.Reading{Answer: evidence.Yes, Source: "/" + path}
	switch flaw := program.flaw; {
	case flaw == nil:
		return fact
	case errors.Is(flaw, errNotJudged):
		return evidence.Reading{Source: fact.Source, Evidence: flaw.Error()}
	case errors.Is(flaw, errDamaged):
		fact.Answer = evidence.No
	default:
		on, err := m.secureBoot()
		switch {
		case err != nil:
			return evidence.Reading{Source: fact.Source, Evidence: fmt.Sprintf("%v, and whether Secure Boot is on cannot be told: %v", flaw, err)}
		case !on:
			return fact
		}
		fact.Answer = evidence.No
	}
	fact.Evidence = fmt.Sprintf("%v; with Secure Boot on %s would refuse it", program.flaw, who)
	return fact
}

// secureBoot tells whether the firmware and shim check signatures (UEFI 2.10 section 3.3, SecureBoot). Firmware without the variable does
// not, and then shim does not either (shim.c, secure_mode).
func (m *Machine) secureBoot() (bool, error) {
	_, data, err := m.Variables.Get(efivars.SecureBoot)
	switch {
	case errors.Is(err, efivars.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case len(data) != 1 || data[0] > 1:
		return false, fmt.Errorf("%w: SecureBoot is %x instead of a single 0 or 1", efivars.ErrMalformed, data)
	}
	return data[0] == 1, nil
}
