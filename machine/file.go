package machine

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// line reads a file of one short line.
func (m *Machine) line(path string) (string, error) {
	data, err := m.read(path, 4096)
	return strings.TrimSpace(string(data)), err
}

// readFile reads a file of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
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
