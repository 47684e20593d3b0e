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

func one(f Finding) []Finding { return []Finding{f} }

// loadingOff: kernel.modules_disabled stays 1 until the next boot.
func loadingOff(f Facts) []Finding {
	gate := f.gate(trust.GateLoading)
	if gate.Result != trust.Fail {
		return nil
	}
	return one(Finding{ID: "loading-disabled", Certainty: Proven, Concerns: You, Cause: "loading of modules is switched off until the next boot", Evidence: seen(gate),
		Remedies: []Remedy{{Do: Reboot}}, Reference: "Documentation/admin-guide/sysctl/kernel.rst, modules_disabled"})
}

// appraisal: IMA looks at the file when finit_module reads it, before the signature in it counts.
func appraisal(f Facts) []Finding {
	lines := f.said(kernel.SaidIMA)
	gate := f.gate(trust.GateIMA)
	switch {
	case len(lines) > 0:
		return one(Finding{ID: "ima", Certainty: Likely, Concerns: You, Cause: "IMA refuses a module that does not come as a file which it has appraised", Evidence: quote(lines), Reference: imaReference})
	case gate.Result == trust.Fail || f.Failure == "EACCES" && gate.Result != trust.Pass:
		return one(Finding{ID: "ima", Certainty: Possible, Concerns: You, Cause: "IMA appraises modules on this machine: the file needs a signature of its own (security.ima)", Evidence: seen(gate),
			Reference: imaReference})
	}
	return nil
}

const imaReference = "Documentation/ABI/testing/ima_policy, func=MODULE_CHECK"

// packing: somebody must unpack the file, and it must be whole.
func packing(f Facts) []Finding {
	if f.Module == nil || f.Module.Packing == modsig.Plain {
		return nil
	}
	found := func(id, cause string, certainty Certainty, what ...string) []Finding {
		return one(Finding{ID: id, Certainty: certainty, Concerns: Builder, Cause: cause, Evidence: what, Remedies: []Remedy{{Do: Repack, Path: f.Path}}, Reference: "kernel/module/decompress.c"})
	}
	lines := quote(f.said(kernel.SaidUnpacking))
	m := f.Module
	switch {
	case m.SignedOutside:
		return nil // see signature
	case errors.Is(m.Err, modsig.ErrDamaged):
		return found("damaged", "the compressed file is damaged", Proven, append(lines, m.Err.Error())...)
	case m.Trailing > 0:
		return found("trailing", fmt.Sprintf("%d bytes stand behind the compressed module", m.Trailing), Likely, lines...)
	case m.Packing == modsig.XZ && m.Unpacks == "xz" && m.Check != "crc32" && m.Check != "none":
		certainty := Possible // an older kmod unpacks it itself
		if len(lines) > 0 || f.Failure == "EINVAL" {
			certainty = Likely
		}
		return found("xz-check", "it was compressed with the check "+m.Check+", which the kernel's own decompressor does not read (it wants crc32)", certainty, append(lines, "/sys/module/compression: xz")...)
	case m.Unpacks != m.Packing.String() && m.Kmod.Answer == evidence.No:
		return found("not-unpacked", "neither the kernel nor kmod here unpacks "+m.Packing.String(), Likely, append(lines, m.Kmod.Evidence)...)
	}
	return nil
}

// seen is a gate's evidence with where it stands.
func seen(g trust.Gate) []string {
	if g.Evidence == "" {
		return nil
	}
	if g.Source == "" {
		return []string{g.Evidence}
	}
	return []string{g.Evidence + " (" + g.Source + ")"}
}

