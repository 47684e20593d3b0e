// Package lab assembles a real Secure Boot machine from Debian's packages, boots it in QEMU under software emulation, drives
// its firmware screens and runs commands in it: OVMF with Microsoft's keys, Debian's signed shim, MokManager, GRUB and
// kernels. No root and no /dev/kvm are needed. Its parts come from a cache folder that `make lab` fills; without them Boot
// fails with ErrNoParts.
//
// The machine's disk is that of an installed Debian as far as firmware goes: a partition table with one EFI System Partition,
// mounted on /boot/efi, Debian's folder on it, and a boot entry for shim there that Debian's own fallback program has made.
// The system itself is an initramfs with busybox, keyctl, kmod and mokutil; nothing but the EFI variables outlives a boot.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/internal/lab/wire"
)

// Machine says what to boot. The zero value is a machine with Secure Boot on and kernel 6.1 that does nothing.
type Machine struct {
	SecureBootOff     bool
	Kernel            Kernel // "" is Kernel61
	CommandLine       string // added to the kernel's, such as "module.sig_enforce=1"
	WithoutMokManager bool   // MokManager's binary is missing on the disk
	Keys              *Keys  // the firmware's keys; nil: Microsoft's, or none with SecureBootOff
	Shim              []byte // in place of Debian's; for its part it must be signed with a key in the firmware's db
	Variables         []byte // EFI variables that an earlier Run left; nil: those of a fresh installation
	Files             map[string]File
	Commands          []Command
	// Firmware answers MokManager, for instance Enroll(1, "password"). When it has made the machine reset, Boot switches it on
	// again and the commands run then; when it returns ErrCut, Boot cuts the power. Nil: MokManager must not appear.
	Firmware func(*Console) error
	Deadline time.Duration // of each time the machine is on; 0 is four minutes, for two busy cores
}

// File is a file in the guest, by absolute name; the folders above it are made.
type File struct {
	Data []byte
	Mode fs.FileMode // permissions
}

// Command is a program to run in the guest: Argv, Stdin, Env, UID, CutAfter.
type Command = wire.Command

// Output is what a command left: Stdout, Stderr, Code, and Failure when it has no exit code.
type Output = wire.Output

// Shell is a command line for busybox's shell.
func Shell(line string) Command { return Command{Argv: []string{"/bin/sh", "-c", line}} }

// Cut is a command that cuts the power: the machine is off, with no command after it run. Command.CutAfter is for a cut
// within a command.
func Cut() Command { return Command{Cut: true} }

// Run is what a boot left. When the power was cut it has the outputs of the commands that had ended, and no kernel log.
type Run struct {
	Outputs   []Output // of the commands, in their order
	KernelLog []string // whole, a line each with level and time: "<5>[    0.000000] Linux version …"
	Variables []byte   // the EFI variables, for the next boot
	Console   []byte   // all that the serial line said, escape sequences included
	Resets    int      // how often firmware reset the machine before the commands ran
}

