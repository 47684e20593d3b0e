package certtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // registers its hash, as the others do
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var rsaKeys sync.Map // [2]int{bits, number} → *rsa.PrivateKey

// RSA gives key number n of this size, the same in every run. Any size from 384 bits on works, also those that crypto/rsa
// refuses. Up to 2048 bits there are two primes; larger ones have more, to be found quickly, which no verifier notices.
func RSA(bits, n int) *rsa.PrivateKey {
	if key, ok := rsaKeys.Load([2]int{bits, n}); ok {
		return key.(*rsa.PrivateKey)
	}
	parts := 2
	if bits > 2048 {
		parts = bits / 512
	}
	source := mathrand.NewChaCha8([32]byte{byte(bits), byte(bits >> 8), byte(n)})
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{E: 65537}}
	for key.N == nil || key.N.BitLen() != bits {
		key.N, key.Primes = big.NewInt(1), nil
		totient := big.NewInt(1)
		for i := range parts {
			p := prime(source, (bits+i)/parts)
			key.Primes = append(key.Primes, p)
			key.N.Mul(key.N, p)
			totient.Mul(totient, new(big.Int).Sub(p, big.NewInt(1)))
		}
		if key.D = new(big.Int).ModInverse(big.NewInt(65537), totient); key.D == nil {
			key.N = nil
		}
	}
	rsaKeys.Store([2]int{bits, n}, key)
	return key
}

// prime finds a prime of this size with its upper bits set, so that a product of several has the full length.
func prime(source *mathrand.ChaCha8, bits int) *big.Int {
	for {
		octets := make([]byte, (bits+7)/8)
		source.Read(octets)
		p := new(big.Int).SetBytes(octets)
		p.Rsh(p, uint(len(octets)*8-bits)).SetBit(p, 0, 1)
		for i := 1; i <= 6; i++ {
			p.SetBit(p, bits-i, 1)
		}
		if p.ProbablyPrime(10) {
			return p
		}
	}
}

// ECDSA gives a new key.
func ECDSA(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Ed25519 gives key number n, the same in every run.
func Ed25519(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// hashes are the kernel's names.
var hashes = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
	"sha3-256": crypto.SHA3_256, "sha3-384": crypto.SHA3_384, "sha3-512": crypto.SHA3_512,
}

var rsaOIDs = map[string]string{
	"sha1": "1.2.840.113549.1.1.5", "sha224": "1.2.840.113549.1.1.14", "sha256": "1.2.840.113549.1.1.11",
	"sha384": "1.2.840.113549.1.1.12", "sha512": "1.2.840.113549.1.1.13", "sha3-256": "2.16.840.1.101.3.4.3.14",
	"sha3-384": "2.16.840.1.101.3.4.3.15", "sha3-512": "2.16.840.1.101.3.4.3.16",
}

var ecdsaOIDs = map[string]string{
	"sha1": "1.2.840.10045.4.1", "sha224": "1.2.840.10045.4.3.1", "sha256": "1.2.840.10045.4.3.2",
	"sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4", "sha3-256": "2.16.840.1.101.3.4.3.10",
	"sha3-384": "2.16.840.1.101.3.4.3.11", "sha3-512": "2.16.840.1.101.3.4.3.12",
}

var hashOIDs = map[string]string{
	"sha1": "1.3.14.3.2.26", "sha224": "2.16.840.1.101.3.4.2.4", "sha256": "2.16.840.1.101.3.4.2.1",
	"sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3", "sha3-256": "2.16.840.1.101.3.4.2.8",
	"sha3-384": "2.16.840.1.101.3.4.2.9", "sha3-512": "2.16.840.1.101.3.4.2.10",
}

// algorithm writes the AlgorithmIdentifier for signatures of this key and hash.
func algorithm(key crypto.Signer, hash string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		switch key.(type) {
		case *rsa.PrivateKey:
			addOID(b, rsaOIDs[hash])
			b.AddASN1NULL()
		case *ecdsa.PrivateKey:
			addOID(b, ecdsaOIDs[hash])
		case ed25519.PrivateKey:
			addOID(b, "1.3.101.112")
		}
	})
	return b.BytesOrPanic()
}

func sign(key crypto.Signer, hash string, tbs []byte) ([]byte, error) {
	if key, ok := key.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, tbs), nil
	}
	if hashes[hash] == 0 {
		return nil, fmt.Errorf("no hash %q", hash)
	}
	h := hashes[hash].New()
	h.Write(tbs)
	digest := h.Sum(nil)
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return signRSA(key, hash, digest), nil
	case *ecdsa.PrivateKey:
		return ecdsa.SignASN1(rand.Reader, key, digest)
	}
	return nil, fmt.Errorf("no signatures with %T", key)
}

// signRSA is RSASSA-PKCS1-v1_5 (RFC 8017 8.2.1) for keys of any size.
func signRSA(key *rsa.PrivateKey, hash string, digest []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, hashOIDs[hash])
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(digest)
	})
	info := b.BytesOrPanic()
	size := key.Size()
	padded := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-len(info)-3)...)
	padded = append(append(padded, 0), info...)
	m := new(big.Int).SetBytes(padded)
	return m.Exp(m, key.D, key.N).FillBytes(make([]byte, size))
}

// publicKey writes the subjectPublicKeyInfo.
func publicKey(key crypto.Signer) ([]byte, error) {
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return x509.MarshalPKIXPublicKey(key.Public())
	}
	var inner cryptobyte.Builder
	inner.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(rsaKey.N)
		b.AddASN1Int64(int64(rsaKey.E))
	})
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, "1.2.840.113549.1.1.1")
			b.AddASN1NULL()
		})
		b.AddASN1BitString(inner.BytesOrPanic())
	})
	return b.Bytes()
}
