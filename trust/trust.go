// Package trust draws the verdict: does this kernel trust that key for modules. It is pure: facts in, verdict out; it opens no file,
// reads no clock and makes no system call. What it reasons about is verify_pkcs7_message_sig (certs/system_keyring.c) as
// kernel/module/signing.c calls it, seen from outside.
package trust

import (
	"bytes"
	"slices"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/mok"
)

// Facts are what was seen of one certificate and of the kernel it is asked about.
type Facts struct {
	Certificate *certs.Certificate
	// Named is how a module's signature names the certificate; sign-file's way when no module was looked at.
	Named certs.Lookup
	// Signed: a module names it so, and there is no other way for that one.
	Signed bool
	// Rings are the kernel's keyrings; RingsErr says why there are none, most often [keyring.ErrNotVisible].
	Rings    []keyring.Ring
	RingsErr error
	// Inquiry is what the kernel answered about the certificate when asked with [Questions]; InquiryErr says why it was not asked.
	Inquiry    *keyring.Inquiry
	InquiryErr error
	// Witnesses are the answers about certificates that name this one as their issuer ([certs.Certificate.Witness]), by the way in
	// which they do; WitnessErr says why one is missing.
	Witnesses  map[certs.Lookup]*keyring.Inquiry
	WitnessErr error
	// Namesakes are certificates found on the machine that have its issuer and serial number or its key id, and another key.
	Namesakes []Namesake
	// Probes are the load probes for the certificate's key, nil if none were made; ProbesErr says why they could not be.
	Probes    *kernel.Probes
	ProbesErr error
	// Platform tells whether .platform is consulted, where a load probe has shown it ([PlatformConsulted]).
	Platform evidence.Reading
	Kernel   kernel.Status

	// Algorithms are those registered with the kernel.
	Algorithms kernel.Algorithms

	// Hash tells whether the hash that modules will be signed with is registered and read in signatures.
	Hash evidence.Reading

	// What follows explains and decides nothing, but where it is said.

	// Firmware is what shim and the firmware left, nil where there are no EFI variables; Pending what is staged for MokManager, Receipts what
	// kkeys staged before.
	Firmware *mok.State
	DBX      mok.List // the firmware's
	Pending  mok.Pending
	Receipts []mok.Receipt
	// ReceiptsErr says why the receipts are not known.
	ReceiptsErr error
	// Stored are the certificates found on the machine; those of the kernel's image need not be among them, but where the kernel asks for codeSigning.
	Stored []Stored
	// Today is the date as in "2006-01-31"; empty when nobody says.
	Today string
}

// Namesake is a certificate that was found, and what the kernel answered about it when asked the same [Questions].
type Namesake struct {
	Stored
	Inquiry *keyring.Inquiry
}

// NamesakesOf picks from the certificates found on a machine those that share a name with this one, by which the kernel finds keys, and not the key.
func NamesakesOf(c *certs.Certificate, stored []Stored) (found []Namesake) {
	for _, s := range stored {
		if sharesName(s.Certificate, c) && !s.Certificate.SameKey(c) {
			found = append(found, Namesake{Stored: s})
		}
	}
	return found
}

// sharesName tells whether two certificates have one of the names by which the kernel finds keys: issuer and serial number, or the key id. It does
// not care which of a key's names is the one that it looks for (crypto/asymmetric_keys/asymmetric_type.c, asymmetric_match_key_ids), and a key id
// can be made that is another certificate's serial number and issuer.
func sharesName(a, b *certs.Certificate) bool {
	for _, one := range [][]byte{a.ID0(), a.ID1()} {
		for _, other := range [][]byte{b.ID0(), b.ID1()} {
			if one != nil && other != nil && bytes.Equal(one, other) {
				return true
			}
		}
	}
	return false
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
	Warning string // of a load probe that did what none should; to be shown
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
	Mend      Mend   // what would change the result; empty when nothing is known to
	// Met: what the gate looks for is there, and does not decide alone: a revoked certificate, a request that came to nothing.
	Met bool
	// Decides: without this gate's pass (or not-applicable) the verdict is not trusted, unless a load probe says so. The other gates explain.
	Decides bool
}

