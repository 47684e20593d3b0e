package modsig

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"math/big"

	"kkeys/certs"
)

// Outcome says how a signature stands towards a set of candidate keys.
type Outcome int

// The outcomes, and what the kernel says when the candidates are its trusted keys. The zero value is no outcome.
const (
	_ Outcome = iota
	// Valid: a candidate's key made the signature, or the key of a certificate in the message did that a candidate issued.
	Valid
	// UnknownKey: no candidate has the signer's id (ENOKEY).
	UnknownKey
	// Wrong: a candidate has the signer's id and its key did not make the signature (EKEYREJECTED; EINVAL when a certificate
	// in the message has it): the payload or the signature was changed, by strip for one, or another key has the same id.
	Wrong
	// Unsupported: it could neither be confirmed nor refuted with what this program knows (ENOPKG where the kernel lacks
	// the algorithm, too). Result.Err says what is missing.
	Unsupported
)

// String gives "valid", "unknown key", "wrong", "unsupported".
func (o Outcome) String() string {
	return [...]string{"none", "valid", "unknown key", "wrong", "unsupported"}[o]
}

// Result is an outcome with what it rests on.
type Result struct {
	Outcome Outcome
	// Signer is the one that decided, by its place in Message.Signers. For UnknownKey it is the first.
	Signer int
	// Key is the certificate whose key verified (Valid) or did not (Wrong): a candidate, or with Wrong one of the message.
	// Nil otherwise.
	Key *certs.Certificate
	// Chain is what stands between signature and Key: certificates of the message, the signer's first, each issued by
	// the next and the last by Key. Empty when Key made the signature itself, as it is with all modules of sign-file.
	Chain []*certs.Certificate
	// Err is why the outcome is Unsupported, nil otherwise.
	Err error
}

// Verify checks the signature over a payload. It follows pkcs7_verify and pkcs7_validate_trust in
// crypto/asymmetric_keys, with the candidates as the keyring: ids are compared as a whole; certificates in the message are
// checked against each other first; neither dates nor key usage matter. With several signers a wrong one spoils all,
// else one that is valid is enough.
//
// Two differences: of several candidates with the same id any may be the right one, while the kernel takes the first it
// finds; and nothing is revoked here.
func (m *Message) Verify(payload []byte, candidates []*certs.Certificate) Result {
	return m.VerifyDigests(m.Digests(payload), candidates)
}

// Digests are those of a payload that the signers are over, by hash; nil where it cannot be computed here.
func (m *Message) Digests(payload []byte) map[string][]byte {
	digests := map[string][]byte{}
	for _, s := range m.Signers {
		if digests[s.Hash] == nil {
			_, digests[s.Hash] = sum(s.Hash, payload)
		}
	}
	return digests
}

// VerifyDigests is Verify for whoever no longer has the payload.
func (m *Message) VerifyDigests(digests map[string][]byte, candidates []*certs.Certificate) Result {
	check := check{m.Certificates, candidates, digests}
	var best Result
	for i, s := range m.Signers {
		result := check.signer(s)
		result.Signer = i
		if rank(result) > rank(best) {
			best = result
		}
	}
	return best
}

// rank tells which signer's result is the message's.
func rank(r Result) int {
	return map[Outcome]int{UnknownKey: 1, Unsupported: 2, Valid: 3, Wrong: 4}[r.Outcome]
}

// check is one call of Verify.
type check struct {
	embedded, candidates []*certs.Certificate
	digests              map[string][]byte // by hash, nil where it cannot be computed
}

// proof tells whether a certificate's key made a signature.
type proof func(key *certs.Certificate) (bool, error)

