package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/audit"
	"kkeys/machine"
)

type auditDocument struct {
	envelope
	File     *string          `json:"file,omitempty"`     // the recording, with --snapshots
	Recorded *time.Time       `json:"recorded,omitempty"` // and when it was made
	Host     *string          `json:"host"`
	Time     *time.Time       `json:"time"`
	Kernel   *string          `json:"kernel"`
	Policy   *string          `json:"policy"`   // null: the one that is built in
	Baseline *string          `json:"baseline"` // null: none was given
	Checks   []checkDocument  `json:"checks"`
	Drift    []changeDocument `json:"drift"`
	Summary  map[string]int   `json:"summary"`  // how many checks have each result, and how many are waived
	Findings map[string]int   `json:"findings"` // how many checks of each severity are findings that nobody waives

	facts  audit.Facts
	report audit.Report
	policy audit.Policy
}

type checkDocument struct {
	ID         string          `json:"id"`
	Title      string          `json:"title"`
	Result     audit.Result    `json:"result"`
	Severity   audit.Severity  `json:"severity"`
	Waived     bool            `json:"waived"`
	Evidence   string          `json:"evidence"`
	References []string        `json:"references"`
	Subjects   []aboutDocument `json:"subjects"`
}

type aboutDocument struct {
	Subject  *string      `json:"subject"` // null: the machine as a whole
	Result   audit.Result `json:"result"`
	Waived   bool         `json:"waived"`
	Evidence string       `json:"evidence"`
}

type changeDocument struct {
	What  string  `json:"what"`
	Where string  `json:"where"` // the store, or the check
	KeyID *string `json:"key_id"`
	Name  *string `json:"name"`
	Was   *string `json:"was"`
	Is    *string `json:"is"`
}

// auditing is what one run of `kkeys audit` was asked for.
type auditing struct {
	format     string
	policy     audit.Policy
	policyFile string
	baseline   *audit.Baseline
	baseFile   string
	record     string
	output     string
	kernels    []string
	only       []string
}

func (s *session) audit() *cli.Command {
	return &cli.Command{
		Name:  "audit",
		Usage: "checks over the machine, or over many recorded ones, for scripts and monitors",
		Description: "Makes each check of docs/audit.md: its result is pass, fail, warn, unknown or not-applicable, with severity, evidence and the\n" +
			"benchmarks that ask for the same. A policy says which checks are made, which keys are allowed, and which findings are waived until\n" +
			"when; a baseline what the machine trusted before, so that every key that came or went is a finding.\n\n" +
			"Exit code 0: no finding; 1: a check failed or warns; 3: one is unknown, and no finding; 4: a policy or a baseline cannot be read.\n" +
			"With --format nagios: 0 OK, 1 WARNING, 2 CRITICAL (a check of severity high or critical failed), 3 UNKNOWN, also for every failure.\n" +
			"With --format sce: 101 pass, 102 fail, 103 error, 104 unknown, 105 not applicable, 106 not checked. --record-baseline: 0 written, 3\n" +
			"written without what was not seen.",
		UsageText: "   sudo kkeys audit\n   sudo kkeys audit --policy /etc/kkeys/policy.toml --baseline /var/lib/kkeys/baseline.json --json\n" +
			"   sudo kkeys audit --format prometheus --output /var/lib/prometheus/node-exporter/kkeys.prom\n   kkeys audit --snapshots machines --json\n",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "policy", Usage: "hold the machine against the policy in `FILE` (TOML)"},
			&cli.StringFlag{Name: "baseline", Usage: "report what has changed since the baseline in `FILE`"},
			&cli.StringFlag{Name: "record-baseline", Usage: "write what the machine trusts now to `FILE`, in place of what is there"},
			&cli.StringFlag{Name: "format", Usage: "`FORM` of what is written: table, json, nagios, prometheus or sce", Value: "table"},
			&cli.StringFlag{Name: "output", Usage: "with --format prometheus: write `FILE`, named *.prom, whole or not at all, for the textfile collector of node_exporter"},
			&cli.StringSliceFlag{Name: "check", Usage: "make only the check of this `ID`; may be repeated"},
			&cli.StringSliceFlag{Name: "kernel", Usage: "also the installed modules of the kernel of this `RELEASE`; may be repeated"},
			&cli.StringFlag{Name: "snapshots", Usage: "audit each machine recorded in `DIR` and below it: *.kks"},
		},
		Action: func(c *cli.Context) error {
			document := newAuditDocument()
			s.compact = c.IsSet("snapshots")
			a, err := s.auditing(c)
			if err != nil {
				return s.finishAudit(document, a, exitYes, err)
			}
			if c.IsSet("snapshots") {
				return s.runFleet(c.String("snapshots"), a)
			}
			code, err := s.runAudit(document, a)
			return s.finishAudit(document, a, code, err)
		},
	}
}

