//go:build lab

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/mok"
)

// life is a machine from boot to boot: its EFI variables, and what kkeys remembers on its disk.
type life struct {
	t        *testing.T
	kernel   lab.Kernel
	files    map[string]lab.File
	previous *lab.Run
}

// boot has MokManager answered and runs the commands; their outputs come back in order.
func (l *life) boot(firmware func(*lab.Console) error, commands ...lab.Command) []lab.Output {
	l.t.Helper()
	m := lab.Machine{Kernel: l.kernel, Files: l.files, Firmware: firmware, Commands: append(commands[:len(commands):len(commands)], lab.Shell("cat "+mok.ReceiptsFile+"; true"))}
	if l.previous != nil {
		m.Variables = l.previous.Variables
	}
	run := boots(l.t, m)
	if len(run.Outputs) == len(m.Commands) { // else the power was cut
		if receipts := run.Outputs[len(commands)].Stdout; len(receipts) > 0 {
			l.files[mok.ReceiptsFile] = lab.File{Data: receipts, Mode: 0o644}
		}
	}
	l.previous = run
	return run.Outputs
}

// labStaging is a run of kkeys that stages something with the lab's password.
func labStaging(args ...string) lab.Command {
	return kkeys(append(args, "--password-file", "/srv/password")...)
}

// efi is where the guest has the variable.
func efi(name string) string {
	return "/sys/firmware/efi/efivars/" + name + "-605dab50-e046-4300-abb6-3dd810dd8b23"
}

// mokutilEnrolled and mokutilBlocked are mokutil's view of shim's lists.
var (
	mokutilEnrolled = lab.Shell("mokutil --list-enrolled | grep -E 'Subject: CN=lab|^ *[0-9a-f]{64}'; true")
	mokutilBlocked  = lab.Shell("mokutil --list-enrolled --mokx | grep -E 'Subject: CN=lab'; true")
)

// countFirmware counts certificates as mokutil and kkeys show them.
const countFirmware = `for list in pk kek db; do
	echo $list $(mokutil --$list | grep -c "Subject: ") $(kkeys uefi $list | grep -c "key id")
done`

// mokutilLists checks the lines that a command printed, trimmed and without their first word.
func mokutilLists(t *testing.T, out lab.Output, names ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(string(out.Stdout)) {
		got = append(got, strings.TrimPrefix(strings.TrimSpace(line), "Subject: CN="))
	}
	if strings.Join(got, ", ") != strings.Join(names, ", ") {
		t.Errorf("mokutil lists %q, want %q", got, names)
	}
}

