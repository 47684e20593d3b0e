package certs

import (
	"math/big"
	"math/bits"
	"sync"
)

// rsaModulus computes s^e mod n for many signatures of one key. Nearly all the time of an exponentiation with a small exponent goes into
// reducing squares of twice the length, which math/big does by division. Here a square is first folded: what stands above a power of two is
// multiplied with that power's remainder, which is known from the first time on, so that a short division is left. All of it is public.
type rsaModulus struct {
	once  sync.Once
	n     *big.Int
	folds []fold
}

// fold takes a number to fewer words: above * 2^(words*word size) + below = above * remainder + below, modulo n.
type fold struct {
	words     int
	remainder *big.Int
}

// foldMin is the length of a modulus, in words, from which folding pays.
const foldMin = 16

func (m *rsaModulus) prepare(n *big.Int) {
	m.n = n
	length := len(n.Bits())
	if length < foldMin {
		return
	}
	for _, part := range []int{2, 4, 8} {
		f := fold{words: length + length/part}
		power := new(big.Int).Lsh(big.NewInt(1), uint(f.words*bits.UintSize))
		f.remainder = power.Mod(power, n)
		m.folds = append(m.folds, f)
	}
}

// power is s to the power of e modulo n; s is less than n, and e more than 0.
func (m *rsaModulus) power(s, e, n *big.Int) *big.Int {
	m.once.Do(func() { m.prepare(n) })
	if len(m.folds) == 0 || e.BitLen() > 64 {
		return new(big.Int).Exp(s, e, n)
	}
	x, square, product, rest := new(big.Int).Set(s), new(big.Int), new(big.Int), new(big.Int)
	reduce := func() {
		for _, f := range m.folds {
			words := square.Bits()
			if len(words) <= f.words {
				continue
			}
			var above, below big.Int // both in the memory of square
			product.Mul(above.SetBits(words[f.words:]), f.remainder)
			rest.Add(product, below.SetBits(words[:f.words]))
			square, rest = rest, square
		}
		product.QuoRem(square, m.n, x)
	}
	for i := e.BitLen() - 2; i >= 0; i-- {
		square.Mul(x, x)
		reduce()
		if e.Bit(i) == 1 {
			square.Mul(x, s)
			reduce()
		}
	}
	return x
}
