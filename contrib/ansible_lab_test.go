//go:build lab

package contrib_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kkeys/internal/lab"
)

// site is a controller and the machines that it reaches through ssh, each on an address of one loopback.
type site struct {
	controller *lab.Host
	machines   []*lab.Host
}

func address(i int) string { return fmt.Sprintf("127.0.0.%d", i+2) }

// newSite has the machines of the recordings, none of which has kkeys.
func newSite(t *testing.T, recordings map[string]string, names ...string) *site {
	t.Helper()
	hosts := lab.Hosts(t, append([]string{"controller"}, names...)...)
	s := &site{hosts[0], hosts[1:]}
	keygen := s.controller.Command(t, "/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/key")
	must(t, keygen)
	inventory := "[all:vars]\nansible_become=false\nansible_ssh_private_key_file=/root/key\n[all]\n"
	for i, m := range s.machines {
		dress(t, m, recordings[m.Name])
		must(t, m.Command(t, "/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key"))
		m.Write(t, "/root/.ssh/authorized_keys", s.controller.Read(t, "/root/key.pub"), 0o600)
		background(t, m.Command(t, "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-o", "ListenAddress="+address(i), "-o", "HostKey=/etc/ssh/ssh_host_ed25519_key",
			"-o", "Subsystem=sftp internal-sftp"))
		known := address(i) + " " + string(m.Read(t, "/etc/ssh/ssh_host_ed25519_key.pub"))
		var before []byte
		if i > 0 {
			before = s.controller.Read(t, "/root/.ssh/known_hosts")
		}
		s.controller.Write(t, "/root/.ssh/known_hosts", append(before, known...), 0o600)
		inventory += fmt.Sprintf("%s ansible_host=%s\n", m.Name, address(i))
	}
	s.controller.Write(t, "/srv/hosts", []byte(inventory), 0o644)
	s.controller.Write(t, "/srv/bin/kkeys", lab.Binary(t, "kkeys/cmd/kkeys"), 0o755)
	s.copy(t, "ansible", "/srv/ansible")
	return s
}

