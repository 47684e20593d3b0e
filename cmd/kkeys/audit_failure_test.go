package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/audit"
	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
)

// A failed audit is told of in the file that a monitor reads, whatever is said on the terminal, and before any command has begun.
func TestAuditFailureMetrics(t *testing.T) {
	off := filepath.Join(machines, "6.1-off.kks")
	for _, args := range [][]string{
		{"--snapshot", off, "-q", "audit", "--policy", "/nowhere.toml"},
		{"--snapshot", "/nowhere.kks", "audit"},
		{"--snapshot", "/nowhere.kks", "audit", "-q"},
		{"--root", "/nowhere", "audit", "--quiet"},
	} {
		file := filepath.Join(t.TempDir(), "kkeys.prom")
		form := []string{"--format", "prometheus", "--output", file}
		if got := auditOn(t, auditDay, nil, append([]string{"--snapshot", off, "audit"}, form...)...); got.code != exitNo {
			t.Fatalf("%+v", got)
		}
		got := auditOn(t, auditDay, nil, append(args, form...)...)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if all := parsed(t, string(text)); got.code != exitFailed || got.out != "" || all["kkeys_run_success"] != 0 || len(all) != 3 {
			t.Errorf("%v: %+v\n%s", args, got, text)
		}
	}
	other := write(t, "notes.txt", "mine")
	auditOn(t, auditDay, nil, "--snapshot", "/nowhere.kks", "audit", "--format", "prometheus", "--output="+other)
	if text, err := os.ReadFile(other); err != nil || string(text) != "mine" {
		t.Errorf("a file that is none of metrics: %q, %v", text, err)
	}
	if got := auditOn(t, auditDay, nil, "--snapshot", off, "audit", "--format", "prometheus", "--output", "/nowhere/x.prom"); got.code != exitFailed || strings.Count(got.err, "--output") != 1 {
		t.Errorf("told %d times\n%s", strings.Count(got.err, "--output"), got.err)
	}
}

