package machine

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// HasTPM tells whether the kernel knows a TPM. shim measures its lists into platform configuration register 14.
func (m *Machine) HasTPM() bool {
	_, err := fs.Stat(m.Files, "sys/class/tpm/tpm0")
	return err == nil
}

// SealedDisks names the volumes that the TPM unlocks at boot (crypttab(5), option tpm2-device=). There may be others, that clevis or an
// initramfs of its own unlocks.
func (m *Machine) SealedDisks() (names []string, err error) {
	text, err := m.read("etc/crypttab", 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if slices.ContainsFunc(strings.Split(fields[3], ","), func(o string) bool { return strings.HasPrefix(o, "tpm2-device=") }) {
			names = append(names, fields[0])
		}
	}
	return names, lines.Err()
}

// SerialConsole is the serial line that the kernel uses as a console (/sys/class/tty/console/active) and that firmware, and so MokManager, can show
// itself on: a UART of a PC or an Arm machine, and not the hypervisor's hvc, for which firmware has no driver. Empty when there is none. A machine
// that has one may have nobody in front of a screen.
func (m *Machine) SerialConsole() string {
	active, err := m.line("sys/class/tty/console/active")
	if err != nil {
		return ""
	}
	for name := range strings.FieldsSeq(active) {
		for _, serial := range []string{"ttyS", "ttyAMA"} {
			if strings.HasPrefix(name, serial) {
				return name
			}
		}
	}
	return ""
}

// Processor is what the kernel calls that for which its modules are built (/proc/sys/kernel/arch, Linux 6.1; uname -m); empty where it does not say.
func (m *Machine) Processor() string {
	arch, err := m.line("proc/sys/kernel/arch")
	if err != nil {
		return ""
	}
	return arch
}

// Hostname is the machine's name (/proc/sys/kernel/hostname), empty where it has none or it cannot be read.
func (m *Machine) Hostname() string {
	name, err := m.line("proc/sys/kernel/hostname")
	if err != nil || name == "(none)" { // what the kernel starts with, CONFIG_DEFAULT_HOSTNAME
		return ""
	}
	return name
}
