package machine_test

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"kkeys/machine/machinetest"
)

// Where the disk takes only a part of the file, the old file stays, and of the new one nothing.
func TestReceiptsOnAFullDisk(t *testing.T) {
	for why, prepare := range map[string]func(add func(string)){"the first": func(func(string)) {}, "the second": func(add func(string)) { add("one") }} {
		made := machinetest.Empty(t)
		m := directory(t, made.Dir)
		if err := os.MkdirAll(filepath.Join(made.Dir, "var/lib/kkeys"), 0o755); err != nil {
			t.Fatal(err)
		}
		prepare(func(text string) {
			if err := add(m, text); err != nil {
				t.Fatal(err)
			}
		})
		before := contents(t, made.Dir)
		// setrlimit(2) cuts a write at this size and sends SIGXFSZ with the next one.
		signal.Ignore(syscall.SIGXFSZ)
		defer signal.Reset(syscall.SIGXFSZ)
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		err := add(m, "two")
		if rerr := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); rerr != nil {
			t.Fatal(rerr)
		}
		if !errors.Is(err, syscall.EFBIG) {
			t.Errorf("%s: %v, want EFBIG", why, err)
		}
		if after := contents(t, made.Dir); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: it was\n%v\nand is\n%v", why, before, after)
		}
	}
}

// The modes do not depend on the umask, nor on what the folder above allows.
func TestReceiptsWithAnotherUmask(t *testing.T) {
	made := machinetest.Empty(t)
	defer syscall.Umask(syscall.Umask(0o077))
	if err := add(directory(t, made.Dir), "one"); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{receiptsFile: 0o644, "var/lib/kkeys": fs.ModeDir | 0o755} {
		if info, err := os.Stat(filepath.Join(made.Dir, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}
