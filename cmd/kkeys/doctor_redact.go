package main

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// redactor leaves out what tells whose machine it is.
type redactor struct {
	hosts []*regexp.Regexp // names of machines, the longest first
	homes [][]string       // home folders of which the name has blanks, or might, and what they begin with
	below []string         // folders that were named from where somebody stood
}

const homes = `/home/|(?:^|[\s'"=:(,]|/run)/media/`

var (
	// serial numbers tell one certificate, and so one machine, from others.
	serialNumber = regexp.MustCompile(`(?i)\bserial( number)?:? +(0x)?[0-9a-f][0-9a-f:]+\b`)
	// home folders, and those of media, have people's names; drivers are below a folder of that name too.
	homeFolder = regexp.MustCompile(`(` + homes + `)[^/\s']+`)
	// anyHome is one of which the name may have blanks.
	anyHome = regexp.MustCompile(`(` + homes + `)[^/]+/`)
	// syslogHead begins a line of a log that people paste: time, machine, program.
	syslogHead = regexp.MustCompile(`((?:[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)\S* )([^\s:]+)( [^\s:]+:)`)
	// modulesKey is the common name of a key that Debian's and Ubuntu's update-secureboot-policy, or `kkeys generate`, has made: it begins with the
	// machine's name then, whatever it is called now. That of dkms begins with its own.
	modulesKey = regexp.MustCompile(`[^\s=,"'/]+( Secure Boot Module Signature key| module signing key)`)
)

// shortest is how many letters a machine's name must have to be looked for in any text; a shorter one is in too many words.
const shortest = 3

// newRedactor knows the machine's name, those at the heads of lines from a log, home folders, and the folders of the modules and the log.
func newRedactor(host string, document *doctorDocument) redactor {
	var r redactor
	names := []string{host}
	learn := func(text string) {
		for _, head := range syslogHead.FindAllStringSubmatch(text, -1) {
			names = append(names, head[2])
		}
	}
	files := []string{document.logFile}
	for _, f := range document.Machine {
		learn(f.Message)
	}
	for _, d := range document.Subjects {
		if d.Path != nil {
			files = append(files, *d.Path)
		}
		for _, f := range d.Findings {
			for _, e := range append([]string{f.Cause}, f.Evidence...) {
				learn(e)
			}
		}
	}
	for _, file := range files {
		r.homes = append(r.homes, anyHome.FindAllStringSubmatch(file, -1)...)
		if folder := file[:strings.LastIndexByte(file, '/')+1]; folder != "" && folder != "./" && !path.IsAbs(folder) {
			r.below = append(r.below, folder)
		}
	}
	r.hosts = hostPatterns(names)
	return r
}

// hostPatterns are patterns of machines' names: whole, the first label, and the domain.
func hostPatterns(names []string) (patterns []*regexp.Regexp) {
	var all []string
	for _, name := range names {
		label, domain, _ := strings.Cut(name, ".")
		all = append(all, name, label)
		if strings.Contains(domain, ".") {
			all = append(all, domain)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, name := range slices.Compact(all) {
		if label, _, _ := strings.Cut(name, "."); utf8.RuneCountInString(name) >= shortest && label != "localhost" {
			patterns = append(patterns, regexp.MustCompile("(?i)"+regexp.QuoteMeta(strings.ToValidUTF8(name, "\ufffd"))))
		}
	}
	return patterns
}

// redacted leaves out serial numbers, home folders and the names of machines, in this order: a machine's name may be part of the others.
func (r redactor) redacted(text string) string {
	text = serialNumber.ReplaceAllString(text, "serial number …")
	for _, home := range r.homes {
		text = strings.ReplaceAll(text, home[0], home[1]+"USER/")
	}
	text = homeFolder.ReplaceAllString(text, "${1}USER")
	for _, folder := range r.below {
		text = beginsPath(text, folder, "…/")
	}
	text = syslogHead.ReplaceAllString(text, "${1}HOST${3}")
	text = modulesKey.ReplaceAllStringFunc(text, func(name string) string {
		if strings.HasPrefix(name, "DKMS ") {
			return name
		}
		return "HOST" + name[strings.IndexByte(name, ' '):]
	})
	for _, host := range r.hosts {
		text = wholeWords(text, host, "HOST")
	}
	return text
}

// beginsPath replaces a folder where a path begins with it.
func beginsPath(text, folder, by string) string {
	var b strings.Builder
	for {
		at := strings.Index(text, folder)
		if at < 0 {
			return b.String() + text
		}
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		if b.WriteString(text[:at]); alphanumeric(before) || strings.ContainsRune("/._-", before) {
			b.WriteString(folder)
		} else {
			b.WriteString(by)
		}
		text = text[at+len(folder):]
	}
}

// wholeWords replaces what a pattern finds where no letter or digit stands beside it.
func wholeWords(text string, pattern *regexp.Regexp, by string) string {
	var b strings.Builder
	at := 0
	for _, found := range pattern.FindAllStringIndex(text, -1) {
		before, _ := utf8.DecodeLastRuneInString(text[:found[0]])
		after, _ := utf8.DecodeRuneInString(text[found[1]:])
		if !alphanumeric(before) && !alphanumeric(after) {
			b.WriteString(text[at:found[0]] + by)
			at = found[1]
		}
	}
	return b.String() + text[at:]
}

func alphanumeric(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
