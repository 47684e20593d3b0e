package machine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"kkeys/efivars"
	"kkeys/machine"
)

// EFI is there where the kernel says so, whether or not somebody has mounted efivarfs.
func TestEFI(t *testing.T) {
	for _, c := range []struct {
		folder string // below the root
		efi    bool
		err    error // of looking at the variables
	}{
		{"", false, efivars.ErrNotSupported},
		{"sys/firmware", false, efivars.ErrNotSupported},
		{"sys/firmware/efi/mok-variables", true, efivars.ErrNotMounted},
		{efivars.DefaultDir, true, nil},
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
	for err, want := range map[error]bool{efivars.ErrNotMounted: true, efivars.ErrDenied: true, efivars.ErrNotSupported: false} {
		m := &machine.Machine{Files: fstest.MapFS{}, Variables: efivars.Absent(err)}
		if got := m.EFI(); got != want {
			t.Errorf("%v alone: EFI %v", err, got)
		}
	}
}