// What is enrolled, deleted, blocked and erased, through the real MokManager, is what mokutil sees then; and what became of each request is told.
func TestLabLists(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	var ders []string
	for i, name := range []string{"one", "two", "three"} {
		files[name+".der"] = certtest.SelfSignedWith(t, "lab: "+name, certtest.RSA(2048, 21+i)).DER
		ders = append(ders, "/srv/"+name+".der")
	}
	debian, err := os.ReadFile("../../testdata/certs/debian-ca.der")
	if err != nil {
		t.Fatal(err)
	}
	files["debian.der"] = debian
	hash := strings.Repeat("0123456789abcdef", 4)
	l := &life{t: t, kernel: lab.Kernel612, files: inGuest(t, files)}

	out := l.boot(nil, labStaging(append([]string{"enroll", "--timeout", "-1"}, ders...)...), lab.Shell("mokutil --list-new | grep Subject:"), lab.Shell("mokutil --help; true"),
		lab.Shell(countFirmware), kkeys("uefi", "--json"))
	options := regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(string(out[2].Stdout), -1)
	rows := mokutilRows(t)
	for _, option := range options {
		if rows[option] == "" {
			t.Errorf("docs/mokutil.md has no row for %s", option)
		}
	}
	expect(t, out[3], 0, "pk 1 1\n", "kek 2 2\n", "db 2 2\n")
	if uefi := decoded[uefiDocument](t, "uefi", out[4]); len(uefi.Variables) != len(firmwareNames) || len(uefi.NotSeen) > 0 {
		t.Errorf("the firmware's lists are %s", out[4].Stdout)
	}
	if len(options) < 30 {
		t.Errorf("mokutil tells of the options %q", options)
	}
	expect(t, out[0], exitYes, "MokTimeout-")
	mokutilLists(t, out[1], "lab: one", "lab: two", "lab: three")

	// Three at once; the list exported as mokutil does; one deleted by its key id.
	out = l.boot(lab.Enroll(3, password),
		mokutilEnrolled, kkeys("pending"), kkeys("status"), kkeys("mok", "list", "--json"), kkeys("mok", "test", "/srv/one.der"),
		lab.Shell("mkdir /tmp/a /tmp/b && cd /tmp/a && mokutil --export && kkeys mok export /tmp/b && diff -r /tmp/a /tmp/b && ls /tmp/b"),
		lab.Shell("kkeys mok list | grep 'lab: one' | sed 's/.*key id \\([0-9a-f]*\\),.*/\\1/' | xargs kkeys unenroll --password-file /srv/password"),
		lab.Shell("mokutil --list-delete | grep Subject:"), kkeys("mok", "reset", "--password-file", "/srv/password"),
		lab.Shell("kkeys mok list | grep Debian | sed 's/.*key id \\([0-9a-f]*\\),.*/\\1/' | xargs kkeys unenroll --password-file /srv/password"))
	mokutilLists(t, out[0], "lab: one", "lab: two", "lab: three")
	expect(t, out[1], exitNo, "asked to enroll CN=lab: three: enrolled and loaded (.machine): enrolled, as kkeys asked")
	expect(t, out[2], exitYes, "enrolled and loaded (.machine)")
	if list := decoded[mokListDocument](t, "mok-list", out[3]); len(list.Entries) != 4 || list.Entries[0].Vendor == nil || !*list.Entries[0].Vendor || list.Entries[1].Vendor == nil || *list.Entries[1].Vendor {
		t.Errorf("the list is %s", out[3].Stdout)
	}
	expect(t, out[4], exitYes)
	expect(t, out[5], 0, "MOK-0004.der")
	expect(t, out[6], exitYes, "staged: CN=lab: one")
	mokutilLists(t, out[7], "lab: one")
	expect(t, out[8], exitNo, "another kind of request is pending")
	expect(t, out[9], 123, "built into shim by its vendor") // xargs

	out = l.boot(lab.Delete(1, password), mokutilEnrolled, kkeys("pending"), labStaging("mok", "blocklist", "enroll", "/srv/one.der", "/srv/two.der"),
		kkeys("mok", "blocklist", "enroll", "/srv/debian.der", "--dry-run"))
	mokutilLists(t, out[0], "lab: two", "lab: three")
	expect(t, out[1], exitNo, "asked to delete CN=lab: one: done")
	expect(t, out[2], exitYes, "MokXNew-", "CONFIG_SYSTEM_REVOCATION_LIST")
	expect(t, out[3], exitNo, "built into shim by its vendor", "grubx64.efi is signed by it", "mmx64.efi is signed by it")

	out = l.boot(lab.EnrollBlocked(2, password), mokutilBlocked, kkeys("mok", "blocklist", "list"), labStaging("enroll", "/srv/one.der"), labStaging("mok", "hash", "enroll", hash))
	mokutilLists(t, out[0], "lab: one", "lab: two")
	expect(t, out[1], exitYes, "CN=lab: two", "hashes built into shim")
	expect(t, out[2], exitNo, "blocked by shim's blocklist")
	expect(t, out[3], exitYes)

	out = l.boot(lab.Enroll(1, password), mokutilEnrolled, kkeys("pending"), labStaging("mok", "blocklist", "unenroll", "/srv/one.der"))
	mokutilLists(t, out[0], "lab: two", "lab: three", hash)
	expect(t, out[1], exitNo, "asked to enroll "+hash+": enrolled")
	expect(t, out[2], exitYes)

	out = l.boot(lab.DeleteBlocked(1, password), mokutilBlocked, labStaging("mok", "hash", "delete", hash))
	mokutilLists(t, out[0], "lab: two")
	expect(t, out[1], exitYes)

	out = l.boot(lab.Delete(1, password), mokutilEnrolled, labStaging("mok", "reset"), kkeys("pending"))
	mokutilLists(t, out[0], "lab: two", "lab: three")
	expect(t, out[1], exitYes, "erases all that was ever added to the list: 2 entries")
	expect(t, out[2], exitYes, "reset (MokAuth)")

	out = l.boot(lab.Reset(password), mokutilEnrolled, kkeys("pending"), labStaging("mok", "reset"), labStaging("mok", "blocklist", "reset"))
	mokutilLists(t, out[0])
	expect(t, out[1], exitNo, "asked to reset: done")
	expect(t, out[2], exitNo, "nothing would change")
	expect(t, out[3], exitYes)

	out = l.boot(lab.ResetBlocked(password), mokutilBlocked, kkeys("pending"), lab.Shell(requests))
	mokutilLists(t, out[0])
	expect(t, out[1], exitNo, "asked to reset blocklist: done")
	if got := string(out[2].Stdout); got != "" {
		t.Errorf("requests are left: %s", got)
	}
}

