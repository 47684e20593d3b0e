//go:build lab

package lab_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"kkeys/internal/lab"
)

// asked lists the variables of requests; left, what is enrolled by them.
var (
	asked = lab.Shell("ls " + variables + " | grep -E '^Mok(X?(New|Del|Auth|DelAuth)|SB|DB|PW)-'; true")
	left  = lab.Shell("(mokutil --list-enrolled; mokutil --list-enrolled --mokx) | grep 'Subject: CN'")
)

// cutAfter has the power cut when the command has changed a variable.
func cutAfter(variable string, c lab.Command) lab.Command {
	c.CutAfter = variable + shim
	return c
}

// hasNo fails the test if something is printed.
func hasNo(t *testing.T, out lab.Output) {
	t.Helper()
	if got := strings.TrimSpace(string(out.Stdout)); got != "" {
		t.Errorf("there is %s", got)
	}
}

// TestCutInFirmware cuts the power in MokManager. What it leaves looks like another request at the next boot.
func TestCutInFirmware(t *testing.T) {
	t.Parallel()
	staged := boot(t, lab.Machine{Files: ders(t, "mine", "foe"), Commands: []lab.Command{
		mokutil(password, "--import mine.der"), mokutil(password, "--import foe.der --mokx")}})
	done(t, staged, 0)
	for _, c := range []struct {
		name   string
		cut    func(*lab.Console) error
		offers []string
		mine   bool // is enrolled
	}{
		{"at the prompt", lab.CutAtPrompt(), []string{"Reset MOK", "Reset MOKX"}, false},
		{"after one of two", lab.Together(lab.Enroll(1, password), lab.CutInMenu()), []string{"Reset MOKX"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := boot(t, lab.Machine{Variables: staged.Variables, Firmware: c.cut, Commands: []lab.Command{lab.Shell("echo never")}})
			if len(run.Outputs) != 0 || run.Resets != 0 || run.KernelLog != nil {
				t.Errorf("%d outputs and %d resets", len(run.Outputs), run.Resets)
			}
			run = boot(t, lab.Machine{Variables: run.Variables, Firmware: lab.Offers(c.offers...), Commands: []lab.Command{asked, left}})
			hasNo(t, run.Outputs[0])
			enrolled := string(run.Outputs[1].Stdout)
			hasNot(t, enrolled, "lab: foe")
			if strings.Contains(enrolled, "lab: mine") != c.mine {
				t.Errorf("enrolled are %s", enrolled)
			}
		})
	}
}

// TestCutInGuest cuts the power between what mokutil writes and deletes.
func TestCutInGuest(t *testing.T) {
	t.Parallel()
	files := ders(t, "mine")
	add, remove := mokutil(password, "--import mine.der"), mokutil(password, "--delete mine.der")
	t.Run("nothing changed", func(t *testing.T) {
		t.Parallel()
		reads := lab.Shell("echo idle; cat " + variables + "*" + shim + " >/dev/null")
		_, err := lab.Machine{Commands: []lab.Command{cutAfter("MokNew", reads)}}.Boot(t)
		if err == nil || errors.Is(err, lab.ErrCut) {
			t.Fatalf("the error is %v", err)
		}
		has(t, err.Error(), "did not change MokNew", "idle")
	})
	run := boot(t, lab.Machine{Files: files, Commands: []lab.Command{
		lab.Shell("echo first"), cutAfter("MokNew", add), lab.Shell("echo never")}})
	if len(run.Outputs) != 1 || run.KernelLog != nil {
		t.Errorf("%d outputs", len(run.Outputs))
	}
	for name, is := range map[string]bool{"MokNew": true, "MokAuth": false} {
		if bytes.Contains(run.Variables, utf16(name+"\x00")) != is {
			t.Errorf("%s was written: %v", name, !is)
		}
	}

	run = boot(t, lab.Machine{Files: files, Variables: run.Variables, Firmware: lab.Offers("Enroll MOK"), Commands: []lab.Command{
		asked, add, cutAfter("MokNew", mokutil("", "--revoke-import"))}})
	hasNo(t, run.Outputs[0])

	run = boot(t, lab.Machine{Files: files, Variables: run.Variables, Firmware: lab.Offers("Reset MOK"), Commands: []lab.Command{
		asked, cutAfter("MokAuth", add)}})
	hasNo(t, run.Outputs[0])

	run = boot(t, lab.Machine{Files: files, Kernel: lab.Kernel612, Variables: run.Variables, Firmware: lab.Enroll(1, password), Commands: []lab.Command{
		left, remove, lab.Cut(), asked}})
	has(t, string(run.Outputs[0].Stdout), "lab: mine")
	if len(run.Outputs) != 2 {
		t.Errorf("%d outputs", len(run.Outputs))
	}

	boot(t, lab.Machine{Variables: run.Variables, Firmware: lab.Together(lab.Offers("Delete MOK"), lab.CutInMenu())})
}
