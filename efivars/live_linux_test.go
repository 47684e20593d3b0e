package efivars_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
)

// live opens the firmware's variables, only in the lab's guest: nowhere else does a test write to firmware.
func live(t *testing.T) (*efivars.Dir, efivars.GUID) {
	t.Helper()
	if os.Getenv("KKEYS_GUEST") != "1" {
		t.Skip("the firmware of this machine is left alone: KKEYS_GUEST=1 is set in the lab's guest only")
	}
	d, err := efivars.Open("/" + efivars.DefaultDir)
	if err != nil {
		t.Fatalf("the lab has no efivarfs: %v", err)
	}
	if !d.Live() {
		t.Fatalf("%s is not efivarfs", d.Path())
	}
	var g efivars.GUID
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	g.Data1 = binary.LittleEndian.Uint32(b[:])
	copy(g.Data4[:], b[8:])
	return d, g
}

func TestContractLive(t *testing.T) {
	d, g := live(t)
	traits := efivarstest.Traits{Vendor: g, Limited: true}
	mirror := efivars.Name{Vendor: efivars.Shim, Name: "MokListRT"}
	if _, _, err := d.Get(mirror); err == nil {
		traits.Volatile = &mirror
	} else if !errors.Is(err, efivars.ErrNotFound) {
		t.Fatal(err)
	}
	efivarstest.Contract(t, d, traits)
	space, err := d.Space()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("space: %+v", space)
}

func TestLiveImmutable(t *testing.T) {
	d, g := live(t)
	n := efivars.Name{Vendor: g, Name: "KkeysImmutable"}
	path := filepath.Join(d.Path(), n.String())
	t.Cleanup(func() { _ = d.Delete(n) })
	for _, data := range []string{"created", "overwritten", "x"} {
		if err := d.Set(n, efivarstest.KeyAttributes, []byte(data)); err != nil {
			t.Fatal(err)
		}
		if on, err := efivars.Locked(path); err != nil || !on {
			t.Errorf("after %q: immutable %v, %v", data, on, err)
		}
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); !errors.Is(err, syscall.EPERM) {
			_ = f.Close()
			t.Errorf("after %q: opened for writing: %v", data, err)
		}
	}
	// A refused overwrite restores the flag too.
	if err := d.Set(n, efivarstest.KeyAttributes|efivars.HardwareError, []byte("y")); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("change of attributes: %v", err)
	}
	if on, err := efivars.Locked(path); err != nil || !on {
		t.Errorf("after a refusal: immutable %v, %v", on, err)
	}
	if err := d.Delete(n); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Delete: %v", err)
	}
}

