package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrUnverifiable means that the signature could be neither confirmed nor refuted: this program does not know the
// algorithm, the key is of a size that nobody uses, or the AKI is unreadable. It is no verdict.
var ErrUnverifiable = errors.New("the signature cannot be checked")

// likeness says how far a certificate claims to be signed by itself.
type likeness int

const (
	notSelf       likeness = iota // it names another issuer
	contradictory                 // one half of the AKI points to itself, the other elsewhere
	selfIssued                    // it names itself
)

// claim applies the kernel's test before the signature (x509_check_for_self_signed in
// crypto/asymmetric_keys/x509_public_key.c).
func (c *Certificate) claim() likeness {
	if !bytes.Equal(c.Subject, c.Issuer) {
		return notSelf
	}
	keyID, id0 := c.Authority.KeyID, c.Authority.ID0()
	if keyID == nil && id0 == nil {
		return selfIssued
	}
	byKeyID := keyID != nil && c.SubjectKeyID != nil && bytes.Equal(keyID, c.SubjectKeyID)
	byID0 := id0 != nil && bytes.Equal(id0, c.ID0())
	switch {
	case !byKeyID && !byID0:
		return notSelf
	case byKeyID != byID0 && keyID != nil && id0 != nil:
		return contradictory
	}
	return selfIssued
}

// SelfSigned tells whether the certificate is signed with its own key: subject and issuer are equal, the AKI, if any,
// names this certificate, and the signature verifies. Only for such a certificate is the kernel's consent to link it
// into a restricted keyring a proof that this very key is in there. SHA-1 is verified too, which crypto/x509 refuses,
// because the question is who signed and not whether the hash is good.
//
// The third answer is ErrUnverifiable: the names say so, and the rest cannot be checked here.
func (c *Certificate) SelfSigned() (bool, error) {
	if c.claim() != selfIssued {
		return false, nil
	}
	if c.authorityIs == bad {
		return false, fmt.Errorf("%w: its authority key identifier is not DER, so whom it names is not known", ErrUnverifiable)
	}
	return c.verify(c.key)
}

// verify checks this certificate's signature with a key.
func (c *Certificate) verify(key publicKey) (bool, error) {
	if !bytes.Equal(c.outerOID, c.signatureOID) {
		return false, nil // the two must agree, RFC 5280 4.1.1.2; EINVAL in the kernel
	}
	oid := dotted(c.signatureOID)
	algorithm, known := signatureAlgorithms[oid]
	if !known {
		return false, fmt.Errorf("%w: unknown algorithm %s", ErrUnverifiable, oid)
	}
	keyOID := dotted(key.oid)
	if keyAlgorithms[keyOID].name != algorithm.key && !(algorithm.key == "rsassa-pss" && keyAlgorithms[keyOID].name == "rsa") {
		return false, nil // a key of another kind cannot have made it
	}
	signature, whole := c.signature.bytes()
	public, wholeKey := key.bits.bytes()
	if !whole || !wholeKey {
		return false, nil
	}
	hash, hashed := hashes[algorithm.hash]
	var digest []byte
	if hashed {
		h := hash.New()
		h.Write(c.RawTBS)
		digest = h.Sum(nil)
	}
	switch {
	case algorithm.key == "rsa" && hashed, algorithm.key == "ecdsa" && hashed:
		return key.verifyDigest(algorithm.hash, digest, signature)
	case algorithm.key == "ed25519":
		return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, c.RawTBS, signature), nil
	}
	return false, fmt.Errorf("%w: %s with %s", ErrUnverifiable, algorithm.key, oid)
}

// SignedBy tells whether the signature on this certificate is the issuer's, by the key alone: names and ids are not
// compared. The error is ErrUnverifiable, as for SelfSigned.
func (c *Certificate) SignedBy(issuer *Certificate) (bool, error) { return c.verify(issuer.key) }

// SameKey reports whether both certificates have the same public key, as written.
func (c *Certificate) SameKey(other *Certificate) bool {
	return bytes.Equal(c.key.oid, other.key.oid) && bytes.Equal(c.key.params, other.key.params) && bytes.Equal(c.key.bits, other.key.bits)
}

// HasKey reports whether the certificate's public key is this one, an [*rsa.PublicKey], [*ecdsa.PublicKey] or [ed25519.PublicKey], however the
// certificate writes it. No other kind is known here.
func (c *Certificate) HasKey(public crypto.PublicKey) bool {
	kind := keyAlgorithms[dotted(c.key.oid)].name
	bits, whole := c.key.bits.bytes()
	switch p := public.(type) {
	case *rsa.PublicKey:
		n, e, ok := c.key.rsa()
		return ok && kind == "rsa" && new(big.Int).SetBytes(n).Cmp(p.N) == 0 && new(big.Int).SetBytes(e).Cmp(big.NewInt(int64(p.E))) == 0
	case *ecdsa.PublicKey:
		curve, named := c.key.namedCurve()
		point, err := p.Bytes()
		return named && whole && err == nil && kind == "ecdsa" && curves[curve].name == p.Curve.Params().Name && bytes.Equal(bits, point)
	case ed25519.PublicKey:
		return whole && kind == "ed25519" && bytes.Equal(bits, p)
	}
	return false
}

