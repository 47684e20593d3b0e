package certs

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// extension is one entry of the extensions: the OID's content and what is inside the OCTET STRING.
type extension struct {
	oid, value []byte
}

// Content octets of the extension OIDs (RFC 5280 4.2.1).
var (
	oidSKID             = []byte{0x55, 0x1d, 14}
	oidKeyUsage         = []byte{0x55, 0x1d, 15}
	oidBasicConstraints = []byte{0x55, 0x1d, 19}
	oidAKI              = []byte{0x55, 0x1d, 35}
	oidExtKeyUsage      = []byte{0x55, 0x1d, 37}
)

// walkExtensions reads the extensions and takes the identity out of them.
func (c *Certificate) walkExtensions(tbs *cursor) error {
	tag := asn1.Tag(3).ContextSpecific().Constructed()
	if !tbs.has(tag) {
		return nil
	}
	_, explicit, err := tbs.want(tag, "extensions")
	if err != nil {
		return err
	}
	_, list, err := explicit.want(asn1.SEQUENCE, "extensions")
	if err != nil {
		return err
	}
	for first := true; first || !list.empty(); first = false {
		if err := c.walkExtension(&list); err != nil {
			return err
		}
	}
	c.identify()
	return explicit.end("extensions")
}

func (c *Certificate) walkExtension(list *cursor) error {
	_, seq, err := list.want(asn1.SEQUENCE, "extension")
	if err != nil {
		return err
	}
	_, id, err := seq.want(asn1.OBJECT_IDENTIFIER, "extension id")
	if err != nil {
		return err
	}
	if seq.has(asn1.BOOLEAN) {
		if _, _, err := seq.want(asn1.BOOLEAN, "extension critical"); err != nil {
			return err
		}
	}
	_, value, err := seq.want(asn1.OCTET_STRING, "extension value")
	if err != nil {
		return err
	}
	c.extensions = append(c.extensions, extension{id.rest, value.rest})
	return seq.end("extension")
}

// find gives the value of the last extension with this OID, which is the one that counts for the kernel.
func (c *Certificate) find(oid []byte) (value []byte, ok bool) {
	for _, e := range c.extensions {
		if bytes.Equal(e.oid, oid) {
			value, ok = e.value, true
		}
	}
	return value, ok
}

// identify fills SubjectKeyID and Authority.
func (c *Certificate) identify() {
	if value, ok := c.find(oidSKID); ok {
		c.SubjectKeyID, _ = skid(value)
	}
	if value, ok := c.find(oidAKI); ok {
		c.Authority, c.authorityIs = authority(value)
	}
}

// skid takes the id out of the extension's value as the kernel does (x509_process_extension): it skips two bytes,
// of which the second must be the count of what follows. A longer length form therefore fails, with one exception:
// 04 81 80 and 128 bytes. There 0x81 happens to be the count of the bytes behind it, and the id becomes 0x80 followed
// by the 128 bytes.
func skid(value []byte) ([]byte, bool) {
	if len(value) < 3 || value[0] != uint8(asn1.OCTET_STRING) || int(value[1]) != len(value)-2 {
		return nil, false
	}
	return value[2:], true
}

// reading is what the kernel makes of an extension.
type reading int

const (
	bad     reading = iota // it is not DER; a kernel's looser BER reader may still take it
	differs                // it depends on the kernel's version
	good
)

// authority reads the AKI as the kernel does (crypto/asymmetric_keys/x509_akid.asn1): bytes after the SEQUENCE and
// a serial number without an issuer are ignored.
func authority(value []byte) (Authority, reading) {
	v := cursor{cryptobyte.String(value), 0}
	_, seq, err := v.want(asn1.SEQUENCE, "authorityKeyIdentifier")
	if err != nil {
		return Authority{}, bad
	}
	var parts [3][]byte
	names := asn1.Tag(1).ContextSpecific().Constructed()
	for i, tag := range []asn1.Tag{asn1.Tag(0).ContextSpecific(), names, asn1.Tag(2).ContextSpecific()} {
		if !seq.has(tag) {
			continue
		}
		_, content, err := seq.want(tag, "authorityKeyIdentifier")
		if err != nil {
			return Authority{}, bad
		}
		parts[i] = content.rest
	}
	if !seq.empty() {
		return Authority{}, bad
	}
	issuer, how := directoryName(parts[1])
	if how == bad {
		return Authority{}, bad
	}
	a := Authority{KeyID: parts[0], Issuer: issuer}
	if issuer != nil {
		a.Serial = parts[2]
	}
	return a, how
}

// directoryName finds the last directoryName among GeneralNames, nil if there is none. Kernels read the other kinds of
// name differently: up to 6.1 they took them in a form that nobody writes.
func directoryName(names []byte) (issuer []byte, how reading) {
	c := cursor{cryptobyte.String(names), 0}
	how = good
	for !c.empty() {
		tag, _, content, err := c.next("generalName")
		switch {
		case err != nil || tag&0x80 == 0 || tag&0x1f > 8:
			return nil, bad
		case tag != asn1.Tag(4).ContextSpecific().Constructed():
			how = differs
			continue
		}
		if issuer, err = content.name("directoryName"); err != nil || len(issuer) == 0 || !content.empty() {
			return nil, bad
		}
	}
	return issuer, how
}
