package certs_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"regexp"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// loose are the errors behind which the kernel's BER reader may still find a certificate: a wrong constructed bit (10 for
// 30, 80 for a0; where the element is optional it then looks superfluous) and lengths that are not DER.
var loose = regexp.MustCompile(`tag 0x[0-9a-f]+ where 0x[0-9a-f]+ belongs|bytes too many|shortest form|indefinite`)

// TestKernelMutants changes bytes of good certificates, the same in every run, and compares what the kernel and this
// package make of the result: what both read has the same name or refusal, and what this package does not read the
// kernel does not read either, unless it is BER or followed by more bytes.
func TestKernelMutants(t *testing.T) {
	ring, running := newRing(t), release(t)
	bases := mutantBases(t)
	r := rand.New(rand.NewPCG(2026, 2))
	read, agreed := 0, 0
	for range 20000 {
		der := mutate(r, bases[r.IntN(len(bases))])
		c, err := certs.ParseDER(der)
		description, kernelErr := ring.add(t, der)
		if err == nil {
			read++
			if complaint := compare(c, description, kernelErr, running); complaint != "" {
				t.Errorf("%x: %s", der, complaint)
			}
			continue
		}
		if kernelErr != nil {
			agreed++
		} else if !errors.Is(err, certs.ErrTrailing) && !loose.MatchString(err.Error()) {
			t.Errorf("%x: the kernel calls it %q, ParseDER: %v", der, description, err)
		}
	}
	t.Logf("%d read by both, %d by none", read, agreed)
	if read < 2000 || agreed < 2000 {
		t.Errorf("too one-sided: %d read by both, %d by none", read, agreed)
	}
}

func mutantBases(t testing.TB) [][]byte {
	t.Helper()
	key := certtest.RSA(512, 0) // a short key and signature leave more changes for the rest
	return [][]byte{
		certtest.SelfSignedWith(t, "Mutant", key).DER,
		certtest.Make(t, certtest.Spec{
			Key: key, Subject: certtest.Name{certtest.O("Acme"), certtest.CN("Acme key")}, Issuer: certtest.Name{certtest.CN("Issuer")},
			SKID: []byte{1, 2, 3}, AKI: &certtest.AKI{KeyID: []byte{1, 2, 3}, Issuer: certtest.Name{certtest.CN("I")}, Serial: []byte{1}},
			NotAfter: certtest.Generalized("20500101000000Z"), Unique: []byte{1},
		}).DER,
		certtest.Make(t, certtest.Spec{Key: key, Serial: []byte{0, 0x80}, AKI: &certtest.AKI{Issuer: certtest.Name{certtest.CN("test")}, Serial: []byte{0, 0x80}}}).DER,
	}
}

func mutate(r *rand.Rand, der []byte) []byte {
	der = bytes.Clone(der)
	for range 1 + r.IntN(2) {
		at := r.IntN(len(der))
		switch r.IntN(6) {
		case 0:
			der = append(der[:at], der[at+1:]...)
		case 1:
			der = append(der[:at], append([]byte{byte(r.IntN(256))}, der[at:]...)...)
		case 2:
			der[at]++
		case 3:
			der[at]--
		case 4:
			der[at] = byte(r.IntN(256))
		case 5:
			der[at] ^= 1 << r.IntN(8)
		}
	}
	return der
}
