package machine

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

// closed is a file system with a folder that cannot be read.
type closed struct {
	fstest.MapFS
	folder string
}

func (c closed) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == c.folder {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrPermission}
	}
	return c.MapFS.ReadDir(name)
}

// What stands beside and behind a folder that cannot be read is found all the same, and the folder is told of.
func TestModulesUnread(t *testing.T) {
	m := &Machine{Files: closed{fstest.MapFS{
		"lib/modules/6.1/a.ko": {}, "lib/modules/6.1/updates/b.ko": {}, "lib/modules/6.1/zzz/c.ko": {}, "lib/modules/6.1/zzz/c.txt": {},
		"lib/modules/6.1/pipe.ko": {Mode: fs.ModeNamedPipe},
	}, "lib/modules/6.1/updates"}}
	files, err := m.Modules("6.1")
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the error is %v", err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	if len(files) != 3 || paths[0] != "/lib/modules/6.1/a.ko" || paths[1] != "/lib/modules/6.1/pipe.ko" || paths[2] != "/lib/modules/6.1/zzz/c.ko" {
		t.Fatalf("found %q", paths)
	}
	if _, err := m.ReadModuleFile(files[1], nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a pipe: %v", err)
	}
}
