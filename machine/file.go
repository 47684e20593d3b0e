package machine

import (
	"fmt"
	"io"
	"os"
)

// readFile reads a file of at most fileMax bytes.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, fileMax+1))
	if err != nil {
		return nil, err
	}
	if len(data) > fileMax {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, fileMax)
	}
	return data, nil
}
