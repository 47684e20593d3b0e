package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"
)

// Double is the other key with which the signature verifies that a P-256 key made on its own certificate, with SHA-256. A signature (r, s) of h by d has
// the point k·G in r only as an x coordinate, which -k·G has as well; with that one for its own, the same signature is of the key -d - 2h/r.
func Double(t testing.TB, c *Cert) *ecdsa.PrivateKey {
	t.Helper()
	parsed, err := x509.ParseCertificate(c.DER)
	if err != nil {
		t.Fatal(err)
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(parsed.Signature, &signature); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(parsed.RawTBSCertificate)
	own, err := c.Key.(*ecdsa.PrivateKey).Bytes()
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
	if !ecdsa.VerifyASN1(&other.PublicKey, digest[:], parsed.Signature) {
		t.Fatal("the other key does not verify the signature")
	}
	return other
}
