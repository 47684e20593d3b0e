package audit

import (
	"fmt"
	"slices"
	"strings"

	"kkeys/evidence"
)

var lockdownModes = []string{"integrity", "confidentiality"}

func lockedDown(f Facts, p Policy) outcome {
	least := slices.Index(lockdownModes, p.Thresholds.Lockdown)
	switch mode := f.Kernel.Lockdown; {
	case mode == "":
		return finds(Unknown, "neither securityfs nor the kernel's configuration tell")
	case slices.Index(lockdownModes, mode) < least:
		return finds(Fail, "lockdown is %s, less than %s", mode, p.Thresholds.Lockdown)
	default:
		return passes("lockdown is %s", mode)
	}
}

// monolithic is the outcome of checks of modules where the kernel cannot load any.
func (f Facts) monolithic() (o outcome, ok bool) {
	if f.Modular.Answer == evidence.No {
		return inapplicable("%s", f.Modular.Evidence), true
	}
	return o, false
}

func enforced(f Facts, _ Policy) outcome {
	if o, no := f.monolithic(); no {
		return o
	}
	r := f.Kernel.Enforced
	return reading(r, evidence.Yes, r.Evidence, r.Evidence)
}

func loadingOff(f Facts, _ Policy) outcome {
	if o, no := f.monolithic(); no {
		return o
	}
	switch f.Kernel.ModulesDisabled {
	case evidence.Yes:
		return passes("kernel.modules_disabled is 1")
	case evidence.No:
		return finds(Fail, "kernel.modules_disabled is 0: root can load modules at any time")
	}
	return finds(Unknown, "kernel.modules_disabled could not be read")
}

// taintLetters are the kernel's, by bit (Documentation/admin-guide/tainted-kernels.rst; kernel/panic.c, taint_flags).
const taintLetters = "PFSRMBUDAWCIOELKXTNJ"

// Flags are the letters of a taint; bits that have none are numbers.
func Flags(taint uint64) (flags []string) {
	for bit := range 64 {
		switch {
		case taint>>bit&1 == 0:
		case bit < len(taintLetters):
			flags = append(flags, taintLetters[bit:bit+1])
		default:
			flags = append(flags, fmt.Sprint(bit))
		}
	}
	return flags
}

// taintMeanings are those that have to do with modules.
var taintMeanings = map[string]string{
	"P": "a proprietary module was loaded", "F": "a module was loaded by force", "R": "a module was unloaded by force",
	"O": "a module from outside of the kernel's tree was loaded", "E": "a module without a trusted signature was loaded",
}

func taint(f Facts, p Policy) outcome {
	if f.Kernel.Taint == nil {
		return finds(Unknown, "/proc/sys/kernel/tainted could not be read")
	}
	var subjects []Subject
	flags := Flags(*f.Kernel.Taint)
	for _, flag := range flags {
		result := Result("")
		switch {
		case strings.Contains(p.Thresholds.TaintFail, flag):
			result = Fail
		case strings.Contains(p.Thresholds.TaintWarn, flag):
			result = Warn
		default:
			continue
		}
		subjects = append(subjects, Subject{Name: flag, Result: result, Evidence: orElse(taintMeanings[flag], "the kernel is tainted so")})
	}
	if len(flags) == 0 {
		return of(subjects, "the kernel is not tainted")
	}
	return of(subjects, "tainted with "+strings.Join(flags, "")+", none of which the policy asks about")
}
