package certs

import (
	"crypto"
	_ "crypto/sha1" // registers its hash, as the others do
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// kernels says which kernels know an algorithm in a certificate. Text of the form "before Linux 6.7" is where they do
// not; every and none stand for themselves.
type kernels string

const (
	every kernels = ""
	none  kernels = "no"
)

// signatureAlgorithm is what an OID in signatureAlgorithm means.
type signatureAlgorithm struct {
	key  string // key algorithm, as in keyAlgorithms
	hash string // the kernel's name for the hash, "" when the scheme has none of its own
	gaps kernels
}

// signatureAlgorithms follows x509_note_sig_algo in crypto/asymmetric_keys/x509_cert_parser.c of 6.1, 6.12 and, for
// ML-DSA, commit 0ad9a71933e7 (7.0).
var signatureAlgorithms = map[string]signatureAlgorithm{
	"1.2.840.113549.1.1.2":    {"rsa", "md2", none},
	"1.2.840.113549.1.1.3":    {"rsa", "md4", none},
	"1.2.840.113549.1.1.4":    {"rsa", "md5", "from some version after 6.1 and before 6.12 on"}, // older ones take it for MD4
	"1.2.840.113549.1.1.5":    {"rsa", "sha1", "of Linux 6.7 and 6.8"},
	"1.3.14.3.2.29":           {"rsa", "sha1", none}, // of OIW, which old tools of Microsoft's write
	"1.2.840.113549.1.1.14":   {"rsa", "sha224", every},
	"1.2.840.113549.1.1.11":   {"rsa", "sha256", every},
	"1.2.840.113549.1.1.12":   {"rsa", "sha384", every},
	"1.2.840.113549.1.1.13":   {"rsa", "sha512", every},
	"1.2.840.113549.1.1.10":   {"rsassa-pss", "", none},
	"2.16.840.1.101.3.4.3.13": {"rsa", "sha3-224", none},
	"2.16.840.1.101.3.4.3.14": {"rsa", "sha3-256", "before Linux 6.7"},
	"2.16.840.1.101.3.4.3.15": {"rsa", "sha3-384", "before Linux 6.7"},
	"2.16.840.1.101.3.4.3.16": {"rsa", "sha3-512", "before Linux 6.7"},
	"1.2.840.10045.4.1":       {"ecdsa", "sha1", "before Linux 5.13, of Linux 6.7 and 6.8"},
	"1.2.840.10045.4.3.1":     {"ecdsa", "sha224", "before Linux 5.13"},
	"1.2.840.10045.4.3.2":     {"ecdsa", "sha256", "before Linux 5.13"},
	"1.2.840.10045.4.3.3":     {"ecdsa", "sha384", "before Linux 5.13"},
	"1.2.840.10045.4.3.4":     {"ecdsa", "sha512", "before Linux 5.13"},
	"2.16.840.1.101.3.4.3.9":  {"ecdsa", "sha3-224", none},
	"2.16.840.1.101.3.4.3.10": {"ecdsa", "sha3-256", "before Linux 6.7"},
	"2.16.840.1.101.3.4.3.11": {"ecdsa", "sha3-384", "before Linux 6.7"},
	"2.16.840.1.101.3.4.3.12": {"ecdsa", "sha3-512", "before Linux 6.7"},
	"1.3.101.112":             {"ed25519", "", none},
	"1.3.101.113":             {"ed448", "", none},
	"1.2.840.10040.4.3":       {"dsa", "sha1", none},
	"2.16.840.1.101.3.4.3.2":  {"dsa", "sha256", none},
	"1.2.643.7.1.1.3.2":       {"ecrdsa", "streebog256", "before Linux 5.2"},
	"1.2.643.7.1.1.3.3":       {"ecrdsa", "streebog512", "before Linux 5.2"},
	"1.2.156.10197.1.501":     {"sm2", "sm3", "before Linux 5.10 and from some version before 6.12 on"},
	"2.16.840.1.101.3.4.3.17": {"mldsa44", "", "before Linux 7.0"},
	"2.16.840.1.101.3.4.3.18": {"mldsa65", "", "before Linux 7.0"},
	"2.16.840.1.101.3.4.3.19": {"mldsa87", "", "before Linux 7.0"},
}

// hashOIDs are the hashes that RSASSA-PSS can name, by the kernel's names.
var hashOIDs = map[string]string{
	"1.2.840.113549.2.2": "md2", "1.2.840.113549.2.4": "md4", "1.2.840.113549.2.5": "md5", "1.3.14.3.2.26": "sha1",
	"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512", "2.16.840.1.101.3.4.2.4": "sha224",
	"2.16.840.1.101.3.4.2.7": "sha3-224", "2.16.840.1.101.3.4.2.8": "sha3-256", "2.16.840.1.101.3.4.2.9": "sha3-384", "2.16.840.1.101.3.4.2.10": "sha3-512",
}

// pssHash gives the hash out of the parameters of RSASSA-PSS, SHA-1 where they name none (RFC 4055 3.1); empty when it is not known.
func pssHash(params []byte) string {
	element := cryptobyte.String(params)
	var seq, hash, id cryptobyte.String
	var named bool
	if !element.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadOptionalASN1(&hash, &named, asn1.Tag(0).ContextSpecific().Constructed()) {
		return ""
	}
	if !named {
		return "sha1"
	}
	if !hash.ReadASN1(&hash, asn1.SEQUENCE) || !hash.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) {
		return ""
	}
	return hashOIDs[dotted(id)]
}

