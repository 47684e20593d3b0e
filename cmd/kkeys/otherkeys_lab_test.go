//go:build lab

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"kkeys/internal/certtest"
)

// rsaInfo writes a subjectPublicKeyInfo; the modulus as the content of its INTEGER.
func rsaInfo(modulus []byte, e *big.Int) []byte {
	var inner, b cryptobyte.Builder
	inner.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(modulus) })
		b.AddASN1BigInt(e)
	})
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1})
			b.AddASN1NULL()
		})
		b.AddASN1BitString(inner.BytesOrPanic())
	})
	return b.BytesOrPanic()
}

// longExponent is the same key with another exponent: one that differs by a multiple of the order of every number verifies the same signatures.
func longExponent(key *rsa.PrivateKey) []byte {
	order := big.NewInt(1)
	for _, p := range key.Primes {
		order.Mul(order, new(big.Int).Sub(p, big.NewInt(1)))
	}
	return rsaInfo(append([]byte{0}, key.N.Bytes()...), order.Add(order, big.NewInt(int64(key.E))))
}

// paddedModulus is the same key with one zero more before its modulus than DER has.
func paddedModulus(key *rsa.PrivateKey) []byte {
	return rsaInfo(append([]byte{0, 0}, key.N.Bytes()...), big.NewInt(int64(key.E)))
}

// otherPoint is the other key with which an ECDSA signature verifies. A signature (r, s) of h by d has the point k·G in r only as an x
// coordinate, which -k·G has as well; with that one for its own, the same signature is of the key -d - 2h/r.
func otherPoint(t *testing.T, made *certtest.Cert) *ecdsa.PrivateKey {
	t.Helper()
	c, err := x509.ParseCertificate(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(c.Signature, &signature); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(c.RawTBSCertificate)
	own, err := made.Key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	d := new(big.Int).SetBytes(digest[:])
	d.Mul(d.Lsh(d, 1), new(big.Int).ModInverse(signature.R, n)).Add(d, new(big.Int).SetBytes(own)).Neg(d).Mod(d, n)
	other, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(&other.PublicKey, digest[:], c.Signature) {
		t.Fatal("the other point does not verify the signature")
	}
	return other
}
