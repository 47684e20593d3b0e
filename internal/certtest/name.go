package certtest

import (
	"encoding/asn1"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// String types of an attribute's value.
const (
	UTF8String      = cbasn1.UTF8String
	PrintableString = cbasn1.PrintableString
	TeletexString   = cbasn1.T61String
	IA5String       = cbasn1.IA5String
	UniversalString = cbasn1.Tag(28)
	BMPString       = cbasn1.Tag(30)
)

// Attribute is one part of a name. Value holds the content octets, unchecked against the string type Tag.
type Attribute struct {
	OID   string
	Tag   cbasn1.Tag
	Value string
}

// Name is a distinguished name with one attribute in each RDN, in this order. Multi, for a name with several
// attributes in one RDN, takes its place in Spec.
type Name []Attribute

// Multi is a name whose RDNs may have several attributes.
type Multi [][]Attribute

// CN, O, OU and Email make an attribute of type UTF8String (Email: IA5String).
func CN(value string) Attribute    { return Attribute{"2.5.4.3", UTF8String, value} }
func O(value string) Attribute     { return Attribute{"2.5.4.10", UTF8String, value} }
func OU(value string) Attribute    { return Attribute{"2.5.4.11", UTF8String, value} }
func Email(value string) Attribute { return Attribute{"1.2.840.113549.1.9.1", IA5String, value} }

// As gives the attribute another string type.
func (a Attribute) As(tag cbasn1.Tag) Attribute {
	a.Tag = tag
	return a
}

// Content is the content of the Name SEQUENCE.
func (n Name) Content() []byte {
	multi := Multi{}
	for _, a := range n {
		multi = append(multi, []Attribute{a})
	}
	return multi.Content()
}

// Content is the content of the Name SEQUENCE.
func (m Multi) Content() []byte {
	var b cryptobyte.Builder
	for _, rdn := range m {
		b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
			for _, a := range rdn {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, a.OID)
					b.AddASN1(a.Tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(a.Value)) })
				})
			}
		})
	}
	return b.BytesOrPanic()
}

// Names is Name, Multi or Raw.
type Names interface{ Content() []byte }

// Raw is the content of a Name SEQUENCE as it shall be written.
type Raw []byte

// Content is the bytes themselves.
func (r Raw) Content() []byte { return r }

func addOID(b *cryptobyte.Builder, dotted string) {
	var oid asn1.ObjectIdentifier
	for _, part := range strings.Split(dotted, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			b.SetError(err)
		}
		oid = append(oid, n)
	}
	b.AddASN1ObjectIdentifier(oid)
}
