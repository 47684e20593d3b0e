package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/modsig"
	"kkeys/trust"
)

// signature: it is there, where the kernel looks, and belongs to these bytes.
func signature(f Facts) []Finding {
	if f.Module == nil || f.InfoErr != nil && f.Module.Err != nil { // what is no module needs no signature
		return nil
	}
	m := f.Module
	said := f.said(kernel.SaidUnsigned, kernel.SaidLockdown, kernel.SaidTaint, kernel.SaidTrailer)
	finding := Finding{Certainty: Proven, Concerns: Builder, Evidence: quote(said), Reference: "Documentation/admin-guide/module-signing.rst"}
	var unsigned *modsig.UnsignedError
	switch {
	case m.SignedOutside && m.Err != nil:
		finding.ID, finding.Cause = "signed-outside", "it was signed after it was compressed: the signature stands behind the compressed module, where nothing looks"
	case errors.As(m.Err, &unsigned) && unsigned.Appended:
		finding.Ways = f.original()
		finding.ID, finding.Cause = "appended", fmt.Sprintf("it was signed, and then %d bytes were appended: for the kernel it is not signed", unsigned.After)
	case errors.Is(m.Err, modsig.ErrUnsigned) && f.Info != nil && f.Info.InTree && f.Info.MadeFor() == f.Kernel.Release:
		finding.ID, finding.Cause, finding.Concerns = "stripped", "it is one of the kernel's own modules and has lost its signature (strip, or a packaging tool)", Distribution
		finding.Certainty = Likely
		finding.Ways = by(Remedy{Do: Reinstall, Path: f.Path})
	case errors.Is(m.Err, modsig.ErrUnsigned):
		finding.ID, finding.Cause = "unsigned", "it is not signed"
	case errors.Is(m.Err, modsig.ErrKind), errors.Is(m.Err, modsig.ErrUnsupported):
		finding.ID, finding.Cause = "unsupported-signature", m.Err.Error()
		if f.gate(trust.GateModule).Result != trust.Fail { // a newer kernel may know it
			finding.Certainty = Likely
		}
	case errors.Is(m.Err, modsig.ErrNotDER): // the kernel reads more than DER: what it makes of this one is not known
		return nil
	case errors.Is(m.Err, modsig.ErrDamaged), errors.Is(m.Err, modsig.ErrTooLarge), errors.Is(m.Err, modsig.ErrFilter):
		return nil // see packing
	case m.Err != nil:
		finding.ID, finding.Cause = "malformed-signature", m.Err.Error()
		finding.Ways = f.original()
	case m.Result.Outcome == modsig.Wrong:
		return f.wrong()
	default:
		return nil
	}
	return one(f.resigned(finding))
}

// wrong: a certificate of that name is known here, and its key did not make the signature. Whether the module was changed or another key of that
// name signed it, nothing but that other key could tell.
func (f Facts) wrong() []Finding {
	finding := Finding{ID: "wrong-signature", Certainty: Likely, Concerns: Builder, Evidence: seen(f.gate(trust.GateModule)),
		Cause:     "the signature is not one of the key that it names over these bytes: the module was changed after it was signed, or another key of the same name signed it",
		Reference: "kernel/module/signing.c, mod_verify_sig"}
	if f.gate(trust.GateModule).Result == trust.Fail { // the kernel has that key
		finding.Certainty, finding.Reference = Proven, "kernel/module/signing.c: EKEYREJECTED without a word in the log"
	}
	// Nobody signs what somebody has changed while the original is at hand.
	if finding.Ways = f.original(); len(finding.Ways) > 0 {
		return one(finding)
	}
	return one(f.resigned(finding))
}

// original is the way to the file of the kernel's own package, for a module that is one of those.
func (f Facts) original() []Way {
	if !f.ofKernel() {
		return nil
	}
	return by(Remedy{Do: Reinstall, Path: f.Path})
}