// hashes computes what the kernel's hash names stand for, as far as Go's library has them.
var hashes = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256,
	"sha384": crypto.SHA384, "sha512": crypto.SHA512,
	"sha3-224": crypto.SHA3_224, "sha3-256": crypto.SHA3_256, "sha3-384": crypto.SHA3_384, "sha3-512": crypto.SHA3_512,
}

// Hash finds the hash that the kernel calls by this name, such as "sha256" or "sha3-512"; false when Go's library has none.
func Hash(name string) (crypto.Hash, bool) {
	h, ok := hashes[name]
	return h, ok
}

// keyAlgorithm is what an OID in subjectPublicKeyInfo means (x509_extract_key_data).
type keyAlgorithm struct {
	name string
	bits int // 0 when they depend on the parameters or the key
	gaps kernels
}

var keyAlgorithms = map[string]keyAlgorithm{
	"1.2.840.113549.1.1.1":    {"rsa", 0, every},
	"1.2.840.113549.1.1.10":   {"rsassa-pss", 0, none},
	"1.2.840.10045.2.1":       {"ecdsa", 0, every},
	"1.3.101.112":             {"ed25519", 256, none},
	"1.3.101.113":             {"ed448", 456, none},
	"1.2.840.10040.4.1":       {"dsa", 0, none},
	"1.2.643.7.1.1.1.1":       {"ecrdsa", 256, "before Linux 5.2"},
	"1.2.643.7.1.1.1.2":       {"ecrdsa", 512, "before Linux 5.2"},
	"2.16.840.1.101.3.4.3.17": {"mldsa44", 0, "before Linux 7.0"},
	"2.16.840.1.101.3.4.3.18": {"mldsa65", 0, "before Linux 7.0"},
	"2.16.840.1.101.3.4.3.19": {"mldsa87", 0, "before Linux 7.0"},
}

// curve is a named curve of an EC key.
type curve struct {
	name string
	bits int
	gaps kernels
}

var curves = map[string]curve{
	"1.2.840.10045.3.1.1": {"P-192", 192, "before Linux 5.13"},
	"1.3.132.0.33":        {"P-224", 224, none},
	"1.2.840.10045.3.1.7": {"P-256", 256, "before Linux 5.13"},
	"1.3.132.0.34":        {"P-384", 384, "before Linux 5.13"},
	"1.3.132.0.35":        {"P-521", 521, "before Linux 6.10"},
	"1.3.132.0.10":        {"secp256k1", 256, none},
	"1.2.156.10197.1.301": {"SM2", 256, "before Linux 5.10 and from some version before 6.12 on"},
}

// dotted writes the content of an OID in numbers. What is no well-formed OID becomes "#" and hex, so that it equals no OID.
func dotted(content []byte) string {
	malformed := "#" + hex.EncodeToString(content)
	var parts []string
	for rest := content; len(rest) > 0; {
		end := 0
		for end < len(rest) && rest[end]&0x80 != 0 {
			end++
		}
		if end == len(rest) || rest[0] == 0x80 || end > 30 { // 30: 210 bits, a UUID needs 128
			return malformed
		}
		number := new(big.Int)
		for _, b := range rest[:end+1] {
			number.Lsh(number, 7).Or(number, big.NewInt(int64(b&0x7f)))
		}
		rest = rest[end+1:]
		if parts == nil {
			first := min(number.Uint64()/40, 2)
			if !number.IsUint64() {
				first = 2
			}
			parts = append(parts, strconv.FormatUint(first, 10))
			number.Sub(number, new(big.Int).SetUint64(first*40))
		}
		parts = append(parts, number.String())
	}
	if parts == nil {
		return malformed
	}
	return strings.Join(parts, ".")
}

// namedCurve gives the curve's OID out of an EC key's parameters.
func (k publicKey) namedCurve() (oid string, ok bool) {
	params := cryptobyte.String(k.params)
	var id cryptobyte.String
	if !params.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) {
		return "", false
	}
	return dotted(id), true
}

// rsa gives modulus and exponent. As in the kernel (crypto/rsa_helper.c) both are unsigned, whatever their first bit, and
// bytes after the SEQUENCE do not matter.
func (k publicKey) rsa() (n, e []byte, ok bool) {
	bits, ok := k.bits.bytes()
	if !ok {
		return nil, nil, false
	}
	outer := cryptobyte.String(bits)
	var seq, modulus, exponent cryptobyte.String
	if !outer.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1(&modulus, asn1.INTEGER) ||
		!seq.ReadASN1(&exponent, asn1.INTEGER) || !seq.Empty() {
		return nil, nil, false
	}
	return modulus, exponent, true
}
