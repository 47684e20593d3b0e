package certs

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// String types that x/crypto/cryptobyte/asn1 has no name for.
const (
	universalString = asn1.Tag(28)
	bmpString       = asn1.Tag(30)
	visibleString   = asn1.Tag(26)
	numericString   = asn1.Tag(18)
)

// attributeNames are the short names of RFC 4514 and, for emailAddress and serialNumber, those of openssl.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1": "emailAddress",
}

// DistinguishedName writes a Name's content in one line as RFC 4514 says: the last RDN first (and in
// it the last attribute first, as openssl does), special characters behind
// a backslash, bytes that are no text of their string type as backslash and hex, values of unknown attributes or of
// no string type as "#" and the hex of their DER. Control characters stay as they are, except NUL.
func DistinguishedName(name []byte) string {
	var line strings.Builder
	all := rdns(name)
	for i := range all {
		if i > 0 {
			line.WriteByte(',')
		}
		rdn := all[len(all)-1-i]
		for j := range rdn {
			if j > 0 {
				line.WriteByte('+')
			}
			writeAttribute(&line, rdn[len(rdn)-1-j])
		}
	}
	return line.String()
}

func writeAttribute(line *strings.Builder, a attribute) {
	oid := dotted(a.oid)
	name, known := attributeNames[oid]
	text, isText := a.text()
	if !known {
		name = oid
	}
	line.WriteString(name + "=")
	if known && isText {
		line.WriteString(escape(text))
		return
	}
	var b cryptobyte.Builder
	b.AddASN1(a.tag, func(b *cryptobyte.Builder) { b.AddBytes(a.value) })
	der, _ := b.Bytes() // fails on lengths beyond 4 GiB only
	line.WriteString("#" + strings.ToUpper(hex.EncodeToString(der)))
}

// text decodes the value by its string type. The result may hold invalid UTF-8 where the value does.
func (a attribute) text() (string, bool) {
	switch a.tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String, visibleString, numericString:
		return string(a.value), true
	case asn1.T61String: // in practice it holds Latin-1
		runes := make([]rune, len(a.value))
		for i, b := range a.value {
			runes[i] = rune(b)
		}
		return string(runes), true
	case bmpString:
		units := make([]uint16, len(a.value)/2)
		for i := range units {
			units[i] = uint16(a.value[2*i])<<8 | uint16(a.value[2*i+1])
		}
		return string(utf16.Decode(units)), len(a.value)%2 == 0
	case universalString:
		runes := make([]rune, len(a.value)/4)
		for i := range runes {
			for _, b := range a.value[4*i : 4*i+4] {
				runes[i] = runes[i]<<8 | rune(b)
			}
		}
		return string(runes), len(a.value)%4 == 0
	}
	return "", false
}

// escape applies RFC 4514 2.4.
func escape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		edge := r == ' ' && (i == 0 || i == len(text)-1) || r == '#' && i == 0
		switch {
		case r == utf8.RuneError && size == 1 || r == 0:
			fmt.Fprintf(&out, `\%02X`, text[i])
		case edge || strings.ContainsRune(`,+"\<>;`, r):
			out.WriteByte('\\')
			out.WriteRune(r)
		default:
			out.WriteRune(r)
		}
		i += size
	}
	return out.String()
}

// valid replaces each byte that is no UTF-8 by U+FFFD.
func valid(text string) string { return string([]rune(text)) }
