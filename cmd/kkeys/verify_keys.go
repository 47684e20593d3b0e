package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/trust"
)

// verifiers are the certificates that signatures are checked with, and what is known of how the kernel stands to them.
type verifiers struct {
	session    *session
	release    string
	ofKernel   bool // the answer is about the kernel of this release, and not about certificates alone
	found      []machine.Found
	candidates []*certs.Certificate // one of each of found; those that are of use first
	details    map[*certs.Certificate]*certs.Details
	all        bool // no other key can be one that the kernel takes
	// wide: also the keys of keyrings of which it is not known whether they are consulted; sure has those that are in one that is, by the certificate.
	wide bool
	sure map[string]bool
	gaps envelope

	mu    sync.Mutex
	lacks map[string]error // by hash, kind of key and curve
}

// find looks for the certificates; enough may end the search through the kernel's image. None at all is an error: nothing could be said.
func (v *verifiers) find(files []string, enough func(found []machine.Found, more bool) bool) error {
	var found []machine.Found
	for _, file := range files {
		all, err := machine.CertificateFile(file)
		if err != nil {
			return failed("%w", err)
		}
		for _, c := range all {
			found = append(found, machine.Found{Certificate: c, Where: "file:" + file})
		}
	}
	v.all = true
	if len(files) == 0 {
		found = v.ofRelease(enough)
	}
	v.use(found)
	if len(v.candidates) == 0 {
		return fmt.Errorf("%w: no certificate to check with was found: neither an image of kernel %s nor shim's list; --cert names one", errNoVerifier, v.release)
	}
	return nil
}

var errNoVerifier = errors.New("cannot tell")

// ofRelease are the certificates in the kernel's image and those of shim's list. For the running kernel they are those, of the firmware's too, of
// which it shows the key in a keyring that it consults. Files do not count: anybody's may have the name and the id of a key there.
func (v *verifiers) ofRelease(enough func(found []machine.Found, more bool) bool) []machine.Found {
	m := v.session.machine
	from := func(found []machine.Found, places ...string) []machine.Found {
		return slices.DeleteFunc(found, func(f machine.Found) bool { return !slices.Contains(places, f.Where) })
	}
	choose := func(found []machine.Found) []machine.Found {
		return from(found, machine.InKernelImage, machine.InShim, "mok")
	}
	if status := m.Kernel(); v.release == status.Release {
		rings, err := m.Keyrings.Rings()
		if err != nil || len(rings) == 0 {
			v.gaps.missing("keyrings", cmp.Or(err, keyring.ErrNotVisible))
			v.all = false
		} else {
			choose = func(found []machine.Found) []machine.Found {
				return v.inKeyrings(from(found, machine.InKernelImage, machine.InShim, "mok", "db"), rings, status)
			}
		}
	}
	image, unseen := m.CertificatesOf(v.release, func(found []*certs.Certificate, more bool) bool {
		var all []machine.Found
		for _, c := range found {
			all = append(all, machine.Found{Certificate: c, Where: machine.InKernelImage})
		}
		return enough(choose(all), more)
	})
	stored, missed := m.Certificates()
	for _, n := range append(unseen, missed...) {
		v.gaps.missing(n.Source, n.Err)
		v.all = false
	}
	return choose(append(image, stored...))
}

// inKeyrings leaves the certificates of which the running kernel has the key in a keyring that it consults, and notes whether it has others.
func (v *verifiers) inKeyrings(found []machine.Found, rings []keyring.Ring, status kernel.Status) (those []machine.Found) {
	v.all, v.sure = true, map[string]bool{}
	for _, ring := range rings {
		consulted := trust.Consulted(rings, status, ring.Name()).Answer
		if consulted == evidence.No || ring.Name() == keyring.Blacklist {
			continue
		}
		v.all = v.all && (consulted == evidence.Yes || v.wide) && ring.Unseen == 0
		for _, key := range ring.Keys {
			has := false
			for _, f := range found {
				if (consulted == evidence.Yes || v.wide) && f.Certificate.MatchesName(key.Description) && f.Certificate.MatchesKeyID(key.Description) {
					has, those = true, append(those, f)
					v.sure[string(f.Certificate.Raw)] = v.sure[string(f.Certificate.Raw)] || consulted == evidence.Yes
				}
			}
			v.all = v.all && has
		}
	}
	return those
}

// use makes candidates of what was found.
func (v *verifiers) use(found []machine.Found) {
	v.found, v.candidates, v.details = found, nil, map[*certs.Certificate]*certs.Details{}
	for _, f := range found {
		if slices.ContainsFunc(v.candidates, func(c *certs.Certificate) bool { return string(c.Raw) == string(f.Certificate.Raw) }) {
			continue
		}
		details := f.Certificate.Details()
		v.candidates, v.details[f.Certificate] = append(v.candidates, f.Certificate), &details
	}
	slices.SortStableFunc(v.candidates, func(a, b *certs.Certificate) int {
		useless := func(c *certs.Certificate) int {
			if c.Useless() != nil {
				return 1
			}
			return 0
		}
		return useless(a) - useless(b)
	})
}

func (v *verifiers) documents() []verifierDocument {
	all := []verifierDocument{}
	for _, f := range v.found {
		if details := v.details[f.Certificate]; details != nil {
			all = append(all, verifierDocument{details.Subject, details.KeyID, f.Where})
		}
	}
	return all
}

// refuses tells why the kernel does not verify with a key and a hash, though the signature is right: none does, or the one of the release.
func (v *verifiers) refuses(key *certs.Certificate, hash string) error {
	details := v.details[key]
	v.mu.Lock()
	defer v.mu.Unlock()
	name := fmt.Sprintf("%p %s", key, hash)
	why, asked := v.lacks[name]
	if !asked {
		why = key.Useless()
		if why == nil && v.ofKernel && v.release != "" {
			reason, _, err := kernel.Lacks(v.session.machine.Files, v.release, hash, details.Algorithm, text(details.Curve))
			if err == nil && reason != "" {
				why = fmt.Errorf("%w: %s", errLacks, reason)
			}
		}
		v.lacks[name] = why
	}
	return why
}
