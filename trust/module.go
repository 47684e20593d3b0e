package trust

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/modsig"
)

// Module is what was seen of a module's signature.
type Module struct {
	// Result is how the signature stands towards the certificates known here, Where where the one that decided was found.
	Result modsig.Result
	Where  string
	// Err is why there is no result, one of modsig's outcomes of reading.
	Err error
	// Carries: the signature has several signers, or brings certificates along. The kernel then tries each, and walks chains; here the
	// verdict stays open.
	Carries bool
	// Hash tells whether the hash of the signature is registered with the kernel and read in signatures.
	Hash evidence.Reading
	// SHA256 is that of the unpacked module, signature included; zero when it could not be unpacked. Rings are the kernel's keyrings.
	SHA256   [sha256.Size]byte
	Rings    []keyring.Ring
	RingsErr error
	// Probes are the load probes for the signer that the signature names, where no certificate of it is known; ProbesErr says why there are none.
	Probes    *kernel.Probes
	ProbesErr error
	Kernel    kernel.Status
	// Packing is the compression around the module, Check the check of an xz stream, Trailing how many bytes follow the compressed stream, and
	// SignedOutside tells that they end in a signature: the module was signed after it was compressed.
	Packing       modsig.Packing
	Check         string
	Trailing      int
	SignedOutside bool
	// Unpacks is the compression that the kernel undoes itself, by the name that Packing has; Kmod tells whether kmod undoes this one.
	Unpacks string
	Kmod    evidence.Reading
}

// continued: what follows the compressed stream may be more of the module. The kernel reads one stream; kmod reads on, or refuses the file.
func (m Module) continued() bool { return m.Trailing > 0 && !m.SignedOutside }

// JudgeModule draws the verdict on a module: its signature verifies, and the key that made it is trusted. key are the facts of the certificate
// that verified it, or of the one that has the name in the signature and does not; nil if there is none.
func JudgeModule(m Module, key *Facts) Verdict {
	m.RingsErr = unseenRings(m.Rings, m.RingsErr)
	var v Verdict
	if key == nil {
		v = m.judgeSigner()
	} else {
		v = Judge(*key)
	}
	own := decisive(signatureGate(m, v.Value == Trusted), hashGate(m), compressionGate(m), moduleHashGate(m))
	if m.Result.Outcome == modsig.Wrong && key != nil && m.Kernel.Signatures.Answer != evidence.No && !key.unknownName() {
		v.open() // another key under the same name may be what signed it, and what the kernel finds
	}
	if m.continued() && v.Value == Untrusted && m.Kernel.Signatures.Answer != evidence.No {
		v.rest(Unknown) // another signature may stand there, by another key
	}
	switch conclude(own) {
	case Untrusted:
		v.rest(Untrusted)
	case Unknown:
		if v.Value == Trusted || m.Carries {
			v.Value = Unknown
		}
	}
	v.Gates = append(own, v.Gates...)
	v.finish()
	return v
}

// open takes back a no that rests on one certificate, where the kernel may find another of the same name. A load probe asked for the name.
func (v *Verdict) open() {
	if v.Value == Untrusted && v.Proof != LoadProbe {
		v.rest(Unknown)
	}
}

// rest makes it a verdict that rests on no key in a keyring.
func (v *Verdict) rest(value Value) { v.Value, v.Proof, v.Keyring = value, "", "" }

// unknownName: the kernel itself finds no key by the name in the signature, in any keyring.
func (f Facts) unknownName() bool {
	f.RingsErr = unseenRings(f.Rings, f.RingsErr)
	return f.lookUp(f.Named).exists == evidence.No
}

// judgeSigner judges a signer of whom nothing is known but what the signature says: only a load probe can tell that the kernel does not find
// it, and nothing can tell that it is the right one.
func (m Module) judgeSigner() Verdict {
	facts := Facts{Kernel: m.Kernel, Probes: m.Probes, ProbesErr: m.ProbesErr}
	v := Verdict{Value: Unknown, Gates: decisive(signaturesGate(m.Kernel))}
	if m.Kernel.Signatures.Answer == evidence.No { // whoever it is
		v.Value = Untrusted
	}
	v.prove(facts)
	v.Gates = append(v.Gates, enforcementGate(m.Kernel), imaGate(facts), loadingGate(facts))
	return v
}

