package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kkeys/audit"
	"kkeys/internal/certtest"
	"kkeys/machine"
	"kkeys/machine/machinetest"
)

// perfdata is one number of a plugin's performance data: 'label'=value[UOM];[warn];[crit];[min];[max].
var perfdata = regexp.MustCompile(`^[a-z]+=[0-9]+(;[0-9]*){0,4}$`)

// A plugin's first line has its state and performance data, and its exit code is that state.
func TestAuditNagios(t *testing.T) {
	for _, c := range []struct {
		name, begin string
		code        int
		args        []string
	}{
		{"6.1-off", "KKEYS CRITICAL - 4 findings: KK-SB-001, KK-", 2, nil},
		{"6.1-pending", "KKEYS WARNING - 4 findings: ", 1, nil},
		{"6.1-own-keys", "KKEYS WARNING - 1 finding: KK-REV-001", 1, nil},
		{"6.1-own-keys", "KKEYS UNKNOWN - no finding, 2 checks are not known", 3, []string{"--check", "KK-MOD-001", "--check", "KK-MOD-002"}},
		{"6.1-own-keys", "KKEYS OK - no finding", 0, []string{"--check", "KK-SB-001"}},
		{"6.1-off", "KKEYS CRITICAL - 1 finding: ", 2, []string{"--check", "KK-SB-001"}},
		{"6.1-off", "KKEYS UNKNOWN - ", 3, []string{"--policy", "/nowhere.toml"}},
		{"6.1-off", "KKEYS UNKNOWN - ", 3, []string{"--nonsense"}},
		{"nowhere", "KKEYS UNKNOWN - ", 3, nil},
	} {
		got := auditOn(t, auditDay, nil, append([]string{"--snapshot", filepath.Join(machines, c.name+".kks"), "audit", "--format", "nagios"}, c.args...)...)
		if got.code != c.code || !strings.HasPrefix(got.out, c.begin) {
			t.Errorf("%s %v: %d, want %d\n%s", c.name, c.args, got.code, c.code, got.out)
		}
		first, _, _ := strings.Cut(got.out, "\n")
		if strings.Count(got.out, "|") > 1 {
			t.Errorf("%s: more than one bar\n%s", c.name, got.out)
		}
		if _, data, has := strings.Cut(first, " | "); has {
			for word := range strings.FieldsSeq(data) {
				if !perfdata.MatchString(word) {
					t.Errorf("%s: %q is no performance data", c.name, word)
				}
			}
		} else if c.code != 3 {
			t.Errorf("%s: no performance data: %s", c.name, first)
		}
	}
}

func TestAuditSCE(t *testing.T) {
	all := write(t, "off.toml", "version = 1\n[checks]\noff = [\"KK-SB-001\"]\n")
	for _, c := range []struct {
		name string
		code int
		args []string
	}{
		{"6.1-enrolled", 101, []string{"--check", "KK-SB-001"}},
		{"6.1-off", 102, []string{"--check", "KK-SB-001"}},
		{"6.1-off", 103, []string{"--policy", "/nowhere.toml"}},
		{"nowhere", 103, nil},
		{"6.1-off", 103, []string{"--check", "KK-NO-001"}},
		{"6.1-off", 104, []string{"--check", "KK-MOD-001"}},
		{"6.1-off", 105, []string{"--check", "KK-REV-001"}},
		{"6.1-off", 106, []string{"--check", "KK-SB-001", "--policy", all}},
		{"6.1-off", 102, nil},
	} {
		got := auditOn(t, auditDay, nil, append([]string{"--snapshot", filepath.Join(machines, c.name+".kks"), "audit", "--format=sce"}, c.args...)...)
		if got.code != c.code || got.out == "" {
			t.Errorf("%s %v: %d, want %d\n%s%s", c.name, c.args, got.code, c.code, got.out, got.err)
		}
	}
}

// series is a line of the text format.
var series = regexp.MustCompile(`^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)*\})? (\S+)$`)

