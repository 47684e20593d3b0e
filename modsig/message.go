package modsig

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"

	tag "golang.org/x/crypto/cryptobyte/asn1"

	"kkeys/certs"
)

// MaxMessage is the largest message in bytes that the kernel reads (lib/asn1_decoder.c asn1_ber_decoder).
const MaxMessage = 65535

// Message is the CMS SignedData (RFC 5652 5.1) of a module signature, as the kernel's parser takes it
// (crypto/asymmetric_keys/pkcs7_parser.c): detached data, no authenticated attributes.
type Message struct {
	// Signers is at least one. All name their key in the same way.
	Signers []Signer
	// Certificates are those that the message carries, in its order. sign-file writes none.
	Certificates []*certs.Certificate

	unsigned bool // a signer has attributes that are not signed
}

// Signer is one SignerInfo (RFC 5652 5.3).
type Signer struct {
	// Issuer and Serial name the key's certificate (version 1): the content of the Name SEQUENCE and of the INTEGER, as
	// written, comparable with those of a certs.Certificate. Both are nil when SKID is there.
	Issuer, Serial []byte
	// SKID names the key by its subject key identifier (version 3), nil otherwise.
	SKID []byte
	// Hash is the kernel's name of the digest algorithm: "sha256", "sha3-512", "streebog256" …
	Hash string
	// Algorithm is the kind of key: "rsa" (PKCS #1 v1.5), "ecdsa", "ecrdsa", "mldsa44", "mldsa65", "mldsa87".
	Algorithm string
	// Signature is the signature value; for ECDSA a DER SEQUENCE of two numbers.
	Signature []byte
}

// ID is what the kernel looks the key up by: serial number and issuer, or the SKID. It is compared as a whole with ID0 and
// ID1 of certs.Certificate.
func (s Signer) ID() []byte {
	if s.SKID != nil {
		return s.SKID
	}
	return bytes.Join([][]byte{s.Serial, s.Issuer}, nil)
}

// Decode reads a message. Bytes after it are ignored, as the kernel does. The result shares memory with message.
//
// The first thing that the kernel would stumble over is the error: ErrMalformed, ErrUnsupported, ErrAttached and
// ErrAttributes, or, where only this program stumbles, ErrNotDER; each a *SyntaxError. As in the kernel one such signer spoils the message, also when others are fine.
func Decode(message []byte) (*Message, error) {
	if len(message) > MaxMessage {
		return nil, malformed(0, "message", "%d bytes, the kernel reads at most %d", len(message), MaxMessage)
	}
	file := reader{message, 0}
	info, err := file.want(tag.SEQUENCE, "message")
	if err != nil {
		return nil, err
	}
	if err := info.contentType("message", oidSignedData); err != nil {
		return nil, err
	}
	explicit, err := info.want(context0, "signed data")
	if err != nil {
		return nil, err
	}
	if err := info.end("message"); err != nil {
		return nil, err
	}
	data, err := explicit.want(tag.SEQUENCE, "signed data")
	if err != nil {
		return nil, err
	}
	if err := explicit.end("signed data"); err != nil {
		return nil, err
	}
	return data.signedData()
}

// contentType reads an OID that has to be this one.
func (r *reader) contentType(what string, wanted asn1.ObjectIdentifier) error {
	at := *r
	switch oid, err := r.oid(what + " content type"); {
	case err != nil:
		return err
	case !oid.Equal(wanted):
		return at.bad(what+" content type", "%s, module signatures have %s", oid, wanted)
	}
	return nil
}

// signedData reads SignedData, RFC 5652 5.1.
func (r *reader) signedData() (*Message, error) {
	version, err := r.version("SignedData version")
	if err != nil {
		return nil, err
	}
	digests, err := r.want(tag.SET, "digest algorithms")
	if err != nil {
		return nil, err
	}
	if err := digests.each("digest algorithms", func(r *reader) error {
		_, _, err := r.algorithm("digest algorithm") // the kernel does not look which
		return err
	}); err != nil {
		return nil, err
	}
	if err := r.content(); err != nil {
		return nil, err
	}
	m := &Message{}
	if r.has(context0) {
		if m.Certificates, err = r.certificates(); err != nil {
			return nil, err
		}
	}
	if r.has(context1) {
		// Its grammar for them fits no list that exists, so the kernel refuses the message (pkcs7.asn1 CertificateList).
		return nil, r.bad("revocation lists", "the kernel cannot read them")
	}
	signers, err := r.want(tag.SET, "signers")
	if err != nil {
		return nil, err
	}
	if err := signers.each("signers", func(r *reader) error {
		s, err := r.signer(version, &m.unsigned)
		m.Signers = append(m.Signers, s)
		return err
	}); err != nil {
		return nil, err
	}
	return m, r.end("signed data")
}

