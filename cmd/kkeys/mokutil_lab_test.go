//go:build lab

package main

import (
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/mok"
)

// The request is byte for byte what mokutil writes, and each tool understands what the other staged.
func TestLabMokutil(t *testing.T) {
	t.Parallel()
	mine, second := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11)), certtest.SelfSignedWith(t, "lab: second", certtest.RSA(2048, 15))
	const efi = "/sys/firmware/efi/efivars/"
	cat := lab.Shell("cat " + efi + "MokNew-*")
	auth := lab.Shell("cat " + efi + "MokAuth-*")
	twice := lab.Shell("cat /srv/password /srv/password | mokutil --import /srv/mine.der /srv/second.der")
	run := boots(t, lab.Machine{Files: inGuest(t, map[string][]byte{"mine.der": mine.DER, "second.der": second.DER}), Commands: []lab.Command{
		twice, cat, auth, kkeys("pending", "--json"), kkeys("cancel"), lab.Shell(requests),
		kkeys("enroll", "/srv/mine.der", "/srv/second.der", "--password-file", "/srv/password"), cat, auth, lab.Shell("mokutil --list-new | grep Subject:"), lab.Shell("mokutil --revoke-import"), lab.Shell(requests),
		// One more key joins a pending request.
		lab.Shell("cat /srv/password /srv/password | mokutil --import /srv/mine.der; cat /srv/password /srv/password | mokutil --import /srv/second.der"), cat, kkeys("cancel"),
		kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password"), kkeys("enroll", "/srv/second.der", "--password-file", "/srv/password"), cat,
		lab.Shell("ls -l " + efi + "MokNew-* " + efi + "MokAuth-*"),
	}})
	out := func(i int) string { return string(run.Outputs[i].Stdout) }
	if out(1) == "" || out(1) != out(7) {
		t.Errorf("mokutil wrote\n%x\nkkeys wrote\n%x", out(1), out(7))
	}
	if out(13) == "" || out(13) != out(17) {
		t.Errorf("joined, mokutil wrote\n%x\nkkeys wrote\n%x", out(13), out(17))
	}
	for i, who := range map[int]string{2: "mokutil", 8: "kkeys"} {
		data := run.Outputs[i].Stdout
		if len(data) != 4+mok.AuthSize {
			t.Fatalf("%s wrote a record of %d bytes", who, len(data)-4)
		}
		record, err := mok.ParseAuth(data[4:])
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		if ok, err := record.Verify(password); !ok || err != nil {
			t.Errorf("%s: the record is not that of the password: %v", who, err)
		}
		if record.Method != mok.SHA512 || record.Rounds != 5000 || data[0] != byte(efivars.NonVolatile|efivars.BootService|efivars.Runtime) {
			t.Errorf("%s: method %v, %d rounds, attributes %d", who, record.Method, record.Rounds, data[0])
		}
	}
	if pending := decoded[pendingDocument](t, "pending", run.Outputs[3]); len(pending.Requests) != 1 || len(pending.Requests[0].Keys) != 2 {
		t.Errorf("of mokutil's request kkeys tells %+v", pending)
	}
	if got := strings.Count(out(9), "Subject: CN=lab: "); got != 2 {
		t.Errorf("of kkeys' request mokutil tells %s", out(9))
	}
	if out(5)+out(11) != "" {
		t.Errorf("after cancelling: %s%s", out(5), out(11))
	}
	expect(t, run.Outputs[18], 0, "-rw-------")

	// Two keys at once are enrolled with the one password.
	run = boots(t, lab.Machine{Variables: run.Variables, Firmware: lab.Enroll(2, password), Files: inGuest(t, map[string][]byte{"mine.der": mine.DER, "second.der": second.DER}),
		Commands: []lab.Command{kkeys("trusted", "/srv/mine.der", "/srv/second.der")}})
	expect(t, run.Outputs[0], exitYes, "mine.der: trusted", "second.der: trusted")
}

// Where MokManager is missing a request would stop every boot: kkeys refuses, and the machine still boots.
func TestLabWithoutMokManager(t *testing.T) {
	t.Parallel()
	mine := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11))
	files := inGuest(t, map[string][]byte{"mine.der": mine.DER})
	run := boots(t, lab.Machine{WithoutMokManager: true, Files: files, Commands: []lab.Command{
		kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password", "--yes"), lab.Shell(requests),
	}})
	expect(t, run.Outputs[0], exitNo, "shim cannot start MokManager: /boot/efi/EFI/debian/mmx64.efi")
	if got := string(run.Outputs[1].Stdout); got != "" {
		t.Errorf("staged all the same: %s", got)
	}
	run = boots(t, lab.Machine{WithoutMokManager: true, Variables: run.Variables, Files: files, Commands: []lab.Command{kkeys("list")}})
	expect(t, run.Outputs[0], exitYes, ".machine")
}

// The tests of the packages that speak with the kernel and the firmware, on the lab's.
func TestLabContracts(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			files := map[string]lab.File{}
			var commands []lab.Command
			for _, c := range []struct{ pkg, run string }{{"certs", "Kernel"}, {"keyring", "Live|Members"}, {"efivars", "Live|Flags"}} {
				name := "/srv/" + c.pkg + ".test"
				files[name] = lab.File{Data: lab.TestBinary(t, "kkeys/"+c.pkg), Mode: 0o755}
				commands = append(commands, lab.Command{Argv: []string{name, "-test.v", "-test.run", c.run}, Env: []string{"KKEYS_GUEST=1"}})
			}
			commands = append(commands, lab.Shell("ls /sys/firmware/efi/efivars | grep -i kkeys; true"))
			run := boots(t, lab.Machine{Kernel: kernel, Files: files, Commands: commands})
			for i, out := range run.Outputs[:3] {
				text := string(out.Stdout)
				if out.Code != 0 || strings.Contains(text, "--- SKIP") || !strings.Contains(text, "--- PASS: Test") {
					t.Errorf("%s: exit code %d\n%s%s", commands[i].Argv[0], out.Code, text, out.Stderr)
				}
			}
			if got := string(run.Outputs[3].Stdout); got != "" {
				t.Errorf("the contract left %s", got)
			}
		})
	}
}
