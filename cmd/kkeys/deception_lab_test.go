//go:build lab

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/trust"
)

// trick is a certificate that `trusted` is asked about, and how its module is signed.
type trick struct {
	name   string
	made   *certtest.Cert
	names  *certtest.Cert // whose names its module's signature gives; nil: its own
	hash   string         // of that signature; empty: sha256
	keyID  bool           // sign-file -k, so only the module is asked about
	module []byte         // what somebody else signed, in place of one that is signed here
}

// stage is a moment of a machine: what root changes at run time, after which everything is asked again.
type stage struct {
	name, change string
	above        bool // root did what an ordinary user cannot see, and root loads modules
	keys         bool // probes that the certificates' own keys sign are asked for, too
}

// arrangement is a machine whose keys are laid out to deceive.
type arrangement struct {
	name   string
	mok    []*certtest.Cert // enrolled in this order
	db     []*certtest.Cert
	tricks func(*testing.T, lab.Kernel) []trick
	stages []stage
}

// unfound takes the certificates away from where kkeys finds them.
var unfound = stage{name: "certificates not found", change: "mv /etc/uefi/certs /etc/uefi/away"}

// way is a way to ask about a file.
type way struct {
	what string
	args []string
	uid  int
	ext  string
}

var ways = []way{
	{"root", nil, 0, ".der"}, {"user", nil, nobody, ".der"}, {"--prove", []string{"--prove"}, 0, ".der"},
	{"module", nil, 0, ".ko"}, {"module, user", nil, nobody, ".ko"}, {"module, --prove", []string{"--prove"}, 0, ".ko"},
}

const withKey = "--key"

// keyRevoked is EKEYREVOKED, with which insmod ends as long as the keyrings hold a revoked key and the kernel finds no other: it passes revoked keys
// over, whosever they are, gives this error in place of "none found", and does not go on to .platform.
const keyRevoked = 128

func (c trick) hashed() string {
	if c.hash == "" {
		return "sha256"
	}
	return c.hash
}

func (c trick) sign(t *testing.T, module []byte) []byte {
	t.Helper()
	names := c.made.DER
	if c.names != nil {
		names = c.names.DER
	}
	switch {
	case c.module != nil:
		return c.module
	case c.keyID:
		return signByKeyID(t, c.made.KeyPEM(t), names, module)
	}
	return lab.SignFile(t, c.hashed(), c.made.KeyPEM(t), names, module)
}

