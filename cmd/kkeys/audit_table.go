package main

import (
	"fmt"
	"strings"

	"kkeys/audit"
	"kkeys/internal/printable"
)

// resultColors are those of results on a terminal.
var resultColors = map[audit.Result]string{audit.Fail: red, audit.Warn: yellow, audit.Unknown: yellow, audit.Pass: green}

// sayAudit writes a line for each check, and below it one for each thing that it is about; then the counts.
func (s *session) sayAudit(document *auditDocument) {
	for _, c := range document.report.Checks {
		word := string(c.Result)
		if c.Waived {
			word += ", waived"
		}
		s.say("%s  %-10s  %-8s  %s%s", s.paint(resultColors[c.Result], fmt.Sprintf("%-14s", word)), c.ID, c.Severity, c.Title, s.below(c))
		for _, subject := range c.Subjects {
			line := string(subject.Result)
			if subject.Waived {
				line += ", waived"
			}
			if subject.Name != "" {
				line += ": " + subject.Name
			}
			s.say("    %s", printable.Text(line+": "+subject.Evidence))
		}
	}
	s.say("%s", document.counted())
}

// below is the evidence of a check that is about nothing in particular.
func (s *session) below(c audit.Check) string {
	if len(c.Subjects) > 0 {
		return ""
	}
	return ": " + printable.Text(c.Evidence)
}

// counted is the last line.
func (d *auditDocument) counted() string {
	var words []string
	for _, r := range audit.Results {
		if n := d.Summary[strings.ReplaceAll(string(r), "-", "_")]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(r), "-", " ")))
		}
	}
	if n := d.Summary["waived"]; n > 0 {
		words = append(words, fmt.Sprintf("%d waived", n))
	}
	return fmt.Sprintf("%s: %s", count(len(d.Checks), "check", "checks"), strings.Join(words, ", "))
}
