package certs_test

import (
	"bytes"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// bundle writes a SignedData by hand, without signatures.
func bundle(ders ...[]byte) []byte {
	wrap := func(tag byte, parts ...[]byte) []byte {
		content := bytes.Join(parts, nil)
		return append([]byte{tag, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
	}
	oid := func(last byte) []byte { return []byte{6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, last} }
	inner := wrap(0x30, []byte{2, 1, 1, 0x31, 0}, []byte{0x30, 11}, oid(1), wrap(0xa0, ders...), []byte{0x31, 0})
	return wrap(0x30, oid(2), wrap(0xa0, inner))
}

func TestParsePKCS7(t *testing.T) {
	one, two := certtest.Make(t, certtest.Spec{}), certtest.Make(t, certtest.Spec{Serial: []byte{9}})
	found, err := certs.ParsePKCS7(bundle(one.DER, two.DER))
	if err != nil || len(found) != 2 || !bytes.Equal(found[0].Raw, one.DER) || !bytes.Equal(found[1].Raw, two.DER) {
		t.Errorf("two certificates: %d, %v", len(found), err)
	}
	whole := bundle(one.DER)
	for n := range whole {
		if found, err := certs.ParsePKCS7(whole[:n]); err == nil || found != nil {
			t.Fatalf("cut after %d bytes: %d certificates, %v", n, len(found), err)
		}
	}
	for name, data := range map[string][]byte{"trailing": append(bytes.Clone(whole), 0), "a certificate": one.DER, "no certificate in it": bundle([]byte{0x30, 0})} {
		if found, err := certs.ParsePKCS7(data); err == nil || found != nil {
			t.Errorf("%s: %d certificates, %v", name, len(found), err)
		}
	}
}

func FuzzParsePKCS7(f *testing.F) {
	f.Add(bundle())
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if found, err := certs.ParsePKCS7(data); err != nil && found != nil {
			t.Error("certificates beside an error")
		}
	})
}
