package certs

import (
	"crypto/elliptic"
	"math/big"
	"sync"

	"filippo.io/nistec"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// p384Key checks many ECDSA signatures of one key on P-384, the curve of distributions' build keys. crypto/ecdsa multiplies the key's point anew
// for each; here its multiples are kept, so that what is left is a sum of them. All of it is public, so that the time may tell what it is about.
type p384Key struct {
	once  sync.Once
	table *multiples // nil: no point of the curve
}

// multiples are those of a point by d * 16^i, d from 1 to 15.
type multiples [96][15]*nistec.P384Point

func multiplesOf(p *nistec.P384Point) *multiples {
	var m multiples
	base := nistec.NewP384Point().Set(p)
	for i := range m {
		m[i][0] = nistec.NewP384Point().Set(base)
		for d := 1; d < len(m[i]); d++ {
			m[i][d] = nistec.NewP384Point().Add(m[i][d-1], base)
		}
		base.Add(base, m[i][len(m[i])-1])
	}
	return &m
}

// addTo adds the point's product with a scalar, 48 bytes, to a sum.
func (m *multiples) addTo(sum *nistec.P384Point, scalar []byte) {
	for i := range m {
		if d := scalar[len(scalar)-1-i/2] >> (i % 2 * 4) & 15; d > 0 {
			sum.Add(sum, m[i][d-1])
		}
	}
}

var p384Generator = sync.OnceValue(func() *multiples { return multiplesOf(nistec.NewP384Point().SetGenerator()) })

// verify checks a signature, DER (RFC 3279 2.2.3), as FIPS 186-5 6.4.2 says.
func (k *p384Key) verify(point, digest, signature []byte) bool {
	k.once.Do(func() {
		if p, err := nistec.NewP384Point().SetBytes(point); err == nil && len(point) == 97 { // neither compressed nor infinity
			k.table = multiplesOf(p)
		}
	})
	var both cryptobyte.String
	r, s, text := new(big.Int), new(big.Int), cryptobyte.String(signature)
	if k.table == nil || !text.ReadASN1(&both, asn1.SEQUENCE) || !text.Empty() || !both.ReadASN1Integer(r) || !both.ReadASN1Integer(s) || !both.Empty() {
		return false
	}
	order := elliptic.P384().Params().N
	if r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return false
	}
	size := (order.BitLen() + 7) / 8
	e := new(big.Int).SetBytes(digest[:min(len(digest), size)])
	inverse := s.ModInverse(s, order)
	scalar := func(factor *big.Int) []byte {
		product := new(big.Int).Mul(factor, inverse)
		return product.Mod(product, order).FillBytes(make([]byte, size))
	}
	sum := nistec.NewP384Point()
	p384Generator().addTo(sum, scalar(e))
	k.table.addTo(sum, scalar(r))
	x, err := sum.BytesX() // there is none at infinity
	if err != nil {
		return false
	}
	v := new(big.Int).SetBytes(x)
	return v.Mod(v, order).Cmp(r) == 0
}
