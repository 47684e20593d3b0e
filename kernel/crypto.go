package kernel

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"kkeys/evidence"
)

// Hashes are those that a module signature or a certificate can name, by their names in the kernel's registry. sha3 since Linux 6.7.
var Hashes = []string{"sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"}

// KeyAlgorithms are those of keys, by their names in the kernel's registry. ECDSA since Linux 5.13, P-521 since 6.10.
var KeyAlgorithms = []string{"rsa", "ecdsa-nist-p192", "ecdsa-nist-p256", "ecdsa-nist-p384", "ecdsa-nist-p521"}

// Algorithms are the hashes and key algorithms of [Hashes] and [KeyAlgorithms] that are registered at this moment and passed their
// test. False: it is registered, and whether this release reads it in signatures is not sure. Nil: /proc/crypto was not read.
type Algorithms map[string]bool

const cryptoFile, releaseFile = "proc/crypto", "proc/sys/kernel/osrelease"

// Registered tells whether the kernel can use the algorithm now. It answers Yes or Unknown, never No: what is not registered may be in a
// module that the kernel loads when asked for it (crypto/api.c, crypto_larval_lookup, needs modprobe in reach), or that somebody loads
// later. Until then a signature with it counts as one with unsupported crypto.
func (a Algorithms) Registered(name string) evidence.Reading {
	usable, registered := a[name]
	switch {
	case a == nil:
		return evidence.Reading{Answer: evidence.Unknown, Evidence: "/proc/crypto was not read", Source: "/" + cryptoFile}
	case usable:
		return evidence.Reading{Answer: evidence.Yes, Evidence: name + " is registered", Source: "/" + cryptoFile}
	case registered:
		return evidence.Reading{Answer: evidence.Unknown, Evidence: name + " is registered, and kernels of this release may not read it in signatures: " + unread, Source: "/" + releaseFile}
	case !slices.Contains(Hashes, name) && !slices.Contains(KeyAlgorithms, name):
		return evidence.Reading{Answer: evidence.Unknown, Evidence: name + " was not looked for", Source: "/" + cryptoFile}
	}
	return evidence.Reading{Answer: evidence.Unknown, Evidence: name + " is not loaded", Source: "/" + cryptoFile}
}

// ReadAlgorithms reads /proc/crypto below a root folder, and the release; every user may.
func ReadAlgorithms(root fs.FS) (Algorithms, error) {
	file, err := openRegular(root, cryptoFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found, err := ParseAlgorithms(file)
	release := Release(root)
	for name := range found {
		found[name] = ReadInSignatures(release, name)
	}
	return found, err
}

const unread = "they know SHA-3 there since 6.7, and did without SHA-1 in 6.7 and 6.8"

// ReadInSignatures tells whether kernels of a release know a hash in signatures: a hash that is registered is of no use where the parsers of PKCS#7 and X.509 do not know its OID
// (crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_sig_note_digest_algo; x509_cert_parser.c, x509_note_sig_algo). They know SHA-3 since Linux 6.7
// (fdb4f66c9545), and did not know SHA-1 from then (16ab7cb5825f) until 6.9 and some stable releases of 6.7 and 6.8 (203a6763ab69).
// Distributions bring such changes to older kernels, so that false is not sure; nor is it where the release cannot be read.
func ReadInSignatures(release, hash string) bool {
	sha3 := strings.HasPrefix(hash, "sha3-")
	if !sha3 && hash != "sha1" {
		return true
	}
	if _, _, ok := version(release); !ok {
		return false
	}
	if sha3 {
		return !Before(release, 6, 7)
	}
	return Before(release, 6, 7) || !Before(release, 6, 9)
}

// cryptoMax bounds the list; the real ones have some 50 KiB.
const cryptoMax = 4 << 20

// ParseAlgorithms reads the text of /proc/crypto (crypto/proc.c, c_show): blocks of `name : value` lines, each block ended by an empty
// line. The signature check uses synchronous hashes (type shash); a key algorithm is of type akcipher, or sig since Linux 6.13.
func ParseAlgorithms(r io.Reader) (Algorithms, error) {
	limited := &io.LimitedReader{R: r, N: cryptoMax + 1}
	lines := bufio.NewScanner(limited)
	found, block, blocks := Algorithms{}, map[string]string{}, 0
	end := func() {
		if len(block) == 0 {
			return
		}
		blocks++
		if name := block["name"]; usable(block) {
			found[name] = true
		}
		clear(block)
	}
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if line == "" {
			end()
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("/proc/crypto: line %d is no name and value", number)
		}
		if _, twice := block[name]; twice {
			return nil, fmt.Errorf("/proc/crypto: line %d: a second %q in one entry", number, name)
		}
		if len(block) == 0 && name != "name" {
			return nil, fmt.Errorf("/proc/crypto: line %d: an entry that begins with %q", number, name)
		}
		block[name] = strings.TrimSpace(value)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("/proc/crypto: %w", err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("/proc/crypto: more than %d bytes", cryptoMax)
	}
	end()
	// A kernel that checks signatures has entries; an empty file is one that could not be seen.
	if blocks == 0 {
		return nil, fmt.Errorf("/proc/crypto: no entry in it")
	}
	return found, nil
}

// usable: an entry that the signature check can take. One for the inside of another driver is not, nor one whose test runs or failed.
func usable(entry map[string]string) bool {
	if entry["selftest"] != "passed" || entry["internal"] == "yes" {
		return false
	}
	switch entry["type"] {
	case "shash":
		return slices.Contains(Hashes, entry["name"])
	case "akcipher", "sig":
		return slices.Contains(KeyAlgorithms, entry["name"])
	}
	return false
}