// signature: it is there, where the kernel looks, and belongs to these bytes.
func signature(f Facts) []Finding {
	if f.Module == nil || f.InfoErr != nil && f.Module.Err != nil { // what is no module needs no signature
		return nil
	}
	m := f.Module
	said := f.said(kernel.SaidUnsigned, kernel.SaidLockdown, kernel.SaidTaint, kernel.SaidTrailer)
	finding := Finding{Certainty: Proven, Concerns: Builder, Evidence: quote(said), Remedies: f.signed(), Reference: "Documentation/admin-guide/module-signing.rst"}
	var unsigned *modsig.UnsignedError
	switch {
	case m.SignedOutside && m.Err != nil:
		finding.ID, finding.Cause = "signed-outside", "it was signed after it was compressed: the signature stands behind the compressed module, where nothing looks"
	case errors.As(m.Err, &unsigned) && unsigned.Appended:
		finding.ID, finding.Cause = "appended", fmt.Sprintf("it was signed, and then %d bytes were appended: for the kernel it is not signed", unsigned.After)
	case errors.Is(m.Err, modsig.ErrUnsigned) && f.Info != nil && f.Info.InTree && f.Info.MadeFor() == f.Kernel.Release:
		finding.ID, finding.Cause, finding.Concerns = "stripped", "it is one of the kernel's own modules and has lost its signature (strip, or a packaging tool)", Distribution
		finding.Certainty = Likely
		finding.Remedies = append([]Remedy{{Do: Reinstall, Path: f.Path}}, finding.Remedies...)
	case errors.Is(m.Err, modsig.ErrUnsigned):
		finding.ID, finding.Cause = "unsigned", "it is not signed"
	case errors.Is(m.Err, modsig.ErrKind), errors.Is(m.Err, modsig.ErrUnsupported):
		finding.ID, finding.Cause = "unsupported-signature", m.Err.Error()
	case errors.Is(m.Err, modsig.ErrDamaged), errors.Is(m.Err, modsig.ErrTooLarge), errors.Is(m.Err, modsig.ErrFilter):
		return nil // see packing
	case m.Err != nil:
		finding.ID, finding.Cause = "malformed-signature", m.Err.Error()
	case m.Result.Outcome == modsig.Wrong:
		return f.wrong()
	default:
		return nil
	}
	return one(finding)
}

// wrong: a certificate of that name is known here, and its key did not make the signature. Whether the module was changed or another key of that
// name signed it, nothing but that other key could tell.
func (f Facts) wrong() []Finding {
	finding := Finding{ID: "wrong-signature", Certainty: Likely, Concerns: Builder, Evidence: seen(f.gate(trust.GateModule)), Remedies: f.signed(),
		Cause:     "the signature is not one of the key that it names over these bytes: the module was changed after it was signed, or another key of the same name signed it",
		Reference: "kernel/module/signing.c: EKEYREJECTED without a word in the log"}
	if f.gate(trust.GateModule).Result == trust.Fail {
		finding.Certainty = Proven
	}
	return one(finding)
}

// signed are the ways to a signature that the kernel takes.
func (f Facts) signed() (ways []Remedy) {
	for _, key := range f.Keys {
		if key.Trusted == trust.Trusted {
			ways = append(ways, Remedy{Do: Sign, Path: f.Path, Private: key.Private, Certificate: key.Certificate})
		}
	}
	if len(ways) == 0 {
		for _, key := range f.Keys {
			if key.Trusted != trust.Trusted {
				ways = append(ways, Remedy{Do: Enroll, Certificate: key.Certificate}, Remedy{Do: Sign, Path: f.Path, Private: key.Private, Certificate: key.Certificate})
				break
			}
		}
	}
	if len(ways) == 0 {
		ways = append(ways, Remedy{Do: MakeKey, Path: f.Path})
	}
	return ways
}

