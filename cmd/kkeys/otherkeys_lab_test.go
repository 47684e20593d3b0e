//go:build lab

package main

import (
	"crypto/rsa"
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
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
