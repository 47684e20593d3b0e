package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is the store in a directory: efivarfs, or plain files of the same form, such as a recorded machine or what
// libefivar's EFIVARFS_PATH names. On plain files the rules of the firmware about attributes are kept too.
type Dir struct {
	path string
	live bool
}

var _ Store = (*Dir)(nil)

// variableLimit is the largest variable that is read, in bytes. Firmware's volatile store, where shim mirrors its lists,
// is 256 KiB in OVMF; nothing known comes near this.
const variableLimit = 4 << 20

// attributesSize is what precedes the data in a file.
const attributesSize = 4

// Open opens the variables in a directory, DefaultDir below the root as a rule. ErrNotSupported when there is none,
// ErrNotMounted when it is the empty place in sysfs where efivarfs belongs. Nothing is written.
func Open(dir string) (*Dir, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrNotSupported, err)
	case err != nil:
		return nil, fmt.Errorf("open EFI variables: %w: %w", meaning(err), err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is no directory", ErrNotSupported, dir)
	}
	kind, err := fileSystem(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open EFI variables: %w: %w", meaning(err), err)
	case kind == fileSystemSysfs:
		return nil, fmt.Errorf("%w on %s", ErrNotMounted, dir)
	}
	return &Dir{path: dir, live: kind == fileSystemEfivarfs}, nil
}

// Live reports whether the directory is efivarfs: what is written goes to the firmware.
func (d *Dir) Live() bool { return d.live }

// Path is the directory.
func (d *Dir) Path() string { return d.path }

func (d *Dir) file(n Name) string { return filepath.Join(d.path, n.String()) }

// Get implements Store.
func (d *Dir) Get(n Name) (Attributes, []byte, error) {
	if err := n.check(); err != nil {
		return 0, nil, err
	}
	b, err := readFile(d.file(n))
	if err != nil {
		if errors.Is(err, ErrMalformed) {
			return 0, nil, fmt.Errorf("read EFI variable %s: %w", n.Name, err)
		}
		return 0, nil, failed("read", n, err)
	}
	switch {
	case len(b) == 0: // created and never written, or deleted behind the file's back
		return 0, nil, failed("read", n, fs.ErrNotExist)
	case len(b) < attributesSize:
		return 0, nil, fmt.Errorf("read EFI variable %s: %w: only %d of 4 bytes of attributes", n.Name, ErrMalformed, len(b))
	}
	return Attributes(binary.LittleEndian.Uint32(b)), b[attributesSize:], nil
}

// readFile reads a regular file up to the limit. One read returns all of a variable, so that its parts belong together.
func readFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: no regular file", ErrMalformed)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := max(info.Size(), 512)
	if size > variableLimit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, size, variableLimit)
	}
	buf := make([]byte, size+1)
	n := 0
	for n < len(buf) {
		k, err := readOnce(f, buf[n:])
		if err != nil && err != io.EOF {
			return nil, err
		}
		if k <= 0 {
			return buf[:n:n], nil
		}
		n += k
	}
	return nil, fmt.Errorf("%w: it grew while it was read", ErrMalformed)
}

// Set implements Store.
func (d *Dir) Set(n Name, a Attributes, data []byte) error {
	if err := n.check(); err != nil {
		return err
	}
	switch {
	case len(data) == 0: // to the firmware it means delete
		return fmt.Errorf("write EFI variable %s: %w: no data", n.Name, ErrInvalid)
	case a.Has(AppendWrite): // some firmware fails at it or only claims success (Lenovo, HP)
		return fmt.Errorf("write EFI variable %s: %w: append is not supported", n.Name, ErrInvalid)
	case !a.Writable(): // without access bits it means delete too (UEFI 2.10 section 8.2.3); OVMF does so
		return fmt.Errorf("write EFI variable %s: %w: attributes %s at run time", n.Name, ErrInvalid, a)
	}
	b := append(binary.LittleEndian.AppendUint32(make([]byte, 0, attributesSize+len(data)), uint32(a)), data...)
	if d.live {
		if err := d.setLive(d.file(n), b); err != nil {
			return failed("write", n, err)
		}
		return nil
	}
	old, _, err := d.Get(n)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case err == nil && old != a:
		return fmt.Errorf("write EFI variable %s: %w: its attributes are %s, not %s", n.Name, ErrInvalid, old, a)
	}
	if err := d.setPlain(d.file(n), b); err != nil {
		return failed("write", n, err)
	}
	return nil
}

