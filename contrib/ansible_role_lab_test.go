//go:build lab

package contrib_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const fact = "/etc/ansible/facts.d/kkeys.fact"

// What the role does with less usual settings: no kkeys on the machine, one in another place, switches as `-e NAME=false` gives them, a service.
func TestLabRole(t *testing.T) {
	s := newSite(t, map[string]string{"bad": "6.1-off.kks"}, "bad")
	bad := s.machines[0]
	must(t, bad.Command(t, "/bin/busybox", "mkdir", "-p", "/var/lib/prometheus/node-exporter"))
	is := func(name string) bool {
		t.Helper()
		_, err := bad.Files(t).Stat(name[1:])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return err == nil
	}
	vars := map[string]any{"kkeys_fact": "false", "kkeys_timer": "false", "kkeys_audit_flags": []string{"--check", "KK-SB-001"}}

	if plays, out, code := s.play(t, vars); code != 2 || plays["bad"].failed != 1 || !strings.Contains(out, kkeys+" is not there") || is(prom) || is(fact) {
		t.Fatalf("a machine without kkeys: %+v, exit code %d; metrics %t, fact %t\n%s", plays, code, is(prom), is(fact), out)
	}

	const elsewhere = "/opt/x/kkeys"
	must(t, bad.Command(t, "/bin/busybox", "mkdir", "-p", "/opt/x"))
	vars["kkeys_binary"], vars["kkeys_path"], vars["kkeys_fact"], vars["kkeys_audit"] = "/srv/bin/kkeys", elsewhere, "true", "false"
	if plays, out, code := s.play(t, vars); code != 0 || plays["bad"].failed != 0 || !is(prom) || is(kkeys) {
		t.Fatalf("kkeys elsewhere, no audit: %+v, exit code %d; metrics %t\n%s", plays, code, is(prom), out)
	}
	if facts := object(t, bad.Command(t, fact)); facts["secure_boot"] != false || facts["error"] != nil {
		t.Errorf("the fact of a kkeys elsewhere: %v", facts)
	}

	before := s.controller.Read(t, snapshots+"bad.kks")
	vars["kkeys_snapshot_age"], vars["kkeys_timer"], vars["kkeys_textfile"] = 0, "true", "/srv/100% text/kkeys.prom"
	vars["kkeys_audit_flags"] = []string{"--policy", `/etc/a "b".toml`, "--check", "KK-SB-001"}
	plays, out, code := s.play(t, vars, "--check", "--diff")
	if code != 0 || plays["bad"].failed != 0 || !slices.Equal(before, s.controller.Read(t, snapshots+"bad.kks")) {
		t.Errorf("check mode where a recording is due: %+v, exit code %d\n%s", plays, code, out)
	}
	want := []string{"[Service]", `Environment="KKEYS_TEXTFILE=/srv/100%% text/kkeys.prom"`, `Environment="KKEYS_AUDIT=--policy '/etc/a \"b\".toml' --check KK-SB-001"`,
		`ReadWritePaths="-/srv/100%% text"`, "ExecStart=", `ExecStart="` + elsewhere + `" audit --format prometheus --output ${KKEYS_TEXTFILE} $KKEYS_AUDIT`}
	_, rest, _ := strings.Cut(out, "+[Service]\n")
	drop := "[Service]\n"
	for line := range strings.Lines(rest) {
		text, added := strings.CutPrefix(line, "+")
		if !added {
			break
		}
		drop += text
	}
	if drop != strings.Join(want, "\n")+"\n" {
		t.Fatalf("the service's settings:\n%s\nnot\n%s\n%s", drop, strings.Join(want, "\n"), out)
	}
	bad.Write(t, "/etc/systemd/system/kkeys-audit.service", read(t, "prometheus/kkeys-audit.service"), 0o644)
	bad.Write(t, "/etc/systemd/system/kkeys-audit.service.d/kkeys.conf", []byte(drop), 0o644)
	verify := bad.Command(t, "/usr/bin/systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "/etc/systemd/system/kkeys-audit.service")
	if out, errs, code := run(t, verify); code != 0 || out+errs != "" {
		t.Errorf("systemd-analyze verify: exit code %d\n%s%s", code, out, errs)
	}
}

// The fact is one JSON object and exit code 0, whatever kkeys says, and kkeys is not looked for in the current folder.
func TestLabFact(t *testing.T) {
	h := host(t, "fact", "6.12-enrolled.kks")
	h.Write(t, fact, read(t, "ansible/facts.d/kkeys.fact"), 0o755)
	if facts := object(t, h.Command(t, fact)); facts["secure_boot"] != true || facts["error"] != nil {
		t.Fatalf("the fact: %v", facts)
	}
	for _, says := range []string{"[1]", "null", "1", `"x"`, "{}", `{"error": 1}`, `{"mok": [], "kernel": 1}`, "no JSON", "", "[[[["} {
		h.Write(t, kkeys, []byte("#!/bin/busybox sh\ncat <<'END'\n"+says+"\nEND\n"), 0o755)
		if facts := object(t, h.Command(t, fact)); len(facts) != 1 || facts["error"] == nil || facts["error"] == "" {
			t.Errorf("kkeys says %s: %v", says, facts)
		}
	}
	if err := h.Files(t).Remove(kkeys[1:]); err != nil {
		t.Fatal(err)
	}
	h.Write(t, "/root/kkeys", []byte("#!/bin/busybox sh\necho >/root/ran\n"), 0o755)
	for _, path := range [][]string{nil, {"PATH="}} {
		cmd := h.Command(t, "/usr/bin/python3", fact)
		cmd.Env = append([]string{"HOME=/root"}, path...)
		if facts := object(t, cmd); len(facts) != 1 || facts["error"] == nil {
			t.Errorf("no kkeys: %v", facts)
		}
		if _, err := h.Files(t).Stat("root/ran"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with %q as environment a kkeys of the current folder was run: %v", cmd.Env, err)
		}
	}
}

// object is the JSON object that a command writes.
func object(t *testing.T, cmd *exec.Cmd) map[string]any {
	t.Helper()
	out := must(t, cmd)
	var facts map[string]any
	if err := json.Unmarshal([]byte(out), &facts); err != nil || facts == nil {
		t.Fatalf("%q writes no JSON object: %v: %s", cmd.Args, err, out)
	}
	return facts
}