// signByKeyID signs with sign-file -k, which names the signer by its key id.
func signByKeyID(t *testing.T, key, certificate, module []byte) []byte {
	t.Helper()
	folder := t.TempDir()
	args := []string{"-k", "sha256"}
	for _, f := range []struct {
		name string
		data []byte
	}{{"key", key}, {"certificate", certificate}, {"module", module}} {
		path := filepath.Join(folder, f.name)
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := lab.Tool(t, "/usr/lib/linux-kbuild-6.1/scripts/sign-file", args...).CombinedOutput(); err != nil {
		t.Fatalf("sign-file -k: %v: %s", err, out)
	}
	return readFile(t, args[len(args)-1])
}

// question is one run of kkeys about some of the tricks.
type question struct {
	way
	about []trick
}

// questions asks about all certificates, or modules, with one hash at once, but for --key, which is for one certificate.
func (s stage) questions(all []trick) []question {
	var asked []question
	for _, hash := range []string{"sha256", "sha512", "sha3-256"} {
		for _, w := range ways {
			q := question{way: w}
			q.args = append([]string{"--hash", hash}, w.args...)
			for _, c := range all {
				if c.hashed() == hash && !(c.keyID && w.ext == ".der") {
					q.about = append(q.about, c)
				}
			}
			if q.about != nil {
				asked = append(asked, q)
			}
		}
	}
	for _, c := range all {
		if s.keys && c.made.Key != nil && c.made.Spec.PublicKey == nil && !c.keyID {
			args := []string{"--hash", c.hashed(), "--prove", "--key", "/srv/" + c.name + ".key"}
			asked = append(asked, question{way{withKey, args, 0, ".der"}, []trick{c}})
		}
	}
	return asked
}

func (q question) command() lab.Command {
	args := append([]string{"trusted", "--json"}, q.args...)
	for _, c := range q.about {
		args = append(args, "/srv/"+c.name+q.ext)
	}
	command := kkeys(args...)
	command.UID = q.uid
	return command
}

// answers are the exit codes that each file alone would have got. A file that has no answer is a failure.
func (q question) answers(t *testing.T, out lab.Output) map[string]subjectDocument {
	t.Helper()
	all := map[string]subjectDocument{}
	code := exitYes
	for _, s := range decoded[trustedDocument](t, "trusted", out).Subjects {
		all[strings.TrimSuffix(filepath.Base(s.Path), q.ext)] = s
		code = worse(code, verdictCodes[s.Verdict])
	}
	if len(all) != len(q.about) || out.Code != code {
		t.Errorf("%s %v: exit code %d, and %d answers of %d that give %d\n%s", q.what, q.args, out.Code, len(all), len(q.about), code, out.Stderr)
	}
	return all
}

// machine is the machine with this arrangement, its keys staged for MokManager.
func (a arrangement) machine(t *testing.T) lab.Machine {
	t.Helper()
	m := ownKeys(t).machine(t)
	for _, c := range a.db {
		m.Keys.DB = append(m.Keys.DB, c.DER)
	}
	content := map[string][]byte{}
	enroll := []string{"enroll", "--password-file", "/srv/password"}
	for i, c := range a.mok {
		name := fmt.Sprintf("mok-%02d.der", i)
		content[name] = c.DER
		enroll = append(enroll, "/srv/"+name)
	}
	staging := m
	staging.Files, staging.Commands = inGuest(t, content), []lab.Command{kkeys(enroll...)}
	staged := boots(t, staging)
	expect(t, staged.Outputs[0], exitYes)
	m.Variables, m.Firmware = staged.Variables, lab.Enroll(len(a.mok), password)
	return m
}

// run boots one kernel on the machine and goes through the stages.
func (a arrangement) run(t *testing.T, m lab.Machine, kernel lab.Kernel) {
	m.Kernel, m.Deadline = kernel, 8*time.Minute
	all := a.tricks(t, kernel)
	module := lab.Strip(t, lab.Module(t, kernel, "dummy"))
	content, certificates := map[string][]byte{}, map[string]lab.File{}
	for _, c := range all {
		content[c.name+".ko"] = c.sign(t, module)
		content[c.name+".der"] = c.made.DER
		if c.made.Key != nil {
			content[c.name+".key"] = c.made.KeyPEM(t)
		}
		certificates["/etc/uefi/certs/"+c.name+".crt"] = lab.File{Data: c.made.DER, Mode: 0o644}
	}
	if kernel == lab.Kernel61 {
		content[sha3] = lab.Module(t, kernel, "sha3_generic") // 6.12 has it built in
	}
	m.Files = inGuest(t, content)
	for path, file := range certificates {
		m.Files[path] = file
	}
	for _, s := range a.stages {
		m.Commands = append(m.Commands, lab.Shell("true; "+s.change))
		for _, q := range s.questions(all) {
			m.Commands = append(m.Commands, q.command())
		}
		for _, c := range all {
			m.Commands = append(m.Commands, lab.Shell("insmod /srv/"+c.name+".ko && rmmod dummy"))
		}
	}
	run := boots(t, m)
	outputs := run.Outputs
	for _, s := range a.stages {
		asked := s.questions(all)
		expect(t, outputs[0], 0)
		outputs = outputs[1:]
		s.check(t, asked, all, outputs[:len(asked)], outputs[len(asked):len(asked)+len(all)])
		outputs = outputs[len(asked)+len(all):]
	}
}

// check holds the answers of a stage against what became of the modules, and writes the table: a wrong answer has a "!".
func (s stage) check(t *testing.T, asked []question, all []trick, outputs, tried []lab.Output) {
	t.Helper()
	cells := map[string]string{}
	loads := map[string]bool{}
	for i, c := range all {
		loads[c.name] = tried[i].Code == 0
		if code := tried[i].Code; code != 0 && code != rejected && code != keyRevoked {
			t.Errorf("%s: insmod ended with %d: %s", c.name, tried[i].Code, tried[i].Stderr)
		}
	}
	for i, q := range asked {
		answers := q.answers(t, outputs[i])
		for _, c := range q.about {
			d, answered := answers[c.name]
			if !answered {
				cells[c.name+q.what] = "-"
				continue
			}
			code := verdictCodes[d.Verdict]
			cell := fmt.Sprint(code)
			if loads := loads[c.name]; code == exitYes && !loads || code == exitNo && loads {
				cell += "!"
				if s.above && q.uid != 0 {
					cell = fmt.Sprint(code, "*") // not what root would see
				} else {
					t.Errorf("%s: %s, %s: exit code %d, and loading it: %v\n%s", s.name, c.name, q.what, code, loads, said(d))
				}
			}
			cells[c.name+q.what] = cell
		}
	}
	t.Logf("%s: the answers:\n%s", s.name, answerTable(all, loads, cells))
}

func answerTable(all []trick, loads map[string]bool, cells map[string]string) string {
	var table strings.Builder
	for _, c := range all {
		fmt.Fprintf(&table, "%-24s loads %-5v  %s %-2s", c.name, loads[c.name], withKey, cells[c.name+withKey])
		for _, w := range ways {
			fmt.Fprintf(&table, "  %s %-2s", w.what, cells[c.name+w.what])
		}
		fmt.Fprintln(&table)
	}
	return table.String()
}

// said is what a verdict rests on.
func said(d subjectDocument) string {
	var text strings.Builder
	for _, g := range d.Gates {
		if g.Decides || g.Gate == trust.GateProbe {
			fmt.Fprintf(&text, "  %-14s %s: %s\n", g.Result, g.Gate, g.Evidence)
		}
	}
	return text.String()
}

// However names, ids and keys are laid out, by enrolment or by root at run time, `trusted` says trusted only of a certificate, or a module, with
// which a module signed by the kernel's own sign-file loads, and untrusted only of one with which it does not. It may always be unsure.
func TestLabDeceptions(t *testing.T) {
	for _, a := range []arrangement{twoKeys(t), twoNames(t), strangeKeys(t), strangeSignatures(t), addedByRoot(t), cutByRoot(t)} {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			m := a.machine(t)
			for _, kernel := range kernels {
				t.Run(string(kernel), func(t *testing.T) {
					t.Parallel()
					a.run(t, m, kernel)
				})
			}
		})
	}
}
