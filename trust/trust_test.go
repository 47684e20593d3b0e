package trust

import (
	"fmt"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/mok"
)

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
			bySerial: at(mismatch, platform, machine), byKeyID: at(mismatch, platform),
			change: platformConsulted, value: Unknown, proof: KeyringRestriction, ring: keyring.Platform, gate: GateSigner, says: "of the same key or not"},
		{name: "another certificate of its issuer and serial in machine", cert: selfSigned, rings: debian,
			bySerial: finds, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "of the same key or not"},
		{name: "made anew: another certificate of its issuer and serial, which is trusted", cert: selfSigned, rings: anewRings, change: madeAnew(t, nil),
			bySerial: finds, value: Untrusted, gate: GatePresent, says: "it is another key"},
		{name: "made anew, a module", cert: selfSigned, rings: anewRings, change: func(f *Facts) { madeAnew(t, nil)(f); f.Signed = true },
			bySerial: finds, value: Untrusted, gate: GatePresent, says: "another key"},
		{name: "made anew, and the kernel finds its key id", cert: selfSigned, rings: anewRings, change: madeAnew(t, nil),
			bySerial: finds, byKeyID: at(mismatch, platform), value: Unknown, proof: IDMatch, ring: keyring.Machine},
		{name: "made anew, and the other is not trusted", cert: selfSigned, rings: anewRings, change: madeAnew(t, func(f *Facts, other *Namesake) { other.Inquiry = answers(other.Certificate, f.Rings, nil) }),
			bySerial: finds, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GatePresent, says: "of the same key or not"},
		{name: "made anew, and there are two of the other's name", cert: selfSigned, rings: func() []keyring.Ring {
			return put(anewRings(), keyring.Platform, keyring.TypeAsymmetric, "me: 0909")
		}, change: madeAnew(t, nil), bySerial: finds, value: Untrusted},
		{name: "made anew, and an entry does not tell its id", cert: selfSigned, rings: func() []keyring.Ring {
			return put(anewRings(), keyring.Platform, keyring.TypeAsymmetric, "mine")
		}, change: madeAnew(t, nil), bySerial: finds, value: Untrusted},
		{name: "another certificate of its issuer and serial, a module", cert: selfSigned, rings: debian, change: signed,
			bySerial: finds, value: Unknown, proof: IDMatch, ring: keyring.Machine, gate: GateSigner, says: "of the same key or not"},
		{name: "in machine, another certificate of its issuer and serial is found first", cert: selfSigned, rings: debian, answers: inMachine,
			bySerial: at(mismatch, machine, builtin),
			value:    Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner},
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
		{name: "nothing answered, and an entry has its name with another id", cert: selfSigned, rings: func() []keyring.Ring { return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 99") },
			answers: unavailable(), bySerial: unavailable(), byKeyID: unavailable(), value: Unknown, gate: GatePresent, says: "its name with another id"},
		{name: "witness not made", cert: selfSigned, rings: debian, answers: inMachine, bySerial: unavailable(), byKeyID: unavailable(), change: func(f *Facts) { f.WitnessErr = keyring.ErrQuota },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "quota"},
		{name: "enrolled, and entries of .machine not seen", cert: selfSigned, rings: func() []keyring.Ring { r := debian(); r[2].Unseen = 1; return r }, answers: inMachine, bySerial: finds, byKeyID: finds,
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateSigner, says: "is not known to be this key"},
		{name: "leaf of a key in a keyring that does not count", cert: leaf, rings: func() []keyring.Ring { r := debian(); r[1].Rings = r[1].Rings[:1]; return r }, answers: vouched{keyring.ByRing(machine): nil},
			value: Untrusted, gate: GatePresent, says: "asked about each"},
		{name: ".system_keyring alone", cert: selfSigned, rings: func() []keyring.Ring {
			return []keyring.Ring{{Key: keyring.Key{Serial: builtin, Type: keyring.TypeKeyring, Description: keyring.System}}}
		}, answers: at(nil, builtin), bySerial: at(mismatch, builtin), value: Trusted, proof: KeyringRestriction, ring: keyring.System},
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
		{name: "leaf, no witness, and an entry that root called what it liked", cert: leaf, rings: func() []keyring.Ring { return put(debian(), keyring.Secondary, keyring.TypeAsymmetric, "foo: 1234") },
			bySerial: unavailable(), value: Unknown, gate: GatePresent, says: "root chose"},
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
		{name: "refused, and a key of its name is there", cert: selfSigned, rings: debian, bySerial: finds, change: func(f *Facts) { f.Inquiry = &keyring.Inquiry{Refused: keyring.ErrMalformed} },
			value: Unknown, gate: GateCertificate, says: "may be there under its name"},
		{name: "refused, and whether a key of its name is there was not answered", cert: selfSigned, rings: debian, bySerial: unavailable(), change: func(f *Facts) { f.Inquiry = &keyring.Inquiry{Refused: keyring.ErrMalformed} },
			value: Unknown, gate: GateCertificate, says: "may be there under its name"},
		{name: "ordinary user, refused", cert: selfSigned, change: func(f *Facts) { f.Inquiry = &keyring.Inquiry{Refused: keyring.ErrMalformed} }, value: Unknown, gate: GateCertificate, says: "may be there under its name"},
		{name: "hash not registered", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Hash = evidence.Reading{Evidence: "sha512 is not loaded"} },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateHash, says: "not loaded"},
		{name: "a signed probe that was accepted", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Probes = probes(enforced, rejected, "", "ENOEXEC") },
			value: Trusted, proof: LoadProbe, ring: keyring.Machine},
		{name: "a signed probe that was not understood", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Probes = probes(enforced, rejected, "", "EKEYREJECTED crypto") },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateProbe, says: "not among those"},
		{name: "a keyless probe that was not understood", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Probes = probes(enforced, "EKEYREJECTED crypto", "", "") },
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateProbe, says: "not among those"},
		{name: "a stranger's probe, of which the kernel says that its crypto is not supported", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) {
			f.Probes = probes(enforced, "EKEYREJECTED crypto", "", "")
			f.Probes.Stranger = attempt("EKEYREJECTED crypto")
		}, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateProbe, says: "cannot use the hash"},
		{name: "a stranger's probe by key id, of which the kernel says that its crypto is not supported", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) {
			f.Probes = probes(enforced, rejected, "EKEYREJECTED crypto", "")
			f.Probes.StrangerSKID = attempt("EKEYREJECTED crypto")
		}, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateProbe, says: "cannot use the hash"},
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
		{name: "old kernel without restrictions, id not there, and another keyring linked", cert: selfSigned, rings: func() []keyring.Ring {
			r := debian()
			r[1].Rings = append(r[1].Rings, keyring.Key{Serial: 6, Type: keyring.TypeKeyring, Description: ".other"})
			return append(r, keyring.Ring{Key: r[1].Rings[2]})
		}, answers: unavailable(), bySerial: unavailable(), byKeyID: unavailable(), value: Unknown, gate: GatePresent, says: "links .other"},
		{name: "cannot ask, cannot see", cert: selfSigned, change: func(f *Facts) { f.Inquiry, f.InquiryErr, f.Witnesses = nil, keyring.ErrUnavailable, nil }, value: Unknown, gate: GatePresent, says: "could not be seen"},
		{name: "nothing at all", cert: selfSigned, change: func(f *Facts) { *f = Facts{Certificate: f.Certificate} }, value: Unknown, gate: GateCertificate, says: "not asked"},
		{name: "SUSE, without codeSigning", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { stored(f); f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" },
			value: Untrusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "only from signers"},
		{name: "SUSE, with codeSigning", cert: codeSigning, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { stored(f); f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" },
			value: Trusted, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "it has"},
		{name: "SUSE, with codeSigning, not found where the kernel loads from", cert: codeSigning, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "was not seen"},
		{name: "SUSE, without codeSigning, not found where the kernel loads from", cert: selfSigned, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) { f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" },
			value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "was not seen"},
		{name: "SUSE, with codeSigning, and another of its names in db", cert: codeSigning, rings: debian, answers: inMachine, bySerial: finds, change: func(f *Facts) {
			stored(f)
			other := certtest.SelfSignedWith(t, "me", certtest.RSA(2048, 9)).Spec
			other.Extensions = nil
			f.Stored, f.Kernel.Config["CHECK_CODESIGN_EKU"] = append(f.Stored, Stored{parse(t, certtest.Make(t, other)), "db"}), "y"
		}, value: Unknown, proof: KeyringRestriction, ring: keyring.Machine, gate: GateCodeSigning, says: "was not seen"},
		{name: "SUSE, a stranger without codeSigning", cert: selfSigned, rings: debian, change: func(f *Facts) { f.Kernel.Config["CHECK_CODESIGN_EKU"] = "y" }, value: Untrusted, gate: GateCodeSigning, says: "only from signers"},
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
		{name: "ordinary user, shim's list not read", cert: selfSigned, answers: vouched{keyring.BySecondary: nil}, bySerial: vouched{keyring.BySecondary: mismatch},
			change: func(f *Facts) { f.Firmware = &mok.State{Enrolled: mok.List{Err: efivars.ErrDenied}} }, value: Unknown, proof: KeyringRestriction, ring: keyring.Secondary, gate: GateSigner, says: "is not known to be this key"},
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
			f.Witnesses = map[certs.Lookup]*keyring.Inquiry{
				certs.ByIssuerAndSerial: answers(f.Certificate, f.Rings, c.bySerial), certs.ByAllIDs: answers(f.Certificate, f.Rings, c.bySerial), certs.ByKeyID: answers(f.Certificate, f.Rings, c.byKeyID),
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
