//go:build !unix

package machine

import "io/fs"

func uid(fs.FileInfo) *uint32 { return nil }
