//go:build lab

package main

import (
	"fmt"
	"strings"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// signers are certificates whose names or ids collide. The first four are enrolled, in this order.
func signers(t *testing.T) (order []string, all map[string]*certtest.Cert) {
	make := func(cn, id string, serial byte, key int) *certtest.Cert {
		return certtest.Make(t, certtest.Spec{
			Subject: certtest.Name{certtest.CN("lab: " + cn)}, SKID: []byte(id), AKI: &certtest.AKI{KeyID: []byte(id)}, Serial: []byte{serial}, Key: certtest.RSA(2048, key),
		})
	}
	return []string{"plain", "shared1", "shared2", "twin1", "twin2", "renewed", "renamed", "reused"}, map[string]*certtest.Cert{
		"plain":   make("plain", "id of plain", 1, 21),
		"shared1": make("shared one", "shared id", 1, 22), // two keys with one key id,
		"shared2": make("shared two", "shared id", 1, 23), // under two names
		"twin1":   make("twin", "id of twin one", 1, 24),  // two keys with one issuer and serial number,
		"twin2":   make("twin", "id of twin two", 1, 25),  // with two key ids
		"renewed": make("plain", "id of plain", 2, 21),    // the key of plain under another serial number,
		"renamed": make("renamed", "id of plain", 1, 21),  // and under another name
		"reused":  make("plain", "another id", 1, 26),     // another key under the issuer and serial number of plain
	}
}

// Whatever names and ids collide, `trusted` says trusted only of a certificate with which a module signed by the kernel's own sign-file
// loads, and untrusted only of one with which it does not.
func TestLabLookup(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			order, all := signers(t)
			module := lab.Strip(t, lab.Module(t, kernel, "dummy"))
			content := map[string][]byte{}
			enroll := []string{"enroll", "--password-file", "/srv/password"}
			var commands []lab.Command
			for i, name := range order {
				c := all[name]
				content[name+".der"] = c.DER
				content[name+".ko"] = lab.SignFile(t, "sha256", c.KeyPEM(t), c.DER, module)
				if i < 5 {
					enroll = append(enroll, "/srv/"+name+".der")
				}
				user := kkeys("trusted", "/srv/"+name+".der")
				user.UID = nobody
				commands = append(commands, kkeys("trusted", "/srv/"+name+".der"), user, lab.Shell(fmt.Sprintf("insmod /srv/%s.ko && rmmod dummy", name)))
			}
			files := inGuest(t, content)
			staged := boots(t, lab.Machine{Kernel: kernel, Files: files, Commands: []lab.Command{kkeys(enroll...)}})
			expect(t, staged.Outputs[0], exitYes)
			run := boots(t, lab.Machine{Kernel: kernel, Variables: staged.Variables, Firmware: lab.Enroll(5, password), Files: files, Commands: commands})

			var table strings.Builder
			answers := map[int]int{}
			for i, name := range order {
				root, user, loads := run.Outputs[3*i].Code, run.Outputs[3*i+1].Code, run.Outputs[3*i+2].Code == 0
				fmt.Fprintf(&table, "%-10s root %d, user %d, loads %v\n", name, root, user, loads)
				for _, code := range []int{root, user} {
					answers[code]++
					if code == exitYes && !loads || code == exitNo && loads || code != exitYes && code != exitNo && code != exitUnsure {
						t.Errorf("%s: exit code %d, and loading it: %v\n%s", name, code, loads, run.Outputs[3*i].Stdout)
					}
				}
			}
			t.Logf("the answers:\n%s", table.String())
			expect(t, run.Outputs[0], exitYes, "trusted, .machine")
			expect(t, run.Outputs[1], exitYes, "trusted, .secondary_trusted_keys")
			expect(t, run.Outputs[15], exitUnsure, "sign-file -k") // renewed
		})
	}
}

// Where a container hides the keyrings or filters the calls, root is told so and gets no answer that looks like one.
func TestLabHidden(t *testing.T) {
	t.Parallel()
	_, all := signers(t)
	hidden := func(command string) lab.Command {
		return lab.Shell("unshare -m sh -c 'mount --bind /dev/null /proc/keys && " + command + "'")
	}
	run := boots(t, lab.Machine{Files: inGuest(t, map[string][]byte{"plain.der": all["plain"].DER}), Commands: []lab.Command{
		hidden("kkeys list"), hidden("kkeys trusted /srv/plain.der"), hidden("kkeys list --json"),
		kkeys("--root", "/", "enroll", "/srv/plain.der", "--password-file", "/srv/password"),
		kkeys("--root", "/proc/1/root", "enroll", "/srv/plain.der", "--password-file", "/srv/password"),
		lab.Shell(requests),
		lab.Shell("unshare -m sh -c 'umount /boot/efi && kkeys enroll /srv/plain.der --password-file /srv/password'"),
		lab.Shell(requests),
		{Argv: []string{"/usr/bin/kkeys", "pending"}, UID: nobody},
		{Argv: []string{"/usr/bin/kkeys", "enroll", "/srv/plain.der", "--generate-password"}, UID: nobody},
		{Argv: []string{"/usr/bin/kkeys", "cancel"}, UID: nobody},
	}})
	expect(t, run.Outputs[0], exitUnsure, "is not shown")
	expect(t, run.Outputs[1], exitUnsure, "unknown")
	if document := decoded[listDocument](t, "list", run.Outputs[2]); document.OK || document.Error == nil {
		t.Errorf("hidden keyrings: %+v", document)
	}
	// A folder given by name must never lead a write to this machine's firmware.
	expect(t, run.Outputs[3], exitUnsure)
	expect(t, run.Outputs[4], exitUnsure)
	expect(t, run.Outputs[6], exitUnsure, "not mounted")
	for _, i := range []int{5, 7} {
		if got := string(run.Outputs[i].Stdout); got != "" {
			t.Errorf("written: %s", got)
		}
	}
	expect(t, run.Outputs[8], exitNo, "nothing is pending")
	expect(t, run.Outputs[9], exitUnsure)
	expect(t, run.Outputs[10], exitYes, "nothing was pending")
}

// Root can cut keyrings off at run time; then their keys do not count, and the kernel agrees.
func TestLabCut(t *testing.T) {
	t.Parallel()
	run := boots(t, lab.Machine{Files: inGuest(t, nil), Commands: []lab.Command{
		lab.Shell("keyctl unlink %:.machine %:.secondary_trusted_keys"), kkeys("list", ".machine", ".builtin_trusted_keys"),
	}})
	expect(t, run.Outputs[0], 0)
	expect(t, run.Outputs[1], exitYes, ".machine: 1 key; not consulted for modules: .machine is not linked", ".builtin_trusted_keys: 1 key; consulted")
}
