package certs

import (
	"bytes"
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// attribute is one part of a distinguished name: the OID's content, the value's tag and its content.
type attribute struct {
	oid   []byte
	tag   asn1.Tag
	value []byte
}

// Content octets of the OIDs of the three attributes that the kernel remembers.
var (
	oidCommonName   = []byte{0x55, 0x04, 3}
	oidOrganization = []byte{0x55, 0x04, 10}
	oidEmail        = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01}
)

// name reads a Name and gives its raw content. It may be empty, each RDN in it may not.
func (c *cursor) name(what string) ([]byte, error) {
	_, content, err := c.want(asn1.SEQUENCE, what)
	if err != nil {
		return nil, err
	}
	raw := content.rest
	_, err = content.attributes(what)
	return raw, err
}

// attributes reads the RDNs of a Name's content.
func (c *cursor) attributes(what string) (rdns [][]attribute, err error) {
	for !c.empty() {
		_, set, err := c.want(asn1.SET, what+" RDN")
		if err != nil {
			return nil, err
		}
		var rdn []attribute
		for first := true; first || !set.empty(); first = false {
			a, err := set.attribute(what)
			if err != nil {
				return nil, err
			}
			rdn = append(rdn, a)
		}
		rdns = append(rdns, rdn)
	}
	return rdns, nil
}

func (c *cursor) attribute(what string) (attribute, error) {
	_, seq, err := c.want(asn1.SEQUENCE, what+" attribute")
	if err != nil {
		return attribute{}, err
	}
	_, oid, err := seq.want(asn1.OBJECT_IDENTIFIER, what+" attribute type")
	if err != nil {
		return attribute{}, err
	}
	tag, _, value, err := seq.next(what + " attribute value")
	if err != nil {
		return attribute{}, err
	}
	return attribute{oid.rest, tag, value.rest}, seq.end(what + " attribute")
}

// rdns gives the parts of a Name's content that was walked before.
func rdns(name []byte) [][]attribute {
	c := cursor{cryptobyte.String(name), 0}
	parts, _ := c.attributes("name")
	return parts
}

// fabricate composes the name as the kernel does (x509_fabricate_name in crypto/asymmetric_keys/x509_cert_parser.c):
// from the last CN, O and emailAddress, bytes as written, whatever their string type.
func fabricate(name []byte) []byte {
	var cn, o, email []byte
	for _, rdn := range rdns(name) {
		for _, a := range rdn {
			// The kernel keeps each length in one byte, so 256 bytes count as none and 260 as four.
			kept := a.value[:len(a.value)&0xff]
			switch {
			case bytes.Equal(a.oid, oidCommonName):
				cn = kept
			case bytes.Equal(a.oid, oidOrganization):
				o = kept
			case bytes.Equal(a.oid, oidEmail):
				email = kept
			}
		}
	}
	switch {
	case len(cn) > 0 && len(o) > 0:
		const significant = 7
		if bytes.HasPrefix(cn, o) || len(cn) >= significant && len(o) >= significant && bytes.Equal(cn[:significant], o[:significant]) {
			return cn
		}
		return bytes.Join([][]byte{o, cn}, []byte(": "))
	case len(cn) > 0:
		return cn
	case len(o) > 0:
		return o
	}
	return email
}

// KernelName is the description that the kernel gives a key which it makes from this certificate, byte for byte:
// a name out of the subject, a colon and a space, the key id in lower-case hex. It ends the name at a NUL byte, so
// that Latin letters in a BMPString give an empty one, and it converts nothing: the result may hold control
// characters, semicolons, newlines and invalid UTF-8 (x509_key_preparse in crypto/asymmetric_keys/x509_public_key.c).
// Only whoever adds the key by hand with a description of their own makes the kernel use another one.
func (c *Certificate) KernelName() string {
	name, _, _ := bytes.Cut(fabricate(c.Subject), []byte{0})
	return string(name) + ": " + hex.EncodeToString(c.KeyID())
}

// ParseKernelName takes a key's description apart: the name, and the key id behind the last colon and space. It is not
// ok when no lower-case hex of whole bytes, at least one, stands there: the description was not made by the kernel from
// a certificate (or from one whose serial number is empty).
func ParseKernelName(description string) (name string, keyID []byte, ok bool) {
	i := strings.LastIndex(description, ": ")
	if i < 0 {
		return "", nil, false
	}
	digits := description[i+2:]
	if digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", nil, false
	}
	keyID, err := hex.DecodeString(digits)
	if err != nil {
		return "", nil, false
	}
	return description[:i], keyID, true
}

// MatchesName tells whether a key of this description may have been made from this certificate: the description is its
// KernelName. That identifies and does not prove, because anyone can write a certificate of equal name and id.
func (c *Certificate) MatchesName(description string) bool {
	return description == c.KernelName()
}

// MatchesKeyID tells whether the key id in the description is this certificate's, whatever the name before it. It is
// weaker than MatchesName: several certificates of one key may have one key id.
func (c *Certificate) MatchesKeyID(description string) bool {
	_, id, ok := ParseKernelName(description)
	return ok && bytes.Equal(id, c.KeyID())
}
