package certs

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// bitString is a BIT STRING's content: the count of unused bits, then the bits.
type bitString []byte

// bytes gives the bits when they are whole bytes, which keys and signatures must be.
func (b bitString) bytes() ([]byte, bool) {
	if len(b) == 0 || b[0] != 0 {
		return nil, false
	}
	return b[1:], true
}

// publicKey is the subjectPublicKeyInfo.
type publicKey struct {
	oid    []byte // content of the algorithm's OID
	params []byte // the parameters element, nil if absent
	bits   bitString
	ready  *ready // shared by all copies
}

// ready is what was computed of a key and serves for each of its signatures.
type ready struct {
	rsa  rsaModulus
	p384 p384Key
}

// walk reads a certificate in the order of RFC 5280 4.1, which is the kernel's (crypto/asymmetric_keys/x509.asn1).
func walk(der []byte) (*Certificate, error) {
	file := cursor{cryptobyte.String(der), 0}
	raw, cert, err := file.want(asn1.SEQUENCE, "certificate")
	if err != nil {
		return nil, err
	}
	if !file.empty() {
		return nil, &SyntaxError{file.at, "end of file", fmt.Sprintf("%d bytes follow", len(file.rest)), ErrTrailing}
	}
	c := &Certificate{Raw: raw, authorityIs: good}
	var tbs cursor
	if c.RawTBS, tbs, err = cert.want(asn1.SEQUENCE, "tbsCertificate"); err != nil {
		return nil, err
	}
	if err := c.walkTBS(&tbs); err != nil {
		return nil, err
	}
	if c.outerOID, _, err = cert.algorithm("signatureAlgorithm"); err != nil {
		return nil, err
	}
	_, signature, err := cert.want(asn1.BIT_STRING, "signatureValue")
	if err != nil {
		return nil, err
	}
	c.signature = bitString(signature.rest)
	return c, cert.end("certificate")
}

// walkTBS reads what is signed.
func (c *Certificate) walkTBS(tbs *cursor) error {
	if err := tbs.version(); err != nil {
		return err
	}
	_, serial, err := tbs.want(asn1.INTEGER, "serialNumber")
	if err != nil {
		return err
	}
	c.Serial = serial.rest
	if c.signatureOID, c.signatureParams, err = tbs.algorithm("signature"); err != nil {
		return err
	}
	if c.Issuer, err = tbs.name("issuer"); err != nil {
		return err
	}
	if c.validity, err = tbs.validity(); err != nil {
		return err
	}
	if c.Subject, err = tbs.name("subject"); err != nil {
		return err
	}
	if c.key, err = tbs.publicKey(); err != nil {
		return err
	}
	for tag, what := range []string{1: "issuerUniqueID", 2: "subjectUniqueID"} {
		if id := asn1.Tag(tag).ContextSpecific(); tag > 0 && tbs.has(id) {
			if _, _, err := tbs.want(id, what); err != nil {
				return err
			}
		}
	}
	if err := c.walkExtensions(tbs); err != nil {
		return err
	}
	return tbs.end("tbsCertificate")
}

// version skips the version number. Whatever it says, the kernel reads on, extensions included.
func (c *cursor) version() error {
	tag := asn1.Tag(0).ContextSpecific().Constructed()
	if !c.has(tag) {
		return nil
	}
	_, explicit, err := c.want(tag, "version")
	if err != nil {
		return err
	}
	if _, _, err := explicit.want(asn1.INTEGER, "version"); err != nil {
		return err
	}
	return explicit.end("version")
}

// algorithm reads an AlgorithmIdentifier: the OID's content and the parameters element.
func (c *cursor) algorithm(what string) (oid, params []byte, err error) {
	_, seq, err := c.want(asn1.SEQUENCE, what)
	if err != nil {
		return nil, nil, err
	}
	_, id, err := seq.want(asn1.OBJECT_IDENTIFIER, what+" algorithm")
	if err != nil {
		return nil, nil, err
	}
	if !seq.empty() {
		if _, params, _, err = seq.next(what + " parameters"); err != nil {
			return nil, nil, err
		}
	}
	return id.rest, params, seq.end(what)
}

// validity reads notBefore and notAfter, whatever stands in them.
func (c *cursor) validity() (times [2]derTime, err error) {
	_, seq, err := c.want(asn1.SEQUENCE, "validity")
	if err != nil {
		return times, err
	}
	for i, what := range []string{"notBefore", "notAfter"} {
		tag, _, content, err := seq.next(what)
		if err != nil {
			return times, err
		}
		if tag != asn1.UTCTime && tag != asn1.GeneralizedTime {
			return times, content.bad(what, fmt.Sprintf("tag %#02x is no time", uint8(tag)))
		}
		times[i] = derTime{tag, content.rest}
	}
	return times, seq.end("validity")
}

// publicKey reads the subjectPublicKeyInfo.
func (c *cursor) publicKey() (publicKey, error) {
	_, seq, err := c.want(asn1.SEQUENCE, "subjectPublicKeyInfo")
	if err != nil {
		return publicKey{}, err
	}
	oid, params, err := seq.algorithm("subjectPublicKeyInfo")
	if err != nil {
		return publicKey{}, err
	}
	_, bits, err := seq.want(asn1.BIT_STRING, "subjectPublicKey")
	if err != nil {
		return publicKey{}, err
	}
	return publicKey{oid, params, bitString(bits.rest), &ready{}}, seq.end("subjectPublicKeyInfo")
}
