package trust

import (
	"errors"
	"fmt"
	"slices"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
)

// location is where the certificate's key was found and how well that is known.
type location struct {
	gate  Gate
	proof Proof
	// at is the keyring, nil when the key was not found.
	at *place
	// bySerial and byKeyID are what the kernel finds by the certificate's names.
	bySerial, byKeyID signer
}

// place is a keyring and whether modules are checked against it.
type place struct {
	ring      string
	consulted evidence.Reading
}

// signers are those by the name that modules use, and by the other name.
func (l location) signers(by certs.Lookup) (named, other signer) {
	if by == certs.ByKeyID {
		return l.byKeyID, l.bySerial
	}
	return l.bySerial, l.byKeyID
}

// nowhere: the kernel finds no key by either name.
func (l location) nowhere() bool {
	return l.bySerial.exists == evidence.No && l.byKeyID.exists == evidence.No
}

// locate finds the keyring that holds the certificate's own key.
func locate(f Facts) location {
	l := location{gate: Gate{Name: GatePresent, Source: oracle}, bySerial: f.lookUp(certs.ByIssuerAndSerial), byKeyID: f.lookUp(certs.ByKeyID)}
	if f.Inquiry != nil && f.Inquiry.Refused != nil {
		l.gate.Result, l.gate.Evidence = NotApplicable, "not asked: the kernel refuses the certificate"
		return l
	}
	if l.at = f.proven(l); l.at != nil {
		l.gate.Result, l.gate.Evidence = Pass, "the kernel verified the certificate with the same key in "+l.at.ring
		l.proof = KeyringRestriction
		if f.RingsErr != nil {
			l.gate.Forgeable = "root, by adding keys or changing their permissions at run time"
		}
		return l
	}
	if at, how := f.identified(l); at != nil {
		return f.matched(l, at, how)
	}
	return f.absent(l)
}

// proven gives the keyring in which the kernel verified the certificate with its own key: the one that modules lead to, or else any.
func (f Facts) proven(l location) *place {
	named, other := l.signers(f.Named)
	for _, by := range []signer{named, other} {
		if by.leads() {
			return &place{by.in, by.consulted}
		}
	}
	if f.RingsErr != nil {
		if f.own(keyring.BySecondary) == evidence.Yes {
			return &place{l.bySerial.in, l.bySerial.consulted}
		}
		return nil
	}
	var best *place
	rank := map[evidence.Answer]int{evidence.Yes: 2, evidence.Unknown: 1}
	for _, e := range f.entries() {
		if p := (place{e.ring, f.consulted(e.ring)}); e.own == evidence.Yes && (best == nil || rank[p.consulted.Answer] > rank[best.consulted.Answer]) {
			best = &p
		}
	}
	if best != nil && best.consulted.Answer == evidence.No && !(named.misleads() && (f.Signed || other.misleads())) {
		return nil // modules are not checked with that one, but perhaps with another that has the name
	}
	return best
}

// identified gives the keyring that has a key of the certificate's name, and how that shows; that identifies and does not prove.
func (f Facts) identified(l location) (at *place, how string) {
	named, other := l.signers(f.Named)
	for _, by := range []signer{named, other} {
		if by.exists == evidence.Yes {
			return &place{by.in, by.consulted}, "the kernel finds a key in " + by.in + " under its id"
		}
	}
	for _, e := range f.entries() {
		switch where := (place{e.ring, f.consulted(e.ring)}); {
		case where.consulted.Answer == evidence.No: // modules are not checked with it, but perhaps with another of the name
		case e.bySerial == evidence.Yes || e.byKeyID == evidence.Yes:
			return &where, "a key in " + e.ring + " has its id"
		case e.listed:
			return &where, "an entry of " + e.ring + " has its name or key id"
		}
	}
	return nil, ""
}

// matched: there is a key of the certificate's name, and none is known to be its own.
func (f Facts) matched(l location, at *place, how string) location {
	self, why := f.Certificate.SelfSigned()
	gate := &l.gate
	gate.Result, gate.Forgeable = ResultUnknown, "who can make a key with the same name and id, and have it enrolled"
	if l.bySerial.exists != evidence.Yes && l.byKeyID.exists != evidence.Yes {
		gate.Source = listing
	}
	named, other := l.signers(f.Named)
	another := named.another() || other.another()
	switch {
	case another && named.misleads() && (f.Signed || other.misleads()):
		gate.Result, gate.Forgeable = Fail, ""
		gate.Evidence = how + ", but it is another key than this certificate's"
		return l
	case f.doubled():
		gate.Evidence = how + ", but a certificate was found whose key verifies this one's signature too: a keyring restriction cannot tell the two apart"
	case another:
		gate.Evidence = how + "; by one of its names it is another key, and by the other that is not known"
	case self:
		gate.Evidence = how + "; the kernel did not prove that it is the same key: of the same key or not, it can be another certificate's"
	case why != nil:
		gate.Evidence = how + "; whether the certificate is self-signed cannot be told: " + why.Error()
	default:
		gate.Evidence = how + "; a certificate issued by another key cannot be proven by a keyring restriction"
	}
	l.proof, l.at = IDMatch, at
	return l
}

