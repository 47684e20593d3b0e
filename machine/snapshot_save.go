package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists: a file of that name is there.
var ErrExists = errors.New("the file exists")

// Save writes the snapshot to a file that only its owner may read. It appears whole or not at all: it is written under another name in
// the same folder, brought to the disk and then renamed. ErrExists when the file is there and replace is false; what is no regular file
// is never replaced. On failure nothing stays behind, and a file that was there stays as it was.
func (r *Recording) Save(path string, replace bool) error {
	return save(path, replace, func(w io.Writer) error { return encodeSnapshot(w, r.manifest, r.sorted()) }, 0o600)
}

// ReplaceFile writes a file that appears whole or not at all, in the way of [Recording.Save], and replaces one that is there, unless it is no regular file (ErrExists). It has the permissions
// mode, whatever the umask.
func ReplaceFile(path string, data []byte, mode fs.FileMode) error {
	return save(path, true, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, mode)
}

func save(path string, replace bool, write func(io.Writer) error, mode fs.FileMode) (err error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: %w and is no regular file", path, ErrExists)
	case !replace:
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".kkeys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		_ = file.Close() // a second time, if all went well
		if rerr := os.Remove(file.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	buffered := bufio.NewWriterSize(file, 1<<16)
	if err := write(buffered); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(buffered.Flush(), file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := publish(file.Name(), path, replace); err != nil {
		return err
	}
	// The name too shall outlast a power failure. Not every file system can do that, and then the file is there all the same.
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
	return nil
}

// publish gives the finished file its name. A hard link does so only if the name is free, whatever happened meanwhile; a rename would
// replace what is there, so it is used where that was asked for, and on file systems without hard links, after the look in save.
func publish(temporary, path string, replace bool) error {
	if !replace {
		err := os.Link(temporary, path)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("%s: %w", path, ErrExists)
		}
	}
	return os.Rename(temporary, path)
}
