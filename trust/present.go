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
	at    *sighting // nil when the key was not found
	all   []sighting
}

// locate finds the keyring that holds the certificate's own key.
func locate(f Facts) location {
	gate := Gate{Name: GatePresent, Source: oracle}
	if f.Inquiry != nil && f.Inquiry.Refused != nil {
		gate.Result, gate.Evidence = NotApplicable, "not asked: the kernel refuses the certificate"
		return location{gate: gate}
	}
	self, why := f.Certificate.SelfSigned()
	all := sightings(f)
	verified := f.best(all, func(s sighting) bool { return s.verified == evidence.Yes })
	if self && verified != nil {
		gate.Result, gate.Evidence = Pass, "the kernel verified the certificate with the same key in "+verified.ring
		return location{gate, KeyringRestriction, verified, all}
	}
	named := f.best(all, func(s sighting) bool {
		return s.anySerial == evidence.Yes || s.byKeyID == evidence.Yes || s.listed
	})
	if named != nil {
		return f.matched(gate, named, all, self, why)
	}
	return f.absent(gate, all, self, why, verified)
}

// matched: the kernel finds a key under the certificate's id, or an entry has its name. That identifies and does not prove.
func (f Facts) matched(gate Gate, at *sighting, all []sighting, self bool, why error) location {
	gate.Result, gate.Forgeable = ResultUnknown, "who can make a key with the same name and id, and have it enrolled"
	how := "an entry of " + at.ring + " has its name or key id"
	switch {
	case at.other && at.byKeyID != evidence.Yes:
		how = "the kernel finds a key in " + at.ring + " under its issuer and serial number, with another key id"
	case at.anySerial == evidence.Yes || at.byKeyID == evidence.Yes:
		how = "the kernel finds a key in " + at.ring + " under its id"
	default:
		gate.Source = listing
	}
	switch {
	case self && at.mismatch && f.namesakes() == 1 && opaque(f.Rings) == "":
		gate.Result, gate.Forgeable = Fail, ""
		gate.Evidence = how + ", but it is another key: the kernel cannot verify this certificate with it"
		return location{gate: gate}
	case at.other && f.namesake(all):
		gate.Result, gate.Forgeable = Fail, ""
		gate.Evidence = "under its issuer and serial number the kernel finds another key, that of a certificate which is trusted: this one was made anew"
		return location{gate: gate}
	case at.other:
		gate.Evidence = how + ": another certificate, of the same key or not"
	case self && at.mismatch:
		gate.Evidence = how + "; the kernel could not verify the certificate with the one that it took, and there may be several"
	case self:
		gate.Evidence = how + "; the kernel was not able to prove that it is the same key"
	case why != nil:
		gate.Evidence = how + "; whether the certificate is self-signed cannot be told: " + why.Error()
	default:
		gate.Evidence = how + "; a certificate issued by another key cannot be proven by a keyring restriction"
	}
	return location{gate, IDMatch, at, all}
}

// namesake: what the kernel finds by issuer and serial number is proven to be the key of another certificate, so that modules signed with this one
// are checked against that key and refused; and by key id it finds nothing.
func (f Facts) namesake(all []sighting) bool {
	if f.RingsErr != nil || opaque(f.Rings) != "" || !(location{all: all}).findsNone(certs.ByKeyID) {
		return false
	}
	return slices.ContainsFunc(f.Namesakes, func(other Facts) bool {
		c := other.Certificate
		// Its key id tells that it is what the kernel finds, as long as no other entry has it.
		return c.SubjectKeyID != nil && !c.SameKey(f.Certificate) && other.namesakes() == 1 && Judge(other).Value == Trusted
	})
}

// namesakes counts the entries that could stand for the certificate when the kernel looks for its issuer, by key id or by name.
func (f Facts) namesakes() int {
	name, _, _ := certs.ParseKernelName(f.Certificate.KernelName())
	n := 0
	for _, ring := range f.Rings {
		for _, key := range ring.Keys {
			other, _, _ := certs.ParseKernelName(key.Description)
			if key.Type == keyring.TypeAsymmetric && ring.Name() != keyring.Blacklist && (other == name || f.Certificate.MatchesKeyID(key.Description)) {
				n++
			}
		}
	}
	return n
}

