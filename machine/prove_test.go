package machine_test

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

// fakeKernel answers as kernel/module/signing.c and crypto/asymmetric_keys/pkcs7_*.c do, in their order.
type fakeKernel struct {
	mode   trust.Mode
	keys   []*certs.Certificate // of the keyrings that are consulted
	hashes []string             // that are loaded
	images [][]byte             // all that was asked for
}

func (k *fakeKernel) Probe(payload *kernel.Payload, trailer []byte) (*kernel.Attempt, error) {
	image := append(bytes.Clone(payload.Bytes()), trailer...)
	k.images = append(k.images, image)
	untainted := uint64(0)
	a := &kernel.Attempt{TaintBefore: &untainted, TaintAfter: &untainted}
	var reason string
	a.Errno, reason = k.verify(image)
	if a.Errno != kernel.Loaded {
		return a, nil
	}
	switch {
	case reason == "" || k.mode == trust.Permissive:
		a.Errno = kernel.ENOEXEC
		a.Log = append(a.Log, kernel.Record{Level: 3, Message: "Invalid ELF section in module (section 6 type 1)"})
	case k.mode == trust.Lockdown:
		a.Errno = kernel.EPERM
	case k.mode == trust.Enforced:
		a.Errno = kernel.EKEYREJECTED
		a.Log = append(a.Log, kernel.Record{Level: 5, Message: "Loading of " + reason + " is rejected"})
	}
	return a, nil
}

// verify gives the errno where the mode does not matter, else why the policy is asked; neither: the signature is good.
func (k *fakeKernel) verify(image []byte) (errno kernel.Errno, reason string) {
	payload, der, err := modsig.Split(image)
	if errors.Is(err, modsig.ErrUnsigned) {
		return "", "unsigned module"
	} else if err != nil {
		return kernel.EBADMSG, ""
	}
	message, err := modsig.Decode(der)
	if err != nil {
		return kernel.EBADMSG, ""
	}
	known := false
	for _, h := range k.hashes {
		known = known || h == message.Signers[0].Hash
	}
	if !known {
		return "", "module with unsupported crypto"
	}
	switch result := message.Verify(payload, k.keys); result.Outcome {
	case modsig.Valid:
		return "", ""
	case modsig.UnknownKey:
		return "", "module with unavailable key"
	}
	return kernel.EKEYREJECTED, ""
}

func certificate(t *testing.T, made *certtest.Cert) *certs.Certificate {
	t.Helper()
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// crypto is a /proc/crypto with these hashes.
func procCrypto(hashes []string) fs.FS {
	text := "name         : aes\nselftest     : passed\ntype         : cipher\n\n"
	for _, h := range hashes {
		text += "name         : " + h + "\nselftest     : passed\ninternal     : no\ntype         : shash\n\n"
	}
	return fstest.MapFS{"proc/crypto": &fstest.MapFile{Data: []byte(text)}}
}

func TestProve(t *testing.T) {
	there := certtest.SelfSigned(t, "there")
	thereEC := certtest.SelfSignedWith(t, "there EC", certtest.ECDSA(t, elliptic.P384()))
	plain := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("without SKID")}})
	foreign := certtest.SelfSigned(t, "foreign")
	twinSpec := there.Spec
	twinSpec.Key = certtest.RSA(2048, 3)
	twin := certtest.Make(t, twinSpec)
	renumberedSpec := there.Spec // the same key and SKID under another serial number
	renumberedSpec.Serial = []byte{9}
	renumbered := certtest.Make(t, renumberedSpec)

	for _, mode := range []trust.Mode{trust.Permissive, trust.Lockdown, trust.Enforced} {
		for _, c := range []struct {
			name    string
			cert    *certtest.Cert
			private bool
			hash    string
			value   trust.Value
			id      evidence.Answer
		}{
			{"signed", there, true, "sha256", trust.Trusted, evidence.Yes},
			{"keyless", there, false, "sha256", trust.Unknown, evidence.Yes},
			{"ECDSA", thereEC, true, "sha256", trust.Trusted, evidence.Yes},
			{"without SKID", plain, true, "sha256", trust.Trusted, evidence.Yes},
			{"foreign", foreign, true, "sha256", trust.Untrusted, evidence.No},
			{"foreign, keyless", foreign, false, "sha256", trust.Untrusted, evidence.No},
			{"twin", twin, true, "sha256", trust.Untrusted, evidence.Yes},
			{"twin, keyless", twin, false, "sha256", trust.Unknown, evidence.Yes},
			{"another serial number", renumbered, true, "sha256", trust.Unknown, evidence.Unknown},
			{"a hash that is not loaded", there, true, "sha512", trust.Unknown, evidence.Unknown},
			{"a hash that is not loaded, foreign", foreign, true, "sha512", trust.Unknown, evidence.Unknown},
		} {
			k := &fakeKernel{mode: mode, hashes: []string{"sha256"}, keys: []*certs.Certificate{certificate(t, there), certificate(t, thereEC), certificate(t, plain)}}
			cert := certificate(t, c.cert)
			q, err := machine.QuestionAbout(cert, c.hash, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.private {
				q.Private = c.cert.Key
			}
			p, err := machine.Prove(k, procCrypto(k.hashes), q)
			if err != nil {
				t.Fatalf("%s, %s: %v", mode, c.name, err)
			}
			v := trust.JudgeProbes(p, kernel.Status{})
			if v.Value != c.value || v.ID != c.id || v.Mode != mode {
				t.Errorf("%s, %s: %+v, want %s, id %v", mode, c.name, v, c.value, c.id)
			}
			if (p.Signed != nil) != c.private || (p.KeylessSKID != nil) != (len(cert.SubjectKeyID) > 0) {
				t.Errorf("%s: %+v", c.name, p)
			}
			sameShape(t, k.images, c.hash)
		}
	}
}

