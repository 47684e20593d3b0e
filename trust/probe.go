package trust

import (
	"fmt"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
)

// LoadProbe is the kernel's answer when asked to load a payload that was signed with the key.
const LoadProbe Proof = "load-probe"

// Mode is what the kernel does with a module without a trusted signature, as the control probe showed it.
type Mode string

// Debian under Secure Boot is both locked down and enforced; enforcement answers first (kernel/module/signing.c, module_sig_check).
const (
	Permissive Mode = "permissive" // loads and taints
	Lockdown   Mode = "lockdown"   // EPERM
	Enforced   Mode = "enforced"   // EKEYREJECTED, and a line in the kernel log
)

// ProbeVerdict is what load probes prove together.
type ProbeVerdict struct {
	// Value is Trusted only where a signature of the private key was accepted, by [LoadProbe]. Untrusted: the kernel does not find the key, or
	// what it finds under its id is another one. A keyless probe that finds the id leaves it Unknown: see ID.
	Value Value
	// ID tells whether the kernel finds a key with this id in a keyring that it consults for modules. Yes is no proof that it is this very
	// key, since ids are what the issuer wrote. [PlatformConsulted] uses it for a key that is in one keyring alone ([OnlyIn]).
	ID evidence.Answer
	// Unusable: the kernel says that it can use no signature of this hash and algorithm now. It says so under enforcement only.
	Unusable bool
	// Mode is empty when the control did not show it.
	Mode Mode
	// Evidence says what the answers mean, Seen what they were, one word a probe.
	Evidence, Seen string
	// Warning is set when a probe did what none should: the caller must show it.
	Warning string
}

// answer is how one attempt is read in the mode that the control showed.
type answer int

const (
	none   answer = iota // not made
	quiet                // EKEYREJECTED, and not by policy: a key of that id is there, and the signature is not its
	passed               // ENOEXEC: refused for what the payload is; the signature did not stand in the way
	policy               // refused as this mode refuses an unknown signer
	blind                // EKEYREJECTED under enforcement with a log that cannot be relied on: quiet or policy
	other                // anything else
)

// JudgeProbes reads the answers of one key's probes. What is not in the table is Unknown, with what was seen. In the enforced mode it
// counts lines of the kernel log that name no module, so another process that is refused a module at the same moment can cost an answer.
func JudgeProbes(p *kernel.Probes, status kernel.Status) ProbeVerdict {
	v := ProbeVerdict{Value: Unknown, Seen: seen(p)}
	if v.Warning = warning(p); v.Warning != "" {
		v.Evidence = v.Warning
		return v
	}
	mode, why := probeMode(p, status)
	if why != "" {
		v.Evidence = why
		return v
	}
	v.Mode = mode
	sure := mode != Enforced || logWorks(p.Control)
	v.combine(p, func(a *kernel.Attempt) answer { return mode.read(a, sure) })
	return v
}

// warning tells of a probe that left a trace. None should, so nothing that such a kernel answers counts.
func warning(p *kernel.Probes) string {
	for _, a := range attempts(p) {
		switch {
		case a.attempt == nil:
		case a.attempt.Errno == kernel.Loaded:
			return "the kernel says that it loaded the " + a.name + " probe, which cannot be loaded: please report this"
		case a.attempt.Tainted() == evidence.Yes:
			return fmt.Sprintf("the kernel's taint changed from %d to %d during the %s probe, which cannot load: another process loaded something, or please report this",
				*a.attempt.TaintBefore, *a.attempt.TaintAfter, a.name)
		}
	}
	return ""
}

// probeMode reads the controls: did the calls reach the signature check, before the payload itself was refused; and what does this kernel
// do with an unsigned module. why is set when that cannot be told.
func probeMode(p *kernel.Probes, status kernel.Status) (mode Mode, why string) {
	switch {
	case p.Control == nil || p.Broken == nil:
		return "", "the controls were not made"
	case p.Broken.Errno == kernel.ENOEXEC:
		return "", "the kernel refuses the payload before it looks at the signature, as Linux 4.19 to 5.11 can"
	case p.Broken.Errno == kernel.EPERM || p.Broken.Errno == kernel.EACCES:
		return "", "the kernel refuses before it looks at the signature: no CAP_SYS_MODULE, modules_disabled, a security module or a container's filter"
	case p.Broken.Errno != kernel.EBADMSG:
		return "", "a broken signature is not refused as one: " + string(p.Broken.Errno)
	}
	switch errno := p.Control.Errno; {
	case errno == kernel.ENOEXEC && status.Enforced.Answer == evidence.Yes:
		return "", "the kernel refuses the payload before it looks at the signature: unsigned modules should be refused as such (" + status.Enforced.Evidence + ")"
	case errno == kernel.ENOEXEC:
		return Permissive, ""
	case errno == kernel.EPERM && (status.SigEnforce == evidence.Yes || status.Lockdown == "none"):
		return "", "an unsigned module is refused with EPERM, although signatures are enforced or lockdown is off: something else refuses"
	case errno == kernel.EPERM:
		return Lockdown, ""
	case errno == kernel.EKEYREJECTED && status.Enforced.Answer == evidence.No:
		return "", "an unsigned module is refused with EKEYREJECTED although signatures are not enforced (" + status.Enforced.Evidence + ")"
	case errno == kernel.EKEYREJECTED:
		return Enforced, ""
	default:
		return "", "an unsigned module is refused in a way that is not known: " + string(errno)
	}
}

