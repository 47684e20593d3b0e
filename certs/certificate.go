// Package certs is X.509 the way the Linux kernel sees it: bytes in, facts out; no file, no clock, no system call.
//
// The kernel object behind it is a key of type "asymmetric" (since Linux 3.7), which the kernel makes from one DER
// certificate: at boot from its own image, from the UEFI variable db and from shim's MokListRT; at any time, by any
// user, with add_key into a keyring of that user's own. The kernel keeps the public key, three ids and a description
// that it composes itself (KernelName), and forgets the certificate: its bytes cannot be read back by anyone. A
// certificate is therefore recognised in a keyring by what it would have become there, which this package computes.
// No permission is needed for that; reading the description of a system keyring's keys needs root.
//
// What cannot be known here: whether a key in a keyring came from this certificate or from another one with equal
// names and ids (only the kernel can tell, with a signature), and which optional drivers (ECDSA, SHA-3 …) the running
// kernel has. Dates are shown, never judged: the kernel enforces none.
//
// The kernel and Go's crypto/x509 do not accept the same certificates, so identity comes from this package's own walk
// over the DER and crypto/x509 is asked for a second reading only.
package certs

import (
	"bytes"
	"crypto/x509"
)

// MaxSize is the largest certificate in bytes, header included, that this package accepts. It is the kernel's own
// bound (lib/asn1_decoder.c asn1_ber_decoder: more than 65535 bytes is EMSGSIZE), although add_key takes payloads of up
// to 1 MiB. MokManager reads the two-byte length form 30 82 only, 65535 + 4 bytes, so the kernel's bound is the lower.
const MaxSize = 65535

// Certificate is one X.509 certificate, decoded by a strict DER walk. The byte slices point into Raw: do not change them.
type Certificate struct {
	// Raw is the whole certificate, exactly one DER SEQUENCE.
	Raw []byte
	// RawTBS is the signed part, TBSCertificate with its header.
	RawTBS []byte
	// Serial is the content of the serialNumber INTEGER as written: a leading zero stays, negative and empty are possible.
	Serial []byte
	// Issuer and Subject are the content of the Name SEQUENCE without its own header, as the kernel compares them.
	Issuer, Subject []byte
	// SubjectKeyID is the subject key identifier (SKID) as the kernel takes it, nil if absent or refused by the kernel.
	// For a SKID of exactly 128 bytes it is 129 bytes long, see skid in extension.go.
	SubjectKeyID []byte
	// Authority says which key signed this certificate, from the authority key identifier extension (AKI).
	Authority Authority
	// X509 is the reading of crypto/x509, nil when it refuses the certificate; X509Err then says why.
	X509    *x509.Certificate
	X509Err error

	signatureOID    []byte // tbsCertificate.signature, the content of the OID
	signatureParams []byte // and its parameters, nil without
	outerOID        []byte // signatureAlgorithm beside the signature
	signature       bitString
	key             publicKey
	validity        [2]derTime // notBefore, notAfter
	extensions      []extension
	authorityIs     reading // of the AKI; good without one
}

// Authority is the authority key identifier extension (RFC 5280 4.2.1.1) as the kernel takes it
// (crypto/asymmetric_keys/x509_cert_parser.c x509_akid_note_*): an absent part is nil.
type Authority struct {
	// KeyID is the keyIdentifier.
	KeyID []byte
	// Issuer is the content of the last directoryName in authorityCertIssuer, without the SEQUENCE header.
	Issuer []byte
	// Serial is the content of authorityCertSerialNumber, kept only when Issuer is there, because the kernel
	// ignores it alone.
	Serial []byte
}

// ParseDER reads exactly one DER certificate of at most MaxSize bytes. The result does not share memory with der.
//
// Errors: ErrEmpty, ErrTooLarge, ErrTrailing (bytes after the certificate) and ErrMalformed; the latter two are
// *SyntaxError with the offset. A certificate that crypto/x509 or the kernel refuses for what it says is accepted here
// and reported by X509Err and Refusals.
//
// Two differences from the kernel are deliberate. The kernel's add_key ignores bytes after the certificate; here they
// are an error, because MokManager would store them in MokList, where the file and the enrolled entry would then
// compare unequal for ever. And the kernel reads a loose BER (indefinite and padded lengths, 10 where 30 belongs); here
// only DER is accepted, because no other tool would agree with the kernel on such a certificate.
func ParseDER(der []byte) (*Certificate, error) {
	switch {
	case len(der) == 0:
		return nil, ErrEmpty
	case len(der) > MaxSize:
		return nil, tooLarge(len(der))
	}
	c, err := walk(bytes.Clone(der))
	if err != nil {
		return nil, err
	}
	c.X509, c.X509Err = x509.ParseCertificate(c.Raw)
	if c.X509Err != nil {
		c.X509 = nil
	}
	return c, nil
}

// KeyID is the id that stands in the kernel's name for the certificate: the SKID, without one the serial number as
// written (crypto/asymmetric_keys/x509_public_key.c x509_key_preparse).
func (c *Certificate) KeyID() []byte {
	if c.SubjectKeyID != nil {
		return c.SubjectKeyID
	}
	return c.Serial
}

// ID0 is the id by which a version 1 SignerInfo of a module signature finds the key: the serial number as written,
// followed by the issuer's raw content (asymmetric_key_generate_id in crypto/asymmetric_keys/asymmetric_type.c).
func (c *Certificate) ID0() []byte { return bytes.Join([][]byte{c.Serial, c.Issuer}, nil) }

// ID1 is the id by which a version 3 SignerInfo finds the key: the SKID, nil without one.
func (c *Certificate) ID1() []byte { return c.SubjectKeyID }

// ID2 is the raw subject, by which a certificate without AKI finds its issuer since Linux 5.17.
func (c *Certificate) ID2() []byte { return c.Subject }

// ID0 is the AKI's issuer and serial number in the form of ID0, nil unless both are there.
func (a Authority) ID0() []byte {
	if a.Issuer == nil || a.Serial == nil {
		return nil
	}
	return bytes.Join([][]byte{a.Serial, a.Issuer}, nil)
}
