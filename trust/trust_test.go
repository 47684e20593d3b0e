package trust

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kkeys/certs"
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

// sameName is issued by a key whose name is the certificate's own: self-issued by its text, not by its signature.
func sameName(t *testing.T) *certs.Certificate {
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}}
	spec.Signer, spec.Key = certtest.Make(t, spec), certtest.RSA(2048, 7)
	return parse(t, certtest.Make(t, spec))
}

func parse(t *testing.T, made *certtest.Cert) *certs.Certificate {
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
	r.Keys = append(r.Keys, keyring.Key{Serial: keyring.Serial(100 + len(r.Keys)), Type: kind, Description: description})
	return rings
}

// answers makes an inquiry in which the questions named have the answers given, all others ErrNoVoucher.
func answers(c *certs.Certificate, rings []keyring.Ring, given map[keyring.Restriction]error) *keyring.Inquiry {
	q := &keyring.Inquiry{Description: c.KernelName()}
	for _, r := range Questions(rings) {
		err, ok := given[r]
		if !ok {
			err = keyring.ErrNoVoucher
		}
		q.Answers = append(q.Answers, keyring.Answer{Restriction: r, Err: err})
	}
	return q
}

func healthy() kernel.Status {
	return kernel.Status{
		Release:    "6.1.0",
		Signatures: kernel.Reading{Answer: kernel.Yes, Evidence: "sig_enforce is there"},
		Enforced:   kernel.Reading{Answer: kernel.Yes, Evidence: "sig_enforce is Y"},
		Config:     kernel.Config{"MODULE_SIG": "y"},
	}
}

type vouched = map[keyring.Restriction]error