// Every switch, off and on again, and MokManager's own password, set, asked for and cleared.
func TestLabSwitches(t *testing.T) {
	t.Parallel()
	const own = "MOK pass-word"
	files := inGuest(t, map[string][]byte{"mine.der": certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11)).DER})
	files["/srv/own"] = lab.File{Data: []byte(own + "\n"), Mode: 0o600}
	l := &life{t: t, kernel: lab.Kernel61, files: files}
	trust := lab.Shell("ls /sys/firmware/efi/mok-variables | grep -c MokListTrustedRT; true")
	ignored := lab.Shell("ls /sys/firmware/efi/mok-variables | grep -c MokIgnoreDB; true")
	sb := lab.Shell("mokutil --sb-state")

	out := l.boot(nil, sb, trust, ignored, labStaging("mok", "validation", "on"), labStaging("mok", "trust", "on"), labStaging("mok", "use-db", "on"), labStaging("mok", "validation", "off"))
	expect(t, out[1], 0, "1\n")
	expect(t, out[2], 0, "0\n")
	for _, o := range out[3:6] {
		expect(t, o, exitNo, "nothing would change")
	}
	expect(t, out[6], exitYes)

	out = l.boot(lab.ChangeValidation(password), sb, kkeys("status"), labStaging("mok", "validation", "off"), labStaging("mok", "validation", "on"))
	expect(t, out[0], 0, "SecureBoot validation is disabled in shim")
	expect(t, out[1], exitNo, "shim checks nothing that it starts", "sudo kkeys mok validation on", "asked to disable validation: done")
	expect(t, out[2], exitNo, "nothing would change")
	expect(t, out[3], exitYes)

	out = l.boot(lab.ChangeValidation(password), sb, kkeys("pending"), labStaging("mok", "trust", "off"))
	if strings.Contains(string(out[0].Stdout), "disabled in shim") {
		t.Errorf("validation is still off: %s", out[0].Stdout)
	}
	expect(t, out[1], exitNo, "asked to enable validation: done")
	expect(t, out[2], exitYes)

	out = l.boot(lab.ChangeTrust(password), trust, kkeys("pending"), labStaging("mok", "trust", "off"), labStaging("mok", "trust", "on"))
	expect(t, out[0], 0, "0\n")
	expect(t, out[1], exitNo, "asked to distrust list: done")
	expect(t, out[2], exitNo, "nothing would change")
	expect(t, out[3], exitYes)

	out = l.boot(lab.ChangeTrust(password), trust, labStaging("mok", "use-db", "off"))
	expect(t, out[0], 0, "1\n")
	expect(t, out[1], exitYes)

	out = l.boot(lab.ChangeDB(password), ignored, kkeys("status"), labStaging("mok", "use-db", "off"), labStaging("mok", "use-db", "on"))
	expect(t, out[0], 0, "1\n")
	expect(t, out[1], exitYes, "asked to ignore db: done")
	expect(t, out[2], exitNo, "nothing would change")
	expect(t, out[3], exitYes)

	out = l.boot(lab.ChangeDB(password), ignored, kkeys("mok", "password", "--password-file", "/srv/own"))
	expect(t, out[0], 0, "0\n")
	expect(t, out[1], exitYes, "cannot be seen from the operating system")

	out = l.boot(lab.SetPassword(own), kkeys("pending"), labStaging("enroll", "/srv/mine.der"))
	expect(t, out[0], exitNo, "asked to set password: unknown: cannot be told: whether MokManager has a password cannot be seen")
	expect(t, out[1], exitYes)

	out = l.boot(lab.WithPassword(own, lab.Enroll(1, password)), mokutilEnrolled, kkeys("mok", "clear-password"))
	mokutilLists(t, out[0], "lab: mine")
	expect(t, out[1], exitYes)

	out = l.boot(lab.WithPassword(own, lab.ClearPassword()), labStaging("unenroll", "/srv/mine.der"))
	expect(t, out[0], exitYes)
	out = l.boot(lab.Delete(1, password), mokutilEnrolled) // which asks for no other password any more
	mokutilLists(t, out[0])
}

