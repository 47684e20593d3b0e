package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kkeys/modsig"
)

// moduleSuffixes are those of module files (kmod's libkmod-file.c).
var moduleSuffixes = []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"}

// IsModuleName tells by its name whether a file is meant to be a module.
func IsModuleName(name string) bool {
	return slices.ContainsFunc(moduleSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) && len(name) > len(suffix) })
}

// ModuleFile is a file that is meant to be a module.
type ModuleFile struct {
	Path string // absolute below the root
	kind fs.FileMode
}

// Modules finds all module files of a release, kernel, updates, extra, weak-updates and whatever else is in its folder, in the order of their
// names; links to files are followed, those to folders (build, source) are not. Folders that could not be read are an error beside what was found
// in the others; ErrNotExist of fs when there is no such release.
func (m *Machine) Modules(release string) (files []ModuleFile, err error) {
	if release == "" || release != path.Base(release) || !fs.ValidPath(release) {
		return nil, fmt.Errorf("%.80q is no release: %w", release, fs.ErrInvalid)
	}
	top := ""
	for _, dir := range []string{"lib/modules/" + release, "usr/lib/modules/" + release} {
		if info, serr := fs.Stat(m.Files, m.below(dir)); top == "" && serr == nil && info.IsDir() {
			top = m.below(dir)
		}
	}
	if top == "" {
		return nil, fmt.Errorf("/lib/modules/%s: %w", release, fs.ErrNotExist)
	}
	var unread []error
	_ = fs.WalkDir(m.Files, top, func(p string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went meanwhile
		case err != nil:
			unread = append(unread, err)
		case IsModuleName(entry.Name()) && !entry.IsDir():
			files = append(files, ModuleFile{"/" + p, entry.Type()})
		}
		return nil
	})
	return files, errors.Join(unread...)
}

// ReadModuleFile reads a file that [Machine.Modules] found, into buffer when that is large enough. At most [modsig.MaxModule] bytes.
func (m *Machine) ReadModuleFile(file ModuleFile, buffer []byte) ([]byte, error) {
	open, p := m.Files.Open, strings.TrimPrefix(file.Path, "/")
	switch {
	case file.kind&fs.ModeSymlink != 0:
		open, p = m.open, m.below(p)
	case !file.kind.IsRegular(): // opening a pipe would wait
		return nil, fmt.Errorf("%s is no file: %w", file.Path, fs.ErrInvalid)
	}
	f, err := open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: %w", file.Path, fs.ErrInvalid)
	}
	if size > modsig.MaxModule {
		return nil, fmt.Errorf("%s: %d bytes, more than %d", file.Path, size, modsig.MaxModule)
	}
	if int64(cap(buffer)) < size {
		buffer = make([]byte, size)
	}
	buffer = buffer[:size]
	if _, err := io.ReadFull(f, buffer); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	return buffer, nil
}
