package certs_test

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

var (
	from  = time.Date(2026, 11, 25, 22, 0, 0, 5, time.FixedZone("", 3600))
	until = from.AddDate(0, 0, 36500)
)

func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// One look at a signer's certificate by this package, by crypto/x509 and by openssl.
func TestSignerSpec(t *testing.T) {
	key := certtest.RSA(2048, 31)
	made, err := certs.SignerSpec(certs.CommonName("Ünser key"), from, until, false).SelfSign(key)
	if err != nil {
		t.Fatal(err)
	}
	d := made.Details()
	if d.Subject != "CN=Ünser key" || d.Issuer != d.Subject || *d.IsCA || *d.SignatureHash != "sha256" || strings.Join(d.KeyUsage, " ") != "digitalSignature" ||
		strings.Join(d.ExtendedKeyUsage, " ") != "codeSigning moduleSigning" || !d.NotBefore.Equal(from.Truncate(time.Second)) || !d.NotAfter.Equal(until.Truncate(time.Second)) {
		t.Errorf("%+v", d)
	}
	if self, err := made.SelfSigned(); !self || err != nil || len(made.Refusals()) > 0 {
		t.Error(self, err, made.Refusals())
	}
	if !bytes.Equal(made.SubjectKeyID, made.Authority.KeyID) || made.Authority.Issuer != nil || !made.HasKey(key.Public()) {
		t.Error("ids", made.SubjectKeyID, made.Authority)
	}
	if n := len(made.Serial); n == 0 || n > 20 || made.Serial[0] >= 0x80 || made.X509.Version != 3 {
		t.Errorf("serial %x, version %d", made.Serial, made.X509.Version)
	}
	path := write(t, "cert", made.Raw)
	text := openssl(t, "x509", "-in", path, "-inform", "DER", "-noout", "-text")
	for _, want := range []string{
		"Version: 3 (0x2)", "Signature Algorithm: sha256WithRSAEncryption", "Public-Key: (2048 bit)",
		"X509v3 Basic Constraints: critical\n                CA:FALSE\n", "X509v3 Key Usage: \n                Digital Signature\n",
		"X509v3 Extended Key Usage: \n                Code Signing, 1.3.6.1.4.1.2312.16.1.2\n", "Not After : Nov  1 21:00:00 2126 GMT",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl does not see %q in\n%s", want, text)
		}
	}
	pem := write(t, "pem", (&certtest.Cert{DER: made.Raw}).PEM())
	openssl(t, "verify", "-check_ss_sig", "-CAfile", pem, pem)
	// openssl's own subjectKeyIdentifier = hash.
	hash := openssl(t, "x509", "-in", path, "-inform", "DER", "-noout", "-ext", "subjectKeyIdentifier")
	if got := strings.ToLower(strings.ReplaceAll(hash, ":", "")); !strings.Contains(got, d.KeyID) {
		t.Error(got, d.KeyID)
	}
	boot, err := certs.SignerSpec(certs.CommonName("x"), from, until, true).SelfSign(key)
	if err != nil || strings.Join(boot.Details().ExtendedKeyUsage, " ") != "codeSigning" {
		t.Error(boot, err)
	}
	if bytes.Equal(boot.Serial, made.Serial) || !bytes.Equal(boot.SubjectKeyID, made.SubjectKeyID) {
		t.Error("serial number and key id")
	}
}

// A root vouches for a signer, for openssl too, and no kernel that loads only authorities refuses it.
func TestRootSpec(t *testing.T) {
	for kind, keys := range map[string][2]crypto.Signer{
		"rsa":   {certtest.RSA(2048, 31), certtest.RSA(2048, 32)},
		"ecdsa": {certtest.ECDSA(t, elliptic.P384()), certtest.ECDSA(t, elliptic.P256())},
		"mixed": {certtest.RSA(2048, 31), certtest.ECDSA(t, elliptic.P256())},
	} {
		root, err := certs.RootSpec(certs.CommonName("root"), from, until).SelfSign(keys[0])
		if err != nil {
			t.Fatal(kind, err)
		}
		leaf, err := certs.SignerSpec(certs.CommonName("leaf"), from, until, false).Issue(keys[1].Public(), certs.Issuer{Key: keys[0], Certificate: root})
		if err != nil {
			t.Fatal(kind, err)
		}
		d := root.Details()
		if !*d.IsCA || strings.Join(d.KeyUsage, " ") != "keyCertSign cRLSign" || len(d.ExtendedKeyUsage) > 0 || root.X509.MaxPathLen != 0 || !root.X509.MaxPathLenZero {
			t.Errorf("%s: %+v", kind, d)
		}
		if leaf.Details().Issuer != "CN=root" || !bytes.Equal(leaf.Authority.KeyID, root.SubjectKeyID) || bytes.Equal(leaf.SubjectKeyID, root.SubjectKeyID) || *leaf.Details().IsCA {
			t.Errorf("%s: %+v", kind, leaf.Details())
		}
		if err := leaf.X509.CheckSignatureFrom(root.X509); err != nil {
			t.Error(kind, err)
		}
		rootPath, leafPath := write(t, "root", root.Raw), write(t, "leaf", leaf.Raw)
		rootPEM := write(t, "pem", (&certtest.Cert{DER: root.Raw}).PEM())
		openssl(t, "verify", "-x509_strict", "-check_ss_sig", "-CAfile", rootPEM, leafPath)
		if text := openssl(t, "x509", "-in", rootPath, "-inform", "DER", "-noout", "-text"); !strings.Contains(text, "critical\n                CA:TRUE, pathlen:0\n") ||
			!strings.Contains(text, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n") {
			t.Error(kind, text)
		}
		if _, err := certs.RootSpec(certs.CommonName("x"), from, until).Issue(keys[1].Public(), certs.Issuer{Key: keys[1], Certificate: root}); err == nil {
			t.Error(kind, "issued with another key than the issuer's")
		}
	}
}

