package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

func TestVerifyDigest(t *testing.T) {
	rsaKey, ecKey := certtest.RSA(2048, 0), certtest.ECDSA(t, elliptic.P384())
	mine := parse(t, certtest.SelfSignedWith(t, "rsa", rsaKey).DER)
	other := parse(t, certtest.SelfSignedWith(t, "other", certtest.RSA(2048, 1)).DER)
	ec := parse(t, certtest.SelfSignedWith(t, "ec", ecKey).DER)
	for _, name := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"} {
		h, ok := certs.Hash(name)
		if !ok {
			t.Fatalf("no hash %s", name)
		}
		w := h.New()
		w.Write([]byte("text"))
		digest := w.Sum(nil)
		byRSA, err := rsa.SignPKCS1v15(nil, rsaKey, h, digest)
		if err != nil {
			t.Fatal(name, err)
		}
		byEC, err := ecdsa.SignASN1(rand.Reader, ecKey, digest)
		if err != nil {
			t.Fatal(err)
		}
		another := map[bool]string{true: "sha256", false: "sha1"}[name == "sha1"]
		wrong := bytes.Clone(digest)
		wrong[3] ^= 1
		for i, test := range []struct {
			key               *certs.Certificate
			hash              string
			digest, signature []byte
			want              bool
		}{
			{mine, name, digest, byRSA, true},
			{other, name, digest, byRSA, false},
			{mine, name, wrong, byRSA, false},
			{mine, another, digest, byRSA, false},
			{mine, name, digest[1:], byRSA, false},
			{mine, name, digest, append([]byte{0}, byRSA...), false}, // no kernel takes that, and no openssl
			{mine, name, digest, byRSA[1:], false},
			{mine, name, digest, nil, false},
			{mine, name, digest, byEC, false},
			{ec, name, digest, byEC, true},
			{ec, name, wrong, byEC, false},
			{ec, name, digest, byRSA, false},
			{ec, name, digest, append(bytes.Clone(byEC), 0), false},
		} {
			if got, err := test.key.VerifyDigest(test.hash, test.digest, test.signature); got != test.want || err != nil {
				t.Errorf("%s, case %d: %t, %v", name, i, got, err)
			}
		}
	}
}

// Neither yes nor no: what cannot be computed here.
func TestVerifyDigestUnknown(t *testing.T) {
	digest := make([]byte, crypto.SHA256.Size())
	mine := parse(t, certtest.SelfSignedWith(t, "rsa", certtest.RSA(2048, 0)).DER)
	if good, err := mine.VerifyDigest("streebog256", digest, digest); good || !errors.Is(err, certs.ErrUnverifiable) {
		t.Error(good, err)
	}
	edwards := parse(t, certtest.SelfSignedWith(t, "ed", certtest.Ed25519(1)).DER)
	if good, err := edwards.VerifyDigest("sha256", digest, digest); good || !errors.Is(err, certs.ErrUnverifiable) {
		t.Error(good, err)
	}
	if _, ok := certs.Hash("streebog256"); ok {
		t.Error("a hash that Go has not")
	}
}

func TestSignedBy(t *testing.T) {
	ca := certtest.SelfSignedWith(t, "ca", certtest.RSA(2048, 0))
	leaf := certtest.Make(t, certtest.Spec{Key: certtest.RSA(2048, 1), Signer: ca})
	issuer, child := parse(t, ca.DER), parse(t, leaf.DER)
	for _, test := range []struct {
		c, by *certs.Certificate
		want  bool
	}{{child, issuer, true}, {child, child, false}, {issuer, child, false}, {issuer, issuer, true}} {
		if got, err := test.c.SignedBy(test.by); got != test.want || err != nil {
			t.Errorf("%t, %v", got, err)
		}
	}
	if got := issuer.KeyAlgorithm(); got != "rsa" {
		t.Error(got)
	}
}

// The key counts, not how it is written, nor what else the certificate holds.
func TestHasKey(t *testing.T) {
	rsaKey, p256, p384 := certtest.RSA(2048, 0), certtest.ECDSA(t, elliptic.P256()), certtest.ECDSA(t, elliptic.P384())
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []crypto.Signer{rsaKey, certtest.RSA(2048, 1), p256, certtest.ECDSA(t, elliptic.P256()), p384, edKey}
	for i, key := range keys {
		// Another's key is in an extension of each.
		holds := parse(t, certtest.Make(t, certtest.Spec{Signer: certtest.SelfSigned(t, "ca"), Key: key, Extensions: []certtest.Extension{{OID: "1.3.6.1.4.1.55555.1", Value: publicInfo(t, keys[(i+1)%len(keys)])}}}).DER)
		for j, other := range keys {
			if got := holds.HasKey(other.Public()); got != (i == j) {
				t.Errorf("the certificate of key %d has key %d: %t", i, j, got)
			}
		}
		// Without the parameters that RFC 3279 wants an RSA key to have.
		if bare := bytes.Replace(publicInfo(t, key), []byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0}, []byte{0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}, 1); key == keys[0] {
			bare[3] -= 2 // the length around it
			c := parse(t, certtest.Make(t, certtest.Spec{Signer: certtest.SelfSigned(t, "ca"), Key: key, PublicKey: bare}).DER)
			if !c.HasKey(key.Public()) {
				t.Error("an RSA key without parameters is another")
			}
		}
	}
	if parse(t, certtest.SelfSigned(t, "rsa").DER).HasKey("no key") {
		t.Error("text is a key")
	}
}

// publicInfo is the subjectPublicKeyInfo of a key.
func publicInfo(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}
