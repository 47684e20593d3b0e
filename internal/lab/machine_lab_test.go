//go:build lab

package lab_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kkeys/internal/lab"
)

func boot(t *testing.T, m lab.Machine) *lab.Run {
	t.Helper()
	run, err := m.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	for i, out := range run.Outputs {
		t.Logf("%q: exit code %d %s\n%s%s", m.Commands[i].Argv, out.Code, out.Failure, readable(out.Stdout), readable(out.Stderr))
	}
	return run
}

func readable(output []byte) string {
	if !utf8.Valid(output) || len(output) > 5000 {
		return fmt.Sprintf("%d bytes\n", len(output))
	}
	return string(output)
}

// has fails the test unless the text has each of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

// hasNot fails the test if the text has one of the parts.
func hasNot(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q is in:\n%s", part, text)
		}
	}
}

const (
	variables = "/sys/firmware/efi/efivars/"
	global    = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	shim      = "-605dab50-e046-4300-abb6-3dd810dd8b23"
)

func cat(name string) lab.Command { return lab.Command{Argv: []string{"cat", name}} }

func TestSecureBoot(t *testing.T) {
	for _, kernel := range []lab.Kernel{lab.Kernel61, lab.Kernel612} {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			run := boot(t, lab.Machine{Kernel: kernel, Commands: []lab.Command{
				lab.Shell("uname -r; cat /sys/kernel/security/lockdown; keyctl show %:.machine; mokutil --sb-state"),
				cat(variables + "MokListRT" + shim),
				lab.Shell("mount; ls -l /dev/disk/by-partuuid; find /boot/efi; ip address show lo"),
				cat(variables + "BootOrder" + global),
				cat(variables + "BootCurrent" + global),
			}})
			has(t, run.Log(), "Secure boot enabled", "Loaded X.509 cert 'Debian Secure Boot CA", "Linux version "+kernel.Release(t))
			has(t, string(run.Outputs[0].Stdout), kernel.Release(t), "[integrity]", "asymmetric: Debian Secure Boot CA: ", "SecureBoot enabled")
			has(t, string(run.Outputs[1].Stdout), "Debian Secure Boot CA")
			has(t, string(run.Outputs[2].Stdout),
				"/dev/vda1 on /boot/efi type vfat (rw", lab.Partition+" -> ../../vda1", "efivarfs on /sys/firmware/efi/efivars type efivarfs (rw",
				"/boot/efi/EFI/debian/shimx64.efi", "/boot/efi/EFI/debian/mmx64.efi", "127.0.0.1")

			// The entry that was booted is the first of BootOrder, Debian's shim on the partition.
			order, current := run.Outputs[3].Stdout[4:], run.Outputs[4].Stdout[4:]
			if !bytes.Equal(order[:2], current) {
				t.Errorf("booted entry %x, not the first of %x", current, order)
			}
			run = boot(t, lab.Machine{Kernel: kernel, Variables: run.Variables, Commands: []lab.Command{
				cat(fmt.Sprintf("%sBoot%02X%02X%s", variables, current[1], current[0], global)),
			}})
			entry := run.Outputs[0].Stdout
			for _, part := range []string{"debian", `\EFI\debian\shimx64.efi`} {
				if !bytes.Contains(entry, utf16(part)) {
					t.Errorf("%q is not in the boot entry %x", part, entry)
				}
			}
		})
	}
}

// utf16 is ASCII text as firmware writes it.
func utf16(text string) []byte {
	var out []byte
	for i := range len(text) {
		out = append(out, text[i], 0)
	}
	return out
}

func TestSecureBootOff(t *testing.T) {
	t.Parallel()
	unsigned := lab.Strip(t, lab.Module(t, lab.Kernel61, "dummy"))
	run := boot(t, lab.Machine{SecureBootOff: true,
		Files: map[string]lab.File{"/root/dummy.ko": {Data: unsigned, Mode: 0o644}},
		Commands: []lab.Command{
			lab.Shell("cat /sys/kernel/security/lockdown; mokutil --sb-state 2>&1"),
			lab.Shell("insmod dummy.ko && lsmod"),
		}})
	has(t, run.Log(), "Secure boot disabled")
	has(t, string(run.Outputs[0].Stdout), "[none]", "SecureBoot disabled")
	has(t, string(run.Outputs[1].Stdout), "dummy")
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct{ line, shows, refusal string }{
		{"module.sig_enforce=1", "Y\n[none]", "Loading of unsigned module is rejected"},
		{"lockdown=integrity", "N\nnone [integrity]", "Lockdown: insmod: unsigned module loading is restricted"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			unsigned := lab.Strip(t, lab.Module(t, lab.Kernel612, "dummy"))
			run := boot(t, lab.Machine{SecureBootOff: true, Kernel: lab.Kernel612, CommandLine: c.line,
				Files: map[string]lab.File{"/root/dummy.ko": {Data: unsigned, Mode: 0o644}},
				Commands: []lab.Command{
					lab.Shell("cat /sys/module/module/parameters/sig_enforce /sys/kernel/security/lockdown"),
					lab.Shell("insmod dummy.ko"),
				}})
			has(t, string(run.Outputs[0].Stdout), c.shows)
			has(t, run.Log(), c.refusal, c.line)
			if run.Outputs[1].Code == 0 {
				t.Error("the unsigned module was loaded")
			}
		})
	}
}

