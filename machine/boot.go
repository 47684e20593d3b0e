package machine

import (
	"errors"
	"fmt"
	"io/fs"
	pathname "path"
	"runtime"
	"strings"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/mok"
)

// candidate is one thing that the firmware will try to start.
type candidate struct {
	name    string // "Boot0001 debian"
	option  efivars.LoadOption
	current bool // this boot went through it (BootCurrent)
}

// NextBoot finds the program that the firmware will start next (UEFI 2.10 section 3.1.1: BootNext, then BootOrder), whether it is
// shim and whether MokManager lies beside it. passed names what comes before and is expected to give way: network, discs, entries
// whose partition or file is not there. Both programs must be what was signed: see checkSignatures for what that does not tell.
func (m *Machine) NextBoot() (chain mok.BootChain, passed []string) {
	candidates, err := m.candidates()
	if err != nil {
		return unknownChain(err), nil
	}
	for _, c := range candidates {
		dir, file, err := m.program(c)
		switch {
		case errors.Is(err, errPassed), errors.Is(err, errNoPartition):
			passed = append(passed, fmt.Sprintf("%s: %v", c.name, err))
			continue
		case err != nil:
			return unknownChain(fmt.Errorf("%s: %w", c.name, err)), passed
		}
		path, err := m.find(dir, file)
		if errors.Is(err, fs.ErrNotExist) {
			passed = append(passed, fmt.Sprintf("%s: %v", c.name, err))
			continue
		} else if err != nil {
			return unknownChain(fmt.Errorf("%s: %w", c.name, err)), passed
		}
		return m.chain(c.name, path), passed
	}
	return unknownChain(errors.New("no boot entry leads to a program on a partition of this machine")), passed
}

func unknownChain(err error) mok.BootChain {
	return mok.BootChain{IsShim: evidence.Reading{Source: "BootOrder", Evidence: err.Error()}, Err: err}
}

// candidates are BootNext and the active entries of BootOrder that are for booting and not for the firmware's own menus.
func (m *Machine) candidates() ([]candidate, error) {
	var numbers []uint16
	_, data, err := m.Variables.Get(efivars.BootNext)
	if err == nil {
		n, err := efivars.ParseBootNumber(data)
		if err != nil {
			return nil, fmt.Errorf("BootNext: %w", err)
		}
		numbers = append(numbers, n)
	} else if !errors.Is(err, efivars.ErrNotFound) {
		return nil, err
	}
	next := len(numbers)
	_, data, err = m.Variables.Get(efivars.BootOrder)
	if err == nil {
		order, err := efivars.ParseBootOrder(data)
		if err != nil {
			return nil, fmt.Errorf("BootOrder: %w", err)
		}
		numbers = append(numbers, order...)
	} else if !errors.Is(err, efivars.ErrNotFound) {
		return nil, err
	}
	current := -1 // firmware need not tell, and then no entry is the current one
	if _, data, err := m.Variables.Get(efivars.BootCurrent); err == nil {
		if n, err := efivars.ParseBootNumber(data); err == nil {
			current = int(n)
		}
	}
	var found []candidate
	for i, n := range numbers {
		name := efivars.BootEntry(n)
		_, data, err := m.Variables.Get(name)
		if errors.Is(err, efivars.ErrNotFound) {
			continue // the firmware skips a number without an entry
		} else if err != nil {
			return nil, err
		}
		option, err := efivars.ParseLoadOption(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name.Name, err)
		}
		if i < next || option.Active() && option.Attributes&categoryMask == 0 {
			found = append(found, candidate{name.Name + " " + option.Description(), option, int(n) == current})
		}
	}
	return found, nil
}

// categoryMask is LOAD_OPTION_CATEGORY; 0 there means an entry for booting (UEFI 2.10 section 3.1.3).
const categoryMask = 0x1f00

// errPassed: the firmware will try this and, as a rule, go on to the next.
var errPassed = errors.New("comes before and is expected to give way")