// signer: who signed it is known to the kernel, and counts for modules.
func signer(f Facts) []Finding {
	codeSigning := f.said(kernel.SaidCodeSigning)
	if f.Verdict == nil || f.Verdict.Value == trust.Trusted && len(codeSigning) == 0 || f.Module == nil || f.Module.Err != nil || f.Module.Result.Outcome == modsig.Wrong ||
		f.found() && len(codeSigning) == 0 {
		return nil
	}
	said := quote(f.said(kernel.SaidKey, kernel.SaidLockdown, kernel.SaidTaint, kernel.SaidUntrusted, kernel.SaidCodeSigning))
	certain := Likely
	if f.Verdict.Value == trust.Untrusted {
		certain = Proven
	}
	finding := func(id, cause string, gate trust.Gate, remedies ...Remedy) []Finding {
		return one(Finding{ID: id, Cause: cause, Evidence: append(seen(gate), said...), Certainty: certain, Concerns: You, Remedies: remedies, Reference: "docs/verdict.md, " + gate.Name})
	}
	failed := func(name string) (trust.Gate, bool) {
		g := f.gate(name)
		return g, g.Result == trust.Fail
	}
	if g, is := failed(trust.GateRevocation); is {
		return finding("revoked", "the key that signed it, or its certificate, is on a blacklist of the kernel", g, f.signed()...)
	}
	if g, is := failed(trust.GateCodeSigning); is || len(codeSigning) > 0 {
		return finding("not-code-signing", "this distribution's kernel wants the extended key usage codeSigning in the signer's certificate, and it has none", g, Remedy{Do: MakeKey, Path: f.Path})
	}
	if g, is := failed(trust.GateCertificate); is {
		return finding("certificate-refused", "the kernel makes no key of the signer's certificate", g, Remedy{Do: MakeKey, Path: f.Path})
	}
	if g, is := failed(trust.GateKey); is {
		return finding("key-unsupported", "the kernel cannot verify with such a key", g, Remedy{Do: LoadKeys}, Remedy{Do: MakeKey, Path: f.Path})
	}
	if g, is := failed(trust.GateLinks); is {
		return finding("keyring-cut", "somebody cut off a keyring that the kernel asks for modules", g, Remedy{Do: Reboot})
	}
	if g, is := failed(trust.GateSameName); is {
		return finding("same-name", "the kernel has another key of the same name, and tries that one: the signature counts as wrong", g, f.signed()...)
	}
	enrolled := f.gate(trust.GateEnrolled)
	if enrolled.Result == trust.Pass {
		return f.enrolledInVain(finding, enrolled)
	}
	switch enrolled.Mend {
	case trust.MendConfirm:
		return finding("request-waiting", "its key is asked to be enrolled, and MokManager has not been there yet", enrolled, Remedy{Do: Confirm})
	case trust.MendCancel:
		return finding("request-lost", "the request to enroll its key was cut short", enrolled, Remedy{Do: Cancel}, Remedy{Do: Enroll, Certificate: f.Certificate})
	}
	cause := "the key that signed it is not one that the kernel trusts: " + f.Signer
	ways := f.signed()
	if f.Certificate != "" && enrolled.Mend == trust.MendEnroll {
		ways = append([]Remedy{{Do: Enroll, Certificate: f.Certificate}}, slices.DeleteFunc(ways, func(r Remedy) bool { return r.Do == Enroll || r.Do == MakeKey })...)
	}
	id := "unknown-key"
	if strings.Contains(enrolled.Evidence, "declined") {
		id, cause = "request-declined", "the request to enroll its key was not confirmed in MokManager: "+f.Signer
	}
	gate := enrolled
	if gate.Result == trust.NotApplicable {
		gate = f.gate(trust.GatePresent)
	}
	return finding(id, cause, gate, ways...)
}

// found tells whether the kernel has the key where it looks for modules.
func (f Facts) found() bool {
	return f.gate(trust.GatePresent).Result == trust.Pass && f.gate(trust.GateConsulted).Result == trust.Pass && f.gate(trust.GateSigner).Result != trust.Fail &&
		f.gate(trust.GateRevocation).Result != trust.Fail && f.gate(trust.GateCodeSigning).Result != trust.Fail
}

