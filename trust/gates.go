package trust

import (
	"errors"
	"fmt"

	"kkeys/kernel"
	"kkeys/keyring"
)

// fromReading makes a gate of a reading: yes passes, no fails.
func fromReading(name string, r kernel.Reading) Gate {
	result := map[kernel.Answer]Result{kernel.Yes: Pass, kernel.No: Fail, kernel.Unknown: ResultUnknown}[r.Answer]
	return Gate{Name: name, Result: result, Evidence: r.Evidence, Source: r.Source}
}

// signaturesGate: without CONFIG_MODULE_SIG nothing is refused and nothing is trusted.
func signaturesGate(s kernel.Status) Gate { return fromReading(GateSignatures, s.Signatures) }

// certificateGate: the kernel's own parser takes the certificate, and calls it what we say it calls it.
func certificateGate(f Facts) Gate {
	gate := Gate{Name: GateCertificate, Source: "the kernel (add_key)"}
	switch {
	case f.Inquiry == nil:
		gate.Result, gate.Evidence = ResultUnknown, "the kernel could not be asked: "+f.InquiryErr.Error()
	case f.Inquiry.Refused == nil && f.Inquiry.Description != f.Certificate.KernelName():
		// Every id match rests on that name, so a difference must not pass silently.
		gate.Result = ResultUnknown
		gate.Evidence = fmt.Sprintf("the kernel calls it %q where %q was expected: please report this", f.Inquiry.Description, f.Certificate.KernelName())
	case f.Inquiry.Refused == nil:
		gate.Result, gate.Evidence = Pass, "the kernel takes it, as "+f.Inquiry.Description
	case errors.Is(f.Inquiry.Refused, keyring.ErrMalformed), errors.Is(f.Inquiry.Refused, keyring.ErrRejected), errors.Is(f.Inquiry.Refused, keyring.ErrCrypto):
		gate.Result, gate.Evidence = Fail, f.Inquiry.Refused.Error()
	default:
		gate.Result, gate.Evidence = ResultUnknown, f.Inquiry.Refused.Error()
	}
	return gate
}

// consultedGate: the keyring in which the key was found counts for modules.
func consultedGate(f Facts, found location) Gate {
	if found.ring == "" {
		return Gate{Name: GateConsulted, Result: NotApplicable, Evidence: "its key was found in no keyring", Source: found.gate.Source}
	}
	if f.RingsErr != nil && found.proof == KeyringRestriction {
		// An ordinary user was answered through .secondary, the very keyring that modules are checked against.
		if before5(f.Kernel.Release) {
			return Gate{Name: GateConsulted, Result: ResultUnknown, Evidence: "Linux " + f.Kernel.Release + " may ask .builtin_trusted_keys alone", Source: "/proc/sys/kernel/osrelease"}
		}
		return Gate{Name: GateConsulted, Result: Pass, Evidence: "the kernel answered for .secondary_trusted_keys, against which modules are checked", Source: oracle}
	}
	return fromReading(GateConsulted, Consulted(f.Rings, f.Kernel, found.ring))
}

// revocationGate: a hash on the blacklist shows in certificateGate, since the kernel then refuses the certificate. Revoked
// certificates are keys of .blacklist (CONFIG_SYSTEM_REVOCATION_LIST, Linux 5.13), and which signatures they stop depends on the
// version: 6.1 asks them for .platform only, 6.12 for every keyring.
func revocationGate(f Facts) Gate {
	gate := Gate{Name: GateRevocation, Result: Pass, Source: "/proc/keys (keyctl)"}
	if f.RingsErr != nil {
		if value, known := f.Kernel.Config.Value("SYSTEM_REVOCATION_LIST"); known && value == "n" {
			gate.Evidence, gate.Source = "this kernel keeps no list of revoked certificates (CONFIG_SYSTEM_REVOCATION_LIST is not set)", f.Kernel.ConfigPath
			return gate
		}
		gate.Result, gate.Evidence, gate.Fix = ResultUnknown, ".blacklist was not seen: "+f.RingsErr.Error(), "sudo kkeys trusted …"
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
		gate.Result, gate.Evidence = ResultUnknown, "the kernel could not be asked: "+f.InquiryErr.Error()
		return gate
	}
	gate.Source = oracle
	answer, asked := f.Inquiry.Answer(keyring.ByRing(ring.Serial))
	switch {
	case asked && answer.Err == nil:
		gate.Result, gate.Evidence = ResultUnknown, "it, or the certificate that issued it, is revoked in .blacklist; not every kernel acts on that"
	case asked && errors.Is(answer.Err, keyring.ErrNoVoucher), asked && errors.Is(answer.Err, keyring.ErrMismatch):
		gate.Evidence = "no revoked certificate in .blacklist is this one or its issuer"
	case asked:
		gate.Result, gate.Evidence = ResultUnknown, answer.Err.Error()
	default:
		gate.Result, gate.Evidence = ResultUnknown, ".blacklist was not asked"
	}
	return gate
}

// enforcementGate tells what happens to a module without a trusted signature. It is no condition on the key, so it never decides.
func enforcementGate(s kernel.Status) Gate {
	gate := fromReading(GateEnforcement, s.Enforced)
	if s.Enforced.Answer == kernel.No {
		gate.Result = NotApplicable
	}
	return gate
}
