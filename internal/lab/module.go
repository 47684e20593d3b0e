package lab

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// Kernel is one of Debian's signed kernels, by version.
type Kernel string

// The kernels that the lab boots. Both are built for clouds; 6.1 has an RSA-4096 build key and plain modules, 6.12 an
// ECDSA P-384 build key and modules compressed with xz.
const (
	Kernel61  Kernel = "6.1"
	Kernel612 Kernel = "6.12"
)

// Release is what uname -r says in the guest.
func (k Kernel) Release(t testing.TB) string {
	t.Helper()
	release, err := found(t).release(k)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// Module returns a module of the kernel's package, decompressed and with its signature. The name is the file's without
// ".ko", such as "dummy".
func Module(t testing.TB, kernel Kernel, name string) []byte {
	t.Helper()
	_, image, err := found(t).module(kernel, name)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// found are the parts, without which a test fails.
func found(t testing.TB) *Parts {
	t.Helper()
	parts, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func (p *Parts) release(k Kernel) (string, error) {
	folders, err := filepath.Glob(p.path("/lib/modules/" + string(k) + ".*-cloud-amd64"))
	if err != nil || len(folders) != 1 {
		return "", fmt.Errorf("the lab has %d kernels %q, not one", len(folders), k)
	}
	return filepath.Base(folders[0]), nil
}

// module finds a module; file is where the guest has it, decompressed.
func (p *Parts) module(k Kernel, name string) (file string, image []byte, err error) {
	release, err := p.release(k)
	if err != nil {
		return "", nil, err
	}
	top := path.Join("/lib/modules", release)
	err = fs.WalkDir(os.DirFS(p.path(top)), ".", func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		plain := strings.TrimSuffix(at, ".xz")
		if path.Base(plain) != name+".ko" {
			return nil
		}
		file = path.Join(top, plain)
		image, err = p.read(path.Join(top, at))
		if err == nil && plain != at {
			image, err = decompress(image)
		}
		if err != nil {
			return err
		}
		return fs.SkipAll
	})
	if err != nil {
		return "", nil, err
	}
	if file == "" {
		return "", nil, fmt.Errorf("kernel %s has no module %s", release, name)
	}
	return file, image, nil
}

func decompress(data []byte) ([]byte, error) {
	r, err := xz.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// load collects modules with all that they depend on, in an order in which they can be loaded. Modules that the kernel has
// built in are left out.
func (p *Parts) load(k Kernel, names []string) (files []string, images map[string][]byte, err error) {
	images = map[string][]byte{}
	var visit func(name string) error
	visit = func(name string) error {
		file, image, err := p.module(k, name)
		if err != nil {
			return err
		}
		if _, seen := images[file]; seen {
			return nil
		}
		images[file] = image
		depends, err := dependencies(image)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, d := range depends {
			if err := visit(d); err != nil {
				return err
			}
		}
		files = append(files, file)
		return nil
	}
	builtin, err := p.builtin(k)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if slices.Contains(builtin, name) {
			continue
		}
		if err := visit(name); err != nil {
			return nil, nil, err
		}
	}
	return files, images, nil
}

// builtin are the names of the modules that are part of the kernel itself.
func (p *Parts) builtin(k Kernel) ([]string, error) {
	release, err := p.release(k)
	if err != nil {
		return nil, err
	}
	list, err := p.read(path.Join("/lib/modules", release, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(list)) {
		names = append(names, strings.TrimSuffix(path.Base(strings.TrimSpace(line)), ".ko"))
	}
	return names, nil
}

// dependencies reads "depends=" of a module's .modinfo section.
func dependencies(image []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if names, ok := strings.CutPrefix(string(field), "depends="); ok && names != "" {
			return strings.Split(names, ","), nil
		}
	}
	return nil, nil
}
