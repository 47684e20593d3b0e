//go:build lab

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/machine"
	"kkeys/mok"
)

// These tests run kkeys on a real Secure Boot machine: see package lab.

var kernels = []lab.Kernel{lab.Kernel61, lab.Kernel612}

const (
	password = "lab Pass.123"
	nobody   = 65534
	rejected = 129 // EKEYREJECTED, with which busybox's insmod ends
)

// inGuest are the files of every machine here: kkeys, the password, and what a test adds.
func inGuest(t *testing.T, more map[string][]byte) map[string]lab.File {
	t.Helper()
	files := map[string]lab.File{
		"/usr/bin/kkeys": {Data: lab.Binary(t, "kkeys/cmd/kkeys"), Mode: 0o755},
		"/srv/password":  {Data: []byte(password + "\n"), Mode: 0o600},
	}
	for name, data := range more {
		files["/srv/"+name] = lab.File{Data: data, Mode: 0o644}
	}
	return files
}

// kkeys is a run of it in the guest, in /srv.
func kkeys(args ...string) lab.Command {
	return lab.Command{Argv: append([]string{"/usr/bin/kkeys"}, args...)}
}

// boots boots the machine and gives what each command left.
func boots(t *testing.T, m lab.Machine) *lab.Run {
	t.Helper()
	run, err := m.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	for i, out := range run.Outputs {
		t.Logf("%s: exit code %d %s\n%s%s", strings.Join(m.Commands[i].Argv, " "), out.Code, out.Failure, printableOutput(out.Stdout), printableOutput(out.Stderr))
	}
	return run
}

func printableOutput(b []byte) string {
	if len(b) > 4000 || strings.ContainsRune(string(b), 0) {
		return fmt.Sprintf("(%d bytes)\n", len(b))
	}
	return string(b)
}

// expect checks a command's exit code and parts of its two streams.
func expect(t *testing.T, out lab.Output, code int, parts ...string) {
	t.Helper()
	if out.Code != code {
		t.Errorf("exit code %d %s, want %d\n%s%s", out.Code, out.Failure, code, out.Stdout, out.Stderr)
	}
	for _, part := range parts {
		if !strings.Contains(string(out.Stdout)+string(out.Stderr), part) {
			t.Errorf("no %q in\n%s%s", part, out.Stdout, out.Stderr)
		}
	}
}

// decoded checks a document against its schema and decodes it.
func decoded[T any](t *testing.T, command string, out lab.Output) T {
	t.Helper()
	var document T
	if err := validate(command, out.Stdout); err != nil {
		t.Errorf("%s: %v", command, err)
	}
	if err := json.Unmarshal(out.Stdout, &document); err != nil {
		t.Fatalf("%v\n%s%s", err, out.Stdout, out.Stderr)
	}
	return document
}

// describeAll prints what keyctl knows of each keyring: a line `ring NAME SERIAL`, then `key SERIAL` with the raw description.
const describeAll = `for ring in .builtin_trusted_keys .secondary_trusted_keys .machine .platform .blacklist; do
	echo "ring $ring $(keyctl id %:$ring)"
	for key in $(keyctl rlist %:$ring); do echo "key $key $(keyctl rdescribe $key)"; done
done`

// The rings, keys, ids and links are those that keyctl and the kernel log tell of.
func TestLabList(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			run := boots(t, lab.Machine{Kernel: kernel, Files: inGuest(t, nil), Commands: []lab.Command{
				kkeys("list", "--json", "--blacklist"), lab.Shell(describeAll), kkeys("list"),
			}})
			expect(t, run.Outputs[0], exitYes)
			document := decoded[listDocument](t, "list", run.Outputs[0])
			if len(document.NotSeen) > 0 {
				t.Errorf("not seen: %v", document.NotSeen)
			}

			// Our document in the words of keyctl.
			var ours []string
			logged := map[string]bool{}
			for _, ring := range document.Keyrings {
				ours = append(ours, "ring "+ring.Name+" "+ring.Serial)
				for _, key := range ring.Keys {
					ours = append(ours, fmt.Sprintf("key %s %s %s", key.Serial, key.Type, key.Description))
					if key.Type == "asymmetric" {
						logged[key.Description] = true
					}
				}
				for _, link := range ring.Linked {
					ours = append(ours, "link "+link)
				}
			}
			slices.Sort(ours)
			if theirs := fromKeyctl(t, string(run.Outputs[1].Stdout)); !slices.Equal(ours, theirs) {
				t.Errorf("kkeys tells\n%s\nkeyctl tells\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
			}
			var log []string
			for _, match := range regexp.MustCompile(`Loaded X\.509 cert '(.*)'`).FindAllStringSubmatch(run.Log(), -1) {
				if !slices.Contains(log, match[1]) {
					log = append(log, match[1])
				}
			}
			slices.Sort(log)
			if keys := slices.Sorted(maps.Keys(logged)); !slices.Equal(keys, log) {
				t.Errorf("kkeys lists\n%s\nthe kernel logged\n%s", strings.Join(keys, "\n"), strings.Join(log, "\n"))
			}
			checkDebian(t, document)
			expect(t, run.Outputs[2], exitYes, ".secondary_trusted_keys: 0 keys, links ", "CN=Debian Secure Boot CA")
		})
	}
}

