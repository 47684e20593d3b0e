package machine

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kkeys/keyring"
)

func TestSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "machine.kks")
	only := func(want string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != want {
			t.Errorf("the folder has %v, %v, want %s alone", entries, err, want)
		}
	}
	r := &Recording{manifest: manifest{Record: keyring.Recorded{}.Record()}, entries: map[string]entry{}, why: map[string]string{}}
	if err := r.Save(path, false); err != nil {
		t.Fatal(err)
	}
	only("machine.kks")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Snapshot(path); err != nil {
		t.Error(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Save(path, false); !errors.Is(err, ErrExists) {
		t.Errorf("a file that is there: %v", err)
	}
	full := errors.New("the disk is full")
	err = save(path, true, func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		return full
	}, 0o600)
	if now, rerr := os.ReadFile(path); !errors.Is(err, full) || rerr != nil || !bytes.Equal(now, whole) {
		t.Errorf("after a failed write: %v, %v, changed %v", err, rerr, !bytes.Equal(now, whole))
	}
	only("machine.kks")
	if err := r.Save(path, true); err != nil {
		t.Error(err)
	}
	only("machine.kks")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	if err := r.Save(path, true); !errors.Is(err, ErrExists) {
		t.Errorf("a link was replaced: %v", err)
	}
	if err := r.Save(filepath.Join(dir, "none", "x"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	only("machine.kks")
	// Whoever makes the file between the look and the end keeps it.
	race := filepath.Join(dir, "race")
	err = save(race, false, func(io.Writer) error { return os.WriteFile(race, []byte("theirs"), 0o600) }, 0o600)
	if now, rerr := os.ReadFile(race); !errors.Is(err, ErrExists) || rerr != nil || string(now) != "theirs" {
		t.Errorf("made meanwhile: %v, %q, %v", err, now, rerr)
	}
}