func newAuditDocument() *auditDocument {
	return &auditDocument{Checks: []checkDocument{}, Drift: []changeDocument{}, Summary: map[string]int{}, Findings: map[string]int{}}
}

// metricsSuffix is that of the files which node_exporter reads.
const metricsSuffix = ".prom"

// formats are the forms of an audit.
var formats = []string{"table", "json", "nagios", "prometheus", "sce"}

// auditing reads the flags, and what they name.
func (s *session) auditing(c *cli.Context) (a auditing, err error) {
	a = auditing{
		format: c.String("format"), policyFile: c.String("policy"), baseFile: c.String("baseline"), record: c.String("record-baseline"), output: c.String("output"),
		kernels: c.StringSlice("kernel"), only: c.StringSlice("check"), policy: audit.DefaultPolicy(),
	}
	if s.json && !c.IsSet("format") {
		a.format = "json"
	}
	if !slices.Contains(formats, a.format) {
		return a, usage("--format %q: %s", a.format, strings.Join(formats, ", "))
	}
	asked := s.json // what is wrong is told in JSON then
	s.json = asked || a.format == "json"
	for _, id := range a.only {
		if !audit.IsCheck(id) {
			return a, usage("--check: there is no check %q", id)
		}
	}
	switch fleet := c.IsSet("snapshots"); {
	case c.NArg() > 0:
		return a, usage("audit takes no arguments")
	case asked && a.format != "json":
		return a, usage("--json and --format %s exclude each other", a.format)
	case c.IsSet("output") && (a.format != "prometheus" || filepath.Ext(a.output) != metricsSuffix):
		return a, usage("--output is for --format prometheus, and the name must end in .prom: node_exporter reads no others")
	case fleet && (s.elsewhere || c.IsSet("baseline") || c.IsSet("record-baseline") || len(a.kernels) > 0):
		return a, usage("--snapshots goes with none of --root, --snapshot, --baseline, --record-baseline, --kernel")
	case fleet && a.format != "table" && a.format != "json":
		return a, usage("--snapshots goes with --format table and json")
	case c.IsSet("policy") && a.policyFile == "", c.IsSet("baseline") && a.baseFile == "", c.IsSet("record-baseline") && a.record == "":
		return a, usage("the name of a file is empty")
	case a.record != "" && (len(a.only) > 0 || a.baseFile != ""):
		return a, usage("--record-baseline goes with neither --check nor --baseline: a baseline is of everything")
	case a.record != "" && (a.format == "nagios" || a.format == "sce"):
		return a, usage("--record-baseline does not go with --format %s, whose exit codes tell of checks", a.format)
	}
	if a.policyFile != "" {
		if a.policy, err = readPolicy(a.policyFile); err != nil {
			return a, failed("--policy: %w", err)
		}
	}
	if a.baseFile != "" {
		if a.baseline, err = readBaseline(a.baseFile); err != nil {
			return a, failed("--baseline: %w", err)
		}
	}
	return a, nil
}

