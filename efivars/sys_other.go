//go:build !linux

package efivars

import "os"

// Only Linux has efivarfs; elsewhere a directory holds a recorded machine.

type fileSystemKind int

const (
	fileSystemPlain fileSystemKind = iota
	fileSystemEfivarfs
	fileSystemSysfs
)

func fileSystem(string) (fileSystemKind, error) { return fileSystemPlain, nil }

func space(string) (Space, error) { return Space{}, ErrNotSupported }

func writeOnce(*os.File, []byte) (int, error) { return 0, ErrNotSupported }

func readOnce(f *os.File, b []byte) (int, error) { return f.Read(b) }

func access(string) error { return nil }

func lock(*os.File) error { return ErrNotSupported }

func unlock(*os.File) (lock func() error, err error) { return nil, ErrNotSupported }
