//go:build lab

package main

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// subject is a certificate of the table of verdicts.
type subject struct {
	name     string
	made     *certtest.Cert
	enrolled bool
}

func subjects(t *testing.T) []subject {
	self := func(cn, id string, change func(*certtest.Spec)) *certtest.Cert {
		spec := certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, SKID: []byte(id), AKI: &certtest.AKI{KeyID: []byte(id)}}
		if change != nil {
			change(&spec)
		}
		return certtest.Make(t, spec)
	}
	key := func(n int) func(*certtest.Spec) { return func(s *certtest.Spec) { s.Key = certtest.RSA(2048, n) } }
	ca := self("lab: CA", "id of CA", key(40))
	mine := self("lab: mine", "id of mine", key(41))
	return []subject{
		{"enrolled", mine, true},
		{"CA, enrolled", ca, true},
		{"leaf of the CA", self("lab: leaf", "id of leaf", func(s *certtest.Spec) {
			s.Serial, s.Signer, s.AKI, s.Key = []byte{2}, ca, &certtest.AKI{KeyID: []byte("id of CA")}, certtest.RSA(2048, 42)
		}), false},
		{"leaf, enrolled itself", self("lab: leaf2", "id of leaf2", func(s *certtest.Spec) {
			s.Serial, s.Signer, s.AKI, s.Key = []byte{3}, ca, &certtest.AKI{KeyID: []byte("id of CA")}, certtest.RSA(2048, 43)
		}), true},
		{"foreign", self("lab: foreign", "id of foreign", key(44)), false},
		{"same name and id, other key", self("lab: mine", "id of mine", key(45)), false},
		{"P-256, enrolled", self("lab: ecdsa", "id of ecdsa", func(s *certtest.Spec) { s.Key = certtest.ECDSA(t, elliptic.P256()) }), true},
		{"P-256, foreign", self("lab: ecdsa", "id of ecdsa2", func(s *certtest.Spec) { s.Key = certtest.ECDSA(t, elliptic.P256()) }), false},
		{"expired, enrolled", self("lab: expired", "id of expired", func(s *certtest.Spec) {
			s.NotBefore, s.NotAfter, s.Key = certtest.UTC("100101000000Z"), certtest.UTC("110101000000Z"), certtest.RSA(2048, 46)
		}), true},
		{"odd name, enrolled", self("evil; \x1b[2J\nname", "id of odd", key(47)), true},
		{"no ids, enrolled", certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("lab: no ids")}, Serial: []byte{0, 0x80}, Key: certtest.RSA(2048, 48)}), true},
		{"RSA-4096, enrolled", self("lab: 4096", "id of 4096", func(s *certtest.Spec) { s.Key = generated(t, 4096) }), true},
		{"RSA-2560, which no kernel takes", self("lab: 2560", "id of 2560", func(s *certtest.Spec) { s.Key = generated(t, 2560) }), false},
	}
}

func generated(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// modes are the ways in which a kernel treats modules without a trusted signature.
var modes = []struct {
	name, line string
	off        bool
}{
	{"Secure Boot", "", false}, {"lockdown", "lockdown=integrity", true}, {"sig_enforce", "module.sig_enforce=1", true}, {"permissive", "", true},
}

// judge is a command line that tries a module: 0, 1 and so on is insmod's exit code; then the taint of the loaded module, in which E means
// that its signature was not accepted.
const judge = `insmod /srv/%d.ko; echo "insmod $?"; cat /sys/module/dummy/taint; rmmod dummy 2>/dev/null; true`

// In every mode, on both kernels, `trusted`, `trusted --prove` and `trusted --prove --key` of each certificate agree with what happens to a
// module that its key signed: trusted if its signature is accepted, untrusted if not; and each of them is sure wherever it can be.
func TestLabVerdicts(t *testing.T) {
	all := subjects(t)
	for _, kernel := range kernels {
		for _, mode := range modes {
			t.Run(string(kernel)+" "+mode.name, func(t *testing.T) {
				t.Parallel()
				module := lab.Strip(t, lab.Module(t, kernel, "dummy"))
				content := map[string][]byte{}
				enroll := []string{"enroll", "--password-file", "/srv/password"}
				var commands []lab.Command
				keys := 0
				for i, s := range all {
					der, key := fmt.Sprintf("/srv/%d.der", i), fmt.Sprintf("/srv/%d.key", i)
					content[fmt.Sprintf("%d.der", i)], content[fmt.Sprintf("%d.key", i)] = s.made.DER, s.made.KeyPEM(t)
					content[fmt.Sprintf("%d.ko", i)] = lab.SignFile(t, "sha256", s.made.KeyPEM(t), s.made.DER, module)
					if s.enrolled {
						enroll = append(enroll, der)
						keys++
					}
					commands = append(commands, kkeys("trusted", der), kkeys("trusted", "--prove", der), kkeys("trusted", "--prove", "--key", key, der), lab.Shell(fmt.Sprintf(judge, i)))
				}
				m := lab.Machine{Kernel: kernel, SecureBootOff: mode.off, CommandLine: mode.line, Files: inGuest(t, content)}
				if !mode.off {
					staging := m
					staging.Commands = []lab.Command{kkeys(enroll...)}
					staged := boots(t, staging)
					expect(t, staged.Outputs[0], exitYes)
					m.Variables, m.Firmware = staged.Variables, lab.Enroll(keys, password)
				}
				m.Commands = append(commands, lab.Shell("cat /proc/modules"))
				run := boots(t, m)
				var table strings.Builder
				for i, s := range all {
					outputs := run.Outputs[4*i : 4*i+4]
					tried := string(outputs[3].Stdout)
					accepted := strings.HasPrefix(tried, "insmod 0\n") && !strings.Contains(strings.TrimPrefix(tried, "insmod 0\n"), "E")
					fmt.Fprintf(&table, "| %s | %d | %d | %d | %v |\n", s.name, outputs[0].Code, outputs[1].Code, outputs[2].Code, accepted)
					for _, out := range outputs[:3] {
						if out.Code == exitYes && !accepted || out.Code == exitNo && accepted || out.Code > exitUnsure || out.Code == exitUsage {
							t.Errorf("%s: exit code %d, and its signature is accepted: %v\n%s%s%s", s.name, out.Code, accepted, out.Stdout, out.Stderr, tried)
						}
					}
					// A probe that is really signed is always sure.
					if out := outputs[2]; out.Code == exitUnsure && !strings.Contains(s.name, "no kernel takes") {
						t.Errorf("%s: a signed probe leaves it open\n%s%s", s.name, out.Stdout, out.Stderr)
					}
				}
				t.Logf("kernel %s, %s:\n| certificate | trusted | --prove | --prove --key | signature accepted |\n| --- | --- | --- | --- | --- |\n%s", kernel, mode.name, table.String())
				if got := string(run.Outputs[len(run.Outputs)-1].Stdout); strings.Contains(got, "kkeys") {
					t.Errorf("a probe was registered: %s", got)
				}
			})
		}
	}
}