// parsed reads metrics in the text format strictly: HELP, TYPE and samples of a metric stand together, no series is there twice, no timestamp.
func parsed(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all, seen, current := map[string]float64{}, map[string]bool{}, ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if help, is := strings.CutPrefix(line, "# HELP "); is {
			current, _, _ = strings.Cut(help, " ")
			if seen[current] {
				t.Errorf("line %d: %s is there twice", i+1, current)
			}
			seen[current] = true
			continue
		}
		if line == "# TYPE "+current+" gauge" {
			continue
		}
		m := series.FindStringSubmatch(line)
		if m == nil || m[1] != current {
			t.Errorf("line %d: %q", i+1, line)
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if _, twice := all[m[1]+m[2]]; err != nil || twice {
			t.Errorf("line %d: %q: %v", i+1, line, err)
		}
		all[m[1]+m[2]] = value
	}
	return all
}

func TestAuditPrometheus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kkeys.prom")
	for range 2 { // the second takes the first's place
		got := auditOn(t, auditDay, nil, "--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "audit", "--format", "prometheus", "--output", file)
		if got.code != exitNo || got.out != "" {
			t.Fatalf("%+v", got)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left beside it: %v, %v", left, err)
	}
	all := parsed(t, string(text))
	for name, want := range map[string]float64{
		"kkeys_secure_boot_enabled": 1, "kkeys_secure_boot_setup_mode": 0, "kkeys_shim_validation_disabled": 0, `kkeys_lockdown_info{mode="integrity"}`: 1,
		"kkeys_module_sig_enforced": 1, `kkeys_keyring_keys{keyring=".machine"}`: 2, "kkeys_mok_request_pending": 0, "kkeys_efivars_free_bytes": 223320,
		`kkeys_audit_findings{severity="medium"}`: 2, `kkeys_audit_findings{severity="critical"}`: 0, "kkeys_run_timestamp_seconds": float64(auditDay.Unix()), "kkeys_run_success": 1,
		`kkeys_build_info{version="` + version + `"}`: 1, `kkeys_audit_checks{result="unknown"}`: 2,
		`kkeys_certificate_not_after_timestamp_seconds{store="mok",ski="24a6bf11581c3e075f58aa6c77f0ca7c6d024b90",subject="CN=lab: mine"}`: 2335219200,
	} {
		if got, there := all[name]; !there || got != want {
			t.Errorf("%s: %v, %v, want %v", name, got, there, want)
		}
	}
	for name := range all { // what is not known has no sample
		if strings.HasPrefix(name, "kkeys_loaded_modules_tainted") || strings.HasPrefix(name, "kkeys_modules{") {
			t.Errorf("%s is not known", name)
		}
	}
	// A failure leaves what monitors need to see it.
	got := auditOn(t, auditDay, nil, "--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "audit", "--format", "prometheus", "--output", file, "--policy", "/nowhere.toml")
	text, err = os.ReadFile(file)
	if all := parsed(t, string(text)); err != nil || got.code != exitFailed || all["kkeys_run_success"] != 0 || len(all) != 3 {
		t.Errorf("%v, %+v\n%s", err, got, text)
	}
	if got := auditOn(t, auditDay, nil, "--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "audit", "--format", "prometheus", "--output", "/nowhere/x.prom"); got.code != exitFailed {
		t.Errorf("a folder that is not there: %+v", got)
	}
}

// Modules are counted by state and loaded ones by flag, never named; names in certificates are escaped.
func TestAuditMetricsOfModules(t *testing.T) {
	m := snapshotOf(t, "6.1-enrolled")
	b := bench{t, "6.1-enrolled"}
	mine := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec
	good := b.signed(b.plain(), mine, "sha256")
	withModules("driver 1 0 - Live 0x0 (POE)\nother 1 0 - Live 0x0 (O)\n", map[string][]byte{"a.ko": good, "b.ko": good, "c.ko": b.plain(), "d.ko": changed(good)})(m)
	all := parsed(t, auditOn(t, auditDay, m, "audit", "--format", "prometheus").out)
	for name, want := range map[string]float64{
		`kkeys_modules{kernel="` + release61 + `",state="trusted"}`: 2, `kkeys_modules{kernel="` + release61 + `",state="unsigned"}`: 1, `kkeys_modules{kernel="` + release61 + `",state="broken"}`: 1,
		`kkeys_modules{kernel="` + release61 + `",state="untrusted"}`: 0, `kkeys_loaded_modules_tainted{flag="O"}`: 2, `kkeys_loaded_modules_tainted{flag="E"}`: 1, `kkeys_loaded_modules_tainted{flag="F"}`: 0,
	} {
		if got, there := all[name]; !there || got != want {
			t.Errorf("%s: %v, %v, want %v", name, got, there, want)
		}
	}
	none := snapshotOf(t, "6.1-enrolled")
	withModules("", nil)(none)
	if n, there := parsed(t, auditOn(t, auditDay, none, "audit", "--format", "prometheus").out)[`kkeys_loaded_modules_tainted{flag="E"}`]; !there || n != 0 {
		t.Errorf("no module is loaded, which is known: %v, %v", n, there)
	}
	made := machinetest.Installed(t)
	evil := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("a\"b\\c\n} 1\x1b[31m|x")}, SKID: []byte{3}})
	made.Enrolled(evil.DER)
	out := auditOn(t, auditDay, nil, "--root", made.Dir, "audit", "--format", "prometheus").out
	n := 0
	for name := range parsed(t, out) {
		if strings.Contains(name, `store="mok"`) {
			n++
		}
	}
	if n != 1 || strings.Contains(out, "\x1b") {
		t.Errorf("%d certificates in mok\n%s", n, out)
	}
	policy := write(t, "policy.toml", "version = 1\n[keys]\ntrust = [\"vendor\"]\n")
	for _, format := range []string{"table", "nagios", "sce"} {
		out := auditOn(t, auditDay, nil, "--root", made.Dir, "audit", "--policy", policy, "--format", format).out
		if strings.Contains(out, "\x1b") || !strings.Contains(out, "mok:03") || format == "nagios" && strings.Count(out, "|") != 1 {
			t.Errorf("%s:\n%s", format, out)
		}
	}
}