// TestLabSameBytes holds the variables against those that mokutil writes for the same.
func TestLabSameBytes(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	for i, name := range []string{"one", "two", "three"} {
		files[name+".der"] = certtest.SelfSignedWith(t, "lab: "+name, certtest.RSA(2048, 21+i)).DER
	}
	l := &life{t: t, kernel: lab.Kernel61, files: inGuest(t, files)}
	type pair struct {
		ours     lab.Command
		mokutil  string
		variable string
		bytes    int    // how many count: the rest mokutil leaves to chance; 0 for all
		undo     string // what makes the variable another one; `kkeys cancel` without
	}
	compare := func(firmware func(*lab.Console) error, pairs ...pair) {
		t.Helper()
		var commands []lab.Command
		for i, p := range pairs {
			if p.undo == "" {
				pairs[i].undo = "kkeys cancel -q; rm -f " + mok.ReceiptsFile
			}
			undo := lab.Shell(pairs[i].undo + "; sha256sum <" + efi(p.variable) + "; true")
			commands = append(commands,
				p.ours, lab.Shell("cat "+efi(p.variable)), undo,
				lab.Shell("cat /srv/password /srv/password | mokutil "+p.mokutil), lab.Shell("cat "+efi(p.variable)), undo)
		}
		out := l.boot(firmware, commands...)
		for i, p := range pairs {
			o := out[6*i:]
			expect(t, o[0], exitYes)
			expect(t, o[3], 0)
			ours, theirs := string(o[1].Stdout), string(o[4].Stdout)
			if p.bytes > 0 && len(ours) == len(theirs) {
				ours, theirs = ours[:p.bytes], theirs[:p.bytes]
			}
			if ours == "" || ours != theirs {
				t.Errorf("%s: kkeys wrote\n%x\nmokutil wrote\n%x", p.mokutil, ours, theirs)
			}
			if sum := fmt.Sprintf("%x", sha256.Sum256(o[1].Stdout)); strings.Contains(string(o[2].Stdout), sum) {
				t.Errorf("%s: nothing was undone between the two", p.mokutil)
			}
		}
	}
	h := strings.Repeat("5a", 32)
	password := 4 + 8 + 2*len(password)
	compare(nil,
		pair{labStaging("enroll", "/srv/one.der", "/srv/two.der"), "--import /srv/one.der /srv/two.der", "MokNew", 0, ""},
		pair{labStaging("mok", "blocklist", "enroll", "/srv/one.der", "/srv/two.der"), "--import /srv/one.der /srv/two.der --mokx", "MokXNew", 0, ""},
		pair{labStaging("mok", "hash", "enroll", h), "--import-hash " + h, "MokNew", 0, ""},
		pair{labStaging("mok", "hash", "enroll", strings.Repeat("5a", 48)), "--import-hash " + strings.Repeat("5a", 48), "MokNew", 0, ""},
		pair{labStaging("mok", "blocklist", "hash", "enroll", h), "--import-hash " + h + " --mokx", "MokXNew", 0, ""},
		pair{labStaging("mok", "validation", "off"), "--disable-validation", "MokSB", password, ""},
		pair{labStaging("mok", "use-db", "off"), "--ignore-db", "MokDB", password, ""},
		pair{labStaging("mok", "trust", "off"), "--untrust-mok", "MokListTrustedNew", password, ""},
		pair{kkeys("mok", "clear-password"), "--clear-password", "MokPW", 0, ""},
		pair{kkeys("mok", "timeout", "60"), "--timeout 60", "MokTimeout", 0, ""},
		pair{kkeys("mok", "timeout", "--", "-1"), "--timeout -1", "MokTimeout", 0, ""},
		pair{kkeys("mok", "verbosity", "on"), "--set-verbosity true", "SHIM_VERBOSE", 0, "kkeys mok verbosity off"},
		pair{kkeys("mok", "fallback", "verbosity", "on"), "--set-fallback-verbosity true", "FALLBACK_VERBOSE", 0, "kkeys mok fallback verbosity off"},
		pair{kkeys("mok", "fallback", "noreboot", "on"), "--set-fallback-noreboot true", "FB_NO_REBOOT", 0, "kkeys mok fallback noreboot off"},
		pair{kkeys("mok", "sbat", "policy", "automatic"), "--set-sbat-policy previous", "SbatPolicy", 0, "kkeys mok sbat policy default"},
	)
	// Deletion wants something that is there.
	l.boot(nil, labStaging("enroll", "/srv/one.der", "/srv/two.der"))
	compare(lab.Enroll(2, "lab Pass.123"),
		pair{labStaging("unenroll", "/srv/one.der", "/srv/two.der"), "--delete /srv/one.der /srv/two.der", "MokDel", 0, ""},
		pair{labStaging("unenroll", "/srv/two.der"), "--delete /srv/two.der", "MokDel", 0, ""},
	)
	l.boot(nil, labStaging("mok", "hash", "enroll", h))
	compare(lab.Enroll(1, "lab Pass.123"), pair{labStaging("mok", "hash", "delete", h), "--delete-hash " + h, "MokDel", 0, ""})
	l.boot(nil, labStaging("mok", "blocklist", "enroll", "/srv/three.der"))
	compare(lab.EnrollBlocked(1, "lab Pass.123"), pair{labStaging("mok", "blocklist", "unenroll", "/srv/three.der"), "--delete /srv/three.der --mokx", "MokXDel", 0, ""})
}

