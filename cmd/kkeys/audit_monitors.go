package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"kkeys/audit"
	"kkeys/internal/printable"
)

// The states of a Nagios plugin, which are its exit codes too (monitoring-plugins.org, guidelines, 2.3).
var nagiosStates = []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

const (
	nagiosOK = iota
	nagiosWarning
	nagiosCritical
	nagiosUnknown
)

// state is the worst of the checks: a failure of severity high or critical is critical, any other finding a warning.
func (d *auditDocument) state() int {
	state := nagiosOK
	if d.code() == exitUnsure {
		state = nagiosUnknown
	}
	for _, c := range d.report.Checks {
		switch {
		case c.Finding() && c.Result == audit.Fail && (c.Severity == audit.High || c.Severity == audit.Critical):
			return nagiosCritical
		case c.Finding():
			state = nagiosWarning
		}
	}
	return state
}

// nagios is one line with the ids of findings and with performance data behind the bar, then a line for each check that does not pass: the first one is
// what a pager shows and what NRPE keeps whole.
func nagios(d *auditDocument) string {
	var found, long []string
	for _, c := range d.report.Checks {
		line := c.ID + " " + string(c.Result)
		if c.Waived {
			line += " (waived)"
		}
		if c.Result == audit.Pass || c.Result == audit.NotApplicable {
			continue
		}
		long = append(long, plugin(fmt.Sprintf("%s, %s: %s: %s", line, c.Severity, c.Title, c.Evidence)))
		if c.Finding() {
			found = append(found, c.ID)
		}
	}
	text := "no finding"
	switch {
	case len(found) > 0:
		text = count(len(found), "finding", "findings") + ": " + strings.Join(found, ", ")
	case d.state() == nagiosUnknown:
		text = fmt.Sprintf("no finding, %s not known", count(d.Summary["unknown"], "check is", "checks are"))
	}
	lines := append([]string{fmt.Sprintf("KKEYS %s - %s | %s", nagiosStates[d.state()], text, d.performance())}, long...)
	return strings.Join(lines, "\n") + "\n"
}

// drifted counts the changes since the baseline that are findings and not waived; false where nothing was compared.
func (d *auditDocument) drifted() (n int, compared bool) {
	for _, c := range d.report.Checks {
		if c.ID != audit.DriftID {
			continue
		}
		compared = d.facts.Baseline != nil && c.Ran()
		for _, s := range c.Subjects {
			if s.Result.Finding() && !s.Waived {
				n++
			}
		}
	}
	return n, compared
}

// performance are numbers with the threshold of a warning and that of a critical state, as in `critical=0;;0`.
func (d *auditDocument) performance() string {
	words := []string{}
	for _, severity := range audit.Severities {
		words = append(words, fmt.Sprintf("%s=%d;0;;0", severity, d.Findings[string(severity)]))
	}
	words = append(words, fmt.Sprintf("unknown=%d;;;0", d.Summary["unknown"]), fmt.Sprintf("waived=%d;;;0", d.Summary["waived"]))
	if n, compared := d.drifted(); compared {
		words = append(words, fmt.Sprintf("drift=%d;;0;0", n))
	}
	untrusted, verified := 0, false
	for _, tree := range d.facts.Trees {
		verified = verified || tree.Err == nil
		for _, m := range tree.Modules {
			if state := m.Counted(d.facts, d.policy); state != "trusted" && state != "unknown" {
				untrusted++
			}
		}
	}
	if verified {
		words = append(words, fmt.Sprintf("untrusted=%d;;0;0", untrusted))
	}
	return strings.Join(words, " ")
}

// plugin makes text fit for Nagios, which takes a bar for the beginning of performance data.
func plugin(text string) string { return strings.ReplaceAll(printable.Text(text), "|", "/") }

// sce is what OpenSCAP keeps of a script: the evidence of each check.
func sce(d *auditDocument) string {
	var b strings.Builder
	for _, c := range d.report.Checks {
		fmt.Fprintf(&b, "%s %s: %s: %s\n", c.ID, c.Result, c.Title, printable.Text(c.Evidence))
	}
	return b.String()
}

// The results of a script for OpenSCAP's script check engine (SCE), which are its exit codes.
const (
	scePass = 101 + iota
	sceFail
	sceError
	sceUnknown
	sceNotApplicable
	sceNotChecked
)

// verdict is the worst of the checks.
func (d *auditDocument) verdict() int {
	ran, applies := false, false
	for _, c := range d.report.Checks {
		ran = ran || c.Ran()
		applies = applies || c.Result != audit.NotApplicable
	}
	switch code := d.code(); {
	case code == exitNo:
		return sceFail
	case code == exitUnsure:
		return sceUnknown
	case !ran:
		return sceNotChecked
	case !applies:
		return sceNotApplicable
	}
	return scePass
}

// family turns the exit code into the one of the format's family. A run without checks has failed.
func (s *session) family(format string, document *auditDocument) {
	failed := len(document.Checks) == 0 || document.Error != nil
	s.unwritten = map[string]int{"nagios": nagiosUnknown, "sce": sceError}[format]
	switch {
	case format == "nagios" && failed:
		s.code = nagiosUnknown
	case format == "nagios":
		s.code = document.state()
	case format == "sce" && failed:
		s.code = sceError
	case format == "sce":
		s.code = document.verdict()
	}
}

// monitorsFailure says that the audit failed in the form that was asked for; what reads it looks nowhere else.
func (s *session) monitorsFailure(format, output string, err error) {
	switch format {
	case "nagios":
		s.write("KKEYS UNKNOWN - " + firstLine(plugin(err.Error())) + "\n")
	case "sce":
		s.write("error: " + printable.Text(err.Error()) + "\n")
	case "prometheus":
		if output != "" && filepath.Ext(output) != metricsSuffix {
			return
		}
		if werr := s.sayMetrics(failureMetrics(s.now()), output); werr != nil {
			s.warn(werr.Error())
		}
	}
}

// firstLine bounds the line of a failure: 1,000 bytes, of whole characters.
func firstLine(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// asked is the value of a flag on the command line, the last one, where that could not be parsed or was not yet.
func (s *session) asked(flag string) (asked string) {
	for i, arg := range s.args {
		name, value, inline := strings.Cut(arg, "=")
		switch {
		case strings.TrimLeft(name, "-") != flag || !strings.HasPrefix(arg, "-"):
		case inline:
			asked = value
		case i+1 < len(s.args):
			asked = s.args[i+1]
		}
	}
	return asked
}
