package modsig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrNotRegular: what shall be replaced is no regular file.
var ErrNotRegular = errors.New("no regular file")

// Replace puts content in the place of a file in one step: whoever opens it finds the old or the new one, at no time half of one, and without an
// error the new one is on the disk. Owner, group, mode, times and extended attributes are those of the old file, but for the two that are
// about its content (security.ima, security.evm). Of a symbolic link the file that it leads to is replaced. A failure leaves the old file
// and nothing beside it. Errors are those of the file system, and ErrNotRegular.
func Replace(path string, content []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Lstat(target)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", target, ErrNotRegular)
	}
	file, err := os.CreateTemp(filepath.Dir(target), ".kkeys-*") // 0600 until all is in it
	if err != nil {
		return err
	}
	err = fill(file, content, target, info)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(file.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncFolder(filepath.Dir(target))
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