// absent: no proof and no match. That is a no only when everything that could hold the key was seen or asked.
func (f Facts) absent(l location) location {
	gate := &l.gate
	gate.Result = ResultUnknown
	if issuer := f.issuer(); issuer != "" {
		gate.Evidence = issuer + " vouches for it, but does not hold its own key: a module signed with it loads only if the signature carries this certificate, which the kernel's sign-file leaves out"
		if _, why := f.Certificate.SelfSigned(); l.nowhere() {
			gate.Result = Fail
		} else if why != nil {
			gate.Evidence += "; whether it is self-signed cannot be told: " + why.Error()
		}
		return l
	}
	switch {
	case f.RingsErr != nil && f.Inquiry == nil:
		gate.Evidence = "the keyrings could not be seen (" + f.RingsErr.Error() + "), and " + notAsked(f)
	case f.RingsErr != nil:
		gate.Evidence = "not in the keyrings that may be asked by name; the others were not seen: " + f.RingsErr.Error()
		gate.Mend = asRoot(f.RingsErr)
	case l.nowhere():
		gate.Result, gate.Evidence = Fail, "no keyring holds its key: the kernel was asked about each"
	default:
		gate.Source = listing
		if hidden := opaque(f.Rings); hidden != "" {
			gate.Evidence = "no entry has its name or key id, but " + hidden
		} else if f.nameListed() {
			gate.Evidence = "an entry has its name with another id; the kernel could not be asked whether that is its key"
		} else {
			gate.Result, gate.Evidence = Fail, "no entry of any keyring has its name or key id"
		}
	}
	return l
}

// issuer names what verified a certificate that another key issued, or of which that cannot be told.
func (f Facts) issuer() string {
	if f.RingsErr != nil && vouches(f.Inquiry, keyring.BySecondary) == evidence.Yes {
		return keyring.Secondary
	}
	for _, ring := range trusting(f.Rings) {
		if f.consulted(ring.Name()).Answer != evidence.No && vouches(f.Inquiry, keyring.ByRing(ring.Serial)) == evidence.Yes {
			return ring.Name()
		}
	}
	return ""
}

// nameListed: an entry has the subject of the certificate in its description. Its id is then another's.
func (f Facts) nameListed() bool {
	name, _, _ := certs.ParseKernelName(f.Certificate.KernelName())
	return slices.ContainsFunc(f.entries(), func(e entry) bool {
		other, _, _ := certs.ParseKernelName(e.key.Description)
		return other == name
	})
}

// opaque says why a listing cannot prove that a key is not there: entries that could not be seen, or whose description need not be what the
// kernel would call them. Root adds keys to .secondary_trusted_keys alone, and chooses what they are called.
func opaque(rings []keyring.Ring) string {
	for _, ring := range trusting(rings) {
		if ring.Unseen > 0 {
			return fmt.Sprintf("%d entries of %s could not be seen", ring.Unseen, ring.Name())
		}
		if name := unlisted(rings, ring); name != "" {
			return fmt.Sprintf("%s links %s, whose entries were not looked at", ring.Name(), name)
		}
		for _, key := range ring.Keys {
			switch _, _, ok := certs.ParseKernelName(key.Description); {
			case key.Type != keyring.TypeAsymmetric:
			case !ok:
				return fmt.Sprintf("entry %s of %s has a description without one", key.Serial, ring.Name())
			case ring.Name() == keyring.Secondary:
				return fmt.Sprintf("entry %s of %s was added at run time, under a description that root chose", key.Serial, ring.Name())
			}
		}
	}
	return ""
}

// signerGate: a module's signature names its signer by issuer and serial number, or by key id with sign-file -k. The key may be there
// under another certificate, a renewed one for example, and then only the latter finds it.
func signerGate(f Facts, found location) Gate {
	gate := Gate{Name: GateSigner, Source: oracle}
	named, other := found.signers(f.Named)
	switch {
	case found.at == nil:
		gate.Result, gate.Evidence = NotApplicable, "its key was found in no keyring"
	case named.leads() && f.Named == certs.ByKeyID:
		gate.Result, gate.Evidence = Pass, "the kernel finds it by key id, as the module names it"
	case named.leads():
		gate.Result, gate.Evidence = Pass, "the kernel finds it by issuer and serial number, as sign-file writes them"
	case named.exists == evidence.No && f.Signed:
		gate.Result, gate.Evidence = Fail, "the key is there under another certificate: the kernel does not find it as the module names it"
	case named.another() && (f.Signed || other.misleads()):
		gate.Result, gate.Evidence = Fail, "what the kernel finds by this name is another key, with which it verifies no module of this one"
	case named.misleads() && other.misleads():
		gate.Result, gate.Evidence = Fail, "the key is there under another certificate: the kernel finds it neither by this one's issuer and serial number nor by its key id"
	case named.misleads() && other.leads():
		gate.Result = ResultUnknown
		gate.Evidence = "the key is there under another certificate: the kernel finds it by key id (sign-file -k), not by this one's issuer and serial number, under which it finds none or another"
	case named.exists == evidence.Yes:
		gate.Result, gate.Evidence = ResultUnknown, "what the kernel finds by this name is not known to be this key: another certificate, of the same key or not"
	default:
		gate.Result, gate.Evidence = ResultUnknown, "whether the kernel finds it as a module names it could not be asked in each keyring"
		if f.RingsErr != nil && other.leads() {
			gate.Evidence = "the kernel finds the key by key id (sign-file -k), and does not find it by issuer and serial number in the keyrings that may be asked by name"
		}
		if f.WitnessErr != nil && !errors.Is(f.WitnessErr, certs.ErrNoWitness) {
			gate.Evidence += ": " + f.WitnessErr.Error()
		}
	}
	return gate
}
