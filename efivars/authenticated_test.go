package efivars_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/foxboron/go-uefi/efi/signature"

	"kkeys/efivars"
	"kkeys/internal/certtest"
)

// signed is an update of db with one certificate, and who signed it.
func signed(t testing.TB, now time.Time) (efivars.Update, *certtest.Cert) {
	t.Helper()
	signer := certtest.SelfSignedWith(t, "KEK", certtest.RSA(2048, 11))
	content, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, signer.DER)})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(signer.DER)
	if err != nil {
		t.Fatal(err)
	}
	u, err := efivars.NewUpdate(efivars.DB, content, now, signer.Key, certificate)
	if err != nil {
		t.Fatal(err)
	}
	return u, signer
}

// go-uefi finds the same parts. That firmware accepts them, the lab shows.
func TestUpdate(t *testing.T) {
	u, signer := signed(t, time.Date(2026, 11, 25, 20, 0, 1, 7, time.FixedZone("", 3600)))
	if u.Time.Format(time.RFC3339) != "2026-11-25T19:00:01Z" {
		t.Errorf("time %s", u.Time)
	}
	again, err := efivars.ParseUpdate(u.Encode())
	if err != nil || !again.Time.Equal(u.Time) || !bytes.Equal(again.Encode(), u.Encode()) || !bytes.Equal(again.Content, u.Content) {
		t.Errorf("%+v, %v", again, err)
	}
	theirs, err := signature.ReadEFIVariableAuthencation2(bytes.NewReader(u.Encode()))
	if err != nil || !bytes.Equal(theirs.AuthInfo.CertData, u.Signature) || theirs.Time.Year != 2026 || theirs.Time.Second != 1 {
		t.Errorf("go-uefi reads %+v, %v", theirs, err)
	}
	// The signature is the last thing in the SignedData, and that of the signer's key over what the firmware hashes.
	content := u.Signed(efivars.DB, efivars.AuthenticatedAttributes)
	digest := sha256.Sum256(content)
	public := signer.Key.Public().(*rsa.PublicKey)
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], u.Signature[len(u.Signature)-public.Size():]); err != nil || !bytes.Contains(u.Signature, signer.DER) {
		t.Errorf("the signature: %v", err)
	}
	if !bytes.HasPrefix(content, []byte("d\x00b\x00\xcb\xb2\x19\xd7")) || !bytes.Equal(content[4+16:4+16+4], []byte{0x27, 0, 0, 0}) {
		t.Errorf("what is signed begins with % x", content[:24])
	}
}

func TestUpdateSigners(t *testing.T) {
	signer, other := certtest.SelfSignedWith(t, "a", certtest.RSA(2048, 11)), certtest.SelfSignedWith(t, "a", certtest.RSA(2048, 12))
	certificate, err := x509.ParseCertificate(signer.DER)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := efivars.NewUpdate(efivars.DB, nil, time.Now(), other.Key, certificate); !errors.Is(err, efivars.ErrSigner) {
		t.Errorf("another's key: %v", err)
	}
	small := certtest.SelfSignedWith(t, "small", certtest.RSA(1024, 13))
	if certificate, err = x509.ParseCertificate(small.DER); err != nil {
		t.Fatal(err)
	}
	if _, err := efivars.NewUpdate(efivars.DB, nil, time.Now(), small.Key, certificate); !errors.Is(err, efivars.ErrSigner) {
		t.Errorf("1024 bits: %v", err)
	}
}

// hostileUpdates are what must be refused.
func hostileUpdates(t testing.TB) map[string][]byte {
	u, _ := signed(t, time.Unix(1e9, 0))
	good := u.Encode()
	change := func(at int, b ...byte) []byte {
		bad := bytes.Clone(good)
		copy(bad[at:], b)
		return bad
	}
	return map[string][]byte{
		"nothing": nil, "cut in its header": good[:39], "no such month": change(2, 13), "a local time": change(12, 60), "nanoseconds": change(8, 1),
		"a signature of nothing": change(16, 23, 0, 0, 0), "a signature beyond the end": change(16, 0xff, 0xff, 0xff, 0xff), "another revision": change(20, 1),
		"another type": change(22, 1), "another signature": change(24, 0), "no such day": change(2, 2, 30),
	}
}

func TestParseUpdateRefuses(t *testing.T) {
	for why, b := range hostileUpdates(t) {
		var corrupt *efivars.CorruptError
		if u, err := efivars.ParseUpdate(b); !errors.As(err, &corrupt) || u.Signature != nil || strings.TrimSpace(corrupt.Why) == "" {
			t.Errorf("%s: %+v, %v", why, u, err)
		}
	}
}

func FuzzParseUpdate(f *testing.F) {
	u, _ := signed(f, time.Unix(1e9, 0))
	seeds := hostileUpdates(f)
	seeds["good"] = u.Encode()
	if len(seeds) < 10 {
		f.Fatalf("%d seeds", len(seeds))
	}
	for _, b := range seeds {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := efivars.ParseUpdate(b)
		if err == nil && !bytes.Equal(u.Encode(), b) {
			t.Errorf("%x becomes %x", b, u.Encode())
		}
	})
}