// enrolledInVain: shim has the key, and one of the gates behind it is shut.
func (f Facts) enrolledInVain(finding func(id, cause string, gate trust.Gate, remedies ...Remedy) []Finding, enrolled trust.Gate) []Finding {
	for _, way := range []struct {
		gate, id, cause string
		do              Action
	}{
		{trust.GateShim, "not-through-shim", "its key is enrolled, and this boot did not go through shim, which alone hands it to the kernel", Reboot},
		{trust.GateSecureBoot, "secure-boot-off", "its key is enrolled, and the kernel takes keys from shim only while Secure Boot is on", SecureBoot},
		{trust.GateTrustList, "list-not-trusted", "its key is enrolled, and shim tells the kernel not to trust its list", TrustList},
		{trust.GateMachine, "no-machine-keyring", "its key is enrolled, and this kernel puts keys of shim where it does not look for modules", ""},
		{trust.GateAuthority, "no-authority", "its key is enrolled, and this kernel takes only certificates of authorities from shim", MakeKey},
	} {
		g := f.gate(way.gate)
		if g.Result != trust.Fail {
			continue
		}
		do := way.do
		if g.Mend == trust.MendValidation {
			do = Validation
		}
		var remedies []Remedy
		if do != "" {
			remedies = append(remedies, Remedy{Do: do, Path: f.Path})
		}
		return finding(way.id, way.cause, g, remedies...)
	}
	enrolled.Evidence = strings.Join(append([]string{enrolled.Evidence}, quote(f.said(kernel.SaidCertificate, kernel.SaidRevoked))...), "; ")
	return finding("enrolled-not-loaded", "its key is enrolled, and no keyring that the kernel consults for modules shows it; nothing else that can be seen says why", enrolled, Remedy{Do: Reboot})
}

// spoken: where there is no file to look at, the errno and the log are all there is. EKEYREJECTED has a notice where the signature is missing or
// cannot be checked, and none where it is wrong (kernel/module/signing.c, module_sig_check).
func spoken(f Facts) []Finding {
	if f.Module != nil || f.Failure != "EKEYREJECTED" && f.Failure != "EPERM" {
		return nil
	}
	finding := Finding{Certainty: Likely, Concerns: Builder, Reference: "kernel/module/signing.c, module_sig_check"}
	for _, s := range []struct {
		id, cause string
		kind      kernel.Kind
	}{
		{"unsigned", "it is not signed", kernel.SaidUnsigned},
		{"unknown-key", "the key that signed it is not one that the kernel trusts", kernel.SaidKey},
		{"hash-missing", "the kernel has no hash, or no algorithm for the key, at hand with which the signature was made", kernel.SaidCrypto},
		{"unsigned", "it is not signed, or not by a key that the kernel trusts, and lockdown refuses such modules", kernel.SaidLockdown},
	} {
		if lines := f.said(s.kind); len(lines) > 0 && (f.Failure == "EPERM") == (s.kind == kernel.SaidLockdown) {
			finding.ID, finding.Cause, finding.Evidence = s.id, s.cause, quote(lines)
			return one(finding)
		}
	}
	if f.Failure == "EKEYREJECTED" && f.LogRead {
		finding.ID, finding.Certainty = "wrong-signature", Possible
		finding.Cause = "its signature is wrong: the module was changed after it was signed, or another key has the name of the one that signed it"
		finding.Evidence = []string{"the log has no notice that a module was rejected, as it has where the signature is missing or its key is not known"}
		return one(finding)
	}
	return nil
}

// hash: the kernel must have the hash of the signature before it is asked.
func hash(f Facts) []Finding {
	if f.Module == nil || f.Module.Err != nil || f.Hash == "" {
		return nil
	}
	said := f.said(kernel.SaidCrypto)
	gate := f.gate(trust.GateHash)
	finding := Finding{ID: "hash-missing", Concerns: You, Cause: "the kernel has no " + f.Hash + " at hand, with which the signature was made", Evidence: append(quote(said), seen(gate)...),
		Remedies: append([]Remedy{{Do: LoadHash, Hash: f.Hash}}, f.signed()...), Reference: "kernel/module/signing.c: unsupported crypto (ENOPKG)"}
	switch {
	case f.Module.Hash.Answer == evidence.Yes:
		return nil
	case len(said) > 0, f.Module.Hash.Answer == evidence.No, f.Failure == "EKEYREJECTED" && f.found():
		finding.Certainty = Likely
	default:
		finding.Certainty = Possible
	}
	return one(finding)
}

// forbidden: the module itself is on a list.
func forbidden(f Facts) []Finding {
	lines := f.said(kernel.SaidBlacklisted)
	if (f.Module == nil || !f.Module.Blacklisted()) && len(lines) == 0 {
		return nil
	}
	return one(Finding{ID: "blacklisted", Certainty: Likely, Concerns: Builder, Cause: "the module's own hash is on the kernel's blacklist",
		Evidence: append(seen(f.gate(trust.GateModuleHash)), quote(lines)...), Remedies: []Remedy{{Do: Rebuild}}, Reference: "kernel/module/signing.c of Debian and SUSE"})
}

