package kernel

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// Line is one line of a kernel log that somebody kept as text.
type Line struct {
	Number  int      // of the line in the text, from 1
	Message string   // without what stands before it: level, time, host
	Seconds *float64 // since boot; nil when another clock was written, or none
}

// Heads of a line, by who wrote it: dmesg (`[    1.5] `, with --raw `<5>`, with --decode `kern  :notice: `, with --ctime a date), and journald and
// syslog (`Nov 26 22:13:01 host kernel: `, or an ISO 8601 time).
var (
	heads = []*regexp.Regexp{
		regexp.MustCompile(`^<\d{1,3}>`),
		regexp.MustCompile(`^[a-z0-9]+ *:[a-z]+ *: *`),
		regexp.MustCompile(`^(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*) \S+ kernel(?:\[\d*\])?: `),
	}
	bootTime = regexp.MustCompile(`^\[ *(\d+\.\d+)\] ?`)
	date     = regexp.MustCompile(`^(?:\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) `)
	caller   = regexp.MustCompile(`^\[ *[TC]\d+\] `)
)

// ParseLog reads a kernel log as people paste it: the output of dmesg or journalctl, of the kernel alone or of all programs. Lines of which the head
// is not known are taken whole. It never fails; what is no log has no messages that mean anything.
func ParseLog(text string) (lines []Line) {
	number := 0
	for raw := range strings.SplitSeq(text, "\n") {
		number++
		line := Line{Number: number, Message: strings.TrimRight(raw, "\r ")}
		for _, head := range heads {
			line.Message = line.Message[len(head.FindString(line.Message)):]
		}
		if at := bootTime.FindStringSubmatch(line.Message); at != nil {
			if seconds, err := strconv.ParseFloat(at[1], 64); err == nil {
				line.Seconds = &seconds
			}
			line.Message = line.Message[len(at[0]):]
		} else {
			line.Message = line.Message[len(date.FindString(line.Message)):]
		}
		line.Message = line.Message[len(caller.FindString(line.Message)):]
		if line.Message != "" {
			lines = append(lines, line)
		}
	}
	return lines
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
		seconds := float64(r.Microseconds) / 1e6
		lines = append(lines, Line{Number: i + 1, Message: r.Message, Seconds: &seconds})
	}
	if errors.Is(err, errLost) {
		err = nil // the oldest lines
	}
	return lines, err
}
