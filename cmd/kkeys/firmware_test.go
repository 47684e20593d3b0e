package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/mok"
	"kkeys/trust"
)

// secretive are variables of which somebody may not read one.
type secretive struct {
	*efivarstest.Memory
	name efivars.Name
}

func (h secretive) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	if n == h.name {
		return 0, nil, denied("read")
	}
	return h.Memory.Get(n)
}

func denied(what string) error {
	return fmt.Errorf("%s: %w: %w", what, efivars.ErrDenied, syscall.EACCES)
}

// Whoever may not look is told so, and by what: it is no failure to write, and no answer.
func TestMayNotLook(t *testing.T) {
	all := efivars.Absent(denied("list"))
	one := func(name efivars.Name) func(*efivarstest.Memory) efivars.Store {
		return func(m *efivarstest.Memory) efivars.Store { return secretive{m, name} }
	}
	none := func(*efivarstest.Memory) efivars.Store { return all }
	listed, blocked, sbat := mok.Variable("MokListRT"), mok.Variable("MokListXRT"), mok.Variable("SbatLevelRT")
	for _, c := range []struct {
		args  string
		store func(*efivarstest.Memory) efivars.Store
	}{
		{"mok list", none}, {"mok blocklist list", none}, {"mok sbat list", none}, {"mok export", none}, {"mok test FILE", none}, {"uefi", none},
		{"pending", none}, {"status", none}, {"cancel", none}, {"enroll FILE --dry-run", none}, {"unenroll FILE --dry-run", none}, {"unenroll 00112233 --dry-run", none}, {"mok timeout 60", none},
		{"mok list", one(listed)}, {"mok blocklist list", one(blocked)}, {"mok sbat list", one(sbat)}, {"mok export", one(listed)}, {"mok test FILE", one(listed)},
		{"unenroll 00112233 --dry-run", one(listed)}, {"mok blocklist unenroll 00112233 --dry-run", one(blocked)},
	} {
		m, store, file := installed(t)
		m.Variables = c.store(store)
		got := runOn(t, m, strings.Fields(strings.Replace(c.args, "FILE", file, 1))...)
		if got.code != exitUnsure || !strings.Contains(got.err, "no permission to look") || !strings.Contains(got.err, "hint: sudo kkeys "+strings.Fields(c.args)[0]) {
			t.Errorf("%s: exit code %d\n%s%s", c.args, got.code, got.out, got.err)
		}
	}
}

