package trust

import (
	"errors"
	"fmt"

	"kkeys/certs"
	"kkeys/kernel"
	"kkeys/keyring"
)

// location is where the certificate's key was found and how well that is known.
type location struct {
	gate  Gate
	proof Proof
	ring  string // empty when the key was not found
}

const (
	oracle  = "the kernel (restricted keyring)"
	listing = "descriptions of keys (keyctl)"
)

// locate finds the keyring that holds the certificate's own key. The kernel's answer to a restriction is about the certificate's
// issuer; it is about the key itself only when the certificate is its own issuer.
func locate(f Facts) location {
	if f.Inquiry != nil && f.Inquiry.Refused != nil {
		return location{gate: Gate{Name: GatePresent, Result: NotApplicable, Evidence: "not asked: the kernel refuses the certificate", Source: oracle}}
	}
	vouched := vouchedIn(f)
	self, why := f.Certificate.SelfSigned()
	if self && len(vouched) > 0 {
		ring := best(f, vouched)
		return location{
			gate:  Gate{Name: GatePresent, Result: Pass, Evidence: "the kernel verified the certificate with the same key in " + ring, Source: oracle},
			proof: KeyringRestriction, ring: ring,
		}
	}
	if ring := best(f, matchedIn(f)); ring != "" {
		return matched(f, ring, self)
	}
	return absent(f, self, why, vouched)
}

// matched: an entry carries this certificate's name and id. That identifies and does not prove, and where the kernel says that the
// key of that name is another one, it is another one.
func matched(f Facts, ring string, self bool) location {
	l := location{proof: IDMatch, ring: ring}
	l.gate = Gate{
		Name: GatePresent, Result: ResultUnknown, Source: listing, Forgeable: "who can make a key with the same name and id, and have it enrolled",
		Evidence: "an entry of " + ring + " has its name and key id; the kernel was not able to prove that it is the same key",
	}
	if r := keyring.Named(f.Rings, ring); self && r != nil && f.Inquiry != nil {
		if a, ok := f.Inquiry.Answer(keyring.ByRing(r.Serial)); ok && errors.Is(a.Err, keyring.ErrMismatch) {
			l.proof, l.ring = "", ""
			l.gate.Result, l.gate.Source, l.gate.Forgeable = Fail, oracle, ""
			l.gate.Evidence = "an entry of " + ring + " has its name and key id, but is another key: the kernel cannot verify this certificate with it"
		}
	}
	if !self {
		l.gate.Evidence = "an entry of " + ring + " has its name and key id; a certificate issued by another key cannot be proven by a keyring restriction"
	}
	return l
}

// absent: no proof and no match. That is a no only when everything that could hold the key was seen or asked.
func absent(f Facts, self bool, why error, vouched []string) location {
	gate := Gate{Name: GatePresent, Result: ResultUnknown, Source: oracle}
	switch {
	case len(vouched) > 0:
		gate.Evidence = fmt.Sprintf("%s vouches for it, but does not hold its own key: a module signed with it loads only if the signature carries this certificate, which the kernel's sign-file leaves out", best(f, vouched))
		if why != nil {
			gate.Evidence += "; whether it is self-signed cannot be told: " + why.Error()
		}
		return location{gate: gate}
	case f.RingsErr != nil:
		gate.Evidence = "not in the keyrings that an ordinary user may ask; the others were not seen: " + f.RingsErr.Error()
		if f.InquiryErr != nil {
			gate.Evidence = "neither could the keyrings be seen (" + f.RingsErr.Error() + ") nor the kernel be asked (" + f.InquiryErr.Error() + ")"
		}
		gate.Fix = "sudo kkeys trusted …"
		return location{gate: gate}
	}
	if self && f.Inquiry != nil && definite(f) {
		gate.Result, gate.Evidence = Fail, "no keyring holds its key: the kernel was asked about each"
		return location{gate: gate}
	}
	gate.Source = listing
	if hidden := opaque(f.Rings); hidden != "" {
		gate.Evidence = "no entry has its name or key id, but " + hidden
		return location{gate: gate}
	}
	gate.Result, gate.Evidence = Fail, "no entry of any keyring has its name or key id"
	return location{gate: gate}
}

// vouchedIn names the keyrings in which a key vouches for the certificate.
func vouchedIn(f Facts) []string {
	if f.Inquiry == nil {
		return nil
	}
	var names []string
	for _, name := range Listed {
		if ring := keyring.Named(f.Rings, name); ring != nil && name != keyring.Blacklist {
			if a, ok := f.Inquiry.Answer(keyring.ByRing(ring.Serial)); ok && a.Err == nil {
				names = append(names, name)
			}
		}
	}
	if len(names) > 0 {
		return names
	}
	// An ordinary user sees no rings and asked by the two names. .secondary stands for all that it links to; builtin alone would
	// mean that .secondary no longer links it, and then it does not count.
	if a, ok := f.Inquiry.Answer(keyring.BySecondary); ok && a.Err == nil {
		names = append(names, keyring.Secondary)
		if a, ok := f.Inquiry.Answer(keyring.ByBuiltin); ok && a.Err == nil {
			names = append(names, keyring.Builtin)
		}
	}
	return names
}

// matchedIn names the keyrings that have an entry with the certificate's name, or one that ends in its subject key id.
func matchedIn(f Facts) []string {
	var names []string
	for _, name := range Listed {
		ring := keyring.Named(f.Rings, name)
		if ring == nil || name == keyring.Blacklist {
			continue
		}
		for _, key := range ring.Keys {
			if key.Type == keyring.TypeAsymmetric && (f.Certificate.MatchesName(key.Description) || f.Certificate.MatchesKeyID(key.Description)) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// best picks the keyring that counts most: one that is consulted, then one that may be; of equals the one that holds the key itself
// rather than the one that links it, which stands later in the list (.secondary before .machine) or is .builtin.
func best(f Facts, names []string) string {
	rank := map[kernel.Answer]int{kernel.Yes: 3, kernel.Unknown: 2, kernel.No: 1}
	chosen, top := "", 0
	for _, name := range names {
		r := 2 * rank[Consulted(f.Rings, f.Kernel, name).Answer]
		if name != keyring.Secondary {
			r++
		}
		if r > top {
			chosen, top = name, r
		}
	}
	return chosen
}

// definite tells whether each keyring that was asked gave a real answer.
func definite(f Facts) bool {
	for _, a := range f.Inquiry.Answers {
		if !errors.Is(a.Err, keyring.ErrNoVoucher) && !errors.Is(a.Err, keyring.ErrMismatch) && a.Err != nil {
			return false
		}
	}
	return true
}

// opaque says why a listing cannot prove that a key is not there: entries that could not be seen, or whose description root chose
// freely when adding them, so that it holds no id.
func opaque(rings []keyring.Ring) string {
	for _, ring := range rings {
		if ring.Unseen > 0 {
			return fmt.Sprintf("%d entries of %s could not be seen", ring.Unseen, ring.Name())
		}
		for _, key := range ring.Keys {
			if _, _, ok := certs.ParseKernelName(key.Description); !ok && key.Type == keyring.TypeAsymmetric {
				return fmt.Sprintf("entry %s of %s has a description without one", key.Serial, ring.Name())
			}
		}
	}
	return ""
}