// sameShape: the first image is unsigned, the second broken, all others carry one signer of the same hash and algorithm and no
// certificate, and all have one payload.
func sameShape(t *testing.T, images [][]byte, hash string) {
	t.Helper()
	algorithm := ""
	for i, image := range images {
		payload, der, err := modsig.Split(image)
		switch {
		case i == 0:
			if !errors.Is(err, modsig.ErrUnsigned) {
				t.Errorf("the control: %v", err)
			}
			continue
		case i == 1:
			if !errors.Is(err, modsig.ErrMalformed) {
				t.Errorf("the broken one: %v", err)
			}
			continue
		case err != nil:
			t.Fatalf("probe %d: %v", i, err)
		}
		message, err := modsig.Decode(der)
		if err != nil {
			t.Fatalf("probe %d: %v", i, err)
		}
		if algorithm == "" {
			algorithm = message.Signers[0].Algorithm
		}
		if s := message.Signers; len(s) != 1 || s[0].Hash != hash || s[0].Algorithm != algorithm || len(message.Certificates) != 0 || !bytes.Equal(payload, images[0]) {
			t.Errorf("probe %d: %+v", i, message)
		}
	}
}

// A module's own signer is asked about without a certificate, by whichever id it names.
func TestProveSigner(t *testing.T) {
	there := certtest.SelfSigned(t, "there")
	cert := certificate(t, there)
	k := &fakeKernel{mode: trust.Enforced, hashes: []string{"sha256"}, keys: []*certs.Certificate{cert}}
	for _, skid := range []bool{false, true} {
		signer, err := modsig.SignerFor(cert, "sha256", skid)
		if err != nil {
			t.Fatal(err)
		}
		p, err := machine.Prove(k, procCrypto(k.hashes), machine.QuestionOf(signer))
		if err != nil {
			t.Fatal(err)
		}
		if (p.Keyless != nil) == skid || (p.KeylessSKID != nil) != skid || (p.Stranger != nil) == skid || (p.StrangerSKID != nil) != skid {
			t.Errorf("by SKID %v: %+v", skid, p)
		}
		if v := trust.JudgeProbes(p, kernel.Status{}); v.ID != evidence.Yes || v.Value != trust.Unknown {
			t.Errorf("by SKID %v: %+v", skid, v)
		}
	}
}

// failing fails at one of its calls.
type failing struct {
	fakeKernel
	left int
}

var errFails = errors.New("fails")

func (f *failing) Probe(p *kernel.Payload, trailer []byte) (*kernel.Attempt, error) {
	if f.left--; f.left < 0 {
		return nil, errFails
	}
	return f.fakeKernel.Probe(p, trailer)
}

func TestProveFails(t *testing.T) {
	there := certtest.SelfSigned(t, "there")
	cert := certificate(t, there)
	q, err := machine.QuestionAbout(cert, "sha256", there.Key)
	if err != nil {
		t.Fatal(err)
	}
	files := procCrypto([]string{"sha256"})
	if p, err := (&machine.Machine{Files: files}).Prove(q); p != nil || !errors.Is(err, kernel.ErrNotRecorded) {
		t.Errorf("no kernel to ask: %v, %v", p, err)
	}
	for calls := range 7 {
		f := &failing{fakeKernel{mode: trust.Enforced}, calls}
		if p, err := machine.Prove(f, files, q); p != nil || !errors.Is(err, errFails) || f.left != -1 {
			t.Errorf("fails at call %d: %v, %v, %d calls more", calls, p, err, -1-f.left)
		}
	}
	k := &fakeKernel{mode: trust.Enforced, hashes: []string{"sha256"}}
	if p, err := machine.Prove(k, files, machine.Question{}); p != nil || !errors.Is(err, machine.ErrQuestion) || len(k.images) > 0 {
		t.Errorf("no question: %v, %v", p, err)
	}
	if p, err := machine.Prove(k, files, machine.Question{ByIssuer: q.ByIssuer, Private: there.Key}); p != nil || !errors.Is(err, machine.ErrQuestion) || len(k.images) > 0 {
		t.Errorf("a private key without certificate: %v, %v", p, err)
	}
	other := q
	other.Private = certtest.RSA(2048, 5)
	if p, err := machine.Prove(k, files, other); p != nil || !errors.Is(err, modsig.ErrInvalid) || len(k.images) > 0 {
		t.Errorf("another private key: %v, %v", p, err)
	}
	if _, err := machine.QuestionAbout(cert, "md4", nil); !errors.Is(err, modsig.ErrInvalid) {
		t.Errorf("a hash that no kernel knows: %v", err)
	}
	p, err := machine.Prove(k, fstest.MapFS{}, q)
	if err != nil || p.Hash.Answer != evidence.Unknown {
		t.Errorf("without /proc/crypto: %+v, %v", p, err)
	}
}
