package modsig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Outcomes of a File.
var (
	// ErrNotRegular: it is no regular file.
	ErrNotRegular = errors.New("no regular file")
	// ErrChanged: somebody changed the file meanwhile.
	ErrChanged = errors.New("the file was changed meanwhile; it was left alone")
)

// File is a regular file that is to get other content.
type File struct {
	path string // where symbolic links lead to
	info os.FileInfo
}

// Find looks for a file and follows symbolic links. Errors are those of the file system, and ErrNotRegular.
func Find(path string) (*File, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(target)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	return &File{target, info}, nil
}

// Read gives the content, at most MaxModule bytes. Errors are those of the file system, ErrChanged, and ErrTooLarge.
func (f *File) Read() ([]byte, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := f.unchanged(file.Stat()); err != nil {
		return nil, err
	}
	if f.info.Size() > MaxModule {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, f.info.Size(), MaxModule)
	}
	content := make([]byte, f.info.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		return nil, err
	}
	return content, f.unchanged(file.Stat())
}

// unchanged takes what os.Stat says of the file now.
func (f *File) unchanged(now os.FileInfo, err error) error {
	if err == nil && !(os.SameFile(f.info, now) && f.info.Size() == now.Size() && f.info.ModTime().Equal(now.ModTime()) && sameChange(f.info, now)) {
		err = ErrChanged
	}
	return err
}

// Replace puts content in the file's place in one step: whoever opens it finds the old or the new one, at no time half of one, and without an
// error the new one is on the disk. Owner, group, mode, times and extended attributes are those of the old file, but for the two that are
// about its content (security.ima, security.evm). A failure leaves the old file and nothing beside it; only the death of the process may
// leave a temporary file there. Errors are those of the file system, and ErrChanged.
func (f *File) Replace(content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(f.path), ".kkeys-*") // 0600 until all is in it
	if err != nil {
		return err
	}
	err = fill(file, content, f.path, f.info)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.unchanged(os.Lstat(f.path))
	}
	if err == nil {
		err = os.Rename(file.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncFolder(filepath.Dir(f.path))
}

// fill writes the new file and gives it what the old one has.
func fill(file *os.File, content []byte, target string, info os.FileInfo) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := keepAttributes(file, target, info); err != nil {
		return err
	}
	return file.Sync()
}
