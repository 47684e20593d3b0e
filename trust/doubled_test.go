package trust

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
)

// otherKey is the second of the two public keys that verify an ECDSA signature over a message (SEC 1, 4.1.6, public key recovery).
func otherKey(t *testing.T, key *ecdsa.PrivateKey, message, signature []byte) []byte {
	t.Helper()
	var s struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &s); err != nil {
		t.Fatal(err)
	}
	curve := key.Curve.Params()
	hash := sha256.Sum256(message)
	inverse := new(big.Int).ModInverse(s.R, curve.N)
	times := func(x, y, k *big.Int) (*big.Int, *big.Int) { return curve.ScalarMult(x, y, k.Bytes()) }
	// y² = x³ - 3x + b
	y := new(big.Int).Exp(s.R, big.NewInt(3), curve.P)
	y.Sub(y, new(big.Int).Mul(s.R, big.NewInt(3)))
	y.Add(y, curve.B).Mod(y, curve.P).ModSqrt(y, curve.P)
	hx, hy := times(curve.Gx, curve.Gy, new(big.Int).SetBytes(hash[:]))
	hy.Sub(curve.P, hy)
	for _, y := range []*big.Int{y, new(big.Int).Sub(curve.P, y)} {
		sx, sy := times(s.R, y, s.S)
		x, y := curve.Add(sx, sy, hx, hy)
		x, y = times(x, y, inverse)
		if x.Cmp(key.X) != 0 {
			point := append([]byte{4}, append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)...)
			public, err := ecdh.P256().NewPublicKey(point)
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKIXPublicKey(public)
			if err != nil {
				t.Fatal(err)
			}
			return der
		}
	}
	t.Fatal("both are the key itself")
	return nil
}

// That a key verifies the certificate proves nothing where another key that does so was found under its names: it may be that one.
func TestDoubled(t *testing.T) {
	key := certtest.ECDSA(t, elliptic.P256())
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Key: key}
	c := parse(t, certtest.Make(t, spec))
	ca := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, Key: certtest.RSA(2048, 5)})
	spec.Signer, spec.PublicKey = ca, otherKey(t, key, c.RawTBS, c.X509.Signature)
	double := parse(t, certtest.Make(t, spec))
	if verifies, err := c.SignedBy(double); err != nil || !verifies || c.SameKey(double) {
		t.Fatalf("not another key that verifies the certificate: %t, %v", verifies, err)
	}
	rings := populate(debian(), c, at(nil, machine))
	finds := answers(c, rings, at(mismatch, machine))
	base := Facts{Certificate: c, Rings: rings, Kernel: healthy(), Hash: registered, Algorithms: kernel.Algorithms{"ecdsa-nist-p256": true}, Inquiry: answers(c, rings, at(nil, machine)),
		Witnesses: map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: finds, certs.ByKeyID: finds, certs.ByAllIDs: finds}}
	ring := vouched{keyring.BySecondary: nil}
	named := answers(c, nil, vouched{keyring.BySecondary: mismatch})
	user := base
	user.Rings, user.RingsErr, user.Inquiry = nil, keyring.ErrNotVisible, answers(c, nil, ring)
	user.Witnesses = map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: named, certs.ByKeyID: named, certs.ByAllIDs: named}
	for name, f := range map[string]Facts{"root": base, "ordinary user": user} {
		if v := Judge(f); v.Value != Trusted {
			t.Errorf("%s: %s\n%s", name, v.Value, show(v))
		}
		f.Namesakes = NamesakesOf(c, []Stored{{c, "mok"}, {double, "mok"}})
		if len(f.Namesakes) != 1 {
			t.Fatalf("%d namesakes", len(f.Namesakes))
		}
		if v := Judge(f); v.Value != Unknown {
			t.Errorf("%s, and its double: %s\n%s", name, v.Value, show(v))
		}
	}
}

// Namesakes have another key, and one of the names by which the kernel finds keys.
func TestNamesakes(t *testing.T) {
	make := func(cn string, serial byte, id []byte, key int) *certs.Certificate {
		return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, Serial: []byte{serial}, SKID: id, Key: certtest.RSA(2048, key)}))
	}
	c := make("me", 1, []byte{1}, 0)
	for _, s := range []struct {
		what  string
		other *certs.Certificate
		want  bool
	}{
		{"itself", c, false}, {"renewed", make("me", 2, []byte{1}, 0), false}, {"made anew", make("me", 1, []byte{2}, 7), true},
		{"another with its key id", make("you", 9, []byte{1}, 7), true}, {"a stranger", make("you", 1, []byte{2}, 7), false},
	} {
		if got := len(NamesakesOf(c, []Stored{{s.other, "db"}})) == 1; got != s.want {
			t.Errorf("%s: %t", s.what, got)
		}
	}
	if bare := make("me", 1, nil, 0); len(NamesakesOf(bare, []Stored{{make("you", 2, nil, 7), "db"}})) != 0 {
		t.Error("two without key id are namesakes")
	}
}