// Many machines: a line each, in the order of the files; what is damaged or no recording has its own, and makes the exit code worse.
func TestAuditSnapshots(t *testing.T) {
	dir := t.TempDir()
	data := map[string][]byte{}
	for _, name := range []string{"6.1-own-keys", "6.1-off"} {
		text, err := os.ReadFile(filepath.Join(machines, name+".kks"))
		if err != nil {
			t.Fatal(err)
		}
		data[name] = text
	}
	put := func(name string, text []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	policy := write(t, "policy.toml", "version = 1\n[checks]\noff = [\"KK-MOD-001\", \"KK-MOD-002\", \"KK-REV-001\"]\n")
	run := func(want int) (lines []auditDocument) {
		t.Helper()
		got := auditOn(t, auditDay, nil, "audit", "--snapshots", dir, "--policy", policy, "--json")
		for line := range strings.Lines(got.out) {
			if err := validate("audit", []byte(line)); err != nil {
				t.Error(err)
			}
			var d auditDocument
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, d)
		}
		if got.code != want {
			t.Errorf("exit code %d, want %d\n%s", got.code, want, got.err)
		}
		return lines
	}
	if lines := run(exitUnsure); len(lines) != 1 || lines[0].Error == nil {
		t.Errorf("an empty folder: %+v", lines)
	}
	put("b/good.kks", data["6.1-own-keys"])
	if lines := run(exitYes); len(lines) != 1 || !lines[0].OK || text(lines[0].Host) != "good" || lines[0].Recorded == nil || !lines[0].Recorded.Before(*lines[0].Time) {
		t.Errorf("%+v", lines)
	}
	put("a.kks", data["6.1-off"])
	if lines := run(exitNo); len(lines) != 2 || lines[0].OK || !lines[1].OK {
		t.Errorf("%+v", lines)
	}
	put("c.kks", data["6.1-off"][:len(data["6.1-off"])/2])
	put("d.kks", []byte("something else"))
	put("e.kks", nil)
	put("README", []byte("no machine"))
	lines := run(exitFailed)
	var files []string
	for i, d := range lines {
		files = append(files, filepath.Base(*d.File))
		if broken := i >= 2; (d.Error != nil) != broken || broken && (d.Error.Code != "no-snapshot" || d.OK) {
			t.Errorf("%s: %+v", *d.File, d.Error)
		}
	}
	if want := []string{"a.kks", "good.kks", "c.kks", "d.kks", "e.kks"}; !slices.Equal(files, want) {
		t.Errorf("%q, want %q", files, want)
	}
	got := auditOn(t, auditDay, nil, "audit", "--snapshots", dir)
	if n := strings.Count(got.out, "\n"); got.code != exitFailed || n != 1+5+1 || !strings.Contains(got.err, "the name does not end in .kks: 1 file") || strings.Count(got.err, "kkeys: error: ") != 3 {
		t.Errorf("%d lines\n%s%s", n, got.out, got.err)
	}
	if got := auditOn(t, auditDay, nil, "audit", "--snapshots", filepath.Join(dir, "nowhere"), "--json"); got.code != exitFailed || validate("audit", []byte(got.out)) != nil {
		t.Errorf("%+v", got)
	}
	if got := auditOn(t, auditDay, nil, "audit", "--snapshots", dir, "-q"); got.code != exitFailed || got.out+got.err != "" {
		t.Errorf("--quiet: %+v", got)
	}
}