func TestWithoutMokManager(t *testing.T) {
	t.Parallel()
	run := boot(t, lab.Machine{WithoutMokManager: true, Commands: []lab.Command{
		lab.Shell("find /boot/efi -name 'mm*'; mokutil --sb-state"),
	}})
	if got := string(run.Outputs[0].Stdout); got != "SecureBoot enabled\n" {
		t.Errorf("found %q", got)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	run := boot(t, lab.Machine{
		Files: map[string]lab.File{
			"/srv/deep/big":  {Data: big, Mode: 0o640},
			"/root/gpt.test": {Data: lab.TestBinary(t, "kkeys/internal/lab/gpt"), Mode: 0o755},
			"/root/fetch":    {Data: lab.Binary(t, "kkeys/internal/lab/fetch"), Mode: 0o755},
		},
		Commands: []lab.Command{
			{Argv: []string{"sh", "-c", "cat; echo $WORD >&2; exit 7"}, Stdin: []byte("in\x00\xff"), Env: []string{"WORD=err"}},
			{Argv: []string{"/bin/sh", "-c", "id -u; id -g; cat /srv/deep/big"}, UID: 65534},
			{Argv: []string{"/missing"}},
			lab.Shell("kill -9 $$"),
			cat("/srv/deep/big"),
			lab.Shell("sleep 1000 &"), // must not hold the boot up
			{Argv: []string{"/root/gpt.test", "-test.v"}},
			{Argv: []string{"/root/fetch"}},
		}})
	if out := run.Outputs[0]; out.Code != 7 || string(out.Stdout) != "in\x00\xff" || string(out.Stderr) != "err\n" {
		t.Errorf("streams and exit code: %+v", out)
	}
	if out := run.Outputs[1]; string(out.Stdout) != "65534\n65534\n" || !strings.Contains(string(out.Stderr), "Permission denied") {
		t.Errorf("as an ordinary user: %+v", out)
	}
	for _, out := range run.Outputs[2:4] {
		if out.Code != -1 || out.Failure == "" {
			t.Errorf("without an exit code: %+v", out)
		}
	}
	if !bytes.Equal(run.Outputs[4].Stdout, big) {
		t.Errorf("%d bytes of output, not %d, or others", len(run.Outputs[4].Stdout), len(big))
	}
	if out := run.Outputs[6]; out.Code != 0 || !strings.Contains(string(out.Stdout), "--- PASS: TestPartition") {
		t.Errorf("a test in the guest: %+v", out)
	}
	if out := run.Outputs[7]; out.Code != 1 || !strings.Contains(string(out.Stderr), "apt-get is needed") {
		t.Errorf("a command of this module in the guest: %+v", out)
	}
}

func TestFailure(t *testing.T) {
	for name, c := range map[string]struct {
		machine lab.Machine
		is      error
		says    string
	}{
		"hang":                {lab.Machine{Deadline: 45 * time.Second, Commands: []lab.Command{lab.Shell("echo stuck >/dev/console; sleep 1000")}}, lab.ErrTimeout, "stuck"},
		"panic":               {lab.Machine{Commands: []lab.Command{lab.Shell("echo c >/proc/sysrq-trigger; sleep 10")}}, nil, "Kernel panic - not syncing"},
		"no MokManager comes": {lab.Machine{Firmware: lab.Decline()}, lab.ErrEnded, "MOK management"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.machine.Boot(t)
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("the error is %v, not %v", err, c.is)
			}
			t.Log(err)
			has(t, err.Error(), c.says)
			hasNot(t, err.Error(), "\x1b")
		})
	}
}
