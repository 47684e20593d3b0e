package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"kkeys/machine"
)

// fileToBe is a file that is to be written and must not be there yet.
type fileToBe struct {
	path string
	data []byte
	mode fs.FileMode
}

// newFile writes a file that was not there; a failure leaves none.
func newFile(path string, data []byte) error { return newFiles(fileToBe{path, data, 0o644}) }

// newFiles writes all of them or none. Each has its mode from the first moment on, less what the umask takes, and nothing that is there is replaced:
// no link is followed either. What this run has made is removed when something fails.
func newFiles(files ...fileToBe) (err error) {
	var made []string
	defer func() {
		if err == nil {
			return
		}
		for _, path := range slices.Backward(made) {
			if rerr := os.Remove(path); rerr != nil {
				err = several([]error{err, failed("%w", rerr)})
			}
		}
	}()
	for _, f := range files {
		file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if errors.Is(err, fs.ErrExist) {
			return isThere(f.path)
		} else if err != nil {
			return failed("%w", err)
		}
		made = append(made, f.path)
		_, err = file.Write(f.data)
		if err == nil {
			err = file.Sync() // some file systems tell only now that they are full
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return failed("%w", err)
		}
	}
	return nil
}

func isThere(path string) error {
	return fmt.Errorf("%s: %w; nothing was written", path, machine.ErrExists)
}
