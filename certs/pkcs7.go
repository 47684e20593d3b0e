package certs

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// signedData is the content of the object identifier 1.2.840.113549.1.7.2.
var signedData = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2}

// ParsePKCS7 gives the certificates of a PKCS #7 or CMS SignedData in DER (RFC 5652 5.1), a .p7b file for example, in their order. Signatures
// and anything else in it are passed over. Errors: ErrMalformed for what is no SignedData, or a certificate in it that is none.
func ParsePKCS7(der []byte) ([]*Certificate, error) {
	input := cryptobyte.String(der)
	var outer, oid, explicit, signed cryptobyte.String
	malformed := &SyntaxError{What: "PKCS #7", Why: "it is no SignedData in DER", outcome: ErrMalformed}
	if !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || !bytes.Equal(oid, signedData) ||
		!outer.ReadASN1(&explicit, asn1.Tag(0).Constructed().ContextSpecific()) || !explicit.ReadASN1(&signed, asn1.SEQUENCE) ||
		!signed.SkipASN1(asn1.INTEGER) || !signed.SkipASN1(asn1.SET) || !signed.SkipASN1(asn1.SEQUENCE) {
		return nil, malformed
	}
	var list cryptobyte.String
	var there bool
	if !signed.ReadOptionalASN1(&list, &there, asn1.Tag(0).Constructed().ContextSpecific()) {
		return nil, malformed
	}
	var found []*Certificate
	for !list.Empty() {
		var element cryptobyte.String
		if !list.ReadAnyASN1Element(&element, nil) {
			return nil, malformed
		}
		c, err := ParseDER(element)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}