// program gives the folder and the path below it of what an entry starts. An entry without a file stands for the fallback path of its
// disc; one that does not even name a partition, as firmware makes them by itself, can be followed only if this boot went through it.
func (m *Machine) program(c candidate) (dir, file string, err error) {
	kind := c.option.Kind()
	partition, named := c.option.Partition()
	file, hasFile := c.option.File()
	if !hasFile {
		file = `\EFI\BOOT\BOOT` + strings.ToUpper(m.arch()) + `.EFI`
	}
	switch {
	case named:
		dir, err = m.mountPoint(partition)
		return dir, file, err
	case kind == efivars.KindFile:
		return "", "", fmt.Errorf("its path names no partition, so it cannot be found from here: %s", file)
	case c.current && (kind == efivars.KindDevice || kind == efivars.KindUnknown):
		dir, err = m.onlyWith(file)
		return dir, file, err
	}
	return "", "", fmt.Errorf("%w: %s", errPassed, kind)
}

// arch is the firmware's architecture as in file names: the kernel's (/proc/sys/kernel/arch, Linux 6.1), else kkeys' own. A 32-bit firmware
// below a 64-bit kernel exists on x86 alone.
func (m *Machine) arch() string {
	name := map[string]string{"amd64": "x64", "386": "ia32", "arm64": "aa64", "arm": "arm", "riscv64": "riscv64"}[runtime.GOARCH]
	if arch, err := m.line("proc/sys/kernel/arch"); err == nil {
		name = map[string]string{"x86_64": "x64", "i686": "ia32", "aarch64": "aa64", "armv7l": "arm", "riscv64": "riscv64"}[arch]
	}
	if width, err := m.line("sys/firmware/efi/fw_platform_size"); err == nil && width == "32" && name == "x64" {
		name = "ia32"
	}
	return name
}

// chain tells what the program is and what lies beside it. shim looks for MokManager in its own folder, with its own architecture in
// the name (shim's MOK_MANAGER, `\mm` EFI_ARCH `.efi`). A MokManager that shim would refuse is none: shim says "Security Violation" and the
// machine stands still. Whether the signers are trusted is not checked.
func (m *Machine) chain(entry, path string) mok.BootChain {
	chain := mok.BootChain{Loader: "/" + path}
	source := entry + ", /" + path
	program, err := m.inspect(path)
	switch {
	case err != nil:
		chain.IsShim, chain.Err = evidence.Reading{Source: source, Evidence: err.Error()}, err
		return chain
	case !program.shim:
		chain.IsShim = evidence.Reading{Answer: evidence.No, Source: source, Evidence: entry + " starts another loader"}
		return chain
	}
	if fact := m.startable(path, "the firmware", program); fact.Answer != evidence.Yes {
		// The firmware would go on to the next entry, which nobody means; the request would wait.
		chain.IsShim = evidence.Reading{Source: source, Evidence: fmt.Sprintf("%s starts the shim /%s: %s", entry, path, fact.Evidence)}
		return chain
	}
	chain.IsShim = evidence.Reading{Answer: evidence.Yes, Source: source}
	folder, name := pathname.Dir(path), "mm"+program.arch+".efi"
	chain.Manager = "/" + pathname.Join(folder, name)
	managerPath, err := m.find(folder, name)
	if errors.Is(err, fs.ErrNotExist) {
		chain.HasManager = evidence.Reading{Answer: evidence.No, Source: source, Evidence: "it is not there: shim would stop the machine at every boot while a request is pending"}
		return chain
	}
	var manager loader
	if err == nil {
		manager, err = m.inspect(managerPath)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		chain.HasManager, chain.Err = evidence.Reading{Source: source, Evidence: err.Error()}, err
	case err != nil:
		chain.HasManager = evidence.Reading{Answer: evidence.No, Source: source, Evidence: err.Error()}
	case manager.arch != program.arch || manager.shim:
		chain.HasManager = evidence.Reading{Answer: evidence.No, Source: source, Evidence: "the file of that name is no MokManager for this shim"}
	default:
		chain.HasManager = m.startable(managerPath, "shim", manager)
	}
	return chain
}
