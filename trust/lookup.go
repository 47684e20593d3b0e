package trust

import (
	"slices"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
)

// signer is what the kernel takes for the signer of a module that names the certificate in one way.
type signer struct {
	// exists: there is a key of that name. own: the key that the kernel finds by it is the certificate's own.
	exists, own evidence.Answer
	// in is the keyring where that key stands, as far as that is known; consulted tells whether modules are checked against it.
	in        string
	consulted evidence.Reading
}

// leads: modules that name the certificate so are checked with its own key, if the keyring counts.
func (s signer) leads() bool { return s.exists == evidence.Yes && s.own == evidence.Yes }

// misleads: modules that name it so are refused, since there is no key of that name, or another one.
func (s signer) misleads() bool { return s.exists == evidence.No || s.another() }

// another: there is a key of that name, and it is not the certificate's.
func (s signer) another() bool { return s.exists == evidence.Yes && s.own == evidence.No }

// lookUp follows mod_verify_sig (kernel/module/signing.c): the signer is looked for from .secondary_trusted_keys, or the keyring that stands for
// it, through all that it links, and the first key of that name is taken; kernels that consult .platform do so when there was none. Which
// one is first among several, nobody can tell, so that all of them have to be the certificate's own.
func (f Facts) lookUp(by certs.Lookup) signer {
	switch {
	case by == certs.ByKeyID && f.Certificate.SubjectKeyID == nil:
		return signer{exists: evidence.No}
	case f.RingsErr != nil:
		return f.lookUpUnseen(by)
	}
	first, platform := search{by: by}, search{by: by}
	for _, ring := range trusting(f.Rings) {
		s, consulted := &first, f.consulted(ring.Name())
		if ring.Name() == keyring.Platform {
			s = &platform
		}
		if consulted.Answer != evidence.No {
			s.add(ring, consulted, hasName(f.Witnesses[by], keyring.ByRing(ring.Serial)), unlisted(f.Rings, ring))
		}
	}
	for _, e := range f.entries() {
		first.offer(e)
		platform.offer(e)
	}
	if l := first.signer(); l.exists != evidence.No {
		return l
	}
	return platform.signer()
}

// consulted is [Consulted], with what load probes have shown of .platform.
func (f Facts) consulted(name string) evidence.Reading {
	r := Consulted(f.Rings, f.Kernel, name)
	if name == keyring.Platform && r.Answer == evidence.Unknown && f.Platform.Answer != evidence.Unknown {
		return f.Platform
	}
	return r
}

// search is one of the two rounds: the keyrings that are asked in it, and the keys of the name there.
type search struct {
	by     certs.Lookup
	rings  []asking
	keys   []entry
	unseen bool // some entries give no permission to view them, or stand in a keyring that is not among those listed
}

// asking is a keyring that is or may be asked, and whether the kernel finds a key of the name in it and what it links.
type asking struct {
	name      string
	consulted evidence.Reading
	found     evidence.Answer
}

func (s *search) add(ring *keyring.Ring, consulted evidence.Reading, found evidence.Answer, unlisted string) {
	s.rings = append(s.rings, asking{ring.Name(), consulted, found})
	s.unseen = s.unseen || ring.Unseen > 0 || unlisted != ""
}

// offer takes a key that stands in one of the keyrings and has the name.
func (s *search) offer(e entry) {
	if e.named(s.by) != evidence.No && slices.ContainsFunc(s.rings, func(a asking) bool { return a.name == e.ring }) {
		s.keys = append(s.keys, e)
	}
}

// signer: what the keyring that is surely asked finds, counts; what only a keyring finds that may be asked, leaves it open.
func (s *search) signer() signer {
	l := signer{exists: evidence.No}
	for _, name := range []string{keyring.Secondary, keyring.Builtin, keyring.System, keyring.Platform} {
		if a := s.asking(name); a != nil && a.consulted.Answer == evidence.Yes {
			l = signer{exists: a.found, in: a.name, consulted: a.consulted}
			break // this one is asked, with all that it links
		}
	}
	for _, a := range s.rings {
		if l.exists == evidence.No && a.consulted.Answer == evidence.Unknown && a.found != evidence.No {
			l = signer{exists: a.found, in: a.name, consulted: a.consulted}
		}
	}
	if l.exists == evidence.No {
		return l
	}
	l.own = s.own()
	for _, e := range s.keys { // rather the keyring that holds the key than one that links it
		if a := s.asking(e.ring); e.named(s.by) == evidence.Yes && a.consulted.Answer == l.consulted.Answer {
			l.in, l.consulted = a.name, a.consulted
			break
		}
	}
	return l
}

func (s *search) asking(name string) *asking {
	if i := slices.IndexFunc(s.rings, func(a asking) bool { return a.name == name }); i >= 0 {
		return &s.rings[i]
	}
	return nil
}

// own: whichever of the keys is found first.
func (s *search) own() evidence.Answer {
	if len(s.keys) == 0 || s.unseen {
		return evidence.Unknown
	}
	for _, e := range s.keys {
		if e.own != s.keys[0].own {
			return evidence.Unknown
		}
	}
	return s.keys[0].own
}

// lookUpUnseen is for an ordinary user, who may ask for .secondary_trusted_keys with all that it links, and for no key alone. That nothing has
// the name is never known then, since .platform was not asked.
func (f Facts) lookUpUnseen(by certs.Lookup) signer {
	l := signer{in: keyring.Secondary, consulted: f.unseenConsulted()}
	if hasName(f.Witnesses[by], keyring.BySecondary) == evidence.Yes {
		l.exists = evidence.Yes
	}
	if f.own(keyring.BySecondary) == evidence.Yes {
		// builtin alone would mean that .secondary no longer links it, and then it does not count.
		if vouches(f.Inquiry, keyring.ByBuiltin) == evidence.Yes {
			l.in = keyring.Builtin
		}
		if f.asVerified(by) {
			l.own = evidence.Yes
		}
	}
	return l
}

func (f Facts) unseenConsulted() evidence.Reading {
	if old := before(f.Kernel.Release, 5, 0); old != evidence.No {
		return evidence.Reading{Evidence: "Linux " + f.Kernel.Release + ": kernels before 5.0 may ask .builtin_trusted_keys alone", Source: osRelease}
	}
	return evidence.Reading{Answer: evidence.Yes, Evidence: "the kernel answered for the keyrings against which modules are checked", Source: oracle}
}

// asVerified: the key that verified the certificate is the one that the kernel finds by this name. It found it by what the certificate says of its
// issuer; where that is another name, a second certificate can come between the two.
func (f Facts) asVerified(by certs.Lookup) bool {
	authority := f.Certificate.Authority
	switch {
	case by == certs.ByIssuerAndSerial && f.Certificate.SubjectKeyID != nil && hasName(f.Witnesses[certs.ByAllIDs], keyring.BySecondary) != evidence.Yes:
		return false // what has its issuer and serial number has another key id
	case by == certs.ByIssuerAndSerial && authority.ID0() != nil, by == certs.ByKeyID && authority.ID0() == nil && authority.KeyID != nil:
		return true
	case f.Firmware != nil && f.Firmware.Enrolled.Err != nil:
		return false // what shim has is not known
	case hasName(f.Witnesses[by], keyring.ByBuiltin) != evidence.No && vouches(f.Inquiry, keyring.ByBuiltin) != evidence.Yes:
		return false
	}
	return !slices.ContainsFunc(f.Namesakes, func(n Namesake) bool { return n.loaded() })
}
