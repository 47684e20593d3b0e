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

func wholeLog() (io.ReadCloser, error) { return openLog() }

func klogctl() (string, error) { return "", fmt.Errorf("%s has no klogctl", runtime.GOOS) }