// madeForAnother is no question of signatures, and said so: the kernel looks at it after the signature.
func madeForAnother(f Facts) []Finding {
	lines := f.said(kernel.SaidVermagic)
	if f.Info != nil { // a line may be about another build of the module
		lines = slices.DeleteFunc(lines, func(s Said) bool { return s.Subject != f.Info.Vermagic })
	}
	if f.Info == nil {
		if f.InfoErr == nil {
			return nil
		}
		return one(Finding{ID: "no-module", Certainty: Proven, Concerns: Builder, Cause: "it is no kernel module: this is not about signatures", Evidence: []string{f.InfoErr.Error()}, Remedies: []Remedy{{Do: Rebuild}}})
	}
	finding := Finding{ID: "made-for-another-kernel", Concerns: Builder, Remedies: []Remedy{{Do: Rebuild}}, Evidence: quote(lines), Reference: "kernel/module/main.c, check_modinfo"}
	made := f.Info.MadeFor()
	other := made != "" && f.Kernel.Release != "" && made != f.Kernel.Release
	// With versions of symbols the kernel does not compare the release (same_magic, kernel/module/version.c).
	versions := strings.Contains(f.Info.Vermagic, " modversions")
	switch {
	case f.Processor != "" && f.Info.Machine.String() != f.Processor:
		finding.ID, finding.Certainty = "other-processor", Proven
		finding.Cause = fmt.Sprintf("it was built for another processor (%v): this is not about signatures", f.Info.Machine)
		return one(finding)
	case len(lines) > 0, other && !versions:
		finding.Certainty = Proven
	case other && f.Failure == "ENOEXEC":
		finding.Certainty = Likely
	default:
		return nil
	}
	finding.Cause = "it was built for a kernel with other options: this is not about signatures"
	if other {
		finding.Cause = fmt.Sprintf("it was built for kernel %s, and %s is running: this is not about signatures", made, f.Kernel.Release)
	}
	finding.Evidence = append(finding.Evidence, "version magic "+f.Info.Vermagic)
	return one(finding)
}

// symbols: what the module calls is not there, or another version of it.
func symbols(f Facts) []Finding {
	lines := f.said(kernel.SaidSymbol)
	if len(lines) == 0 {
		return nil
	}
	return one(Finding{ID: "symbols", Certainty: Likely, Concerns: Builder, Cause: "it calls what this kernel and the modules that are loaded do not have: this is not about signatures", Evidence: quote(lines),
		Remedies: []Remedy{{Do: Rebuild}}, Reference: "depmod(8); kernel/module/main.c, resolve_symbol"})
}

// bareErrno is the finding that has nothing but an errno.
const bareErrno = "errno"

// unexplained says what an errno alone allows, where nothing else explains it.
func unexplained(f Facts) []Finding {
	if f.Failure == "" || f.Failure == kernel.Loaded {
		return nil
	}
	causes := map[kernel.Errno]string{
		"EKEYREJECTED": "the kernel refused the signature: with a notice in the log because it is missing or its key is not trusted, without one because it is wrong",
		"ENOKEY":       "kernels before 5.4 say this of a module that is not signed, or not by a key that they trust",
		"EPERM":        "lockdown refuses unsigned modules, or this process may load none",
		"EBADMSG":      "what stands at the module's end is no signature in a form that the kernel reads",
		"ENOPKG":       "kernels before 5.4 say this of a hash or key that they cannot verify with",
		"ENOEXEC":      "the file is no module for this kernel: this is not about signatures",
		"EINVAL":       "a parameter, or the compression, is not to the kernel's taste: this is not about signatures",
		"ENOENT":       "a symbol or a parameter is not known: this is not about signatures",
		"EEXIST":       "it is loaded already",
		"ENODEV":       "it was loaded and found nothing to do: this is not about signatures",
	}
	cause, known := causes[f.Failure]
	if !known {
		return nil
	}
	return one(Finding{ID: bareErrno, Certainty: Possible, Concerns: You, Cause: string(f.Failure) + ": " + cause, Reference: "kernel/module/main.c"})
}