// fromKeyctl turns the output of describeAll into the lines that ours are compared with.
func fromKeyctl(t *testing.T, text string) []string {
	t.Helper()
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		name, value, _ := strings.Cut(rest, " ")
		var serial uint32
		if kind == "ring" {
			if _, err := fmt.Sscan(value, &serial); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines = append(lines, fmt.Sprintf("ring %s %08x", name, serial))
			continue
		}
		if _, err := fmt.Sscan(name, &serial); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		fields := strings.SplitN(value, ";", 5)
		if fields[0] == "keyring" {
			lines = append(lines, "link "+fields[4])
		} else {
			lines = append(lines, fmt.Sprintf("key %08x %s %s", serial, fields[0], fields[4]))
		}
	}
	slices.Sort(lines)
	return lines
}

// checkDebian checks what is known of a fresh Debian machine from elsewhere.
func checkDebian(t *testing.T, document listDocument) {
	t.Helper()
	for _, ring := range document.Keyrings {
		consulted := "null"
		if ring.Consulted != nil {
			consulted = fmt.Sprint(*ring.Consulted)
		}
		want := map[string]string{".builtin_trusted_keys": "true", ".secondary_trusted_keys": "true", ".machine": "true", ".platform": "null", ".blacklist": "false"}[ring.Name]
		if consulted != want {
			t.Errorf("%s is consulted: %s, want %s", ring.Name, consulted, want)
		}
		for _, key := range ring.Keys {
			where := map[string]string{".machine": "mok", ".platform": "db"}[ring.Name]
			if where == "" {
				continue
			}
			if key.Certificate == nil || !slices.Contains(key.FoundIn, where) || key.Certificate.KernelName != key.Description {
				t.Errorf("%s: %q was found in %v", ring.Name, key.Description, key.FoundIn)
			}
		}
		if ring.Name == ".blacklist" && ring.HashCount < 100 {
			t.Errorf(".blacklist has %d hashes", ring.HashCount)
		}
	}
	if len(document.Keyrings) != 5 {
		t.Errorf("%d keyrings, want 5", len(document.Keyrings))
	}
}

// requests prints which request variables there are.
const requests = "cd /sys/firmware/efi/efivars && ls | grep -E '^Mok(New|Del|X|Auth|SB-|PW|DB|ListTrustedNew|Timeout)' | grep -v RT; true"

// receiptsOf is the output of stages with the receipts, which nothing but the next boot's files carries over.
const receiptsOf = 9

