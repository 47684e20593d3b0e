package kernel

import (
	"errors"
	"iter"
	"slices"
	"strings"
)

// Line is one line of a kernel log that somebody kept as text.
type Line struct {
	Number  int    // of the line in the text, from 1
	Message string // without what stands before it: level, time, host; never empty
}

// longestLine bounds a line, in bytes; what is longer is cut there. The kernel itself cuts what it prints at 1 KiB (kernel/printk/printk.c,
// LOG_LINE_MAX), and nothing that ReadTrouble knows is near it.
const longestLine = 4096

// ParseLog is Lines, all at once: about 24 bytes a line, besides the text.
func ParseLog(text string) []Line { return slices.Collect(Lines(text)) }

// Lines reads a kernel log as people paste it: the output of dmesg (with any of its options, coloured or not) or journalctl (-o short and its
// kin, cat), or a file of syslog's, of the kernel alone or of all programs, quoted with "> " or indented. It gives line after line and keeps
// none; messages are parts of the text. Of lines of which the head is not known the message is the whole; before the words of another program
// than the kernel its name and number stay: `modprobe[9]: `. It never fails; what is no log has no messages that mean anything.
func Lines(text string) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for number := 1; text != ""; number++ {
			var line string
			line, text, _ = strings.Cut(text, "\n")
			if len(line) > longestLine {
				line = line[:longestLine]
			}
			line = strings.TrimRight(withoutHead(withoutColour(line)), "\r ")
			if line != "" && !yield(Line{Number: number, Message: line}) {
				return
			}
		}
	}
}

// withoutColour drops control sequences (ECMA-48 5.4: ESC, a bracket, parameters, a final byte), as dmesg -L and journalctl write them.
func withoutColour(s string) string {
	before, rest, ok := strings.Cut(s, "\x1b[")
	if !ok {
		return s
	}
	var b strings.Builder
	for ok {
		b.WriteString(before)
		end := strings.IndexFunc(rest, func(r rune) bool { return r < 0x20 || r > 0x3f })
		if end < 0 {
			return b.String() // one that was cut
		}
		if rest[end] >= 0x40 && rest[end] <= 0x7e {
			end++
		}
		before, rest, ok = strings.Cut(rest[end:], "\x1b[")
	}
	b.WriteString(before)
	return b.String()
}

// withoutHead drops what stands before a message.
func withoutHead(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t' || s[0] == '>') {
		s = s[1:]
	}
	s = afterDecoded(afterPriority(s))
	rest, ok := afterBracket(s)
	if !ok {
		rest, ok = afterDate(s)
	}
	if !ok {
		return s
	}
	rest = afterHost(afterCaller(rest))
	if inner, ok := afterBracket(rest); ok { // syslog's lines have the kernel's time too
		rest = afterCaller(inner)
	}
	return rest
}

// shaped tells how many bytes at the begin of s have the shape: A is a capital letter, a a small one, 9 a digit, _ a digit or a space, all else is
// itself. 0 is none.
func shaped(s, shape string) int {
	if len(s) < len(shape) {
		return 0
	}
	for i := range len(shape) {
		c, ok := s[i], false
		switch shape[i] {
		case 'A':
			ok = c >= 'A' && c <= 'Z'
		case 'a':
			ok = c >= 'a' && c <= 'z'
		case '9':
			ok = c >= '0' && c <= '9'
		case '_':
			ok = c >= '0' && c <= '9' || c == ' '
		default:
			ok = c == shape[i]
		}
		if !ok {
			return 0
		}
	}
	return len(shape)
}

// digits tells how many there are at the begin of s.
func digits(s string) (n int) {
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// isDecimal recognises `5.123456`.
func isDecimal(s string) bool {
	whole := digits(s)
	return whole > 0 && whole+1 < len(s) && s[whole] == '.' && digits(s[whole+1:]) == len(s)-whole-1
}

// afterPriority drops `<5>`, as dmesg --raw and the console have it.
func afterPriority(s string) string {
	if n := 1 + digits(s[min(1, len(s)):]); n > 1 && n <= 4 && s[0] == '<' && n < len(s) && s[n] == '>' {
		return s[n+1:]
	}
	return s
}

// levels are those of dmesg --decode (util-linux sys-utils/dmesg.c, level_names).
var levels = []string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}

// afterDecoded drops `kern  :notice: `, as dmesg --decode has it.
func afterDecoded(s string) string {
	facility, rest, ok := strings.Cut(s[:min(len(s), 24)], ":")
	if !ok {
		return s
	}
	level, _, ok := strings.Cut(rest, ":")
	if facility = strings.TrimRight(facility, " "); !ok || facility == "" || strings.ContainsAny(facility, " [<") || !slices.Contains(levels, strings.TrimRight(level, " ")) {
		return s
	}
	return strings.TrimLeft(s[strings.IndexByte(s, ':')+1+len(level)+1:], " ")
}

