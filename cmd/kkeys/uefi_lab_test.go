//go:build lab

package main

import (
	"os"
	"strings"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// TestLabUEFIEnroll changes the lists of real firmware: with the owner's keys on a machine that has no others, and from setup mode on. Machines
// with Microsoft's keys are left alone.
func TestLabUEFIEnroll(t *testing.T) {
	t.Parallel()
	debian, err := os.ReadFile("../../testdata/certs/debian-ca.der")
	if err != nil {
		t.Fatal(err)
	}
	owner := map[string]*certtest.Cert{}
	files := map[string][]byte{"debian.der": debian}
	for i, name := range []string{"PK", "KEK", "db", "fresh", "foreign"} {
		owner[name] = certtest.SelfSignedWith(t, "lab: "+name, certtest.RSA(2048, 21+i))
		files[name+".der"], files[name+".key"] = owner[name].DER, owner[name].KeyPEM(t)
	}
	shim := lab.Shim(t, debian, owner["db"].Key, owner["db"].DER)
	enroll := func(signer string, args ...string) lab.Command {
		return kkeys(append([]string{"uefi", "enroll", "--key", "/srv/" + signer + ".key", "--cert", "/srv/" + signer + ".der"}, args...)...)
	}
	subjects := func(list string) lab.Command { return lab.Shell("mokutil --" + list + " | grep 'Subject: '") }
	keys := &lab.Keys{PK: owner["PK"].DER, KEK: owner["KEK"].DER, DB: [][]byte{owner["db"].DER, debian}}
	m := lab.Machine{Keys: keys, Shim: shim, Files: inGuest(t, files)}

	m.Commands = []lab.Command{
		kkeys("uefi"), enroll("foreign", "/srv/fresh.der", "--write"), enroll("KEK", "/srv/fresh.der"), enroll("KEK", "/srv/fresh.der", "--write"),
		enroll("KEK", "/srv/fresh.der", "--write"), enroll("KEK", "/srv/foreign.der", "--to", "KEK", "--write"), enroll("PK", "/srv/foreign.der", "--to", "KEK", "--write"),
	}
	run := boots(t, m)
	expect(t, run.Outputs[0], exitYes, "setup mode: no", "CN=lab: PK", "CN=lab: KEK", "CN=lab: db")
	expect(t, run.Outputs[1], exitNo, "is not in KEK")
	expect(t, run.Outputs[2], exitYes, "nothing was written")
	expect(t, run.Outputs[3], exitYes, "is now in db")
	expect(t, run.Outputs[4], exitNo, "already in the list")
	expect(t, run.Outputs[5], exitNo, "is not in PK")
	expect(t, run.Outputs[6], exitYes, "is now in KEK")

	// It starts with its new db, of which the kernel has the key; and the new KEK may sign. mokutil reads shim's copies, made at the start.
	m.Variables, m.Commands = run.Variables, []lab.Command{
		kkeys("list", "platform"), lab.Shell("mokutil --sb-state"), subjects("db"), subjects("kek"), enroll("foreign", "/srv/foreign.der", "--write"),
		lab.Shell("date -s 2020-02-02"), enroll("foreign", "/srv/foreign.der", "--write"), enroll("KEK", "/srv/KEK.der", "--write"), kkeys("uefi", "db"),
	}
	run = boots(t, m)
	expect(t, run.Outputs[0], exitYes, "lab: fresh")
	expect(t, run.Outputs[1], 0, "SecureBoot enabled")
	mokutilLists(t, run.Outputs[2], "lab: db", "Debian Secure Boot CA", "lab: fresh")
	mokutilLists(t, run.Outputs[3], "lab: KEK", "lab: foreign")
	expect(t, run.Outputs[4], exitYes, "is now in db")
	expect(t, run.Outputs[6], exitNo, "already in the list")
	expect(t, run.Outputs[7], exitFailed, "db was not changed", "2020-02-02")
	if list := string(run.Outputs[8].Stdout); strings.Contains(list, "lab: KEK") || !strings.Contains(list, "lab: foreign") {
		t.Errorf("after a refused update db is %s", list)
	}

	// A new board: db, KEK and last PK, with which setup mode ends and Secure Boot begins.
	m = lab.Machine{Keys: &lab.Keys{}, Shim: shim, Files: inGuest(t, files), Commands: []lab.Command{
		kkeys("uefi"), enroll("KEK", "/srv/db.der", "/srv/debian.der", "--write"), enroll("KEK", "/srv/KEK.der", "--to", "KEK", "--write"),
		enroll("KEK", "/srv/PK.der", "--to", "PK", "--write"), enroll("PK", "/srv/PK.der", "--to", "PK", "--write"), kkeys("uefi", "PK", "KEK", "db"),
	}}
	run = boots(t, m)
	expect(t, run.Outputs[0], exitYes, "setup mode: yes", "PK: not there", "db: not there")
	expect(t, run.Outputs[1], exitYes, "is now in db")
	expect(t, run.Outputs[2], exitYes, "is now in KEK")
	expect(t, run.Outputs[3], exitNo, "in setup mode a PK is signed by itself")
	expect(t, run.Outputs[4], exitYes, "is now PK")
	expect(t, run.Outputs[5], exitYes, "setup mode: no", "CN=lab: PK", "CN=lab: KEK", "CN=lab: db")
	m.Variables, m.Commands = run.Variables, []lab.Command{lab.Shell("mokutil --sb-state"), enroll("KEK", "/srv/fresh.der", "--write")}
	run = boots(t, m)
	expect(t, run.Outputs[0], 0, "SecureBoot enabled")
	expect(t, run.Outputs[1], exitYes, "is now in db")

	// With Microsoft's keys.
	run = boots(t, lab.Machine{Files: inGuest(t, files), Commands: []lab.Command{enroll("KEK", "/srv/fresh.der", "--write"), enroll("KEK", "/srv/fresh.der", "--write", "--with-microsoft-keys")}})
	expect(t, run.Outputs[0], exitNo, "Microsoft", "--with-microsoft-keys", "is not in KEK")
	expect(t, run.Outputs[1], exitNo, "is not in KEK")
	if strings.Contains(string(run.Outputs[1].Stderr), "Microsoft") {
		t.Errorf("it was named: %s", run.Outputs[1].Stderr)
	}
}