// copy lays a folder down on the controller, without recordings that somebody fetched there. Symbolic links become what they lead to.
func (s *site) copy(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "snapshots" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		s.controller.Write(t, filepath.Join(to, name), read(t, path), info.Mode().Perm())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// play is what became of a machine in a play.
type play struct{ ok, changed, failed, skipped int }

var recap = regexp.MustCompile(`(?m)^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=0 +failed=(\d+) +skipped=(\d+)`)

// play runs the example with these variables and returns what became of each machine, what was written, and the exit code.
func (s *site) play(t *testing.T, vars map[string]any, flags ...string) (map[string]play, string, int) {
	t.Helper()
	data, err := json.Marshal(vars)
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.controller.Command(t, "/usr/bin/ansible-playbook", append([]string{"-i", "/srv/hosts", "/srv/ansible/example.yml", "-e", string(data)}, flags...)...)
	cmd.Env = append(cmd.Env, "ANSIBLE_NOCOLOR=1", "ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3", "ANSIBLE_FORKS=3", "ANSIBLE_PIPELINING=1", "ANSIBLE_GATHER_SUBSET=!all")
	out, errs, code := run(t, cmd)
	plays := map[string]play{}
	for _, line := range recap.FindAllStringSubmatch(out, -1) {
		var p play
		fmt.Sscan(strings.Join(line[2:], " "), &p.ok, &p.changed, &p.failed, &p.skipped)
		plays[line[1]] = p
	}
	if len(plays) == 0 {
		t.Fatalf("ansible-playbook tells of %d machines, exit code %d\n%s%s", len(plays), code, out, errs)
	}
	return plays, out, code
}

// tricky is a list for the firmware's db (UEFI 32.4.1, EFI_SIGNATURE_LIST) with a certificate that expires soon and whose name is a template for Ansible.
func (s *site) tricky(t *testing.T) []byte {
	t.Helper()
	must(t, s.controller.Command(t, "/srv/bin/kkeys", "generate", "--algorithm", "p256", "--days", "5", "--name", "{{ 6 * 7 }}"))
	der := s.controller.Read(t, "/root/signing_key.x509")
	x509 := []byte{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72} // EFI_CERT_X509_GUID
	list := append([]byte{0x27, 0, 0, 0}, x509...)                                                                 // behind the variable's attributes
	for _, size := range []int{28 + 16 + len(der), 0, 16 + len(der)} {
		list = binary.LittleEndian.AppendUint32(list, uint32(size))
	}
	return append(append(list, make([]byte, 16)...), der...)
}

const snapshots = "/srv/ansible/snapshots/"

// Three machines that differ, reached through ssh: installed and recorded; again, with nothing to do; one found wanting, and mended.
func TestLabAnsible(t *testing.T) {
	s := newSite(t, map[string]string{"good": "6.12-enrolled.kks", "bad": "6.1-off.kks", "other": "6.12-own-keys.kks"}, "good", "bad", "other")
	for _, m := range s.machines {
		must(t, m.Command(t, "/bin/busybox", "mkdir", "-p", filepath.Dir(textfile))) // as the node exporter's package does
	}
	good, bad, other := s.machines[0], s.machines[1], s.machines[2]
	other.Write(t, "/sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", s.tricky(t), 0o644)
	s.controller.Write(t, "/srv/policy.toml", []byte("version = 1\n[severity]\nKK-SB-001 = \"critical\"\nKK-SB-002 = \"medium\"\n"), 0o644)
	vars := map[string]any{"kkeys_binary": "/srv/bin/kkeys", "kkeys_policy": "/srv/policy.toml",
		"kkeys_audit_flags": []string{"--check", "KK-SB-001", "--check", "KK-SB-002", "--check", "KK-KEY-006"}} // what does not depend on this machine's kernel

	plays, out, code := s.play(t, vars, "--check")
	for _, m := range s.machines {
		if p := plays[m.Name]; code != 0 || p.failed != 0 || p.changed == 0 {
			t.Errorf("check mode on a machine without kkeys: %s: %+v, exit code %d\n%s", m.Name, p, code, out)
		}
		for _, name := range []string{kkeys, "/etc/kkeys", "/etc/ansible", textfile} {
			if _, err := m.Files(t).Stat(name[1:]); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("check mode made %s on %s: %v", name, m.Name, err)
			}
		}
	}

	plays, out, code = s.play(t, vars)
	s.found(t, "first run", plays, out, code, true)
	for _, m := range s.machines {
		if text := string(m.Read(t, textfile)); !strings.Contains(text, "\nkkeys_run_success 1\n") {
			t.Errorf("the metrics of %s:\n%s", m.Name, text)
		}
		if len(s.controller.Read(t, snapshots+m.Name+".kks")) == 0 {
			t.Errorf("the recording of %s is empty", m.Name)
		}
	}
	if !strings.Contains(out, "CN={{ 6 * 7 }}") || strings.Contains(out, "CN=42") {
		t.Errorf("the name of a certificate is not told as it is:\n%s", out)
	}

	plays, out, code = s.play(t, vars)
	s.found(t, "second run", plays, out, code, false)
	plays, out, code = s.play(t, vars, "--check")
	s.found(t, "check mode", plays, out, code, false)
	s.facts(t)
	s.fleet(t)

	vars["kkeys_audit_flags"] = []string{"--check", "KK-SB-001", "--no-such-flag"}
	if plays, out, code = s.play(t, vars, "--limit=good"); code != 2 || plays["good"].failed != 1 {
		t.Errorf("an audit that cannot be made: %+v, exit code %d\n%s", plays, code, out)
	}

	vars["kkeys_audit_flags"], vars["kkeys_snapshot_age"], vars["kkeys_fail_on_unknown"] = []string{"--check", "KK-SB-001"}, 0, true
	dress(t, bad, "6.12-enrolled.kks")
	if err := good.Files(t).RemoveAll("sys/firmware/efi/efivars"); err != nil {
		t.Fatal(err)
	}
	if plays, out, code = s.play(t, vars); code != 2 || plays["bad"].failed != 0 || plays["bad"].changed == 0 || plays["other"].failed != 0 || plays["good"].failed != 1 {
		t.Errorf("one machine mended, and one that cannot tell, where that is a failure: %+v, exit code %d\n%s", plays, code, out)
	}
	if out, errs, code := run(t, s.controller.Command(t, "/srv/bin/kkeys", "--snapshot", snapshots+"bad.kks", "audit", "--check", "KK-SB-001")); code != 0 {
		t.Errorf("its new recording: exit code %d\n%s%s", code, out, errs)
	}
}

