// Package trust draws the verdict: does this kernel trust that key for modules. It is pure: facts in, verdict out; it opens no file,
// reads no clock and makes no system call. What it reasons about is verify_pkcs7_message_sig (certs/system_keyring.c) as
// kernel/module/signing.c calls it, seen from outside.
package trust

import (
	"kkeys/certs"
	"kkeys/kernel"
	"kkeys/keyring"
)

// Facts are what was seen of one certificate and of the kernel it is asked about.
type Facts struct {
	Certificate *certs.Certificate
	// Rings are the kernel's keyrings; RingsErr says why there are none, most often [keyring.ErrNotVisible].
	Rings    []keyring.Ring
	RingsErr error
	// Inquiry is what the kernel answered when asked with [Questions]; InquiryErr says why it was not asked.
	Inquiry    *keyring.Inquiry
	InquiryErr error
	Kernel     kernel.Status
}

// Value is the answer to the question, in three values.
type Value string

// Only Trusted is proof; Unknown means that some evidence could not be had.
const (
	Trusted   Value = "trusted"
	Untrusted Value = "untrusted"
	Unknown   Value = "unknown"
)

// Proof is the kind of evidence that a verdict rests on.
type Proof string

// KeyringRestriction is the kernel's own signature check; IDMatch only says that an entry has the certificate's name and id.
const (
	KeyringRestriction Proof = "keyring-restriction"
	IDMatch            Proof = "id-match"
)

// Verdict is the answer with all that led to it.
type Verdict struct {
	Value   Value
	Proof   Proof  // empty when the verdict rests on none
	Keyring string // where the key is, with its dot; empty when it was not found or only the chain was proven
	Gates   []Gate
}

// Result is what a gate says.
type Result string

// A gate whose evidence cannot be had is ResultUnknown, never Pass.
const (
	Pass          Result = "pass"
	Fail          Result = "fail"
	ResultUnknown Result = "unknown"
	NotApplicable Result = "not-applicable"
)

// Gate is one condition on the way to a loaded module.
type Gate struct {
	Name      string
	Result    Result
	Evidence  string // what was seen, in a sentence; may hold text from certificates and must be made printable
	Source    string // where it was seen
	Forgeable string // who could make this source lie; empty when only the kernel or the firmware could
	Fix       string // what mends it, as a command where there is one
}

// The names of the gates, in the order in which they are given.
const (
	GateSignatures  = "module-signatures"
	GateCertificate = "certificate-accepted"
	GatePresent     = "key-present"
	GateConsulted   = "keyring-consulted"
	GateRevocation  = "not-revoked"
	GateEnforcement = "enforcement"
)

// Judge draws the verdict.
func Judge(f Facts) Verdict {
	found := locate(f)
	v := Verdict{Proof: found.proof, Keyring: found.ring}
	v.Gates = []Gate{
		signaturesGate(f.Kernel),
		certificateGate(f),
		found.gate,
		consultedGate(f, found),
		revocationGate(f),
	}
	v.Value = conclude(v.Gates)
	// Certainty about a no needs no certainty about where the key is; a yes needs the kernel's own check.
	if v.Value == Trusted && v.Proof != KeyringRestriction {
		v.Value = Unknown
	}
	v.Gates = append(v.Gates, enforcementGate(f.Kernel))
	return v
}

// conclude: one failed gate is a no, one unknown gate takes away the yes.
func conclude(gates []Gate) Value {
	value := Trusted
	for _, g := range gates {
		switch g.Result {
		case Fail:
			return Untrusted
		case ResultUnknown:
			value = Unknown
		}
	}
	return value
}
