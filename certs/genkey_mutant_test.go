package certs_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// What is still understood of a damaged configuration openssl reads in the same way: nothing is accepted and taken for something else.
func TestMutatedRequestsLikeOpenSSL(t *testing.T) {
	key := certtest.RSA(2048, 31)
	text, err := certs.EncodeKey(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	keyPath, names := write(t, "key", text), slices.Sorted(maps.Keys(genkeys))
	splinters := strings.Split(` |#|"|'|,|:|=|é|critical,|+|0.|.|CN|;|/|@|[|]|a|CA:TRUE|-|_|~|(|pathlen:3|:always|2.5.29.37.0|{|<<|&|*`, "|")
	splinters = append(splinters, "\t", "\r", "\n", "\u00a0", "\ufeff", "O=x\n", "keyUsage=cRLSign\n")
	random := rand.New(rand.NewPCG(1, 2))
	understood := 0
	for range 4000 {
		data := genkeys[names[random.IntN(len(names))]]
		for range 1 + random.IntN(3) {
			at := random.IntN(len(data))
			data = data[:at] + splinters[random.IntN(len(splinters))] + data[min(len(data), at+random.IntN(3)):]
		}
		request, err := certs.ParseRequest([]byte(data))
		if err != nil {
			continue
		}
		understood++
		request.Spec.From, request.Spec.Until = from, until
		made, err := request.Spec.SelfSign(key)
		if err != nil {
			t.Errorf("%q: %v", data, err)
			continue
		}
		out, err := exec.Command("openssl", "req", "-new", "-utf8", "-sha256", "-batch", "-x509", "-config", write(t, "x509.genkey", []byte(data)), "-key", keyPath).Output()
		if err != nil {
			t.Errorf("openssl does not read %q: %v", data, err)
			continue
		}
		theirs, err := certs.Decode(out)
		if err != nil {
			t.Fatal(err)
		}
		if want := theirs[0]; !bytes.Equal(made.Subject, want.Subject) || !reflect.DeepEqual(made.X509.Extensions, want.X509.Extensions) {
			t.Errorf("%q:\n%x %v, want\n%x %v", data, made.Subject, made.X509.Extensions, want.Subject, want.X509.Extensions)
		}
	}
	if understood < 50 {
		t.Errorf("only %d of them were understood", understood)
	}
	t.Logf("%d were understood", understood)
}