// So is whoever may not read what an update of the firmware's lists is judged by.
func TestUpdateMayNotLook(t *testing.T) {
	kek, fresh := certtest.SelfSignedWith(t, "KEK", certtest.RSA(2048, 22)), certtest.SelfSignedWith(t, "fresh", certtest.RSA(2048, 24))
	dir := t.TempDir()
	for name, data := range map[string][]byte{"fresh.der": fresh.DER, "kek.der": kek.DER, "kek.key": kek.KeyPEM(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"uefi", "enroll", filepath.Join(dir, "fresh.der"), "--key", filepath.Join(dir, "kek.key"), "--cert", filepath.Join(dir, "kek.der")}
	for _, all := range []bool{true, false} {
		m, store, _ := installed(t)
		firmware(store, map[efivars.Name][][]byte{efivars.PK: {kek.DER}, efivars.KEK: {kek.DER}})
		if got := runOn(t, m, args...); got.code != exitYes {
			t.Fatalf("exit code %d: %s", got.code, got.err)
		}
		m.Variables = secretive{store, efivars.DBX}
		if all {
			m.Variables = efivars.Absent(denied("list"))
		}
		if got := runOn(t, m, args...); got.code != exitUnsure || !strings.Contains(got.err, "no permission to look") || !strings.Contains(got.err, "hint: sudo kkeys uefi enroll") {
			t.Errorf("nothing may be read %v: exit code %d\n%s", all, got.code, got.err)
		}
	}
}

// What is sure to be refused is no success of a dry run; what root may is.
func TestDryRunRefused(t *testing.T) {
	for _, c := range []struct {
		refuses error
		code    int
		says    string
	}{
		{nil, exitYes, ""},
		{fmt.Errorf("write: %w: %w", efivars.ErrReadOnly, syscall.EROFS), exitFailed, "hint: sudo mount -o remount,rw /sys/firmware/efi/efivars"},
		{efivars.ErrVolatile, exitNo, "forgets"},
		{denied("write"), exitYes, ""},
		{machine.ErrRecorded, exitYes, ""},
	} {
		for _, words := range []string{"enroll FILE", "mok validation off", "mok hash enroll " + strings.Repeat("ab", 32)} {
			m, store, file := installed(t)
			store.Refuses = c.refuses
			before := store.Dump()
			got := runOn(t, m, strings.Fields(strings.Replace(words, "FILE", file, 1)+" --dry-run")...)
			if got.code != c.code || !strings.Contains(got.err, c.says) {
				t.Errorf("%s, %v: exit code %d\n%s%s", words, c.refuses, got.code, got.out, got.err)
			}
			if c.code != exitYes && got.out != "" {
				t.Errorf("%s, %v: it says what it would do: %s", words, c.refuses, got.out)
			}
			got = runOn(t, m, strings.Fields(strings.Replace(words, "FILE", file, 1)+" --generate-password")...)
			if c.refuses != nil && (got.code == exitYes || store.Dump() != before) {
				t.Errorf("%s, %v: it was staged", words, c.refuses)
			}
		}
	}
}

// On the machine itself the command that mounts efivarfs is told.
func TestNotMounted(t *testing.T) {
	m, _ := debian(t)
	m.Variables = efivars.Absent(fmt.Errorf("%w on /sys/firmware/efi/efivars", efivars.ErrNotMounted))
	const hint = "kkeys: hint: sudo mount -t efivarfs efivarfs /sys/firmware/efi/efivars\n"
	for _, args := range []string{"status", "pending", "cancel", "uefi", "mok list", "mok timeout 60"} {
		got := runOn(t, m, strings.Fields(args)...)
		if got.code != exitUnsure || strings.Count(got.err, hint) != 1 {
			t.Errorf("%s: exit code %d\n%s%s", args, got.code, got.out, got.err)
		}
	}
	got := runOn(t, m, "status", "--json")
	if err := validate("status", []byte(got.out)); err != nil || !strings.Contains(got.out, `"hint": "sudo mount`) || !strings.Contains(got.out, `"efi": true`) {
		t.Errorf("%v\n%s", err, got.out)
	}
}

// The command that brings MokManager back is that of the distribution, or one it is like, and of the architecture.
func TestReinstall(t *testing.T) {
	for _, c := range []struct {
		distribution kernel.Distribution
		manager      string
		want         string
	}{
		{kernel.Distribution{ID: "debian"}, "/boot/efi/EFI/debian/mmx64.efi", "shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed"},
		{kernel.Distribution{ID: "debian"}, "/boot/efi/EFI/debian/mmaa64.efi", "shim-signed shim-helpers-arm64-signed grub-efi-arm64-signed"},
		{kernel.Distribution{ID: "debian"}, "/boot/efi/EFI/debian/mmia32.efi", "shim-signed shim-helpers-i386-signed grub-efi-ia32-signed"},
		{kernel.Distribution{ID: "pop", Like: "ubuntu debian"}, "/efi/MMX64.EFI", "shim-signed grub-efi-amd64-signed"},
		{kernel.Distribution{ID: "rocky", Like: "rhel centos fedora"}, "mmx64.efi", "sudo dnf reinstall shim-x64"},
		{kernel.Distribution{ID: "almalinux", Like: "rhel centos fedora"}, "mmaa64.efi", "sudo dnf reinstall shim-aa64"},
		{kernel.Distribution{ID: "opensuse-leap", Like: "suse opensuse"}, "mmx64.efi", "sudo zypper install --force shim"},
		{kernel.Distribution{ID: "sles", Like: "suse"}, "mmx64.efi", "sudo zypper install --force shim"},
		{kernel.Distribution{ID: "debian"}, "mmriscv64.efi", ""},
		{kernel.Distribution{ID: "debian"}, "", ""},
		{kernel.Distribution{ID: "void"}, "mmx64.efi", ""},
	} {
		if got := reinstallOn(c.distribution, c.manager); got != c.want && (c.want == "" || !strings.HasSuffix(got, " "+c.want)) {
			t.Errorf("%+v, %s: %q, want %q", c.distribution, c.manager, got, c.want)
		}
	}
}

// Only an ordinary user of the machine itself is sent to root.
func TestWhyUntold(t *testing.T) {
	unsure := trust.Verdict{Gates: []trust.Gate{{Result: trust.ResultUnknown, Decides: true, Evidence: "two keys have that name"}}}
	for _, c := range []struct {
		err       error
		elsewhere bool
		want      string
	}{
		{keyring.ErrNotVisible, false, " by an ordinary user: `sudo kkeys status` tells"},
		{keyring.ErrNotVisible, true, ": the kernel shows its keyrings to root only"},
		{keyring.ErrUnavailable, false, ": the kernel's key service cannot be used"},
		{nil, false, ": two keys have that name"},
	} {
		s := &session{elsewhere: c.elsewhere}
		if got := s.whyUntold(trust.Facts{RingsErr: c.err}, unsure); got != c.want {
			t.Errorf("%v, elsewhere %v: %q, want %q", c.err, c.elsewhere, got, c.want)
		}
	}
}
