package modsig_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/modsig"
)

// payload is what the recorded signatures are over: any bytes are a module here.
var payload = []byte("\x7fELF This is the payload of the recorded signatures.\n")

// Keys number 0 and 1 of certtest are the same in every run, so that what was made with them can be compared.
func owner(t testing.TB) *certtest.Cert {
	t.Helper()
	return certtest.SelfSignedWith(t, "modsig fixture", certtest.RSA(2048, 0))
}

// leaf is issued by owner.
func leaf(t testing.TB) *certtest.Cert {
	t.Helper()
	ca := owner(t)
	return certtest.Make(t, certtest.Spec{
		Subject: certtest.Name{certtest.CN("modsig leaf")}, Key: certtest.RSA(2048, 1), Signer: ca, Serial: []byte{0, 0x80}, SKID: []byte("leaf"),
		AKI: &certtest.AKI{KeyID: ca.Spec.SKID},
	})
}

func parse(t testing.TB, der []byte) *certs.Certificate {
	t.Helper()
	c, err := certs.ParseDER(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sentinels by a short name.
var sentinels = map[string]error{
	"unsigned": modsig.ErrUnsigned, "malformed": modsig.ErrMalformed, "kind": modsig.ErrKind, "unsupported": modsig.ErrUnsupported,
	"attached": modsig.ErrAttached, "attributes": modsig.ErrAttributes, "invalid": modsig.ErrInvalid, "damaged": modsig.ErrDamaged, "filter": modsig.ErrFilter,
	"too large": modsig.ErrTooLarge, "not DER": modsig.ErrNotDER,
}

// name finds the one sentinel in an error.
func name(t testing.TB, err error) string {
	t.Helper()
	var found []string
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%v has the outcomes %q, not one", err, found)
	}
	return found[0]
}

// describe puts a message and its verification into a line.
func describe(t testing.TB, message, signed []byte, candidates []*certs.Certificate) string {
	t.Helper()
	m, err := modsig.Decode(message)
	if err != nil {
		return name(t, err)
	}
	var line strings.Builder
	for _, s := range m.Signers {
		how := "serial"
		if s.SKID != nil {
			how = "skid"
		}
		fmt.Fprintf(&line, "%s %s %s, ", s.Algorithm, s.Hash, how)
	}
	if len(m.Certificates) > 0 {
		fmt.Fprintf(&line, "%d certificates, ", len(m.Certificates))
	}
	r := m.Verify(signed, candidates)
	line.WriteString(r.Outcome.String())
	if r.Key != nil {
		fmt.Fprintf(&line, " by %s", strings.TrimPrefix(r.Key.Details().Subject, "CN="))
	}
	if len(r.Chain) > 0 {
		fmt.Fprintf(&line, " over %d", len(r.Chain))
	}
	if (r.Err != nil) != (r.Outcome == modsig.Unsupported) {
		t.Errorf("%v with error %v", r.Outcome, r.Err)
	}
	return line.String()
}

// TestRecordedModules reads what the kernel's own scripts/sign-file wrote.
func TestRecordedModules(t *testing.T) {
	mine := parse(t, owner(t).DER)
	ecdsa := parse(t, read(t, "ecdsa.der"))
	for _, test := range []struct{ file, want string }{
		{"rsa-sha1.ko", "rsa sha1 serial, valid by modsig fixture"},
		{"rsa-sha256.ko", "rsa sha256 serial, valid by modsig fixture"},
		{"rsa-sha512.ko", "rsa sha512 serial, valid by modsig fixture"},
		{"rsa-sha256-k.ko", "rsa sha256 skid, valid by modsig fixture"},
		{"rsa-sha3-256.ko", "rsa sha3-256 serial, valid by modsig fixture"},
		{"ecdsa-sha256.ko", "ecdsa sha256 serial, valid by modsig ecdsa"},
		{"ecdsa-sha384-k.ko", "ecdsa sha384 skid, valid by modsig ecdsa"},
	} {
		t.Run(test.file, func(t *testing.T) {
			module := read(t, test.file)
			body, message, err := modsig.Split(module)
			if err != nil {
				t.Fatal(err)
			}
			if string(body) != string(payload) {
				t.Errorf("payload %q", body)
			}
			if got := describe(t, message, body, []*certs.Certificate{mine, ecdsa}); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			m, err := modsig.Decode(message)
			if err != nil {
				t.Fatal(err)
			}
			again, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if whole, err := modsig.Append(body, again); err != nil || string(whole) != string(module) {
				t.Errorf("encoded anew it is not what sign-file wrote: %v\n%x\n%x", err, again, message)
			}
		})
	}
}

// TestSignLikeSignFile: RSA signatures are the same bytes as the recorded ones.
func TestSignLikeSignFile(t *testing.T) {
	key := owner(t)
	for _, test := range []struct {
		file, hash string
		skid       bool
	}{
		{"rsa-sha1.ko", "sha1", false}, {"rsa-sha256.ko", "sha256", false}, {"rsa-sha512.ko", "sha512", false},
		{"rsa-sha256-k.ko", "sha256", true}, {"rsa-sha3-256.ko", "sha3-256", false},
	} {
		got, err := modsig.Sign(payload, key.Key, parse(t, key.DER), test.hash, test.skid)
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
		} else if string(got) != string(read(t, test.file)) {
			t.Errorf("%s is not what sign-file wrote", test.file)
		}
	}
}

// TestRecordedMessages reads what openssl cms wrote.
func TestRecordedMessages(t *testing.T) {
	mine, child := parse(t, owner(t).DER), parse(t, leaf(t).DER)
	for _, test := range []struct {
		file, want string
		candidates []*certs.Certificate
	}{
		{"cms-plain.der", "rsa sha256 serial, valid by modsig fixture", []*certs.Certificate{child, mine}},
		{"cms-plain.der", "rsa sha256 serial, unknown key", []*certs.Certificate{child}},
		{"cms-keyid.der", "rsa sha256 skid, valid by modsig fixture", []*certs.Certificate{mine}},
		{"cms-attributes.der", "attributes", nil},
		{"cms-content.der", "attached", nil},
		{"cms-pss.der", "unsupported", nil},
		{"cms-certs.der", "rsa sha256 serial, 1 certificates, valid by modsig fixture", []*certs.Certificate{mine}},
		{"cms-certs.der", "rsa sha256 serial, 1 certificates, unknown key", []*certs.Certificate{child}},
		{"cms-leaf.der", "rsa sha256 serial, unknown key", []*certs.Certificate{mine}},
		{"cms-chain.der", "rsa sha256 serial, 2 certificates, valid by modsig fixture over 1", []*certs.Certificate{mine}},
		{"cms-chain.der", "rsa sha256 serial, 2 certificates, valid by modsig leaf", []*certs.Certificate{child, mine}},
		{"cms-chain.der", "rsa sha256 serial, 2 certificates, unknown key", nil},
		{"cms-two.der", "rsa sha256 serial, rsa sha256 serial, valid by modsig fixture", []*certs.Certificate{mine}},
		{"cms-two.der", "rsa sha256 serial, rsa sha256 serial, unknown key", nil},
	} {
		if got := describe(t, read(t, test.file), payload, test.candidates); got != test.want {
			t.Errorf("%s: %s, want %s", test.file, got, test.want)
		}
	}
}
