package modsig

import (
	"encoding/asn1"
	"slices"
	"strconv"

	"kkeys/certs"
)

// Object identifiers of the message itself.
var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
)

// hash is a digest algorithm under the kernel's name. ECDSA is the OID of ECDSA signatures over it.
type hash struct {
	name       string
	oid, ecdsa asn1.ObjectIdentifier
}

// hashes follows pkcs7_sig_note_digest_algo and pkcs7_sig_note_pkey_algo in crypto/asymmetric_keys/pkcs7_parser.c of 6.1 and
// 6.12. SHA-3 is in them since 6.7, SHA-1 was out in 6.7 and 6.8, MD4 and MD5 are out since some version after 6.1;
// which of the others a running kernel has is for /proc/crypto to say.
var hashes = []hash{
	{"sha1", asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}},
	{"sha224", nistHash(4), asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 1}},
	{"sha256", nistHash(1), asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	{"sha384", nistHash(2), asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
	{"sha512", nistHash(3), asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
	{"sha3-256", nistHash(8), nistSignature(10)},
	{"sha3-384", nistHash(9), nistSignature(11)},
	{"sha3-512", nistHash(10), nistSignature(12)},
	{"streebog256", asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 2}, nil},
	{"streebog512", asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 3}, nil},
}

// otherKeys are the signature algorithms besides ECDSA. GOST since 5.2, ML-DSA since 7.0; neither can be checked here.
var otherKeys = []struct {
	name string
	oid  asn1.ObjectIdentifier
}{
	{"rsa", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}},
	{"ecrdsa", asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 1}},
	{"ecrdsa", asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 2}},
	{"mldsa44", nistSignature(17)},
	{"mldsa65", nistSignature(18)},
	{"mldsa87", nistSignature(19)},
}

func nistHash(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, n}
}

func nistSignature(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, n}
}

// known are OIDs that people meet here and the kernel refuses, with the names that they know them by.
var known = map[string]string{
	"1.2.840.113549.1.1.5":   "sha1WithRSAEncryption",
	"1.2.840.113549.1.1.10":  "RSASSA-PSS",
	"1.2.840.113549.1.1.11":  "sha256WithRSAEncryption",
	"1.2.840.113549.1.1.12":  "sha384WithRSAEncryption",
	"1.2.840.113549.1.1.13":  "sha512WithRSAEncryption",
	"1.2.840.113549.1.1.14":  "sha224WithRSAEncryption",
	"1.2.840.113549.2.5":     "MD5",
	"1.3.101.112":            "Ed25519",
	"1.3.101.113":            "Ed448",
	"2.16.840.1.101.3.4.2.7": "SHA3-224",
}

// unsupported is the refusal of an OID, with its name where there is one.
func unsupported(offset int, what string, oid asn1.ObjectIdentifier) error {
	why := oid.String()
	if name := known[why]; name != "" {
		why += " (" + name + ")"
	}
	return &SyntaxError{Offset: offset, What: what, Why: why, outcome: ErrUnsupported}
}

// Hashes are those that Sign can sign with, by the kernel's names.
func Hashes() (names []string) {
	for _, h := range hashes {
		if _, ok := certs.Hash(h.name); ok {
			names = append(names, h.name)
		}
	}
	return names
}

// hashByName finds a hash, nil if there is none.
func hashByName(name string) *hash {
	i := slices.IndexFunc(hashes, func(h hash) bool { return h.name == name })
	if i < 0 {
		return nil
	}
	return &hashes[i]
}

// hashByOID finds a hash, "" if there is none.
func hashByOID(oid asn1.ObjectIdentifier) string {
	for _, h := range hashes {
		if h.oid.Equal(oid) {
			return h.name
		}
	}
	return ""
}

// keyByOID gives the key algorithm of a signature algorithm, "" if the kernel has none. For ECDSA the hash in the OID does
// not matter to the kernel, it uses the digest algorithm.
func keyByOID(oid asn1.ObjectIdentifier) string {
	for _, h := range hashes {
		if h.ecdsa != nil && h.ecdsa.Equal(oid) {
			return "ecdsa"
		}
	}
	for _, k := range otherKeys {
		if k.oid.Equal(oid) {
			return k.name
		}
	}
	return ""
}

// signatureOID is the OID for writing a signature.
func signatureOID(algorithm string, h *hash) (oid asn1.ObjectIdentifier, err error) {
	switch {
	case algorithm == "ecdsa" && h.ecdsa != nil:
		return h.ecdsa, nil
	case algorithm == "rsa":
		return otherKeys[0].oid, nil
	}
	return nil, invalid("key algorithm " + strconv.Quote(algorithm) + " with hash " + h.name)
}
