package certs

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// moduleMagic ends a signed kernel module (include/linux/module_signature.h MODULE_SIG_STRING).
const moduleMagic = "~Module signature appended~\n"

// Decode reads a certificate file: one certificate in DER, or PEM with one or more CERTIFICATE blocks in their order.
// Text before, between and after PEM blocks is tolerated, as tools write it there; everything else is an error, and
// nothing is returned beside an error.
//
// Errors: those of ParseDER, ErrPrivateKey when a private key is in it, ErrNotCertificate when the input is, or holds,
// something else; the message says what it seems to be.
func Decode(data []byte) ([]*Certificate, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // byte order mark, which Windows editors write
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, ErrEmpty
	}
	if what := program(data); what != "" {
		return nil, notCertificate(what) // before looking for PEM, which a program may hold as text
	}
	c, err := ParseDER(data)
	if err == nil {
		return []*Certificate{c}, nil
	}
	if nextLine(data, pemBegin, pemEnd) >= 0 {
		return decodePEM(data)
	}
	if data[0] != uint8(asn1.SEQUENCE) {
		return nil, notCertificate(guess(data))
	}
	if other := otherDER(data); other != nil {
		return nil, other
	}
	return nil, err
}

func notCertificate(what string) error {
	return fmt.Errorf("%w: this seems to be %s", ErrNotCertificate, what)
}

// program names modules and programs, "" if it is neither.
func program(data []byte) string {
	switch {
	case bytes.HasSuffix(data, []byte(moduleMagic)):
		return "a signed kernel module"
	case bytes.HasPrefix(data, []byte("MZ")) && bytes.IndexByte(data[:min(64, len(data))], 0) > 0:
		return "a PE file (an EFI program or a kernel image)"
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		return "an ELF file (a module without an appended signature, or a program)"
	}
	return ""
}

// guess names other input that is neither DER nor PEM.
func guess(data []byte) string {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"} {
		if bytes.HasPrefix(data, []byte(prefix)) {
			return "an OpenSSH public key"
		}
	}
	return "neither DER nor PEM"
}

// otherDER recognises what else is often kept in DER, by the first elements. It returns nil for what it does not know.
func otherDER(data []byte) error {
	file := cryptobyte.String(data)
	var first, inner, rest cryptobyte.String
	var tag asn1.Tag
	if !file.ReadASN1(&rest, asn1.SEQUENCE) || !rest.ReadAnyASN1(&first, &tag) {
		return nil
	}
	pkcs7 := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07}
	switch tag {
	case asn1.OBJECT_IDENTIFIER:
		if bytes.HasPrefix(first, pkcs7) {
			return notCertificate("a PKCS#7 message")
		}
	case asn1.INTEGER: // version of a key or PKCS#12; then an algorithm, a modulus or an octet string
		if rest.PeekASN1Tag(asn1.INTEGER) || rest.PeekASN1Tag(asn1.OCTET_STRING) {
			return ErrPrivateKey // PKCS#1, SEC 1
		}
		if rest.ReadASN1(&inner, asn1.SEQUENCE) && inner.ReadASN1(&inner, asn1.OBJECT_IDENTIFIER) {
			if bytes.HasPrefix(inner, pkcs7) {
				return notCertificate("a PKCS#12 file (.p12, .pfx): extract its certificate")
			}
			return ErrPrivateKey // PKCS#8
		}
	case asn1.SEQUENCE: // an algorithm before a key, or a version, a name and a key before a signature
		if first.PeekASN1Tag(asn1.OBJECT_IDENTIFIER) {
			switch {
			case rest.PeekASN1Tag(asn1.OCTET_STRING):
				return ErrPrivateKey // encrypted PKCS#8
			case rest.PeekASN1Tag(asn1.BIT_STRING):
				return notCertificate("a public key")
			}
		}
		if first.SkipASN1(asn1.INTEGER) && first.SkipASN1(asn1.SEQUENCE) &&
			first.ReadASN1(&inner, asn1.SEQUENCE) && inner.PeekASN1Tag(asn1.SEQUENCE) &&
			first.PeekASN1Tag(asn1.Tag(0).ContextSpecific().Constructed()) {
			return notCertificate("a certificate request (CSR)")
		}
	}
	return nil
}

