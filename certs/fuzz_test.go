package certs_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// seeds are the fixtures and all kinds of specimens.
func seeds(f *testing.F) (all [][]byte) {
	f.Helper()
	for _, der := range fixtures(f) {
		all = append(all, der)
	}
	all = append(all, wholeOnes(f)...)
	for i, s := range specimens(f) {
		if i%20 == 0 && len(s.der) < 2000 {
			all = append(all, s.der)
		}
	}
	if len(all) < 50 {
		f.Fatalf("only %d seeds", len(all))
	}
	return all
}

// FuzzParseDER: what is accepted is the input byte for byte, agrees with crypto/x509 where that accepts it too, and every
// method answers without a panic.
func FuzzParseDER(f *testing.F) {
	for _, der := range seeds(f) {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := certs.ParseDER(data)
		if err != nil {
			if c != nil {
				t.Fatal("a certificate beside an error")
			}
			return
		}
		if !bytes.Equal(c.Raw, data) || !bytes.Contains(c.Raw, c.RawTBS) {
			t.Fatal("Raw is not the input")
		}
		again, err := certs.ParseDER(c.Raw)
		if err != nil || again.KernelName() != c.KernelName() {
			t.Fatal("not the same again", err)
		}
		exercise(t, c)
		if c.X509 != nil {
			compareX509(t, c)
		}
	})
}

// exercise calls everything.
func exercise(t *testing.T, c *certs.Certificate) {
	if !c.MatchesName(c.KernelName()) || strings.Contains(c.KernelName(), "\x00") {
		t.Fatalf("KernelName %q", c.KernelName())
	}
	if _, id, ok := certs.ParseKernelName(c.KernelName()); ok != (len(c.KeyID()) > 0) || !bytes.Equal(id, c.KeyID()) {
		t.Fatalf("KernelName %q is not taken apart: %x %t", c.KernelName(), id, ok)
	}
	if self, err := c.SelfSigned(); self && err != nil || err != nil && !errors.Is(err, certs.ErrUnverifiable) {
		t.Fatal(self, err)
	}
	text, err := json.Marshal(c.Details())
	if err != nil || !utf8.Valid(text) {
		t.Fatal(err)
	}
	for _, r := range c.Refusals() {
		if len(r.Errnos) == 0 || r.Why == "" || r.Error() == "" {
			t.Fatalf("%+v", r)
		}
	}
	if got := bytes.Join([][]byte{c.Serial, c.Issuer}, nil); !bytes.Equal(got, c.ID0()) {
		t.Fatal("ID0")
	}
}

// compareX509 compares identity and what else both know.
func compareX509(t *testing.T, c *certs.Certificate) {
	content := func(der []byte) []byte {
		var v asn1.RawValue
		if _, err := asn1.Unmarshal(der, &v); err != nil {
			t.Fatal(err)
		}
		return v.Bytes
	}
	x := c.X509
	serial := bytes.TrimLeft(c.Serial, "\x00")
	if !bytes.Equal(serial, x.SerialNumber.Bytes()) && x.SerialNumber.Sign() >= 0 {
		t.Fatalf("serial %x, %x", c.Serial, x.SerialNumber)
	}
	if !bytes.Equal(c.Issuer, content(x.RawIssuer)) || !bytes.Equal(c.Subject, content(x.RawSubject)) {
		t.Fatal("names differ")
	}
	if id := c.SubjectKeyID; id != nil && len(id) < 128 && x.Version == 3 && !bytes.Equal(id, x.SubjectKeyId) {
		t.Fatalf("SKID %x, %x", id, x.SubjectKeyId)
	}
	if x.Version == 3 && x.AuthorityKeyId != nil && c.Authority.KeyID != nil && !bytes.Equal(x.AuthorityKeyId, c.Authority.KeyID) {
		t.Fatalf("AKI %x, %x", c.Authority.KeyID, x.AuthorityKeyId)
	}
	d := c.Details()
	if d.NotBefore == nil || !d.NotBefore.Equal(x.NotBefore) || d.NotAfter == nil || !d.NotAfter.Equal(x.NotAfter) {
		t.Fatalf("validity %v %v, %v %v", d.NotBefore, d.NotAfter, x.NotBefore, x.NotAfter)
	}
	// crypto/x509's verdict on the signature, where it gives one, is ours. It gives none for short keys.
	self, _ := c.SelfSigned()
	other := x.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature)
	if self && (d.Algorithm != "rsa" || *d.KeyBits >= 1024) && other != nil && !errors.As(other, new(x509.InsecureAlgorithmError)) && !errors.Is(other, x509.ErrUnsupportedAlgorithm) {
		t.Fatalf("SelfSigned, but crypto/x509 says %v", other)
	}
}

// FuzzDecode: never a panic, nothing beside an error, and each certificate is one that ParseDER takes.
func FuzzDecode(f *testing.F) {
	for i, der := range seeds(f) {
		f.Add(der)
		if i%5 == 0 {
			text := (&certtest.Cert{DER: der}).PEM()
			f.Add(text)
			f.Add(join("text\n", text, text))
			f.Add(bytes.TrimSpace(text))
		}
	}
	key := certtest.SelfSignedWith(f, "x", certtest.RSA(2048, 0))
	f.Add(key.KeyPEM(f))
	f.Add(key.PKCS8(f))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := certs.Decode(data)
		if (len(all) > 0) == (err != nil) {
			t.Fatalf("%d certificates and %v", len(all), err)
		}
		var text []byte
		for _, c := range all {
			text = append(text, (&certtest.Cert{DER: c.Raw}).PEM()...)
		}
		if again, err := certs.Decode(text); len(all) > 0 && (err != nil || len(again) != len(all)) {
			t.Fatalf("%d certificates, then %d and %v", len(all), len(again), err)
		}
	})
}

// FuzzKernelName: any subject gives a name, and any description is taken apart so that it can be put together again.
func FuzzKernelName(f *testing.F) {
	for _, n := range oddNames() {
		f.Add(n.names.Content(), "name: 00")
	}
	for _, description := range []string{"a: b: cafe", ": ", ": 0", "x:00", ": : 0080", "Foo: DEAD", "\xff: ff"} {
		f.Add([]byte{}, description)
	}
	key := certtest.RSA(512, 0)
	f.Fuzz(func(t *testing.T, subject []byte, description string) {
		if name, id, ok := certs.ParseKernelName(description); ok {
			if again := (name + ": " + hex.EncodeToString(id)); again != description {
				t.Fatalf("%q became %q", description, again)
			}
		}
		if len(subject) > 20000 {
			return
		}
		der := certtest.Make(t, certtest.Spec{Key: key, Subject: certtest.Raw(subject), Signature: make([]byte, 64), SKID: []byte{1}}).DER
		c, err := certs.ParseDER(der)
		if err != nil {
			return // not a Name
		}
		if !bytes.Equal(c.Subject, subject) {
			t.Fatal("subject changed")
		}
		name, ok := strings.CutSuffix(c.KernelName(), ": 01")
		if !ok || len(name) > 255+2+255 || !bytes.Contains(subject, []byte(name)) && !strings.Contains(name, ": ") {
			t.Fatalf("%q", c.KernelName())
		}
		exercise(t, c)
	})
}
