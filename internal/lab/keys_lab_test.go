//go:build lab

package lab_test

import (
	"os"
	"testing"

	"kkeys/internal/lab"
)

// A machine whose firmware has only the owner's keys starts an own shim. The certificate in shim's .vendor_cert is in .machine, those of db
// are in .platform, with Secure Boot off too. What either key signed is accepted: Debian's kernels ask .platform as well (their patch "KEYS:
// Make use of platform keyring for module signature").
func TestOwnKeys(t *testing.T) {
	for _, kernel := range []lab.Kernel{lab.Kernel61, lab.Kernel612} {
		for _, off := range []bool{false, true} {
			t.Run(string(kernel)+map[bool]string{false: " on", true: " off"}[off], func(t *testing.T) {
				t.Parallel()
				platform, db, vendor := newSigner(t, "lab: PK"), newSigner(t, "lab: db"), newSigner(t, "lab: vendor")
				debian, err := os.ReadFile("../../testdata/certs/debian-ca.der")
				if err != nil {
					t.Fatal(err)
				}
				plain := lab.Strip(t, lab.Module(t, kernel, "dummy"))
				files := map[string]lab.File{
					"/root/db.ko":     {Data: lab.SignFile(t, "sha256", db.key, db.certificate, plain), Mode: 0o644},
					"/root/vendor.ko": {Data: lab.SignFile(t, "sha256", vendor.key, vendor.certificate, plain), Mode: 0o644},
				}
				run := boot(t, lab.Machine{
					Kernel: kernel, SecureBootOff: off, Files: files,
					Keys: &lab.Keys{PK: platform.certificate, KEK: platform.certificate, DB: [][]byte{db.certificate, debian}},
					Shim: lab.Shim(t, vendor.certificate, db.private, db.certificate),
					Commands: []lab.Command{
						lab.Shell("mokutil --sb-state; mokutil --pk; mokutil --kek; mokutil --db"),
						lab.Shell("keyctl show %:.machine"),
						lab.Shell("keyctl show %:.platform"),
						lab.Shell("insmod /root/db.ko && cat /sys/module/dummy/taint && rmmod dummy"),
						lab.Shell("insmod /root/vendor.ko && cat /sys/module/dummy/taint && rmmod dummy"),
					},
				})
				has(t, string(run.Outputs[0].Stdout), "lab: PK", "lab: db", "SecureBoot "+map[bool]string{false: "enabled", true: "disabled"}[off])
				hasNot(t, string(run.Outputs[0].Stdout), "Microsoft")
				has(t, string(run.Outputs[2].Stdout), "asymmetric: lab: db: ", "asymmetric: Debian Secure Boot CA: ")
				accepted := func(i int) bool { return run.Outputs[i].Code == 0 && string(run.Outputs[i].Stdout) == "\n" } // no taint E
				if !accepted(3) || accepted(4) == off {
					t.Errorf("accepted: db %v, vendor %v", accepted(3), accepted(4))
				}
				if off {
					hasNot(t, string(run.Outputs[1].Stdout), "asymmetric: ")
					return
				}
				has(t, string(run.Outputs[1].Stdout), "asymmetric: lab: vendor: ")
				hasNot(t, string(run.Outputs[1].Stdout), "Debian")
			})
		}
	}
}
