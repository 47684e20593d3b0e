package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
)

// kinds of certificate
func selfSigned(t *testing.T) *certs.Certificate {
	return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}}))
}

func leaf(t *testing.T) *certs.Certificate {
	ca := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("ca")}, SKID: []byte{9}})
	return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Signer: ca, Key: certtest.RSA(2048, 7)}))
}

// unverifiable is self-signed with an algorithm that kkeys does not know.
func unverifiable(t *testing.T) *certs.Certificate {
	algorithm := []byte{0x30, 5, 6, 3, 0x2a, 3, 4}
	return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Algorithm: algorithm, OuterAlgorithm: algorithm}))
}

func codeSigning(t *testing.T) *certs.Certificate {
	return parse(t, certtest.SelfSignedWith(t, "me", certtest.RSA(2048, 9)))
}

// sameName is issued by a key whose name is the certificate's own: self-issued by its text, not by its signature.
func sameName(t *testing.T) *certs.Certificate {
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}}
	spec.Signer, spec.Key = certtest.Make(t, spec), certtest.RSA(2048, 7)
	return parse(t, certtest.Make(t, spec))
}

func parse(t testing.TB, made *certtest.Cert) *certs.Certificate {
	t.Helper()
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	builtin, secondary, machine, platform, blacklist = keyring.Serial(1), keyring.Serial(2), keyring.Serial(3), keyring.Serial(4), keyring.Serial(5)
)

// debian gives the keyrings of a kernel with all five, .machine linked.
func debian() []keyring.Ring {
	ring := func(s keyring.Serial, name string, links ...keyring.Key) keyring.Ring {
		return keyring.Ring{Key: keyring.Key{Serial: s, Type: keyring.TypeKeyring, Description: name}, Rings: links}
	}
	b, m := ring(builtin, keyring.Builtin), ring(machine, keyring.Machine)
	return []keyring.Ring{b, ring(secondary, keyring.Secondary, b.Key, m.Key), m, ring(platform, keyring.Platform), ring(blacklist, keyring.Blacklist)}
}

// put adds an entry to a keyring.
func put(rings []keyring.Ring, name, kind, description string) []keyring.Ring {
	r := keyring.Named(rings, name)
	r.Keys = append(r.Keys, keyring.Key{Serial: r.Serial*100 + keyring.Serial(len(r.Keys)), Type: kind, Description: description})
	return rings
}

// answers makes an inquiry in which the questions named have the answers given, all others ErrNoVoucher. A key is answered for as its keyring
// is, where nothing else is given.
func answers(c *certs.Certificate, rings []keyring.Ring, given map[keyring.Restriction]error) *keyring.Inquiry {
	all := maps.Clone(given)
	if all == nil {
		all = vouched{}
	}
	for _, ring := range rings {
		for _, key := range ring.Keys {
			err, ok := given[keyring.ByRing(ring.Serial)]
			if _, own := given[keyring.ByKey(key.Serial)]; ok && !own {
				all[keyring.ByKey(key.Serial)] = err
			}
		}
	}
	q := &keyring.Inquiry{Description: c.KernelName()}
	for _, r := range Questions(rings) {
		err, ok := all[r]
		if !ok {
			err = keyring.ErrNoVoucher
		}
		q.Answers = append(q.Answers, keyring.Answer{Restriction: r, Err: err})
	}
	return q
}

// populate puts an entry of the certificate into each keyring without one for which the kernel answers that it has a key.
func populate(rings []keyring.Ring, c *certs.Certificate, given ...vouched) []keyring.Ring {
	has := func(ring keyring.Serial) bool {
		return slices.ContainsFunc(given, func(v vouched) bool {
			err, ok := v[keyring.ByRing(ring)]
			return ok && (err == nil || errors.Is(err, mismatch))
		})
	}
	for _, ring := range trusting(rings) {
		linked := ring.Name() == keyring.Secondary && (has(builtin) || has(machine))
		if !has(ring.Serial) || len(ring.Keys) > 0 || linked {
			continue
		}
		name := c.KernelName()
		if self, _ := c.SelfSigned(); !self {
			name = "its issuer: 09"
		}
		put(rings, ring.Name(), keyring.TypeAsymmetric, name)
	}
	return rings
}

