package trust

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
)

// fromReading makes a gate of a reading: yes passes, no fails.
func fromReading(name string, r evidence.Reading) Gate {
	result := map[evidence.Answer]Result{evidence.Yes: Pass, evidence.No: Fail, evidence.Unknown: ResultUnknown}[r.Answer]
	return Gate{Name: name, Result: result, Evidence: r.Evidence, Source: r.Source}
}

// signaturesGate: without CONFIG_MODULE_SIG nothing is refused and nothing is trusted.
func signaturesGate(s kernel.Status) Gate { return fromReading(GateSignatures, s.Signatures) }

// certificateGate: the kernel's own parser takes the certificate, and calls it what we say it calls it.
func certificateGate(f Facts, found location) Gate {
	gate := Gate{Name: GateCertificate, Source: addKey}
	switch {
	case f.Inquiry == nil:
		gate.Result, gate.Evidence = ResultUnknown, notAsked(f)
	case f.Inquiry.Refused != nil:
		gate.Result, gate.Evidence = Fail, f.Inquiry.Refused.Error()
		if entry := f.listedHash(); entry != "" {
			gate.Evidence += "; .blacklist has " + entry
		}
		if !found.nowhere() {
			// Another certificate of the same key, under the same name, can be one that the kernel took; and what was put on .blacklist after
			// the boot stops certificates, and not keys that are there (x509_public_key.c, x509_get_sig_params).
			gate.Result = ResultUnknown
			gate.Evidence += "; a key may be there under its name all the same"
		}
	case f.Inquiry.Description != f.Certificate.KernelName():
		// Every id match rests on that name, so a difference must not pass silently.
		gate.Result = ResultUnknown
		gate.Evidence = fmt.Sprintf("the kernel calls it %q where %q was expected: please report this", f.Inquiry.Description, f.Certificate.KernelName())
	default:
		gate.Result, gate.Evidence = Pass, "the kernel takes it, as "+f.Inquiry.Description
	}
	return gate
}

func notAsked(f Facts) string {
	if f.InquiryErr == nil {
		return "the kernel was not asked"
	}
	return "the kernel could not be asked: " + f.InquiryErr.Error()
}

// consultedGate: the keyring in which the key was found counts for modules.
func consultedGate(f Facts, found location) Gate {
	if found.at != nil {
		gate := fromReading(GateConsulted, found.at.consulted)
		if gate.Result == ResultUnknown && found.at.ring == keyring.Platform && f.Probes == nil {
			gate.Mend = MendProve
		}
		return gate
	}
	gate := Gate{Name: GateConsulted, Result: NotApplicable, Evidence: "its key was found in no keyring", Source: found.gate.Source}
	var asked []string
	for _, name := range Listed {
		if Consulted(f.Rings, f.Kernel, name).Answer == evidence.Yes {
			asked = append(asked, name)
		}
	}
	if len(asked) > 0 {
		gate.Evidence += "; modules are checked against " + strings.Join(asked, ", ")
	}
	return gate
}

// revocationGate: a hash on the blacklist shows in certificateGate, since the kernel then refuses the certificate. Revoked
// certificates are keys of .blacklist (CONFIG_SYSTEM_REVOCATION_LIST, Linux 5.13), and which signatures they stop depends on the
// version: 6.1 asks them for .platform only, 6.12 for every keyring.
func revocationGate(f Facts) Gate {
	gate := Gate{Name: GateRevocation, Result: Pass, Source: listing}
	if f.RingsErr != nil {
		if value, known := f.Kernel.Config.Value("SYSTEM_REVOCATION_LIST"); known && value == "n" {
			gate.Evidence, gate.Source = "this kernel keeps no list of revoked certificates (CONFIG_SYSTEM_REVOCATION_LIST is not set)", f.Kernel.ConfigPath
			return gate
		}
		gate.Result, gate.Evidence = ResultUnknown, ".blacklist was not seen: "+f.RingsErr.Error()
		gate.Mend = asRoot(f.RingsErr)
		return gate
	}
	ring := keyring.Named(f.Rings, keyring.Blacklist)
	switch {
	case ring == nil:
		gate.Evidence = "this kernel has no .blacklist"
		return gate
	case ring.Unseen > 0:
		gate.Result, gate.Evidence = ResultUnknown, fmt.Sprintf("%d entries of .blacklist could not be seen", ring.Unseen)
		return gate
	case len(ring.Keys) == ring.Hashes():
		gate.Evidence = fmt.Sprintf("no revoked certificate in .blacklist, %d hashes", ring.Hashes())
		return gate
	case f.Inquiry == nil:
		gate.Result, gate.Evidence = ResultUnknown, notAsked(f)
		return gate
	}
	gate.Source = oracle
	list := keyring.ByRing(ring.Serial)
	answer, asked := f.Inquiry.Answer(list)
	switch {
	case asked && answer.Err == nil:
		gate.Met = true
		gate.Result, gate.Evidence = ResultUnknown, "it, or the certificate that issued it, is revoked in .blacklist; not every kernel acts on that"
	case !asked:
		gate.Result, gate.Evidence = ResultUnknown, ".blacklist was not asked"
	case !errors.Is(answer.Err, keyring.ErrNoVoucher) && !errors.Is(answer.Err, keyring.ErrMismatch):
		gate.Result, gate.Evidence = ResultUnknown, answer.Err.Error()
	default:
		// The kernel looks in .blacklist as it looks elsewhere: by what the module's signature names.
		switch f.revokedAs(list) {
		case evidence.Yes:
			gate.Met = true
			gate.Result, gate.Evidence = ResultUnknown, "a revoked certificate in .blacklist has its issuer and serial number, or its key id; not every kernel acts on that"
		case evidence.Unknown:
			gate.Result, gate.Evidence = ResultUnknown, "whether a revoked certificate in .blacklist has its id could not be asked"
		default:
			gate.Evidence = "no revoked certificate in .blacklist is this one or its issuer, or has its id"
		}
	}
	return gate
}

