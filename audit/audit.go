// Package audit holds a machine's facts against a policy and says of each check whether it passes. It is pure: facts in, checks out; it opens no
// file, reads no clock and makes no system call. What time it is, is one of the facts.
//
// A check has an id that never changes its meaning, a severity, and references to the benchmarks that ask for the same. Evidence that cannot be had
// makes it unknown, never pass.
package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/mok"
)

// Facts are what is known of one machine.
type Facts struct {
	Now    time.Time
	Host   string // its name; empty when not known
	Kernel kernel.Status
	EFI    evidence.Answer // whether EFI has started the machine
	// NoVariables says why no EFI variable can be seen, nil where they can be.
	NoVariables error
	Firmware    mok.State
	Pending     mok.Pending
	// Answers are what became of what kkeys asked for; AnswersErr says why that is not known.
	Answers    []mok.Answer
	AnswersErr error
	Space      Space
	Stores     []Store
	// Image and Vendor are certificates, by the SHA-256 of the whole in lower-case hex: those of the kernel's image and those built into shim.
	Image, Vendor map[string]bool
	KeyFiles      []KeyFile
	KeyFilesGaps  []Gap
	// Modular tells whether this kernel can load modules at all.
	Modular evidence.Reading
	// Loaded are the modules that are loaded; LoadedErr says why that is not known.
	Loaded    []Loaded
	LoadedErr error
	Trees     []Tree // the installed modules, those of the running kernel first
	// Baseline is what the machine is compared with, nil for nothing.
	Baseline *Baseline
}

// Space is the room in the firmware's storage, in bytes; all zero when not known.
type Space struct{ Total, Free uint64 }

// Gap is a source that could not be read.
type Gap struct {
	Source string
	Err    error
}

// KeyFile is a private key on the disk, of which only the name, the permissions and perhaps the owner are known.
type KeyFile struct {
	Path string  // absolute
	Mode uint32  // permissions: 0600
	UID  *uint32 // of its owner; nil where that is not known
}

// Result is what a check says.
type Result string

// Fail and Warn are findings. Unknown: some evidence could not be had.
const (
	Pass          Result = "pass"
	Fail          Result = "fail"
	Warn          Result = "warn"
	Unknown       Result = "unknown"
	NotApplicable Result = "not-applicable"
)

// Results are all of them, the worst first.
var Results = []Result{Fail, Warn, Unknown, Pass, NotApplicable}

func worse(a, b Result) Result {
	if slices.Index(Results, b) < slices.Index(Results, a) {
		return b
	}
	return a
}

// Finding tells whether somebody must see to it.
func (r Result) Finding() bool { return r == Fail || r == Warn }

// Severity is how much a finding of a check matters.
type Severity string

// The severities.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities are all of them, the worst first.
var Severities = []Severity{Critical, High, Medium, Low}

// Subject is one thing that a check is about: a key, a module, a file.
type Subject struct {
	Name     string // what a waiver names; empty for the machine as a whole
	Also     string // another name that a waiver may use; empty for none
	Result   Result // never pass
	Evidence string // may hold foreign text
	Waived   bool
}

// Check is one check's result.
type Check struct {
	ID, Title  string
	Severity   Severity
	References []string
	Result     Result
	// Waived: all its findings are; the result is still what it is, and nobody must see to it.
	Waived   bool
	Evidence string // one line
	Subjects []Subject
}

// Finding tells whether somebody must see to it.
func (c Check) Finding() bool { return c.Result.Finding() && !c.Waived }

// Report is the whole audit.
type Report struct {
	Checks []Check
	Drift  []Change
}

// Run makes the checks that the policy wants, or of these only the ones named, in the order of the table. That of the drift compares the results of
// all, also of those that are not named.
func Run(f Facts, p Policy, only ...string) Report {
	var r Report
	var made []Check
	compare := f.Baseline != nil && slices.Contains(only, DriftID) && !p.Off(DriftID)
	for _, rule := range table {
		wanted := len(only) == 0 || slices.Contains(only, rule.id)
		if !wanted && !compare {
			continue
		}
		c := Check{ID: rule.id, Title: rule.title, Severity: p.severity(rule), References: rule.references}
		switch {
		case p.Off(rule.id):
			c.Result, c.Evidence = NotApplicable, switchedOff
		case rule.id == DriftID:
			r.Drift = f.drift(made)
			c.take(driftOutcome(f, r.Drift), p, f.Now)
		default:
			c.take(rule.judge(f, p), p, f.Now)
		}
		made = append(made, c)
		if wanted {
			r.Checks = append(r.Checks, c)
		}
	}
	return r
}

const switchedOff = "the policy has switched it off"

// Ran tells a check that was made from one that the policy has switched off.
func (c Check) Ran() bool { return c.Evidence != switchedOff }

// take makes a check's result of an outcome: the worst of its subjects that nobody waives.
func (c *Check) take(o outcome, p Policy, now time.Time) {
	c.Result, c.Evidence, c.Subjects = o.result, o.evidence, o.subjects
	if len(o.subjects) == 0 {
		return
	}
	open, waived := NotApplicable, NotApplicable
	for i := range c.Subjects {
		s := &c.Subjects[i]
		s.Waived = s.Result.Finding() && (p.waives(c.ID, s.Name, now) || s.Also != "" && p.waives(c.ID, s.Also, now))
		if s.Waived {
			waived = worse(waived, s.Result)
		} else {
			open = worse(open, s.Result)
		}
	}
	if c.Result = open; open == NotApplicable {
		c.Result, c.Waived = waived, true
	}
	if c.Evidence == "" {
		c.Evidence = summarize(c.Subjects)
	}
}

// outcome is what a rule found. With subjects the result is theirs.
type outcome struct {
	result   Result
	evidence string
	subjects []Subject
}

func passes(format string, args ...any) outcome {
	return outcome{Pass, fmt.Sprintf(format, args...), nil}
}
func inapplicable(format string, args ...any) outcome {
	return outcome{NotApplicable, fmt.Sprintf(format, args...), nil}
}
func finds(r Result, format string, args ...any) outcome {
	return of([]Subject{{Result: r, Evidence: fmt.Sprintf(format, args...)}}, "")
}

// of gives the subjects, or that there are none to speak of.
func of(subjects []Subject, well string) outcome {
	if len(subjects) == 0 {
		return passes("%s", well)
	}
	slices.SortStableFunc(subjects, func(a, b Subject) int { return slices.Index(Results, a.Result) - slices.Index(Results, b.Result) })
	return outcome{subjects: subjects}
}

// summarize words the first subjects in one line, and counts the others.
func summarize(subjects []Subject) string {
	const most = 3
	var words []string
	for _, s := range subjects[:min(most, len(subjects))] {
		word := s.Evidence
		if s.Name != "" {
			word = s.Name + ": " + word
		}
		if s.Waived {
			word += " (waived)"
		}
		words = append(words, word)
	}
	if n := len(subjects) - most; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(words, "; ")
}
