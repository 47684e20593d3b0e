package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"kkeys/kernel"
	"kkeys/machine"
	"kkeys/trust"
)

// reported is a report in which every foreign text is this one.
func reported(host, text string, modules, causes int) []string {
	s := &session{machine: &machine.Machine{Files: fstest.MapFS{"proc/sys/kernel/hostname": {Data: []byte(host)}}}}
	document := &doctorDocument{Machine: []findingDoc{{text, text, &text}}}
	document.NotSeen = []notSeen{{Source: text, Reason: text}}
	c := causeDocument{ID: "unsigned", Certainty: "proven", Cause: text, Evidence: []string{text, text}, Concerns: text, Reference: &text,
		Fixes: []fixDocument{{Commands: []string{text, text}, Note: &text}, {Commands: []string{text}}}}
	for range modules {
		d := diagnosisDocument{Name: text, Path: &text}
		for range causes {
			d.Findings = append(d.Findings, c)
		}
		document.Subjects = append(document.Subjects, d)
	}
	facts := trust.Facts{Kernel: kernel.Status{Release: text, Lockdown: text, Distribution: kernel.Distribution{ID: text, Version: text}}}
	facts.Kernel.Enforced.Evidence = text
	return s.report(document, facts)
}

// outside gives what of a line of Markdown stands in no code span; ok is false where a span does not end, and before a span that its text could widen.
func outside(line string) (words string, spans []string, ok bool) {
	ticks := regexp.MustCompile("`+")
	for {
		open := ticks.FindStringIndex(line)
		if open == nil {
			return words + line, spans, true
		}
		fence := line[open[0]:open[1]]
		words, line = words+line[:open[0]], line[open[1]:]
		end := -1
		for _, run := range ticks.FindAllStringIndex(line, -1) {
			if line[run[0]:run[1]] == fence {
				end = run[0]
				break
			}
		}
		if end < 0 {
			return words, spans, false
		}
		spans, line = append(spans, line[:end]), line[end+len(fence):]
	}
}

var (
	reportLine  = regexp.MustCompile(`^(|### kkeys doctor|#### \S.*|( {2}| {4})?- \S.*|and \d+ more modules?)$`)
	reportWords = regexp.MustCompile(`^[A-Za-z0-9 .,:()*#-]*$`)
)

// checkReport: one form of lines, and nothing but kkeys' own words outside of code.
func checkReport(t *testing.T, text string, lines []string) {
	t.Helper()
	if plain := reported("", "plain", 2, 2); len(lines) != len(plain) {
		t.Errorf("%q: %d lines, not %d", text, len(lines), len(plain))
	}
	for _, line := range lines {
		words, spans, ok := outside(line)
		if !ok || strings.ContainsAny(line, "\n\r") || !utf8.ValidString(line) || !reportLine.MatchString(line) || !reportWords.MatchString(words) {
			t.Errorf("%q: the line %q", text, line)
		}
		for _, s := range spans {
			if s == "" {
				t.Errorf("%q: nothing in a span: %q", text, line)
			}
		}
	}
}

var hostile = []string{"", " ", "`", "``", "```\n# heading\n```", "a`", "`a", "`` ` ``", "@everyone", "![x](http://x/y.png)", "[a](javascript:x)", "<img src=x onerror=y>", "<!--", "</details>",
	"| a | b |", "a\r\n- b", "# x", "---", "\\", "\\`", "https://example.com/", "#1", "$x$", "~~~", "\u2028x\u202e", "\xff\xfe", "\x1b[31m", "*a* _b_", "&lt;", strings.Repeat("`", 300), strings.Repeat("x`", 300)}

func TestDoctorReportMarkup(t *testing.T) {
	for _, text := range hostile {
		checkReport(t, text, reported("", text, 2, 2))
	}
}

func FuzzDoctorReport(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkReport(t, text, reported("", text, 2, 2))
	})
}