// signatureGate: the signature is there, can be read, and is that of a certificate that is known here. One that does not verify with the
// certificate of its name is wrong for sure only where the kernel trusts that very key under that name.
func signatureGate(m Module, trusted bool) Gate {
	gate := Gate{Name: GateModule, Result: Fail, Source: theModule}
	var unsigned *modsig.UnsignedError
	switch {
	case m.SignedOutside && m.Err != nil:
		gate.Evidence = "it was signed after it was compressed: the signature stands outside of the compressed stream, where nothing looks"
	case errors.As(m.Err, &unsigned) && unsigned.Appended:
		gate.Evidence = fmt.Sprintf("it was signed, and %d bytes were appended afterwards: for the kernel it is not signed", unsigned.After)
	case isAny(m.Err, modsig.ErrUnsupported, modsig.ErrTooLarge, modsig.ErrFilter, modsig.ErrNotDER, modsig.ErrKind):
		gate.Result, gate.Evidence = ResultUnknown, m.Err.Error()
	case m.Err != nil:
		gate.Evidence = m.Err.Error()
	case m.Carries:
		gate.Result, gate.Evidence = ResultUnknown, "its signature has several signers or brings certificates along, of which the kernel's verdict depends"
	case m.Result.Outcome == modsig.Valid:
		gate.Result, gate.Evidence = Pass, "its signature verifies with "+m.Result.Key.Details().Subject+" ("+m.Where+")"
	case m.Result.Outcome == modsig.Wrong && trusted:
		gate.Evidence = "its signature does not verify with the certificate that it names (" + m.Where + "), whose key the kernel has: the module was changed after signing (stripped, for example)"
	case m.Result.Outcome == modsig.Wrong:
		gate.Result = ResultUnknown
		gate.Evidence = "its signature does not verify with the certificate found here that has the name in it (" + m.Where + "): it was changed after signing, or another key of that name signed it"
	case m.Result.Outcome == modsig.UnknownKey:
		gate.Result, gate.Evidence = ResultUnknown, "no certificate found on this machine has the id that the signature names"
	case m.Result.Err != nil:
		gate.Result, gate.Evidence = ResultUnknown, m.Result.Err.Error()
	default:
		gate.Result, gate.Evidence = ResultUnknown, "the signature could not be judged"
	}
	if m.continued() && gate.Result == Fail {
		gate.Result = ResultUnknown
		gate.Evidence += fmt.Sprintf("; but %d bytes follow the compressed stream, which may be more of the module", m.Trailing)
	}
	return gate
}

// hashGate: a signature whose hash is not there is one of an unknown kind for the kernel. It may load the hash when it is asked for.
func hashGate(m Module) Gate {
	gate := Gate{Name: GateHash, Result: NotApplicable, Evidence: "no signature was read", Source: theModule}
	if m.Err != nil {
		return gate
	}
	gate = fromReading(GateHash, m.Hash)
	if m.Hash.Answer != evidence.Yes {
		gate.Result, gate.Mend = ResultUnknown, mendHash(m.Hash)
	}
	return gate
}

func isAny(err error, outcomes ...error) bool {
	return slices.ContainsFunc(outcomes, func(o error) bool { return errors.Is(err, o) })
}

// compressionGate: somebody has to unpack it. A kernel that does so itself reads no xz stream with another check than CRC32
// (lib/xz/xz_dec_stream.c, dec_stream_header); kmod reads what it was built for.
func compressionGate(m Module) Gate {
	gate := Gate{Name: GateCompression, Source: theModule}
	switch {
	case m.Packing == modsig.Plain:
		gate.Result, gate.Evidence = NotApplicable, "it is not compressed"
	case m.continued():
		gate.Result = ResultUnknown
		gate.Evidence = fmt.Sprintf("%d bytes follow the compressed stream: the kernel ignores them, kmod refuses the file or takes them for more of the module", m.Trailing)
	case m.Unpacks != m.Packing.String():
		gate = fromReading(GateCompression, m.Kmod)
		if m.Kmod.Answer != evidence.Yes {
			gate.Result, gate.Mend = ResultUnknown, MendUnpack // other programs than kmod may load it
			gate.Evidence = "the kernel does not unpack it itself, and " + m.Kmod.Evidence
		}
	case m.Check != "" && m.Check != "crc32" && m.Check != "none":
		gate.Result, gate.Source, gate.Mend = ResultUnknown, theModule+", /sys/module/compression", MendUnpack // an older kmod unpacks it all the same
		gate.Evidence = "a kernel that unpacks it itself, as this one can, does not read its check " + m.Check + ": compress it with xz --check=crc32"
	default:
		gate.Result, gate.Source = Pass, "/sys/module/compression"
		gate.Evidence = "the kernel unpacks it itself"
	}
	return gate
}
