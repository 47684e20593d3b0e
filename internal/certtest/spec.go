// Package certtest makes certificates for tests, odd ones above all: every field of the TBSCertificate is written by
// hand, so that names, serial numbers, ids and dates can be what no library would write. It is for tests only.
package certtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Spec says what shall stand in a certificate. The zero value is a self-signed RSA-2048 certificate with CN=test, serial
// number 1, without extensions, valid from 2024 to 2044.
type Spec struct {
	// Serial is the content of the INTEGER; Serial{} is an empty one.
	Serial []byte
	// Subject is CN=test when nil. Issuer is the signer's subject when nil.
	Subject, Issuer Names
	// NotBefore and NotAfter have their defaults when empty.
	NotBefore, NotAfter Time
	// SKID is the subject key identifier, absent when nil.
	SKID []byte
	// AKI is absent when nil.
	AKI *AKI
	// Extensions come after SKID and AKI.
	Extensions []Extension
	// Key is the certificate's own key, RSA(2048, 0) when nil. PublicKey, a subjectPublicKeyInfo in DER, is written in its
	// place when not nil.
	Key       crypto.Signer
	PublicKey []byte
	// Signer signs; nil means the certificate's own Key.
	Signer *Cert
	// Hash is the signature's, "sha256" when empty.
	Hash string
	// Algorithm and OuterAlgorithm replace the AlgorithmIdentifier inside and outside of the signed part; the outer one is
	// that of the inside when nil.
	Algorithm, OuterAlgorithm []byte
	// Signature replaces the signature, Break spoils it.
	Signature []byte
	Break     bool
	// NoVersion leaves the version out, as in version 1.
	NoVersion bool
	// Unique is an issuerUniqueID, absent when nil.
	Unique []byte
}

// Time is a date: UTCTime or GeneralizedTime, and its content.
type Time struct {
	Tag   cbasn1.Tag
	Value string
}

// UTC and Generalized make a Time.
func UTC(value string) Time         { return Time{cbasn1.UTCTime, value} }
func Generalized(value string) Time { return Time{cbasn1.GeneralizedTime, value} }

// AKI is an authority key identifier. Nil parts are absent.
type AKI struct {
	KeyID  []byte
	Issuer Names
	Serial []byte
}

// Extension is an extension; Value is the content of the OCTET STRING.
type Extension struct {
	OID      string
	Critical bool
	Value    []byte
}

// Cert is a certificate with its key.
type Cert struct {
	DER  []byte
	Key  crypto.Signer
	Spec Spec
}

// Make writes and signs a certificate.
func Make(t testing.TB, s Spec) *Cert {
	t.Helper()
	if s.Key == nil {
		s.Key = RSA(2048, 0)
	}
	if s.Subject == nil {
		s.Subject = Name{CN("test")}
	}
	signer, issuer := s.Key, s.Subject
	if s.Signer != nil {
		signer, issuer = s.Signer.Key, s.Signer.Spec.Subject
	}
	if s.Issuer == nil {
		s.Issuer = issuer
	}
	if s.Hash == "" {
		s.Hash = "sha256"
	}
	if s.Algorithm == nil {
		s.Algorithm = algorithm(signer, s.Hash)
	}
	if s.OuterAlgorithm == nil {
		s.OuterAlgorithm = s.Algorithm
	}
	tbs, err := s.tbs()
	if err != nil {
		t.Fatal(err)
	}
	signature := s.Signature
	if signature == nil {
		if signature, err = sign(signer, s.Hash, tbs); err != nil {
			t.Fatal(err)
		}
	}
	if s.Break {
		signature = bytes.Clone(signature)
		signature[len(signature)-1] ^= 1
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(s.OuterAlgorithm)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return &Cert{der, s.Key, s}
}

func (s *Spec) tbs() ([]byte, error) {
	public := s.PublicKey
	if public == nil {
		var err error
		if public, err = publicKey(s.Key); err != nil {
			return nil, err
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if !s.NoVersion {
			b.AddASN1(context(0).Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		}
		serial := s.Serial
		if serial == nil {
			serial = []byte{1}
		}
		add(b, cbasn1.INTEGER, serial)
		b.AddBytes(s.Algorithm)
		add(b, cbasn1.SEQUENCE, s.Issuer.Content())
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			s.NotBefore.add(b, "240101000000Z")
			s.NotAfter.add(b, "440101000000Z")
		})
		add(b, cbasn1.SEQUENCE, s.Subject.Content())
		b.AddBytes(public)
		if s.Unique != nil {
			add(b, context(1), append([]byte{0}, s.Unique...))
		}
		s.addExtensions(b)
	})
	return b.Bytes()
}

func context(n cbasn1.Tag) cbasn1.Tag { return n.ContextSpecific() }

func add(b *cryptobyte.Builder, tag cbasn1.Tag, content []byte) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
}

func (t Time) add(b *cryptobyte.Builder, otherwise string) {
	if t == (Time{}) {
		t = UTC(otherwise)
	}
	add(b, t.Tag, []byte(t.Value))
}

func (s *Spec) addExtensions(b *cryptobyte.Builder) {
	var all []Extension
	if s.SKID != nil {
		var value cryptobyte.Builder
		value.AddASN1OctetString(s.SKID)
		all = append(all, Extension{OID: "2.5.29.14", Value: value.BytesOrPanic()})
	}
	if s.AKI != nil {
		all = append(all, Extension{OID: "2.5.29.35", Value: s.AKI.value()})
	}
	all = append(all, s.Extensions...)
	if len(all) == 0 {
		return
	}
	b.AddASN1(context(3).Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, e := range all {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, e.OID)
					if e.Critical {
						b.AddASN1Boolean(true)
					}
					b.AddASN1OctetString(e.Value)
				})
			}
		})
	})
}

func (a *AKI) value() []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if a.KeyID != nil {
			add(b, context(0), a.KeyID)
		}
		if a.Issuer != nil {
			b.AddASN1(context(1).Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(context(4).Constructed(), func(b *cryptobyte.Builder) { add(b, cbasn1.SEQUENCE, a.Issuer.Content()) })
			})
		}
		if a.Serial != nil {
			add(b, context(2), a.Serial)
		}
	})
	return b.BytesOrPanic()
}

// SelfSigned makes a certificate like those that people enrol: CN=cn, a new RSA-2048 key, SKID and matching AKI, CA:FALSE,
// digitalSignature, codeSigning, SHA-256.
func SelfSigned(t testing.TB, cn string) *Cert {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return SelfSignedWith(t, cn, key)
}

// SelfSignedWith is SelfSigned with this key.
func SelfSignedWith(t testing.TB, cn string, key crypto.Signer) *Cert {
	t.Helper()
	public, err := publicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	h := hashes["sha1"].New()
	h.Write(public)
	id := h.Sum(nil)
	return Make(t, Spec{
		Subject: Name{CN(cn)}, Serial: append([]byte{0x40}, id[:18]...), Key: key, SKID: id, AKI: &AKI{KeyID: id},
		Extensions: []Extension{
			{"2.5.29.19", true, []byte{0x30, 0}},
			{"2.5.29.15", true, []byte{3, 2, 7, 0x80}},
			{"2.5.29.37", false, []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3}},
		},
	})
}

// PKCS8 is the private key in DER.
func (c *Cert) PKCS8(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// KeyPEM is the private key as a PEM block PRIVATE KEY.
func (c *Cert) KeyPEM(t testing.TB) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: c.PKCS8(t)})
}

// PEM is the certificate as a PEM block.
func (c *Cert) PEM() []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER}) }