func TestNewKey(t *testing.T) {
	for _, kind := range certs.KeyKinds() {
		if kind == "rsa4096" && testing.Short() {
			continue
		}
		key, err := certs.NewKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		made, err := certs.SignerSpec(certs.CommonName("x"), from, until, false).SelfSign(key)
		if err != nil {
			t.Fatal(kind, err)
		}
		d := made.Details()
		want := map[string]string{"rsa2048": "rsa 2048", "rsa3072": "rsa 3072", "rsa4096": "rsa 4096", "p256": "ecdsa 256", "p384": "ecdsa 384"}[kind]
		if got := d.Algorithm + " " + itoa(*d.KeyBits); got != want || *d.SignatureHash != "sha256" {
			t.Errorf("%s: %s with %s", kind, got, *d.SignatureHash)
		}
	}
	for _, kind := range []string{"", "rsa1024", "rsa", "RSA4096", "p521", "ed25519"} {
		if key, err := certs.NewKey(kind); key != nil || !errors.Is(err, certs.ErrKeyKind) {
			t.Error(kind, err)
		}
	}
}

func TestSpecRefused(t *testing.T) {
	key, one, minus := certtest.RSA(2048, 31), 1, -1
	good := certs.SignerSpec(certs.CommonName("x"), from, until, false)
	with := func(extensions ...certs.ExtensionValue) certs.Spec {
		s := good
		s.Extensions = nil
		for _, e := range extensions {
			s.Extensions = append(s.Extensions, certs.Extension{Is: e})
		}
		return s
	}
	named := func(parts ...certs.NamePart) certs.Spec {
		s := good
		s.Subject = parts
		return s
	}
	backwards := good
	backwards.Until = from
	for why, spec := range map[string]certs.Spec{
		"no name":                 named(),
		"an empty name":           named(certs.NamePart{Type: "CN"}),
		"a long name":             named(certs.NamePart{Type: "CN", Text: strings.Repeat("ü", 65)}),
		"no text":                 named(certs.NamePart{Type: "CN", Text: "\xff"}),
		"NUL":                     named(certs.NamePart{Type: "CN", Text: "a\x00b"}),
		"an unknown attribute":    named(certs.NamePart{Type: "XX", Text: "x"}),
		"a country of 3 letters":  named(certs.NamePart{Type: "C", Text: "DEU"}),
		"a country of no letters": named(certs.NamePart{Type: "C", Text: "é!"}),
		"an address":              named(certs.NamePart{Type: "emailAddress", Text: "é@x"}),
		"no time":                 backwards,
		"a path without CA":       with(certs.BasicConstraints{PathLen: &one}),
		"a negative path":         with(certs.BasicConstraints{CA: true, PathLen: &minus}),
		"no usage":                with(certs.KeyUsage(0)),
		"a usage too many":        with(certs.KeyUsage(1 << 9)),
		"no purpose":              with(certs.ExtKeyUsage{}),
		"twice":                   with(certs.SubjectKeyID{}, certs.SubjectKeyID{}),
	} {
		if made, err := spec.SelfSign(key); made != nil || !errors.Is(err, certs.ErrSpec) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if made, err := good.SelfSign(certtest.Ed25519(1)); made != nil || !errors.Is(err, certs.ErrSpec) {
		t.Error("Ed25519, which no kernel knows:", err)
	}
	// Nine bits of key usage take two octets.
	all, err := with(certs.KeyUsage(x509.KeyUsageDecipherOnly)).SelfSign(key)
	if err != nil || all.X509.KeyUsage != x509.KeyUsageDecipherOnly {
		t.Error(all, err)
	}
}
