package machine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"

	"kkeys/certs"
	"kkeys/modsig"
)

// Module is what a kernel module file says of its signature.
type Module struct {
	Packing       modsig.Packing
	Check         string // of an xz stream, see [modsig.Unpacked]
	SignedOutside bool   // signed after it was compressed: nothing ever looks there
	Trailing      int    // bytes after the compressed stream: another one perhaps
	// Carries: the signature has several signers, or brings certificates along.
	Carries bool
	SHA256  [sha256.Size]byte // of the unpacked module, signature included; zero when it could not be unpacked
	// Signer is the first signer that the signature names, nil when there is none.
	Signer *modsig.Signer
	// Result is how the signature stands towards the certificates that were tried; Where is where the one that decided was found.
	Result modsig.Result
	Where  string
	// Err says why there is no result: one of modsig's outcomes of reading.
	Err error
}

// IsModule tells a module file, compressed or not, from a certificate: by how it begins.
func IsModule(data []byte) bool {
	for _, magic := range []string{"\x7fELF", "\x1f\x8b", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return false
}

// ReadModule reads a module file and verifies its signature with the certificates given. What is wrong with the module is in the result.
func ReadModule(data []byte, candidates []Found) Module {
	unpacked, err := modsig.Unpack(data, modsig.MaxModule)
	if err != nil {
		return Module{Err: err}
	}
	m := Module{Packing: unpacked.Packing, Check: unpacked.Check, SignedOutside: unpacked.SignedOutside(), Trailing: len(unpacked.Trailing), SHA256: sha256.Sum256(unpacked.Module)}
	payload, text, err := modsig.Split(unpacked.Module)
	if err != nil {
		m.Err = err
		return m
	}
	message, err := modsig.Decode(text)
	if err != nil {
		m.Err = err
		return m
	}
	// Of several certificates with one key, such as renewed ones, one that the kernel makes a key of.
	candidates = slices.Clone(candidates)
	slices.SortStableFunc(candidates, func(a, b Found) int { return a.loaded() - b.loaded() })
	known := make([]*certs.Certificate, len(candidates))
	for i, found := range candidates {
		known[i] = found.Certificate
	}
	m.Result = message.Verify(payload, known)
	m.Signer = &message.Signers[m.Result.Signer]
	m.Carries = len(message.Signers) > 1 || len(message.Certificates) > 0
	for _, found := range candidates {
		if found.Certificate == m.Result.Key {
			m.Where = found.Where
		}
	}
	return m
}

// loaded is 0 for a certificate out of which the kernel makes a key, as far as is known, and 1 for another.
func (f Found) loaded() int {
	if slices.Contains([]string{"mok", InShim, "db", InKernelImage}, f.Where) {
		return 0
	}
	return 1
}

// Unpacks names the compression that the kernel undoes itself when it loads a module (CONFIG_MODULE_DECOMPRESS, Linux 5.17): "xz", "gzip",
// "zstd"; empty when it leaves that to kmod.
func (m *Machine) Unpacks() string {
	method, err := m.line("sys/module/compression")
	if err != nil {
		return ""
	}
	return method
}

// AllCertificates are those of [Machine.Certificates] and [Machine.KernelCertificates].
func (m *Machine) AllCertificates() (found []Found, unseen []NotSeen) {
	found, unseen = m.Certificates()
	image, missed := m.KernelCertificates()
	for _, n := range missed {
		// No image is no gap: a container has none, and some boot loaders keep it elsewhere.
		if !errors.Is(n.Err, fs.ErrNotExist) {
			unseen = append(unseen, n)
		}
	}
	return append(found, image...), unseen
}