// signer follows pkcs7_verify_one and then pkcs7_validate_trust_one.
func (c *check) signer(s Signer) Result {
	digest := c.digests[s.Hash]
	if digest == nil {
		return Result{Outcome: Unsupported, Err: fmt.Errorf("%w: hash %s", certs.ErrUnverifiable, s.Hash)}
	}
	made := proof(func(key *certs.Certificate) (bool, error) {
		if s.Algorithm != key.KeyAlgorithm() {
			return false, nil
		}
		good, err := key.VerifyDigest(s.Hash, digest, s.Signature)
		if !good && err == nil && s.Algorithm == "ecdsa" && loosePair(s.Signature) {
			err = fmt.Errorf("%w: %w: an ECDSA signature", certs.ErrUnverifiable, ErrNotDER)
		}
		return good, err
	})
	chain, broken := c.chain(s, made)
	if broken != nil {
		return *broken
	}
	signed := made // what the key that is looked for has to have signed
	for i, x := range chain {
		if keys := find(c.candidates, x.ID0(), x.ID1()); len(keys) > 0 {
			return decide(keys, signed, chain[:i])
		}
		if self, _ := x.SelfSigned(); self {
			return Result{Outcome: UnknownKey}
		}
		signed = x.SignedBy
	}
	if len(chain) > 0 {
		a := chain[len(chain)-1].Authority
		if keys := find(c.candidates, a.ID0(), a.KeyID); len(keys) > 0 {
			return decide(keys, signed, chain)
		} else if keys := find(c.candidates, a.ID0(), nil); len(keys) > 0 && a.KeyID != nil {
			return Result{Outcome: Wrong, Key: keys[0], Chain: chain} // the issuer by one id, not by the other
		}
	}
	if keys := find(c.candidates, s.ID(), nil); len(keys) > 0 {
		return decide(keys, made, nil)
	}
	return Result{Outcome: UnknownKey}
}

// loosePair tells whether a signature is no pair of numbers in DER and may be one for the kernel, which takes numbers without a sign, numbers with more
// zeros than need be, and what stands behind the pair (crypto/ecdsa.c, ecdsa_get_signature_rs; lib/asn1_decoder.c).
func loosePair(signature []byte) bool {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &pair)
	strict := err == nil && len(rest) == 0 && pair.R.Sign() > 0 && pair.S.Sign() > 0
	return !strict && bytes.HasPrefix(signature, []byte{0x30})
}

// chain starts at the message's certificate for this signer, if it has one, and follows the issuers that the message has
// as well (pkcs7_find_key, pkcs7_verify_sig_chain). A link that does not hold is a result already.
func (c *check) chain(s Signer, signed proof) (chain []*certs.Certificate, broken *Result) {
	next := first(c.embedded, func(x *certs.Certificate) bool { return bytes.Equal(x.ID0(), s.ID()) })
	for next != nil && !has(chain, next) {
		if r := decide([]*certs.Certificate{next}, signed, chain); r.Outcome != Valid {
			return nil, &r
		}
		chain = append(chain, next)
		if self, _ := next.SelfSigned(); self {
			break
		}
		signed = next.SignedBy
		a := next.Authority
		next = first(c.embedded, func(x *certs.Certificate) bool {
			if id := a.ID0(); id != nil {
				return bytes.Equal(id, x.ID0())
			}
			return a.KeyID != nil && bytes.Equal(a.KeyID, x.ID1())
		})
		if next != nil && a.KeyID != nil && !bytes.Equal(a.KeyID, next.ID1()) {
			return nil, &Result{Outcome: Wrong, Key: next, Chain: chain}
		}
	}
	return chain, nil
}

func first(all []*certs.Certificate, wanted func(*certs.Certificate) bool) *certs.Certificate {
	for _, c := range all {
		if wanted(c) {
			return c
		}
	}
	return nil
}

func has(all []*certs.Certificate, wanted *certs.Certificate) bool {
	return first(all, func(c *certs.Certificate) bool { return c == wanted }) != nil
}

// find gives the candidates with an id, as find_asymmetric_key does: the id is one of the two that a key has; when a SKID
// is wanted too, that must be its second.
func find(candidates []*certs.Certificate, id, skid []byte) (found []*certs.Certificate) {
	if id == nil {
		id, skid = skid, nil
	}
	if len(id) == 0 {
		return nil
	}
	for _, c := range candidates {
		if (bytes.Equal(id, c.ID0()) || bytes.Equal(id, c.ID1())) && (skid == nil || bytes.Equal(skid, c.ID1())) {
			found = append(found, c)
		}
	}
	return found
}

// decide tries keys that all have the id.
func decide(keys []*certs.Certificate, signed proof, chain []*certs.Certificate) Result {
	result := Result{Outcome: Wrong, Key: keys[0], Chain: chain}
	for _, key := range keys {
		switch good, err := signed(key); {
		case good:
			return Result{Outcome: Valid, Key: key, Chain: chain}
		case err != nil:
			result = Result{Outcome: Unsupported, Err: err}
		}
	}
	return result
}