// Where standard output takes nothing, the exit code is one of the monitor's.
func TestAuditFull(t *testing.T) {
	for format, want := range map[string]int{"nagios": nagiosUnknown, "sce": sceError, "table": exitFailed, "json": exitFailed, "prometheus": exitFailed} {
		for _, more := range [][]string{{"--check", "KK-SB-001"}, {"--policy", "/nowhere.toml"}, {"--nonsense"}} {
			if len(more) == 1 && want == exitFailed {
				continue // wrong usage
			}
			if code := run(context.Background(), append([]string{"--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "audit", "--format", format}, more...),
				streams{in: strings.NewReader(""), out: full{}, err: &bytes.Buffer{}, environment: func(string) string { return "" }, clock: func() time.Time { return auditDay }}, nil); code != want {
				t.Errorf("%s %v: %d, want %d", format, more, code, want)
			}
		}
	}
}

// The first line for Nagios has ids and numbers, and no name that somebody else chose; of a failure it has an end.
func TestAuditNagiosFirstLine(t *testing.T) {
	policy := write(t, "policy.toml", "version = 1\n[keys]\ntrust = [\"vendor\"]\n")
	got := auditOn(t, auditDay, nil, "--snapshot", filepath.Join(machines, "6.1-own-keys.kks"), "audit", "--format", "nagios", "--policy", policy)
	first, long, _ := strings.Cut(got.out, "\n")
	if len(first) > 1000 || !strings.Contains(first, "KK-KEY-003") || strings.Contains(first, "none of the allowed") || !strings.Contains(long, "none of the allowed keys") {
		t.Errorf("%s\n%s", first, long)
	}
	got = auditOn(t, auditDay, nil, "--snapshot", filepath.Join(machines, "6.1-off.kks"), "audit", "--format", "nagios", "--policy", write(t, "policy.toml", "version = 1\n"+many()))
	if first, _, _ := strings.Cut(got.out, "\n"); got.code != nagiosUnknown || len(first) > 1100 || !strings.HasSuffix(first, "…") {
		t.Errorf("%d bytes: %s", len(first), first)
	}
}

// many are keys that no policy has.
func many() string {
	var b strings.Builder
	for c := 'a'; c <= 'z'; c++ {
		b.WriteString(strings.Repeat(string(c), 100) + " = 1\n")
	}
	return b.String()
}

// Drift has a number only where something was compared, and what was not seen is no change.
func TestAuditDriftNumber(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.json")
	if got := auditOn(t, auditDay, snapshotOf(t, "6.1-declined"), "audit", "--record-baseline", file); got.code != exitYes {
		t.Fatalf("%+v", got)
	}
	off := write(t, "off.toml", "version = 1\n[checks]\noff = [\"KK-DRF-001\"]\n")
	for _, c := range []struct {
		why  string
		args []string
		has  bool
		more bool
	}{
		{"no baseline", nil, false, false},
		{"another check", []string{"--baseline", file, "--check", "KK-SB-001"}, false, false},
		{"switched off", []string{"--baseline", file, "--policy", off}, false, false},
		{"compared", []string{"--baseline", file, "--check", "KK-DRF-001"}, true, true},
	} {
		args := append([]string{"audit"}, c.args...)
		n, has := parsed(t, auditOn(t, auditDay, snapshotOf(t, "6.1-enrolled"), append(args, "--format", "prometheus")...).out)["kkeys_audit_drift"]
		if has != c.has || n > 0 != c.more {
			t.Errorf("%s: %v, %v", c.why, n, has)
		}
		if out := auditOn(t, auditDay, snapshotOf(t, "6.1-enrolled"), append(args, "--format", "nagios")...).out; strings.Contains(out, " drift=") != c.has {
			t.Errorf("%s: %s", c.why, out)
		}
	}
	d := &auditDocument{facts: audit.Facts{Baseline: &audit.Baseline{}}, report: audit.Report{Checks: []audit.Check{{ID: audit.DriftID, Subjects: []audit.Subject{
		{Result: audit.Unknown}, {Result: audit.Fail}, {Result: audit.Fail, Waived: true}}}}}}
	if n, compared := d.drifted(); n != 1 || !compared {
		t.Errorf("%d, %v", n, compared)
	}
}

// No series twice, and none of what a kernel without modules cannot enforce.
func TestAuditSeries(t *testing.T) {
	m := snapshotOf(t, "6.1-enrolled")
	with(map[string]string{"lib/modules/6.1.0-x/kernel/a.ko": string(bench{t, "6.1-enrolled"}.plain())})(m)
	all := parsed(t, auditOn(t, auditDay, m, "audit", "--format", "prometheus", "--kernel", "6.1.0-x", "--kernel", "6.1.0-x").out)
	n := 0
	for name := range all {
		if strings.HasPrefix(name, `kkeys_modules{kernel="6.1.0-x"`) {
			n++
		}
	}
	if n != len(moduleStates) {
		t.Errorf("%d series of the kernel's modules, want %d", n, len(moduleStates))
	}
	for answer, want := range map[evidence.Answer]bool{evidence.Yes: true, evidence.Unknown: true, evidence.No: false} {
		d := newAuditDocument()
		d.facts.Kernel.Enforced.Answer, d.facts.Modular.Answer = evidence.No, answer
		if got := strings.Contains(exposition(metrics(d)), "kkeys_module_sig_enforced"); got != want {
			t.Errorf("modules %v: %v", answer, got)
		}
	}
}

// Of certificates that share their labels the one that expires first is told of, wherever it stands.
func TestAuditEarliestExpiry(t *testing.T) {
	early, late := auditDay, auditDay.AddDate(1, 0, 0)
	key := func(subject string, end *time.Time) audit.Key {
		return audit.Key{Certificates: []certs.Details{{KeyID: "aa", Subject: subject, NotAfter: end}}}
	}
	for _, keys := range [][]audit.Key{{key("CN=x", &late), key("CN=x", &early)}, {key("CN=x", &early), key("CN=x", &late)}, {key("CN=x", nil), key("CN=x", &early)}} {
		all := parsed(t, exposition([]metric{certificateMetric([]audit.Store{{Name: "db", Keys: keys}})}))
		if got := all[`kkeys_certificate_not_after_timestamp_seconds{store="db",ski="aa",subject="CN=x"}`]; len(all) != 1 || got != float64(early.Unix()) {
			t.Errorf("%v", all)
		}
	}
}

// A waiver of what is not there is told of, once, and where the check was made.
func TestAuditIdleWaiver(t *testing.T) {
	policy := func(subject string) string {
		return write(t, "policy.toml", "version = 1\n[[waivers]]\ncheck = \"KK-KEY-006\"\nsubject = \""+subject+"\"\nreason = \"x\"\nexpires = 2027-06-30\n[thresholds]\nexpires_days = 90\n")
	}
	for _, c := range []struct {
		subject, check string
		idle           bool
	}{
		{"13adbf4309bd82709c8cd54f316ed522988a1bd4", "KK-KEY-006", false},
		{"13adbf43", "KK-KEY-006", true},
		{"13adbf43", "KK-SB-001", false},
		{".machine", "KK-KEY-006", true}, // it was not seen, and what is unknown is not waived
	} {
		m := snapshotOf(t, "6.1-enrolled")
		if c.subject == ".machine" {
			m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible}
		}
		got := auditOn(t, auditDay, m, "audit", "--policy", policy(c.subject), "--check", c.check)
		if strings.Contains(got.err, "waiver of KK-KEY-006 "+c.subject+" waives nothing") != c.idle || strings.Contains(got.err, "waives nothing") != c.idle {
			t.Errorf("%+v: %s", c, got.err)
		}
	}
}

// A folder of recordings may be named by a link, and a failure is one line as well.
func TestAuditFleetForms(t *testing.T) {
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	data, err := os.ReadFile(filepath.Join(machines, "6.1-off.kks"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "a.kks"), data, 0o600)
	}
	if err == nil {
		err = os.Symlink(dir, link)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, link + "/", dir + "//"} {
		got := auditOn(t, auditDay, nil, "audit", "--snapshots", name, "--json")
		var d auditDocument
		if err := json.Unmarshal([]byte(got.out), &d); err != nil || got.code != exitNo || text(d.File) != filepath.Join(name, "a.kks") {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	for _, args := range [][]string{{"--policy", "/nowhere.toml"}, {"--format", "xml"}, {"--nonsense"}, {"--check", "KK-NO-001"}} {
		if got := auditOn(t, auditDay, nil, append([]string{"audit", "--json", "--snapshots", dir}, args...)...); strings.Count(got.out, "\n") > 1 || got.code == exitYes {
			t.Errorf("%v: %s", args, got.out)
		}
	}
}
