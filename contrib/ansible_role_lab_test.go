//go:build lab

package contrib_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

	for _, flags := range [][]string{{"--check"}, nil} {
		if plays, out, code := s.play(t, vars, flags...); code != 2 || plays["bad"].failed != 1 || !strings.Contains(out, kkeys+" is not there") || is(textfile) || is(fact) {
			t.Fatalf("a machine without kkeys, and none to install, %q: %+v, exit code %d; metrics %t, fact %t\n%s", flags, plays, code, is(textfile), is(fact), out)
		}
	}

	const elsewhere = "/opt/x/kkeys"
	must(t, bad.Command(t, "/bin/busybox", "mkdir", "-p", "/opt/x"))
	vars["kkeys_binary"], vars["kkeys_path"], vars["kkeys_fact"], vars["kkeys_audit"] = "/srv/bin/kkeys", elsewhere, "true", "false"
	if plays, out, code := s.play(t, vars); code != 0 || plays["bad"].failed != 0 || !is(textfile) || is(kkeys) {
		t.Fatalf("kkeys elsewhere, no audit: %+v, exit code %d; metrics %t\n%s", plays, code, is(textfile), out)
	}
	if facts := object(t, bad.Command(t, fact)); facts["secure_boot"] != false || facts["error"] != nil {
		t.Errorf("the fact of a kkeys elsewhere: %v", facts)
	}

	// In check mode a policy that is to come is not there to audit with, nor is a certificate; where both are, the machine is audited.
	policy := []byte("version = 1\n")
	s.controller.Write(t, "/srv/policy.toml", policy, 0o644)
	vars["kkeys_audit"], vars["kkeys_policy"], vars["kkeys_policy_files"] = "true", "/srv/policy.toml", []string{}
	for i, want := range []int{0, 0, 1} {
		switch i {
		case 1:
			bad.Write(t, "/etc/kkeys/policy.toml", policy, 0o644)
			vars["kkeys_policy_files"] = []string{"/root/key.pub"}
		case 2:
			bad.Write(t, "/etc/kkeys/key.pub", s.controller.Read(t, "/root/key.pub"), 0o644)
		}
		if plays, out, code := s.play(t, vars, "--check"); code != 2*want || plays["bad"].failed != want || strings.Count(out, "kkeys audit: KK-SB-001\"") != want {
			t.Errorf("check mode where a policy is new, a certificate, nothing: %d: %+v, exit code %d\n%s", i, plays, code, out)
		}
	}
	vars["kkeys_audit"] = "false"
	delete(vars, "kkeys_policy")

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

// Recordings, where the play changes to root as the example does: nobody else can read them, a fetch that fails leaves the one there is, and each day's play has a new one.
func TestLabRecordings(t *testing.T) {
	s := newSite(t, map[string]string{"one": "6.12-enrolled.kks"}, "one")
	const folder = "/srv/ansible/recordings"
	must(t, s.machines[0].Command(t, "/bin/busybox", "mkdir", "-p", filepath.Dir(textfile)))
	s.controller.Write(t, folder+"/one.kks.new", []byte("half a recording"), 0o644) // in a folder that everybody can read

	vars := map[string]any{"kkeys_binary": "/srv/bin/kkeys", "kkeys_audit": "false", "kkeys_snapshots": "recordings", // beside the playbook
		"ansible_become": true, "ansible_become_method": "su", "ansible_become_exe": "/bin/busybox su"}
	plays, out, code := s.play(t, vars)
	if code != 0 || plays["one"].failed != 0 {
		t.Fatalf("with become: %+v, exit code %d\n%s", plays, code, out)
	}
	if mode := must(t, s.controller.Command(t, "/bin/busybox", "stat", "-c", "%a", folder)); mode != "700\n" {
		t.Errorf("the folder of recordings has mode %s", mode)
	}
	if names := must(t, s.controller.Command(t, "/bin/busybox", "ls", "-A", folder)); names != "one.kks\n" {
		t.Errorf("the folder of recordings holds %q", names)
	}
	must(t, s.controller.Command(t, "/srv/bin/kkeys", "--snapshot", folder+"/one.kks", "audit", "--check", "KK-SB-001"))

	before := s.controller.Read(t, folder+"/one.kks")
	for _, c := range []struct {
		hours int
		fresh bool
	}{{19, true}, {23, false}} {
		old := time.Now().Add(time.Duration(-c.hours) * time.Hour).Unix()
		must(t, s.controller.Command(t, "/bin/busybox", "touch", "-d", fmt.Sprint("@", old), folder+"/one.kks"))
		plays, out, code = s.play(t, vars)
		if code != 0 || c.fresh != bytes.Equal(before, s.controller.Read(t, folder+"/one.kks")) || c.fresh != (plays["one"].changed == 0) {
			t.Errorf("a recording that is %d hours old: %+v, exit code %d\n%s", c.hours, plays, code, out)
		}
	}

	before, vars["kkeys_snapshot_age"] = s.controller.Read(t, folder+"/one.kks"), 0
	s.controller.Write(t, folder+"/one.kks.new/in/the/way", nil, 0o644)
	if plays, out, code = s.play(t, vars); code != 2 || plays["one"].failed != 1 || !bytes.Equal(before, s.controller.Read(t, folder+"/one.kks")) {
		t.Errorf("a fetch that fails: %+v, exit code %d\n%s", plays, code, out)
	}

	vars["kkeys_snapshots"] = "/srv/one/two/three"
	for _, name := range []string{"../../escaped", ".hidden"} {
		s.controller.Write(t, "/srv/odd", fmt.Appendf(nil, "%s ansible_host=%s ansible_ssh_private_key_file=/root/key\n", name, address(0)), 0o644)
		plays, out, code = s.play(t, vars, "-i", "/srv/odd", "--limit=!one")
		left := must(t, s.controller.Command(t, "/bin/busybox", "find", "/srv", "-name", "*escaped*", "-o", "-name", ".hidden*"))
		if code != 2 || plays[name].failed != 1 || !strings.Contains(out, "cannot be the name of a recording") || left != "" {
			t.Errorf("%s: %+v, exit code %d, left %q\n%s", name, plays, code, left, out)
		}
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
	for _, path := range [][]string{nil, {"PATH="}, {"PATH=/usr/bin::/bin"}, {"PATH=/usr/bin:"}, {"PATH=."}} {
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
