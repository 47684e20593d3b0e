//go:build lab

package lab_test

import (
	"fmt"
	"strings"
	"testing"

	"kkeys/internal/lab"
)

// The password of a switch is stored as it is, and may have 16 characters at most.
const (
	switchPassword = "switch-It.42"
	mokPassword    = "MOK pass-word"
)

// mokutil runs mokutil and gives it a password, if it asks.
func mokutil(password, arguments string) lab.Command {
	return lab.Command{Argv: []string{"sh", "-c", "mokutil " + arguments}, Stdin: []byte(password + "\n" + password + "\n")}
}

// ders makes certificates, "lab: mine" for the name "mine", in mine.der.
func ders(t *testing.T, names ...string) map[string]lab.File {
	t.Helper()
	files := map[string]lab.File{}
	for _, name := range names {
		files["/root/"+name+".der"] = lab.File{Data: newSigner(t, "lab: "+name).certificate, Mode: 0o644}
	}
	return files
}

// hash is a SHA-256, as mokutil takes it.
func hash(n int) string { return fmt.Sprintf("%064x", n) }

// states are what shows, in the running system, the requests' effects; what each prints is in the test.
var states = []lab.Command{
	lab.Shell("mokutil --list-enrolled | grep -E 'Subject: CN|000'"),
	lab.Shell("mokutil --list-enrolled --mokx | grep -E 'Subject: CN|000'"),
	lab.Shell("mokutil --sb-state"),
	lab.Shell("cd " + variables + " && ls | grep -E 'MokIgnoreDB|MokListTrustedRT|Mok.*New|Mok.*Del|Auth|MokSB-|MokDB-|MokPW|MokTimeout'"),
}

// done fails the test where a command failed.
func done(t *testing.T, run *lab.Run, from int) {
	t.Helper()
	for i, out := range run.Outputs[from:] {
		if out.Code != 0 {
			t.Fatalf("command %d of the staging: exit code %d", i, out.Code)
		}
	}
}

// TestRequests has MokManager do all that can be asked of it, and undo it, as mokutil asks.
func TestRequests(t *testing.T) {
	t.Parallel()
	files := ders(t, "mine", "foe", "friend")
	kinds := []string{"Change Secure Boot state", "Set MOK password", "Change DB state", "Change MOK List Trusted State"}
	run := boot(t, lab.Machine{Files: files, Commands: []lab.Command{
		mokutil(password, "--import-hash "+hash(1)), mokutil(password, "--import-hash "+hash(2)),
		mokutil(password, "--import mine.der"),
		mokutil(password, "--import foe.der friend.der --mokx"),
		mokutil(switchPassword, "--disable-validation"), mokutil(switchPassword, "--ignore-db"), mokutil(switchPassword, "--untrust-mok"),
		mokutil(mokPassword, "--password"), lab.Shell("mokutil --timeout -1"),
	}})
	done(t, run, 0)

	run = boot(t, lab.Machine{Files: files, Variables: run.Variables, Firmware: lab.Together(
		lab.Offers(append([]string{"Enroll MOK", "Enroll MOKX"}, kinds...)...),
		lab.Views("Enroll MOK", []string{"CN=lab: mine"}, []string{hash(1), hash(2)}),
		lab.Enroll(2, password), lab.EnrollBlocked(2, password),
		lab.ChangeValidation(switchPassword), lab.ChangeDB(switchPassword), lab.ChangeTrust(switchPassword), lab.SetPassword(mokPassword),
	), Commands: append(states[:len(states):len(states)],
		mokutil(password, "--delete mine.der"), mokutil(password, "--delete foe.der --mokx"),
		mokutil(switchPassword, "--enable-validation"), mokutil(switchPassword, "--use-db"), mokutil(switchPassword, "--trust-mok"),
		lab.Shell("mokutil --clear-password; mokutil --timeout -1"),
	)})
	done(t, run, len(states))
	out := func(i int) string { return string(run.Outputs[i].Stdout) }
	has(t, out(0), "CN=lab: mine", hash(1), hash(2))
	has(t, out(1), "CN=lab: foe", "CN=lab: friend")
	has(t, out(2), "SecureBoot enabled\nSecureBoot validation is disabled in shim\n")
	if got := out(3); strings.TrimSpace(got) != "MokIgnoreDB"+shim {
		t.Errorf("the variables are %s", got)
	}

	run = boot(t, lab.Machine{Files: files, Variables: run.Variables, Firmware: lab.WithPassword(mokPassword, lab.Together(
		lab.Offers(append([]string{"Delete MOK", "Delete MOKX"}, kinds...)...),
		lab.Delete(1, password), lab.DeleteBlocked(1, password),
		lab.ChangeValidation(switchPassword), lab.ChangeDB(switchPassword), lab.ChangeTrust(switchPassword), lab.ClearPassword(),
	)), Commands: append(states[:len(states):len(states)],
		mokutil(password, "--reset"), mokutil(password, "--reset --mokx"),
	)})
	done(t, run, len(states))
	has(t, out(0), hash(1), hash(2))
	hasNot(t, out(0), "CN=lab: mine")
	has(t, out(1), "CN=lab: friend")
	hasNot(t, out(1), "CN=lab: foe")
	hasNot(t, out(2), "disabled")
	// MokManager does not look at MokTimeout when it asks for the MOK password; it does so the next time.
	if got := out(3); strings.TrimSpace(got) != "MokListTrustedRT"+shim+"\nMokTimeout"+shim {
		t.Errorf("the variables are %s", got)
	}

	run = boot(t, lab.Machine{Variables: run.Variables, Firmware: lab.Together(
		lab.Offers("Reset MOK", "Reset MOKX"), lab.Reset(password), lab.ResetBlocked(password),
	), Commands: states})
	has(t, out(0), "CN=Debian Secure Boot CA")
	hasNot(t, out(0)+out(1), "lab:", hash(1))
	if got := out(3); strings.TrimSpace(got) != "MokListTrustedRT"+shim {
		t.Errorf("the variables are %s", got)
	}
}
