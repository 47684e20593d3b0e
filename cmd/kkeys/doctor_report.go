package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kkeys/doctor"
	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/trust"
)

// resorts are offered only where a signature is what is missing, and after every other way.
func (s *session) resorts(facts trust.Facts, document *doctorDocument) {
	about := func(d diagnosisDocument) bool {
		return slices.ContainsFunc(d.Findings, func(f causeDocument) bool { return doctor.Tolerated(f.ID) })
	}
	if !slices.ContainsFunc(document.Subjects, about) {
		return
	}
	secureBoot, shim := evidence.Unknown, evidence.Unknown
	if facts.Firmware != nil {
		secureBoot, shim = facts.Firmware.SecureBoot.Answer, facts.Firmware.Shim.Answer
	}
	for _, r := range doctor.LastResorts(facts.Kernel, secureBoot, shim) {
		command := map[doctor.Action]string{doctor.ValidationOff: "sudo kkeys mok validation off", doctor.SecureBootOff: "systemctl reboot --firmware-setup"}[r.Do]
		document.Resorts = append(document.Resorts, resortDocument{known(command), r.Price})
	}
}

// serial numbers tell one certificate, and so one machine, from others.
var serialNumber = regexp.MustCompile(`serial number [0-9a-f]+`)

// home folders have people's names.
var homeFolder = regexp.MustCompile(`/home/[^/\s']+`)

// redacted leaves out what tells whose machine it is.
func (s *session) redacted(text string) string {
	if name := s.machine.Hostname(); name != "" {
		text = strings.ReplaceAll(text, name, "HOST")
	}
	return homeFolder.ReplaceAllString(serialNumber.ReplaceAllString(text, "serial number …"), "/home/USER")
}

// sayReport writes Markdown that can be pasted into an issue.
func (s *session) sayReport(document *doctorDocument, facts trust.Facts) int {
	code := exitYes
	line := func(format string, args ...any) { s.say("%s", s.redacted(fmt.Sprintf(format, args...))) }
	k := facts.Kernel
	line("### kkeys doctor")
	line("")
	line("| | |")
	line("| --- | --- |")
	line("| kernel | %s, %s |", cell(k.Release), cell(k.Distribution.ID+" "+k.Distribution.Version))
	line("| signatures | %s |", cell(k.Enforced.Evidence))
	line("| lockdown | %s |", cell(k.Lockdown))
	if facts.Firmware != nil {
		line("| Secure Boot | %v |", facts.Firmware.SecureBoot.Answer)
		line("| shim | %v |", facts.Firmware.Shim.Answer)
	}
	for _, f := range document.Machine {
		code = worse(code, exitNo)
		line("| %s | %s |", f.ID, cell(f.Message))
	}
	for _, d := range document.Subjects {
		line("")
		line("#### %s%s", cell(d.Name), at(d.Path))
		if d.causes() {
			code = worse(code, exitNo)
		} else {
			line("nothing is wrong that can be seen")
		}
		for _, f := range d.Findings {
			line("- **%s** (%s): %s", f.ID, f.Certainty, cell(f.Cause))
			for _, e := range f.Evidence {
				line("  - %s", cell(e))
			}
			if len(f.Fixes) > 0 {
				line("  - fix: `%s`", strings.Join(f.Fixes[0].Commands, "; "))
			}
		}
	}
	return document.unsure(code)
}

// cell keeps a text from being markup or a new line.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "`", "'", "<", "&lt;").Replace(printable.Text(text))
}
