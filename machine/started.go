package machine

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"kkeys/mok"
)

// errNotHeld: a recording keeps of the kernel's image only the certificates in it.
var errNotHeld = errors.New("a recording does not hold the kernel's program")

// Started finds what shim starts on this machine: the programs beside the shim of the next boot, and the running kernel. unseen are those that
// could not be read.
func (m *Machine) Started(chain mok.BootChain) (programs []mok.Program, unseen []NotSeen) {
	var paths []string
	if chain.Loader != "" {
		dir := path.Dir(strings.TrimPrefix(chain.Loader, "/"))
		names, err := m.names(dir)
		if err != nil {
			unseen = append(unseen, NotSeen{"/" + dir, err})
		}
		for _, name := range names {
			if p := path.Join(dir, name); strings.EqualFold(path.Ext(name), ".efi") && "/"+p != chain.Loader {
				paths = append(paths, p)
			}
		}
	}
	if release, err := m.release(); err == nil {
		for _, p := range m.existing(runningImages(release)[:2]) { // no firmware starts a vmlinux
			paths = append(paths, strings.TrimPrefix(p, "/"))
		}
	}
	for _, p := range paths {
		one, err := m.signedProgram(p)
		if err != nil {
			unseen = append(unseen, NotSeen{"/" + p, err})
			continue
		}
		programs = append(programs, one)
	}
	return programs, unseen
}

func (m *Machine) signedProgram(p string) (mok.Program, error) {
	one := mok.Program{Path: "/" + p}
	file, err := m.open(p)
	if err != nil {
		return one, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, loaderMax+1))
	if err != nil {
		return one, err
	}
	if len(data) > loaderMax {
		return one, fmt.Errorf("%w: it has more than %d MiB", errNotJudged, loaderMax>>20)
	}
	program, err := pe.NewFile(bytes.NewReader(data))
	switch {
	case err != nil && m.state == nil:
		return one, errNotHeld
	case err != nil:
		return one, err
	}
	defer program.Close()
	l, err := measure(program, data)
	if err != nil {
		return one, err
	}
	signatures, err := signedDigests(data[l.table:], l.table)
	for _, s := range signatures {
		one.Signers = append(one.Signers, s.certificates...)
	}
	one.Digest = l.digest()
	return one, err
}
