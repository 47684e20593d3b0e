package modsig

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"kkeys/certs"
)

func invalid(why string) error { return fmt.Errorf("%w: %s", ErrInvalid, why) }

// SignerFor names a certificate's key: by issuer and serial number, or with useSKID by the SKID, as sign-file -k does. The
// Signature is left for the caller: for a probe of the kernel any bytes will do.
//
// The error is ErrInvalid when the certificate has no SKID, or the kernel no such hash or kind of key.
func SignerFor(c *certs.Certificate, hash string, useSKID bool) (Signer, error) {
	s := Signer{Hash: hash, Algorithm: c.KeyAlgorithm()}
	if useSKID {
		if c.SubjectKeyID == nil {
			return Signer{}, invalid("the certificate has no subject key identifier")
		}
		s.SKID = c.SubjectKeyID
	} else {
		s.Issuer, s.Serial = c.Issuer, c.Serial
	}
	if _, err := s.algorithms(); err != nil {
		return Signer{}, err
	}
	return s, nil
}

// algorithms finds the two OIDs to write.
func (s Signer) algorithms() (oids [2]asn1.ObjectIdentifier, err error) {
	h := hashByName(s.Hash)
	if h == nil {
		return oids, invalid(fmt.Sprintf("hash %q", s.Hash))
	}
	oids[0] = h.oid
	oids[1], err = signatureOID(s.Algorithm, h)
	return oids, err
}

// Encode writes the message in DER. With one signer and no certificates it is byte for byte what scripts/sign-file writes:
// no attributes, version 1 (issuer and serial number) or 3 (SKID). Sets are put in the order of DER.
//
// The error is ErrInvalid: no signer, signers that name their keys in different ways (the kernel's version rule), an
// algorithm that cannot be written (GOST, ML-DSA), or more than MaxMessage bytes.
func (m *Message) Encode() ([]byte, error) { return m.encode(parameters{}) }

// parameters are the ways in which AlgorithmIdentifiers are written without another meaning: RFC 5754 allows a digest's parameters to be absent
// or NULL, and programs differ in those of keys.
type parameters struct{ digestNull, keyOther bool }

// Usual tells whether a message is what sign-file or another program writes for its signer. Parts of a message are neither signed nor looked at by
// the kernel, so that a change in them goes unnoticed otherwise. Of a message with several signers, certificates or attributes that are not
// signed it is not known, and the answer is yes.
func (m *Message) Usual(message []byte) bool {
	if len(m.Signers) != 1 || len(m.Certificates) > 0 || m.unsigned {
		return true
	}
	for _, p := range []parameters{{}, {digestNull: true}, {keyOther: true}, {true, true}} {
		if again, err := m.encode(p); err == nil && bytes.Equal(again, message) {
			return true
		}
	}
	return false
}

func (m *Message) encode(p parameters) ([]byte, error) {
	if len(m.Signers) == 0 {
		return nil, invalid("no signer")
	}
	version := m.Signers[0].version()
	var digests, signers, embedded [][]byte
	for _, s := range m.Signers {
		if s.version() != version {
			return nil, invalid("signers by serial number beside signers by key identifier")
		}
		oids, err := s.algorithms()
		if err != nil {
			return nil, err
		}
		if digest := identifier(oids[0], p.digestNull); !slices.ContainsFunc(digests, func(d []byte) bool { return bytes.Equal(d, digest) }) {
			digests = append(digests, digest)
		}
		signers = append(signers, s.encode(oids, p))
	}
	for _, c := range m.Certificates {
		embedded = append(embedded, c.Raw)
	}
	der := sequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(context0, func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(version)
				addSet(b, tag.SET, digests)
				b.AddBytes(sequence(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) }))
				if len(m.Certificates) > 0 {
					addSet(b, context0, embedded)
				}
				addSet(b, tag.SET, signers)
			})
		})
	})
	if len(der) > MaxMessage {
		return nil, invalid(fmt.Sprintf("a message of %d bytes, the kernel reads at most %d", len(der), MaxMessage))
	}
	return der, nil
}

// Tags of the message's optional parts: context-specific; 0 and 1 are constructed.
const (
	context0 = tag.Tag(0xa0)
	context1 = tag.Tag(0xa1)
	context2 = tag.Tag(0xa2)
	context3 = tag.Tag(0xa3)
	skidTag  = tag.Tag(0x80)
)

// version of SignerInfo and SignedData.
func (s Signer) version() int64 {
	if s.SKID != nil {
		return 3
	}
	return 1
}

// encode writes the SignerInfo.
func (s Signer) encode(oids [2]asn1.ObjectIdentifier, p parameters) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(s.version())
		if s.SKID != nil {
			add(b, skidTag, s.SKID)
		} else {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				add(b, tag.SEQUENCE, s.Issuer)
				add(b, tag.INTEGER, s.Serial)
			})
		}
		b.AddBytes(identifier(oids[0], p.digestNull))
		b.AddBytes(identifier(oids[1], (s.Algorithm == "rsa") != p.keyOther)) // RSA alone has parameters, RFC 3370 3.2
		b.AddASN1OctetString(s.Signature)
	})
}

// identifier is an AlgorithmIdentifier; OpenSSL writes digests (RFC 5754 2) and ECDSA without parameters.
func identifier(oid asn1.ObjectIdentifier, null bool) []byte {
	return sequence(func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if null {
			b.AddASN1NULL()
		}
	})
}

func sequence(content cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, content)
	der, _ := b.Bytes() // a Builder fails on lengths beyond 4 GiB, and on an OID that is none: ours are constant
	return der
}

func add(b *cryptobyte.Builder, t tag.Tag, content []byte) {
	b.AddASN1(t, func(b *cryptobyte.Builder) { b.AddBytes(content) })
}

// addSet writes elements in the order that DER demands of a SET OF.
func addSet(b *cryptobyte.Builder, t tag.Tag, elements [][]byte) {
	b.AddASN1(t, func(b *cryptobyte.Builder) {
		for _, e := range slices.SortedFunc(slices.Values(elements), bytes.Compare) {
			b.AddBytes(e)
		}
	})
}
