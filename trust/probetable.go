package trust

import (
	"slices"

	"kkeys/evidence"
	"kkeys/kernel"
)

// row is one line of the table: how the keyless and the signed probe were answered in a mode.
type row struct {
	mode            Mode
	keyless, signed answer
}

// reading is what a row means.
type reading struct {
	value    Value
	id       evidence.Answer
	evidence string
	// hashed: a hash that this kernel cannot use is answered in the same way, so the row holds only where it is known to be registered.
	hashed bool
}

var (
	proven      = reading{value: Trusted, id: evidence.Yes, evidence: "the kernel accepts a signature of this private key"}
	idOnly      = reading{value: Unknown, id: evidence.Yes, evidence: "a keyring that is consulted has a key with its id; a keyless probe cannot tell whether it is this very key"}
	anotherKey  = reading{value: Untrusted, id: evidence.Yes, evidence: "a keyring that is consulted has a key with its id, but the signature is not accepted: another key, or a revoked one"}
	notFound    = reading{value: Untrusted, id: evidence.No, evidence: "no keyring that is consulted has its id: modules signed with it are refused"}
	wouldTaint  = reading{value: Untrusted, id: evidence.No, evidence: "no keyring that is consulted has its id: modules signed with it load all the same and taint the kernel, since nothing is enforced", hashed: true}
	lockedOut   = reading{value: Untrusted, id: evidence.No, evidence: "no keyring that is consulted has its id: lockdown refuses modules signed with it", hashed: true}
	notAccepted = reading{value: Untrusted, evidence: "the kernel does not accept a signature of this private key; its log, which would tell why, cannot be relied on", hashed: true}
	unreadable  = reading{value: Unknown, evidence: "the kernel log cannot be relied on, which alone would tell a key that is there from one that is not; a signed probe would tell (--key)"}
)

// table is the whole of what load probes can prove. In the permissive mode a signer that is not known passes like one that is, so a
// signed probe that passes means nothing there until the keyless one has shown that the kernel knows the id; that probe has the same hash
// and algorithm, which settles that the kernel can use them too.
var table = map[row]reading{
	{Permissive, quiet, passed}:  proven,
	{Permissive, quiet, quiet}:   anotherKey,
	{Permissive, quiet, none}:    idOnly,
	{Permissive, passed, passed}: wouldTaint,
	{Permissive, passed, none}:   wouldTaint,

	{Lockdown, quiet, passed}:  proven,
	{Lockdown, quiet, quiet}:   anotherKey,
	{Lockdown, quiet, none}:    idOnly,
	{Lockdown, policy, policy}: lockedOut,
	{Lockdown, policy, none}:   lockedOut,

	{Enforced, quiet, passed}:  proven,
	{Enforced, quiet, quiet}:   anotherKey,
	{Enforced, quiet, none}:    idOnly,
	{Enforced, policy, policy}: notFound,
	{Enforced, policy, none}:   notFound,
	{Enforced, blind, passed}:  proven,
	{Enforced, blind, blind}:   notAccepted,
	{Enforced, blind, none}:    unreadable,
}

// unknownSigner is how each mode answers a signer that no keyring has. Anything else for a key that does not exist means that the
// answers are not what they are taken for.
func (m Mode) unknownSigner(a answer) bool {
	switch m {
	case Permissive:
		return a == passed
	case Lockdown:
		return a == policy
	}
	return a == policy || a == blind
}

// combine looks the answers up, by issuer and serial number first, since that is how sign-file names a key.
func (v *ProbeVerdict) combine(p *kernel.Probes, read func(*kernel.Attempt) answer) {
	byIssuer, bySKID, signed := read(p.Keyless), read(p.KeylessSKID), read(p.Signed)
	if byIssuer == none && bySKID == none {
		v.Evidence = "no probe named the key"
		return
	}
	if byIssuer != none && !v.Mode.unknownSigner(read(p.Stranger)) || bySKID != none && !v.Mode.unknownSigner(read(p.StrangerSKID)) {
		if unusable(p.Stranger) || unusable(p.StrangerSKID) {
			v.Unusable = true
			v.Evidence = "the kernel cannot use the hash or the algorithm of these signatures now, so it did not look for the key: " + p.Hash.Evidence
			return
		}
		v.Evidence = "a key that does not exist is not answered as an unknown one, so the answers mean nothing"
		return
	}
	main := byIssuer
	if byIssuer == none {
		main = bySKID
	}
	r := v.lookUp(main, signed, p.Hash)
	if byIssuer != none && bySKID != none && r.value != Trusted && r.id != evidence.Unknown {
		r = bothIDs(r, v.lookUp(bySKID, none, p.Hash))
	}
	v.Value, v.ID, v.Evidence = r.value, r.id, r.evidence
}

// unusable: the kernel says that it lacks the hash or the algorithm.
func unusable(a *kernel.Attempt) bool {
	return a != nil && slices.Contains(a.Notices(), kernel.NoticeCrypto)
}

func (v *ProbeVerdict) lookUp(keyless, signed answer, hash evidence.Reading) reading {
	r, ok := table[row{v.Mode, keyless, signed}]
	switch {
	case !ok:
		return reading{value: Unknown, evidence: "the answers are not among those that have a known meaning"}
	case r.hashed && hash.Answer != evidence.Yes:
		return reading{value: Unknown, evidence: "a signature whose hash the kernel cannot use is answered in the same way: " + hash.Evidence}
	}
	return r
}

// bothIDs: issuer and serial number, and the SKID, are ids of one certificate. Where the kernel knows one and not the other, what it
// has is another certificate.
func bothIDs(byIssuer, bySKID reading) reading {
	switch {
	case bySKID.id == byIssuer.id:
		return byIssuer
	case bySKID.id == evidence.Unknown:
		return reading{value: Unknown, evidence: "by SKID: " + bySKID.evidence}
	case byIssuer.value == Untrusted && byIssuer.id == evidence.Yes:
		return byIssuer // the signature was tried, and that settles it
	case byIssuer.id == evidence.Yes:
		return reading{value: Unknown, evidence: "a keyring that is consulted has its issuer and serial number with another SKID: another certificate, of the same key or not"}
	}
	return reading{value: Unknown, evidence: "a keyring that is consulted has its SKID with another issuer or serial number: a module finds that key only when signed by SKID (sign-file -k)"}
}
