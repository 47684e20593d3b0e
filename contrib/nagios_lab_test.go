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
	if !t.Failed() {
		sudoers(t, allowed)
	}
}

// sudoers asks sudo itself: it takes the lines as they are, lets the monitoring's user run these commands, and refuses what is longer or shorter.
func sudoers(t *testing.T, allowed []string) {
	t.Helper()
	h := host(t, "sudo", "6.12-enrolled.kks")
	must(t, h.Command(t, "/bin/busybox", "sh", "-c", "chown 0:0 /usr/bin/sudo /usr/libexec/sudo/* && chmod 4755 /usr/bin/sudo")) // whoever fetched the packages
	must(t, h.Command(t, "/bin/busybox", "sh", "-c", "echo nagios:x:109:109::/:/bin/sh >>/etc/passwd; echo nagios:x:109: >>/etc/group; printf '%s:*:1::::::\\n' root nagios >/etc/shadow"))
	for _, name := range []string{"sudo", "other"} {
		h.Write(t, "/etc/pam.d/"+name, []byte("auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n"), 0o644)
	}
	h.Write(t, "/etc/kkeys/policy.toml", []byte("version = 1\n"), 0o644)
	lines := regexp.MustCompile(`(?m)^# +(nagios .*NOPASSWD.*\n)`).FindAllStringSubmatch(string(read(t, "nagios/kkeys.cfg")), -1)
	text := ""
	for _, line := range lines {
		text += line[1]
	}
	h.Write(t, "/etc/sudoers", []byte(text), 0o440)
	must(t, h.Command(t, "/usr/sbin/visudo", "--check", "--strict"))
	listed := regexp.MustCompile(`(?m)^ +\(root\) NOPASSWD: (.*)$`).FindAllStringSubmatch(must(t, h.Command(t, "/usr/bin/sudo", "-l", "-U", "nagios")), -1)
	if len(listed) != len(allowed) || listed[0][1] != allowed[0] || listed[1][1] != allowed[1] {
		t.Errorf("sudo lists %q, not %q", listed, allowed)
	}
	for _, command := range allowed {
		for line, allows := range map[string]bool{command: true, command + " --output /root/ran": false, command[:strings.LastIndexByte(command, ' ')]: false} {
			argv := append([]string{"--reuid=109", "--regid=109", "--clear-groups", "/usr/bin/sudo", "-n"}, strings.Fields(line)...)
			out, errs, code := run(t, h.Command(t, "/usr/bin/setpriv", argv...))
			if allows != strings.HasPrefix(out, "KKEYS WARNING - ") || !allows && (code != 1 || out != "" || errs != "sudo: a password is required\n") {
				t.Errorf("sudo %s: exit code %d, %q %q", line, code, out, errs)
			}
		}
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