// cutShort is the cause of a request that is gone after the power went in MokManager.
const cutShort = "MokManager was cut short (the power failed)"

// stored is a variable's name as the firmware's flash has it, UTF-16 with its end.
func stored(name string) (b []byte) {
	for _, letter := range []byte(name + "\x00") {
		b = append(b, letter, 0)
	}
	return b
}

// The power goes while a request is staged, at MokManager's prompt and in its menu: the machine boots, and `kkeys status` tells the truth.
func TestLabPowerCut(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"mine.der": certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11)).DER}
	after := []lab.Command{kkeys("status"), kkeys("pending"), lab.Shell(requests), mokutilEnrolled, labStaging("enroll", "/srv/mine.der")}
	for name, c := range map[string]struct {
		cut    func(*lab.Console) error // nil: between request and password
		offers string
		code   int
		says   []string
	}{
		"between request and password": {nil, "Enroll MOK", exitYes, []string{"pending                none"}},
		"at the prompt":                {lab.CutAtPrompt(), "Reset MOK", exitNo, []string{"finding: enroll CN=lab: mine: kkeys asked for it on", cutShort}},
		"in the menu":                  {lab.CutInMenu(), "Reset MOK", exitNo, []string{"finding: enroll CN=lab: mine: kkeys asked for it on", cutShort}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &life{t: t, kernel: lab.Kernel61, files: inGuest(t, files)}
			enroll := labStaging("enroll", "/srv/mine.der")
			if c.cut == nil {
				enroll.CutAfter = "MokNew-605dab50-e046-4300-abb6-3dd810dd8b23"
			}
			l.boot(nil, enroll)
			for name, is := range map[string]bool{"MokNew": true, "MokAuth": c.cut != nil} {
				if bytes.Contains(l.previous.Variables, stored(name)) != is {
					t.Errorf("%s was written: %v", name, !is)
				}
			}
			if c.cut != nil {
				l.boot(c.cut)
			}
			out := l.boot(lab.Offers(c.offers), after...)
			expect(t, out[0], c.code, c.says...)
			expect(t, out[1], exitNo, "nothing is pending")
			if got := string(out[2].Stdout); got != "" {
				t.Errorf("requests are left: %s", got)
			}
			mokutilLists(t, out[3])
			expect(t, out[4], exitYes, "mine.der: staged")
			out = l.boot(lab.Enroll(1, password), kkeys("status"))
			expect(t, out[0], exitYes, "enrolled and loaded (.machine)")
		})
	}
}