// The lines that matter in PEM start so.
const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
)

// decodePEM reads all blocks. encoding/pem skips a block that it cannot read, so each is cut out first.
func decodePEM(data []byte) ([]*Certificate, error) {
	var found []*Certificate
	for at := 0; ; {
		next := nextLine(data[at:], pemBegin, pemEnd)
		if next < 0 {
			return found, nil
		}
		start := at + next
		der, size, err := cutPEM(data[start:])
		var c *Certificate
		if err == nil {
			c, err = ParseDER(der)
		}
		if err != nil {
			line := 1 + bytes.Count(data[:start], []byte("\n"))
			return nil, fmt.Errorf("PEM block at line %d: %w", line, err)
		}
		found = append(found, c)
		at = start + size
	}
}

// nextLine gives the offset of the first line that starts with one of the prefixes, or -1.
func nextLine(data []byte, prefixes ...string) int {
	for at := 0; ; {
		dashes := bytes.Index(data[at:], []byte("-----"))
		if dashes < 0 {
			return -1
		}
		at += dashes
		for _, prefix := range prefixes {
			if (at == 0 || data[at-1] == '\n') && bytes.HasPrefix(data[at:], []byte(prefix)) {
				return at
			}
		}
		at++
	}
}

// cutPEM decodes the CERTIFICATE block at the start of data and gives its size with the END line.
func cutPEM(data []byte) (der []byte, size int, err error) {
	malformed := func(why string) ([]byte, int, error) {
		return nil, 0, fmt.Errorf("%w: %s", ErrMalformed, why)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	label, ok := strings.CutPrefix(strings.TrimRight(string(line), " \t\r"), pemBegin)
	if label, ok = cutDashes(label, ok); !ok {
		return malformed(fmt.Sprintf("%.60q where a BEGIN line belongs", line))
	}
	if err := checkLabel(label); err != nil {
		return nil, 0, err // rather this than a complaint about its lines
	}
	end := pemEnd + label + "-----"
	last := nextLine(data[len(line):], pemBegin, pemEnd)
	if last < 0 || !bytes.HasPrefix(data[len(line)+last:], []byte(end)) {
		return malformed("BEGIN " + label + " without its END line")
	}
	size = len(line) + last + len(end)
	if size > 4*MaxSize { // base64 takes a third more, short lines and headers may double that
		return nil, 0, tooLarge(size)
	}
	block, after := pem.Decode(append(bytes.Clone(data[:size]), '\n'))
	if block == nil || len(after) > 0 {
		return malformed("its lines are no base64")
	}
	return block.Bytes, size, nil
}

func cutDashes(label string, ok bool) (string, bool) {
	label, closed := strings.CutSuffix(label, "-----")
	return label, ok && closed
}

// checkLabel refuses all blocks but CERTIFICATE.
func checkLabel(label string) error {
	switch label {
	case "CERTIFICATE":
		return nil
	case "TRUSTED CERTIFICATE":
		return notCertificate("OpenSSL's own form TRUSTED CERTIFICATE; openssl x509 writes it as a plain one")
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return notCertificate("a certificate request (CSR)")
	case "PKCS7", "CMS":
		return notCertificate("a PKCS#7 message")
	case "OPENSSH PRIVATE KEY":
		return fmt.Errorf("%w (OpenSSH keys have none)", ErrPrivateKey)
	}
	if strings.HasSuffix(label, "PRIVATE KEY") {
		return ErrPrivateKey
	}
	return notCertificate(fmt.Sprintf("PEM of kind %q", label))
}