// absent: no proof and no match. That is a no only when everything that could hold the key was seen or asked.
func (f Facts) absent(gate Gate, all []sighting, self bool, why error, verified *sighting) location {
	gate.Result = ResultUnknown
	switch {
	case verified != nil:
		gate.Evidence = verified.ring + " vouches for it, but does not hold its own key: a module signed with it loads only if the signature carries this certificate, which the kernel's sign-file leaves out"
		if f.RingsErr == nil && unknownSigner(all, f.Certificate.SubjectKeyID != nil) {
			gate.Result = Fail
		} else if why != nil {
			gate.Evidence += "; whether it is self-signed cannot be told: " + why.Error()
		}
	case f.RingsErr != nil && f.Inquiry == nil:
		gate.Evidence = "the keyrings could not be seen (" + f.RingsErr.Error() + "), and " + notAsked(f)
	case f.RingsErr != nil:
		gate.Evidence = "not in the keyrings that may be asked by name; the others were not seen: " + f.RingsErr.Error()
		gate.Mend = asRoot(f.RingsErr)
	case unknownSigner(all, f.Certificate.SubjectKeyID != nil):
		gate.Result, gate.Evidence = Fail, "no keyring holds its key: the kernel was asked about each"
	default:
		gate.Source = listing
		if hidden := opaque(f.Rings); hidden != "" {
			gate.Evidence = "no entry has its name or key id, but " + hidden
		} else if f.namesakes() > 0 {
			gate.Evidence = "an entry has its name with another id; the kernel could not be asked whether that is its key"
		} else {
			gate.Result, gate.Evidence = Fail, "no entry of any keyring has its name or key id"
		}
	}
	return location{gate: gate}
}

// unknownSigner tells whether the kernel finds no key by either name of the certificate, in any of the keyrings.
func unknownSigner(all []sighting, hasKeyID bool) bool {
	for _, s := range all {
		if s.anySerial != evidence.No || s.byKeyID != evidence.No && hasKeyID {
			return false
		}
	}
	return len(all) > 0
}

// opaque says why a listing cannot prove that a key is not there: entries that could not be seen, or whose description root chose
// freely when adding them, so that it holds no id.
func opaque(rings []keyring.Ring) string {
	for _, name := range Listed {
		ring := keyring.Named(rings, name)
		if ring == nil || name == keyring.Blacklist {
			continue
		}
		if ring.Unseen > 0 {
			return fmt.Sprintf("%d entries of %s could not be seen", ring.Unseen, name)
		}
		for _, key := range ring.Keys {
			if _, _, ok := certs.ParseKernelName(key.Description); !ok && key.Type == keyring.TypeAsymmetric {
				return fmt.Sprintf("entry %s of %s has a description without one", key.Serial, name)
			}
		}
	}
	return ""
}

// signerGate: a module's signature names its signer by issuer and serial number, or by key id with sign-file -k. The key may be there
// under another certificate, a renewed one for example, and then only the latter finds it.
func signerGate(f Facts, found location) Gate {
	gate := Gate{Name: GateSigner, Source: oracle}
	at := found.at
	nowhere := func(by certs.Lookup) bool { return f.RingsErr == nil && found.findsNone(by) }
	switch {
	case at == nil:
		gate.Result, gate.Evidence = NotApplicable, "its key was found in no keyring"
	case f.Named == certs.ByKeyID && at.byKeyID == evidence.Yes:
		gate.Result, gate.Evidence = Pass, "the kernel finds it by key id, as the module names it"
	case f.Named == certs.ByIssuerAndSerial && at.bySerial == evidence.Yes:
		gate.Result, gate.Evidence = Pass, "the kernel finds it by issuer and serial number, as sign-file writes them"
	case f.Named == certs.ByIssuerAndSerial && at.other:
		gate.Result, gate.Evidence = ResultUnknown, "what the kernel finds by its issuer and serial number has another key id: another certificate, of the same key or not"
	case f.Signed && nowhere(f.Named):
		gate.Result, gate.Evidence = Fail, "the key is there under another certificate: the kernel does not find it as the module names it"
	case f.Named == certs.ByIssuerAndSerial && at.bySerial == evidence.No && at.byKeyID == evidence.Yes:
		gate.Result = ResultUnknown
		gate.Evidence = "the key is there under another certificate: the kernel finds it by key id (sign-file -k), not by this one's issuer and serial number, under which it finds none or another"
	case nowhere(certs.ByIssuerAndSerial) && (nowhere(certs.ByKeyID) || f.Certificate.SubjectKeyID == nil):
		gate.Result, gate.Evidence = Fail, "the key is there under another certificate: the kernel finds it neither by this one's issuer and serial number nor by its key id"
	default:
		gate.Result, gate.Evidence = ResultUnknown, "whether the kernel finds it as a module names it could not be asked in each keyring"
		if f.WitnessErr != nil && !errors.Is(f.WitnessErr, certs.ErrNoWitness) {
			gate.Evidence += ": " + f.WitnessErr.Error()
		}
	}
	return gate
}

// findsNone: in no keyring that is or may be consulted does the kernel find the signer by this name.
func (l location) findsNone(by certs.Lookup) bool {
	return !slices.ContainsFunc(l.all, func(s sighting) bool {
		return s.consulted.Answer != evidence.No && s.by(by) != evidence.No
	})
}
