package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/doctor"
	"kkeys/internal/printable"
	"kkeys/kernel"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

type doctorDocument struct {
	envelope
	Subjects []diagnosisDocument `json:"subjects"`
	Machine  []findingDoc        `json:"machine"` // what is wrong with the machine as a whole, as `status` has it
	Resorts  []resortDocument    `json:"last_resorts"`

	logRead bool
	logFile string
}

// resortDocument is what can be switched off instead, and what that costs.
type resortDocument struct {
	Command *string `json:"command"` // null where a text must be edited or a key pressed
	Price   string  `json:"price"`
}

type diagnosisDocument struct {
	Name     string          `json:"name"`
	Path     *string         `json:"path"`
	Verdict  *trust.Value    `json:"verdict"` // of the module's signature, as `trusted` has it
	Findings []causeDocument `json:"findings"`
	// Doubt is why it cannot be told whether it loads, where no cause was found; null where it can, or one was.
	Doubt *string `json:"doubt"`
}

type causeDocument struct {
	ID        string        `json:"id"`
	Cause     string        `json:"cause"`
	Certainty string        `json:"certainty"` // "proven", "likely", "possible"
	Evidence  []string      `json:"evidence"`
	Concerns  string        `json:"concerns"`
	Fixes     []fixDocument `json:"fixes"`
	NoWay     *string       `json:"no_way"` // why nothing is known to mend it here
	Reference *string       `json:"reference"`
	Harmless  bool          `json:"harmless"` // it keeps nothing from loading
}

// fixDocument is one way out: commands in their order, and what to know before.
type fixDocument struct {
	Commands []string `json:"commands"`
	Note     *string  `json:"note"`
}