func healthy() kernel.Status {
	return kernel.Status{
		Release:    "6.1.0",
		Signatures: evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is there"},
		Enforced:   evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is Y"},
		Config:     kernel.Config{"MODULE_SIG": "y"},
	}
}

var registered = evidence.Reading{Answer: evidence.Yes, Evidence: "sha256 is registered", Source: "/proc/crypto"}

type vouched = map[keyring.Restriction]error

// at makes the answers that are the same for some keyrings.
func at(err error, rings ...keyring.Serial) vouched {
	given := vouched{}
	for _, r := range rings {
		given[keyring.ByRing(r)] = err
		if r == machine || r == builtin {
			given[keyring.ByRing(secondary)], given[keyring.BySecondary] = err, err
		}
		if r == builtin {
			given[keyring.ByBuiltin] = err
		}
	}
	return given
}

var mismatch = keyring.ErrMismatch

func TestJudge(t *testing.T) {
	inMachine := at(nil, machine)
	finds := at(mismatch, machine) // what a witness is answered where its signer is
	namesake := func() []keyring.Ring { return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 010203") }
	for _, c := range []struct {
		name     string
		cert     func(*testing.T) *certs.Certificate
		rings    func() []keyring.Ring // nil: not visible
		answers  vouched
		bySerial vouched // the witness that names issuer and serial
		byAll    vouched // the witness that names all ids; nil: as bySerial
		byKeyID  vouched // the witness that names the key id
		change   func(*Facts)
		value    Value
		proof    Proof
		ring     string
		gate     string // one that must say why
		says     string
	}{
		{name: "enrolled", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, byKeyID: finds,
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GatePresent, says: "verified"},
		{name: "builtin", cert: selfSigned, rings: debian, answers: at(nil, builtin), bySerial: at(mismatch, builtin), byKeyID: at(mismatch, builtin),
			value: Trusted, proof: KeyringRestriction, ring: keyring.Builtin},
		{name: "added to secondary by root", cert: selfSigned, rings: debian, answers: vouched{keyring.BySecondary: nil, keyring.ByRing(secondary): nil}, bySerial: at(mismatch, secondary),
			value: Trusted, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "nowhere", cert: selfSigned, rings: debian, value: Untrusted, gate: GatePresent, says: "no keyring holds its key"},
		{name: "only in platform", cert: selfSigned, rings: debian, answers: at(nil, platform), bySerial: at(mismatch, platform),
			value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateConsulted, says: "patch"},
		{name: "only in platform, which is consulted", cert: selfSigned, rings: debian, answers: at(nil, platform), bySerial: at(mismatch, platform),
			change: platformConsulted, value: Trusted, proof: KeyringRestriction, ring: keyring.Platform, gate: GateConsulted, says: "proven"},
		{name: "only in platform, which is not consulted", cert: selfSigned, rings: debian, answers: at(nil, platform), bySerial: at(mismatch, platform),
			change: func(f *Facts) { f.Platform = evidence.Reading{Answer: evidence.No, Evidence: "disproven"} }, value: Untrusted, proof: KeyringRestriction, ring: keyring.Platform, gate: GateConsulted, says: "disproven"},
		{name: "in platform, another key of this id in machine", cert: selfSigned, rings: debian, answers: at(nil, platform), bySerial: at(mismatch, platform, machine), byKeyID: at(mismatch, platform),
			change: platformConsulted, value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateSigner, says: "not known to be this key"},
		{name: "in platform, the head gives no answer", cert: selfSigned, rings: debian, answers: at(nil, platform),
			bySerial: merge(at(mismatch, platform), vouched{keyring.ByRing(secondary): keyring.ErrUnavailable}),
			change:   platformConsulted, value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateSigner, says: "could not be asked"},
		{name: "in platform and in machine", cert: selfSigned, rings: debian, answers: at(nil, machine, platform), bySerial: at(mismatch, machine, platform),
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine},
		{name: "renewed: the same key under another serial number", cert: selfSigned, rings: namesake, answers: inMachine, byKeyID: finds,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "sign-file -k"},
		{name: "the same key under another certificate altogether", cert: selfSigned, rings: debian, answers: inMachine,
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "neither by"},
		{name: "renewed in machine, itself in platform", cert: selfSigned, rings: debian, answers: at(nil, machine, platform), bySerial: at(mismatch, platform), byKeyID: finds,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateConsulted, says: "patch"},
		{name: "renewed in machine, itself in platform, which is consulted", cert: selfSigned, rings: debian, answers: at(nil, machine, platform), bySerial: at(mismatch, platform), byKeyID: finds,
			change: platformConsulted, value: Trusted, proof: KeyringRestriction, ring: keyring.Platform, gate: GateSigner, says: "as sign-file writes them"},
		{name: "renewed in machine, itself in platform, a module", cert: selfSigned, rings: debian, answers: at(nil, machine, platform), bySerial: at(mismatch, platform), byKeyID: finds,
			change: signed, value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateConsulted, says: "patch"},
		{name: "renewed, a module", cert: selfSigned, rings: namesake, answers: inMachine, byKeyID: finds,
			change: signed, value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "as the module names it"},
		{name: "renewed, a module, and .platform gives no answer", cert: selfSigned, rings: namesake, answers: inMachine, byKeyID: finds,
			bySerial: vouched{keyring.ByRing(platform): keyring.ErrUnavailable},
			change:   signed, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "could not be asked"},
		{name: "in platform, another certificate of its issuer and serial in machine", cert: selfSigned, rings: debian, answers: at(nil, platform),
			bySerial: at(mismatch, platform, machine), byAll: at(mismatch, platform), byKeyID: at(mismatch, platform),
			change: platformConsulted, value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateSigner, says: "of the same key or not"},
		{name: "another certificate of its issuer and serial in machine", cert: selfSigned, rings: debian,
			bySerial: finds, byAll: vouched{}, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "of the same key or not"},
		{name: "made anew: another certificate of its issuer and serial, which is trusted", cert: selfSigned, rings: anewRings, change: madeAnew(t, nil),
			bySerial: finds, byAll: vouched{}, value: Untrusted, gate: GatePresent, says: "it is another key"},
		{name: "made anew, a module", cert: selfSigned, rings: anewRings, change: func(f *Facts) { madeAnew(t, nil)(f); f.Signed = true },
			bySerial: finds, byAll: vouched{}, value: Untrusted, gate: GatePresent, says: "another key"},
		{name: "made anew, and the kernel finds its key id", cert: selfSigned, rings: anewRings, change: madeAnew(t, nil),
			bySerial: finds, byAll: vouched{}, byKeyID: at(mismatch, platform), value: Unknown, proof: IDMatch, ring: keyring.Machine},
		{name: "made anew, and the other is not trusted", cert: selfSigned, rings: anewRings, change: madeAnew(t, func(f *Facts, other *Namesake) { other.Inquiry = answers(other.Certificate, f.Rings, nil) }),
			bySerial: finds, byAll: vouched{}, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "of the same key or not"},
		{name: "made anew, and there are two of the other's name", cert: selfSigned, rings: func() []keyring.Ring {
			return put(anewRings(), keyring.Platform, keyring.TypeAsymmetric, "me: 0909")
		}, change: madeAnew(t, nil), bySerial: finds, byAll: vouched{}, value: Untrusted},
		{name: "made anew, and an entry does not tell its id", cert: selfSigned, rings: func() []keyring.Ring {
			return put(anewRings(), keyring.Platform, keyring.TypeAsymmetric, "mine")
		}, change: madeAnew(t, nil), bySerial: finds, byAll: vouched{}, value: Untrusted},
		{name: "another certificate of its issuer and serial, a module", cert: selfSigned, rings: debian, change: signed,
			bySerial: finds, byAll: vouched{}, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GateSigner, says: "of the same key or not"},
		{name: "in machine, another certificate of its issuer and serial is found first", cert: selfSigned, rings: debian, answers: inMachine,
			bySerial: at(mismatch, machine, builtin), byAll: merge(finds, vouched{keyring.ByRing(secondary): keyring.ErrNoVoucher}),
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner},
		{name: "no secondary, a namesake in builtin, itself in platform", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); return append(r[:1:1], r[3]) },
			answers: at(nil, platform), bySerial: vouched{keyring.ByRing(platform): mismatch, keyring.ByRing(builtin): mismatch},
			change: platformConsulted, value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateSigner},
		{name: "no secondary, itself in platform", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); return append(r[:1:1], r[3]) },
			answers: at(nil, platform), bySerial: vouched{keyring.ByRing(platform): mismatch},
			change: platformConsulted, value: Trusted, proof: KeyringRestriction, ring: keyring.Platform},
		{name: "another key of this issuer and serial in builtin is found first", cert: selfSigned, rings: debian, answers: inMachine,
			bySerial: merge(finds, vouched{keyring.ByRing(secondary): keyring.ErrNoVoucher}), byKeyID: finds,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "none or another"},
		{name: "witness not answered", cert: selfSigned, rings: debian, answers: inMachine, bySerial: unavailable(), byKeyID: unavailable(),
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "could not be asked"},
		{name: "same name and id, other key", cert: selfSigned, rings: namesake, answers: at(mismatch, machine), bySerial: finds, byKeyID: finds,
			value: Untrusted, gate: GatePresent, says: "another key"},
		{name: "same id, several entries, the kernel took one", cert: selfSigned,
			rings:   func() []keyring.Ring { return put(namesake(), keyring.Platform, keyring.TypeAsymmetric, "you: 010203") },
			answers: at(mismatch, machine, platform), bySerial: finds, byKeyID: at(mismatch, machine, platform),
			value: Untrusted, gate: GatePresent, says: "another key"},
		{name: "same name, several entries, the kernel took one", cert: selfSigned,
			rings:   func() []keyring.Ring { return put(namesake(), keyring.Machine, keyring.TypeAsymmetric, "me: 99") },
			answers: at(mismatch, machine), bySerial: finds, value: Untrusted},
		{name: "a match that cannot be proven", cert: selfSigned, rings: namesake, answers: at(keyring.ErrCrypto, machine),
			bySerial: finds, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "did not prove"},
		{name: "a match in the listing alone", cert: selfSigned, rings: namesake, answers: unavailable(), bySerial: unavailable(),
			value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "an entry of .machine"},
		{name: "a match of the key id alone", cert: leaf, rings: func() []keyring.Ring {
			return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "renamed: 010203")
		},
			answers: unavailable(), bySerial: unavailable(), value: Unknown, proof: IDMatch, ring: keyring.Machine},
		{name: "ca_keys= excludes the key", cert: selfSigned, rings: namesake, answers: at(keyring.ErrExcluded, machine), bySerial: at(keyring.ErrExcluded, machine),
			value: Unknown, proof: IDMatch, ring: keyring.Machine},
		{name: "leaf of a trusted key", cert: leaf, rings: debian, answers: inMachine,
			value: Untrusted, gate: GatePresent, says: "does not hold its own key"},
		{name: "leaf of a trusted key, no witness", cert: leaf, rings: debian, answers: inMachine, bySerial: unavailable(),
			value: Unknown, gate: GatePresent, says: "does not hold its own key"},
		{name: "leaf of a trusted key, no witness of its key id", cert: leaf, rings: debian, answers: inMachine, byKeyID: unavailable(),
			value: Unknown, gate: GatePresent, says: "does not hold its own key"},
		{name: "leaf of a trusted key with the key's own name", cert: sameName, rings: debian, answers: inMachine,
			value: Untrusted, gate: GatePresent, says: "does not hold its own key"},
		{name: "leaf that is enrolled itself", cert: leaf, rings: namesake, bySerial: finds, byKeyID: finds,
			value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "cannot be proven"},
		{name: "leaf that is enrolled itself, and so is its issuer", cert: leaf, rings: namesake, answers: inMachine, bySerial: finds, byKeyID: finds,
			value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "cannot be proven"},
		{name: "leaf of a stranger", cert: leaf, rings: debian, value: Untrusted, gate: GatePresent, says: "the kernel was asked about each"},
		{name: "leaf of a stranger, no witness", cert: leaf, rings: debian, bySerial: unavailable(), byKeyID: unavailable(), value: Untrusted, gate: GatePresent, says: "no entry"},
		{name: "leaf, no witness, and an entry without an id", cert: leaf, rings: func() []keyring.Ring { return put(debian(), keyring.Secondary, keyring.TypeAsymmetric, "mine") },
			bySerial: unavailable(), value: Unknown, gate: GatePresent, says: "has a description without one"},
		{name: "leaf, no witness, and entries not seen", cert: leaf, rings: func() []keyring.Ring { r := debian(); r[3].Unseen = 2; return r },
			bySerial: unavailable(), value: Unknown, gate: GatePresent, says: "2 entries of .platform"},
		{name: "leaf, no witness, and an entry without an id that does not matter", cert: leaf,
			rings:    func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeBlacklist, "mine") },
			bySerial: unavailable(), value: Untrusted},
		{name: "signature of an algorithm that kkeys does not know", cert: unverifiable, rings: namesake, answers: inMachine, bySerial: finds, byKeyID: finds,
			value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "whether the certificate is self-signed cannot be told"},
		{name: "signature of an algorithm that kkeys does not know, vouched for, found by no name", cert: unverifiable, rings: debian, answers: inMachine,
			value: Untrusted, gate: GatePresent, says: "does not hold its own key"},
		{name: "signature of an algorithm that kkeys does not know, vouched for", cert: unverifiable, rings: debian, answers: inMachine, bySerial: unavailable(),
			value: Unknown, gate: GatePresent, says: "whether it is self-signed cannot be told"},
		{name: "machine not linked", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[1].Rings = r[1].Rings[:1]; return r },
			answers: vouched{keyring.ByRing(machine): nil}, bySerial: vouched{keyring.ByRing(machine): mismatch},
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateConsulted, says: "not linked"},
		{name: "a link of secondary not seen", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[1].Rings, r[1].Unseen = nil, 1; return r },
			answers: vouched{keyring.ByRing(machine): nil}, bySerial: vouched{keyring.ByRing(machine): mismatch},
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateConsulted, says: "could not be seen"},
		{name: "builtin cut from secondary", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[1].Rings = nil; return r },
			answers: vouched{keyring.ByBuiltin: nil, keyring.ByRing(builtin): nil}, bySerial: vouched{keyring.ByRing(builtin): mismatch},
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Builtin, gate: GateConsulted, says: "not linked"},
		{name: "builtin cut from secondary on an old kernel", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[1].Rings = nil; return r },
			answers: vouched{keyring.ByRing(builtin): nil}, bySerial: vouched{keyring.ByRing(builtin): mismatch}, change: func(f *Facts) { f.Kernel.Release = "4.19.0" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Builtin, gate: GateConsulted, says: "directly"},
		{name: "no secondary", cert: selfSigned, rings: func() []keyring.Ring { return debian()[:1] }, answers: at(nil, builtin), bySerial: at(mismatch, builtin),
			value: Trusted, proof: KeyringRestriction, ring: keyring.Builtin},
		{name: "no secondary, in machine", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); return append(r[:1:1], r[2]) },
			answers: vouched{keyring.ByRing(machine): nil}, bySerial: vouched{keyring.ByRing(machine): mismatch},
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateConsulted, says: "no .secondary_trusted_keys"},
		{name: "kernel 5.0", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Kernel.Release = "5.0.1" },
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine},
		{name: "kernel 4.19", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Kernel.Release = "4.19.0-21-amd64" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateConsulted, says: "before 5.0"},
		{name: "kernel of an unknown release", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Kernel.Release = "" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine},
		{name: "no module signatures", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds,
			change: func(f *Facts) { f.Kernel.Signatures = evidence.Reading{Answer: evidence.No, Evidence: "checks none"} }, value: Untrusted,
			proof: KeyringRestriction, ring: keyring.Machine, gate: GateSignatures, says: "checks none"},
		{name: "module signatures not known", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds,
			change: func(f *Facts) { f.Kernel.Signatures = evidence.Reading{Evidence: "no /sys"} }, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine},
		{name: "refused as blacklisted", cert: selfSigned, rings: debian, change: func(f *Facts) { f.Inquiry = &keyring.Inquiry{Refused: fmt.Errorf("%w: errno", keyring.ErrRejected)} },
			value: Untrusted, gate: GateCertificate, says: "rejects"},
		{name: "quota", cert: selfSigned, rings: debian, change: func(f *Facts) { f.Inquiry, f.InquiryErr, f.Witnesses = nil, keyring.ErrQuota, nil }, value: Untrusted, gate: GateCertificate, says: "quota"},
		{name: "quota, and an entry of its name", cert: selfSigned, rings: namesake, change: func(f *Facts) { f.Inquiry, f.InquiryErr, f.Witnesses = nil, keyring.ErrQuota, nil },
			value: Unknown, proof: IDMatch, ring: keyring.Machine},
		{name: "called otherwise by the kernel", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Inquiry.Description = "you: 01" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCertificate, says: "report"},
		{name: "revoked", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "me: 010203") },
			answers: at(nil, machine, blacklist), bySerial: finds, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "revoked"},
		{name: "others revoked", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "you: 04") },
			answers: inMachine, bySerial: finds, value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "no revoked certificate"},
		{name: "a revoked certificate has its key id", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "me: 010203") },
			answers: inMachine, bySerial: finds, byKeyID: merge(finds, at(mismatch, blacklist)), value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "or its key id"},
		{name: "a revoked certificate has its issuer and serial number", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "me: 010203") },
			answers: merge(inMachine, at(mismatch, blacklist)), bySerial: merge(finds, at(mismatch, blacklist)), byKeyID: finds, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "issuer and serial"},
		{name: "others revoked, .blacklist does not tell about ids", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "you: 04") },
			answers: inMachine, bySerial: finds, byKeyID: merge(finds, at(keyring.ErrUnavailable, blacklist)), value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "could not be asked"},
		{name: "others revoked, .blacklist gives no answer", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "you: 04") },
			answers: merge(inMachine, at(keyring.ErrUnavailable, blacklist)), bySerial: finds, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "cannot be used"},
		{name: "others revoked, nothing asked", cert: selfSigned, rings: func() []keyring.Ring { return put(namesake(), keyring.Blacklist, keyring.TypeAsymmetric, "you: 04") },
			change: func(f *Facts) { f.Inquiry, f.InquiryErr, f.Witnesses = nil, keyring.ErrQuota, nil }, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GateRevocation, says: "quota"},
		{name: "hashes revoked", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeBlacklist, "bin:00") },
			answers: inMachine, bySerial: finds, value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "1 hashes"},
		{name: "blacklist partly unseen", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[4].Unseen = 2; return r }, answers: inMachine, bySerial: finds,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "could not be seen"},
		{name: "old kernel without restrictions, id not there", cert: selfSigned, rings: debian, answers: unavailable(), bySerial: unavailable(), byKeyID: unavailable(), value: Untrusted, gate: GatePresent, says: "no entry"},
		{name: "cannot ask, cannot see", cert: selfSigned, change: func(f *Facts) { f.Inquiry, f.InquiryErr, f.Witnesses = nil, keyring.ErrUnavailable, nil }, value: Unknown, gate: GatePresent, says: "could not be seen"},
		{name: "nothing at all", cert: selfSigned, change: func(f *Facts) { *f = Facts{Certificate: f.Certificate} }, value: Unknown, gate: GateCertificate, says: "not asked"},
		{name: "SUSE, without codeSigning", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { stored(f); f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" },
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "only from signers"},
		{name: "SUSE, with codeSigning", cert: codeSigning, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { stored(f); f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" },
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "it has"},
		{name: "no configuration, without codeSigning", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { stored(f); f.Kernel.Config = nil },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "no kernel configuration"},
		{name: "no configuration, Debian", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds,
			change: func(f *Facts) { f.Kernel.Config, f.Kernel.Distribution.ID = nil, "debian" }, value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "of this distribution"},
		{name: "no configuration, with codeSigning", cert: codeSigning, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { stored(f); f.Kernel.Config = nil },
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine},

		{name: "ordinary user, enrolled", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, bySerial: vouched{keyring.BySecondary: mismatch}, value: Trusted, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "ordinary user, builtin", cert: selfSigned, answers: vouched{keyring.BySecondary: nil, keyring.ByBuiltin: nil}, bySerial: vouched{keyring.BySecondary: mismatch}, value: Trusted, proof: KeyringRestriction, ring: keyring.Builtin},
		{name: "ordinary user, renewed", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, byKeyID: vouched{keyring.BySecondary: mismatch}, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary, gate: GateSigner, says: "-k"},
		{name: "ordinary user, renewed, a module", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, byKeyID: vouched{keyring.BySecondary: mismatch}, change: signed,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary, gate: GateSigner, says: "-k"},
		{name: "ordinary user, the same key under another certificate altogether", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "ordinary user, builtin cut from secondary", cert: selfSigned, answers: vouched{keyring.ByBuiltin: nil}, value: Unknown},
		{name: "ordinary user, nowhere that may be asked", cert: selfSigned, value: Unknown, gate: GatePresent, says: "by name"},
		{name: "ordinary user, another key of that name", cert: selfSigned, answers: vouched{keyring.BySecondary: mismatch}, bySerial: vouched{keyring.BySecondary: mismatch}, value: Unknown, proof: IDMatch, ring: keyring.Secondary},
		{name: "ordinary user, leaf of a trusted key", cert: leaf, answers: vouched{keyring.BySecondary: nil}, value: Unknown, gate: GatePresent, says: "does not hold its own key"},
		{name: "ordinary user, leaf that is enrolled itself", cert: leaf, bySerial: vouched{keyring.BySecondary: mismatch}, value: Unknown, proof: IDMatch, ring: keyring.Secondary},
		{name: "ordinary user, kernel with revoked certificates", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, bySerial: vouched{keyring.BySecondary: mismatch},
			change: func(f *Facts) { f.Kernel.Config["SYSTEM_REVOCATION_LIST"] = "y" }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary, gate: GateRevocation, says: "not seen"},
		{name: "ordinary user, no configuration", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, bySerial: vouched{keyring.BySecondary: mismatch},
			change: func(f *Facts) { f.Kernel.Config = nil }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "ordinary user, kernel 4.19", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, bySerial: vouched{keyring.BySecondary: mismatch},
			change: func(f *Facts) { f.Kernel.Release = "4.19.0" }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Facts{Certificate: c.cert(t), Kernel: healthy(), Hash: registered}
			if c.rings != nil {
				f.Rings = populate(c.rings(), f.Certificate, c.answers, c.bySerial, c.byKeyID)
			} else {
				f.RingsErr = keyring.ErrNotVisible
			}
			f.Inquiry = answers(f.Certificate, f.Rings, c.answers)
			if c.byAll == nil {
				c.byAll = c.bySerial
			}
			f.Witnesses = map[certs.Lookup]*keyring.Inquiry{
				certs.ByIssuerAndSerial: answers(f.Certificate, f.Rings, c.bySerial), certs.ByAllIDs: answers(f.Certificate, f.Rings, c.byAll), certs.ByKeyID: answers(f.Certificate, f.Rings, c.byKeyID),
			}
			if c.change != nil {
				c.change(&f)
			}
			v := Judge(f)
			if v.Value != c.value || v.Proof != c.proof || v.Keyring != c.ring {
				t.Errorf("verdict %s, proof %q, keyring %q; want %s, %q, %q\n%s", v.Value, v.Proof, v.Keyring, c.value, c.proof, c.ring, show(v))
			}
			if c.gate != "" && !strings.Contains(find(v, c.gate).Evidence, c.says) {
				t.Errorf("gate %s says %q, want something with %q", c.gate, find(v, c.gate).Evidence, c.says)
			}
		})
	}
}

