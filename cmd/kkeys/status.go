package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/mok"
	"kkeys/trust"
)

type statusDocument struct {
	envelope
	SecureBoot *bool          `json:"secure_boot"`
	SetupMode  *bool          `json:"setup_mode"`
	EFI        *bool          `json:"efi"`
	Shim       *bool          `json:"shim"`
	MOK        mokDocument    `json:"mok"`
	Kernel     kernelDocument `json:"kernel"`
	Consulted  []string       `json:"keyrings_consulted"`
	Platform   platformDoc    `json:"platform"`
	Findings   []findingDoc   `json:"findings"`
}

// platformDoc tells whether modules are checked against .platform, which no file shows.
type platformDoc struct {
	Consulted *bool   `json:"consulted"` // null: not known
	Basis     *string `json:"basis"`     // "proven" (by a load probe), "expected" (of this distribution's kernels), "configured" (no module is checked), null: not known
	Evidence  string  `json:"evidence"`
}

type mokDocument struct {
	ValidationDisabled *bool    `json:"validation_disabled"`
	DBIgnored          *bool    `json:"db_ignored"`
	TrustedByKernel    *bool    `json:"trusted_by_kernel"`
	Enrolled           *int     `json:"enrolled"`
	Pending            []string `json:"pending"`
	// Answers tell what became of what kkeys asked for.
	Answers []answerDocument `json:"answers"`
}

type kernelDocument struct {
	Release          *string `json:"release"`
	Distribution     *string `json:"distribution"`
	ModuleSignatures *string `json:"module_signatures"` // "enforced", "permissive", "unsupported"
	SigEnforce       *bool   `json:"sig_enforce"`
	Lockdown         *string `json:"lockdown"`
	ModulesDisabled  *bool   `json:"modules_disabled"`
	Tainted          *uint64 `json:"tainted"`
	// What /proc/crypto shows now. The kernel may be able to load more.
	HashAlgorithms []string `json:"hash_algorithms"`
	KeyAlgorithms  []string `json:"key_algorithms"`
}

func (s *session) status() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "one screen: Secure Boot, shim, MOK, enforcement, keyrings consulted",
		Description: "Shows what decides about modules on this machine, and what could not be seen. Exit code 0: all was seen and nothing\nis wrong; 1: there is a finding; 3: something could not be seen.\n\n" +
			"Whether modules are checked against .platform shows in no file. Without --prove it is what kernels of this distribution are known to do.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "prove", Usage: "ask the kernel with load probes whether it looks in .platform (root)", DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			document := &statusDocument{Findings: []findingDoc{}}
			if c.NArg() > 0 {
				return s.finish(document, &document.envelope, exitYes, usage("status takes no arguments"))
			}
			return s.finish(document, &document.envelope, s.runStatus(document, c.Bool("prove")), nil)
		},
	}
}

func (s *session) runStatus(document *statusDocument, prove bool) int {
	s.statusOfFirmware(document)
	status := s.machine.Kernel()
	describeKernel(document, status)
	s.describeAlgorithms(document)
	rings, err := s.machine.Keyrings.Rings()
	if err != nil {
		document.missing("keyrings", explainRings(err))
	} else {
		document.Consulted = []string{}
	}
	for _, name := range trust.Listed {
		if trust.Consulted(rings, status, name).Answer == evidence.Yes {
			document.Consulted = append(document.Consulted, name)
		}
	}
	s.describePlatform(document, rings, status, prove)
	statusFindings(document, rings, status)
	s.sayStatus(document)
	switch {
	case len(document.Findings) > 0:
		return exitNo
	case len(document.NotSeen) > 0:
		return exitUnsure
	}
	return exitYes
}

// firmwareGaps tells what of the firmware and shim could not be seen. Where no variable can be, that is one gap.
func (s *session) firmwareGaps(document *statusDocument, gaps []mok.Gap) {
	if err := s.look(); err != nil {
		document.NotSeen = append(document.NotSeen, notSeen{"EFI variables", err.Error(), s.failure(err).Hint})
		gaps = slices.DeleteFunc(gaps, func(g mok.Gap) bool { return strings.HasPrefix(g.Source, "efivars/") })
	}
	for _, gap := range gaps {
		document.missing(gap.Source, gap.Err)
	}
}

