package trust

import (
	"fmt"
	"strings"

	"kkeys/evidence"
)

// keyGate: the kernel can verify signatures of such a key. A certificate issued by another key is loaded without that ever being tried.
func keyGate(f Facts, found location) Gate {
	gate := Gate{Name: GateKey, Source: theCertificate}
	d := f.Certificate.Details()
	kind := describeKey(d.Algorithm, d.KeyBits, d.Curve)
	if found.proof == KeyringRestriction {
		gate.Result, gate.Evidence, gate.Source = Pass, "the kernel verified a signature with this "+kind+" key", oracle
		return gate
	}
	for _, r := range f.Certificate.KeyRefusals() {
		if r.Kernels == "" {
			gate.Result, gate.Evidence = Fail, r.Error()
			return gate
		}
	}
	switch {
	case d.Algorithm == "rsa" && f.Kernel.FIPS == evidence.Yes && (d.KeyBits == nil || *d.KeyBits < 2041):
		// rsa_check_key_length rounds up to whole words, as elsewhere.
		gate.Result, gate.Evidence, gate.Source = Fail, "in FIPS mode the kernel takes RSA keys of 2048 bits at least, and this is "+kind, fipsFile
	case d.Algorithm == "rsa":
		gate.Result, gate.Evidence = Pass, "every kernel that checks modules can use "+kind
	case d.Algorithm == "ecdsa" && d.Curve != nil:
		registered := f.Algorithms.Registered("ecdsa-nist-p" + strings.TrimPrefix(*d.Curve, "P-"))
		gate = fromReading(GateKey, registered)
		if registered.Answer == evidence.Yes {
			break
		}
		if built := f.Kernel.Built("CRYPTO_ECDSA"); built.Answer == evidence.No {
			gate.Result, gate.Evidence, gate.Source = Fail, "this kernel was built without ECDSA ("+built.Evidence+")", built.Source
			break
		}
		gate.Mend = MendKeyAlgorithm
	default:
		gate.Result, gate.Evidence = ResultUnknown, "whether this kernel can use "+kind+" is not known"
	}
	return gate
}

func describeKey(algorithm string, bits *int, curve *string) string {
	switch {
	case curve != nil:
		return algorithm + " " + *curve
	case bits != nil:
		return fmt.Sprintf("%s %d", algorithm, *bits)
	}
	return algorithm
}

// certificateHashGate: the hash that modules will be signed with is registered, and read in signatures. One that is not may be loaded when the kernel asks for it, or not.
func certificateHashGate(f Facts) Gate {
	gate := fromReading(GateHash, f.Hash)
	if f.Hash.Answer == evidence.Unknown {
		gate.Mend = mendHash(f.Hash)
	}
	return gate
}

// mendHash: loading a hash helps nothing where the release of the kernel is in the way.
func mendHash(r evidence.Reading) Mend {
	if r.Source == osRelease {
		return ""
	}
	return MendHash
}

// validityGate says what the dates are, and passes: no kernel looks at them (x509_cert_parser.c only checks their syntax, "the RTC might not be valid", 49fcf732bdae).
func validityGate(f Facts) Gate {
	gate := Gate{Name: GateValidity, Result: Pass, Source: theCertificate}
	d := f.Certificate.Details()
	const date = "2006-01-02"
	const ignored = "; the kernel looks at no dates when it verifies modules"
	switch {
	case d.NotBefore == nil || d.NotAfter == nil:
		gate.Evidence = "its dates cannot be read" + ignored
	case f.Today != "" && f.Today > d.NotAfter.Format(date):
		gate.Evidence = "it expired on " + d.NotAfter.Format(date) + ignored
	case f.Today != "" && f.Today < d.NotBefore.Format(date):
		gate.Evidence = "it is not valid before " + d.NotBefore.Format(date) + ignored
	default:
		gate.Evidence = "it is valid until " + d.NotAfter.Format(date) + ignored
	}
	return gate
}

// imaGate: IMA can demand a signature of its own, whoever signed the module (security/integrity/ima/ima_main.c, ima_load_data).
func imaGate(f Facts) Gate {
	gate := fromReading(GateIMA, f.Kernel.IMA)
	switch f.Kernel.IMA.Answer {
	case evidence.Yes:
		gate.Result = ResultUnknown // whether the module has what IMA wants
	case evidence.No:
		gate.Result = NotApplicable
	}
	return gate
}

// loadingGate: kernel.modules_disabled refuses every module until the next boot.
func loadingGate(f Facts) Gate {
	gate := Gate{Name: GateLoading, Source: "/proc/sys/kernel/modules_disabled"}
	switch f.Kernel.ModulesDisabled {
	case evidence.Yes:
		gate.Result, gate.Evidence, gate.Mend = Fail, "kernel.modules_disabled is 1: no module loads until the next boot, whoever signed it", MendReboot
	case evidence.No:
		gate.Result, gate.Evidence = Pass, "modules may be loaded"
	default:
		gate.Result, gate.Evidence = ResultUnknown, "kernel.modules_disabled cannot be read"
	}
	return gate
}
