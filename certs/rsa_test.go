package certs

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// number makes one of so many bits out of a seed.
func number(r *rand.Rand, size int) *big.Int {
	n := new(big.Int).SetBit(new(big.Int), size-1, 1)
	for i := range size - 1 {
		n.SetBit(n, i, uint(r.Uint64()&1))
	}
	return n
}

// The power is that of math/big, for moduli of every length, even ones too, whatever the signature.
func TestRSAPower(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{2, 64, 512, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 4160, 8192} {
		var m rsaModulus
		n := number(r, size)
		if size%3 == 0 {
			n.SetBit(n, 0, 1)
		}
		for i, e := range []*big.Int{big.NewInt(1), big.NewInt(2), big.NewInt(3), big.NewInt(17), big.NewInt(65537), number(r, 32), number(r, 64), number(r, 65)} {
			for _, s := range []*big.Int{new(big.Int), big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1)), new(big.Int).Mod(number(r, size), n), new(big.Int).Rsh(n, uint(size/2))} {
				before := new(big.Int).Set(s)
				if got, want := m.power(s, e, n), new(big.Int).Exp(s, e, n); got.Cmp(want) != 0 || s.Cmp(before) != 0 {
					t.Errorf("%d bits, exponent %d: %x, want %x", size, i, got, want)
				}
			}
		}
	}
}

func FuzzRSAPower(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint32(65537), uint16(2048))
	f.Add(uint64(3), uint64(4), uint32(3), uint16(1031))
	f.Fuzz(func(t *testing.T, a, b uint64, exponent uint32, size uint16) {
		r := rand.New(rand.NewPCG(a, b))
		n := number(r, int(size%4200)+2)
		s, e := new(big.Int).Mod(number(r, int(size%4200)+2), n), big.NewInt(int64(exponent)+1)
		var m rsaModulus
		for range 2 {
			if got, want := m.power(s, e, n), new(big.Int).Exp(s, e, n); got.Cmp(want) != 0 {
				t.Fatalf("%x^%x mod %x is %x, want %x", s, e, n, got, want)
			}
		}
	})
}

// BenchmarkRSAPower prints how the time stands to math/big's, for the key of Debian's kernels.
func BenchmarkRSAPower(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	n, e := number(r, 4096), big.NewInt(65537)
	s := new(big.Int).Mod(number(r, 4096), n)
	var m rsaModulus
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		m.power(s, e, n)
		middle := time.Now()
		new(big.Int).Exp(s, e, n)
		ours, theirs = ours+middle.Sub(start), theirs+time.Since(middle)
	}
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "x-math/big")
}
