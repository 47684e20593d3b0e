package machine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/keyring"
	"kkeys/machine"
)

// EFI is there where the kernel says so, whether or not somebody has mounted efivarfs.
func TestEFI(t *testing.T) {
	for _, c := range []struct {
		folder string // below the root
		efi    evidence.Answer
		err    error // of looking at the variables
	}{
		{"", evidence.Unknown, efivars.ErrNotSupported},
		{"sys/module/kernel", evidence.Unknown, efivars.ErrNotSupported},
		{"sys/firmware", evidence.Unknown, efivars.ErrNotSupported}, // as containers have it
		{"sys/firmware/acpi", evidence.No, efivars.ErrNotSupported},
		{"sys/firmware/efi/mok-variables", evidence.Yes, efivars.ErrNotMounted},
		{efivars.DefaultDir, evidence.Yes, nil},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, c.folder), 0o755); err != nil {
			t.Fatal(err)
		}
		m, err := machine.Directory(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Variables.List(); m.EFI() != c.efi || !errors.Is(err, c.err) {
			t.Errorf("%q: EFI %v, %v", c.folder, m.EFI(), err)
		}
	}
	// A recording answers as the machine did.
	for folder, want := range map[string]evidence.Answer{"": evidence.Unknown, "sys/firmware": evidence.Unknown, "sys/firmware/acpi": evidence.No, efivars.DefaultDir: evidence.Yes} {
		dir := t.TempDir()
		for _, f := range []string{folder, "sys/module/kernel"} {
			if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		m, err := machine.Directory(dir)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Record(machine.Recorder{Questions: func([]keyring.Ring) []keyring.Restriction { return nil }})
		file := filepath.Join(t.TempDir(), "m.kks")
		if err == nil {
			err = r.Save(file, false)
		}
		if err == nil {
			m, err = machine.Snapshot(file)
		}
		if err != nil || m.EFI() != want {
			t.Errorf("recorded with %q: %v, %v", folder, m.EFI(), err)
		}
	}
	for err, want := range map[error]evidence.Answer{efivars.ErrNotMounted: evidence.Yes, efivars.ErrDenied: evidence.Yes, efivars.ErrNotSupported: evidence.Unknown} {
		m := &machine.Machine{Files: fstest.MapFS{}, Variables: efivars.Absent(err)}
		if got := m.EFI(); got != want {
			t.Errorf("%v alone: EFI %v", err, got)
		}
	}
}