// content reads EncapsulatedContentInfo, which must be of type data and without the data.
func (r *reader) content() error {
	info, err := r.want(tag.SEQUENCE, "content")
	if err != nil {
		return err
	}
	if err := info.contentType("content", oidData); err != nil {
		return err
	}
	if info.has(context0) {
		return refused(ErrAttached, info.at, "content", len(info.rest))
	}
	return info.end("content")
}

// refused is an outcome other than damage.
func refused(outcome error, at int, what string, size int) error {
	return &SyntaxError{Offset: at, What: what, Why: fmt.Sprintf("%d bytes", size), outcome: outcome}
}

// certificates reads the certificates. One that no kernel takes spoils the message (pkcs7_extract_cert).
func (r *reader) certificates() (found []*certs.Certificate, err error) {
	set, err := r.want(context0, "certificates")
	if err != nil || set.rest.Empty() {
		return nil, err
	}
	err = set.each("certificates", func(r *reader) error {
		at := *r
		der, _, err := r.next("certificate")
		if err != nil {
			return err
		}
		c, err := certs.ParseDER(der)
		switch {
		case err != nil && der[0] != 0x30:
			return at.bad("certificate", "%v", err)
		case err != nil: // the kernel reads certificates as loosely as messages
			return at.loose("certificate", "%v", err)
		}
		if refusal, ok := c.Refusal().(*certs.Refusal); ok {
			outcome := ErrMalformed
			if slices.Contains(refusal.Errnos, "ENOPKG") {
				outcome = ErrUnsupported
			}
			return &SyntaxError{Offset: at.at, What: "certificate", Why: refusal.Why, outcome: outcome}
		}
		found = append(found, c)
		return nil
	})
	return found, err
}

// signer reads a SignerInfo in a SignedData of this version. The kernel wants both to have the same (pkcs7_parser.c
// pkcs7_note_signerinfo_version), and so does the form in which the key is named.
func (r *reader) signer(outer uint8, unsigned *bool) (s Signer, err error) {
	info, err := r.want(tag.SEQUENCE, "signer")
	if err != nil {
		return s, err
	}
	at := info
	version, err := info.version("SignerInfo version")
	if err != nil {
		return s, err
	}
	if version != outer {
		return s, at.bad("SignerInfo version", "%d in SignedData of version %d", version, outer)
	}
	if err := info.signerID(version, &s); err != nil {
		return s, err
	}
	oid, where, err := info.algorithm("digest algorithm")
	if err != nil {
		return s, err
	}
	if s.Hash = hashByOID(oid); s.Hash == "" {
		return s, unsupported(where, "digest algorithm", oid)
	}
	if info.has(context0) {
		return s, refused(ErrAttributes, info.at, "authenticated attributes", len(info.rest))
	}
	if oid, where, err = info.algorithm("signature algorithm"); err != nil {
		return s, err
	}
	if s.Algorithm = keyByOID(oid); s.Algorithm == "" {
		return s, unsupported(where, "signature algorithm", oid)
	}
	signature, err := info.want(tag.OCTET_STRING, "signature")
	if err != nil {
		return s, err
	}
	s.Signature = signature.rest
	if info.has(context1) { // attributes that are not signed: the kernel takes them
		*unsigned = true
		attributes, err := info.want(context1, "unauthenticated attributes")
		if err == nil {
			err = attributes.attributes("unauthenticated attributes")
		}
		if err != nil {
			return s, err
		}
	}
	return s, info.end("signer")
}

// signerID reads by what the key is named.
func (r *reader) signerID(version uint8, s *Signer) error {
	if version == 3 {
		id, err := r.want(skidTag, "subject key identifier")
		s.SKID = id.rest
		return err
	}
	seq, err := r.want(tag.SEQUENCE, "issuer and serial number")
	if err != nil {
		return err
	}
	if s.Issuer, err = seq.name("issuer"); err != nil {
		return err
	}
	serial, err := seq.want(tag.INTEGER, "serial number")
	if err != nil {
		return err
	}
	s.Serial = serial.rest
	return seq.end("issuer and serial number")
}