// The names of the gates, in the order in which they are given.
const (
	GateModule      = "module-signature"
	GateCompression = "compression"
	GateModuleHash  = "module-hash"
	GateSignatures  = "module-signatures"
	GateCertificate = "certificate-accepted"
	GateKey         = "key-algorithm"
	GatePresent     = "key-present"
	GateSigner      = "signer-id"
	GateConsulted   = "keyring-consulted"
	GateRevocation  = "not-revoked"
	GateCodeSigning = "code-signing"
	GateProbe       = "load-probe"
	GateHash        = "signature-hash"
	GateEnrolled    = "enrolled"
	GateSecureBoot  = "secure-boot"
	GateShim        = "shim"
	GateTrustList   = "mok-trusted"
	GateMachine     = "machine-keyring"
	GateAuthority   = "certificate-authority"
	GateForbidden   = "forbidden-lists"
	GateSameName    = "same-name"
	GateLinks       = "keyring-links"
	GateValidity    = "validity"
	GateEnforcement = "enforcement"
	GateIMA         = "ima"
	GateLoading     = "loading-enabled"
)

// Judge draws the verdict. Only the kernel's own check gives a yes: whatever rests on a match of names or ids has a gate that is unknown.
func Judge(f Facts) Verdict {
	f.RingsErr = unseenRings(f.Rings, f.RingsErr)
	found := locate(f)
	v := Verdict{Proof: found.proof}
	if found.at != nil {
		v.Keyring = found.at.ring
	}
	v.Gates = decisive(
		signaturesGate(f.Kernel),
		certificateGate(f, found),
		keyGate(f, found),
		found.gate,
		signerGate(f, found),
		consultedGate(f, found),
		revocationGate(f),
		codeSigningGate(f, found),
	)
	if !f.Signed { // a module has a hash of its own
		v.Gates = append(v.Gates, decisive(certificateHashGate(f))...)
	}
	v.Value = conclude(v.Gates)
	v.prove(f)
	v.Gates = append(v.Gates, f.overShim(found)...)
	v.Gates = append(v.Gates, forbiddenGate(f), sameNameGate(f, found), linksGate(f), validityGate(f), enforcementGate(f.Kernel), imaGate(f), loadingGate(f))
	v.finish()
	return v
}

// unseenRings: every kernel that checks modules has one of these two, so that what shows neither shows nothing.
func unseenRings(rings []keyring.Ring, err error) error {
	if err == nil && keyring.Named(rings, keyring.Builtin) == nil && keyring.Named(rings, keyring.System) == nil {
		return keyring.ErrUnavailable
	}
	return err
}

func decisive(gates ...Gate) []Gate {
	for i := range gates {
		gates[i].Decides = true
	}
	return gates
}

// finish says of each gate that does not know better who could make its source lie, and offers nothing where nothing helps: with a kernel
// that checks no modules, or a certificate that it can never use.
func (v *Verdict) finish() {
	hopeless := slices.ContainsFunc(v.Gates, func(g Gate) bool {
		return g.Result == Fail && slices.Contains([]string{GateSignatures, GateCertificate, GateKey, GateCodeSigning}, g.Name)
	})
	for i := range v.Gates {
		g := &v.Gates[i]
		if g.Forgeable == "" {
			g.Forgeable = forger(g.Source)
		}
		if hopeless {
			g.Mend = ""
		}
	}
}

// prove lets load probes decide: they are the kernel's answer to the very question.
func (v *Verdict) prove(f Facts) {
	gate := Gate{Name: GateProbe, Source: initModule}
	switch {
	case f.ProbesErr != nil:
		gate.Result, gate.Evidence = ResultUnknown, f.ProbesErr.Error()
	case f.Probes == nil:
		return
	default:
		probed := JudgeProbes(f.Probes, f.Kernel)
		gate.Result = map[Value]Result{Trusted: Pass, Untrusted: Fail, Unknown: ResultUnknown}[probed.Value]
		gate.Evidence = probed.Evidence + " (" + probed.Seen + ")"
		v.Warning = probed.Warning
		switch {
		case probed.Value != Unknown:
			v.Value, v.Proof, gate.Decides = probed.Value, LoadProbe, true
		case (f.Probes.Signed != nil || probed.Unusable) && v.Value == Trusted:
			// A signature of this very key was tried, and not seen to be accepted; or none with this hash can be.
			v.Value, gate.Decides = Unknown, true
		}
	}
	v.Gates = append(v.Gates, gate)
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