// stages boots a machine in which kkeys stages the enrolment.
func stages(t *testing.T, kernel lab.Kernel, certificate []byte) *lab.Run {
	t.Helper()
	run := boots(t, lab.Machine{Kernel: kernel, Files: inGuest(t, map[string][]byte{"mine.der": certificate}), Commands: []lab.Command{
		kkeys("pending"),
		kkeys("enroll", "/srv/mine.der", "--dry-run"),
		lab.Shell(requests),
		kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password"),
		lab.Shell(requests),
		kkeys("pending", "--json"),
		kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password"),
		kkeys("trusted", "/srv/mine.der"),
		lab.Shell("mokutil --list-new"),
		lab.Shell("cat /var/lib/kkeys/receipts.json"),
		lab.Shell("cat /proc/sys/kernel/random/boot_id"),
		lab.Shell("stat -c %a /var/lib/kkeys /var/lib/kkeys/receipts.json; ls -A /var/lib/kkeys"),
	}})
	expect(t, run.Outputs[0], exitNo, "nothing is pending")
	expect(t, run.Outputs[1], exitYes, "would be staged", "[Enroll MOK]")
	expect(t, run.Outputs[2], 0)
	if got := string(run.Outputs[2].Stdout); got != "" {
		t.Errorf("--dry-run left %s", got)
	}
	expect(t, run.Outputs[3], exitYes, "/srv/mine.der: staged", "MokNew-605dab50", "MokAuth-605dab50")
	if got, want := string(run.Outputs[4].Stdout), "MokAuth-605dab50-e046-4300-abb6-3dd810dd8b23\nMokNew-605dab50-e046-4300-abb6-3dd810dd8b23\n"; got != want {
		t.Errorf("variables %q, want %q", got, want)
	}
	pending := decoded[pendingDocument](t, "pending", run.Outputs[5])
	if len(pending.Requests) != 1 || pending.Requests[0].Kind != "enroll" || len(pending.Requests[0].Keys) != 1 || pending.Requests[0].Problem != nil {
		t.Errorf("pending: %+v", pending)
	}
	expect(t, run.Outputs[6], exitNo, "already pending")
	expect(t, run.Outputs[7], exitNo, "untrusted")
	expect(t, run.Outputs[8], 0, "Subject: CN=lab: mine")
	receipts, err := mok.ParseReceipts(run.Outputs[receiptsOf].Stdout)
	if err != nil || len(receipts) != 1 || len(receipts[0].Certificates) != 1 || receipts[0].Certificates[0].SHA256 != sha256.Sum256(certificate) ||
		receipts[0].Boot != strings.TrimSpace(string(run.Outputs[10].Stdout)) {
		t.Errorf("receipts: %+v, %v", receipts, err)
	}
	expect(t, run.Outputs[11], 0, "755\n644\nreceipts.json\n")
	return run
}

