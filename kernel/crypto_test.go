package kernel

import (
	"fmt"
	"strings"
	"testing"

	"kkeys/evidence"
)

// entry writes one block of /proc/crypto.
func entry(name, kind, selftest, internal string) string {
	return fmt.Sprintf("name         : %s\ndriver       : %s-generic\nmodule       : kernel\npriority     : 100\nrefcnt       : 1\nselftest     : %s\ninternal     : %s\ntype         : %s\n\n",
		name, name, selftest, internal, kind)
}

func TestParseAlgorithms(t *testing.T) {
	text := entry("sha256", "shash", "passed", "no") + entry("sha384", "ahash", "passed", "no") + entry("sha512", "shash", "unknown", "no") +
		entry("sha3-256", "shash", "passed", "yes") + entry("rsa", "akcipher", "passed", "no") + entry("ecdsa-nist-p384", "sig", "passed", "no") +
		entry("pkcs1(rsa,sha512)", "sig", "passed", "no") + entry("aes", "cipher", "passed", "no") + strings.TrimSuffix(entry("sha1", "shash", "passed", "no"), "\n")
	a, err := ParseAlgorithms(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]evidence.Answer{"sha256": evidence.Yes, "rsa": evidence.Yes, "ecdsa-nist-p384": evidence.Yes, "sha1": evidence.Yes,
		"sha384": evidence.Unknown, "sha512": evidence.Unknown, "sha3-256": evidence.Unknown, "sha224": evidence.Unknown, "ecdsa-nist-p256": evidence.Unknown, "aes": evidence.Unknown} {
		r := a.Registered(name)
		if r.Answer != want || r.Evidence == "" || r.Source != "/proc/crypto" {
			t.Errorf("%s: %+v, want %v", name, r, want)
		}
	}
	if len(a) != 4 {
		t.Errorf("%v", a)
	}
	if r := (Algorithms)(nil).Registered("sha256"); r.Answer != evidence.Unknown {
		t.Errorf("nothing read, and yet %+v", r)
	}
	read, err := ReadAlgorithms(files(map[string]string{"proc/crypto": text}))
	if err != nil || len(read) != len(a) {
		t.Errorf("%v, %v", read, err)
	}
	if read, err := ReadAlgorithms(files(nil)); err == nil || read != nil {
		t.Errorf("no file, and yet %v, %v", read, err)
	}
}

func TestParseAlgorithmsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "blank": "\n\n\n", "no colon": "name sha256\n", "no name": " : sha256\n", "not the beginning": "driver : x\nname : sha256\n",
		"twice": "name : sha256\nname : sha512\n", "long line": "name : " + strings.Repeat("x", 1<<20), "too much": strings.Repeat(entry("a", "b", "c", "d"), cryptoMax/100),
	} {
		if a, err := ParseAlgorithms(strings.NewReader(text)); err == nil || a != nil {
			t.Errorf("%s: %v, %v, want an error alone", name, a, err)
		}
	}
}

func FuzzParseAlgorithms(f *testing.F) {
	for _, seed := range []string{entry("sha256", "shash", "passed", "no"), entry("rsa", "akcipher", "passed", "no") + "\n" + entry("sha1", "shash", "passed", "no"), "name :\n", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAlgorithms(strings.NewReader(text))
		if (a == nil) == (err == nil) {
			t.Errorf("%v, %v", a, err)
		}
		for name := range a {
			if !strings.Contains(text, name) {
				t.Errorf("%s is not in the text", name)
			}
		}
	})
}