func TestLiveGhost(t *testing.T) {
	d, g := live(t)
	n := efivars.Name{Vendor: g, Name: "KkeysGhost"}
	path := filepath.Join(d.Path(), n.String())
	t.Cleanup(func() { _ = d.Delete(n) })
	ghost := func() {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ghost()
	if _, err := os.Lstat(path); err == nil { // since Linux 6.15 it goes by itself
		t.Log("this kernel keeps ghosts")
	}
	if _, _, err := d.Get(n); !errors.Is(err, efivars.ErrNotFound) {
		t.Errorf("Get of a ghost: %v", err)
	}
	if err := d.Delete(n); !errors.Is(err, efivars.ErrNotFound) {
		t.Errorf("Delete of a ghost: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ghost stays: %v", err)
	}
	ghost()
	if err := d.Set(n, efivarstest.KeyAttributes, []byte("real")); err != nil {
		t.Errorf("Set over a ghost: %v", err)
	}
	if err := d.Delete(n); err != nil {
		t.Error(err)
	}
	if err := d.Set(n, efivarstest.KeyAttributes, make([]byte, 1<<20)); err == nil {
		t.Error("a variable of 1 MiB was stored")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused creation left a file: %v", err)
	}
}

// TestLivePrivate: efivarfs lets the mode be changed, keeps it over a write, and the flag stays.
func TestLivePrivate(t *testing.T) {
	d, g := live(t)
	n := efivars.Name{Vendor: g, Name: "KkeysPrivate"}
	path := filepath.Join(d.Path(), n.String())
	t.Cleanup(func() { _ = d.Delete(n) })
	if err := d.Set(n, efivarstest.KeyAttributes, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := efivars.Publish(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Private(n); err != nil {
		t.Fatal(err)
	}
	if err := d.Set(n, efivarstest.KeyAttributes, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if on, err := efivars.Locked(path); err != nil || !on {
		t.Errorf("immutable %v, %v", on, err)
	}
}

// TestLiveOneWrite shows why one write(2) it must be: the first of two is the whole variable, the second is refused.
func TestLiveOneWrite(t *testing.T) {
	d, g := live(t)
	n := efivars.Name{Vendor: g, Name: "KkeysSplit"}
	t.Cleanup(func() { _ = d.Delete(n) })
	f, err := os.OpenFile(filepath.Join(d.Path(), n.String()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("\x07\x00\x00\x00first")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("rest")); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("second write: %v", err)
	}
	if _, data, err := d.Get(n); err != nil || string(data) != "first" {
		t.Errorf("holds %q, %v", data, err)
	}
	whole := bytes.Repeat([]byte{0xa5}, 20000)
	if err := d.Set(n, efivarstest.KeyAttributes, whole); err != nil {
		t.Fatal(err)
	}
	if _, data, err := d.Get(n); err != nil || !bytes.Equal(data, whole) {
		t.Errorf("holds %d bytes, %v", len(data), err)
	}
	if err := d.Delete(n); err != nil {
		t.Error(err)
	}
}

// TestFlagsOnPlainFiles runs the code for efivarfs on plain files with the immutable flag, where the file system and the
// privileges allow it; the lab runs it on efivarfs.
func TestFlagsOnPlainFiles(t *testing.T) {
	dir := t.TempDir()
	d := efivars.LivePlain(dir)
	n := efivars.Name{Vendor: vendor, Name: "N"}
	path := filepath.Join(dir, n.String())
	if err := d.Set(n, 7, []byte("one")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Delete(n) })
	if err := efivars.Lock(path); err != nil {
		t.Skipf("no immutable flag here: %v", err)
	}
	if err := d.Set(n, 7, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := d.Get(n); err != nil || string(data) != "two" {
		t.Errorf("%q, %v", data, err)
	}
	if on, err := efivars.Locked(path); err != nil || !on {
		t.Errorf("flag after overwrite: %v, %v", on, err)
	}
	if err := d.Delete(n); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // a ghost
		t.Fatal(err)
	}
	if err := efivars.Lock(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Set(n, 7, []byte("three")); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(n); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(n); !errors.Is(err, efivars.ErrNotFound) {
		t.Error(err)
	}
}

// The place in sysfs alone is no store, and is told from none.
func TestOpenNotMounted(t *testing.T) {
	if s, err := efivars.Open("/sys/kernel"); s != nil || !errors.Is(err, efivars.ErrNotMounted) || errors.Is(err, efivars.ErrNotSupported) {
		t.Errorf("%v, %v", s, err)
	}
}

// What shim's variables had at boot, 0644, a password does not keep.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	d := efivars.LivePlain(dir)
	n := efivars.Name{Vendor: vendor, Name: "N"}
	path := filepath.Join(dir, n.String())
	if err := d.Private(n); !errors.Is(err, efivars.ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
	if err := os.WriteFile(path, []byte("\x07\x00\x00\x00old"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Delete(n) })
	if err := os.Chmod(path, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	locked := efivars.Lock(path) == nil // needs root, and a file system that has the flag
	if err := d.Private(n); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if on, err := efivars.Locked(path); locked && (err != nil || !on) {
		t.Errorf("flag afterwards: %v, %v", on, err)
	}
	if err := d.Set(n, 7, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("overwritten: mode %v, %v", info.Mode(), err)
	}
	if err := d.Private(efivars.Name{Vendor: vendor, Name: "../up"}); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("a name that is none: %v", err)
	}
}

// TestFailedCreation makes the system refuse the write of a new file, at once and half-way.
func TestFailedCreation(t *testing.T) {
	dir := t.TempDir()
	d := efivars.LivePlain(dir)
	n := efivars.Name{Vendor: vendor, Name: "N"}
	limited := func(size uint64) error {
		signal.Ignore(syscall.SIGXFSZ)
		defer signal.Reset(syscall.SIGXFSZ)
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
				t.Fatal(err)
			}
		}()
		return d.Set(n, 7, []byte("eight by"))
	}
	if err := limited(0); !errors.Is(err, efivars.ErrIO) || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("no byte written: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("a ghost is left: %v, %v", left, err)
	}
	if err := limited(6); !errors.Is(err, efivars.ErrIO) || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("half of it written: %v", err)
	}
}

func TestFullDevice(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = efivars.Failed("write", efivars.PK, efivars.WriteAll(f, []byte("x")))
	if !errors.Is(err, efivars.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}