// A certificate is enrolled through the real MokManager; then the kernel trusts it, and what it signed loads.
func TestLabEnroll(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			mine, foreign := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11)), certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 12))
			twin := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 13)) // another key under the same name
			leaf := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("lab: leaf")}, SKID: []byte("leaf"), Signer: mine, Key: certtest.RSA(2048, 14)})
			staged := stages(t, kernel, mine.DER)

			module := lab.Strip(t, lab.Module(t, kernel, "dummy"))
			files := inGuest(t, map[string][]byte{
				"mine.der": mine.DER, "mine.pem": mine.PEM(), "foreign.der": foreign.DER, "twin.der": twin.DER, "leaf.der": leaf.DER,
				"mine.key":   mine.KeyPEM(t),
				"signed.ko":  lab.SignFile(t, "sha256", mine.KeyPEM(t), mine.DER, module),
				"foreign.ko": lab.SignFile(t, "sha256", foreign.KeyPEM(t), foreign.DER, module),
				"leaf.ko":    lab.SignFile(t, "sha256", leaf.KeyPEM(t), leaf.DER, module),
			})
			files["/var/lib/kkeys/receipts.json"] = lab.File{Data: staged.Outputs[receiptsOf].Stdout, Mode: 0o644}
			user := func(c lab.Command) lab.Command { c.UID = nobody; return c }
			run := boots(t, lab.Machine{Kernel: kernel, Variables: staged.Variables, Firmware: lab.Enroll(1, password), Files: files, Commands: []lab.Command{
				kkeys("list", "machine", "--json"),
				kkeys("trusted", "/srv/mine.der", "--json"),
				kkeys("trusted", "/srv/mine.pem"),
				kkeys("trusted", "/srv/foreign.der"),
				kkeys("trusted", "/srv/leaf.der"),
				lab.Shell("insmod /srv/foreign.ko"),
				lab.Shell("insmod /srv/leaf.ko"),
				lab.Shell("insmod /srv/signed.ko && rmmod dummy"),
				lab.Shell(requests),
				kkeys("pending"),
				kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password"),
				lab.Shell(requests),
				user(kkeys("trusted", "/srv/mine.der")),
				user(kkeys("trusted", "/srv/foreign.der")),
				user(kkeys("list")),
				lab.Shell("cd /tmp && mokutil --export --db && /usr/bin/kkeys trusted /tmp/DB-0001.der"),
				lab.Shell("unshare -m sh -c 'mount -t tmpfs none /sys/firmware && kkeys list'"),
				lab.Shell("unshare -m sh -c 'mount -t tmpfs none /sys/firmware && kkeys enroll /srv/foreign.der --password-file /srv/password'"),
				lab.Shell("cat /proc/sys/kernel/tainted"),
				kkeys("trusted", "/srv/twin.der"),
				user(kkeys("trusted", "/srv/leaf.der")),
				kkeys("trusted", "--prove", "--key", "/srv/mine.key", "/srv/mine.der"), // 21
				kkeys("trusted", "--prove", "/srv/mine.der", "/srv/foreign.der"),
				kkeys("trusted", "--prove", "/tmp/DB-0001.der"),
				kkeys("trusted", "/srv/signed.ko", "--prove"),
				kkeys("trusted", "/srv/foreign.ko"),
				kkeys("trusted", "--prove", "/srv/leaf.der"),
				kkeys("status"),
				lab.Shell("cat /proc/sys/kernel/tainted; cat /proc/modules | grep kkeys; true"),
				asSnapshot,
				kkeys("trusted", "--prove", "/srv/foreign.ko"), // 30
				kkeys("status", "--prove"),
			}})
			machine := decoded[listDocument](t, "list", run.Outputs[0])
			found := false
			for _, key := range machine.Keyrings[0].Keys {
				found = found || strings.HasPrefix(key.Description, "lab: mine: ") && slices.Contains(key.FoundIn, "mok")
			}
			if !found {
				t.Errorf("the key is not listed: %s", run.Outputs[0].Stdout)
			}
			expect(t, run.Outputs[1], exitYes)
			verdict := decoded[trustedDocument](t, "trusted", run.Outputs[1]).Subjects[0]
			if verdict.Verdict != "trusted" || verdict.Proof == nil || *verdict.Proof != "keyring-restriction" || verdict.Keyring == nil || *verdict.Keyring != ".machine" {
				t.Errorf("verdict %s", run.Outputs[1].Stdout)
			}
			expect(t, run.Outputs[2], exitYes, "mine.pem: trusted, .machine (proof: keyring-restriction)")
			expect(t, run.Outputs[3], exitNo, "untrusted", "no keyring holds its key")
			expect(t, run.Outputs[4], exitNo, "does not hold its own key")
			expect(t, run.Outputs[5], rejected)
			expect(t, run.Outputs[6], rejected) // sign-file leaves the leaf's certificate out, so the kernel does not find its key
			expect(t, run.Outputs[7], 0)
			expect(t, run.Outputs[8], 0)
			expect(t, run.Outputs[9], exitNo, "nothing is pending")
			expect(t, run.Outputs[10], exitNo, "already enrolled")
			for _, i := range []int{8, 11} {
				if got := string(run.Outputs[i].Stdout); got != "" {
					t.Errorf("requests are left: %s", got)
				}
			}
			expect(t, run.Outputs[12], exitYes, "mine.der: trusted, .secondary_trusted_keys (proof: keyring-restriction)")
			expect(t, run.Outputs[13], exitUnsure, "unknown")
			expect(t, run.Outputs[14], exitUnsure, "root would see .builtin_trusted_keys")
			expect(t, run.Outputs[15], exitUnsure, "DB-0001.der: unknown", ".platform")
			expect(t, run.Outputs[16], exitYes, ".machine: ", "lab: mine")
			expect(t, run.Outputs[17], exitUnsure, "EFI variables are not available")
			expect(t, run.Outputs[18], 0, "0\n")
			expect(t, run.Outputs[19], exitNo, "untrusted")
			expect(t, run.Outputs[20], exitUnsure, "unknown")
			expect(t, run.Outputs[21], exitYes, "trusted, .machine (proof: load-probe)")
			expect(t, run.Outputs[22], exitNo, "mine.der: trusted", "foreign.der: untrusted", "(proof: load-probe)")
			expect(t, run.Outputs[23], exitUnsure, "unknown, an entry of .platform", "the kernel finds a key that is only in .platform", "cannot be proven by a keyring restriction")
			expect(t, run.Outputs[24], exitYes, "signed.ko: trusted, .machine", "verifies with CN=lab: mine (mok)")
			expect(t, run.Outputs[25], exitUnsure, "foreign.ko: unknown", "no certificate found on this machine")
			expect(t, run.Outputs[26], exitNo, "leaf.der: untrusted (proof: load-probe)")
			expect(t, run.Outputs[27], exitYes, "Secure Boot", "enforced", "integrity")
			expect(t, run.Outputs[28], 0, "0\n")
			if strings.Contains(string(run.Outputs[28].Stdout), "kkeys") {
				t.Errorf("a probe was registered: %s", run.Outputs[28].Stdout)
			}
			expect(t, run.Outputs[30], exitNo, "foreign.ko: untrusted (proof: load-probe)", "no keyring that is consulted has its id")
			expect(t, run.Outputs[31], exitYes, ".platform consulted    yes, proven")
			if fate := fateOf(t, run.Outputs[29], mine.DER); fate.Outcome != mok.Enrolled || !strings.Contains(fate.Evidence, "as kkeys asked") {
				t.Errorf("%s: %s", fate.Outcome, fate.Evidence)
			}
		})
	}
}

