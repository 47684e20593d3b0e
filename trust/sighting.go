package trust

import (
	"errors"
	"slices"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
)

// sighting is what the kernel and its listing tell of one keyring and the certificate.
type sighting struct {
	ring      string
	consulted evidence.Reading
	// verified: a key there verifies the certificate's signature. For a certificate that signed itself that is its own key.
	verified evidence.Answer
	// mismatch: the key that the kernel found for the certificate's issuer is another one.
	mismatch bool
	// anySerial: the kernel finds a key there by issuer and serial number, whosever it is. bySerial: and it is this certificate's, as far as its key
	// id tells; byKeyID: it finds one by key id.
	anySerial, bySerial, byKeyID evidence.Answer
	// other: what it finds by issuer and serial number has another key id, so that it is another certificate's, of the same key or not.
	other bool
	// listed: an entry has the certificate's kernel name, or its key id under another name.
	listed bool
}

// by is the answer for a way to name the signer.
func (s sighting) by(named certs.Lookup) evidence.Answer {
	if named == certs.ByKeyID {
		return s.byKeyID
	}
	return s.bySerial
}

// sightings gives one for each keyring that could hold the key. An ordinary user has a single one, for what may be asked by name.
func sightings(f Facts) []sighting {
	if f.RingsErr != nil {
		return []sighting{f.unseen()}
	}
	var all []sighting
	for _, name := range Listed {
		ring := keyring.Named(f.Rings, name)
		if ring == nil || name == keyring.Blacklist {
			continue
		}
		s := f.ask(name, keyring.ByRing(ring.Serial))
		s.consulted = Consulted(f.Rings, f.Kernel, name)
		if name == keyring.Platform && s.consulted.Answer == evidence.Unknown && f.Platform.Answer != evidence.Unknown {
			s.consulted = f.Platform
		}
		for _, key := range ring.Keys {
			if key.Type == keyring.TypeAsymmetric && (f.Certificate.MatchesName(key.Description) || f.Certificate.MatchesKeyID(key.Description)) {
				s.listed = true
			}
		}
		all = append(all, s)
	}
	lookUpFromHead(all)
	return all
}

// lookUpFromHead: a module's signer is looked for from .secondary (or the keyring that stands for it) through all that it links, and the first key
// found is taken; kernels that consult .platform do so when nothing was found there (kernel/module/signing.c of Debian and Fedora). So
// what the witnesses were told about the head counts for each keyring that is consulted.
func lookUpFromHead(all []sighting) {
	var first sighting
	for _, name := range []string{keyring.System, keyring.Builtin, keyring.Secondary} {
		if i := slices.IndexFunc(all, func(s sighting) bool { return s.ring == name }); i >= 0 {
			first = all[i]
		}
	}
	if first.ring == "" {
		return
	}
	for i := range all {
		switch s := &all[i]; {
		case s.consulted.Answer != evidence.Yes:
		case s.ring == keyring.Platform:
			s.bySerial, s.byKeyID = unlessFound(s.bySerial, first.anySerial, first.other), unlessFound(s.byKeyID, first.byKeyID, false)
		default:
			s.bySerial, s.byKeyID = ifFound(s.bySerial, first.bySerial), ifFound(s.byKeyID, first.byKeyID)
		}
	}
}

// ifFound: what is found in one keyring counts as it is found from the head.
func ifFound(here, fromHead evidence.Answer) evidence.Answer {
	if here == evidence.Yes {
		return fromHead
	}
	return here
}

// unlessFound: what is found here does not count when something was found before. Another certificate's key may be the same.
func unlessFound(here, before evidence.Answer, other bool) evidence.Answer {
	switch {
	case here != evidence.Yes || before == evidence.No:
		return here
	case before == evidence.Yes && !other:
		return evidence.No
	}
	return evidence.Unknown
}

// unseen is the sighting of an ordinary user: .secondary stands for all that it links to. builtin alone would mean that .secondary no
// longer links it, and then it does not count.
func (f Facts) unseen() sighting {
	s := f.ask(keyring.Secondary, keyring.BySecondary)
	s.consulted = evidence.Reading{Answer: evidence.Yes, Evidence: "the kernel answered for the keyrings against which modules are checked", Source: oracle}
	if old := before(f.Kernel.Release, 5, 0); old != evidence.No {
		s.consulted = evidence.Reading{Answer: evidence.Unknown, Evidence: "Linux " + f.Kernel.Release + ": kernels before 5.0 may ask .builtin_trusted_keys alone", Source: osRelease}
	}
	if b := f.ask(keyring.Builtin, keyring.ByBuiltin); b.verified == evidence.Yes && s.verified == evidence.Yes {
		s.ring = keyring.Builtin
	}
	return s
}

// ask reads the answers about one keyring.
func (f Facts) ask(name string, r keyring.Restriction) sighting {
	s := sighting{ring: name}
	if f.Inquiry != nil {
		answer, asked := f.Inquiry.Answer(r)
		switch {
		case !asked:
		case answer.Err == nil:
			s.verified = evidence.Yes
		case errors.Is(answer.Err, keyring.ErrMismatch):
			s.verified, s.mismatch = evidence.No, true
		case errors.Is(answer.Err, keyring.ErrNoVoucher):
			s.verified = evidence.No
		}
	}
	s.anySerial, s.byKeyID = found(f.Witnesses[certs.ByIssuerAndSerial], r), found(f.Witnesses[certs.ByKeyID], r)
	if s.bySerial = s.anySerial; s.anySerial == evidence.Yes && f.Certificate.SubjectKeyID != nil {
		s.bySerial = found(f.Witnesses[certs.ByAllIDs], r)
		if s.other = s.bySerial == evidence.No; s.other {
			s.bySerial = evidence.Unknown
		}
	}
	return s
}

// found reads the answer to a witness: a mismatch means that the kernel found a key of the name that the witness gives as its issuer.
func found(witness *keyring.Inquiry, r keyring.Restriction) evidence.Answer {
	if witness == nil {
		return evidence.Unknown
	}
	answer, asked := witness.Answer(r)
	switch {
	case !asked:
	case errors.Is(answer.Err, keyring.ErrMismatch):
		return evidence.Yes
	case errors.Is(answer.Err, keyring.ErrNoVoucher):
		return evidence.No
	}
	return evidence.Unknown
}

// best picks the sighting that counts most: in a keyring that is or may be consulted; where the kernel finds the signer as it is named; in one
// that is consulted for sure; and rather the keyring that holds the key than .secondary, which links it.
func (f Facts) best(all []sighting, choose func(sighting) bool) *sighting {
	var top *sighting
	for i := range all {
		if s := &all[i]; choose(*s) && (top == nil || s.rank(f.Named) > top.rank(f.Named)) {
			top = s
		}
	}
	return top
}

func (s sighting) rank(named certs.Lookup) int {
	rank := map[evidence.Answer]int{evidence.Yes: 8, evidence.Unknown: 4}[s.by(named)]
	switch s.consulted.Answer {
	case evidence.Yes:
		rank += 16 + 2
	case evidence.Unknown:
		rank += 16
	}
	if s.ring != keyring.Secondary {
		rank++
	}
	return rank
}