// Boot boots the machine, runs the commands and waits for its end. At most two machines run at a time; Boot waits for its
// turn. An error shows the last screen.
func (m Machine) Boot(t testing.TB) (*Run, error) {
	t.Helper()
	parts, err := Find()
	if err != nil {
		return nil, err
	}
	if m.Kernel == "" {
		m.Kernel = Kernel61
	}
	if m.Deadline == 0 {
		m.Deadline = 4 * time.Minute
	}
	asked := time.Now()
	leave, err := parts.turn(t.Context())
	if err != nil {
		return nil, err
	}
	defer leave()
	began := time.Now()
	defer func() {
		t.Logf("a machine with kernel %s was on for %.1f s and had waited %.1f s for its turn", m.Kernel, time.Since(began).Seconds(), began.Sub(asked).Seconds())
	}()
	folder, err := os.MkdirTemp(t.TempDir(), "machine-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	h, err := parts.assemble(t.Context(), m, folder)
	if err != nil {
		return nil, fmt.Errorf("assembling the machine: %w", err)
	}
	return parts.boot(t.Context(), m, h)
}

// assemble makes the machine's disk and variables.
func (p *Parts) assemble(ctx context.Context, m Machine, folder string) (hardware, error) {
	h := hardware{!m.SecureBootOff || m.Keys != nil, filepath.Join(folder, "variables"), filepath.Join(folder, "disk")}
	if m.Variables == nil {
		fresh, err := p.installed(ctx, h.secureBoot, folder)
		if err == nil && m.Keys != nil {
			fresh, err = m.Keys.install(fresh, !m.SecureBootOff)
		}
		if err != nil {
			return h, err
		}
		m.Variables = fresh
	}
	if err := os.WriteFile(h.variables, m.Variables, 0o600); err != nil {
		return h, err
	}
	agent, err := build(ctx, "build", "kkeys/internal/lab/agent", nil)
	if err != nil {
		return h, err
	}
	initrd, err := os.Create(filepath.Join(folder, "initrd"))
	if err != nil {
		return h, err
	}
	defer initrd.Close()
	if err := p.initramfs(initrd, m, agent); err != nil {
		return h, err
	}
	release, err := p.release(m.Kernel)
	if err != nil {
		return h, err
	}
	menu := filepath.Join(folder, "grub.cfg")
	if err := os.WriteFile(menu, fmt.Appendf(nil, start, m.CommandLine), 0o600); err != nil {
		return h, err
	}
	others := map[string]string{
		"/vmlinuz":             p.path("/boot/vmlinuz-" + release),
		"/initrd.img":          initrd.Name(),
		"/EFI/debian/grub.cfg": menu,
	}
	if m.Shim != nil {
		own := filepath.Join(folder, "shim")
		if err := os.WriteFile(own, m.Shim, 0o600); err != nil {
			return h, err
		}
		for _, f := range boot {
			if f.from == shim {
				others[f.on] = own
			}
		}
	}
	return h, p.disk(ctx, h.disk, m.WithoutMokManager, others)
}

// start is GRUB's configuration. A panic resets the machine at once, which ends it.
const start = `terminal_output console
search --no-floppy --file /vmlinuz --set=root
linux /vmlinuz console=ttyS0,115200 quiet panic=-1 log_buf_len=1M %s
initrd /initrd.img
boot
`

// boot switches the machine on, and again after a reset by MokManager.
func (p *Parts) boot(ctx context.Context, m Machine, h hardware) (*Run, error) {
	run := &Run{}
	for firmware := m.Firmware; ; firmware = nil {
		limit, cancel := context.WithTimeoutCause(ctx, m.Deadline, fmt.Errorf("%w after %v", ErrTimeout, m.Deadline))
		s, err := p.power(limit, h, firmware)
		cancel()
		if err != nil {
			return nil, err
		}
		run.Console = append(run.Console, s.console.sent()...)
		if s.cause == nil && firmware != nil && !bytes.Contains(s.console.sent(), []byte(grub)) {
			run.Resets++
			continue
		}
		if err := run.take(s, len(m.Commands)); err != nil {
			if last := s.console.panic(); last != "" { // its call trace may be longer than the screen
				err = fmt.Errorf("%w: %s", err, last)
			}
			return nil, fmt.Errorf("booting kernel %s: %w\nthe last screen:\n%s", m.Kernel, err, s.console.Screen())
		}
		run.Variables, err = os.ReadFile(h.variables)
		return run, err
	}
}

// take takes over the guest's reports. They must be whole, whatever QEMU's end was like.
func (r *Run) take(s *session, commands int) error {
	doing := "before the guest was set up"
	for _, report := range s.reports {
		switch {
		case report.Failure != "":
			return fmt.Errorf("the guest could not be set up: %s", report.Failure)
		case report.Ready:
			doing = "after the guest was set up"
		case report.Started != "":
			doing = fmt.Sprintf("while it ran %.200q", report.Started)
		case report.Output != nil:
			r.Outputs = append(r.Outputs, *report.Output)
		case report.Log != nil:
			r.KernelLog = report.Log
		}
	}
	if errors.Is(s.cause, ErrCut) {
		return nil
	}
	if s.cause != nil {
		return fmt.Errorf("the machine ended %s: %w", doing, s.cause)
	}
	if r.KernelLog == nil || len(r.Outputs) != commands {
		return errors.New("the machine ended " + doing + ": it reset")
	}
	return nil
}

// Log is the kernel log as one text.
func (r *Run) Log() string { return strings.Join(r.KernelLog, "\n") }