// statusOfFirmware fills in what the firmware and shim say. A machine without EFI has nothing to say, which is no gap.
func (s *session) statusOfFirmware(document *statusDocument) {
	efi := s.machine.EFI()
	if document.EFI = boolOf(efi); efi != evidence.Yes {
		if efi == evidence.Unknown {
			document.missing("EFI", machine.ErrEFIUnseen)
		}
		return
	}
	course := s.course(&document.envelope)
	state, pending := course.State, course.Pending
	s.firmwareGaps(document, slices.Concat(state.NotSeen, pending.NotSeen))
	document.SecureBoot, document.SetupMode, document.Shim = boolOf(state.SecureBoot.Answer), boolOf(state.SetupMode.Answer), boolOf(state.Shim.Answer)
	document.MOK.ValidationDisabled, document.MOK.TrustedByKernel = boolOf(state.ValidationDisabled.Answer), boolOf(state.Trusted.Answer)
	document.MOK.DBIgnored = boolOf(state.IgnoreDB.Answer)
	if state.Enrolled.Seen() {
		n := len(state.Enrolled.Certificates())
		document.MOK.Enrolled = &n
	}
	if len(pending.NotSeen) == 0 {
		document.MOK.Pending = []string{}
	}
	for _, r := range pending.Requests {
		document.MOK.Pending = append(document.MOK.Pending, r.Kind.String())
	}
	document.MOK.Answers = s.answers(course)
	document.Findings = append(document.Findings, slices.Concat(s.requestFindings(course, document.MOK.Answers), answerFindings(document.MOK.Answers))...)
	if state.ValidationDisabled.Answer == evidence.Yes {
		document.Findings = append(document.Findings, finding("shim-validation-off", "shim checks nothing that it starts", fixes[trust.MendValidation]))
	}
	for _, text := range state.Disagreements {
		document.Findings = append(document.Findings, finding("copies-differ", text, ""))
	}
}

func describeKernel(document *statusDocument, status kernel.Status) {
	d := &document.Kernel
	d.Release, d.Distribution, d.Lockdown = known(status.Release), known(status.Distribution.ID), known(status.Lockdown)
	d.ModulesDisabled, d.Tainted, d.SigEnforce = boolOf(status.ModulesDisabled), status.Taint, boolOf(status.SigEnforce)
	switch {
	case status.Signatures.Answer == evidence.No:
		d.ModuleSignatures = known("unsupported")
	case status.Enforced.Answer == evidence.Yes:
		d.ModuleSignatures = known("enforced")
	case status.Enforced.Answer == evidence.No:
		d.ModuleSignatures = known("permissive")
	default:
		document.missing(status.Enforced.Source, errors.New(status.Enforced.Evidence))
	}
}

func (s *session) describeAlgorithms(document *statusDocument) {
	algorithms, err := kernel.ReadAlgorithms(s.machine.Files)
	if err != nil {
		document.missing("/proc/crypto", err)
		return
	}
	registered := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return algorithms.Registered(name).Answer != evidence.Yes })
	}
	document.Kernel.HashAlgorithms, document.Kernel.KeyAlgorithms = registered(kernel.Hashes), registered(kernel.KeyAlgorithms)
}

