package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"kkeys/certs"
	"kkeys/kernel"
)

// InKernelImage is where [Machine.KernelCertificates] found what it gives.
const InKernelImage = "kernel-image"

// KernelCertificates gives the certificates in the image of the running kernel, in which those of its builtin keys are. It unpacks the
// image for that, which takes from 0.1 seconds (lz4) over 0.3 (zstd, gzip) to 2 (xz): ask for it only when a key has no certificate yet.
//
// The image is a file that may have been replaced since it was started; as everywhere, a join is a match and no proof. Not every
// certificate in it is a trusted one ([certs.SearchImage]).
func (m *Machine) KernelCertificates() (found []Found, unseen []NotSeen) {
	release, err := m.release()
	if err != nil {
		return nil, []NotSeen{{"kernel image", fmt.Errorf("which kernel runs is not known: %w", err)}}
	}
	return m.CertificatesOf(release, nil)
}

// CertificatesOf is KernelCertificates for the kernel of any release, until those found are enough ([certs.SearchImageUntil]); nil: all. A release that is no name of a file
// has none.
func (m *Machine) CertificatesOf(release string, enough func(found []*certs.Certificate, more bool) bool) (found []Found, unseen []NotSeen) {
	if release == "" || release != path.Base(release) || !fs.ValidPath(release) {
		return nil, []NotSeen{{"kernel image", fmt.Errorf("%.80q is no release: %w", release, fs.ErrInvalid)}}
	}
	for _, image := range m.existing(runningImages(release)) {
		all, err := m.imageCertificates(image, enough)
		if err != nil {
			unseen = append(unseen, NotSeen{image, err})
			continue
		}
		for _, c := range all {
			found = append(found, Found{c, InKernelImage})
		}
		return found, nil // what another copy of it could not tell does not matter any more
	}
	if len(unseen) == 0 {
		unseen = []NotSeen{{"kernel image", fmt.Errorf("neither /%s: %w", strings.Join(runningImages(release), " nor /"), fs.ErrNotExist)}}
	}
	return nil, unseen
}

// ImageCertificates gives the certificates in one kernel image; the path is absolute, as on the machine. Errors are those of
// [certs.SearchImage] and of opening a file.
func (m *Machine) ImageCertificates(path string) ([]*certs.Certificate, error) {
	return m.imageCertificates(path, nil)
}

func (m *Machine) imageCertificates(path string, enough func(found []*certs.Certificate, more bool) bool) ([]*certs.Certificate, error) {
	file, err := m.open(strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if enough != nil {
		return certs.SearchImageUntil(file, enough)
	}
	return certs.SearchImage(file)
}

// runningImages are the places where the image of a release may be: the loader's, the package's, and the build tree's.
func runningImages(release string) []string {
	return []string{"boot/vmlinuz-" + release, "lib/modules/" + release + "/vmlinuz", "lib/modules/" + release + "/build/vmlinux"}
}

// release is what uname -r says.
func (m *Machine) release() (string, error) {
	release := kernel.Release(m.Files)
	if release == "" || release != path.Base(release) || !fs.ValidPath(release) {
		return "", fmt.Errorf("/proc/sys/kernel/osrelease: %w", fs.ErrNotExist)
	}
	return release, nil
}

// existing gives those of the paths that there are, each once and absolute.
func (m *Machine) existing(paths []string) (there []string) {
	known := map[string]bool{}
	for _, p := range paths {
		p = m.below(p)
		if _, err := fs.Stat(m.Files, p); err == nil || !errors.Is(err, fs.ErrNotExist) {
			if !known[p] {
				known[p] = true
				there = append(there, "/"+p)
			}
		}
	}
	return there
}

// expand gives the paths that a pattern of [path.Match] stands for; the last part need not be there when it has no asterisk. The error
// is that of a folder which is there and cannot be listed.
func (m *Machine) expand(pattern string) (paths []string, err error) {
	paths = []string{"."}
	for _, part := range strings.Split(pattern, "/") {
		var next []string
		for _, dir := range paths {
			if !strings.Contains(part, "*") {
				next = append(next, m.follow(path.Join(dir, part)))
				continue
			}
			names, e := m.names(dir)
			if e != nil {
				err = e
			}
			for _, name := range names {
				if ok, _ := path.Match(part, name); ok { // the patterns are constants
					next = append(next, m.follow(path.Join(dir, name)))
				}
			}
		}
		paths = next
	}
	return paths, err
}

// names lists a folder; what is none has no names, and is not opened: a pipe would keep its reader waiting.
func (m *Machine) names(dir string) (names []string, err error) {
	info, err := fs.Stat(m.Files, dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(m.Files, dir)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// below takes a path part by part and follows absolute links, which the machine means from its own root.
func (m *Machine) below(p string) string {
	at := "."
	for _, part := range strings.Split(p, "/") {
		at = m.follow(path.Join(at, part))
	}
	return at
}

// follow gives what an absolute link leads to, below the root; any other path is given back.
func (m *Machine) follow(p string) string {
	for range 8 { // links to links; a longer chain is a circle
		target, err := fs.ReadLink(m.Files, p)
		if err != nil || !path.IsAbs(target) {
			return p
		}
		p = path.Join(".", path.Clean(target)[1:])
	}
	return p
}

// open opens a regular file; anything else could keep its reader waiting.
func (m *Machine) open(p string) (fs.File, error) {
	info, err := fs.Stat(m.Files, p)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("/%s is no file: %w", p, fs.ErrInvalid)
	}
	return m.Files.Open(p)
}

// read reads a file of a bounded size.
func (m *Machine) read(p string, most int64) ([]byte, error) {
	file, err := m.open(p)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, "/"+p, most)
}
