package machine_test

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/machine/machinetest"
	"kkeys/modsig"
	"kkeys/trust"
)

// probedMachine is an installed machine with certificates where tools keep them, and a kernel that can be asked.
func probedMachine(t *testing.T, prober kernel.Prober, placed ...*certtest.Cert) *machine.Machine {
	t.Helper()
	made := machinetest.Installed(t)
	crypto, err := fs.ReadFile(procCrypto([]string{"sha256"}), "proc/crypto")
	if err != nil {
		t.Fatal(err)
	}
	made.Write("proc/crypto", string(crypto))
	made.Write("proc/sys/kernel/osrelease", "6.1.0-test\n")
	for i, c := range placed {
		made.Write("var/lib/sbctl/keys/"+[]string{"PK", "KEK", "db"}[i]+"/"+[]string{"PK", "KEK", "db"}[i]+".pem", string(c.PEM()))
	}
	m, err := machine.Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Prober = prober
	return m
}

// recordedProbes records a machine with load probes and opens it again.
func recordedProbes(t *testing.T, m *machine.Machine, hash string) (*machine.Machine, *machine.Recording) {
	t.Helper()
	r, err := m.Record(machine.Recorder{Version: "test", Time: time.Unix(1e9, 0), Prove: hash, Questions: func([]keyring.Ring) []keyring.Restriction { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := r.Save(path, false); err != nil {
		t.Fatal(err)
	}
	copied, err := machine.Snapshot(path)
	if err != nil {
		t.Fatal(err)
	}
	return copied, r
}

// What was asked when the machine was recorded is answered as there and then, in every mode of the kernel; all else is not.
func TestRecordedProbes(t *testing.T) {
	there, absent := certtest.SelfSigned(t, "there"), certtest.SelfSigned(t, "absent")
	ec := certtest.SelfSignedWith(t, "EC", certtest.ECDSA(t, elliptic.P384()))
	unplaced := certtest.SelfSigned(t, "unplaced")
	for _, mode := range []trust.Mode{trust.Permissive, trust.Lockdown, trust.Enforced} {
		k := &fakeKernel{mode: mode, hashes: []string{"sha256"}, keys: []*certs.Certificate{certificate(t, there), certificate(t, unplaced)}}
		m := probedMachine(t, k, there, absent, ec)
		copied, r := recordedProbes(t, m, "sha256")
		if n := r.Probed(); n == nil || *n != 6 {
			t.Errorf("%s: probed %v names", mode, n)
		}
		// Two controls, two strangers for RSA and two for ECDSA, two names of three keys.
		if len(k.images) != 2+4+6 {
			t.Errorf("%s: %d calls of init_module", mode, len(k.images))
		}
		asked := len(k.images)
		for _, c := range []*certtest.Cert{there, absent, ec} {
			q, err := machine.QuestionAbout(certificate(t, c), "sha256", nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range []machine.Question{q, machine.QuestionOf(*q.ByIssuer), machine.QuestionOf(*q.BySKID)} {
				want, err := m.Prove(q)
				if err != nil {
					t.Fatal(err)
				}
				got, err := copied.Prove(q)
				if err != nil {
					t.Errorf("%s: %v", mode, err)
					continue
				}
				if a, b := trust.JudgeProbes(want, kernel.Status{}), trust.JudgeProbes(got, kernel.Status{}); a != b || a.Mode != mode || got.Hash != want.Hash {
					t.Errorf("%s: of the machine\n%+v\nof its snapshot\n%+v", mode, a, b)
				}
				if (got.Keyless == nil) != (want.Keyless == nil) || (got.KeylessSKID == nil) != (want.KeylessSKID == nil) || (got.Stranger == nil) != (want.Stranger == nil) || (got.StrangerSKID == nil) != (want.StrangerSKID == nil) {
					t.Errorf("%s: %+v, want %+v", mode, got, want)
				}
			}
			withKey := q
			withKey.Private = c.Key
			issuer, skid, algorithm := *q.ByIssuer, *q.BySKID, *q.ByIssuer
			issuer.Hash, algorithm.Algorithm, skid.SKID = "sha512", "ecrdsa", skid.SKID[1:]
			half := machine.Question{ByIssuer: q.ByIssuer, BySKID: &skid}
			for name, q := range map[string]machine.Question{
				"with a private key": withKey, "another hash": machine.QuestionOf(issuer), "another algorithm": machine.QuestionOf(algorithm), "a part of the SKID": machine.QuestionOf(skid), "half of it": half,
			} {
				if p, err := copied.Prove(q); p != nil || !errors.Is(err, kernel.ErrNotRecorded) {
					t.Errorf("%s, %s: %+v, %v", mode, name, p, err)
				}
			}
		}
		q, err := machine.QuestionAbout(certificate(t, unplaced), "sha256", nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := copied.Prove(q); p != nil || !errors.Is(err, kernel.ErrNotRecorded) || !strings.Contains(err.Error(), "no load probe with sha256") {
			t.Errorf("not asked about: %+v, %v", p, err)
		}
		if p, err := copied.Prove(machine.Question{}); p != nil || !errors.Is(err, machine.ErrQuestion) {
			t.Errorf("no question: %+v, %v", p, err)
		}
		sameShapes(t, k.images[:asked])
	}
}

// sameShapes: one payload, the broken one first, then the control, then one signer each with random bytes; no two probes are the same.
func sameShapes(t *testing.T, images [][]byte) {
	t.Helper()
	control, names := images[1], map[string]bool{}
	for i, image := range images {
		payload, der, err := modsig.Split(image)
		switch {
		case i == 0 && errors.Is(err, modsig.ErrMalformed), i == 1 && errors.Is(err, modsig.ErrUnsigned):
			continue
		case err != nil || i < 2:
			t.Fatalf("probe %d: %v", i, err)
		}
		message, err := modsig.Decode(der)
		if err != nil || len(message.Signers) != 1 || message.Signers[0].Hash != "sha256" || !bytes.Equal(payload, control) {
			t.Fatalf("probe %d: %+v, %v", i, message, err)
		}
		if id := message.Signers[0].Algorithm + string(message.Signers[0].ID()); names[id] {
			t.Errorf("probe %d was made before", i)
		} else {
			names[id] = true
		}
	}
}

// Two certificates of one name are one question, one without SKID has one name, and a key that modules cannot have has none.
func TestRecordedProbesOfOddCertificates(t *testing.T) {
	there := certtest.SelfSigned(t, "there")
	spec := there.Spec
	spec.Key = certtest.RSA(2048, 3)
	twin := certtest.Make(t, spec)
	plain := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("without SKID")}})
	k := &fakeKernel{mode: trust.Enforced, hashes: []string{"sha256"}}
	_, r := recordedProbes(t, probedMachine(t, k, there, twin, plain), "sha256")
	if n := r.Probed(); n == nil || *n != 3 || len(k.images) != 2+2+3 {
		t.Errorf("probed %v names with %d calls", n, len(k.images))
	}
	k = &fakeKernel{mode: trust.Enforced, hashes: []string{"sha256"}}
	copied, r := recordedProbes(t, probedMachine(t, k), "sha256")
	if n := r.Probed(); n == nil || *n != 0 || len(k.images) != 2 {
		t.Errorf("no certificate: probed %v names with %d calls", n, len(k.images))
	}
	if p, err := copied.Prove(machine.QuestionOf(modsig.Signer{SKID: []byte{1}, Hash: "sha256", Algorithm: "rsa"})); p != nil || !errors.Is(err, kernel.ErrNotRecorded) {
		t.Errorf("%+v, %v", p, err)
	}
}

// answering gives one errno to everything.
type answering kernel.Errno

func (a answering) Probe(*kernel.Payload, []byte) (*kernel.Attempt, error) {
	return &kernel.Attempt{Errno: kernel.Errno(a)}, nil
}

// strange refuses what is broken as it should, and all else in a way that has no name.
type strange struct{ asked int }

func (s *strange) Probe(*kernel.Payload, []byte) (*kernel.Attempt, error) {
	if s.asked++; s.asked == 1 {
		return &kernel.Attempt{Errno: kernel.EBADMSG}, nil
	}
	return &kernel.Attempt{Errno: "ETOMORROW"}, nil
}

// Where the kernel cannot be asked, that is not seen, and is said again by the snapshot.
func TestRecordedProbesFail(t *testing.T) {
	there := certtest.SelfSigned(t, "there")
	q, err := machine.QuestionAbout(certificate(t, there), "sha256", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prober kernel.Prober
		says   string
	}{
		"no root":                 {answering(kernel.EPERM), "with EPERM: no CAP_SYS_MODULE"},
		"a security module":       {answering(kernel.EACCES), "with EACCES: no CAP_SYS_MODULE, modules_disabled, a security module or a container's filter"},
		"the payload comes first": {answering(kernel.ENOEXEC), "a broken signature with ENOEXEC"},
		"it loads":                {answering(kernel.Loaded), "please report"},
		"an errno of tomorrow":    {&strange{}, "ETOMORROW"},
		"no modules":              {&failing{left: 0}, errFails.Error()},
		"fails later":             {&failing{fakeKernel{mode: trust.Enforced}, 4}, errFails.Error()},
		"not here":                {nil, "cannot be asked"},
	} {
		copied, r := recordedProbes(t, probedMachine(t, c.prober, there), "sha256")
		if n := r.Probed(); n == nil || *n != 0 {
			t.Errorf("%s: probed %v", name, n)
		}
		said := ""
		for _, n := range r.NotSeen() {
			if n.Source == "load probes" {
				said = n.Err.Error()
			}
		}
		if p, err := copied.Prove(q); p != nil || !errors.Is(err, kernel.ErrNotRecorded) || !strings.Contains(err.Error(), c.says) || !strings.Contains(said, c.says) {
			t.Errorf("%s: %+v, %v; not seen: %q", name, p, err, said)
		}
	}
	k := &fakeKernel{mode: trust.Enforced}
	copied, r := recordedProbes(t, probedMachine(t, k, there), "")
	if p, err := copied.Prove(q); p != nil || !errors.Is(err, kernel.ErrNotRecorded) || !strings.Contains(err.Error(), "--prove") || len(k.images) > 0 || r.Probed() != nil {
		t.Errorf("without probes: %+v, %v, %d calls", p, err, len(k.images))
	}
}
