package machine_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

// subject is a key that the guest probes for: a certificate with or without its private key, or what a module's signature names.
type subject struct {
	Name    string
	DER     []byte
	Private []byte // PKCS#8
	Hash    string // "sha256" when empty
	Signer  *modsig.Signer
}

// outcome is what the guest tells of one.
type outcome struct {
	Name     string
	Verdict  trust.ProbeVerdict
	OnlyIn   bool             // .platform
	Platform evidence.Reading // where OnlyIn
}

const (
	subjectsFile = "/srv/subjects.json"
	resultMark   = "RESULT "
)

// Load probes on the running kernel, only in the lab's guest: nowhere else does a test call init_module. It prints what came out and
// checks what holds for all: no taint, no module, and every attempt answered.
func TestLiveProve(t *testing.T) {
	if os.Getenv("KKEYS_GUEST") != "1" {
		t.Skip("this machine's kernel is left alone: KKEYS_GUEST=1 is set in the lab's guest only")
	}
	text, err := os.ReadFile(subjectsFile)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []subject
	if err := json.Unmarshal(text, &subjects); err != nil {
		t.Fatal(err)
	}
	m := machine.Live()
	found, _ := m.Certificates()
	for _, f := range found {
		subjects = append(subjects, subject{Name: f.Where + ": " + f.Certificate.KernelName(), DER: f.Certificate.Raw})
	}
	rings, ringsErr := keyring.Live{}.Rings()
	if ringsErr != nil && os.Geteuid() == 0 {
		t.Fatal(ringsErr)
	}
	status := m.Kernel()
	for _, s := range subjects {
		q, c := s.question(t)
		p, err := machine.Prove(kernel.Live{}, m.Files, q)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		o := outcome{Name: s.Name, Verdict: trust.JudgeProbes(p, status)}
		if c != nil && trust.OnlyIn(rings, c, keyring.Platform) {
			o.OnlyIn, o.Platform = true, trust.PlatformConsulted(p, status)
		}
		line, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s%s\n", resultMark, line)
		for _, a := range []*kernel.Attempt{p.Control, p.Broken, p.Stranger, p.StrangerSKID, p.Keyless, p.KeylessSKID, p.Signed} {
			if a != nil && a.Tainted() != evidence.No {
				t.Errorf("%s: taint %v to %v", s.Name, a.TaintBefore, a.TaintAfter)
			}
		}
	}
	modules, err := os.ReadFile("/proc/modules")
	if err != nil || strings.Contains(string(modules), "kkeys") {
		t.Errorf("registered: %s, %v", modules, err)
	}
	if taint, err := os.ReadFile("/proc/sys/kernel/tainted"); err != nil || string(taint) != "0\n" {
		t.Errorf("taint %q, %v", taint, err)
	}
}

func (s subject) question(t *testing.T) (machine.Question, *certs.Certificate) {
	t.Helper()
	if s.Signer != nil {
		return machine.QuestionOf(*s.Signer), nil
	}
	c, err := certs.ParseDER(s.DER)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	var private crypto.Signer
	if s.Private != nil {
		key, err := x509.ParsePKCS8PrivateKey(s.Private)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		private = key.(crypto.Signer)
	}
	hash := s.Hash
	if hash == "" {
		hash = "sha256"
	}
	q, err := machine.QuestionAbout(c, hash, private)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return q, c
}
