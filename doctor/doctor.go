// Package doctor tells why a module does not load, or what will go wrong, and what mends it. It is pure: what was seen goes in, findings come out;
// it opens no file, reads no clock and makes no system call. What it goes by is the verdict of package trust, the module's own file, what the
// kernel's log says, and the order in which the kernel looks at a module (kernel/module/main.c, load_module).
//
// A finding is no more certain than what it rests on: the kernel's own answer or a computed signature proves, a line of the log that names no module
// makes likely, and what merely fits is possible.
package doctor

import (
	"slices"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/modsig"
	"kkeys/trust"
)

// Facts are what is known of one module and of the machine that is to load it.
type Facts struct {
	Name   string // of the file, or that was asked for: as modprobe calls it
	Called string // as the module calls itself, and so the kernel; empty where it is not known
	Path   string // its file; empty where none was found
	// Searched: it was looked for by its name, as modprobe does. Absent: and surely none of that name is there; Unlisted: and modules.dep surely has none.
	Searched, Absent, Unlisted bool

	Module  *trust.Module
	Packing modsig.Packing // of the file, by its first bytes
	// Verdict is trust's on the module, nil where it was not judged; Signer names who signed it, as far as the signature says.
	Verdict *trust.Verdict
	Signer  string
	KeyID   string // of the certificate that verified it, or that the signature names; lower-case hex, empty where neither is known
	Hash    string // of the signature
	// Certificate is the file of the certificate that belongs to the signature, where there is one.
	Certificate string
	Content     []byte       // the module, unpacked, with its signatures; nil where it cannot be unpacked
	Info        *kernel.Info // what the module says of itself; nil where it is damaged or none
	InfoErr     error
	// Kernel is the machine's; Processor is what its modules are built for, as debug/elf names it.
	Kernel    kernel.Status
	Processor string
	// Said is what the log and the programs that load modules say, in their order; LogRead: there was a log, so that what it does not say counts.
	Said    []Said
	LogRead bool
	// Failure is what loading the module gave.
	Failure kernel.Errno
	// Modular tells whether this kernel can load modules at all.
	Modular evidence.Reading
	Builtin bool // the kernel has it without a file
	Blocks  []Block
	Chosen  string   // the file that modules.dep has for the name; empty when none, or where a file was named
	Others  []string // other files of that name
	Builds  []Build  // of tools that build it here
	Copies  []Copy   // in images of an initramfs, with other bytes than the file
	// Keys are pairs of key and certificate with which modules can be signed here.
	Keys []Key
	// Barrier is what would keep the signer's certificate from counting though it were enrolled, and NewKey a key still to be made: see trust.Barrier.
	// Authority: a new one must be an authority. Platform: what shim hands over counts in .platform already (trust.Facts.PlatformCounts).
	Barrier, NewKey trust.Gate
	Authority       bool
	Platform        evidence.Answer
	// Capable tells whether a process like this one could load modules at all; see kernel.MayLoad.
	Capable evidence.Reading
}

// Said is a line, and where it stands.
type Said struct {
	kernel.Trouble
	Line  string
	Where string // "kernel log, line 12"
}

// Key is a private key with its certificate, both files.
type Key struct {
	Private, Certificate string
	Trusted              trust.Value // of the certificate, by the running kernel
	Barrier              trust.Gate  // see trust.Barrier
}

// Certainty is how sure a finding is.
type Certainty string

// Nothing is called proven that was only matched.
const (
	Proven   Certainty = "proven"   // the kernel said so of this module or key, or it was computed
	Likely   Certainty = "likely"   // what was seen has hardly another cause
	Possible Certainty = "possible" // it fits
)

// Finding is one cause.
type Finding struct {
	ID        string
	Cause     string // one line
	Evidence  []string
	Certainty Certainty
	Concerns  string // whose work it is to mend it
	Ways      []Way
	// NoWay says why nothing is known to mend it here; empty where it was not looked into.
	NoWay     string
	Reference string
	Harmless  bool // it keeps nothing from loading
}