// describePlatform tells a proof from an expectation.
func (s *session) describePlatform(document *statusDocument, rings []keyring.Ring, status kernel.Status, prove bool) {
	d := &document.Platform
	reading := trust.Consulted(rings, status, keyring.Platform)
	d.Evidence = reading.Evidence
	switch expected := status.Distribution.Expect().Platform; {
	case reading.Answer != evidence.Unknown: // nothing is consulted: the kernel checks no modules
		d.Consulted, d.Basis = boolOf(reading.Answer), known("configured")
	case expected != evidence.Unknown && (len(rings) == 0 || keyring.Named(rings, keyring.Platform) != nil):
		d.Consulted, d.Basis = boolOf(expected), known("expected")
	}
	switch {
	case !prove:
		return
	case reading.Answer != evidence.Unknown:
		s.warn("no load probe was made: " + reading.Evidence)
		return
	}
	found, _ := s.machine.Certificates() // what is missing leaves fewer to ask about
	proven := s.provePlatform("sha256", found, rings, status)
	if proven.Answer == evidence.Unknown {
		document.missing("load probe for .platform", errors.New(proven.Evidence))
		return
	}
	d.Consulted, d.Basis, d.Evidence = boolOf(proven.Answer), known("proven"), proven.Evidence
	if proven.Answer == evidence.Yes {
		document.Consulted = append(document.Consulted, keyring.Platform)
	}
}

// words is "yes, proven", "no, expected" or "not known".
func (d platformDoc) words() string {
	if d.Basis == nil {
		return notKnown
	}
	return yesNo(d.Consulted) + ", " + *d.Basis
}

func (s *session) sayStatus(document *statusDocument) {
	if s.json || s.quiet {
		return
	}
	k, m := document.Kernel, document.MOK
	rows := [][]string{
		{"kernel", text(k.Release)}, {"distribution", text(k.Distribution)},
		{"EFI", yesNo(document.EFI)}, {"Secure Boot", yesNo(document.SecureBoot)}, {"setup mode", yesNo(document.SetupMode)},
		{"booted through shim", yesNo(document.Shim)}, {"shim's validation off", yesNo(m.ValidationDisabled)}, {"shim ignores db", yesNo(m.DBIgnored)},
		{"MOK list trusted", yesNo(m.TrustedByKernel)}, {"keys in shim's list", number(m.Enrolled)}, {"pending", orNone(m.Pending)},
		{"module signatures", text(k.ModuleSignatures)}, {"sig_enforce", yesNo(k.SigEnforce)}, {"lockdown", text(k.Lockdown)},
		{"modules disabled", yesNo(k.ModulesDisabled)}, {"tainted", taint(k.Tainted)}, {"hashes", orNone(k.HashAlgorithms)}, {"key algorithms", orNone(k.KeyAlgorithms)}, {"keyrings consulted", orNone(document.Consulted)}, {".platform consulted", document.Platform.words()},
	}
	_ = table(s.out, nil, rows)
	s.sayAnswers(slices.DeleteFunc(slices.Clone(m.Answers), func(a answerDocument) bool { return troubled[a.Outcome] != "" })) // the others are findings
	s.sayFindings(document.Findings)
}

func (s *session) sayFindings(findings []findingDoc) {
	for _, f := range findings {
		s.say("finding: %s", printable.Text(f.Message))
		if f.Fix != nil {
			s.sayFix(*f.Fix)
		}
	}
}

// known gives nil for the empty text.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

const notKnown = "not known"

func text(s *string) string {
	if s == nil {
		return notKnown
	}
	return *s
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return notKnown
	case *b:
		return "yes"
	}
	return "no"
}

func number(n *int) string {
	if n == nil {
		return notKnown
	}
	return fmt.Sprint(*n)
}

// orNone words a list; nil is one that could not be seen.
func orNone(list []string) string {
	switch {
	case list == nil:
		return notKnown
	case len(list) == 0:
		return "none"
	}
	return strings.Join(list, ", ")
}

// taint names the bits that have to do with modules.
func taint(bits *uint64) string {
	if bits == nil {
		return notKnown
	}
	var names []string
	for _, t := range []struct {
		bit  uint
		name string
	}{{0, "proprietary module"}, {1, "module forced"}, {12, "out-of-tree module"}, {13, "unsigned module"}} {
		if *bits&(1<<t.bit) != 0 {
			names = append(names, t.name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprint(*bits)
	}
	return fmt.Sprintf("%d (%s)", *bits, strings.Join(names, ", "))
}
