package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// line reads a file of one short line.
func (m *Machine) line(path string) (string, error) {
	data, err := m.read(path, 4096)
	return strings.TrimSpace(string(data)), err
}

// OpenFile opens a file that the user names: anything that has an end, a pipe too, as the shell makes them (`<(command)`, /dev/stdin). No device
// has one, and opening some does something.
func OpenFile(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeDevice != 0 {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errDevice}
	}
	return os.Open(path)
}

var errDevice = errors.New("is a device")

// Regular refuses what is no regular file, links followed: a pipe is waited for until somebody writes, for ever where nobody does. What is wrong with
// a folder is told by whoever reads it.
func Regular(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return &fs.PathError{Op: "open", Path: path, Err: errIrregular}
	}
	return nil
}

var errIrregular = errors.New("is no regular file")

// readFile reads a file that the user names, of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	file, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, path, most)
}

// readBounded reads all of a file that has a name for its errors.
func readBounded(file io.Reader, name string, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("read %s: more than %d bytes", name, most)
	}
	return data, nil
}