// Who can mend a cause.
const (
	You          = "whoever runs this machine"
	Builder      = "whoever builds and signs the module"
	Distribution = "the distribution"
	Nobody       = "nobody, with this kernel"
)

// Way is one way out: remedies in their order, after which the module is loaded.
type Way []Remedy

// by are ways of one remedy each.
func by(remedies ...Remedy) (ways []Way) {
	for _, r := range remedies {
		ways = append(ways, Way{r})
	}
	return ways
}

// Remedy is one step; the command line words it for the machine.
type Remedy struct {
	Do          Action
	Certificate string
	Private     string
	Hash        string
	Path        string // of the module, of the file with the line to be taken out; or the package of a tool
	Text        string // the line
	Tool        string
	Modules     []string
}

// Action is what is to be done.
type Action string

// The actions, the best first.
const (
	Sign          Action = "sign"           // sign the file with a key that is trusted
	MakeKey       Action = "make-key"       // make a key, enroll it, boot, sign
	MakeAuthority Action = "make-authority" // the same, with a key of an authority
	Enroll        Action = "enroll"         // ask MokManager to enroll the certificate, boot
	Confirm       Action = "confirm"        // boot, and confirm in MokManager
	Cancel        Action = "cancel"         // take back what is left of a request
	LoadHash      Action = "load-hash"      // load the hash's module, now and at every boot
	LoadKeys      Action = "load-algorithm" // load the key algorithm's module
	TrustList     Action = "trust-list"     // let the kernel trust shim's list
	Validation    Action = "validation"     // switch shim's validation on
	SecureBoot    Action = "secure-boot"    // switch Secure Boot on
	Repack        Action = "repack"         // unpack, or compress the way that the kernel reads
	Rebuild       Action = "rebuild"        // build the module for this kernel
	BuildModule   Action = "build-module"   // have the tool build and install it that has its source
	Depmod        Action = "depmod"         // write modules.dep anew
	LoadFirst     Action = "load-first"     // load the modules that it needs
	Unload        Action = "unload"         // unload those in its way
	Reinstall     Action = "reinstall"      // bring the distribution's file back
	Reboot        Action = "reboot"
	Unblock       Action = "unblock"        // take the line out, or the word off the kernel's command line
	RenewImage    Action = "renew-initrd"   // make the initramfs anew
	ValidationOff Action = "validation-off" // last resorts, with their price
	EnforceOff    Action = "enforce-off"
	LockdownLift  Action = "lockdown-lift"
	SecureBootOff Action = "secure-boot-off"
)

// Diagnose gives the findings, the most certain first; among those as certain the order is that in which the kernel meets them.
func Diagnose(f Facts) []Finding {
	var found []Finding
	for _, rule := range rules {
		found = append(found, rule(f)...)
	}
	soft := f.Kernel.Enforced.Answer == evidence.No
	switch {
	case f.Kernel.Signatures.Answer == evidence.No: // it looks at none
		found = slices.DeleteFunc(found, func(f Finding) bool { return tolerated[f.ID] || fatal[f.ID] })
	case soft:
		found = f.softened(found)
	}
	found = drop(found)
	explains := func(found Finding) bool {
		return found.Certainty != Possible && !found.Harmless && !(soft && f.soften(found))
	}
	if slices.ContainsFunc(found, explains) { // an errno says nothing more
		found = slices.DeleteFunc(found, func(f Finding) bool { return f.ID == bareErrno })
	}
	rank := func(f Finding) int {
		if f.Harmless {
			return len(order)
		}
		return order[f.Certainty]
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return rank(a) - rank(b) })
	return found
}

var order = map[Certainty]int{Proven: 0, Likely: 1, Possible: 2}

// rules are in the order in which the kernel meets what they are about.
var rules = []func(Facts) []Finding{
	monolithic, notFound, unlisted, blocked, incapable, copies, spoken, loadingOff, appraisal, packing, signature, signer, hash, forbidden, madeForAnother, symbols, unexplained, unnamed, harmless,
}

