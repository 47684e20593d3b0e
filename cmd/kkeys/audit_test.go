package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kkeys/audit"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/machine/machinetest"
)

var updateAudit = flag.Bool("update-audit", false, "write the golden files of testdata/audit anew")

// auditDay is the clock of these tests: just before the waiver that is the shorter of the two has ended, and just after.
var auditDay = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// auditOn runs `kkeys audit` at a time.
func auditOn(t *testing.T, now time.Time, m *machine.Machine, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), args, streams{in: strings.NewReader(""), out: &out, err: &errs, environment: func(string) string { return "" }, clock: func() time.Time { return now }}, m)
	return result{code, out.String(), errs.String()}
}

// audited is the JSON of an audit, held against its schema.
func audited(t *testing.T, now time.Time, m *machine.Machine, args ...string) (auditDocument, result) {
	t.Helper()
	got := auditOn(t, now, m, append(args, "--json")...)
	if err := validate("audit", []byte(got.out)); err != nil {
		t.Fatalf("%v\n%s%s", err, got.out, got.err)
	}
	var d auditDocument
	if err := json.Unmarshal([]byte(got.out), &d); err != nil {
		t.Fatal(err)
	}
	return d, got
}

// recordedNames are the recorded machines.
func recordedNames(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(machines, "*.kks"))
	if err != nil || len(files) < 14 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".kks"))
	}
	return names
}