// A machine without EFI whose kernel loads no modules is no failure.
func TestAuditContainer(t *testing.T) {
	made := machinetest.Empty(t)
	if err := os.RemoveAll(filepath.Join(made.Dir, "sys")); err != nil {
		t.Fatal(err)
	}
	made.Write("proc/sys/kernel/osrelease", "6.12.0-monolithic\n")
	made.Write("proc/sys/kernel/tainted", "0\n")
	d, got := audited(t, auditDay, nil, "--root", made.Dir, "audit")
	if got.code != exitUnsure || d.Summary["fail"]+d.Summary["warn"] > 0 {
		t.Errorf("%d\n%s", got.code, got.out)
	}
	const config = "boot/config-6.12.0-monolithic"
	for _, c := range []struct {
		why   string
		files map[string]string
		root  bool
		want  audit.Result
	}{
		{"no file tells, below a folder", nil, true, audit.Unknown},
		{"no file tells", nil, false, audit.NotApplicable},
		{"the configuration says no", map[string]string{config: "CONFIG_X86=y\n# CONFIG_MODULES is not set\n"}, true, audit.NotApplicable},
		{"the configuration says yes", map[string]string{config: "CONFIG_MODULES=y\n"}, false, audit.Unknown},
		{"only /proc/modules", map[string]string{"proc/modules": ""}, false, audit.Unknown},
		{"only modules_disabled", map[string]string{"proc/sys/kernel/modules_disabled": "0\n"}, false, audit.Unknown},
		{"no release", map[string]string{"proc/sys/kernel/osrelease": ""}, false, audit.Unknown},
	} {
		t.Run(c.why, func(t *testing.T) {
			made := machinetest.Empty(t)
			made.Write("proc/sys/kernel/osrelease", "6.12.0-monolithic\n")
			for name, text := range c.files {
				made.Write(name, text)
			}
			m, err := machine.Directory(made.Dir)
			if err != nil {
				t.Fatal(err)
			}
			d, _ := audited(t, auditDay, m, "audit", "--check", "KK-MOD-002")
			if c.root {
				d, _ = audited(t, auditDay, nil, "--root", made.Dir, "audit", "--check", "KK-MOD-002")
			}
			if d.Checks[0].Result != c.want {
				t.Errorf("%+v", d.Checks[0])
			}
		})
	}
}
