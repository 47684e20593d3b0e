//go:build lab

package main

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// subject is a certificate of the table of verdicts.
type subject struct {
	name     string
	der      []byte
	key      *certtest.Cert // nil: the private key is not ours
	module   []byte         // with a signature by its key; nil: there is none
	enrolled bool
}

// signed is a subject whose key is ours, and a module that it signed.
func signed(t *testing.T, name string, made *certtest.Cert, enrolled bool, module []byte) subject {
	t.Helper()
	return subject{name, made.DER, made, lab.SignFile(t, "sha256", made.KeyPEM(t), made.DER, module), enrolled}
}

// selfSigned makes a certificate with this name and key id.
func selfSigned(t *testing.T, cn, id string, key crypto.Signer, change ...func(*certtest.Spec)) *certtest.Cert {
	t.Helper()
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, SKID: []byte(id), AKI: &certtest.AKI{KeyID: []byte(id)}, Key: key}
	for _, c := range change {
		c(&spec)
	}
	return certtest.Make(t, spec)
}

// onDebian are the certificates that Debian's own machine is asked about.
func onDebian(t *testing.T, kernel lab.Kernel) []subject {
	t.Helper()
	original := lab.Module(t, kernel, "dummy")
	module := lab.Strip(t, original)
	rsa2048 := func(n int) crypto.Signer { return certtest.RSA(2048, n) }
	ca := selfSigned(t, "lab: CA", "id of CA", rsa2048(40))
	mine := selfSigned(t, "lab: mine", "id of mine", rsa2048(41))
	issued := func(serial byte) func(*certtest.Spec) {
		return func(s *certtest.Spec) {
			s.Serial, s.Signer, s.AKI = []byte{serial}, ca, &certtest.AKI{KeyID: []byte("id of CA")}
		}
	}
	expired := func(s *certtest.Spec) {
		s.NotBefore, s.NotAfter = certtest.UTC("100101000000Z"), certtest.UTC("110101000000Z")
	}
	all := []subject{
		{name: "builtin", der: builtin(t, kernel), module: original},
		{name: "Debian's CA, in shim", der: readFile(t, debianCA)},
	}
	for _, s := range []struct {
		name     string
		enrolled bool
		made     *certtest.Cert
	}{
		{"enrolled", true, mine},
		{"CA, enrolled", true, ca},
		{"leaf of the CA", false, selfSigned(t, "lab: leaf", "id of leaf", rsa2048(42), issued(2))},
		{"leaf, enrolled itself", true, selfSigned(t, "lab: leaf2", "id of leaf2", rsa2048(43), issued(3))},
		{"foreign", false, selfSigned(t, "lab: foreign", "id of foreign", rsa2048(44))},
		{"same name and id, other key", false, selfSigned(t, "lab: mine", "id of mine", rsa2048(45))},
		{"P-256, enrolled", true, selfSigned(t, "lab: ecdsa", "id of ecdsa", certtest.ECDSA(t, elliptic.P256()))},
		{"P-256, foreign", false, selfSigned(t, "lab: ecdsa", "id of ecdsa2", certtest.ECDSA(t, elliptic.P256()))},
		{"expired, enrolled", true, selfSigned(t, "lab: expired", "id of expired", rsa2048(46), expired)},
		{"odd name, enrolled", true, selfSigned(t, "evil; \x1b[2J\nname", "id of odd", rsa2048(47))},
		{"no ids, enrolled", true, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("lab: no ids")}, Serial: []byte{0, 0x80}, Key: rsa2048(48)})},
		{"RSA-4096, enrolled", true, selfSigned(t, "lab: 4096", "id of 4096", generated(t, 4096))},
		{"RSA-8192, enrolled", true, selfSigned(t, "lab: 8192", "id of 8192", rsa8192(t))},
		{"RSA-2560, foreign", false, selfSigned(t, "lab: 2560", "id of 2560", generated(t, 2560))},
	} {
		all = append(all, signed(t, s.name, s.made, s.enrolled, module))
	}
	return all
}

// builtin is the certificate of the key that the kernel's builder made for its modules.
func builtin(t *testing.T, kernel lab.Kernel) []byte {
	t.Helper()
	found, err := certs.SearchImage(bytes.NewReader(kernelImage(t, kernel)))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d certificates in the kernel: %v", len(found), err)
	}
	return found[0].Raw
}

func kernelImage(t *testing.T, kernel lab.Kernel) []byte {
	t.Helper()
	parts, err := lab.Find()
	if err != nil {
		t.Fatal(err)
	}
	return readFile(t, filepath.Join(parts.Folder, "root/boot/vmlinuz-"+kernel.Release(t)))
}

