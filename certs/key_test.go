package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

func secret(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }

// What kkeys writes it reads again, and so does openssl; what openssl writes kkeys reads.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	openssl := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command("openssl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
		return out
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"rsa": certtest.RSA(2048, 21), "ecdsa": curve} {
		for _, passphrase := range []string{"", "a passphrase"} {
			text, err := certs.EncodeKey(key, []byte(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			got, err := certs.ParseKey(text, secret(passphrase))
			if err != nil || !got.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) {
				t.Errorf("%s, %q: %v", name, passphrase, err)
			}
			ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
			if err := os.WriteFile(ours, text, 0o600); err != nil {
				t.Fatal(err)
			}
			openssl("pkey", "-in", ours, "-passin", "pass:"+passphrase, "-pubout", "-out", theirs)
			public, _ := x509.MarshalPKIXPublicKey(key.Public())
			if text, err := os.ReadFile(theirs); err != nil || !bytes.Equal(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})) {
				t.Errorf("%s, %q: openssl reads another key, %v", name, passphrase, err)
			}
			if passphrase == "" {
				continue
			}
			if _, err := certs.ParseKey(text, secret("another")); !errors.Is(err, certs.ErrPassphrase) {
				t.Errorf("%s with a wrong passphrase: %v", name, err)
			}
			if _, err := certs.ParseKey(text, nil); !errors.Is(err, certs.ErrPassphrase) {
				t.Errorf("%s without a passphrase: %v", name, err)
			}
			openssl("pkcs8", "-topk8", "-in", ours, "-passin", "pass:"+passphrase, "-passout", "pass:x y", "-out", theirs)
			text, err = os.ReadFile(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := certs.ParseKey(text, secret("x y")); err != nil || !got.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) {
				t.Errorf("%s as openssl encrypts it: %v", name, err)
			}
		}
	}
	// A curve's parameters and a certificate may stand before the key.
	openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", filepath.Join(dir, "ec"))
	text, err := os.ReadFile(filepath.Join(dir, "ec"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.ParseKey(append(certtest.SelfSigned(t, "x").PEM(), text...), nil); err != nil {
		t.Error(err)
	}
}

func TestKeysRefused(t *testing.T) {
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(exchange)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte, headers map[string]string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der, Headers: headers})
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(certtest.RSA(2048, 21))
	for why, c := range map[string]struct {
		text []byte
		want error
	}{
		"nothing":        {nil, certs.ErrNoKey},
		"a certificate":  {certtest.SelfSigned(t, "x").PEM(), certs.ErrNoKey},
		"DER":            {pkcs1, certs.ErrNoKey},
		"damaged":        {block("PRIVATE KEY", der[:20], nil), certs.ErrNoKey},
		"cannot sign":    {block("PRIVATE KEY", der, nil), certs.ErrNoKey},
		"the wrong kind": {block("EC PRIVATE KEY", pkcs1, nil), certs.ErrNoKey},
		"the old form":   {block("RSA PRIVATE KEY", pkcs1, map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}), certs.ErrPassphrase},
		"no encryption":  {block("ENCRYPTED PRIVATE KEY", pkcs1, nil), certs.ErrPassphrase},
	} {
		if key, err := certs.ParseKey(c.text, secret("x")); key != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", why, key, err)
		}
	}
}