// runAudit fills in the document and writes it in its form; JSON is written by finish.
func (s *session) runAudit(document *auditDocument, a auditing) (int, error) {
	s.auditInto(document, a)
	s.idleWaivers(document)
	code := document.code()
	if a.record != "" {
		baseline, unseen := audit.Record(document.facts, document.report)
		text, err := encodeBaseline(baseline)
		if err == nil {
			err = machine.ReplaceFile(a.record, text, 0o600)
		}
		if err != nil {
			return exitYes, failed("--record-baseline: %w", err)
		}
		if code = exitYes; len(unseen) > 0 {
			code = exitUnsure
		}
		if a.format == "table" {
			s.sayRecorded(a.record, baseline)
			return code, nil
		}
	}
	switch {
	case s.quiet && a.output == "":
		return code, nil
	case a.format == "table":
		s.sayAudit(document)
		return code, nil
	case a.format == "nagios":
		s.write(nagios(document))
	case a.format == "sce":
		s.write(sce(document))
	case a.format == "prometheus":
		return code, s.sayMetrics(metrics(document), a.output)
	}
	return code, nil
}

func (s *session) write(text string) { fmt.Fprint(s.out, text) } // run looks at what could not be written

// auditInto audits the machine.
func (s *session) auditInto(document *auditDocument, a auditing) {
	facts := s.auditFacts(a, &document.envelope)
	facts.Baseline = a.baseline
	document.facts, document.policy, document.report = facts, a.policy, audit.Run(facts, a.policy, a.only...)
	document.Host, document.Time, document.Kernel = known(facts.Host), &facts.Now, known(facts.Kernel.Release)
	document.Policy, document.Baseline = known(a.policyFile), known(a.baseFile)
	for _, r := range audit.Results {
		document.Summary[strings.ReplaceAll(string(r), "-", "_")] = 0
	}
	document.Summary["waived"] = 0
	for _, severity := range audit.Severities {
		document.Findings[string(severity)] = 0
	}
	for _, c := range document.report.Checks {
		document.Checks = append(document.Checks, describeCheck(c))
		document.Summary[strings.ReplaceAll(string(c.Result), "-", "_")]++
		if c.Waived {
			document.Summary["waived"]++
		}
		if c.Finding() {
			document.Findings[string(c.Severity)]++
		}
	}
	for _, change := range document.report.Drift {
		document.Drift = append(document.Drift, changeDocument{change.What, change.Where, known(change.KeyID), known(change.Name), known(change.Was), known(change.Is)})
	}
}

// idleWaivers warns of those that waive nothing on this machine, as when the subject is misspelt or unknown. Of a check that was not made nothing can be said.
func (s *session) idleWaivers(d *auditDocument) {
	for _, w := range d.policy.Waivers {
		idle := func(c audit.Check) bool {
			return c.ID == w.Check && c.Ran() && !slices.ContainsFunc(c.Subjects, func(s audit.Subject) bool { return s.Waived && (s.Name == w.Subject || s.Also == w.Subject) })
		}
		if w.Subject != "" && !w.Expired(d.facts.Now) && slices.ContainsFunc(d.report.Checks, idle) {
			s.warn(fmt.Sprintf("the policy's waiver of %s waives nothing here: there is no finding of that name", w))
		}
	}
}

func describeCheck(c audit.Check) checkDocument {
	d := checkDocument{c.ID, c.Title, c.Result, c.Severity, c.Waived, c.Evidence, append([]string{}, c.References...), []aboutDocument{}}
	for _, s := range c.Subjects {
		d.Subjects = append(d.Subjects, aboutDocument{known(s.Name), s.Result, s.Waived, s.Evidence})
	}
	return d
}

// code is the contract's exit code for what the checks say.
func (d *auditDocument) code() int {
	code := exitYes
	for _, c := range d.report.Checks {
		switch {
		case c.Finding():
			code = worse(code, exitNo)
		case c.Result == audit.Unknown:
			code = worse(code, exitUnsure)
		}
	}
	return code
}

// finishAudit ends the run, with the exit code of the format's family. A monitor is told of a failure in its own form too.
func (s *session) finishAudit(document *auditDocument, a auditing, code int, err error) error {
	done := s.finish(document, &document.envelope, code, err)
	file := a.format == "prometheus" && a.output != "" // which is written under --quiet too
	if err != nil && !errors.Is(err, errOutput) && (file || !s.quiet && !s.json) && (a.format != "prometheus" || codeOf(err) != exitUsage) {
		s.monitorsFailure(a.format, a.output, err)
	}
	s.family(a.format, document)
	return done
}
