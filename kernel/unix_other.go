//go:build !linux

package kernel

import (
	"fmt"
	"io"
	"runtime"
)

func initModule([]byte) (Errno, error) {
	return "", fmt.Errorf("%w: this is %s", ErrNoProbe, runtime.GOOS)
}

func openLog() (io.ReadCloser, error) { return nil, fmt.Errorf("%s has no /dev/kmsg", runtime.GOOS) }
