package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extension is one extension of a certificate to be made.
type Extension struct {
	Critical bool
	// Is what it says: BasicConstraints, KeyUsage, ExtKeyUsage, SubjectKeyID or AuthorityKeyID.
	Is ExtensionValue
}

// ExtensionValue is what an extension says.
type ExtensionValue interface {
	// value gives the id and writes the content; false leaves the extension out.
	value(b *cryptobyte.Builder, ids keyIDs) (id []byte, there bool)
}

// keyIDs are the subject key identifiers of the certificate to be and of its issuer.
type keyIDs struct {
	own, issuer []byte
	selfSigned  bool
}

// BasicConstraints tell an authority (RFC 5280 4.2.1.9). CA:FALSE is the default of the ASN.1 type and not written out, as DER wants it: kernels of 2026
// refuse a certificate that does.
type BasicConstraints struct {
	CA bool
	// PathLen is how many authorities may stand below; nil: any number. Only with CA.
	PathLen *int
}

// KeyUsage is a set of x509.KeyUsage bits (RFC 5280 4.2.1.3).
type KeyUsage x509.KeyUsage

// ExtKeyUsage are the purposes of the key (RFC 5280 4.2.1.12).
type ExtKeyUsage []asn1.ObjectIdentifier

// SubjectKeyID names the key by the SHA-1 of its bits (RFC 5280 4.2.1.2). It becomes the id in the kernel's name of the key.
type SubjectKeyID struct{}

// AuthorityKeyID is the subject key identifier of the issuer (RFC 5280 4.2.1.1). What issued itself needs none.
type AuthorityKeyID struct {
	// UnlessSelfSigned leaves it out of a certificate that signed itself, as OpenSSL 3 does with `keyid`.
	UnlessSelfSigned bool
}

var (
	oidCodeSigning   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	oidModuleSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 2312, 16, 1, 2} // shim's OID_EKU_MODSIGN
)

func (e Extension) encode(ids keyIDs) (made pkix.Extension, there bool, err error) {
	var b cryptobyte.Builder
	id, there := e.Is.value(&b, ids)
	if !there {
		return made, false, nil
	}
	value, err := b.Bytes()
	if err != nil {
		return made, false, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	// All ids are of the arc 2.5.29.
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, int(id[2])}, Critical: e.Critical, Value: value}, true, nil
}

func (v BasicConstraints) value(b *cryptobyte.Builder, _ keyIDs) ([]byte, bool) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if v.CA {
			b.AddASN1Boolean(true)
		}
		switch {
		case v.PathLen == nil:
		case !v.CA || *v.PathLen < 0:
			b.SetError(fmt.Errorf("a path length of %d, CA:%t", *v.PathLen, v.CA))
		default:
			b.AddASN1Int64(int64(*v.PathLen))
		}
	})
	return oidBasicConstraints, true
}

func (v KeyUsage) value(b *cryptobyte.Builder, _ keyIDs) ([]byte, bool) {
	if v <= 0 || v >= 1<<len(keyUsages) {
		b.SetError(fmt.Errorf("key usage %#x", int(v)))
		return oidKeyUsage, true
	}
	// Bit 0 of the type is the first bit of the first octet; DER cuts trailing zeros.
	octets := []byte{bits.Reverse8(uint8(v & 0xff)), bits.Reverse8(uint8(v >> 8))}
	if octets[1] == 0 {
		octets = octets[:1]
	}
	unused := bits.TrailingZeros8(octets[len(octets)-1])
	b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
		b.AddUint8(uint8(unused))
		b.AddBytes(octets)
	})
	return oidKeyUsage, true
}

func (v ExtKeyUsage) value(b *cryptobyte.Builder, _ keyIDs) ([]byte, bool) {
	if len(v) == 0 {
		b.SetError(fmt.Errorf("no extended key usage"))
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, id := range v {
			b.AddASN1ObjectIdentifier(id)
		}
	})
	return oidExtKeyUsage, true
}

func (SubjectKeyID) value(b *cryptobyte.Builder, ids keyIDs) ([]byte, bool) {
	b.AddASN1OctetString(ids.own)
	return oidSKID, true
}

func (v AuthorityKeyID) value(b *cryptobyte.Builder, ids keyIDs) ([]byte, bool) {
	if v.UnlessSelfSigned && ids.selfSigned {
		return nil, false
	}
	if len(ids.issuer) == 0 {
		b.SetError(fmt.Errorf("the issuer has no subject key identifier"))
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(ids.issuer) })
	})
	return oidAKI, true
}
