//go:build lab

package contrib_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kkeys/internal/lab"
)

const textfile = "/var/lib/prometheus/node-exporter/kkeys.prom" // where Debian's node exporter looks

// unit are the settings of a systemd unit, key by key, in their order.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	for line := range strings.Lines(string(read(t, name))) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(key, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings
}

// serve runs the service's command as systemd would: as root with the capabilities that the unit leaves, without new privileges.
func serve(t *testing.T, h *lab.Host) {
	t.Helper()
	s := unit(t, "prometheus/kkeys-audit.service")
	command := strings.NewReplacer("${KKEYS_TEXTFILE}", strings.TrimPrefix(s["Environment"][0], "KKEYS_TEXTFILE="), " $KKEYS_AUDIT", "").Replace(s["ExecStart"][0])
	bounds := "-all"
	for _, capability := range strings.Fields(s["CapabilityBoundingSet"][0]) {
		bounds += ",+" + strings.ToLower(strings.TrimPrefix(capability, "CAP_"))
	}
	argv := append([]string{"--no-new-privs", "--bounding-set=" + bounds, "--inh-caps=-all"}, strings.Fields(command)...)
	_, errs, code := run(t, h.Command(t, "/usr/bin/setpriv", argv...))
	if !strings.Contains(" 0 "+s["SuccessExitStatus"][0]+" ", fmt.Sprintf(" %d ", code)) {
		t.Fatalf("%q: exit code %d is a failure for systemd: %s", argv, code, errs)
	}
}

// background starts a program that runs until the test ends.
func background(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%q:\n%s", cmd.Args, text)
		}
	})
}

// until asks until the answer is right.
func until(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ask(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 90 seconds", what)
		}
	}
}

// fetch is what a server on the host answers; empty: nothing yet.
func fetch(t *testing.T, h *lab.Host, url string) string {
	t.Helper()
	out, _, _ := run(t, h.Command(t, "/bin/busybox", "wget", "-q", "-O", "-", url))
	return out
}

// series are the names of the samples in a text of metrics, their labels sorted.
func series(text string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		if name, labels, found := strings.Cut(line, "{"); found && strings.HasPrefix(name, "kkeys_") {
			pairs := regexp.MustCompile(`\w+="(?:[^"\\]|\\.)*"`).FindAllString(labels, -1)
			slices.Sort(pairs)
			all[fmt.Sprint(name, pairs)] = true
		} else if name, _, found := strings.Cut(line, " "); found && strings.HasPrefix(name, "kkeys_") {
			all[name] = true
		}
	}
	return all
}

// firing are the alerts that Prometheus has firing; nil: it does not answer.
func firing(t *testing.T, h *lab.Host) map[string]bool {
	t.Helper()
	var answer struct {
		Status string
		Data   struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if json.Unmarshal([]byte(fetch(t, h, "http://127.0.0.1:9090/api/v1/alerts")), &answer) != nil || answer.Status != "success" {
		return nil
	}
	found := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" && a.Labels["instance"] == "127.0.0.1:9100" {
			found[a.Labels["alertname"]] = true
		}
	}
	return found
}

// A machine without Secure Boot: the service writes the file, the node exporter reads it, Prometheus scrapes that and the alert fires; when Secure Boot is on, it ends.
func TestLabPrometheus(t *testing.T) {
	h := host(t, "bad", "6.1-off.kks")
	must(t, h.Command(t, "/bin/busybox", "mkdir", "-p", "/var/lib/prometheus/node-exporter", "/srv/data"))
	must(t, h.Command(t, "/bin/busybox", "chown", "prometheus:prometheus", "/var/lib/prometheus/node-exporter", "/srv/data"))
	serve(t, h)
	asPrometheus := func(argv ...string) *exec.Cmd {
		return h.Command(t, "/usr/bin/setpriv", append([]string{"--reuid=101", "--regid=101", "--clear-groups"}, argv...)...)
	}
	background(t, asPrometheus("/usr/bin/prometheus-node-exporter", "--web.listen-address=127.0.0.1:9100", "--collector.disable-defaults", "--collector.textfile",
		"--collector.textfile.directory=/var/lib/prometheus/node-exporter"))
	until(t, "the node exporter", func() bool {
		return strings.Contains(fetch(t, h, "http://127.0.0.1:9100/metrics"), "\nkkeys_run_success 1\n")
	})
	scraped := fetch(t, h, "http://127.0.0.1:9100/metrics")
	passed, wrote := series(scraped), series(string(h.Read(t, textfile)))
	for s := range wrote {
		if !passed[s] {
			t.Errorf("the node exporter does not pass on %s", s)
		}
	}
	if len(wrote) < 30 {
		t.Errorf("kkeys wrote %d series", len(wrote))
	}
	for _, line := range []string{"node_textfile_scrape_error 0\n", "kkeys_secure_boot_enabled 0\n", "kkeys_secure_boot_setup_mode 1\n", `node_textfile_mtime_seconds{file="` + textfile + `"}`} {
		if !strings.Contains(scraped, "\n"+line) {
			t.Errorf("the node exporter says nothing like %s", line)
		}
	}

	rules := regexp.MustCompile(`(?m)^( +for:) .*$`).ReplaceAllString(string(read(t, "prometheus/kkeys.rules.yml")), "$1 1s")
	h.Write(t, "/srv/kkeys.rules.yml", []byte(rules), 0o644)
	h.Write(t, "/srv/prometheus.yml", []byte("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [kkeys.rules.yml]\n"+
		"scrape_configs:\n  - {job_name: node, static_configs: [{targets: ['127.0.0.1:9100']}]}\n"), 0o644)
	background(t, asPrometheus("/usr/bin/prometheus", "--config.file=/srv/prometheus.yml", "--storage.tsdb.path=/srv/data", "--web.listen-address=127.0.0.1:9090"))
	until(t, "an alert that Secure Boot is off", func() bool { return firing(t, h)["KkeysSecureBootOff"] })
	until(t, "an alert of severe findings", func() bool { return firing(t, h)["KkeysFindingsSevere"] })
	if alerts := firing(t, h); alerts["KkeysAuditStale"] || alerts["KkeysAuditFailed"] || alerts["KkeysShimValidationOff"] {
		t.Errorf("without reason: %v", alerts)
	}

	dress(t, h, "6.12-enrolled.kks")
	serve(t, h)
	until(t, "the end of the alert", func() bool { alerts := firing(t, h); return alerts != nil && !alerts["KkeysSecureBootOff"] })
	h.Write(t, textfile, regexp.MustCompile(`(?m)^(kkeys_run_timestamp_seconds) .*`).ReplaceAll(h.Read(t, textfile), []byte("$1 1.7e9")), 0o644)
	until(t, "an alert that the audit is old", func() bool { return firing(t, h)["KkeysAuditStale"] })
}