func (s *session) doctor() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "why a module does not load, and the command that mends it",
		ArgsUsage: "[MODULE|NAME…]",
		Description: "Looks at a module (a file, or a name as for modprobe), at who signed it, at what the kernel trusts, and at what the kernel's log says,\n" +
			"and names each cause with its evidence, how certain it is, and the commands that mend it here. Without an argument: at the machine,\n" +
			"and at the modules that the log names.\n\n" +
			"Exit code 0: nothing is wrong; 1: a cause was found; 3: something could not be seen and no cause was found.",
		UsageText: "   kkeys doctor wacom\n   kkeys doctor ./driver.ko --log dmesg.txt\n   kkeys doctor --error \"modprobe: ERROR: could not insert 'nvidia': Key was rejected by service\"",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "log", Usage: "read the kernel's log from `FILE` (dmesg, journalctl), - for standard input"},
			&cli.StringFlag{Name: "error", Usage: "the `LINE` that modprobe or insmod has written"},
			&cli.BoolFlag{Name: "prove", Usage: "ask the kernel with load probes: modules that can never load (root)", DisableDefaultText: true},
			&cli.BoolFlag{Name: "report", Usage: "write a report in Markdown for an issue, without host name and serial numbers", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			document := &doctorDocument{Subjects: []diagnosisDocument{}, Machine: []findingDoc{}, Resorts: []resortDocument{}}
			code, err := s.runDoctor(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runDoctor(c *cli.Context, document *doctorDocument) (int, error) {
	if err := s.reportAlone(c.Bool("report")); err != nil {
		return exitYes, err
	}
	said, read, err := s.saidBy(c, &document.envelope)
	if err != nil {
		return exitYes, err
	}
	document.logRead, document.logFile = read, c.String("log")
	names := c.Args().Slice()
	for _, name := range names {
		switch {
		case kernel.ModuleName(name) == "":
			return exitYes, usage("%q is no name of a module", name)
		case strings.Contains(name, ":") && !isFile(name):
			return exitYes, usage("%q is no name of a module; `modprobe -R` tells which one is for a device", name)
		}
	}
	names = slices.Compact(names)
	if len(names) == 0 {
		var left int
		if names, left = namedIn(said); left > 0 {
			document.missing("modules", fmt.Errorf("%d more that the log names, before these; name them to have them looked at", left))
		}
		s.machineFindings(said, document)
	}
	common := &trustedDocument{}
	p := proof{wanted: c.Bool("prove"), hash: "sha256"}
	facts := s.gather(p, common)
	keys := s.keyPairs(facts, &common.envelope)
	var all []doctor.Facts
	var failures []error
	for _, name := range names {
		f, err := s.factsOf(name, p, facts, common)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		f.Said, f.LogRead, f.Keys = said, read, keys
		f.Failure = failureOf(said, f)
		all = append(all, f)
	}
	s.copies(all, &common.envelope)
	for _, t := range said { // an answer to something else would be none
		if t.Where == givenError && t.Module != "" && len(all) > 0 && !slices.ContainsFunc(all, func(f doctor.Facts) bool { return f.Is(t.Module) }) {
			document.missing(givenError, fmt.Errorf("it names %s, which was not asked about", kernel.ModuleName(t.Module)))
		}
	}
	for _, f := range all {
		document.Subjects = append(document.Subjects, s.describe(f, doctor.Diagnose(f)))
	}
	document.also(common.NotSeen)
	s.resorts(facts, document)
	if c.Bool("report") {
		return s.sayReport(document, facts), several(failures)
	}
	if len(failures) > 0 && len(document.Subjects)+len(document.Machine) == 0 {
		return exitYes, several(failures)
	}
	return s.sayDiagnosis(document), several(failures)
}

// saidBy reads what was said: the log, and the line of the program that failed; read tells whether there was a log.
func (s *session) saidBy(c *cli.Context, e *envelope) (said []doctor.Said, read bool, err error) {
	var lines iter.Seq[kernel.Line] = func(func(kernel.Line) bool) {}
	where := "kernel log"
	read = true
	switch path := c.String("log"); {
	case path == "" && c.IsSet("log"):
		return nil, false, usage("--log: an empty name; - is standard input")
	case path == "-":
		data, err := io.ReadAll(io.LimitReader(s.in, modsig.MaxModule+1))
		if err == nil && len(data) > modsig.MaxModule {
			err = fmt.Errorf("more than %d bytes", modsig.MaxModule)
		}
		if err != nil {
			return nil, false, failed("--log: %w", err)
		}
		lines, where = kernel.Lines(string(data)), "standard input"
	case path != "":
		data, err := machine.ReadFile(path)
		if err != nil {
			return nil, false, failed("--log: %w", err)
		}
		lines, where = kernel.Lines(string(data)), path
	case !s.elsewhere:
		all, err := kernel.ReadWholeLog()
		if err != nil {
			e.missing("kernel log", restricted(err))
			read = false
		}
		lines = slices.Values(all)
	default:
		read = false
	}
	for line := range lines {
		if beginsBoot(line.Message) { // what came before is another boot's
			said = nil
		}
		// Words alone may be any program's.
		if trouble, ok := kernel.ReadTrouble(line.Message); ok && (trouble.Kind != kernel.SaidNotInserted || trouble.Module != "") {
			said = append(said, doctor.Said{Trouble: trouble, Line: line.Message, Where: fmt.Sprintf("%s, line %d", where, line.Number)})
		}
	}
	if text := c.String("error"); c.IsSet("error") {
		before := len(said)
		for line := range kernel.Lines(text) {
			if trouble, ok := kernel.ReadTrouble(line.Message); ok {
				said = append(said, doctor.Said{Trouble: trouble, Line: line.Message, Where: givenError})
			}
		}
		if len(said) == before {
			return nil, false, usage("--error: %.200q is nothing that is known of modprobe, insmod or the kernel", text)
		}
	}
	return said, read, nil
}

// beginsBoot tells of a line that it is the first of a boot: the kernel's own (init/version.c, linux_banner), or journalctl's between two.
func beginsBoot(line string) bool {
	return strings.HasPrefix(line, "Linux version ") || strings.HasPrefix(line, "-- Boot ") || line == "-- Reboot --"
}

// givenError is where a line stands that the user gave.
const givenError = "--error"

// restricted tells how to come by the log where only root may read it (kernel.dmesg_restrict, CAP_SYSLOG).
func restricted(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the sysctl kernel.dmesg_restrict leaves it to root: run `sudo dmesg >log` and give --log log, or run kkeys as root; %w", err)
	}
	return err
}

// namesMax is how many modules that a log names are looked at: the last ones.
const namesMax = 20

// namedIn are the modules that lines name in trouble; the files that they name, where those are there.
func namedIn(said []doctor.Said) (names []string, left int) {
	seen := map[string]bool{}
	for _, t := range slices.Backward(said) {
		name := kernel.ModuleName(t.Module)
		if info, err := os.Stat(t.Module); machine.IsModuleName(t.Module) && err == nil && info.Mode().IsRegular() {
			name = t.Module
		}
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	left = max(0, len(names)-namesMax)
	names = names[:len(names)-left]
	slices.Reverse(names)
	return names, left
}

// failureOf is what loading the module gave last.
func failureOf(said []doctor.Said, f doctor.Facts) (errno kernel.Errno) {
	for _, t := range said {
		if t.Kind == kernel.SaidNotInserted && (t.Module == "" || f.Is(t.Module)) {
			errno = t.Errno
		}
	}
	return errno
}

// isFile tells a file's name from a module's.
func isFile(arg string) bool { return strings.ContainsRune(arg, '/') || machine.IsModuleName(arg) }

func (s *session) sayDiagnosis(document *doctorDocument) int {
	if len(document.Machine)+len(document.Subjects) == 0 {
		s.say("nothing is wrong that can be seen, and %s; name the module that does not load", map[bool]string{true: "the log names no module", false: "no log was read"}[document.logRead])
	}
	for _, f := range document.Machine {
		s.say("%s: %s", f.ID, printable.Text(f.Message))
		if f.Fix != nil {
			s.say("  fix: %s", pasted(*f.Fix))
		}
	}
	for _, d := range document.Subjects {
		if d.causes() {
			s.say("%s%s", printable.Text(d.Name), at(d.Path))
		} else {
			s.say("%s%s: nothing is wrong that can be seen", printable.Text(d.Name), at(d.Path))
		}
		if d.Doubt != nil {
			s.say("  whether it loads cannot be told: %s", printable.Text(*d.Doubt))
		}
		for _, f := range d.Findings {
			s.sayFinding(f)
		}
	}
	if len(document.Resorts) > 0 {
		s.say("what people switch off instead, and what it costs:")
	}
	for _, r := range document.Resorts {
		if r.Command != nil {
			s.say("  %s", pasted(*r.Command))
		}
		s.say("    %s", printable.Text(r.Price))
	}
	return document.code()
}

func (s *session) sayFinding(f causeDocument) {
	how := s.paint(map[string]string{"proven": red, "likely": yellow}[f.Certainty], f.Certainty)
	if f.Harmless {
		how = "harmless"
	}
	s.say("  %s: %s", how, printable.Text(f.Cause))
	for _, e := range f.Evidence {
		s.say("    seen: %s", printable.Text(e))
	}
	s.say("    for: %s%s", f.Concerns, about(f.Reference))
	for i, fix := range f.Fixes {
		label := map[bool]string{true: "fix", false: "or"}[i == 0]
		for _, command := range fix.Commands {
			s.say("    %s: %s", label, pasted(command))
			label = "then"
		}
		if fix.Note != nil {
			s.say("      %s", pasted(*fix.Note))
		}
	}
	if f.NoWay != nil {
		s.say("    no way out is known here: %s", printable.Text(*f.NoWay))
	}
}

// about words a reference.
func about(reference *string) string {
	if reference == nil {
		return ""
	}
	return " (" + printable.Text(*reference) + ")"
}

// causes tells whether something was found that keeps the module from loading.
func (d *diagnosisDocument) causes() bool {
	return slices.ContainsFunc(d.Findings, func(f causeDocument) bool { return !f.Harmless })
}

// code is the exit code: a cause, or, where none was found, that it may be in what was not seen.
func (d *doctorDocument) code() int {
	switch {
	case len(d.Machine) > 0, slices.ContainsFunc(d.Subjects, func(s diagnosisDocument) bool { return s.causes() }):
		return exitNo
	case len(d.NotSeen) > 0, slices.ContainsFunc(d.Subjects, func(s diagnosisDocument) bool { return s.Doubt != nil }):
		return exitUnsure
	}
	return exitYes
}

func at(path *string) string {
	if path == nil {
		return ""
	}
	return " (" + printable.Text(*path) + ")"
}