// KeyAlgorithm is the kind of the certificate's key as in Details: "rsa", "ecdsa" …, the OID in numbers when unknown.
func (c *Certificate) KeyAlgorithm() string {
	name, _, _ := c.key.describe()
	return name
}

// VerifyDigest checks a signature over a digest with the certificate's key, RSA with PKCS #1 v1.5 or ECDSA. The hash has the
// kernel's name, as in Hash. The error is ErrUnverifiable: another kind of key, a hash or a curve that is not known here.
func (c *Certificate) VerifyDigest(hash string, digest, signature []byte) (bool, error) {
	return c.key.verifyDigest(hash, digest, signature)
}

func (k publicKey) verifyDigest(hash string, digest, signature []byte) (bool, error) {
	switch h, known := hashes[hash]; {
	case !known:
		return false, fmt.Errorf("%w: hash %q", ErrUnverifiable, hash)
	case len(digest) != h.Size():
		return false, nil
	}
	switch name := keyAlgorithms[dotted(k.oid)].name; name {
	case "rsa":
		return verifyRSA(k, hash, digest, signature)
	case "ecdsa":
		point, _ := k.bits.bytes()
		return verifyECDSA(k, point, digest, signature)
	}
	return false, fmt.Errorf("%w: key of kind %s", ErrUnverifiable, dotted(k.oid))
}

// verifyRSA checks an RSASSA-PKCS1-v1_5 signature (RFC 8017 8.2.2). It does the arithmetic itself because crypto/rsa
// refuses key sizes and exponents that the kernel takes; nothing here is secret.
func verifyRSA(key publicKey, hash string, digest, signature []byte) (bool, error) {
	modulus, exponent, ok := key.rsa()
	if !ok {
		return false, nil
	}
	n, e, s := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent), new(big.Int).SetBytes(signature)
	// Beyond these bounds one signature would take seconds; the kernel's own is 4096 bits.
	if n.BitLen() > 16384 || n.BitLen() > 4096 && e.BitLen() > 64 {
		return false, fmt.Errorf("%w: RSA key of %d bits with an exponent of %d bits", ErrUnverifiable, n.BitLen(), e.BitLen())
	}
	size := (n.BitLen() + 7) / 8
	info := DigestInfo(hash, digest)
	// As many bytes as the modulus has (RFC 8017 8.2.2). The kernel wants those of whole words (crypto/rsa.c rsa_max_size) and the padding
	// in them, so that it verifies nothing with a modulus that does not fill its words: see KeyRefusals.
	if e.Sign() == 0 || s.Cmp(n) >= 0 || len(signature) != size || size < len(info)+11 {
		return false, nil
	}
	want := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-len(info)-3)...)
	want = append(append(want, 0), info...)
	return bytes.Equal(key.ready.rsa.power(s, e, n).FillBytes(make([]byte, size)), want), nil
}

// DigestInfo is what RSASSA-PKCS1-v1_5 signs of a digest, in DER (RFC 8017 9.2), with the NULL parameters that RFC and kernel demand
// (crypto/rsa-pkcs1pad.c rsa_digest_info_*). The hash has the kernel's name.
func DigestInfo(hash string, digest []byte) []byte {
	oids := map[string][]byte{
		"sha1":   {0x2b, 0x0e, 3, 2, 0x1a},
		"sha256": nist(1), "sha384": nist(2), "sha512": nist(3), "sha224": nist(4),
		"sha3-224": nist(7), "sha3-256": nist(8), "sha3-384": nist(9), "sha3-512": nist(10),
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oids[hash]) })
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(digest)
	})
	info, _ := b.Bytes() // a Builder fails on lengths beyond 4 GiB only
	return info
}

// nist is the OID content of NIST hash number n.
func nist(n byte) []byte { return []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, n} }

// verifyECDSA checks a signature with an uncompressed point, the one form that the kernel takes.
func verifyECDSA(key publicKey, point, digest, signature []byte) (bool, error) {
	oid, _ := key.namedCurve()
	name := curves[oid].name
	if name == "P-384" {
		return key.ready.p384.verify(point, digest, signature), nil
	}
	curve := map[string]elliptic.Curve{"P-224": elliptic.P224(), "P-256": elliptic.P256(), "P-521": elliptic.P521()}[name]
	if curve == nil {
		return false, fmt.Errorf("%w: ECDSA on curve %s", ErrUnverifiable, oid)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return false, nil // no point of the curve: nothing verifies with it
	}
	return ecdsa.VerifyASN1(public, digest, signature), nil
}