// setPlain puts a new file in the old one's place, so that a failure leaves the old one.
func (d *Dir) setPlain(path string, b []byte) (err error) {
	f, err := os.CreateTemp(d.path, ".kkeys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// setLive writes to efivarfs: exactly one write(2), because each is a SetVariable of its own.
func (d *Dir) setLive(path string, b []byte) error {
	old, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return create(path, b)
	}
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 { // left by a creation that failed; opening it for writing would be refused
		if err := removeGhost(path); err != nil {
			return err
		}
		return create(path, b)
	}
	lock, err := unlock(old)
	if err != nil {
		return err
	}
	err = writeExisting(path, b)
	if lerr := lock(); err == nil && lerr != nil {
		err = fmt.Errorf("written, but the immutable flag could not be restored: %w", lerr)
	}
	return err
}

func writeExisting(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // no O_CREATE, O_TRUNC or O_APPEND: each means something else here
	if err != nil {
		return err
	}
	defer f.Close()
	return writeAll(f, b)
}

// create makes a variable. The kernel sets its immutable flag by itself; the open file may be written all the same.
func create(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = writeAll(f, b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		return nil
	}
	// Before 6.15 the file of a variable that was never stored stays, empty and immutable.
	if gerr := removeGhost(path); gerr != nil {
		return fmt.Errorf("%w (and an empty file stays behind: %w)", err, gerr)
	}
	return err
}

func writeAll(f *os.File, b []byte) error {
	n, err := writeOnce(f, b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// removeGhost removes the file if it is an empty one.
func removeGhost(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != 0 {
		return err
	}
	if _, err := unlock(f); err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Writable implements Guarded.
func (d *Dir) Writable() error {
	if _, err := os.Lstat(d.file(StoreFile)); err == nil { // for every user, so before the permission
		return fmt.Errorf("write EFI variables: %w: its store is a file on the EFI system partition (%s)", ErrVolatile, StoreFile.Name)
	}
	if err := access(d.path); err != nil {
		return fmt.Errorf("write EFI variables: %w: %w", meaning(err), err)
	}
	return nil
}

// Private implements Keeper. Plain files that are written are so already.
func (d *Dir) Private(n Name) error {
	if err := n.check(); err != nil {
		return err
	}
	if !d.live {
		return nil
	}
	if err := private(d.file(n)); err != nil {
		return failed("keep others from", n, err)
	}
	return nil
}

// private takes from group and others what they may do with a variable's file. The immutable flag keeps the mode too.
func private(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	relock, err := unlock(f)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600)
	if rerr := relock(); err == nil {
		err = rerr
	}
	return err
}

// lockFile is what runs as root lock: on the directory, which everybody may open, anybody could keep the lock from them.
const lockFile = "/run/kkeys.lock"

// Lock implements Locker, with flock(2) on the directory; on the firmware's own variables root locks /run/kkeys.lock, if that can be had.
func (d *Dir) Lock() (func(), error) {
	f, err := os.Open(d.path)
	if d.live && err == nil {
		if private, perr := os.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600); perr == nil {
			f.Close()
			f = private
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock EFI variables: %w: %w", meaning(err), err)
	}
	if err := lock(f); err != nil {
		f.Close()
		if errors.Is(err, ErrBusy) {
			return nil, err
		}
		return nil, fmt.Errorf("lock EFI variables: %w: %w", meaning(err), err)
	}
	return func() { f.Close() }, nil
}

// Delete implements Store.
func (d *Dir) Delete(n Name) error {
	if err := n.check(); err != nil {
		return err
	}
	path := d.file(n)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("delete EFI variable %s: %w: no regular file", n.Name, ErrMalformed) // opening a pipe would wait
	}
	f, err := os.Open(path)
	if err != nil {
		return failed("delete", n, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return failed("delete", n, err)
	}
	if !d.live {
		if err := d.deletablePlain(n); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return failed("delete", n, err)
		}
		return nil
	}
	relock, err := unlock(f)
	if err != nil {
		return failed("delete", n, err)
	}
	if err := os.Remove(path); err != nil {
		_ = relock() // the variable is still there, and so is the first error
		return failed("delete", n, err)
	}
	if info.Size() == 0 {
		return failed("delete", n, fs.ErrNotExist)
	}
	return nil
}

// deletablePlain keeps the firmware's rule on plain files: volatile variables cannot be deleted at run time.
func (d *Dir) deletablePlain(n Name) error {
	a, _, err := d.Get(n)
	if err == nil && !a.Has(NonVolatile) {
		return fmt.Errorf("delete EFI variable %s: %w: it is volatile", n.Name, ErrInvalid)
	}
	if errors.Is(err, ErrMalformed) { // may go
		return nil
	}
	return err
}

// List implements Store. Files whose names are not variables', and empty ones, are left out.
func (d *Dir) List() ([]Name, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list EFI variables: %w: %w", meaning(err), err)
	}
	var names []Name
	for _, e := range entries {
		n, err := ParseName(e.Name())
		if err != nil || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil || info.Size() == 0 { // gone meanwhile, or never stored
			continue
		}
		names = append(names, n)
	}
	return names, nil
}

// Space implements Store; unknown for plain files.
func (d *Dir) Space() (Space, error) {
	if !d.live {
		return Space{}, nil
	}
	s, err := space(d.path)
	if err != nil {
		return Space{}, fmt.Errorf("free space for EFI variables: %w: %w", meaning(err), err)
	}
	return s, nil
}