func snapshotOf(t testing.TB, name string) *machine.Machine {
	t.Helper()
	m, err := machine.Snapshot(filepath.Join(machines, name+".kks"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The whole audit of each recorded machine is as it was reviewed. -update-audit writes what it is now, to be reviewed again.
func TestAuditGolden(t *testing.T) {
	for _, name := range recordedNames(t) {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata/audit", name+".json")
			_, got := audited(t, auditDay, nil, "--snapshot", filepath.Join(machines, name+".kks"), "audit", "--policy", "testdata/audit/policy.toml")
			if *updateAudit {
				if err := os.WriteFile(golden, []byte(got.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.out != string(want) {
				t.Errorf("not as in %s:\n%s", golden, got.out)
			}
			if got.code != exitNo { // one waiver has expired, everywhere
				t.Errorf("exit code %d", got.code)
			}
		})
	}
}

func (d auditDocument) check(t *testing.T, id string) checkDocument {
	t.Helper()
	i := slices.IndexFunc(d.Checks, func(c checkDocument) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no check %s", id)
	}
	return d.Checks[i]
}

func (c checkDocument) about(subject string) *aboutDocument {
	for i, s := range c.Subjects {
		if (s.Subject == nil && subject == "") || (s.Subject != nil && *s.Subject == subject) {
			return &c.Subjects[i]
		}
	}
	return nil
}

// withModules puts a module's file and /proc/modules on a recorded machine.
func withModules(loaded string, files map[string][]byte) func(*machine.Machine) {
	all := map[string]string{"proc/modules": loaded}
	for name, data := range files {
		all["lib/modules/"+release61+"/"+name] = string(data)
	}
	return with(all)
}

// What is planted on a machine that was well is found, and nothing else is.
func TestAuditPlanted(t *testing.T) {
	mine := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec
	stranger := certtest.Spec{Subject: certtest.Name{certtest.CN("nowhere")}, SKID: []byte{8}, Key: certtest.RSA(2048, 32)}
	b := bench{t, "6.1-enrolled"}
	good := b.signed(b.plain(), mine, "sha256")
	const driver = "driver 16384 0 - Live 0x0\n"
	path := "/lib/modules/" + release61 + "/extra/driver.ko"
	plant := func(key keyring.Key) func(*machine.Machine) {
		return func(m *machine.Machine) {
			recorded := m.Keyrings.(keyring.Recorded)
			recorded.Found = slices.Clone(recorded.Found)
			ring := keyring.Named(recorded.Found, keyring.Machine)
			ring.Keys = append(slices.Clone(ring.Keys), key)
			m.Keyrings = recorded
		}
	}
	policy := write(t, "policy.toml", `version = 1
[keys]
trust = ["kernel", "vendor"]
[[keys.allow]]
file = "mine.der"
stores = ["mok", ".machine", "modules"]
[[keys.allow]]
key_id = "13adbf4309bd82709c8cd54f316ed522988a1bd4"
[[keys.allow]]
key_id = "a92902398e16c49778cd90f99e4f9ae17c55af53"
`, filepath.Join(machines, "mine.der"))
	narrow := write(t, "narrow.toml", "version = 1\n[keys]\ntrust = [\"kernel\", \"vendor\"]\n")
	for _, c := range []struct {
		why     string
		change  func(*machine.Machine)
		policy  string
		id      string
		result  audit.Result
		subject string
		says    string
	}{
		{"a module signed by the enrolled key", withModules(driver, map[string][]byte{"extra/driver.ko": good}), policy, audit.InstalledID, audit.Pass, "", "1 of " + release61},
		{"it is loaded", withModules(driver, map[string][]byte{"extra/driver.ko": good}), policy, audit.LoadedID, audit.Pass, "", "1 modules are loaded"},
		{"an unsigned module", withModules(driver, map[string][]byte{"extra/driver.ko": b.plain()}), policy, audit.InstalledID, audit.Fail, path, "not signed"},
		{"it is loaded", withModules("driver 16384 0 - Live 0x0 (OE)\n", map[string][]byte{"extra/driver.ko": good}), policy, audit.LoadedID, audit.Fail, "driver", "taint E"},
		{"the file of a loaded module is unsigned", withModules(driver, map[string][]byte{"extra/driver.ko": b.plain()}), policy, audit.LoadedID, audit.Fail, "driver", "not signed"},
		{"one of two files is", withModules(driver, map[string][]byte{"extra/driver.ko": good, "updates/driver.ko": b.plain()}), policy, audit.LoadedID, audit.Fail, "driver", "updates/driver.ko: not signed"},
		{"a loaded module without a file", withModules("other 1 0 - Live 0x0 (O)\n", map[string][]byte{"extra/driver.ko": good}), policy, audit.LoadedID, audit.Unknown, "other", "no file of its name"},
		{"a stranger's module", withModules(driver, map[string][]byte{"extra/driver.ko": b.signed(b.plain(), stranger, "sha256")}), policy, audit.InstalledID, audit.Fail, path, "a key that was not found: CN=nowhere"},
		{"a stranger's module, and a key of the kernel's was not found", func(m *machine.Machine) {
			withModules(driver, map[string][]byte{"extra/driver.ko": b.signed(b.plain(), stranger, "sha256")})(m)
			plant(keyring.Key{Serial: 99, Type: keyring.TypeAsymmetric, Description: "evil: 0a0b0c"})(m)
		}, policy, audit.InstalledID, audit.Unknown, path, "a key that was not found"},
		{"a key of .platform alone", func(m *machine.Machine) {
			withModules(driver, map[string][]byte{"extra/driver.ko": good})(m)
			recorded := m.Keyrings.(keyring.Recorded)
			recorded.Found = slices.Clone(recorded.Found)
			platform, trusted := keyring.Named(recorded.Found, keyring.Platform), keyring.Named(recorded.Found, keyring.Machine)
			is := func(k keyring.Key) bool { return strings.HasPrefix(k.Description, "lab: mine") }
			at := slices.IndexFunc(trusted.Keys, is)
			platform.Keys = append(slices.Clone(platform.Keys), trusted.Keys[at])
			trusted.Keys = slices.DeleteFunc(slices.Clone(trusted.Keys), is)
			m.Keyrings = recorded
		}, policy, audit.InstalledID, audit.Unknown, path, "not known whether the kernel asks its keyring"},
		{"a changed module", withModules(driver, map[string][]byte{"extra/driver.ko": changed(good)}), policy, audit.InstalledID, audit.Fail, path, "changed"},
		{"the key that signed it is not allowed", withModules(driver, map[string][]byte{"extra/driver.ko": good}), narrow, audit.InstalledID, audit.Fail, path, "which is not allowed"},
		{"a foreign key in .machine", plant(keyring.Key{Serial: 99, Type: keyring.TypeAsymmetric, Description: "evil: 0a0b0c"}), policy, "KK-KEY-001", audit.Fail, ".machine:0a0b0c", "none of the allowed keys"},
		{"none", func(*machine.Machine) {}, policy, "KK-KEY-001", audit.Pass, "", "all allowed"},
		{"the owner's key is foreign to another policy", func(*machine.Machine) {}, narrow, "KK-KEY-002", audit.Fail, "mok:24a6bf11581c3e075f58aa6c77f0ca7c6d024b90", "lab: mine"},
		{"tainted", with(map[string]string{"proc/sys/kernel/tainted": "12288\n"}), policy, "KK-KRN-004", audit.Fail, "E", "without a trusted signature"},
		{"loading is switched off", with(map[string]string{"proc/sys/kernel/modules_disabled": "1\n"}), write(t, "on.toml", "version = 1\n[checks]\non = [\"KK-KRN-003\"]\n"), "KK-KRN-003", audit.Pass, "", "is 1"},
		{"lockdown is not enough", func(*machine.Machine) {}, write(t, "more.toml", "version = 1\n[thresholds]\nlockdown = \"confidentiality\"\n"), "KK-KRN-001", audit.Fail, "", "less than confidentiality"},
		{"no lockdown to be seen", func(m *machine.Machine) {
			m.Files = hidden{hidden{m.Files, "security/lockdown"}, "boot/config"}
		}, policy, "KK-KRN-001", audit.Unknown, "", ""},
		{"longer keys are wanted", func(*machine.Machine) {}, write(t, "long.toml", "version = 1\n[thresholds]\nrsa_bits = 3072\n"), "KK-KEY-005", audit.Fail, "24a6bf11581c3e075f58aa6c77f0ca7c6d024b90", "2048 bits, fewer than 3072"},
		{"more room is wanted", func(*machine.Machine) {}, write(t, "room.toml", "version = 1\n[thresholds]\nnvram_free_fail = 1000000\n"), "KK-SB-005", audit.Fail, "", "fewer than 1000000"},
		{"a hash of dbx is not on .blacklist", func(m *machine.Machine) {
			recorded := m.Keyrings.(keyring.Recorded)
			recorded.Found = slices.Clone(recorded.Found)
			ring := keyring.Named(recorded.Found, keyring.Blacklist)
			ring.Keys = ring.Keys[:20]
			m.Keyrings = recorded
		}, policy, "KK-REV-002", audit.Fail, "mokx", "are not on .blacklist"},
		{"keyrings that were not seen", func(m *machine.Machine) { m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible} }, policy, "KK-KEY-001", audit.Unknown, ".machine", "root only"},
	} {
		t.Run(c.id+" "+c.why, func(t *testing.T) {
			m := snapshotOf(t, "6.1-enrolled")
			c.change(m)
			d, got := audited(t, auditDay, m, "audit", "--policy", c.policy)
			check := d.check(t, c.id)
			if check.Result != c.result || got.code == exitYes {
				t.Fatalf("%s, want %s, exit code %d\n%+v", check.Result, c.result, got.code, check)
			}
			evidence := check.Evidence
			if c.result != audit.Pass {
				about := check.about(c.subject)
				if about == nil || about.Result != c.result {
					t.Fatalf("%+v", check.Subjects)
				}
				evidence = about.Evidence
			}
			if !strings.Contains(evidence, c.says) {
				t.Errorf("%q does not say %q", evidence, c.says)
			}
			if only, _ := audited(t, auditDay, m, "audit", "--policy", c.policy, "--check", c.id); len(only.Checks) != 1 || only.Checks[0].Result != c.result {
				t.Errorf("--check: %+v", only.Checks)
			}
		})
	}
}

// write makes a file, and copies others beside it.
func write(t *testing.T, name, content string, beside ...string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range beside {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func changed(module []byte) []byte {
	module = bytes.Clone(module)
	module[70] ^= 1
	return module
}

// A private key that others can read, and one that only its owner can.
func TestAuditPrivateKeys(t *testing.T) {
	made := machinetest.Installed(t)
	made.Write("var/lib/dkms/mok.key", "not looked into")
	for mode, want := range map[fs.FileMode]audit.Result{0o600: audit.Pass, 0o400: audit.Pass, 0o640: audit.Fail, 0o604: audit.Fail, 0o700: audit.Warn} {
		if err := os.Chmod(filepath.Join(made.Dir, "var/lib/dkms/mok.key"), mode); err != nil {
			t.Fatal(err)
		}
		d, _ := audited(t, auditDay, nil, "--root", made.Dir, "audit", "--check", "KK-KEY-004")
		if got := d.Checks[0]; got.Result != want {
			t.Errorf("%o: %+v", mode, got)
		}
	}
	// On the machine itself another owner than root is a finding.
	key := filepath.Join(made.Dir, "var/lib/dkms/mok.key")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	owners := map[int]audit.Result{os.Getuid(): audit.Fail}
	if os.Getuid() == 0 {
		owners = map[int]audit.Result{0: audit.Pass, 65534: audit.Fail}
	}
	for uid, want := range owners {
		m, err := machine.Directory(made.Dir)
		if err == nil {
			err = os.Chown(key, uid, -1)
		}
		if err != nil {
			t.Fatal(err)
		}
		d, _ := audited(t, auditDay, m, "audit", "--check", "KK-KEY-004")
		if got := d.Checks[0]; got.Result != want {
			t.Errorf("owner %d: %+v", uid, got)
		}
	}
}

// A waiver takes a finding out of the exit code until its day is over; then it is a finding itself.
func TestAuditWaiver(t *testing.T) {
	m := snapshotOf(t, "6.1-off")
	ids := []string{"--check", "KK-KRN-001", "--check", "KK-POL-001"}
	policy := write(t, "policy.toml", "version = 1\n[[waivers]]\ncheck = \"KK-KRN-001\"\nreason = \"kexec is needed\"\nexpires = 2026-11-25\n")
	before, got := audited(t, time.Date(2026, 11, 25, 23, 59, 59, 0, time.UTC), m, append([]string{"audit", "--policy", policy}, ids...)...)
	if c := before.check(t, "KK-KRN-001"); c.Result != audit.Fail || !c.Waived || got.code != exitYes || before.Summary["waived"] != 1 || before.Findings["high"] != 0 {
		t.Errorf("in date: exit code %d, %+v", got.code, before)
	}
	after, got := audited(t, auditDay, m, append([]string{"audit", "--policy", policy}, ids...)...)
	if c := after.check(t, "KK-KRN-001"); c.Result != audit.Fail || c.Waived || got.code != exitNo {
		t.Errorf("expired: exit code %d, %+v", got.code, c)
	}
	if c := after.check(t, "KK-POL-001"); c.Result != audit.Fail || !strings.Contains(c.Evidence, "expired on 2026-11-25; its reason was: kexec is needed") {
		t.Errorf("%+v", c)
	}
	// What is unknown is not waived.
	m.Files = hidden{hidden{m.Files, "security/lockdown"}, "boot/config"}
	if d, got := audited(t, auditDay.AddDate(0, 0, -3), m, append([]string{"audit", "--policy", policy}, ids...)...); d.Checks[0].Waived || got.code != exitUnsure {
		t.Errorf("unknown: exit code %d, %+v", got.code, d.Checks[0])
	}
}

// A baseline of the machine before its owner's key was enrolled, and the machine after: the key is named, in both places where it appeared.
func TestAuditBaseline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.json")
	for range 2 { // the second takes the first's place
		if got := auditOn(t, auditDay, snapshotOf(t, "6.1-declined"), "audit", "--record-baseline", file); got.code != exitYes || !strings.Contains(got.out, "baseline of") {
			t.Fatalf("%+v", got)
		}
	}
	if d, _ := audited(t, auditDay, snapshotOf(t, "6.1-declined"), "audit", "--baseline", file); d.check(t, audit.DriftID).Result != audit.Pass || len(d.Drift) != 0 {
		t.Errorf("nothing has changed: %+v", d.Drift)
	}
	d, got := audited(t, auditDay, snapshotOf(t, "6.1-enrolled"), "audit", "--baseline", file)
	var changes []string
	for _, c := range d.Drift {
		changes = append(changes, c.What+" "+c.Where+" "+text(c.KeyID)+" "+text(c.Name))
	}
	const id = "24a6bf11581c3e075f58aa6c77f0ca7c6d024b90"
	for _, want := range []string{"key-appeared mok " + id + " lab: mine", "key-appeared .machine " + id + " lab: mine"} {
		if !slices.Contains(changes, want) {
			t.Errorf("%s is not among %q", want, changes)
		}
	}
	if !slices.ContainsFunc(d.Drift, func(c changeDocument) bool {
		return c.What == "result-changed" && c.Where == "KK-MOK-001" && text(c.Was) == "warn" && text(c.Is) == "pass"
	}) {
		t.Errorf("the request is gone: %q", changes)
	}
	if c := d.check(t, audit.DriftID); c.Result != audit.Fail || got.code != exitNo {
		t.Errorf("exit code %d, %+v", got.code, c)
	}
	if back, _ := audited(t, auditDay, snapshotOf(t, "6.1-off"), "audit", "--baseline", file); !slices.ContainsFunc(back.Drift, func(c changeDocument) bool { return c.What == "hashes-changed" && c.Where == ".blacklist" }) {
		t.Errorf("the hashes are others: %+v", back.Drift)
	}
	// A store that cannot be seen now is unknown, and one that was not seen then too.
	m := snapshotOf(t, "6.1-declined")
	m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible}
	if d, _ := audited(t, auditDay, m, "audit", "--baseline", file); d.check(t, audit.DriftID).Result != audit.Unknown {
		t.Errorf("keyrings not seen: %+v", d.check(t, audit.DriftID))
	}
	if got := auditOn(t, auditDay, m, "audit", "--record-baseline", file); got.code != exitUnsure {
		t.Errorf("recorded without keyrings: %+v", got)
	}
	if d, _ := audited(t, auditDay, snapshotOf(t, "6.1-declined"), "audit", "--baseline", file); d.check(t, audit.DriftID).Result != audit.Unknown {
		t.Errorf("keyrings not seen then: %+v", d.check(t, audit.DriftID))
	}
}

// The drift alone is the same as in a whole run: results of checks that are not named are compared, those of modules too.
func TestAuditDriftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.json")
	record := func(m *machine.Machine) {
		t.Helper()
		if got := auditOn(t, auditDay, m, "audit", "--record-baseline", file); got.code != exitYes {
			t.Fatalf("%+v", got)
		}
	}
	alone := []string{"audit", "--baseline", file, "--check", audit.DriftID}
	record(snapshotOf(t, "6.12-lockdown"))
	if got := auditOn(t, auditDay, snapshotOf(t, "6.12-off"), append(alone, "--format", "sce")...); got.code != sceFail || strings.Count(got.out, "\n") != 1 {
		t.Errorf("%+v", got)
	}
	b := bench{t, "6.1-enrolled"}
	good := b.signed(b.plain(), certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec, "sha256")
	with := func(module []byte) *machine.Machine {
		m := snapshotOf(t, "6.1-enrolled")
		withModules("driver 16384 0 - Live 0x0\n", map[string][]byte{"extra/driver.ko": module})(m)
		return m
	}
	record(with(good))
	for want, module := range map[audit.Result][]byte{audit.Pass: good, audit.Fail: b.plain()} {
		if d, _ := audited(t, auditDay, with(module), alone...); len(d.Checks) != 1 || d.Checks[0].Result != want {
			t.Errorf("%+v", d.Checks)
		}
	}
	off := write(t, "off.toml", "version = 1\n[checks]\noff = [\"KK-MOD-001\", \"KK-MOD-002\"]\n")
	if d, _ := audited(t, auditDay, with(b.plain()), append(alone, "--policy", off)...); d.Checks[0].Result != audit.Pass {
		t.Errorf("modules are not asked about: %+v", d.Checks)
	}
}
