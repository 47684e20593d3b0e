package machine

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/machine/machinetest"
)

// refusing is a root folder some of whose paths may not be read.
type refusing struct {
	through
	closed map[string]bool // cannot be opened
	beyond map[string]bool // cannot even be seen
}

func (r refusing) Open(name string) (fs.File, error) {
	if r.closed[name] || r.beyond[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.FS.Open(name)
}

func (r refusing) Stat(name string) (fs.FileInfo, error) {
	if r.beyond[name] {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrPermission}
	}
	return fs.Stat(r.FS, name)
}

// What could not be read stays that, and never becomes "not there".
func TestSnapshotKeepsWhatCouldNotBeRead(t *testing.T) {
	made, _ := laden(t)
	for _, name := range []string{
		"boot/config-" + release, "boot/vmlinuz-" + release, "boot/efi", "boot/efi/EFI/debian", "boot/efi/EFI/debian/shimx64.efi", "boot/efi/EFI/debian/mmx64.efi",
		"sys/firmware/efi/mok-variables", "sys/firmware/efi/mok-variables/MokListRT", "sys/firmware/efi/mok-variables/MokListTrustedRT",
		"proc/cmdline", "proc/kallsyms", "proc/sys/crypto/fips_enabled", "proc/sys/kernel/random/boot_id", "sys/kernel/security/integrity/ima/policy", "var/lib/kkeys/receipts.json",
		"sys/module/module/parameters/sig_enforce", "sys/kernel/security/lockdown", "var/lib/dkms/mok.pub", "root/MOK.crt", "proc/self/mountinfo",
		"root", "root/module-signing", "etc/pki/akmods/private", "etc/dkms/framework.conf", "var/lib/shim-signed/mok/MOK.der", "etc/pki/akmods/certs", "usr/src",
	} {
		for _, beyond := range []bool{false, true} {
			m := opened(t, made)
			files := refusing{through: through{m.Files}}
			if files.closed = map[string]bool{name: true}; beyond {
				files.closed, files.beyond = nil, files.closed
			}
			m.Files = files
			copied, r, _ := recordedAs(t, m)
			t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) { same(t, m, copied) })
			if got := strings.Join(sayings(r.NotSeen()), "\n"); !strings.HasPrefix(name, "root") && !strings.Contains(got, name) && exists(made, name) {
				t.Errorf("%s is not said to be unseen:\n%s", name, got)
			}
		}
	}
	// A table whose entries hide from who has no CAP_SYS_ADMIN.
	m := opened(t, made)
	m.Files = hiding{through{m.Files}}
	copied, _, _ := recordedAs(t, m)
	same(t, m, copied)
	if _, err := efivars.ReadTable(copied.Files, "MokListRT"); !errors.Is(err, efivars.ErrUnavailable) {
		t.Errorf("hidden became %v", err)
	}
}

func exists(made *machinetest.Machine, name string) bool {
	_, err := os.Stat(filepath.Join(made.Dir, name))
	return err == nil
}

// hiding shows the size of the table's entries and none of their bytes.
type hiding struct{ through }

func (h hiding) Open(name string) (fs.File, error) {
	file, err := h.through.Open(name)
	if err == nil && strings.HasPrefix(name, efivars.TableDir+"/") {
		return hidden{file}, nil
	}
	return file, err
}

type hidden struct{ fs.File }

func (hidden) Read([]byte) (int, error) { return 0, io.EOF }

// A policy that can only be written is no gap, not even for root; that it is there tells that it was not replaced.
func TestSnapshotOfClosedPolicy(t *testing.T) {
	const policy = "sys/kernel/security/integrity/ima/policy"
	made, _ := laden(t)
	made.Write("boot/config-"+release, "CONFIG_MODULE_SIG=y\nCONFIG_IMA_APPRAISE=y\n")
	if err := os.Chmod(filepath.Join(made.Dir, policy), 0o200); err != nil {
		t.Fatal(err)
	}
	m := opened(t, made)
	m.Files = refusing{through: through{m.Files}, closed: map[string]bool{policy: true}}
	copied, r, _ := recordedAs(t, m)
	same(t, m, copied)
	if got := copied.Kernel().IMA; got.Answer != evidence.No || !strings.Contains(got.Evidence, "since the boot") {
		t.Errorf("IMA: %+v", got)
	}
	if strings.Contains(strings.Join(sayings(r.NotSeen()), "\n"), policy) || !strings.Contains(strings.Join(r.LeftOut(), "\n"), policy) {
		t.Errorf("not seen %v, left out %v", sayings(r.NotSeen()), r.LeftOut())
	}
}