// found holds a run against what it has to say: only the bad machine fails, for Secure Boot, and all are changed or none is.
func (s *site) found(t *testing.T, what string, plays map[string]play, out string, code int, changed bool) {
	t.Helper()
	for _, m := range s.machines {
		p, failed := plays[m.Name], 0
		if m.Name == "bad" {
			failed = 1
		}
		if p.failed != failed || changed != (p.changed > 0) {
			t.Errorf("%s: %s: %+v", what, m.Name, p)
		}
	}
	if code != 2 || strings.Count(out, "kkeys audit: KK-SB-001\"") != 1 {
		t.Errorf("%s: exit code %d, and not one machine failed for Secure Boot", what, code)
	}
	if t.Failed() {
		t.Fatal(out)
	}
}

// facts are flat, and tell the machines apart.
func (s *site) facts(t *testing.T) {
	t.Helper()
	ask := s.controller.Command(t, "/usr/bin/ansible", "-i", "/srv/hosts", "all", "-m", "ansible.builtin.setup", "-a", "filter=ansible_local", "-e", "ansible_python_interpreter=/usr/bin/python3")
	ask.Env = append(ask.Env, "ANSIBLE_NOCOLOR=1")
	out := must(t, ask)
	for i, m := range s.machines {
		var answer struct {
			Facts struct {
				Local struct{ Kkeys map[string]any } `json:"ansible_local"`
			} `json:"ansible_facts"`
		}
		_, text, _ := strings.Cut(out, m.Name+" | SUCCESS => ")
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&answer); err != nil {
			t.Fatalf("ansible tells of %s: %v\n%s", m.Name, err, out)
		}
		facts := answer.Facts.Local.Kkeys
		if facts["secure_boot"] != (i != 1) || facts["setup_mode"] != (i == 1) || facts["efi"] != true || len(facts) < 15 {
			t.Errorf("the fact of %s: %v", m.Name, facts)
		}
		for name, value := range facts {
			switch value.(type) {
			case map[string]any, []any:
				t.Errorf("the fact is not flat: %s is %v", name, value)
			}
		}
	}
}

// fleet: the recordings that were fetched, side by side.
func (s *site) fleet(t *testing.T) {
	t.Helper()
	out, errs, code := run(t, s.controller.Command(t, "/srv/bin/kkeys", "audit", "--snapshots", snapshots, "--json", "--check", "KK-SB-001"))
	got := map[string]bool{}
	for line := range strings.Lines(out) {
		var machine struct {
			File   string
			Checks []struct{ Result string }
		}
		if err := json.Unmarshal([]byte(line), &machine); err != nil || len(machine.Checks) != 1 {
			t.Fatalf("%v: %s", err, line)
		}
		got[filepath.Base(machine.File)] = machine.Checks[0].Result == "pass"
	}
	if want := map[string]bool{"good.kks": true, "bad.kks": false, "other.kks": true}; code != 1 || !maps.Equal(got, want) {
		t.Errorf("the recordings: exit code %d, %v, not %v\n%s%s", code, got, want, out, errs)
	}
}
