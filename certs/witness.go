package certs

import (
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Lookup is a way to name a signer, in the SignerInfo of a module's signature as in an authority key identifier.
type Lookup int

// The ways (crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_sig_note_issuer and pkcs7_sig_note_skid).
const (
	ByIssuerAndSerial Lookup = iota // what the kernel's sign-file writes
	ByKeyID                         // the subject key identifier, sign-file -k
	// ByAllIDs is no module's: the kernel takes the key that it finds first by issuer and serial number, and wants it to have the subject key
	// identifier (asymmetric_type.c, find_asymmetric_key). So it tells an ordinary user, who cannot ask about each key, whether the key found by issuer and
	// serial number has this certificate's key id.
	ByAllIDs
)

// Lookups are all of them.
var Lookups = []Lookup{ByIssuerAndSerial, ByKeyID, ByAllIDs}

// ErrNoWitness: no certificate can be made that names this one in that way.
var ErrNoWitness = errors.New("no witness can be made")

// Witness makes a certificate that says it was issued by c, named in one way, and that was not: its signature is noise. A keyring that
// takes only what its keys vouch for refuses it either way, but differently: with ENOKEY when it has no key of that name (or, by all ids, when the first of that issuer and serial number has another key id), with another
// error when it has one and the signature turned out not to be its (crypto/asymmetric_keys/restrict.c, find_asymmetric_key comes
// before verify_signature). So it tells whether the kernel would find the signer of a module that is named in this way.
//
// ErrNoWitness for a certificate without SKID when asked ByKeyID or ByAllIDs, and for keys other than RSA and ECDSA.
func (c *Certificate) Witness(by Lookup) ([]byte, error) {
	if by != ByIssuerAndSerial && c.SubjectKeyID == nil {
		return nil, fmt.Errorf("%w: it has no subject key identifier", ErrNoWitness)
	}
	algorithm, signature, err := c.noise()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { c.witnessTBS(b, by, algorithm) })
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// noise is the algorithm identifier of a signature that the key could have made, with SHA-256, and bytes of its shape.
func (c *Certificate) noise() (algorithm, signature []byte, err error) {
	var oid []byte
	switch name := c.KeyAlgorithm(); name {
	case "rsa":
		n, _, ok := c.key.rsa()
		if !ok {
			return nil, nil, fmt.Errorf("%w: malformed RSA key", ErrNoWitness)
		}
		signature = make([]byte, len(trimZeros(n)))
		if _, err := rand.Read(signature); err != nil {
			return nil, nil, err
		}
		// Below the modulus, whose first bit is set, as every signature is.
		if len(signature) > 0 {
			signature[0] &= 0x7f
		}
		oid = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11}
	case "ecdsa":
		signature = []byte{0x30, 6, 2, 1, 1, 2, 1, 1}
		oid = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}
	default:
		return nil, nil, fmt.Errorf("%w: key of kind %s", ErrNoWitness, name)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oid) })
		if c.KeyAlgorithm() == "rsa" {
			b.AddASN1NULL()
		}
	})
	algorithm, err = b.Bytes()
	return algorithm, signature, err
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// witnessName is the subject, which must differ from the issuer: a certificate that names itself is not looked up.
const witnessName = "kkeys witness"

func (c *Certificate) witnessTBS(b *cryptobyte.Builder, by Lookup, algorithm []byte) {
	name := func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddBytes([]byte{6, 3, 0x55, 4, 3})
					b.AddASN1(asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(witnessName)) })
				})
			})
		})
	}
	time := func(b *cryptobyte.Builder, text string) {
		b.AddASN1(asn1.UTCTime, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
	}
	b.AddASN1(asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
	b.AddASN1Int64(1)
	b.AddBytes(algorithm)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(c.Issuer) })
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { time(b, "200101000000Z"); time(b, "491231235959Z") })
	name(b)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { c.key.add(b) })
	b.AddASN1(asn1.Tag(3).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes([]byte{6, 3, 0x55, 0x1d, 0x23}) // authorityKeyIdentifier
				b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { c.name(b, by) })
				})
			})
		})
	})
}

// name writes the parts of an authority key identifier.
func (c *Certificate) name(b *cryptobyte.Builder, by Lookup) {
	context := func(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific() }
	if by != ByIssuerAndSerial {
		b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddBytes(c.SubjectKeyID) })
	}
	if by == ByKeyID {
		return
	}
	b.AddASN1(context(1).Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(context(4).Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(c.Issuer) })
		})
	})
	b.AddASN1(context(2), func(b *cryptobyte.Builder) { b.AddBytes(c.Serial) })
}

// add writes the content of the subjectPublicKeyInfo as it was read.
func (k publicKey) add(b *cryptobyte.Builder) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(k.oid) })
		b.AddBytes(k.params)
	})
	b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes(k.bits) })
}
