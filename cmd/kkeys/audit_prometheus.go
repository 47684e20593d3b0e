package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kkeys/audit"
	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/machine"
)

// metric is one of Prometheus' text format: all are gauges. What is not known has no sample.
type metric struct {
	name, help string
	samples    []sample
}

type sample struct {
	labels [][2]string
	value  float64
}

func (m *metric) add(value float64, labels ...[2]string) {
	m.samples = append(m.samples, sample{labels, value})
}

// certificatesMax bounds the series of certificates: those that end first are told of.
const certificatesMax = 200

// metrics are those of an audit. No timestamp, and no label that grows with the machine: no series for a module, and no more than certificatesMax for
// certificates.
func metrics(d *auditDocument) []metric {
	f := d.facts
	enforced := f.Kernel.Enforced.Answer
	if f.Modular.Answer == evidence.No { // there is nothing to enforce
		enforced = evidence.Unknown
	}
	all := []metric{
		yesNoMetric("kkeys_secure_boot_enabled", "Whether Secure Boot is on.", f.Firmware.SecureBoot.Answer),
		yesNoMetric("kkeys_secure_boot_setup_mode", "Whether the firmware is in setup mode.", f.Firmware.SetupMode.Answer),
		yesNoMetric("kkeys_shim_validation_disabled", "Whether shim checks nothing that it starts.", f.Firmware.ValidationDisabled.Answer),
		lockdownMetric(f.Kernel.Lockdown),
		yesNoMetric("kkeys_module_sig_enforced", "Whether modules without a trusted signature are refused.", enforced),
		ringMetric(f.Stores),
		certificateMetric(f.Stores),
		moduleMetric(d),
		loadedMetric(f),
		pendingMetric(f),
		freeMetric(f.Space),
	}
	findings := metric{name: "kkeys_audit_findings", help: "Checks that failed or warn and that nobody waives."}
	for _, severity := range audit.Severities {
		findings.add(float64(d.Findings[string(severity)]), [2]string{"severity", string(severity)})
	}
	checks := metric{name: "kkeys_audit_checks", help: "Checks by result."}
	for _, r := range audit.Results {
		checks.add(float64(d.Summary[strings.ReplaceAll(string(r), "-", "_")]), [2]string{"result", string(r)})
	}
	result := metric{name: "kkeys_audit_check_result", help: "The result of each check; the value is always 1."}
	for _, c := range d.report.Checks {
		result.add(1, [2]string{"check", c.ID}, [2]string{"severity", string(c.Severity)}, [2]string{"result", string(c.Result)}, [2]string{"waived", strconv.FormatBool(c.Waived)})
	}
	all = append(all, findings, checks, result)
	if n, compared := d.drifted(); compared {
		drift := metric{name: "kkeys_audit_drift", help: "Changes since the baseline that nobody waives."}
		drift.add(float64(n))
		all = append(all, drift)
	}
	return append(all, runMetrics(f.Now, 1)...)
}

// failureMetrics are what is left of an audit that failed.
func failureMetrics(now time.Time) []metric { return runMetrics(now, 0) }

func runMetrics(now time.Time, success float64) []metric {
	at := metric{name: "kkeys_run_timestamp_seconds", help: "When the audit was made, in seconds since 1970."}
	at.add(float64(now.Unix()))
	ok := metric{name: "kkeys_run_success", help: "Whether the audit could be made, whatever it found."}
	ok.add(success)
	build := metric{name: "kkeys_build_info", help: "The version of kkeys; the value is always 1."}
	build.add(1, [2]string{"version", version})
	return []metric{at, ok, build}
}

func yesNoMetric(name, help string, a evidence.Answer) metric {
	m := metric{name: name, help: help}
	if a != evidence.Unknown {
		m.add(map[evidence.Answer]float64{evidence.Yes: 1}[a])
	}
	return m
}

func lockdownMetric(mode string) metric {
	m := metric{name: "kkeys_lockdown_info", help: "The kernel's lockdown mode; the value is always 1."}
	if slices.Contains([]string{"none", "integrity", "confidentiality"}, mode) {
		m.add(1, [2]string{"mode", mode})
	}
	return m
}

func ringMetric(stores []audit.Store) metric {
	m := metric{name: "kkeys_keyring_keys", help: "Keys in the kernel's keyrings, without hashes."}
	for _, s := range stores {
		if s.Kind == audit.Keyring && s.Err == nil && !s.Absent {
			m.add(float64(len(s.Keys)), [2]string{"keyring", s.Name})
		}
	}
	return m
}

