//go:build unix

package machine

import (
	"io/fs"
	"syscall"
)

// uid is that of a file's owner, nil where the file is none of this system's.
func uid(info fs.FileInfo) *uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return &stat.Uid
	}
	return nil
}