// tolerated are findings of which a kernel that does not enforce signatures only takes note: it loads the module and taints itself (E).
var tolerated = map[string]bool{
	"unsigned": true, "stripped": true, "appended": true, "signed-outside": true, "unsupported-signature": true, "unknown-key": true, "hash-missing": true, "request-waiting": true,
	"request-lost": true, "request-declined": true, "certificate-refused": true, "key-unsupported": true, "not-code-signing": true, "enrolled-not-loaded": true,
	"not-through-shim": true, "secure-boot-off": true, "list-not-trusted": true, "no-machine-keyring": true, "no-authority": true, "keyring-cut": true,
}

// fatal are findings of signatures that no kernel tolerates which looks at them at all: those that do not match, or are in no form.
var fatal = map[string]bool{"wrong-signature": true, "malformed-signature": true, "same-name": true, "revoked": true, "blacklisted": true}

// soften tells whether a kernel that does not enforce signatures would load the module all the same; also of a signature that is wrong by a key which
// the kernel does not have.
func (f Facts) soften(found Finding) bool {
	if unverifiable[found.ID] && f.Failure == "ENOPKG" && kernel.Before(f.Kernel.Release, 5, 4) {
		return false
	}
	return tolerated[found.ID] || found.ID == "wrong-signature" && found.Certainty != Proven
}

// unverifiable are findings for which the kernel gives ENOPKG, which Linux did not tolerate before 5.4 (kernel/module.c, module_sig_check); distributions
// brought what does to older kernels.
var unverifiable = map[string]bool{"hash-missing": true, "key-unsupported": true, "unsupported-signature": true}

// Tolerated tells of a finding's id whether it is about a signature that a kernel which does not enforce them would do without.
func Tolerated(id string) bool { return tolerated[id] }

// softened says of what is tolerated that it keeps nothing from loading. What would have the kernel enforce signatures first is no way out then.
func (f Facts) softened(found []Finding) []Finding {
	for i, each := range found {
		if !f.soften(each) {
			continue
		}
		found[i].Cause = "it loads here all the same, and taints the kernel (E): " + each.Cause
		found[i].Ways = slices.DeleteFunc(each.Ways, func(w Way) bool { return w[0].Do == SecureBoot || w[0].Do == Validation })
		if len(found[i].Ways) == 0 {
			found[i].NoWay = "nothing needs to be done to load it; a signature would only keep the kernel from being tainted"
		}
	}
	return found
}

// drop leaves out what a more certain finding of the same id says already.
func drop(found []Finding) (kept []Finding) {
	for _, f := range found {
		if i := slices.IndexFunc(kept, func(k Finding) bool { return k.ID == f.ID }); i < 0 {
			kept = append(kept, f)
		} else if order[f.Certainty] < order[kept[i].Certainty] {
			kept[i] = f
		}
	}
	return kept
}

// gate is the verdict's gate of a name; its result is not-applicable where there is none.
func (f Facts) gate(name string) trust.Gate {
	if f.Verdict != nil {
		for _, g := range f.Verdict.Gates {
			if g.Name == name {
				return g
			}
		}
	}
	return trust.Gate{Name: name, Result: trust.NotApplicable}
}

// Is tells whether a line's name for a module, or for its file, is this one's.
func (f Facts) Is(module string) bool {
	name := kernel.ModuleName(module)
	return name == f.Name || f.Called != "" && name == f.Called
}

// said are the lines of a kind: those that name this module, and those that name none.
func (f Facts) said(kinds ...kernel.Kind) (lines []Said) {
	for _, s := range f.Said {
		if slices.Contains(kinds, s.Kind) && (s.Module == "" || f.Is(s.Module)) {
			lines = append(lines, s)
		}
	}
	return lines
}

// quote is how lines stand in a finding's evidence.
func quote(lines []Said) (words []string) {
	for _, s := range lines {
		if words = append(words, s.Where+": "+s.Line); len(words) == 3 {
			break
		}
	}
	return words
}
