//go:build lab

package contrib_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kkeys/internal/lab"
	"kkeys/machine"
)

// program writes kkeys for this machine.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kkeys")
	if err := os.WriteFile(path, lab.Binary(t, "kkeys/cmd/kkeys"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// tree unpacks a recorded machine's files and adds what a recording leaves out: modules, installed and loaded.
func tree(t *testing.T, recording string) string {
	t.Helper()
	root := t.TempDir()
	m, err := machine.Snapshot(machines + recording)
	if err != nil {
		t.Fatal(err)
	}
	add := func(path string, data []byte) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, top := range []string{"sys", "proc", "etc"} {
		err := fs.WalkDir(m.Files, top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if data, err := fs.ReadFile(m.Files, path); err == nil {
				add(path, data)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	release, err := fs.ReadFile(m.Files, "proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	add("lib/modules/"+strings.TrimSpace(string(release))+"/kernel/dummy.ko", lab.Module(t, lab.Kernel612, "dummy"))
	add("proc/modules", []byte("dummy 16384 0 - Live 0x0000000000000000 (OE)\n"))
	return root
}

// written are the metrics that kkeys writes: of a recorded machine with a baseline of another, and of one with modules.
func written(t *testing.T) (texts []string) {
	t.Helper()
	kkeys, baseline := program(t), filepath.Join(t.TempDir(), "baseline.json")
	audit := func(flags ...string) string {
		t.Helper()
		out, errs, code := run(t, exec.Command(kkeys, append([]string{"audit", "--format", "prometheus"}, flags...)...))
		if code != 0 && code != 1 && code != 3 {
			t.Fatalf("kkeys audit %q: exit code %d: %s", flags, code, errs)
		}
		return out
	}
	audit("--snapshot", machines+"6.12-declined.kks", "--record-baseline", baseline)
	return []string{audit("--snapshot", machines+"6.12-enrolled.kks", "--baseline", baseline), audit("--root", tree(t, "6.12-off.kks"))}
}

func TestLabMetrics(t *testing.T) {
	for _, text := range written(t) {
		check := lab.Tool(t, "/usr/bin/promtool", "check", "metrics")
		check.Stdin = strings.NewReader(text)
		if out, errs, code := run(t, check); code != 0 || out+errs != "" {
			t.Errorf("promtool check metrics: exit code %d\n%s%s\n%s", code, out, errs, text)
		}
	}
}

var ours = regexp.MustCompile(`\bkkeys_[a-z0-9_]+\b`)

// Each alert has a test of its own, and each metric that an alert or the dashboard asks for is one that kkeys writes.
func TestLabRules(t *testing.T) {
	rules := string(read(t, "prometheus/kkeys.rules.yml"))
	exprs := regexp.MustCompile(`(?m)^ +expr: (.*)$`).FindAllStringSubmatch(rules, -1)
	alerts := regexp.MustCompile(`(?m)^ +- alert: (.*)$`).FindAllStringSubmatch(rules, -1)
	if len(exprs) < 10 || len(exprs) != len(alerts) {
		t.Fatalf("%d alerts, %d expressions", len(alerts), len(exprs))
	}
	tests := string(read(t, "prometheus/kkeys.rules.test.yml"))
	for _, alert := range alerts {
		good, bad := "alertname: "+alert[1]+"}", "alertname: "+alert[1]+"\n        exp_alerts:"
		if !strings.Contains(tests, good) || !strings.Contains(tests, bad) {
			t.Errorf("%s has no test that it fires, or none that it does not", alert[1])
		}
	}
	for _, args := range [][]string{{"check", "rules", "prometheus/kkeys.rules.yml"}, {"test", "rules", "prometheus/kkeys.rules.test.yml"}} {
		if out, errs, code := run(t, lab.Tool(t, "/usr/bin/promtool", args...)); code != 0 || !strings.Contains(out, "SUCCESS") {
			t.Errorf("promtool %q: exit code %d\n%s%s", args, code, out, errs)
		}
	}

	for _, command := range regexp.MustCompile("`kkeys audit[^`]*`").FindAllString(rules, -1) {
		if !strings.Contains(command, " --policy FILE") && !strings.Contains(command, " --baseline FILE") && !strings.Contains(command, " --format") {
			t.Errorf("%s does not find what only a policy or a baseline knows of", command)
		}
	}

	panels := dashboard(t)
	var file strings.Builder
	file.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, expr := range panels {
		fmt.Fprintf(&file, "  - {record: \"panel%d\", expr: %s}\n", i, quoted(t, expr))
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := run(t, lab.Tool(t, "/usr/bin/promtool", "check", "rules", path)); code != 0 || !strings.Contains(out, fmt.Sprintf("SUCCESS: %d rules found", len(panels))) {
		t.Errorf("promtool check rules, of the dashboard: exit code %d\n%s%s", code, out, errs)
	}

	have := strings.Join(written(t), "")
	for _, match := range exprs {
		panels = append(panels, match[1])
	}
	for _, expr := range panels {
		names := ours.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%q asks for none of our metrics", expr)
		}
		for _, name := range names {
			if !strings.Contains(have, "# TYPE "+name+" gauge\n") {
				t.Errorf("%q asks for %s, which kkeys does not write", expr, name)
			}
		}
		for _, selector := range regexp.MustCompile(`\b(kkeys_[a-z0-9_]+)\{([^}]*)\}`).FindAllStringSubmatch(expr, -1) {
			for _, match := range matcher.FindAllStringSubmatch(selector[2], -1) {
				if match[1] != "instance" && match[1] != "job" && !writes(have, selector[1], match) { // those two are Prometheus' own
					t.Errorf("%q asks for %s of %s, which kkeys does not write", expr, match[0], selector[1])
				}
			}
		}
	}
}

// matcher is one of a selector: label, operator, value.
var matcher = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)

// writes tells whether a sample of that metric has the label, with a value of those that the matcher names: with != and !~ that is one which it leaves out.
func writes(have, name string, match []string) bool {
	value := match[3]
	if !strings.HasSuffix(match[2], "~") {
		value = regexp.QuoteMeta(value)
	}
	return regexp.MustCompile(`(?m)^` + name + `\{(.*,)?` + match[1] + `="(` + value + `)"[,}]`).MatchString(have)
}

// A panel that shows 0 for a machine without samples, by itself or in a sum, needs one that counts such machines. The numbers of an audit have no need: one that could not be made has an
// alert, and any other has them all.
func TestLabDashboardUnknown(t *testing.T) {
	panels, zero := dashboard(t), 0
	for _, expr := range panels {
		name := ours.FindString(expr)
		if strings.Contains(expr, "unless") || strings.HasPrefix(name, "kkeys_audit_") || !strings.Contains(expr, "or vector(0)") && !strings.HasPrefix(expr, "sum(") {
			continue
		}
		zero++
		counts := func(other string) bool {
			_, known, found := strings.Cut(other, "kkeys_build_info{instance=~\"$instance\"} unless on (instance, job) (")
			return found && slices.Contains(ours.FindAllString(known, -1), name)
		}
		if !slices.ContainsFunc(panels, counts) {
			t.Errorf("%q shows what is not known as 0, and no panel tells of it", expr)
		}
	}
	if zero < 4 {
		t.Errorf("%d panels show 0 where there are no samples", zero)
	}

	// The query of that panel: a is known, each other machine lacks one of the four or, as the last, all.
	query := panels[slices.IndexFunc(panels, func(expr string) bool { return strings.Contains(expr, "unless") })]
	path := filepath.Join(t.TempDir(), "unknown.test.yml")
	file := "evaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n"
	needed := []string{"kkeys_secure_boot_enabled", "kkeys_module_sig_enforced", "kkeys_shim_validation_disabled", "kkeys_mok_request_pending"}
	for i, machine := range []string{"b", "c", "d", "e", "a", "f"} {
		for j, name := range append([]string{"kkeys_build_info"}, needed...) {
			if machine == "f" && j > 0 || j == i+1 {
				continue
			}
			file += fmt.Sprintf("  - {series: %s, values: '0x5'}\n", quoted(t, fmt.Sprintf("%s{instance=%q}", name, machine)))
		}
	}
	file += "  promql_expr_test:\n"
	for instances, count := range map[string]int{".*": 5, "a": 0, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1} {
		file += fmt.Sprintf("  - {expr: %s, eval_time: 1m, exp_samples: [{labels: '{}', value: %d}]}\n", quoted(t, strings.ReplaceAll(query, "$instance", instances)), count)
	}
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := run(t, lab.Tool(t, "/usr/bin/promtool", "test", "rules", path)); code != 0 || !strings.Contains(out, "SUCCESS") {
		t.Errorf("promtool test rules: exit code %d\n%s%s", code, out, errs)
	}
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	data, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// dashboard are the expressions of its panels.
func dashboard(t *testing.T) (exprs []string) {
	t.Helper()
	var board struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID          int
			Title, Type string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "prometheus/dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || board.Title == "" || board.SchemaVersion < 30 || len(board.Panels) < 10 {
		t.Errorf("a dashboard with uid %q, title %q, schema %d, %d panels", board.UID, board.Title, board.SchemaVersion, len(board.Panels))
	}
	var ids []int
	for _, p := range board.Panels {
		if slices.Contains(ids, p.ID) || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H == 0 || !slices.Contains([]string{"stat", "table", "timeseries"}, p.Type) || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q: id used twice, not on the grid, of type %q, or without a query", p.ID, p.Title, p.Type)
		}
		ids = append(ids, p.ID)
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	return exprs
}