// signer: who signed it is known to the kernel, and counts for modules.
func signer(f Facts) []Finding {
	codeSigning := f.notCodeSigning()
	if f.Verdict == nil || f.Module == nil || f.Module.Err != nil || f.Module.Result.Outcome == modsig.Wrong {
		return nil
	}
	if revoked := f.revoked(); revoked != nil {
		return revoked
	}
	if len(codeSigning) == 0 && (f.Verdict.Value == trust.Trusted || f.found()) {
		return nil
	}
	certain := Likely
	switch {
	case f.Verdict.Value == trust.Untrusted:
		certain = Proven
	case f.gate(trust.GatePresent).Result != trust.Fail && len(codeSigning) == 0 && len(f.said(kernel.SaidKey, kernel.SaidUntrusted)) == 0:
		return nil // whether the kernel has the key was not seen, and nobody says so
	}
	finding := func(id, cause string, gate trust.Gate) Finding {
		said := quote(f.said(kernel.SaidKey, kernel.SaidLockdown, kernel.SaidTaint, kernel.SaidUntrusted))
		return Finding{ID: id, Cause: cause, Evidence: append(seen(gate), said...), Certainty: certain, Concerns: You, Reference: "docs/verdict.md, " + gate.Name}
	}
	with := func(found Finding, ways ...Way) []Finding {
		found.Ways = ways
		return one(found)
	}
	failed := func(name string) (trust.Gate, bool) {
		g := f.gate(name)
		return g, g.Result == trust.Fail
	}
	if g, is := failed(trust.GateCodeSigning); is || len(codeSigning) > 0 {
		found := finding("not-code-signing", "this distribution's kernel wants the extended key usage codeSigning in the signer's certificate, and it has none", g)
		if !is {
			found.Certainty, found.Evidence = Likely, quote(codeSigning)
		}
		return one(f.remade(found))
	}
	if g, is := failed(trust.GateCertificate); is {
		return one(f.remade(finding("certificate-refused", "the kernel makes no key of the signer's certificate", g)))
	}
	if g, is := failed(trust.GateKey); is {
		found := finding("key-unsupported", "the kernel cannot verify with such a key", g)
		if g.Mend == trust.MendKeyAlgorithm {
			found.Ways = by(Remedy{Do: LoadKeys})
		}
		return one(f.remade(found))
	}
	if g, is := failed(trust.GateLinks); is {
		return with(finding("keyring-cut", "somebody cut off a keyring that the kernel asks for modules", g), by(Remedy{Do: Reboot})...)
	}
	if g, is := failed(trust.GateSameName); is {
		return one(f.resigned(finding("same-name", "the kernel has another key of the same name, and tries that one: the signature counts as wrong", g)))
	}
	enrolled := f.gate(trust.GateEnrolled)
	if enrolled.Result == trust.Pass {
		return f.enrolledInVain(finding, enrolled)
	}
	switch enrolled.Mend {
	case trust.MendConfirm:
		return with(finding("request-waiting", "its key is asked to be enrolled, and MokManager has not been there yet", enrolled), by(Remedy{Do: Confirm})...)
	case trust.MendCancel:
		way := Way{{Do: Cancel}}
		if f.Certificate != "" {
			way = append(way, Remedy{Do: Enroll, Certificate: f.Certificate})
		}
		return with(finding("request-lost", "the request to enroll its key was cut short", enrolled), way)
	}
	return one(f.notEnrolled(finding, enrolled))
}

// revoked: not every kernel acts on a revoked certificate that it has. One that refuses the signature without a word most likely does.
func (f Facts) revoked() []Finding {
	listed := f.gate(trust.GateRevocation)
	if forbidden := f.gate(trust.GateForbidden); !listed.Met && forbidden.Result == trust.Fail {
		listed = forbidden
	} else if !listed.Met {
		return nil
	}
	certainty := Likely
	if !f.LogRead { // it may have named another cause
		certainty = Possible
	}
	if f.Verdict.Value == trust.Trusted || f.Failure != "EKEYREJECTED" || f.gate(trust.GatePresent).Result == trust.Fail || len(f.said(kernel.SaidKey, kernel.SaidCrypto, kernel.SaidUnsigned)) > 0 {
		return nil
	}
	return one(f.resigned(Finding{ID: "revoked", Cause: "the key that signed it, or its certificate, is on a blacklist of the kernel", Evidence: append(seen(listed), quote(f.said(kernel.SaidRevoked))...),
		Certainty: certainty, Concerns: You, Reference: "crypto/asymmetric_keys/pkcs7_trust.c; certs/blacklist.c, is_key_on_revocation_list"}))
}

// signerMin is how many hex digits of an id a line must have to be about a key.
const signerMin = 6

