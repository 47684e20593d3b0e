package keyring

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"kkeys/certs"
)

// Recorded is the keyrings of a machine as they were written down, and what its kernel answered then.
type Recorded struct {
	Found []Ring
	Err   error // what Rings answers instead, for example [ErrNotVisible]
	// Asked has the answers about certificates, by their SHA-256.
	Asked map[[sha256.Size]byte]Asked
	// Witnesses has those about certificates whose signature is noise, made anew each time ([certs.Certificate.Witness]), by the SHA-256
	// of their signed part. None of them can be vouched for.
	Witnesses map[[sha256.Size]byte]Asked
}

// Asked is what [Source.Ask] gave for one certificate: an inquiry or an error.
type Asked struct {
	Inquiry *Inquiry
	Err     error
}

var _ Source = Recorded{}

// Rings gives the recorded keyrings. No kernel has none, so that an empty record shows nothing: ErrUnavailable.
func (r Recorded) Rings() ([]Ring, error) {
	if r.Err == nil && len(r.Found) == 0 {
		return nil, ErrUnavailable
	}
	return r.Found, r.Err
}

// Ask gives what the kernel answered when the machine was recorded: [ErrNotRecorded] for a certificate that it was not asked about, and
// as the answer to a restriction that was not among the questions.
func (r Recorded) Ask(der []byte, restrictions ...Restriction) (*Inquiry, error) {
	asked, ok := r.Asked[sha256.Sum256(der)]
	if c, err := certs.ParseDER(der); err == nil && !ok {
		asked, ok = r.Witnesses[sha256.Sum256(c.RawTBS)]
	}
	switch {
	case !ok:
		return nil, ErrNotRecorded
	case asked.Err != nil:
		return nil, asked.Err
	}
	q := &Inquiry{Description: asked.Inquiry.Description, Refused: asked.Inquiry.Refused}
	if q.Refused != nil {
		return q, nil
	}
	for _, restriction := range restrictions {
		answer, ok := asked.Inquiry.Answer(restriction)
		if !ok {
			answer = Answer{restriction, fmt.Errorf("%w about %s", ErrNotRecorded, restriction)}
		}
		q.Answers = append(q.Answers, answer)
	}
	return q, nil
}

// Take writes a source down: its keyrings, and its answers about the certificates and about witnesses for them when asked the questions
// that the keyrings call for (none are shown to an ordinary user, which is the case of nil).
//
// A keyring of the kernel may hold keys that have nothing to do with trust and name servers or people (.dns_resolver, .id_resolver):
// those are counted as unseen and not kept.
func Take(s Source, all []*certs.Certificate, questions func([]Ring) []Restriction) Recorded {
	found, err := s.Rings()
	r := Recorded{Err: err, Asked: map[[sha256.Size]byte]Asked{}, Witnesses: map[[sha256.Size]byte]Asked{}}
	for _, ring := range found {
		r.Found = append(r.Found, ring.onlyTrust())
	}
	ask := func(der []byte) Asked {
		q, err := s.Ask(der, questions(found)...)
		return Asked{q, err}
	}
	for _, c := range all {
		sum := sha256.Sum256(c.Raw)
		if _, done := r.Asked[sum]; done {
			continue
		}
		r.Asked[sum] = ask(c.Raw)
		for _, by := range certs.Lookups {
			if der, err := c.Witness(by); err == nil { // otherwise there is nothing to ask about
				r.witness(der, ask(der))
			}
		}
	}
	return r
}

// witness keeps an answer about a witness. Were one vouched for, it would be none.
func (r Recorded) witness(der []byte, a Asked) {
	c, err := certs.ParseDER(der)
	if err == nil && (a.Inquiry == nil || !slices.ContainsFunc(a.Inquiry.Answers, func(a Answer) bool { return a.Err == nil })) {
		r.Witnesses[sha256.Sum256(c.RawTBS)] = a
	}
}

// onlyTrust is the ring without keys of other types than those of trusted keyrings.
func (r Ring) onlyTrust() Ring {
	kept := Ring{Key: r.Key, Rings: r.Rings, Unseen: r.Unseen, Missing: r.Missing}
	for _, k := range r.Keys {
		if k.Type == TypeAsymmetric || k.Type == TypeBlacklist {
			kept.Keys = append(kept.Keys, k)
		} else {
			kept.Unseen++
		}
	}
	return kept
}
