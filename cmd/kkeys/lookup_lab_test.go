//go:build lab

package main

import (
	"fmt"
	"strings"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// signer is a certificate whose names or ids collide with another's.
type signer struct {
	name string
	made *certtest.Cert
	in   string // "mok", "db"; empty: nowhere
}

func signers(t *testing.T) []signer {
	make := func(cn, id string, serial byte, key int) *certtest.Cert {
		spec := certtest.Spec{Subject: certtest.Name{certtest.CN("lab: " + cn)}, Serial: []byte{serial}, Key: certtest.RSA(2048, key)}
		if id != "" {
			spec.SKID, spec.AKI = []byte(id), &certtest.AKI{KeyID: []byte(id)}
		}
		return certtest.Make(t, spec)
	}
	return []signer{
		{"plain", make("plain", "id of plain", 1, 21), "mok"},
		{"shared1", make("shared one", "shared id", 1, 22), "mok"}, // two keys with one key id,
		{"shared2", make("shared two", "shared id", 1, 23), "mok"}, // under two names
		{"twin1", make("twin", "id of twin one", 1, 24), "mok"},    // two keys with one issuer and serial number,
		{"twin2", make("twin", "id of twin two", 1, 25), "mok"},    // with two key ids
		{"renewed", make("plain", "id of plain", 2, 21), ""},       // the key of plain under another serial number,
		{"renamed", make("renamed", "id of plain", 1, 21), ""},     // and under another name
		{"reused", make("plain", "another id", 1, 26), ""},         // another key under the issuer and serial number of plain
		{"first", make("again", "id of first", 1, 61), "mok"},      // two keys with one issuer and serial number, of which
		{"second", make("again", "id of second", 1, 62), "db"},     // the second is where the kernel looks only when it found nothing
		{"before", make("renewal", "id of both", 1, 63), "mok"},    // one key under two serial numbers,
		{"after", make("renewal", "id of both", 2, 63), "db"},      // in two keyrings
		{"bare", make("bare", "", 1, 64), "mok"},                   // one key under the same issuer and serial number,
		{"dressed", make("bare", "id of dressed", 1, 64), ""},      // without a key id and with one
	}
}

// Whatever names and ids collide, in one keyring or across two, `trusted` says trusted only of a certificate, or a module, with which a module
// signed by the kernel's own sign-file loads, and untrusted only of one with which it does not.
func TestLabLookup(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			all := signers(t)
			own := ownKeys(t)
			m := own.machine(t)
			m.Kernel = kernel
			module := lab.Strip(t, lab.Module(t, kernel, "dummy"))
			content := map[string][]byte{}
			enroll := []string{"enroll", "--password-file", "/srv/password"}
			ask := []struct {
				what string
				args []string
				uid  int
			}{
				{"root", []string{"trusted", "/srv/%s.der"}, 0}, {"user", []string{"trusted", "/srv/%s.der"}, nobody}, {"--prove", []string{"trusted", "--prove", "/srv/%s.der"}, 0},
				{"module", []string{"trusted", "/srv/%s.ko"}, 0}, {"module, user", []string{"trusted", "/srv/%s.ko"}, nobody}, {"module, --prove", []string{"trusted", "--prove", "/srv/%s.ko"}, 0},
			}
			var commands []lab.Command
			for _, c := range all {
				content[c.name+".der"] = c.made.DER
				content[c.name+".ko"] = lab.SignFile(t, "sha256", c.made.KeyPEM(t), c.made.DER, module)
				switch c.in {
				case "mok":
					enroll = append(enroll, "/srv/"+c.name+".der")
				case "db":
					m.Keys.DB = append(m.Keys.DB, c.made.DER)
				}
				for _, a := range ask {
					command := kkeys(strings.Fields(fmt.Sprintf(strings.Join(a.args, " "), c.name))...)
					command.UID = a.uid
					commands = append(commands, command)
				}
				commands = append(commands, lab.Shell(fmt.Sprintf("insmod /srv/%s.ko && rmmod dummy", c.name)))
			}
			m.Files = inGuest(t, content)
			for _, c := range all { // where a module's certificate is found
				m.Files["/etc/uefi/certs/"+c.name+".crt"] = lab.File{Data: c.made.DER, Mode: 0o644}
			}
			staging := m
			staging.Commands = []lab.Command{kkeys(enroll...)}
			staged := boots(t, staging)
			expect(t, staged.Outputs[0], exitYes)
			m.Variables, m.Firmware, m.Commands = staged.Variables, lab.Enroll(len(enroll)-3, password), commands
			run := boots(t, m)

			var table strings.Builder
			each := len(ask) + 1
			for i, c := range all {
				loads := run.Outputs[each*i+each-1].Code == 0
				fmt.Fprintf(&table, "%-10s loads %-5v", c.name, loads)
				for j, a := range ask {
					out := run.Outputs[each*i+j]
					fmt.Fprintf(&table, "  %s %d", a.what, out.Code)
					if out.Code == exitYes && !loads || out.Code == exitNo && loads || out.Code != exitYes && out.Code != exitNo && out.Code != exitUnsure {
						t.Errorf("%s, %s: exit code %d, and loading it: %v\n%s", c.name, a.what, out.Code, loads, out.Stdout)
					}
				}
				fmt.Fprintln(&table)
			}
			t.Logf("the answers:\n%s", table.String())
			expect(t, run.Outputs[0], exitYes, "trusted, .machine")
			expect(t, run.Outputs[1], exitYes, "trusted, .secondary_trusted_keys")
			expect(t, run.Outputs[each*5], exitUnsure, "sign-file -k") // renewed
			expect(t, run.Outputs[each*5+3], exitNo, "does not find it as the module names it")
		})
	}
}

// Where a container hides the keyrings or filters the calls, root is told so and gets no answer that looks like one.
func TestLabHidden(t *testing.T) {
	t.Parallel()
	plain := signers(t)[0].made
	hidden := func(command string) lab.Command {
		return lab.Shell("unshare -m sh -c 'mount --bind /dev/null /proc/keys && " + command + "'")
	}
	run := boots(t, lab.Machine{Files: inGuest(t, map[string][]byte{"plain.der": plain.DER}), Commands: []lab.Command{
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
