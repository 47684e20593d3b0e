package main

import (
	"cmp"
	"fmt"
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

// reportAlone: a report leaves out names, and JSON none.
func (s *session) reportAlone(report bool) error {
	if report && s.json {
		return usage("--report is Markdown without the machine's name, and --json has all that was seen: give one of the two")
	}
	return nil
}

// What a report may have: lines, characters of a text, and of what there can be many.
const (
	reportLines    = 60
	reportText     = 200
	reportFindings = 6 // of the machine
	reportUnseen   = 6
	reportEvidence = 4 // of a cause
	reportFixes    = 6
)

// sayReport writes Markdown that can be pasted into an issue.
func (s *session) sayReport(document *doctorDocument, facts trust.Facts) int {
	for _, line := range s.report(document, facts) {
		s.say("%s", line)
	}
	return document.code()
}

// report are the lines. All that is not kkeys' own words stands in code spans, where nothing is markup.
func (s *session) report(document *doctorDocument, facts trust.Facts) []string {
	r := newRedactor(s.machine.Hostname(), document)
	lines := append([]string{"### kkeys doctor", ""}, r.kernel(facts)...)
	for i, f := range document.Machine {
		if i == reportFindings {
			lines = append(lines, "- "+more(len(document.Machine)-i, "finding"))
			break
		}
		lines = append(lines, "- "+r.quote(f.ID)+": "+r.quote(f.Message))
		if f.Fix != nil {
			lines = append(lines, "  - fix: "+r.command(*f.Fix))
		}
	}
	for i, n := range document.NotSeen {
		if i == reportUnseen {
			lines = append(lines, "- not seen: "+more(len(document.NotSeen)-i, "source"))
			break
		}
		lines = append(lines, "- not seen: "+r.quote(n.Source)+": "+r.quote(n.Reason))
	}
	if len(document.Machine)+len(document.Subjects) == 0 {
		lines = append(lines, "- nothing is wrong that can be seen")
	}
	return r.subjects(lines, document.Subjects)
}

// kernel says what runs here.
func (r redactor) kernel(facts trust.Facts) []string {
	k := facts.Kernel
	distribution := redactor{homes: r.homes}.quote(strings.TrimSpace(k.Distribution.ID + " " + k.Distribution.Version)) // many a machine is called debian
	lines := []string{"- kkeys " + version, "- kernel: " + r.quote(k.Release) + ", " + distribution,
		"- signatures: " + r.quote(k.Enforced.Evidence), "- lockdown: " + r.quote(cmp.Or(k.Lockdown, "unknown"))}
	if facts.Firmware != nil {
		lines = append(lines, fmt.Sprintf("- Secure Boot: %v, shim: %v", facts.Firmware.SecureBoot.Answer, facts.Firmware.Shim.Answer))
	}
	return lines
}

// subjects adds the modules, those with causes first, as many as there is room for; the first cause is always there.
func (r redactor) subjects(lines []string, all []diagnosisDocument) []string {
	const rest = 3 // lines that say what is left out
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b diagnosisDocument) int {
		return map[bool]int{true: 0, false: 1}[a.causes()] - map[bool]int{true: 0, false: 1}[b.causes()]
	})
	for i, d := range all {
		head := []string{"", "#### " + r.quote(d.Name)}
		if d.Path != nil {
			head[1] += " (" + r.quote(*d.Path) + ")"
		}
		if !d.causes() {
			head = append(head, "- nothing is wrong that can be seen")
		}
		if d.Doubt != nil {
			head = append(head, "- whether it loads cannot be told: "+r.quote(*d.Doubt))
		}
		room := reportLines - rest - len(lines) - len(head)
		if len(d.Findings) > 0 {
			room -= len(r.cause(d.Findings[0]))
		}
		if i > 0 && room < 0 {
			return append(lines, "", more(len(all)-i, "module"))
		}
		lines = append(lines, head...)
		for j, f := range d.Findings {
			words := r.cause(f)
			if j > 0 && len(lines)+len(words)+rest > reportLines {
				lines = append(lines, "- "+more(len(d.Findings)-j, "cause"))
				break
			}
			lines = append(lines, words...)
		}
	}
	return lines
}

// cause is one cause with all that there is to it.
func (r redactor) cause(f causeDocument) []string {
	certainty := f.Certainty
	if f.Harmless {
		certainty = "harmless"
	}
	lines := []string{fmt.Sprintf("- **%s** (%s): %s", f.ID, certainty, r.quote(f.Cause))}
	for i, e := range f.Evidence {
		if i == reportEvidence {
			lines = append(lines, "  - "+more(len(f.Evidence)-i, "line"))
			break
		}
		lines = append(lines, "  - seen: "+r.quote(e))
	}
	concerns := "  - concerns " + r.quote(f.Concerns)
	if f.Reference != nil {
		concerns += ", see " + r.quote(*f.Reference)
	}
	lines = append(lines, concerns)
	for i, fix := range f.Fixes {
		if i == reportFixes {
			return append(lines, "  - "+more(len(f.Fixes)-i, "fix"))
		}
		var commands []string
		for _, c := range fix.Commands {
			commands = append(commands, r.command(c))
		}
		lines = append(lines, "  - "+map[bool]string{true: "fix: ", false: "or: "}[i == 0]+strings.Join(commands, ", then "))
		if fix.Note != nil {
			lines = append(lines, "    - "+r.command(*fix.Note))
		}
	}
	if f.NoWay != nil {
		lines = append(lines, "  - no way out is known here: "+r.quote(*f.NoWay))
	}
	return lines
}

// more says how many of something are left out.
func more(n int, what string) string {
	switch {
	case n == 1:
	case what == "fix":
		what = "fixes"
	default:
		what += "s"
	}
	return fmt.Sprintf("and %d more %s", n, what)
}

// quote is foreign text, not longer than a line should be.
func (r redactor) quote(text string) string {
	runes := []rune(printable.Text(r.redacted(text)))
	if len(runes) > reportText {
		runes = append(runes[:reportText-1], '…')
	}
	return span(string(runes))
}

// command is never cut: half of one would do something else.
func (r redactor) command(text string) string { return span(pasted(r.redacted(text))) }

// span is a line as Markdown's code (CommonMark 6.1): between runs of backticks longer than any in it, with a blank inside where it begins or ends with
// one or with a blank.
func span(text string) string {
	longest, run := 0, 0
	for _, c := range text {
		if run++; c != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	if strings.Trim(text, " ") == "" {
		return "` `"
	}
	if strings.Trim(text, "` ") != text {
		text = " " + text + " "
	}
	fence := strings.Repeat("`", longest+1)
	return fence + text + fence
}
