package certs_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// TestPKCS1Padding holds the check of RSASSA-PKCS1-v1_5 against encodings that lenient programs have taken for signatures, in the manner of the
// Wycheproof project: each is signed with the private key as it is, so that only its form is wrong. crypto/rsa is the second opinion.
func TestPKCS1Padding(t *testing.T) {
	key := certtest.RSA(2048, 21)
	cert := parse(t, certtest.SelfSignedWith(t, "padding", key).DER)
	size := key.Size()
	digest := sha256.Sum256([]byte("text"))
	good := certs.DigestInfo("sha256", digest[:])
	pad := func(info []byte) []byte { // 00 01 ff … ff 00 info
		em := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-3-len(info))...)
		return append(append(em, 0), info...)
	}
	short := func(padding int, info, rest []byte) []byte { // fewer ff, and something behind
		em := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, padding)...)
		em = append(append(append(em, 0), info...), rest...)
		return append(em, bytes.Repeat([]byte{0x55}, size-len(em))...)
	}
	change := func(at int, b byte) []byte {
		em := pad(good)
		em[at] = b
		return em
	}
	info := func(algorithm, digest []byte) []byte { return tlv(0x30, tlv(0x30, algorithm), tlv(4, digest)) }
	oid := []byte{6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}
	null := []byte{5, 0}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for why, em := range map[string][]byte{
		"eight ff and rest":           short(8, good, nil),
		"no padding":                  short(0, good, nil),
		"rest in the parameters":      pad(info(join(oid, null, bytes.Repeat([]byte{0x55}, 50)), digest[:])),
		"NULL with content":           pad(info(join(oid, []byte{5, 20}, make([]byte, 20)), digest[:])),
		"no parameters":               pad(info(oid, digest[:])),
		"other parameters":            pad(info(join(oid, []byte{4, 0}), digest[:])),
		"rest behind the digest":      pad(tlv(0x30, tlv(0x30, oid, null), tlv(4, digest[:]), []byte("rest"))),
		"rest behind the info":        pad(join(good, []byte("rest"))),
		"the digest alone":            pad(digest[:]),
		"a shorter digest":            pad(info(join(oid, null), digest[:31])),
		"a longer digest":             pad(info(join(oid, null), append(digest[:], 0))),
		"another digest":              pad(info(join(oid, null), make([]byte, 32))),
		"another hash":                pad(info(join([]byte{6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2}, null), digest[:])),
		"an OID of SHA-1":             pad(info(join([]byte{6, 5, 0x2b, 0x0e, 3, 2, 0x1a}, null), digest[:])),
		"a length in long form":       pad(join([]byte{0x30, 0x81, 0x31}, good[2:])),
		"a length in longer form":     pad(join([]byte{0x30, 0x82, 0, 0x31}, good[2:])),
		"an inner long form":          pad(join([]byte{0x30, 0x32, 0x30, 0x81, 0x0d}, good[4:])),
		"an indefinite length":        pad(join([]byte{0x30, 0x80}, good[2:], []byte{0, 0})),
		"a set":                       pad(join([]byte{0x31}, good[1:])),
		"a digest in a bit string":    pad(tlv(0x30, tlv(0x30, oid, null), tlv(3, []byte{0}, digest[:]))),
		"block type 0":                change(1, 0),
		"block type 2":                change(1, 2),
		"first byte 1":                change(0, 1),
		"a zero in the padding":       change(100, 0),
		"another byte in the padding": change(3, 0xfe),
		"the last byte of padding":    change(size-len(good)-2, 0xfe),
		"no separator":                change(size-len(good)-1, 0xff),
		"nothing":                     make([]byte, size),
		"zeros before it":             append(make([]byte, size-len(good)), good...),
		"one":                         append(make([]byte, size-1), 1),
	} {
		signature := new(big.Int).Exp(new(big.Int).SetBytes(em), key.D, key.N).FillBytes(make([]byte, size))
		if ok, err := cert.VerifyDigest("sha256", digest[:], signature); ok || err != nil {
			t.Errorf("%s: %t, %v", why, ok, err)
		}
		if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) == nil {
			t.Errorf("%s: crypto/rsa takes it", why)
		}
	}
	// The right encoding, and signatures that are it in another form.
	right := new(big.Int).Exp(new(big.Int).SetBytes(pad(good)), key.D, key.N)
	whole := right.FillBytes(make([]byte, size))
	if ok, err := cert.VerifyDigest("sha256", digest[:], whole); !ok || err != nil {
		t.Errorf("the right one: %t, %v", ok, err)
	}
	for why, signature := range map[string][]byte{
		"n added":         new(big.Int).Add(right, key.N).Bytes(),
		"n subtracted":    new(big.Int).Sub(key.N, right).FillBytes(make([]byte, size)),
		"n":               key.N.Bytes(),
		"0":               make([]byte, size),
		"a byte less":     whole[:size-1],
		"a byte more":     append(bytes.Clone(whole), 0),
		"zeros before it": append(make([]byte, 8), whole...),
		"nothing":         nil,
	} {
		if ok, err := cert.VerifyDigest("sha256", digest[:], signature); ok || err != nil {
			t.Errorf("%s: %t, %v", why, ok, err)
		}
	}
}

// tlv is an element of DER with less than 128 bytes.
func tlv(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	return append([]byte{tag, byte(len(content))}, content...)
}