// logWorks: the kernel's sentence about the unsigned control was found in its log, alone. So the log can be read, this program knows the
// sentence, and a probe after which it is not there was refused without it.
func logWorks(control *kernel.Attempt) bool {
	said := rejections(control)
	return control.LogProblem == "" && len(said) == 1 && said[0] == kernel.NoticeUnsigned
}

// rejections are the lines of the kernel's policy.
func rejections(a *kernel.Attempt) []kernel.Notice {
	var said []kernel.Notice
	for _, n := range a.Notices() {
		if n.Enforces() {
			said = append(said, n)
		}
	}
	return said
}

// read reads one attempt with a signature.
func (m Mode) read(a *kernel.Attempt, logWorks bool) answer {
	if a == nil {
		return none
	}
	said := rejections(a)
	switch {
	case a.Errno == kernel.ENOEXEC:
		return passed
	case m == Lockdown && a.Errno == kernel.EPERM:
		return policy
	case a.Errno != kernel.EKEYREJECTED:
		return other
	case m != Enforced && len(said) > 0:
		return other // enforcement was switched on meanwhile
	case m != Enforced:
		return quiet
	case !logWorks || a.LogProblem != "":
		return blind
	case len(said) == 0:
		return quiet
	case len(said) == 1 && said[0] == kernel.NoticeKey:
		return policy
	}
	return other
}

// namedAttempt is an attempt by the name under which it is shown.
type namedAttempt struct {
	name    string
	attempt *kernel.Attempt
}

func attempts(p *kernel.Probes) []namedAttempt {
	return []namedAttempt{{"unsigned", p.Control}, {"broken", p.Broken}, {"stranger", p.Stranger}, {"stranger-skid", p.StrangerSKID},
		{"keyless", p.Keyless}, {"keyless-skid", p.KeylessSKID}, {"signed", p.Signed}}
}

// seen writes each answer down: "unsigned EPERM (lockdown), broken EBADMSG, …", and why the log cannot be relied on.
func seen(p *kernel.Probes) string {
	var all, problems []string
	for _, a := range attempts(p) {
		if a.attempt == nil {
			continue
		}
		text := a.name + " " + string(a.attempt.Errno)
		if a.attempt.Errno == kernel.Loaded {
			text = a.name + " loaded"
		}
		var more []string
		for _, n := range a.attempt.Notices() {
			more = append(more, string(n))
		}
		if problem := a.attempt.LogProblem; problem != "" && !slices.Contains(problems, problem) {
			problems = append(problems, problem)
		}
		if len(more) > 0 {
			text += " (" + strings.Join(more, ", ") + ")"
		}
		all = append(all, text)
	}
	text := strings.Join(all, ", ")
	if len(problems) > 0 {
		text += "; kernel log: " + strings.Join(problems, ", ")
	}
	return text
}

// PlatformConsulted tells whether modules are checked against .platform, from the probes for a certificate that is in .platform and in no
// other keyring ([OnlyIn]). A no needs the probe by SKID too: the SKID is what the entry's description shows.
func PlatformConsulted(p *kernel.Probes, status kernel.Status) evidence.Reading {
	const source = "the kernel (load probe)"
	v := JudgeProbes(p, status)
	switch {
	case v.ID == evidence.Yes:
		return evidence.Reading{Answer: evidence.Yes, Evidence: "the kernel finds a key that is only in .platform (" + v.Seen + ")", Source: source}
	case v.ID == evidence.No && p.KeylessSKID != nil:
		return evidence.Reading{Answer: evidence.No, Evidence: "the kernel does not find a key that is in .platform (" + v.Seen + ")", Source: source}
	}
	return evidence.Reading{Answer: evidence.Unknown, Evidence: v.Evidence + " (" + v.Seen + ")", Source: source}
}

// OnlyIn tells whether the named keyring has an entry of the certificate's name and id, and no other keyring of [Listed] that holds trusted keys
// can have one: all entries were seen, and each tells its id. Only root could make a description lie.
func OnlyIn(rings []keyring.Ring, c *certs.Certificate, name string) bool {
	there := false
	var relevant []keyring.Ring
	for _, listed := range Listed {
		ring := keyring.Named(rings, listed)
		if ring == nil || listed == keyring.Blacklist {
			continue
		}
		relevant = append(relevant, *ring)
		for _, key := range ring.Keys {
			switch {
			case key.Type != keyring.TypeAsymmetric:
			case listed == name && c.MatchesName(key.Description):
				there = true
			case listed != name && (c.MatchesName(key.Description) || c.MatchesKeyID(key.Description)):
				return false
			}
		}
	}
	return there && opaque(relevant) == ""
}