// afterBracket drops a time in brackets: of the kernel and journalctl -o short-monotonic `[    5.123456] `, some builds with a processor's number
// `[    5.123456@0] `; of dmesg --show-delta `[    5.123456 <    0.000123>] `, --reltime and --human `[Nov26 22:13] ` and `[  +0.000123] `, --ctime
// `[Thu Nov 26 22:13:01 2026] `, --time-format=delta `[<    0.000123>] `.
func afterBracket(s string) (rest string, ok bool) {
	end := strings.IndexByte(s[:min(len(s), 64)], ']')
	if end < 0 || s[0] != '[' {
		return s, false
	}
	time := strings.TrimLeft(s[1:end], " ")
	if at, delta, has := strings.Cut(time, "<"); has {
		delta, closed := strings.CutSuffix(delta, ">")
		if time = strings.TrimRight(at, " "); !closed || !isDecimal(strings.Trim(delta, " ")) {
			return s, false
		}
		ok = time == ""
	}
	if seconds, processor, has := strings.Cut(time, "@"); has && digits(processor) == len(processor) {
		time = seconds
	}
	ok = ok || isDecimal(strings.TrimPrefix(time, "+"))
	for _, shape := range []string{"Aaa_9 99:99", "Aaa Aaa _9 99:99:99 9999"} {
		ok = ok || len(time) == len(shape) && shaped(time, shape) > 0
	}
	if !ok {
		return s, false
	}
	return strings.TrimPrefix(s[end+1:], " "), true
}

// afterCaller drops the thread or processor that CONFIG_PRINTK_CALLER adds: `[ T1234] `, `[    C0] `.
func afterCaller(s string) string {
	end := strings.IndexByte(s[:min(len(s), 16)], ']')
	if end < 0 || s[0] != '[' {
		return s
	}
	caller := strings.TrimLeft(s[1:end], " ")
	if n := len(caller); n < 2 || caller[0] != 'T' && caller[0] != 'C' || digits(caller[1:]) != n-1 {
		return s
	}
	return strings.TrimPrefix(s[end+1:], " ")
}

// afterDate drops a time without brackets: of syslog and journalctl `Nov 26 22:13:01 `, -o short-precise `Nov 26 22:13:01.123456 `, short-full
// `Thu 2026-11-26 22:13:01 UTC `, short-iso, short-iso-precise and dmesg --time-format=iso `2026-11-26T22:13:01,123456+00:00 `, short-unix
// `1795731181.123456 `.
func afterDate(s string) (rest string, ok bool) {
	zone := false
	n := shaped(s, "Aaa _9 99:99:99")
	if n == 0 {
		n = max(shaped(s, "9999-99-99T99:99:99"), shaped(s, "9999-99-99 99:99:99"))
	}
	if n == 0 {
		n = shaped(s, "Aaa 9999-99-99 99:99:99")
		zone = n > 0
	}
	if n == 0 {
		n = shaped(s, "9999999999.999999")
	}
	if n == 0 {
		return s, false
	}
	fraction, rest, ok := strings.Cut(s[n:], " ")
	if !ok || strings.Trim(fraction, "0123456789.,:+-Z") != "" {
		return s, false
	}
	if zone {
		_, rest, ok = strings.Cut(rest, " ")
	}
	return rest, ok
}

// afterHost drops, behind a time, the host and the kernel's name: `laptop kernel: `; of another program's line only the host.
func afterHost(s string) string {
	first, rest, _ := strings.Cut(s, " ")
	if isKernel(first) {
		return rest
	}
	second, message, ok := strings.Cut(rest, " ")
	switch {
	case ok && isKernel(second):
		return message
	case ok && isProgram(second) && !strings.HasSuffix(first, ":"):
		return rest
	}
	return s
}

func isKernel(word string) bool { return word == "kernel:" || word == "kernel[0]:" }

// isProgram recognises a program of which ReadTrouble knows words, and any with its process: `sudo[312]:`.
func isProgram(word string) bool {
	word, ok := strings.CutSuffix(word, ":")
	if !ok {
		return false
	}
	if name, number, ok := strings.Cut(word, "["); ok {
		return name != "" && digits(number) > 0 && digits(number) == len(number)-1 && number[len(number)-1] == ']'
	}
	return word == "modprobe" || word == "insmod" || word == "systemd-modules-load"
}

// ReadWholeLog reads the running kernel's log: /dev/kmsg, or klogctl where there is none. As an ordinary user it is often refused (the sysctl
// kernel.dmesg_restrict, CAP_SYSLOG): EACCES and EPERM are kept under the error.
func ReadWholeLog() (lines []Line, err error) {
	log, err := wholeLog()
	if err != nil {
		text, kerr := klogctl()
		if kerr != nil {
			return nil, errors.Join(err, kerr)
		}
		return ParseLog(text), nil
	}
	defer log.Close()
	records, err := readLog(log)
	for i, r := range records {
		if r.Facility != 0 {
			continue // what a process has written
		}
		lines = append(lines, Line{Number: i + 1, Message: r.Message})
	}
	if errors.Is(err, errLost) {
		err = nil // the oldest lines
	}
	return lines, err
}
