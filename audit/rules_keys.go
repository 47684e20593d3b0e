package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kkeys/certs"
)

// allowedIn makes the check of the stores of a kind against the policy's list.
func allowedIn(kind Kind) func(Facts, Policy) outcome {
	return func(f Facts, p Policy) outcome {
		if kind != Keyring {
			if o, no := f.noEFI(); no {
				return o
			}
		}
		if !p.Restricts() {
			return inapplicable("the policy names no allowed keys")
		}
		var subjects []Subject
		seen, hashes := 0, 0
		for _, s := range f.trusted(kind) {
			if s.Err != nil {
				subjects = append(subjects, Subject{Name: s.Name, Result: Unknown, Evidence: s.Err.Error()})
			}
			for _, k := range s.Keys {
				seen++
				switch p.allows(f, s, k) {
				case Fail:
					subjects = append(subjects, Subject{Name: s.label(k), Also: s.bySum(k), Result: Fail, Evidence: k.Name + " is none of the allowed keys"})
				case Unknown:
					subjects = append(subjects, Subject{Name: s.label(k), Also: s.bySum(k), Result: Unknown, Evidence: k.Name + " may be one of the allowed keys: its certificate was not found"})
				}
			}
			for _, hash := range s.Hashes {
				hashes++
				if !p.allowsHash(s.Name, hash) {
					subjects = append(subjects, Subject{Name: s.Name + ":" + hash, Result: Fail, Evidence: "what has this hash is trusted, and no allowed SHA-256 is it"})
				}
			}
		}
		well := keys(seen)
		if hashes > 0 {
			well += fmt.Sprintf(" and %d by hash", hashes)
		}
		return of(subjects, well+", all allowed")
	}
}

func keys(n int) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}

func privateKeys(f Facts, p Policy) outcome {
	var subjects []Subject
	owned := true
	for _, k := range f.KeyFiles {
		switch {
		case k.UID == nil:
			owned = false
		case *k.UID != 0:
			subjects = append(subjects, Subject{Name: k.Path, Result: Fail, Evidence: fmt.Sprintf("its owner is the user %d, not root", *k.UID)})
		}
		if open := k.Mode &^ uint32(p.Thresholds.KeyMode) & 0o777; open != 0 {
			result := Warn // only more than was asked for
			if open&0o077 != 0 {
				result = Fail
			}
			subjects = append(subjects, Subject{Name: k.Path, Result: result, Evidence: fmt.Sprintf("its permissions are %04o, more than %04o", k.Mode, p.Thresholds.KeyMode)})
		}
	}
	for _, gap := range f.KeyFilesGaps {
		subjects = append(subjects, Subject{Name: gap.Source, Result: Unknown, Evidence: gap.Err.Error()})
	}
	if len(f.KeyFiles) == 0 {
		return of(subjects, "no private key at the places where tools keep them")
	}
	if !owned {
		return of(subjects, keys(len(f.KeyFiles))+", whose permissions open none to others; whose they are is not known")
	}
	return of(subjects, keys(len(f.KeyFiles))+", root's, open to nobody else")
}

// certificate is one that is trusted somewhere.
type certificate struct {
	certs.Details
	stores []string
}

// certificates are those of the stores that count, each once, in their order; bare are the keys whose certificate was not found.
func (f Facts) certificates() (all []certificate, bare []Subject) {
	for _, s := range f.trusted() {
		for _, k := range s.Keys {
			if len(k.Certificates) == 0 {
				bare = append(bare, Subject{Name: s.label(k), Result: Unknown, Evidence: k.Name + ": its certificate was not found on this machine"})
			}
			for _, c := range k.Certificates {
				i := slices.IndexFunc(all, func(have certificate) bool { return have.SHA256 == c.SHA256 })
				if i < 0 {
					i, all = len(all), append(all, certificate{Details: c})
				}
				if !slices.Contains(all[i].stores, s.Name) {
					all[i].stores = append(all[i].stores, s.Name)
				}
			}
		}
	}
	return all, bare
}

// judgeCertificates makes a check of each trusted certificate; what could not be seen is unknown.
func (f Facts) judgeCertificates(well string, judge func(certificate) (Result, string)) outcome {
	all, subjects := f.certificates()
	for _, s := range f.trusted() {
		if s.Err != nil {
			subjects = append(subjects, Subject{Name: s.Name, Result: Unknown, Evidence: s.Err.Error()})
		}
	}
	ids := map[string]int{}
	for _, c := range all {
		ids[c.KeyID]++
	}
	for _, c := range all {
		if result, why := judge(c); result != Pass {
			name := orElse(c.KeyID, c.SHA256)
			if ids[c.KeyID] > 1 { // who waives one does not waive the other
				name = c.SHA256
			}
			subjects = append(subjects, Subject{Name: name, Also: c.SHA256, Result: result, Evidence: fmt.Sprintf("%s in %s %s", c.Subject, strings.Join(c.stores, " and "), why)})
		}
	}
	if len(all) == 0 && len(subjects) == 0 {
		return inapplicable("no certificate is trusted anywhere")
	}
	return of(subjects, fmt.Sprintf("%d certificates, %s", len(all), well))
}

func weakKeys(f Facts, p Policy) outcome {
	return f.judgeCertificates("none of them weak", func(c certificate) (Result, string) {
		least := p.Thresholds.ECBits // of all others whose size is known, the size is that of the curve
		if strings.HasPrefix(c.Algorithm, "rsa") {
			least = p.Thresholds.RSABits
		}
		switch {
		case c.KeyBits == nil && c.Curve != nil:
			return Unknown, "has a key of unknown strength: " + c.Algorithm + " on the curve " + *c.Curve
		case c.KeyBits == nil:
			return Unknown, "has a key of unknown strength: " + c.Algorithm
		case *c.KeyBits < least:
			return Fail, fmt.Sprintf("has a key of %d bits, fewer than %d", *c.KeyBits, least)
		case c.Issuer == c.Subject || c.Hashless: // nobody goes by its own signature
			return Pass, ""
		case c.SignatureHash == nil:
			return Unknown, "was signed over a hash that is not known"
		case slices.Contains(p.Thresholds.WeakHashes, *c.SignatureHash):
			return Warn, "was signed over " + *c.SignatureHash
		}
		return Pass, ""
	})
}

// validity: neither kernel nor shim looks at dates, so that nothing stops on that day; but whoever made the certificate no longer stands for it.
func validity(f Facts, p Policy) outcome {
	return f.judgeCertificates("all valid for long enough", func(c certificate) (Result, string) {
		switch {
		case c.NotAfter == nil:
			return Unknown, "has no date of its end that can be read"
		case f.Now.After(*c.NotAfter):
			return Warn, "expired on " + day(*c.NotAfter)
		case f.Now.AddDate(0, 0, p.Thresholds.ExpiresDays).After(*c.NotAfter):
			return Warn, "expires on " + day(*c.NotAfter)
		}
		return Pass, ""
	})
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// waivers: an expired one waives nothing, and is there for nobody to see unless it is a finding.
func waivers(f Facts, p Policy) outcome {
	if len(p.Waivers) == 0 {
		return inapplicable("the policy has no waivers")
	}
	var subjects []Subject
	for _, w := range p.Waivers {
		if w.Expired(f.Now) {
			subjects = append(subjects, Subject{Name: w.String(), Result: Fail, Evidence: fmt.Sprintf("the waiver expired on %s; its reason was: %s", w.Expires, w.Reason)})
		}
	}
	return of(subjects, fmt.Sprintf("%d waivers, all in date", len(p.Waivers)))
}