// revokedAs tells whether the kernel finds a key in .blacklist by either name of the certificate.
func (f Facts) revokedAs(list keyring.Restriction) evidence.Answer {
	all := []evidence.Answer{hasName(f.Witnesses[certs.ByIssuerAndSerial], list), f.byKeyID(list)}
	switch {
	case slices.Contains(all, evidence.Yes):
		return evidence.Yes
	case slices.Contains(all, evidence.Unknown):
		return evidence.Unknown
	}
	return evidence.No
}

// codeSigningGate: SUSE's kernels want the extended key usage codeSigning of a module's signer (CONFIG_CHECK_CODESIGN_EKU, their
// pkcs7_trust.c, check_codesign_eku). They look at the certificate that they loaded, which can be another one of the same key and names.
func codeSigningGate(f Facts, found location) Gate {
	gate := Gate{Name: GateCodeSigning, Source: f.Kernel.ConfigPath}
	value, known := f.Kernel.Config.Value("CHECK_CODESIGN_EKU")
	has := slices.Contains(f.Certificate.Details().ExtendedKeyUsage, "codeSigning")
	switch {
	case known && value != "y":
		gate.Result, gate.Evidence = NotApplicable, "this kernel asks for no extended key usage"
	case !known && f.Kernel.Distribution.Expect().CodeSigning == evidence.No:
		gate.Result, gate.Evidence = NotApplicable, "kernels of this distribution ask for no extended key usage"
		gate.Source, gate.Forgeable = osReleaseFile, otherKernel
	case found.at != nil && !f.theOneLoaded():
		gate.Result, gate.Source = ResultUnknown, stores
		gate.Evidence = "the kernel may ask for the extended key usage codeSigning, and looks for it in the certificate that it loaded; that this is the one was not seen"
	case has:
		gate.Result, gate.Evidence, gate.Source = Pass, "it has the extended key usage codeSigning", theCertificate
	case known:
		gate.Result, gate.Evidence = Fail, "this kernel takes modules only from signers with the extended key usage codeSigning (CONFIG_CHECK_CODESIGN_EKU)"
	default:
		gate.Result, gate.Evidence, gate.Source = ResultUnknown, "it lacks the extended key usage codeSigning, which some kernels ask for, and no kernel configuration was found", "/boot/config-"+f.Kernel.Release
	}
	return gate
}

// theOneLoaded: where the kernel loads from this very certificate was found, and no other that has one of its names.
func (f Facts) theOneLoaded() bool {
	there := false
	for _, s := range f.Stored {
		switch c := s.Certificate; {
		case !s.loaded():
		case bytes.Equal(c.Raw, f.Certificate.Raw):
			there = true
		case sharesName(c, f.Certificate):
			return false
		}
	}
	return there
}

// enforcementGate tells what happens to a module without a trusted signature. It is no condition on the key, so it never decides.
func enforcementGate(s kernel.Status) Gate {
	gate := fromReading(GateEnforcement, s.Enforced)
	if s.Enforced.Answer == evidence.No {
		gate.Result = NotApplicable
	}
	return gate
}