// What was declined, left to time out, or tried with a wrong password is not enrolled, and kkeys says so.
func TestLabNotEnrolled(t *testing.T) {
	mine := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11))
	staged := stages(t, lab.Kernel61, mine.DER)
	for name, firmware := range map[string]func(*lab.Console) error{
		"decline": lab.Decline(), "time-out": lab.TimeOut(), "wrong password": lab.WrongPassword(1, "not this one"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := inGuest(t, map[string][]byte{"mine.der": mine.DER})
			files["/var/lib/kkeys/receipts.json"] = lab.File{Data: staged.Outputs[receiptsOf].Stdout, Mode: 0o644}
			run := boots(t, lab.Machine{Variables: staged.Variables, Firmware: firmware, Files: files, Commands: []lab.Command{
				kkeys("pending"), kkeys("trusted", "/srv/mine.der"), kkeys("list", "machine"), lab.Shell(requests),
				asSnapshot, lab.Shell(fullDisk), kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password"), lab.Shell("ls -A /var/lib/kkeys"), asSnapshot,
			}})
			expect(t, run.Outputs[0], exitNo, "nothing is pending")
			expect(t, run.Outputs[1], exitNo, "untrusted")
			expect(t, run.Outputs[2], exitYes, "Debian Secure Boot CA")
			if got := string(run.Outputs[2].Stdout) + string(run.Outputs[3].Stdout); strings.Contains(got, "lab: mine") || strings.Contains(got, "Mok") {
				t.Errorf("something is left: %s", got)
			}
			if fate := fateOf(t, run.Outputs[4], mine.DER); fate.Outcome != mok.Declined || !strings.Contains(fate.Evidence, "kkeys asked for it") {
				t.Errorf("%s: %s", fate.Outcome, fate.Evidence)
			}
			expect(t, run.Outputs[6], exitYes, "/srv/mine.der: staged", "without a receipt", "no space left on device")
			if got := string(run.Outputs[7].Stdout); got != "filler\n" {
				t.Errorf("the full disk has %q", got)
			}
			if fate := fateOf(t, run.Outputs[8], mine.DER); fate.Outcome != mok.Waiting || !strings.Contains(fate.Evidence, "the receipt is gone") {
				t.Errorf("%s: %s", fate.Outcome, fate.Evidence)
			}
		})
	}
}

// fullDisk leaves the folder of the receipts without room for one.
const fullDisk = "mount -t tmpfs -o size=8k tmpfs /var/lib/kkeys && dd if=/dev/zero of=/var/lib/kkeys/filler bs=4k; true"

// asSnapshot is a snapshot of the guest, for fateOf.
var asSnapshot = lab.Shell("/usr/bin/kkeys snapshot --force /tmp/machine.kks >&2 && cat /tmp/machine.kks")

// fateOf tells, of a guest's snapshot, what became of a certificate.
func fateOf(t *testing.T, snapshot lab.Output, der []byte) mok.Fate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "machine.kks")
	if err := os.WriteFile(path, snapshot.Stdout, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := machine.Snapshot(path)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := m.Receipts()
	if err != nil {
		t.Fatal(err)
	}
	return mok.Course{Receipts: receipts, State: mok.ReadState(m.Variables, m.Files), Pending: mok.ReadPending(m.Variables), Boot: m.Kernel().BootID}.Fate(der)
}
