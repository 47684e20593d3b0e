package machine

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"kkeys/efivars"
	"kkeys/mok"
)

// Where receipts are, below the root.
const (
	receiptsPath = "var/lib/kkeys/receipts.json"
	// stateDir is where programs keep what outlasts a boot.
	stateDir = "var/lib"
)

// Receipts reads what kkeys has asked of MokManager on this machine, the oldest first; none when there is no file. Errors are those of reading
// a file, and a *efivars.CorruptError: who gets one knows nothing about what was asked.
func (m *Machine) Receipts() ([]mok.Receipt, error) {
	data, err := m.read(receiptsPath, mok.ReceiptsSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	receipts, err := mok.ParseReceipts(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mok.ReceiptsFile, err)
	}
	return receipts, nil
}

// KeepReceipts replaces the machine's receipts by what change makes of them; the oldest are dropped beyond the bounds of [mok.Newest]. Other
// runs of kkeys wait meanwhile, by the lock of the variables that the receipts are about.
//
// There is the old file or the new one, at no time half of one, and without an error the new one is on the disk. It and its folder may be read
// by everybody (0644 and 0755), whatever the umask: it holds no secret, and `kkeys status` is for every user. Nothing is written when
// nothing changes; when the old file cannot be read or understood (a newer kkeys may have written it); or when something other than a
// file has its name, a symbolic link too. Errors are those of writing a file, ErrBusy of efivars, and [ErrRecorded] for a recorded machine.
func (m *Machine) KeepReceipts(change func([]mok.Receipt) []mok.Receipt) error {
	if m.state == nil {
		return fmt.Errorf("receipts: %w", ErrRecorded)
	}
	if l, ok := m.Variables.(efivars.Locker); ok {
		unlock, err := l.Lock()
		if err != nil {
			return fmt.Errorf("receipts: %w", err)
		}
		defer unlock()
	}
	old, err := m.Receipts()
	if err != nil {
		return err
	}
	before, err := mok.EncodeReceipts(old)
	if err != nil {
		return err
	}
	after, err := mok.EncodeReceipts(mok.Newest(change(old)))
	if err != nil || bytes.Equal(before, after) {
		return err
	}
	if err := m.writeReceipts(after); err != nil {
		return fmt.Errorf("write %s: %w", mok.ReceiptsFile, err)
	}
	return nil
}

// writeReceipts makes the folder where it is missing, and replaces the file.
func (m *Machine) writeReceipts(data []byte) error {
	above, err := m.state()
	if err != nil {
		return err
	}
	defer above.Close()
	folder, name := path.Split(receiptsPath[len(stateDir)+1:])
	folder = path.Clean(folder)
	switch err := above.Mkdir(folder, 0o755); {
	case err == nil:
		if err := errors.Join(above.Chmod(folder, 0o755), syncFolder(above)); err != nil { // the umask may have taken bits
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	in, err := above.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer in.Close()
	return replaceFile(in, name, data)
}

// replaceFile writes a file under another name, brings it to the disk, and then renames it.
func replaceFile(in *os.Root, name string, data []byte) (err error) {
	if info, err := in.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("there is something that is no file: %w", fs.ErrInvalid)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temporary := ".kkeys-" + rand.Text()
	file, err := in.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close() // a second time, perhaps
			_ = in.Remove(temporary)
		}
	}()
	_, err = file.Write(data) // ENOSPC, EDQUOT: the disk is full; EFBIG: a limit of the process
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := in.Rename(temporary, name); err != nil {
		return err
	}
	return syncFolder(in)
}

// syncFolder brings the names in a folder to the disk.
func syncFolder(folder *os.Root) error {
	f, err := folder.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: this file system cannot (fsync(2)), and needs not
		return err
	}
	return nil
}

// liveState opens, and makes where it is missing, /var/lib of the running system; links on the way there are its owner's.
func liveState() (*os.Root, error) {
	if err := os.MkdirAll("/"+stateDir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenRoot("/" + stateDir)
}

// stateBelow does so below a root, out of which no link leads.
func stateBelow(root *os.Root) (*os.Root, error) {
	if err := root.MkdirAll(stateDir, 0o755); err != nil {
		return nil, err
	}
	return root.OpenRoot(stateDir)
}
