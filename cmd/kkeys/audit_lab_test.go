//go:build lab

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kkeys/audit"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// labPolicy allows what a fresh Debian machine in the lab trusts, and nothing else; of its two waivers one ended long ago.
const labPolicy = `version = 1
[keys]
trust = ["kernel", "vendor"]
[[keys.allow]]
key_id = "13adbf4309bd82709c8cd54f316ed522988a1bd4"
[[keys.allow]]
key_id = "a92902398e16c49778cd90f99e4f9ae17c55af53"
[[waivers]]
check = "KK-KEY-006"
reason = "Microsoft's certificates of 2011 have ended"
expires = 2099-12-31
[[waivers]]
check = "KK-SB-004"
reason = "their successors are on their way"
expires = 2020-12-31
`

// auditOf decodes an audit of the guest.
func auditOf(t *testing.T, out lab.Output) auditDocument {
	t.Helper()
	if out.Code != exitNo && out.Code != exitUnsure && out.Code != exitYes {
		t.Errorf("exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	return decoded[auditDocument](t, "audit", out)
}

// TestLabAudit: a machine that is well; then a foreign key is enrolled, an unsigned module installed, a waiver ends and a baseline no longer fits: each is
// found, and named.
func TestLabAudit(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			foreign := certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 12))
			whole := lab.Module(t, kernel, "dummy")
			folder := "/lib/modules/" + kernel.Release(t) + "/extra/"
			files := inGuest(t, map[string][]byte{"policy.toml": []byte(labPolicy), "foreign.der": foreign.DER, "bare.ko": lab.Strip(t, whole)})
			files["/boot/vmlinuz-"+kernel.Release(t)] = lab.File{Data: kernelImage(t, kernel), Mode: 0o644}
			files[folder+"dummy.ko"] = lab.File{Data: whole, Mode: 0o644}
			load := lab.Shell("insmod " + folder + "dummy.ko")
			l := &life{t: t, kernel: kernel, files: files}
			out := l.boot(nil, load,
				kkeys("audit", "--policy", "/srv/policy.toml", "--json"),
				lab.Shell("kkeys audit --record-baseline /tmp/baseline >&2; cat /tmp/baseline"),
				lab.Shell("kkeys audit --baseline /tmp/baseline --check KK-DRF-001"),
				labStaging("enroll", "/srv/foreign.der"))
			expect(t, out[0], 0)
			well := auditOf(t, out[1])
			for id, want := range map[string]audit.Result{
				"KK-SB-001": audit.Pass, "KK-SB-002": audit.Pass, "KK-SB-003": audit.Pass, "KK-KRN-001": audit.Pass, "KK-KRN-002": audit.Pass, "KK-KRN-004": audit.Pass,
				audit.InstalledID: audit.Pass, "KK-KEY-001": audit.Pass, "KK-KEY-002": audit.Pass, "KK-REV-001": audit.Fail /* OVMF has only a placeholder */, "KK-REV-002": audit.Pass, "KK-MOK-001": audit.Pass, "KK-MOK-002": audit.Pass,
			} {
				if c := well.check(t, id); c.Result != want {
					t.Errorf("well: %s is %s: %s", id, c.Result, c.Evidence)
				}
			}
			if c := well.check(t, audit.LoadedID); c.about("dummy") != nil || c.Result == audit.Fail {
				t.Errorf("dummy is signed by Debian: %s", c.Evidence)
			}
			if c := well.check(t, "KK-POL-001"); c.Result != audit.Fail || !strings.Contains(c.Evidence, "expired on 2020-12-31") {
				t.Errorf("the waiver that has expired: %s", c.Evidence)
			}
			if c := well.check(t, "KK-KEY-006"); !c.Waived {
				t.Errorf("the waiver in date: %+v", c)
			}
			expect(t, out[3], exitYes, "1 check: 1 pass")
			expect(t, out[4], exitYes)

			files["/srv/baseline"] = lab.File{Data: out[2].Stdout, Mode: 0o600}
			files[folder+"bare.ko"] = lab.File{Data: lab.Strip(t, whole), Mode: 0o644}
			out = l.boot(lab.Enroll(1, password), kkeys("audit", "--policy", "/srv/policy.toml", "--baseline", "/srv/baseline", "--json"),
				kkeys("audit", "--policy", "/srv/policy.toml", "--format", "nagios"), kkeys("audit", "--format", "prometheus", "--output", "/tmp/k.prom"), lab.Shell("cat /tmp/k.prom"),
				lab.Shell("date -u +%s"))
			planted := auditOf(t, out[0])
			id := ""
			for _, c := range planted.Drift {
				if c.What == "key-appeared" && text(c.Name) == "lab: foreign" {
					id += " " + c.Where
				}
			}
			if !strings.Contains(id, " .machine") || !strings.Contains(id, " mok") {
				t.Errorf("the key appeared in %q: %+v", id, planted.Drift)
			}
			if planted.check(t, audit.DriftID).Result != audit.Fail {
				t.Errorf("%+v", planted.check(t, audit.DriftID))
			}
			for _, store := range []string{"KK-KEY-001", "KK-KEY-002"} {
				c := planted.check(t, store)
				if c.Result != audit.Fail || !slices.ContainsFunc(c.Subjects, func(s aboutDocument) bool { return strings.Contains(s.Evidence, "lab: foreign") }) {
					t.Errorf("the foreign key: %+v", c)
				}
			}
			if about := planted.check(t, audit.InstalledID).about(folder + "bare.ko"); about == nil || about.Result != audit.Fail {
				t.Errorf("the unsigned module: %+v", planted.check(t, audit.InstalledID))
			}
			expect(t, out[1], 2, "KKEYS CRITICAL - ", "bare.ko: not signed")
			if all := parsed(t, string(out[3].Stdout)); all[`kkeys_modules{kernel="`+kernel.Release(t)+`",state="unsigned"}`] != 1 || all["kkeys_run_success"] != 1 || time.Unix(int64(all["kkeys_run_timestamp_seconds"]), 0).Year() < 2020 {
				t.Errorf("%s", out[3].Stdout)
			}
		})
	}
}