const debianCA = "../../testdata/certs/debian-ca.der"

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func rsa8192(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := privateKey("../../testdata/keys/rsa-8192.pem", nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func generated(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// owned is a machine whose firmware has keys of its owner's and no others; so has shim, which its owner has signed anew. GRUB and the kernel
// remain those that Debian signed.
type owned struct {
	platform, db, vendor *certtest.Cert
}

func ownKeys(t *testing.T) owned {
	t.Helper()
	return owned{
		certtest.SelfSignedWith(t, "lab: platform", certtest.RSA(2048, 50)), certtest.SelfSignedWith(t, "lab: own db", certtest.RSA(2048, 51)),
		certtest.SelfSignedWith(t, "lab: own vendor", certtest.RSA(2048, 52)),
	}
}

func (o owned) machine(t *testing.T) lab.Machine {
	t.Helper()
	return lab.Machine{
		Keys: &lab.Keys{PK: o.platform.DER, KEK: o.platform.DER, DB: [][]byte{o.db.DER, readFile(t, debianCA)}},
		Shim: lab.Shim(t, o.vendor.DER, o.db.Key, o.db.DER),
	}
}

// ownDB is the row that tells whether the kernel asks .platform.
const ownDB = "own keys: db"

func onOwned(t *testing.T, o owned, kernel lab.Kernel) []subject {
	t.Helper()
	module := lab.Strip(t, lab.Module(t, kernel, "dummy"))
	twin := o.db.Spec
	twin.Key = certtest.RSA(2048, 53)
	return []subject{
		signed(t, ownDB, o.db, false, module),
		signed(t, "own keys: same name and id as db's", certtest.Make(t, twin), false, module),
		signed(t, "own keys: vendor, in shim", o.vendor, false, module),
		signed(t, "own keys: PK and KEK", o.platform, false, module),
		{name: "own keys: Debian's CA, in db", der: readFile(t, debianCA)},
	}
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

// vouch stands in for it where no module can be signed: which keyrings hold the key of a self-signed certificate. A keyring that is
// restricted to one takes no other certificate (keyctl(1)).
func vouch(der string) lab.Command {
	return lab.Command{Argv: []string{"/bin/keyctl", "session", "-", "/bin/sh", "-c", `for ring in .builtin_trusted_keys .machine .platform; do
	try=$(keyctl newring "try $ring" @s) && keyctl restrict_keyring $try asymmetric key_or_keyring:$(keyctl id %:$ring) || echo failed
	keyctl padd asymmetric "" $try < ` + der + ` >/dev/null && echo "held $ring"
done; true`}}
}

// answer is what kkeys said of a certificate, and what is true.
type answer struct {
	codes    []int // exit codes of trusted, with --prove, with --prove --key if there is one
	accepted bool
}

func (a answer) String() string {
	text := ""
	for i := range 3 {
		if i < len(a.codes) {
			text += fmt.Sprint(a.codes[i], " ")
		} else {
			text += "- "
		}
	}
	return text + map[bool]string{true: "accepted", false: "refused"}[a.accepted]
}

// trial asks about certificates on one machine and tries their modules.
func trial(t *testing.T, m lab.Machine, all []subject) map[string]answer {
	t.Helper()
	content := map[string][]byte{}
	enroll := []string{"enroll", "--password-file", "/srv/password"}
	var commands []lab.Command
	keys := 0
	for i, s := range all {
		der, key := fmt.Sprintf("/srv/%d.der", i), fmt.Sprintf("/srv/%d.key", i)
		content[fmt.Sprintf("%d.der", i)] = s.der
		commands = append(commands, kkeys("trusted", der), kkeys("trusted", "--prove", der))
		if s.key != nil {
			content[fmt.Sprintf("%d.key", i)] = s.key.KeyPEM(t)
			commands = append(commands, kkeys("trusted", "--prove", "--key", key, der))
		}
		if s.module != nil {
			content[fmt.Sprintf("%d.ko", i)] = s.module
			commands = append(commands, lab.Shell(fmt.Sprintf(judge, i)))
		} else {
			commands = append(commands, vouch(der))
		}
		if s.enrolled {
			enroll = append(enroll, der)
			keys++
		}
	}
	m.Files = inGuest(t, content)
	if !m.SecureBootOff && keys > 0 {
		staging := m
		staging.Commands = []lab.Command{kkeys(enroll...)}
		staged := boots(t, staging)
		expect(t, staged.Outputs[0], exitYes)
		m.Variables, m.Firmware = staged.Variables, lab.Enroll(keys, password)
	}
	m.Commands = append(commands, lab.Shell("cat /proc/modules"))
	run := boots(t, m)
	answers, outputs := map[string]answer{}, run.Outputs
	for _, s := range all {
		asked := 2
		if s.key != nil {
			asked = 3
		}
		a := answer{accepted: truth(t, s, string(outputs[asked].Stdout), answers[ownDB].accepted)}
		for i, out := range outputs[:asked] {
			a.codes = append(a.codes, out.Code)
			wrong := out.Code == exitYes && !a.accepted || out.Code == exitNo && a.accepted
			unsure := i == 2 && out.Code == exitUnsure // a probe that is really signed is always sure
			if wrong || unsure || out.Code > exitUnsure || out.Code == exitUsage {
				t.Errorf("%s: exit code %d, but: %v\n%s%s%s", s.name, out.Code, a, out.Stdout, out.Stderr, outputs[asked].Stdout)
			}
		}
		answers[s.name], outputs = a, outputs[asked+1:]
	}
	if got := string(outputs[0].Stdout); strings.Contains(got, "kkeys") {
		t.Errorf("a probe was registered: %s", got)
	}
	return answers
}

// truth reads from the output of judge or vouch whether the kernel accepts signatures by the subject's key. platform says that this kernel
// does by a key that only .platform holds.
func truth(t *testing.T, s subject, tried string, platform bool) bool {
	t.Helper()
	if s.module != nil {
		rest, loaded := strings.CutPrefix(tried, "insmod 0\n")
		return loaded && !strings.Contains(rest, "E")
	}
	if strings.Contains(tried, "failed") {
		t.Fatalf("%s: %s", s.name, tried)
	}
	return strings.Contains(tried, ".builtin") || strings.Contains(tried, ".machine") || platform && strings.Contains(tried, ".platform")
}

// In every mode, on both kernels, `trusted`, `trusted --prove` and `trusted --prove --key` of each certificate agree with what happens to a
// module that its key signed: trusted if its signature is accepted, untrusted if not; and each of them is sure wherever it can be. What was
// seen is what docs/verdicts-lab.md tells; -update writes it there.
func TestLabVerdicts(t *testing.T) {
	own := ownKeys(t)
	seen := verdicts{answers: map[string]answer{}}
	t.Cleanup(func() { seen.check(t) })
	for _, kernel := range kernels {
		for _, setup := range []struct {
			name     string
			machine  lab.Machine
			subjects []subject
		}{
			{"Debian's keys", lab.Machine{}, onDebian(t, kernel)},
			{"own keys", own.machine(t), onOwned(t, own, kernel)},
		} {
			for _, s := range setup.subjects {
				seen.rows = append(seen.rows, row{kernel, s.name})
			}
			for _, mode := range modes {
				t.Run(fmt.Sprintf("%s, %s, %s", kernel, mode.name, setup.name), func(t *testing.T) {
					t.Parallel()
					m := setup.machine
					m.Kernel, m.SecureBootOff, m.CommandLine = kernel, mode.off, mode.line
					for name, a := range trial(t, m, setup.subjects) {
						seen.add(row{kernel, name}, mode.name, a)
					}
				})
			}
		}
	}
}

// row is one of the table: a certificate on a kernel.
type row struct {
	kernel lab.Kernel
	name   string
}

// verdicts are the answers that were seen.
type verdicts struct {
	adding  sync.Mutex
	rows    []row
	answers map[string]answer // by row and mode
}

func (v *verdicts) add(r row, mode string, a answer) {
	v.adding.Lock()
	defer v.adding.Unlock()
	v.answers[fmt.Sprint(r, mode)] = a
}

// tables writes the answers down, a table for each kernel.
func (v *verdicts) tables() string {
	var text strings.Builder
	for _, kernel := range kernels {
		fmt.Fprintf(&text, "\n## Kernel %s\n\n| certificate |", kernel)
		for _, mode := range modes {
			fmt.Fprintf(&text, " %s |", mode.name)
		}
		text.WriteString("\n|" + strings.Repeat(" --- |", len(modes)+1) + "\n")
		for _, r := range v.rows {
			if r.kernel != kernel {
				continue
			}
			fmt.Fprintf(&text, "| %s |", r.name)
			for _, mode := range modes {
				fmt.Fprintf(&text, " %v |", v.answers[fmt.Sprint(r, mode.name)])
			}
			text.WriteString("\n")
		}
	}
	return text.String()
}

var update = flag.Bool("update", false, "write what was seen into docs/verdicts-lab.md")

// check compares the document with what was seen. It says nothing when only some of the machines were run.
func (v *verdicts) check(t *testing.T) {
	const path, first = "../../docs/verdicts-lab.md", "\n## Kernel "
	tables := v.tables()
	t.Logf("answers:\n%s", tables)
	if len(v.answers) < len(v.rows)*len(modes) {
		t.Log("not all machines were run: docs/verdicts-lab.md is not looked at")
		return
	}
	document := string(readFile(t, path))
	words, _, _ := strings.Cut(document, first)
	if words+tables == document {
		return
	}
	if !*update || t.Failed() {
		t.Errorf("docs/verdicts-lab.md tells something else; compare it and run this with -update")
		return
	}
	if err := os.WriteFile(path, []byte(words+tables), 0o644); err != nil {
		t.Error(err)
	}
}
