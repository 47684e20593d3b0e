//go:build lab

package contrib_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const negate = "/usr/lib/nagios/plugins/negate"

// definition is the command line of a definition in a Nagios configuration, with its first argument put in.
func definition(t *testing.T, name, argument string) []string {
	t.Helper()
	found := regexp.MustCompile(`command_name +` + name + `\n +command_line +(.*)`).FindStringSubmatch(string(read(t, "nagios/kkeys.cfg")))
	if found == nil {
		t.Fatalf("nagios/kkeys.cfg does not define %s", name)
	}
	return strings.Fields(strings.TrimPrefix(strings.ReplaceAll(found[1], "$ARG1$", argument), "/usr/bin/sudo -n "))
}

// What sudo lets the monitoring's user run as root are whole command lines: a pattern, or a command without arguments, would let it write any file with kkeys' other flags.
func TestLabNagiosSudoers(t *testing.T) {
	var allowed []string
	for _, line := range regexp.MustCompile(`(?m)^.*NOPASSWD.*$`).FindAllString(string(read(t, "nagios/kkeys.cfg")), -1) {
		command, found := strings.CutPrefix(line, "#   nagios ALL=(root) NOPASSWD: ")
		if !found || strings.ContainsAny(command, "*?[]!,^\\") {
			t.Errorf("for sudoers, not one command line: %s", line)
		}
		allowed = append(allowed, command)
	}
	var want []string
	for _, flags := range []string{"", "--policy /etc/kkeys/policy.toml"} {
		want = append(want, strings.Join(definition(t, "check_kkeys", flags), " "))
	}
	if !slices.Equal(allowed, want) {
		t.Errorf("sudo lets %q run, not %q", allowed, want)
	}
}

// negate, of the monitoring plugins, runs the command and knows its state by the exit code; with -s it looks for the state's word in the text too.
func TestLabNagios(t *testing.T) {
	enrolled, off := host(t, "enrolled", "6.12-enrolled.kks"), host(t, "off", "6.1-off.kks")
	if line := string(read(t, "nagios/kkeys.nrpe.cfg")); !strings.Contains(line, "]=/usr/bin/sudo -n "+strings.Join(definition(t, "check_kkeys", ""), " ")+"\n") {
		t.Errorf("NRPE runs another command:\n%s", line)
	}
	enrolled.Write(t, "/etc/kkeys/wrong.toml", []byte("version = 1\nno_such_key = 1\n"), 0o644)
	for _, c := range []struct {
		state    string
		code     int
		negated  string
		negation int
		off      bool
		flags    string
	}{
		{"OK", 0, "CRITICAL", 2, false, "--check KK-SB-001 --check KK-SB-002"},
		{"WARNING", 1, "WARNING", 1, false, "--check KK-SB-004"},
		{"CRITICAL", 2, "OK", 0, true, "--check KK-SB-001"},
		{"CRITICAL", 2, "OK", 0, true, ""},
		{"UNKNOWN", 3, "UNKNOWN", 3, false, "--policy /etc/kkeys/wrong.toml"},
		{"UNKNOWN", 3, "UNKNOWN", 3, false, "--no-such-flag"},
	} {
		h := enrolled
		if c.off {
			h = off
		}
		argv := definition(t, "check_kkeys", c.flags)
		out, errs, code := run(t, h.Command(t, argv[0], argv[1:]...))
		if line, _, _ := strings.Cut(out, "\n"); code != c.code || !strings.HasPrefix(line, "KKEYS "+c.state+" - ") {
			t.Errorf("%q: exit code %d, not %d: %s\n%s", argv, code, c.code, out, errs)
		} else if strings.HasPrefix(c.flags, "--check") || c.flags == "" {
			performance(t, line)
		}
		out, errs, code = run(t, h.Command(t, negate, append([]string{"-s"}, argv...)...))
		if code != c.negation || !strings.HasPrefix(out, "KKEYS "+c.negated+" - ") {
			t.Errorf("negate %q: exit code %d, not %d: %s\n%s", argv, code, c.negation, out, errs)
		}
	}
	argv := append([]string{"-o", "UNKNOWN", "-w", "CRITICAL", "-c", "WARNING", "-u", "OK"}, definition(t, "check_kkeys", "--check KK-SB-004")...)
	if out, errs, code := run(t, enrolled.Command(t, negate, argv...)); code != 2 {
		t.Errorf("negate %q: a warning turned critical is exit code %d: %s%s", argv, code, out, errs)
	}
}

// item is one number of performance data (monitoring plugins' guidelines, 2.6): 'label'=value[UOM];[warn];[crit];[min];[max].
var item = regexp.MustCompile(`^[^\s='"|]+=-?[0-9.]+(us|ms|s|%|B|KB|MB|TB|c)?(;[-0-9.:@~]*){0,4}$`)

// performance checks the performance data of a plugin's first line.
func performance(t *testing.T, line string) {
	t.Helper()
	text, data, found := strings.Cut(line, " | ")
	if !found || strings.Contains(data, "|") || strings.Contains(text, "|") || len(strings.Fields(data)) < 5 {
		t.Errorf("no performance data, or more than one bar: %s", line)
	}
	for _, word := range strings.Fields(data) {
		if !item.MatchString(word) {
			t.Errorf("performance data %q in: %s", word, line)
		}
	}
}
