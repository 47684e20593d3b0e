package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// p384Signer makes a key out of a number.
func p384Signer(t testing.TB, d *big.Int) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), d.FillBytes(make([]byte, 48)))
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return key, point
}

func pairOf(r, s *big.Int) []byte {
	der, _ := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	return der
}

// TestP384 holds every answer against crypto/ecdsa's, for signatures that are good, and in the manner of the Wycheproof project for those that
// are not, or that bring the sums to where they need care: infinity, the point itself, equal and opposite halves.
func TestP384(t *testing.T) {
	order := elliptic.P384().Params().N
	small := func(n int64) *big.Int { return big.NewInt(n) }
	minus := func(n int64) *big.Int { return new(big.Int).Sub(order, small(n)) }
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, d := range []*big.Int{small(1), small(2), small(15), small(16), minus(1), minus(2), new(big.Int).Rsh(order, 1), new(big.Int).Mod(number(rnd, 384), order)} {
		key, point := p384Signer(t, d)
		var k p384Key
		check := func(what string, digest, signature []byte) (ok bool) {
			t.Helper()
			ok = k.verify(point, digest, signature)
			if want := ecdsa.VerifyASN1(&key.PublicKey, digest, signature); ok != want {
				t.Errorf("key %x: %s: %t, crypto/ecdsa says %t\ndigest %x\nsignature %x", d, what, ok, want, digest, signature)
			}
			return ok
		}
		for i := range 4 {
			text := fmt.Append(nil, i)
			long, short := sha512.Sum512(text), sha256.Sum256(text)
			for _, digest := range [][]byte{long[:], long[:48], short[:], short[:20], bytes.Repeat([]byte{0xff}, 48), make([]byte, 48)} {
				signature, err := ecdsa.SignASN1(nil, key, digest)
				if err != nil {
					t.Fatal(err)
				}
				if !check("good", digest, signature) {
					t.Fatal("a good signature was refused")
				}
				var pair struct{ R, S *big.Int }
				if _, err := asn1.Unmarshal(signature, &pair); err != nil {
					t.Fatal(err)
				}
				r, s := pair.R, pair.S
				plus := func(n *big.Int) *big.Int { return new(big.Int).Add(n, order) }
				less := func(n *big.Int) *big.Int { return new(big.Int).Sub(n, order) }
				check("the other s", digest, pairOf(r, new(big.Int).Sub(order, s)))
				check("s and r exchanged", digest, pairOf(s, r))
				for what, wrong := range map[string][]byte{
					"r + n": pairOf(plus(r), s), "s + n": pairOf(r, plus(s)), "r - n": pairOf(less(r), s), "s - n": pairOf(r, less(s)), "-r": pairOf(new(big.Int).Neg(r), s),
					"r 0": pairOf(small(0), s), "s 0": pairOf(r, small(0)), "both 0": pairOf(small(0), small(0)), "r n": pairOf(order, s), "s n": pairOf(r, order),
					"both 1": pairOf(small(1), small(1)), "r n-1": pairOf(minus(1), s), "huge": pairOf(new(big.Int).Lsh(r, 4000), s),
					"trailing": append(bytes.Clone(signature), 0), "cut": signature[:len(signature)-1], "nothing": nil, "a set": append([]byte{0x31}, signature[1:]...),
					"no second": append([]byte{0x30, byte(len(signature) - 2 - 50)}, signature[2:len(signature)-50]...), "long length": append([]byte{0x30, 0x81}, signature[1:]...),
				} {
					if check(what, digest, wrong) {
						t.Errorf("%s was taken", what)
					}
				}
				changed := bytes.Clone(digest)
				changed[rnd.IntN(min(len(changed), 48))] ^= 1
				if check("another digest", changed, signature) {
					t.Error("a signature of another digest was taken")
				}
			}
		}
		// r and s such that the two halves of the sum are what the sum of points must not mix up: u1 * G and u2 * Q equal, opposite, or nothing.
		for _, u := range []*big.Int{small(0), small(1), small(2), small(15), small(16), small(17), minus(1), minus(16)} {
			for _, v := range []*big.Int{small(1), small(2), small(16), minus(1), d, new(big.Int).Sub(order, d), new(big.Int).ModInverse(d, order)} {
				// Any r, with s = r/v and e = u*s, makes the scalars u and v.
				x := big.NewInt(1)
				if product := new(big.Int).Mod(new(big.Int).Add(u, new(big.Int).Mul(v, d)), order); product.Sign() > 0 {
					_, sum := p384Signer(t, product)
					x.SetBytes(sum[1:49]).Mod(x, order)
				}
				s := new(big.Int).Mul(x, new(big.Int).ModInverse(v, order))
				s.Mod(s, order)
				e := new(big.Int).Mul(u, s)
				check(fmt.Sprintf("u %x, v %x", u, v), e.Mod(e, order).FillBytes(make([]byte, 48)), pairOf(x, s))
			}
		}
	}
	// Points that are none: off the curve, compressed, infinity, cut.
	_, point := p384Signer(t, small(7))
	off := bytes.Clone(point)
	off[96] ^= 1
	for what, wrong := range map[string][]byte{"off": off, "compressed": append([]byte{2 + point[96]&1}, point[1:49]...), "infinity": {0}, "nothing": nil, "cut": point[:96], "hybrid": append([]byte{6 + point[96]&1}, point[1:]...)} {
		var k p384Key
		if k.verify(wrong, make([]byte, 48), pairOf(small(1), small(1))) || k.table != nil {
			t.Errorf("%s was taken for a point", what)
		}
	}
}

func FuzzP384(f *testing.F) {
	key, point := p384Signer(f, big.NewInt(12345))
	digest := sha512.Sum384([]byte("text"))
	signature, err := ecdsa.SignASN1(nil, key, digest[:])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(digest[:], signature)
	f.Add(digest[:20], pairOf(big.NewInt(1), big.NewInt(2)))
	var k p384Key
	f.Fuzz(func(t *testing.T, digest, signature []byte) {
		if got, want := k.verify(point, digest, signature), ecdsa.VerifyASN1(&key.PublicKey, digest, signature); got != want {
			t.Errorf("%t, crypto/ecdsa says %t", got, want)
		}
	})
}

// BenchmarkP384 prints how the time of one of many signatures of a key stands to crypto/ecdsa's.
func BenchmarkP384(b *testing.B) {
	key, point := p384Signer(b, big.NewInt(12345))
	digest := sha512.Sum384([]byte("text"))
	signature, err := ecdsa.SignASN1(nil, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	var k p384Key
	k.verify(point, digest[:], signature)
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		k.verify(point, digest[:], signature)
		middle := time.Now()
		ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature)
		ours, theirs = ours+middle.Sub(start), theirs+time.Since(middle)
	}
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "x-crypto/ecdsa")
}
