package machine

import (
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"

	"kkeys/certs"
	"kkeys/kernel"
	"kkeys/modsig"
)

// Question says which key the kernel is asked about with load probes, and how.
type Question struct {
	// ByIssuer names the key by issuer and serial number, BySKID by its SKID; one may be nil. Both have the same hash and algorithm, and their
	// Signature is not used.
	ByIssuer, BySKID *modsig.Signer
	// Certificate and Private are for a probe that is really signed; Private nil: none is made.
	Certificate *certs.Certificate
	Private     crypto.Signer
}

// ErrQuestion: the question names no key.
var ErrQuestion = errors.New("nothing to probe for")

// QuestionAbout asks about a certificate's key with this hash, by the kernel's name ("sha256"); by its SKID too where it has one. private may
// be nil. The error is [modsig.ErrInvalid]: the kernel knows no such hash or kind of key.
func QuestionAbout(c *certs.Certificate, hash string, private crypto.Signer) (Question, error) {
	q := Question{Certificate: c, Private: private}
	byIssuer, err := modsig.SignerFor(c, hash, false)
	if err != nil {
		return Question{}, err
	}
	q.ByIssuer = &byIssuer
	if len(c.SubjectKeyID) > 0 {
		bySKID, err := modsig.SignerFor(c, hash, true)
		if err != nil {
			return Question{}, err
		}
		q.BySKID = &bySKID
	}
	return q, nil
}

// QuestionOf asks about the key that a module's signature names, which needs no certificate.
func QuestionOf(s modsig.Signer) Question {
	if s.SKID != nil {
		return Question{BySKID: &s}
	}
	return Question{ByIssuer: &s}
}

// Prove makes the load probes for one question: the controls, one probe for each name, one that is signed where there is a private key. It
// draws no conclusion. files is the root folder, for /proc/crypto. Errors, of which all but the prober's come before the kernel is asked: [ErrQuestion],
// [kernel.ErrArchitecture], those of signing ([modsig.ErrInvalid], or the private key's own), of the prober ([kernel.ErrNoProbe],
// [kernel.ErrNotRecorded]).
func Prove(prober kernel.Prober, files fs.FS, q Question) (*kernel.Probes, error) {
	payload, err := kernel.NewPayload(rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &kernel.Probes{}
	probes, hash, err := q.compose(payload.Bytes(), p)
	if err != nil {
		return nil, err
	}
	for _, probe := range probes {
		if *probe.into, err = prober.Probe(payload, probe.trailer); err != nil {
			return nil, err
		}
	}
	// Afterwards, since the kernel may load a hash when it is asked for it. A list that cannot be read leaves the hash unknown.
	algorithms, _ := kernel.ReadAlgorithms(files)
	p.Hash = algorithms.Registered(hash)
	return p, nil
}

// probe is what stands behind the payload, and where the answer goes.
type probe struct {
	into    **kernel.Attempt
	trailer []byte
}

// compose makes the trailers of all probes, and tells their hash.
func (q Question) compose(payload []byte, p *kernel.Probes) (probes []probe, hash string, err error) {
	probes = []probe{{&p.Control, nil}, {&p.Broken, brokenTrailer()}}
	keyless := func(into **kernel.Attempt, s modsig.Signer) {
		var trailer []byte
		if err == nil {
			trailer, err = keylessTrailer(payload, s)
		}
		probes, hash = append(probes, probe{into, trailer}), s.Hash
	}
	if q.ByIssuer != nil {
		var stranger modsig.Signer
		stranger, err = strangerByIssuer(*q.ByIssuer)
		keyless(&p.Stranger, stranger)
		keyless(&p.Keyless, *q.ByIssuer)
	}
	if q.BySKID != nil {
		keyless(&p.StrangerSKID, strangerBySKID(*q.BySKID))
		keyless(&p.KeylessSKID, *q.BySKID)
	}
	switch {
	case err != nil:
		return nil, "", err
	case q.ByIssuer == nil && q.BySKID == nil:
		return nil, "", ErrQuestion
	case q.Private == nil:
		return probes, hash, nil
	case q.Certificate == nil || q.ByIssuer == nil:
		return nil, "", fmt.Errorf("%w: a signed probe needs the certificate", ErrQuestion)
	}
	signed, err := modsig.Sign(payload, q.Private, q.Certificate, hash, false)
	if err != nil {
		return nil, "", err
	}
	return append(probes, probe{&p.Signed, signed[len(payload):]}), hash, nil
}

// keylessTrailer names a key and signs with random bytes, in the form that signatures of its algorithm have.
func keylessTrailer(payload []byte, s modsig.Signer) (trailer []byte, err error) {
	if s.Signature, err = randomSignature(s.Algorithm); err != nil {
		return nil, err
	}
	message, err := (&modsig.Message{Signers: []modsig.Signer{s}}).Encode()
	if err != nil {
		return nil, err
	}
	signed, err := modsig.Append(payload, message)
	if err != nil {
		return nil, err
	}
	return signed[len(payload):], nil
}

// brokenTrailer is a struct module_signature (include/linux/module_signature.h) of kind PKEY_ID_PKCS7 that claims the largest size.
func brokenTrailer() []byte {
	return append([]byte{2: 2, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff}, modsig.Magic...)
}

// randomSignature is of the size of an RSA-2048 or a P-256 signature; what the kernel finds wrong with one under a key that it has does
// not matter, see pkcs7_validate_trust_one in crypto/asymmetric_keys/pkcs7_trust.c.
func randomSignature(algorithm string) ([]byte, error) {
	if algorithm == "ecdsa" {
		return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(random(32)), new(big.Int).SetBytes(random(32))})
	}
	return random(256), nil
}

// strangerByIssuer and strangerBySKID name a key that is nowhere, with the hash and the algorithm of the model.
func strangerByIssuer(model modsig.Signer) (modsig.Signer, error) {
	// A Name of one part: its content is that part.
	issuer, err := asn1.Marshal(pkix.RelativeDistinguishedNameSET{{
		Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "kkeys load probe " + hex.EncodeToString(random(8)),
	}})
	return modsig.Signer{Issuer: issuer, Serial: append([]byte{1}, random(15)...), Hash: model.Hash, Algorithm: model.Algorithm}, err
}

func strangerBySKID(model modsig.Signer) modsig.Signer {
	return modsig.Signer{SKID: random(20), Hash: model.Hash, Algorithm: model.Algorithm}
}

// random gives n random bytes; crypto/rand does not fail.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