// TestDoctorReportSpan: what CommonMark reads out of the span is what went in.
func TestDoctorReportSpan(t *testing.T) {
	for text, want := range map[string]string{"a": "`a`", "a`b": "``a`b``", "`": "`` ` ``", "a``": "``` a`` ```", " a": "`  a `", "": "` `", "   ": "` `"} {
		if got := span(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestDoctorReportLength: what is left out is counted; the first cause of the first module is there.
func TestDoctorReportLength(t *testing.T) {
	for modules := range 30 {
		for _, causes := range []int{0, 1, 2, 20} {
			lines := reported("", "text", modules, causes)
			all := strings.Join(lines, "\n")
			shown, rest := strings.Count(all, "####"), 0
			if more := regexp.MustCompile(`(?m)^and (\d+) more module`).FindStringSubmatch(all); more != nil {
				_, _ = fmt.Sscan(more[1], &rest)
			}
			if len(lines) > reportLines || shown+rest != modules || modules > 0 && shown == 0 || modules*causes > 0 && !strings.Contains(all, "**unsigned**") {
				t.Errorf("%d modules, %d causes: %d lines, %d shown, %d not\n%s", modules, causes, len(lines), shown, rest, all)
			}
		}
	}
	if all := strings.Join(reported("", "text", 1, 20), "\n"); !strings.Contains(all, "more causes") {
		t.Error(all)
	}
	s := &session{machine: &machine.Machine{Files: fstest.MapFS{}}}
	document := &doctorDocument{}
	fix := fixDocument{Commands: []string{"sudo " + strings.Repeat("y", 400)}}
	c := causeDocument{ID: "unsigned", Evidence: []string{strings.Repeat("é", 900), "2", "3", "4", "5", "6"}}
	for range 40 {
		document.Machine = append(document.Machine, finding("x", "y", "z"))
		document.NotSeen = append(document.NotSeen, notSeen{Source: "a", Reason: "b"})
		c.Fixes = append(c.Fixes, fix)
	}
	document.Subjects = []diagnosisDocument{{Name: "well"}, {Name: "ill", Findings: []causeDocument{c}}}
	lines := s.report(document, trust.Facts{})
	all := strings.Join(lines, "\n")
	if len(lines) > reportLines || strings.Index(all, "`ill`") > strings.Index(all, "`well`") && strings.Contains(all, "`well`") {
		t.Errorf("%d lines\n%s", len(lines), all)
	}
	for _, want := range []string{"- and 34 more findings\n", "- not seen: and 34 more sources\n", "  - and 2 more lines\n", "  - and 34 more fixes\n", "  - seen: `" + strings.Repeat("é", reportText-1) + "…`\n", fix.Commands[0]} {
		if !strings.Contains(all+"\n", want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}

// TestDoctorReportWhole: a report has what whoever answers asks for first.
func TestDoctorReportWhole(t *testing.T) {
	all := strings.Join(reported("", "text", 1, 1), "\n") + "\n"
	for _, want := range []string{"- kkeys " + version + "\n", "- not seen: `text`: `text`\n", "  - concerns `text`, see `text`\n", "  - fix: `text`, then `text`\n    - `text`\n  - or: `text`\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}

// TestDoctorReportNames: no machine, no person, no serial number.
func TestDoctorReportNames(t *testing.T) {
	for _, c := range []struct{ host, text, want string }{
		{"ws7.corp.example.com", "CN=ws7 Secure Boot Module Signature key", "CN=HOST Secure Boot Module Signature key"},
		{"ws7.corp.example.com", "WS7: on Ws7.Corp.example.com, of corp.example.com", "HOST: on HOST, of HOST"},
		{"ws7.corp.example.com", "ws70 aws7 ws7_key.der ws7-old", "ws70 aws7 HOST_key.der HOST-old"},
		{"new", "CN=old Secure Boot Module Signature key", "CN=HOST Secure Boot Module Signature key"},
		{"", "CN=workstation7 module signing key, serial number 01ab", "CN=HOST module signing key, serial number …"},
		{"", "CN=DKMS module signing key", "CN=DKMS module signing key"},
		{"cafe", "serial number 00cafe01, cafe", "serial number …, HOST"},
		{"cafe", "serial number cafe", "serial number …"},
		{"", "Serial: 0x00:ab:cd", "serial number …"},
		{"", "issuer and serial number, as sign-file writes them", "issuer and serial number, as sign-file writes them"},
		{"pc", "the pc is pc", "the pc is pc"},
		{"pc", "Nov  7 03:13:05 pc kernel: x on pc", "Nov  7 03:13:05 HOST kernel: x on pc"},
		{"mine", "Nov 27 03:13:05 theirs kernel: theirs says", "Nov 27 03:13:05 HOST kernel: HOST says"},
		{"mine", "2026-11-27T03:13:05.123456+00:00 db9.lan kernel[1]: db9 says", "2026-11-27T03:13:05.123456+00:00 HOST kernel[1]: HOST says"},
		{"home", "/home/jane/x", "/HOST/USER/x"},
		{"", "/home/jane doe/x.ko", "/home/USER/x.ko"},
		{"", "/var/home/jane/x.ko", "/var/home/USER/x.ko"},
		{"", "/root/x.ko", "/root/x.ko"},
		{"", "/run/media/jane doe/STICK/x.ko", "/run/media/USER/STICK/x.ko"},
		{"", "of /media/jane/STICK/x.ko", "of /media/USER/STICK/x.ko"},
		{"", "/lib/modules/6.1/kernel/drivers/media/usb/x.ko", "/lib/modules/6.1/kernel/drivers/media/usb/x.ko"},
		{"", "/home/jane doe/log, line 1: x", "/home/USER/log, line 1: x"},
		{"", "home/jane/x.ko", "…/x.ko"},
		{"", "../jane/x.ko", "…/x.ko"},
		{"", "./x.ko", "./x.ko"},
		{"localhost", "localhost", "localhost"},
		{"a.b*c", "a.b*c axb", "HOST axb"},
		{"naïve", "NAÏVE naïveté", "HOST naïveté"},
	} {
		for _, line := range reported(c.host, c.text, 1, 1) {
			if strings.HasPrefix(line, "  - seen: ") && line != "  - seen: `"+c.want+"`" {
				t.Errorf("%s: %q, want %q", c.host, line, c.want)
			}
		}
	}
	for _, line := range reported("ws7", "\nws7\x1b/home/jane/x serial number 00ab", 2, 2) {
		if strings.Contains(line, "00ab") || strings.Contains(line, "jane") || strings.Contains(line, "ws7") && !strings.HasPrefix(line, "- kernel: ") {
			t.Errorf("%q", line)
		}
	}
}

// TestDoctorReportFolders: what was named from where somebody stood is left out where it stands, and is no part of other paths.
func TestDoctorReportFolders(t *testing.T) {
	at, driver := "lib/x.ko", "src/x.ko"
	r := newRedactor("", &doctorDocument{Subjects: []diagnosisDocument{{Path: &at}, {Path: &driver}}, logFile: "/home/jane doe/log"})
	for text, want := range map[string]string{
		"make -C /lib/modules/6.1/build; insmod lib/x.ko":             "make -C /lib/modules/6.1/build; insmod …/x.ko",
		"/usr/src/linux, 'src/x.ko', my-src/y, ./src/z":               "/usr/src/linux, '…/x.ko', my-src/y, ./src/z",
		"/home/jane is full; see docs/verdict.md":                     "/home/USER is full; see docs/verdict.md",
		"/home/jane doe/log, line 1: lib/modules src/":                "/home/USER/log, line 1: …/modules …/",
		"lib/src/x.ko and src/lib/x.ko":                               "…/src/x.ko and …/lib/x.ko",
		"/lib/modules/6.1/kernel/drivers/media/usb/x.ko: no /media/a": "/lib/modules/6.1/kernel/drivers/media/usb/x.ko: no /media/USER",
	} {
		if got := r.redacted(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestDoctorReportAlone: nothing is left out of JSON.
func TestDoctorReportAlone(t *testing.T) {
	for _, c := range []struct{ report, json, fails bool }{{true, true, true}, {true, false, false}, {false, true, false}} {
		if err := (&session{json: c.json}).reportAlone(c.report); (err != nil) != c.fails {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
