package certs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Details is a certificate for people and scripts; its JSON form is part of the command line's contract. A pointer is
// nil (JSON null) when the fact is unknown or absent.
//
// Every string is valid UTF-8 but otherwise as the certificate has it: control characters, escapes and bidirectional
// marks included, so a screen needs them sanitised. Bytes that are no UTF-8 appear as \xx in Subject and Issuer and
// as U+FFFD, one for each byte, in CommonName and KernelName; Certificate.KernelName has the true bytes.
type Details struct {
	// Subject and Issuer are in the order and with the escapes of RFC 4514, last part first.
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	// CommonName is the subject's last CN, as the kernel prefers it, decoded by its string type.
	CommonName *string `json:"common_name"`
	// Serial is the serial number as written, KeyID the id in the kernel's name (Certificate.KeyID), SHA256 the hash of
	// the whole certificate; all in lower-case hex.
	Serial string `json:"serial"`
	KeyID  string `json:"key_id"`
	SHA256 string `json:"sha256"`
	// Algorithm is the key's: "rsa", "ecdsa", "ed25519", "ecrdsa", "mldsa65" …, the OID in numbers when unknown.
	Algorithm string  `json:"algorithm"`
	KeyBits   *int    `json:"key_bits"`
	Curve     *string `json:"curve"`
	// SignatureHash is the kernel's name of the hash under the signature: "sha256", "sha3-256" …; nil when the algorithm
	// is unknown or leaves no choice of a hash, as Ed25519, which Hashless tells apart.
	SignatureHash *string    `json:"signature_hash"`
	Hashless      bool       `json:"-"`
	NotBefore     *time.Time `json:"not_before"`
	NotAfter      *time.Time `json:"not_after"`
	// IsCA is basicConstraints' cA, false without that extension, nil when it cannot be read.
	IsCA *bool `json:"is_ca"`
	// KeyUsage and ExtendedKeyUsage have the names of RFC 5280, and "moduleSigning" for 1.3.6.1.4.1.2312.16.1.2 (shim's
	// OID_EKU_MODSIGN: for kernel modules only, never for EFI programs); other purposes in numbers. Empty without the
	// extension, nil when it cannot be read.
	KeyUsage         []string `json:"key_usage"`
	ExtendedKeyUsage []string `json:"extended_key_usage"`
	// KernelName is the kernel's description of the key.
	KernelName string `json:"kernel_name"`
}

var keyUsages = [...]string{
	"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement",
	"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
}

var extendedKeyUsages = map[string]string{
	"2.5.29.37.0": "anyExtendedKeyUsage", "1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth",
	"1.3.6.1.5.5.7.3.3": "codeSigning", "1.3.6.1.5.5.7.3.4": "emailProtection", "1.3.6.1.5.5.7.3.8": "timeStamping",
	"1.3.6.1.5.5.7.3.9": "OCSPSigning", "1.3.6.1.4.1.2312.16.1.2": "moduleSigning",
}

// Details decodes what is worth showing. Nothing of it depends on crypto/x509.
func (c *Certificate) Details() Details {
	sum := sha256.Sum256(c.Raw)
	d := Details{
		Subject: DistinguishedName(c.Subject), Issuer: DistinguishedName(c.Issuer),
		CommonName: c.commonName(),
		Serial:     hex.EncodeToString(c.Serial), KeyID: hex.EncodeToString(c.KeyID()), SHA256: hex.EncodeToString(sum[:]),
		KernelName: valid(c.KernelName()),
		IsCA:       c.isCA(), KeyUsage: c.keyUsage(), ExtendedKeyUsage: c.extendedKeyUsage(),
	}
	d.Algorithm, d.KeyBits, d.Curve = c.key.describe()
	a, known := signatureAlgorithms[dotted(c.signatureOID)]
	if a.key == "rsassa-pss" {
		a.hash = pssHash(c.signatureParams)
	} else {
		d.Hashless = known && a.hash == ""
	}
	if a.hash != "" {
		d.SignatureHash = &a.hash
	}
	for i, moment := range []**time.Time{&d.NotBefore, &d.NotAfter} {
		// The last second of 9999 may be written as the 60th; RFC 3339 cannot say what follows it.
		if t, ok := c.validity[i].time(); ok && t.Year() <= 9999 {
			*moment = &t
		}
	}
	return d
}

func (c *Certificate) commonName() *string {
	var name *string
	for _, rdn := range rdns(c.Subject) {
		for _, a := range rdn {
			if text, ok := a.text(); ok && bytes.Equal(a.oid, oidCommonName) {
				text = valid(text)
				name = &text
			}
		}
	}
	return name
}

// describe gives name, size in bits and curve.
func (k publicKey) describe() (name string, bits *int, curveName *string) {
	oid := dotted(k.oid)
	algorithm, known := keyAlgorithms[oid]
	if !known {
		return oid, nil, nil
	}
	size := algorithm.bits
	switch algorithm.name {
	case "rsa", "rsassa-pss":
		if n, _, ok := k.rsa(); ok {
			size = new(big.Int).SetBytes(n).BitLen()
		}
	case "ecdsa":
		id, ok := k.namedCurve()
		if !ok {
			break
		}
		c, known := curves[id]
		if !known {
			c.name = id
		}
		size, curveName = c.bits, &c.name
	}
	if size > 0 {
		bits = &size
	}
	return algorithm.name, bits, curveName
}

func (c *Certificate) isCA() *bool {
	ca := false
	value, present := c.find(oidBasicConstraints)
	if !present {
		return &ca
	}
	v := cryptobyte.String(value)
	var seq cryptobyte.String
	if !v.ReadASN1(&seq, asn1.SEQUENCE) || !v.Empty() || seq.PeekASN1Tag(asn1.BOOLEAN) && !seq.ReadASN1Boolean(&ca) {
		return nil
	}
	return &ca
}

func (c *Certificate) keyUsage() []string {
	names := []string{}
	value, present := c.find(oidKeyUsage)
	if !present {
		return names
	}
	v := cryptobyte.String(value)
	var bits cryptobyte.String
	if !v.ReadASN1(&bits, asn1.BIT_STRING) || !v.Empty() || len(bits) < 1 {
		return nil
	}
	for i, name := range keyUsages {
		if octet := 1 + i/8; octet < len(bits) && bits[octet]&(0x80>>(i%8)) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (c *Certificate) extendedKeyUsage() []string {
	names := []string{}
	value, present := c.find(oidExtKeyUsage)
	if !present {
		return names
	}
	v := cryptobyte.String(value)
	var seq cryptobyte.String
	if !v.ReadASN1(&seq, asn1.SEQUENCE) || !v.Empty() {
		return nil
	}
	for !seq.Empty() {
		var id cryptobyte.String
		if !seq.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) {
			return nil
		}
		oid := dotted(id)
		if name, known := extendedKeyUsages[oid]; known {
			oid = name
		}
		names = append(names, oid)
	}
	return names
}
