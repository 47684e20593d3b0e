package certs

import (
	"fmt"
	"strings"
	"unicode/utf8"

	encasn1 "encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Name is a distinguished name to be written, one attribute an RDN, in this order.
type Name []NamePart

// NamePart is one attribute of a name.
type NamePart struct {
	// Type is the attribute's name in openssl's configuration, the long or the short one: commonName or CN, organizationName or O, emailAddress …
	Type string
	// Text is its value in UTF-8.
	Text string
}

// CommonName is a name of nothing but a CN.
func CommonName(text string) Name { return Name{{"CN", text}} }

// CommonNameMax is the most characters that a CN has (RFC 5280 appendix A, ub-common-name).
const CommonNameMax = 64

// namePart says how an attribute is written. Sizes are in characters.
type namePart struct {
	short, long string
	oid         encasn1.ObjectIdentifier
	tag         asn1.Tag
	least, most int
}

// nameParts have the upper bounds of RFC 5280 appendix A (ub-…) and of openssl's crypto/asn1/tbl_standard.h, which also says where something else than a UTF8String is wanted.
var nameParts = []namePart{
	{"CN", "commonName", encasn1.ObjectIdentifier{2, 5, 4, 3}, asn1.UTF8String, 1, CommonNameMax},
	{"SN", "surname", encasn1.ObjectIdentifier{2, 5, 4, 4}, asn1.UTF8String, 1, 32768},
	{"serialNumber", "serialNumber", encasn1.ObjectIdentifier{2, 5, 4, 5}, asn1.PrintableString, 1, 64},
	{"C", "countryName", encasn1.ObjectIdentifier{2, 5, 4, 6}, asn1.PrintableString, 2, 2},
	{"L", "localityName", encasn1.ObjectIdentifier{2, 5, 4, 7}, asn1.UTF8String, 1, 128},
	{"ST", "stateOrProvinceName", encasn1.ObjectIdentifier{2, 5, 4, 8}, asn1.UTF8String, 1, 128},
	{"O", "organizationName", encasn1.ObjectIdentifier{2, 5, 4, 10}, asn1.UTF8String, 1, 64},
	{"OU", "organizationalUnitName", encasn1.ObjectIdentifier{2, 5, 4, 11}, asn1.UTF8String, 1, 64},
	{"GN", "givenName", encasn1.ObjectIdentifier{2, 5, 4, 42}, asn1.UTF8String, 1, 32768},
	{"initials", "initials", encasn1.ObjectIdentifier{2, 5, 4, 43}, asn1.UTF8String, 1, 32768},
	{"dnQualifier", "dnQualifier", encasn1.ObjectIdentifier{2, 5, 4, 46}, asn1.PrintableString, 1, 32768},
	{"DC", "domainComponent", encasn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, asn1.IA5String, 1, 32768},
	{"emailAddress", "emailAddress", encasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, asn1.IA5String, 1, 128},
}

// encode gives the part and writes its AttributeTypeAndValue.
func (p NamePart) encode() ([]byte, error) {
	var kind *namePart
	for i, known := range nameParts {
		if p.Type == known.short || p.Type == known.long {
			kind = &nameParts[i]
		}
	}
	if kind == nil {
		return nil, fmt.Errorf("no attribute of a name is called %q here", p.Type)
	}
	switch size := utf8.RuneCountInString(p.Text); {
	case !utf8.ValidString(p.Text) || strings.ContainsRune(p.Text, 0):
		return nil, fmt.Errorf("%q is no text", p.Text)
	case size < kind.least || size > kind.most:
		return nil, fmt.Errorf("%d characters; it has from %d to %d", size, kind.least, kind.most)
	case kind.tag == asn1.PrintableString && strings.Trim(p.Text, printableString) != "" || kind.tag == asn1.IA5String && !isASCII(p.Text):
		return nil, fmt.Errorf("%q has characters that its string type lacks", p.Text)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(kind.oid)
		b.AddASN1(kind.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.Text)) })
	})
	return b.Bytes()
}

// printableString are the characters of a PrintableString (X.680 41.4).
const printableString = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 '()+,-./:=?"

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 0x7f }) < 0
}

// encode writes the Name with its header.
func (n Name) encode() ([]byte, error) {
	if len(n) == 0 {
		return nil, fmt.Errorf("%w: its name is empty, and the kernel takes no such", ErrSpec)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, part := range n {
			der, err := part.encode()
			if err != nil {
				b.SetError(fmt.Errorf("%w: %s: %w", ErrSpec, part.Type, err))
			}
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(der) })
		}
	})
	return b.Bytes()
}