// notCodeSigning are the lines of SUSE's kernels about the key that signed this module: the kernel names it by a part of its id.
func (f Facts) notCodeSigning() (lines []Said) {
	for _, s := range f.said(kernel.SaidCodeSigning) {
		if len(s.Subject) >= signerMin && strings.Contains(f.KeyID, s.Subject) {
			lines = append(lines, s)
		}
	}
	return lines
}

// notEnrolled: both ways, to enroll the key that signed it and to sign with one that is enrolled.
func (f Facts) notEnrolled(finding func(id, cause string, gate trust.Gate) Finding, enrolled trust.Gate) Finding {
	id, cause := "unknown-key", "the key that signed it is not one that the kernel trusts: "+f.Signer
	if enrolled.Met {
		id, cause = "request-declined", "the request to enroll its key came to nothing: "+f.Signer
	}
	gate := enrolled
	if gate.Result == trust.NotApplicable {
		gate = f.gate(trust.GatePresent)
	}
	found := finding(id, cause, gate)
	for _, key := range f.Keys {
		if key.Trusted == trust.Trusted {
			found.Evidence = append(found.Evidence, "trusted here: "+key.Certificate)
		}
	}
	if f.Certificate == "" || enrolled.Mend != trust.MendEnroll {
		return f.resigned(found)
	}
	if way, ok := past(f.Barrier, Remedy{Do: Enroll, Certificate: f.Certificate}); ok {
		found.Ways = append(found.Ways, way)
	}
	ways, noWay := f.signed()
	for _, way := range ways {
		if len(found.Ways) == 0 || way[0].Do == Sign { // what enrolls another key is no better than the first
			found.Ways = append(found.Ways, way)
		}
	}
	if len(found.Ways) == 0 {
		found.NoWay = noWay
	}
	return found
}

// found tells whether the kernel has the key where it looks for modules.
func (f Facts) found() bool {
	return f.gate(trust.GatePresent).Result == trust.Pass && f.gate(trust.GateConsulted).Result == trust.Pass && f.gate(trust.GateSigner).Result != trust.Fail &&
		f.gate(trust.GateCodeSigning).Result != trust.Fail
}

// enrolledInVain: shim has the key, and one of the gates behind it is shut; those behind .platform are in nobody's way where that counts.
func (f Facts) enrolledInVain(finding func(id, cause string, gate trust.Gate) Finding, enrolled trust.Gate) []Finding {
	behind := []string{trust.GateTrustList, trust.GateMachine, trust.GateAuthority}
	if f.Platform == evidence.Yes && f.gate(trust.GatePresent).Result == trust.Pass {
		return nil
	}
	for _, shut := range []struct{ gate, id, cause string }{
		{trust.GateShim, "not-through-shim", "its key is enrolled, and this boot did not go through shim, which alone hands it to the kernel"},
		{trust.GateSecureBoot, "secure-boot-off", "its key is enrolled, and the kernel takes keys from shim only where it finds Secure Boot on"},
		{trust.GateTrustList, "list-not-trusted", "its key is enrolled, and shim tells the kernel not to trust its list"},
		{trust.GateMachine, "no-machine-keyring", "its key is enrolled, and this kernel puts keys of shim where it does not look for modules"},
		{trust.GateAuthority, "no-authority", "its key is enrolled, and this kernel takes only certificates of authorities from shim"},
	} {
		g := f.gate(shut.gate)
		if g.Result != trust.Fail || f.Platform == evidence.Yes && slices.Contains(behind, shut.gate) {
			continue
		}
		found := finding(shut.id, shut.cause, g)
		do, known := mends[g.Mend]
		switch {
		case known:
			found.Ways = by(Remedy{Do: do})
		case shut.gate == trust.GateAuthority:
			f.Authority = true
			found = f.remade(found)
		case shut.gate == trust.GateShim:
			found.NoWay = "by hand: start the machine through the distribution's shim (efibootmgr -v lists what the firmware starts), or put the key into the firmware's db (kkeys uefi enroll) where this kernel asks .platform"
		default:
			found.Concerns, found.NoWay = Distribution, "nothing that is enrolled helps: it takes a kernel that is built otherwise, or a module signed with a key of its own"
		}
		return one(found)
	}
	found := finding("enrolled-not-loaded", "its key is enrolled, and no keyring that the kernel consults for modules shows it; nothing else that can be seen says why", enrolled)
	found.Evidence, found.Ways = append(found.Evidence, quote(f.said(kernel.SaidCertificate, kernel.SaidRevoked))...), by(Remedy{Do: Reboot})
	return one(found)
}