// certificateMetric has a series for each certificate in a store; the lists of what is refused are none. Of several with the same labels the one that
// expires first counts: an alert waits for it.
func certificateMetric(stores []audit.Store) metric {
	m := metric{name: "kkeys_certificate_not_after_timestamp_seconds", help: "When a trusted certificate expires, in seconds since 1970."}
	type listed struct {
		store string
		certs.Details
	}
	var all []listed
	at := map[string]int{}
	for _, s := range stores {
		for _, k := range s.Keys {
			for _, c := range k.Certificates {
				id := s.Name + " " + c.KeyID + " " + c.Subject
				i, there := at[id]
				switch {
				case s.Refuses() || c.NotAfter == nil:
				case !there:
					at[id], all = len(all), append(all, listed{s.Name, c})
				case c.NotAfter.Before(*all[i].NotAfter):
					all[i].Details = c
				}
			}
		}
	}
	if len(all) > certificatesMax {
		slices.SortStableFunc(all, func(a, b listed) int { return a.NotAfter.Compare(*b.NotAfter) })
		all = all[:certificatesMax]
	}
	for _, c := range all {
		m.add(float64(c.NotAfter.Unix()), [2]string{"store", c.store}, [2]string{"ski", c.KeyID}, [2]string{"subject", c.Subject})
	}
	return m
}

// moduleStates are the values of the label state.
var moduleStates = []string{"trusted", "untrusted", "unsigned", "broken", "unknown"}

func moduleMetric(d *auditDocument) metric {
	m := metric{name: "kkeys_modules", help: "Installed modules by how their signature stands."}
	for _, tree := range d.facts.Trees {
		if len(tree.Modules) == 0 {
			continue
		}
		counts := map[string]int{}
		for _, module := range tree.Modules {
			counts[module.Counted(d.facts, d.policy)]++
		}
		for _, state := range moduleStates {
			m.add(float64(counts[state]), [2]string{"kernel", tree.Release}, [2]string{"state", state})
		}
	}
	return m
}

// loadedMetric has the four flags that modules bring along.
func loadedMetric(f audit.Facts) metric {
	m := metric{name: "kkeys_loaded_modules_tainted", help: "Loaded modules that taint the kernel, by flag: P proprietary, O out of tree, F forced, E unsigned."}
	if f.LoadedErr != nil || f.Loaded == nil {
		return m
	}
	for _, flag := range []string{"P", "O", "F", "E"} {
		n := 0
		for _, l := range f.Loaded {
			if strings.Contains(l.Taint, flag) {
				n++
			}
		}
		m.add(float64(n), [2]string{"flag", flag})
	}
	return m
}

func pendingMetric(f audit.Facts) metric {
	m := metric{name: "kkeys_mok_request_pending", help: "Whether a request waits for MokManager, or what is left of one."}
	if f.EFI == evidence.Yes && f.NoVariables == nil && len(f.Pending.NotSeen) == 0 {
		m.add(map[bool]float64{true: 1}[len(f.Pending.Requests)+len(f.Pending.Orphans) > 0])
	}
	return m
}

func freeMetric(space audit.Space) metric {
	m := metric{name: "kkeys_efivars_free_bytes", help: "Free bytes in the firmware's storage of EFI variables."}
	if space.Total > 0 {
		m.add(float64(space.Free))
	}
	return m
}

// exposition is the text format, version 0.0.4.
func exposition(all []metric) string {
	var b strings.Builder
	for _, m := range all {
		if len(m.samples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", m.name, m.help, m.name)
		for _, s := range m.samples {
			b.WriteString(m.name)
			for i, l := range s.labels {
				fmt.Fprintf(&b, `%s%s="%s"`, cmp.Or(map[int]string{0: "{"}[i], ","), l[0], labelEscapes.Replace(printable.Text(l[1])))
			}
			if len(s.labels) > 0 {
				b.WriteByte('}')
			}
			fmt.Fprintf(&b, " %s\n", strconv.FormatFloat(s.value, 'f', -1, 64))
		}
	}
	return b.String()
}

// labelEscapes are those of the text format.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sayMetrics writes them to standard output, or to a file that appears whole and that every user may read, as the node exporter must.
func (s *session) sayMetrics(all []metric, output string) error {
	text := exposition(all)
	if output == "" {
		s.write(text)
		return nil
	}
	if err := machine.ReplaceFile(output, []byte(text), 0o644); err != nil {
		return failed("%w: %w", errOutput, err)
	}
	return nil
}

// errOutput: the file for metrics could not be written, so that no failure can be told in it either.
var errOutput = errors.New("--output")