// anewRings have an entry of the certificate that madeAnew makes, in .machine.
func anewRings() []keyring.Ring {
	return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 04")
}

// madeAnew adds a certificate of the same issuer and serial number with another key and key id, which is enrolled; unless change changes it.
func madeAnew(t *testing.T, change func(f *Facts, other *Namesake)) func(*Facts) {
	return func(f *Facts) {
		c := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{4}, Key: certtest.RSA(2048, 33)}))
		other := Namesake{Stored{c, "mok"}, answers(c, f.Rings, at(nil, machine))}
		if change != nil {
			change(f, &other)
		}
		f.Namesakes = []Namesake{other}
	}
}

// stored: the certificate was found in shim's list.
func stored(f *Facts) { f.Stored = append(f.Stored, Stored{f.Certificate, "mok"}) }

// signed makes it the signer of a module.
func signed(f *Facts) { f.Signed = true }

func platformConsulted(f *Facts) {
	f.Platform = evidence.Reading{Answer: evidence.Yes, Evidence: "proven"}
}

func merge(all ...vouched) vouched {
	merged := vouched{}
	for _, v := range all {
		maps.Copy(merged, v)
	}
	return merged
}

// unavailable: no restriction could be set, as before Linux 4.12.
func unavailable() vouched {
	given := vouched{}
	for _, r := range Questions(debian()) {
		given[r] = fmt.Errorf("%w: not supported", keyring.ErrUnavailable)
	}
	return given
}

func find(v Verdict, name string) Gate {
	for _, g := range v.Gates {
		if g.Name == name {
			return g
		}
	}
	return Gate{}
}

func show(v Verdict) string {
	var b strings.Builder
	for _, g := range v.Gates {
		fmt.Fprintf(&b, "%-15s %-20s %s\n", g.Result, g.Name, g.Evidence)
	}
	return b.String()
}
