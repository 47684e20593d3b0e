package machine_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"kkeys/machine/machinetest"
)

// childOf names the machine's folder to the test's own child: limits and the umask are those of a whole process, and tests run beside each other.
const childOf = "KKEYS_TEST_MACHINE"

// inChild runs the same test again in a process of its own.
func inChild(t *testing.T, dir string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childOf+"="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Where the disk takes only a part of the file, the old file stays, and of the new one nothing.
func TestReceiptsOnAFullDisk(t *testing.T) {
	if dir := os.Getenv(childOf); dir != "" {
		// setrlimit(2) cuts a write at this size and sends SIGXFSZ with the next one.
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
			t.Fatal(err)
		}
		if err := add(directory(t, dir), "two"); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("%v, want EFBIG", err)
		}
		return
	}
	for _, first := range []bool{true, false} {
		made := machinetest.Empty(t)
		if err := os.MkdirAll(filepath.Join(made.Dir, "var/lib/kkeys"), 0o755); err != nil {
			t.Fatal(err)
		}
		if !first {
			if err := add(directory(t, made.Dir), "one"); err != nil {
				t.Fatal(err)
			}
		}
		before := contents(t, made.Dir)
		inChild(t, made.Dir)
		if after := contents(t, made.Dir); !reflect.DeepEqual(after, before) {
			t.Errorf("first %v: it was\n%v\nand is\n%v", first, before, after)
		}
	}
}

// The modes do not depend on the umask, nor on what the folder above allows.
func TestReceiptsWithAnotherUmask(t *testing.T) {
	if dir := os.Getenv(childOf); dir != "" {
		syscall.Umask(0o077)
		if err := add(directory(t, dir), "one"); err != nil {
			t.Fatal(err)
		}
		return
	}
	made := machinetest.Empty(t)
	inChild(t, made.Dir)
	for path, mode := range map[string]fs.FileMode{receiptsFile: 0o644, "var/lib/kkeys": fs.ModeDir | 0o755} {
		if info, err := os.Stat(filepath.Join(made.Dir, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}
