package mok_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/evidence"
	"kkeys/mok"
)

// recorded is the data of a variable as mokutil wrote it; its attributes must be those of every request.
func recorded(t testing.TB, file string) []byte {
	t.Helper()
	b := fixture(t, file)
	if !bytes.HasPrefix(b, []byte{7, 0, 0, 0}) {
		t.Fatalf("%s begins with % x", file, b[:4])
	}
	return b[4:]
}

func fixture(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "mokutil", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func get(t testing.TB, s efivars.Store, name string) []byte {
	t.Helper()
	a, b, err := s.Get(mok.Variable(name))
	if err != nil || a != mok.Attributes {
		t.Fatalf("%s: %s, %v", name, a, err)
	}
	return b
}

// What kkeys stages is byte for byte what mokutil stages, but for the password's salt.
func TestSameAsMokutil(t *testing.T) {
	one, two := fixture(t, "one.der"), fixture(t, "two.der")
	for file, ders := range map[string][][]byte{"one-moknew": {one}, "both-moknew": {one, two}} {
		m := machine()
		stage(t, m, ders, "hunter22", nil)
		if !bytes.Equal(get(t, m, "MokNew"), recorded(t, file)) {
			t.Errorf("%s differs", file)
		}
	}
	m := machine()
	forever := int32(-1)
	stage(t, m, [][]byte{one}, "hunter22", nil)
	stage(t, m, [][]byte{two}, "other", &forever)
	if !bytes.Equal(get(t, m, "MokNew"), recorded(t, "merged-moknew")) {
		t.Error("merged-moknew differs")
	}
	if !bytes.Equal(get(t, m, "MokTimeout"), recorded(t, "timeout")) {
		t.Error("timeout differs")
	}
}

func TestAuthFromMokutil(t *testing.T) {
	for file, password := range map[string]string{
		"one-mokauth": "hunter22", "merged-mokauth": "other", "hash5-mokauth": "hunter22", "hash6-mokauth": "hunter22",
		"set-password": "hunter22",
	} {
		a, err := mok.ParseAuth(recorded(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if ok, err := a.Verify(password); !ok || err != nil {
			t.Errorf("%s: %v, %v", file, ok, err)
		}
		if ok, err := a.Verify(password + "x"); ok || err != nil {
			t.Errorf("%s, wrong password: %v, %v", file, ok, err)
		}
	}
	for text, file := range map[string]string{"hash5": "hash5-mokauth", "hash6": "hash6-mokauth"} {
		a, err := mok.AuthFromCrypt(string(fixture(t, text)))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := a.Encode(); err != nil || !bytes.Equal(b, recorded(t, file)) {
			t.Errorf("%s: %x, %v", file, b, err)
		}
	}
}

func TestPendingFromMokutil(t *testing.T) {
	m := efivarstest.NewMemory()
	for name, file := range map[string]string{
		"MokNew": "merged-moknew", "MokAuth": "merged-mokauth", "MokTimeout": "timeout", "MokSB": "disable-validation",
		"MokPW": "clear-password", "MokXNew": "one-moknew", "MokXAuth": "one-mokauth",
	} {
		m.Seed(mok.Variable(name), mok.Attributes, recorded(t, file))
	}
	p := mok.ReadPending(m)
	if len(p.Requests) != 4 || len(p.NotSeen) != 0 || p.Timeout == nil || *p.Timeout != -1 {
		t.Fatalf("%+v", p)
	}
	enroll, _ := p.Request(mok.Enroll)
	if ders := enroll.Certificates(); len(ders) != 2 || !bytes.Equal(ders[0], fixture(t, "two.der")) || enroll.Auth.Answer != evidence.Yes {
		t.Errorf("%+v", enroll)
	}
	for k, wish := range map[mok.Kind]string{mok.Validation: "disable validation", mok.Password: "clear password", mok.Block: ""} {
		if r, ok := p.Request(k); !ok || r.Wish != wish || r.Err != nil {
			t.Errorf("%s: %+v", k, r)
		}
	}
}
