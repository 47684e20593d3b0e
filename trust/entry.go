package trust

import (
	"errors"
	"slices"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
)

// entry is one key of the kernel's keyrings and how it stands towards the certificate. The kernel is asked about each key by its serial number:
// asked about a keyring, it answers for the key that it finds first, and which one that is depends on the name by which it looks.
type entry struct {
	ring string
	key  keyring.Key
	// own: it is the certificate's own key.
	own evidence.Answer
	// bySerial, byKeyID: it has the certificate's issuer and serial number, or its key id, and so the kernel can find it for a module.
	bySerial, byKeyID evidence.Answer
	// listed: its description is the certificate's kernel name, or has its key id.
	listed bool
}

// named is the answer for a way to name the signer.
func (e entry) named(by certs.Lookup) evidence.Answer {
	if by == certs.ByKeyID {
		return e.byKeyID
	}
	return e.bySerial
}

// trusting are the keyrings whose keys can be trusted, in the order of [Listed].
func trusting(rings []keyring.Ring) (found []*keyring.Ring) {
	for _, name := range Listed {
		if ring := keyring.Named(rings, name); ring != nil && name != keyring.Blacklist {
			found = append(found, ring)
		}
	}
	return found
}

// unlisted is the name of a keyring that a ring links, so that the kernel searches it too, and that is none whose keys are looked at one by one;
// empty when there is none.
func unlisted(rings []keyring.Ring, ring *keyring.Ring) string {
	for _, link := range ring.Rings {
		if !slices.ContainsFunc(trusting(rings), func(r *keyring.Ring) bool { return r.Serial == link.Serial }) {
			return link.Description
		}
	}
	return ""
}

// entries gives the keys that stand in those keyrings.
func (f Facts) entries() (all []entry) {
	for _, ring := range trusting(f.Rings) {
		for _, key := range ring.Keys {
			if key.Type != keyring.TypeAsymmetric {
				continue
			}
			question := keyring.ByKey(key.Serial)
			all = append(all, entry{
				ring: ring.Name(), key: key, own: f.own(question),
				bySerial: hasName(f.Witnesses[certs.ByIssuerAndSerial], question), byKeyID: f.byKeyID(question),
				listed: f.Certificate.MatchesName(key.Description) || f.Certificate.MatchesKeyID(key.Description),
			})
		}
	}
	return all
}

func (f Facts) byKeyID(r keyring.Restriction) evidence.Answer {
	if f.Certificate.SubjectKeyID == nil {
		return evidence.No
	}
	return hasName(f.Witnesses[certs.ByKeyID], r)
}

// own reads whether a key is the certificate's: Yes where it verifies the signature that the certificate's key made itself. No where the
// kernel tried it in vain, or where it verifies what another key signed itself: then it is that one.
func (f Facts) own(r keyring.Restriction) evidence.Answer {
	self, _ := f.Certificate.SelfSigned()
	verified := vouches(f.Inquiry, r)
	switch {
	case self && verified == evidence.Yes && !f.doubled():
		return evidence.Yes
	case self && verified == evidence.No:
		return evidence.No
	}
	for _, n := range f.Namesakes {
		other, _ := n.Certificate.SelfSigned()
		// Where the key of one verifies the other's signature, they can be one key written otherwise, or made for each other.
		if either, err := verifyEachOther(f.Certificate, n.Certificate); self && other && !either && err == nil && vouches(n.Inquiry, r) == evidence.Yes {
			return evidence.No
		}
	}
	return evidence.Unknown
}

// doubled: another key that was found verifies the certificate's own signature as well. To one signature a second key can be made, so
// then that it verifies says nothing.
func (f Facts) doubled() bool {
	return slices.ContainsFunc(f.Namesakes, func(n Namesake) bool {
		verifies, _ := f.Certificate.SignedBy(n.Certificate)
		return verifies
	})
}

// vouches reads an answer about the certificate itself: Yes, a key verified its signature; No, one has the name that it gives for its issuer and
// did not verify it; Unknown, none has that name, or the kernel could not tell.
func vouches(q *keyring.Inquiry, r keyring.Restriction) evidence.Answer {
	switch err := reply(q, r); {
	case err == nil:
		return evidence.Yes
	case errors.Is(err, keyring.ErrMismatch):
		return evidence.No
	}
	return evidence.Unknown
}

// hasName reads the answer to a witness: a mismatch means that a key has the name that the witness gives for its issuer.
func hasName(witness *keyring.Inquiry, r keyring.Restriction) evidence.Answer {
	switch err := reply(witness, r); {
	case errors.Is(err, keyring.ErrMismatch):
		return evidence.Yes
	case errors.Is(err, keyring.ErrNoVoucher):
		return evidence.No
	}
	return evidence.Unknown
}

var errNotAsked = errors.New("not asked")

func reply(q *keyring.Inquiry, r keyring.Restriction) error {
	if q == nil {
		return errNotAsked
	}
	a, asked := q.Answer(r)
	if !asked {
		return errNotAsked
	}
	return a.Err
}

// verifyEachOther tells whether the key of one of the certificates verifies the signature of the other.
func verifyEachOther(a, b *certs.Certificate) (bool, error) {
	one, err := a.SignedBy(b)
	other, otherErr := b.SignedBy(a)
	return one || other, errors.Join(err, otherErr)
}
