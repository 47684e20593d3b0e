package certs_test

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// The running kernel takes every kind of certificate that is made, under the name that was told.
func TestWhatIsMadeIsTaken(t *testing.T) {
	ring, running := newRing(t), release(t)
	key := certtest.RSA(2048, 31)
	specs := map[string]certs.Spec{
		"module":      certs.SignerSpec(certs.CommonName("x: module signing key"), from, until, false),
		"module+boot": certs.SignerSpec(certs.CommonName("日本"), from, from.AddDate(0, 0, 99999), true),
		"root":        certs.RootSpec(certs.CommonName("root"), from, from.AddDate(0, 0, 1)),
	}
	for why, text := range genkeys {
		request, err := certs.ParseRequest([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		request.Spec.From, request.Spec.Until = from, until
		specs[why] = request.Spec
	}
	for why, spec := range specs {
		made, err := spec.SelfSign(key)
		if err != nil {
			t.Fatal(why, err)
		}
		description, err := ring.add(t, made.Raw)
		if complaint := compare(made, description, err, running); complaint != "" || err != nil {
			t.Errorf("%s: %v %s", why, err, complaint)
		}
	}
	curve, err := specs["module"].SelfSign(certtest.ECDSA(t, elliptic.P384()))
	if err != nil {
		t.Fatal(err)
	}
	description, err := ring.add(t, curve.Raw)
	if complaint := compare(curve, description, err, running); complaint != "" {
		t.Error(complaint)
	}
}

// In a keyring that takes only what a root vouches for, as .secondary_trusted_keys does, the kernel takes the root's leaf and no stranger.
func TestLeafOfARootIsTaken(t *testing.T) {
	ring := newRing(t)
	rootKey, key := certtest.RSA(2048, 31), certtest.RSA(2048, 32)
	root, err := certs.RootSpec(certs.CommonName("root"), from, until).SelfSign(rootKey)
	if err != nil {
		t.Fatal(err)
	}
	signer := certs.SignerSpec(certs.CommonName("leaf"), from, until, false)
	leaf, err := signer.Issue(key.Public(), certs.Issuer{Key: rootKey, Certificate: root})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := signer.SelfSign(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := unix.AddKey("asymmetric", "", root.Raw, int(ring))
	if err != nil {
		t.Fatal(err)
	}
	restricted, err := unix.AddKey("keyring", "kkeys-restricted", nil, int(ring))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.KeyctlRestrictKeyring(restricted, "asymmetric", fmt.Sprintf("key_or_keyring:%d", id)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.AddKey("asymmetric", "", leaf.Raw, restricted); err != nil {
		t.Errorf("the leaf: %v", err)
	}
	if _, err := unix.AddKey("asymmetric", "", stranger.Raw, restricted); !errors.Is(err, unix.ENOKEY) {
		t.Errorf("a stranger: %v", err)
	}
}