func TestJudge(t *testing.T) {
	inMachine := vouched{keyring.BySecondary: nil, keyring.ByRing(secondary): nil, keyring.ByRing(machine): nil}
	for _, c := range []struct {
		name    string
		cert    func(*testing.T) *certs.Certificate
		rings   func() []keyring.Ring // nil: not visible
		answers vouched
		change  func(*Facts)
		value   Value
		proof   Proof
		ring    string
		gate    string // one that must say why
		says    string
	}{
		{name: "enrolled", cert: selfSigned, rings: debian, answers: inMachine,
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GatePresent, says: "verified"},
		{name: "builtin", cert: selfSigned, rings: debian, answers: vouched{keyring.ByBuiltin: nil, keyring.BySecondary: nil, keyring.ByRing(secondary): nil, keyring.ByRing(builtin): nil},
			value: Trusted, proof: KeyringRestriction, ring: keyring.Builtin},
		{name: "added to secondary by root", cert: selfSigned, rings: debian, answers: vouched{keyring.BySecondary: nil, keyring.ByRing(secondary): nil},
			value: Trusted, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "nowhere", cert: selfSigned, rings: debian, value: Untrusted, gate: GatePresent, says: "no keyring holds its key"},
		{name: "only in platform", cert: selfSigned, rings: debian, answers: vouched{keyring.ByRing(platform): nil},
			value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateConsulted, says: "patch"},
		{name: "same name and id, other key", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 010203") },
			answers: vouched{keyring.ByRing(machine): keyring.ErrMismatch}, value: Untrusted, gate: GatePresent, says: "another key"},
		{name: "a match that cannot be proven", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 010203") },
			answers: vouched{keyring.ByRing(machine): keyring.ErrCrypto}, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "not able to prove"},
		{name: "leaf of a trusted key", cert: leaf, rings: debian, answers: inMachine,
			value: Unknown, gate: GatePresent, says: "does not hold its own key"},
		{name: "leaf of a trusted key with the key's own name", cert: sameName, rings: debian, answers: inMachine,
			value: Unknown, gate: GatePresent, says: "does not hold its own key"},
		{name: "leaf that is enrolled itself", cert: leaf, rings: func() []keyring.Ring { return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 010203") },
			value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "cannot be proven"},
		{name: "leaf of a stranger", cert: leaf, rings: debian, value: Untrusted, gate: GatePresent, says: "no entry"},
		{name: "leaf, and an entry without an id", cert: leaf, rings: func() []keyring.Ring { return put(debian(), keyring.Secondary, keyring.TypeAsymmetric, "mine") },
			value: Unknown, gate: GatePresent, says: "has a description without one"},
		{name: "machine not linked", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[1].Rings = r[1].Rings[:1]; return r }, answers: vouched{keyring.ByRing(machine): nil},
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateConsulted, says: "not linked"},
		{name: "builtin cut from secondary", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[1].Rings = nil; return r }, answers: vouched{keyring.ByBuiltin: nil, keyring.ByRing(builtin): nil},
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Builtin, gate: GateConsulted, says: "not linked"},
		{name: "no secondary", cert: selfSigned, rings: func() []keyring.Ring { return debian()[:1] }, answers: vouched{keyring.ByBuiltin: nil, keyring.BySecondary: nil, keyring.ByRing(builtin): nil},
			value: Trusted, proof: KeyringRestriction, ring: keyring.Builtin},
		{name: "kernel 4.19", cert: selfSigned, rings: debian, answers: inMachine, change: func(f *Facts) { f.Kernel.Release = "4.19.0-21-amd64" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateConsulted, says: "before 5.0"},
		{name: "no module signatures", cert: selfSigned, rings: debian, answers: inMachine,
			change: func(f *Facts) { f.Kernel.Signatures = kernel.Reading{Answer: kernel.No, Evidence: "checks none"} }, value: Untrusted,
			proof: KeyringRestriction, ring: keyring.Machine, gate: GateSignatures, says: "checks none"},
		{name: "module signatures not known", cert: selfSigned, rings: debian, answers: inMachine,
			change: func(f *Facts) { f.Kernel.Signatures = kernel.Reading{Evidence: "no /sys"} }, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine},
		{name: "refused as blacklisted", cert: selfSigned, rings: debian, change: func(f *Facts) { f.Inquiry = &keyring.Inquiry{Refused: fmt.Errorf("%w: errno", keyring.ErrRejected)} },
			value: Untrusted, gate: GateCertificate, says: "rejects"},
		{name: "quota", cert: selfSigned, rings: debian, change: func(f *Facts) { f.Inquiry = &keyring.Inquiry{Refused: keyring.ErrQuota} }, value: Unknown, gate: GateCertificate, says: "quota"},
		{name: "called otherwise by the kernel", cert: selfSigned, rings: debian, answers: inMachine, change: func(f *Facts) { f.Inquiry.Description = "you: 01" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCertificate, says: "report"},
		{name: "revoked", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "me: 010203") },
			answers: vouched{keyring.ByRing(machine): nil, keyring.ByRing(blacklist): nil}, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "revoked"},
		{name: "others revoked", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeAsymmetric, "you: 04") },
			answers: inMachine, value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "no revoked certificate"},
		{name: "hashes revoked", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Blacklist, keyring.TypeBlacklist, "bin:00") },
			answers: inMachine, value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "1 hashes"},
		{name: "blacklist partly unseen", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[4].Unseen = 2; return r }, answers: inMachine,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateRevocation, says: "could not be seen"},
		{name: "old kernel without restrictions, id there", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 010203") },
			answers: unavailable(), value: Unknown, proof: IDMatch, ring: keyring.Machine},
		{name: "old kernel without restrictions, id not there", cert: selfSigned, rings: debian, answers: unavailable(), value: Untrusted, gate: GatePresent, says: "no entry"},
		{name: "cannot ask, cannot see", cert: selfSigned, change: func(f *Facts) { f.Inquiry, f.InquiryErr = nil, keyring.ErrUnavailable }, value: Unknown, gate: GatePresent, says: "neither"},

		{name: "ordinary user, enrolled", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, value: Trusted, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "ordinary user, builtin", cert: selfSigned, answers: vouched{keyring.BySecondary: nil, keyring.ByBuiltin: nil}, value: Trusted, proof: KeyringRestriction, ring: keyring.Builtin},
		{name: "ordinary user, builtin cut from secondary", cert: selfSigned, answers: vouched{keyring.ByBuiltin: nil}, value: Unknown},
		{name: "ordinary user, nowhere that may be asked", cert: selfSigned, value: Unknown, gate: GatePresent, says: "ordinary user"},
		{name: "ordinary user, leaf of a trusted key", cert: leaf, answers: vouched{keyring.BySecondary: nil}, value: Unknown, gate: GatePresent, says: "does not hold its own key"},
		{name: "ordinary user, kernel with revoked certificates", cert: selfSigned, answers: vouched{keyring.BySecondary: nil},
			change: func(f *Facts) { f.Kernel.Config["SYSTEM_REVOCATION_LIST"] = "y" }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary, gate: GateRevocation, says: "not seen"},
		{name: "ordinary user, no configuration", cert: selfSigned, answers: vouched{keyring.BySecondary: nil},
			change: func(f *Facts) { f.Kernel.Config = nil }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary},
		{name: "ordinary user, kernel 4.19", cert: selfSigned, answers: vouched{keyring.BySecondary: nil},
			change: func(f *Facts) { f.Kernel.Release = "4.19.0" }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Facts{Certificate: c.cert(t), Kernel: healthy()}
			if c.rings != nil {
				f.Rings = c.rings()
			} else {
				f.RingsErr = keyring.ErrNotVisible
			}
			f.Inquiry = answers(f.Certificate, f.Rings, c.answers)
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

// Nothing but the kernel's own check of a self-signed certificate, with every gate passed, gives a yes: every single piece of
// evidence taken away or turned must cost it.
func TestTrustedNeedsEverything(t *testing.T) {
	c := selfSigned(t)
	base := func() Facts {
		rings := debian()
		return Facts{Certificate: c, Rings: rings, Kernel: healthy(),
			Inquiry: answers(c, rings, vouched{keyring.BySecondary: nil, keyring.ByRing(secondary): nil, keyring.ByRing(machine): nil})}
	}
	if v := Judge(base()); v.Value != Trusted {
		t.Fatalf("the base is not trusted:\n%s", show(v))
	}
	for name, change := range map[string]func(*Facts){
		"no inquiry":         func(f *Facts) { f.Inquiry, f.InquiryErr = nil, errors.New("no") },
		"no answers":         func(f *Facts) { f.Inquiry.Answers = nil },
		"all answers no":     func(f *Facts) { f.Inquiry = answers(c, f.Rings, nil) },
		"answers unclear":    func(f *Facts) { f.Inquiry = answers(c, f.Rings, unavailable()) },
		"another name":       func(f *Facts) { f.Inquiry.Description += "0" },
		"refused":            func(f *Facts) { f.Inquiry.Refused = keyring.ErrMalformed },
		"rings not seen":     func(f *Facts) { f.Rings, f.RingsErr, f.Kernel.Config = nil, keyring.ErrNotVisible, nil },
		"nothing linked":     func(f *Facts) { f.Rings[1].Rings = nil; f.Inquiry.Answers[3].Err = keyring.ErrNoVoucher },
		"signatures unknown": func(f *Facts) { f.Kernel.Signatures.Answer = kernel.Unknown },
		"no signatures":      func(f *Facts) { f.Kernel.Signatures.Answer = kernel.No },
		"not self-signed":    func(f *Facts) { f.Certificate = leaf(t) },
	} {
		f := base()
		change(&f)
		if v := Judge(f); v.Value == Trusted {
			t.Errorf("%s: still trusted\n%s", name, show(v))
		}
	}
}
