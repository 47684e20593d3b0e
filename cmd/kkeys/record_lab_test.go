//go:build lab

package main

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

var record = flag.Bool("record", false, "boot the machines of testdata/machines and record them anew")

const recordings = "../../testdata/machines"

// recording has the certificates that every recorded machine has on its disk, so that its kernel is asked about them, by the names that
// they have in testdata/machines. Their keys are the same in every run.
type recording struct {
	owned
	mine, foreign, sameName *certtest.Cert
}

func toRecord(t *testing.T) recording {
	t.Helper()
	mine := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60))
	twin := mine.Spec
	twin.Key = certtest.RSA(2048, 62)
	return recording{ownKeys(t), mine, certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 61)), certtest.Make(t, twin)}
}

func (r recording) certificates() map[string]*certtest.Cert {
	return map[string]*certtest.Cert{
		"mine.der": r.mine, "foreign.der": r.foreign, "same-name.der": r.sameName, "own-db.der": r.db, "own-vendor.der": r.vendor,
	}
}

const debian12 = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
SUPPORT_URL="https://www.debian.org/support"
BUG_REPORT_URL="https://bugs.debian.org/"
`

// files are those of an installed Debian that kkeys looks for: the system's name, the kernel's image (package lab has its configuration in
// every guest), and the certificates at places where tools keep them.
func (r recording) files(t *testing.T, kernel lab.Kernel) map[string]lab.File {
	t.Helper()
	files := inGuest(t, nil)
	for name, data := range map[string][]byte{
		"/etc/os-release":                    []byte(debian12),
		"/boot/vmlinuz-" + kernel.Release(t): kernelImage(t, kernel),
		"/var/lib/shim-signed/mok/MOK.der":   r.mine.DER,
		"/var/lib/dkms/mok.pub":              r.foreign.DER,
		"/etc/uefi/certs/same-name.crt":      r.sameName.DER,
		"/etc/uefi/certs/own-db.crt":         r.db.DER,
		"/etc/uefi/certs/own-vendor.crt":     r.vendor.DER,
	} {
		files[name] = lab.File{Data: data, Mode: 0o644}
	}
	files["/var/lib/shim-signed/mok/MOK.priv"] = lab.File{Data: r.mine.KeyPEM(t), Mode: 0o600}
	return files
}

const receiptsFile = "/var/lib/kkeys/receipts.json"

// takeDown boots the machine, runs the command before if there is one, and records it under this name.
func takeDown(t *testing.T, name string, m lab.Machine, before ...lab.Command) *lab.Run {
	t.Helper()
	m.Commands = append(before, kkeys("snapshot", "/root/machine.kks", "--prove", "--json"), lab.Shell("cat /root/machine.kks"), lab.Shell("cat "+receiptsFile))
	run := boots(t, m)
	outputs := run.Outputs
	for range before {
		expect(t, outputs[0], exitYes)
		outputs = outputs[1:]
	}
	document := decoded[snapshotDocument](t, "snapshot", outputs[0])
	if len(document.NotSeen) > 0 || document.Inquiries < 6 {
		t.Errorf("%s: not seen: %v, inquiries: %d", name, document.NotSeen, document.Inquiries)
	}
	if err := os.WriteFile(filepath.Join(recordings, string(m.Kernel)+"-"+name+".kks"), outputs[1].Stdout, 0o644); err != nil {
		t.Error(err)
	}
	return run
}

// takeDownAll records all machines with this kernel: those that need no request, and beside them one on which a request is staged, and then
// confirmed or declined; what kkeys wrote on its disk at the first boot lies there at the second.
func (r recording) takeDownAll(t *testing.T, kernel lab.Kernel) {
	t.Parallel()
	files := r.files(t, kernel)
	own := r.machine(t)
	for name, m := range map[string]lab.Machine{
		"off":         {SecureBootOff: true},
		"lockdown":    {SecureBootOff: true, CommandLine: "lockdown=integrity"},
		"sig-enforce": {SecureBootOff: true, CommandLine: "module.sig_enforce=1"},
		"own-keys":    {Keys: own.Keys, Shim: own.Shim},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m.Kernel, m.Files = kernel, files
			takeDown(t, name, m)
		})
	}
	t.Run("pending", func(t *testing.T) {
		t.Parallel()
		staged := takeDown(t, "pending", lab.Machine{Kernel: kernel, Files: files}, kkeys("enroll", "/var/lib/shim-signed/mok/MOK.der", "--password-file", "/srv/password"))
		receipts := staged.Outputs[len(staged.Outputs)-1]
		expect(t, receipts, 0)
		after := maps.Clone(files)
		after[receiptsFile] = lab.File{Data: receipts.Stdout, Mode: 0o644}
		for name, firmware := range map[string]func(*lab.Console) error{"enrolled": lab.Enroll(1, password), "declined": lab.Decline()} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				takeDown(t, name, lab.Machine{Kernel: kernel, Files: after, Variables: staged.Variables, Firmware: firmware})
			})
		}
	})
}

// The recorded machines are there and say what their names say. With -record they are first recorded anew.
func TestRecordedMachines(t *testing.T) {
	r := toRecord(t)
	if *record {
		for name, c := range r.certificates() {
			if err := os.WriteFile(filepath.Join(recordings, name), c.DER, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Run("record", func(t *testing.T) {
			for _, kernel := range kernels {
				t.Run(string(kernel), func(t *testing.T) { r.takeDownAll(t, kernel) })
			}
		})
	}
	for name, c := range r.certificates() {
		if !bytes.Equal(readFile(t, filepath.Join(recordings, name)), c.DER) {
			t.Errorf("%s is not what is made here", name)
		}
	}
	for _, kernel := range kernels {
		for _, c := range []struct {
			machine, command string
			code             int
		}{
			{"pending", "trusted mine.der", exitNo},
			{"pending", "pending", exitYes},
			{"enrolled", "trusted mine.der", exitYes},
			{"enrolled", "trusted foreign.der", exitNo},
			{"enrolled", "trusted same-name.der", exitNo},
			{"enrolled", "trusted own-db.der", exitNo},
			{"enrolled", "pending", exitNo},
			{"declined", "trusted mine.der", exitNo},
			{"declined", "pending", exitNo},
			{"off", "trusted mine.der", exitNo},
			{"lockdown", "trusted mine.der", exitNo},
			{"sig-enforce", "trusted mine.der", exitNo},
			{"own-keys", "trusted own-vendor.der", exitYes},
			{"own-keys", "trusted own-db.der", exitUnsure},
			{"own-keys", "trusted --prove own-db.der", exitYes},
			{"own-keys", "trusted mine.der", exitNo},
		} {
			args := []string{"--snapshot", filepath.Join(recordings, string(kernel)+"-"+c.machine+".kks")}
			for _, word := range strings.Fields(c.command) {
				if strings.HasSuffix(word, ".der") {
					word = filepath.Join(recordings, word)
				}
				args = append(args, word)
			}
			if got := runOn(t, nil, args...); got.code != c.code {
				t.Errorf("%v: exit code %d, want %d\n%s%s", args, got.code, c.code, got.out, got.err)
			}
		}
	}
}