// shim's list was damaged: nothing is staged that nobody would see, the way out is named, and it leads out.
func TestLabDamagedList(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	for i, name := range []string{"one", "two", "three"} {
		files[name+".der"] = certtest.SelfSignedWith(t, "lab: "+name, certtest.RSA(2048, 21+i)).DER
	}
	l := &life{t: t, kernel: lab.Kernel61, files: inGuest(t, files)}
	l.boot(nil, labStaging("enroll", "/srv/one.der"))
	out := l.boot(lab.Enroll(1, password), mokutilEnrolled)
	mokutilLists(t, out[0], "lab: one")

	whole, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, files["one.der"])})
	if err != nil {
		t.Fatal(err)
	}
	if l.previous.Variables, err = lab.Rewrite(l.previous.Variables, "MokList", whole[:len(whole)-9]); err != nil {
		t.Fatal(err)
	}
	out = l.boot(nil, kkeys("mok", "list"), labStaging("enroll", "/srv/two.der"), labStaging("unenroll", "/srv/one.der"), kkeys("status"), lab.Shell(requests), labStaging("mok", "reset"))
	expect(t, out[0], exitFailed, "Debian", "corrupt EFI signature list")
	for _, o := range out[1:4] {
		expect(t, o, exitNo, "is corrupt", "kkeys mok reset")
	}
	if got := string(out[4].Stdout); got != "" {
		t.Errorf("requests are left: %s", got)
	}
	expect(t, out[5], exitYes, "reset: staged", "0 entries that can be seen")

	out = l.boot(lab.Reset(password), kkeys("pending"), kkeys("mok", "list"), labStaging("enroll", "/srv/two.der"))
	expect(t, out[0], exitNo, "asked to reset: done")
	expect(t, out[1], exitYes, "Debian")
	expect(t, out[2], exitYes, "two.der: staged")
	out = l.boot(lab.Enroll(1, password), mokutilEnrolled, kkeys("status"))
	mokutilLists(t, out[0], "lab: two")
	expect(t, out[1], exitYes, "enrolled and loaded (.machine)")
}

// TestLabUnwritable: efivarfs is mounted read-only, and then not at all. Nothing is staged, and both are told apart.
func TestLabUnwritable(t *testing.T) {
	t.Parallel()
	l := &life{t: t, kernel: lab.Kernel612, files: inGuest(t, map[string][]byte{"mine.der": certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11)).DER})}
	const mount = "mount -t efivarfs efivarfs /sys/firmware/efi/efivars"
	enroll := labStaging("enroll", "/srv/mine.der")
	out := l.boot(nil, lab.Shell(mount+" -o remount,ro"), enroll, lab.Shell(requests), lab.Shell("umount /sys/firmware/efi/efivars"), enroll, lab.Shell(mount), lab.Shell(requests), enroll)
	expect(t, out[1], exitFailed, "EFI variables are read-only here")
	expect(t, out[4], exitUnsure, "not mounted")
	for _, i := range []int{2, 6} {
		if got := string(out[i].Stdout); got != "" {
			t.Errorf("staged all the same: %s", got)
		}
	}
	expect(t, out[7], exitYes, "mine.der: staged")
}
