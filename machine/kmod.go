package machine

import (
	"bytes"
	"errors"
	"io"
	"io/fs"

	"kkeys/evidence"
	"kkeys/modsig"
)

// kmodPrograms are where the program is that insmod and modprobe are links to.
var kmodPrograms = []string{"usr/bin/kmod", "bin/kmod", "usr/sbin/kmod", "sbin/kmod"}

// kmodMax bounds the program, in bytes; real ones have 200 KiB.
const kmodMax = 16 << 20

// libraries are what kmod is linked with to unpack a kind of module, or opens when it needs it: its configure options --with-zlib, --with-xz,
// --with-zstd. Their names stand in the program either way.
var libraries = []string{modsig.Gzip: "libz.so", modsig.XZ: "liblzma.so", modsig.Zstd: "libzstd.so"}

// KmodUnpacks tells whether kmod, which unpacks modules where the kernel does not, was built to undo this packing, which is not Plain. That of Debian
// 12 cannot undo gzip.
func (m *Machine) KmodUnpacks(p modsig.Packing) evidence.Reading {
	name := libraries[p]
	for _, program := range kmodPrograms {
		data, err := m.read(m.below(program), kmodMax)
		switch path := "/" + program; {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return evidence.Reading{Evidence: "kmod cannot be read: " + err.Error(), Source: path}
		case bytes.Contains(data, []byte(name)):
			return evidence.Reading{Answer: evidence.Yes, Evidence: "kmod was built with " + name, Source: path}
		default:
			return evidence.Reading{Answer: evidence.No, Evidence: "kmod was built without " + name, Source: path}
		}
	}
	return evidence.Reading{Evidence: "kmod was not found", Source: "/" + kmodPrograms[0]}
}

// reduceKmod keeps which of the libraries the program names.
func reduceKmod(r io.Reader) ([]byte, error) {
	data, err := readAll(r)
	if err != nil {
		return nil, err
	}
	text := ""
	for _, name := range libraries[modsig.Gzip:] {
		if bytes.Contains(data, []byte(name)) {
			text += name + "\n"
		}
	}
	return []byte(text), nil
}
