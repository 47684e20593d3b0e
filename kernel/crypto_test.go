package kernel

import (
	"fmt"
	"slices"
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

// A hash that is registered need not be one that the kernel's release reads in signatures.
func TestReadAlgorithmsOfRelease(t *testing.T) {
	text := entry("sha1", "shash", "passed", "no") + entry("sha256", "shash", "passed", "no") + entry("sha3-256", "shash", "passed", "no") + entry("sha3-512", "shash", "passed", "no") +
		entry("rsa", "akcipher", "passed", "no")
	for of, unsure := range map[string][]string{
		"5.14.0-427.el9": {"sha3-256", "sha3-512"}, "6.1.0-56-cloud-amd64": {"sha3-256", "sha3-512"}, "6.6.99": {"sha3-256", "sha3-512"}, "4.19.0": {"sha3-256", "sha3-512"},
		"6.7.0": {"sha1"}, "6.8.0-31-generic": {"sha1"}, "6.9.0": nil, "6.12.117": nil, "7.0.0": nil, "10.0": nil, "odd": {"sha1", "sha3-256", "sha3-512"}, "": {"sha1", "sha3-256", "sha3-512"},
	} {
		a, err := ReadAlgorithms(files(map[string]string{"proc/crypto": text, release: of + "\n"}))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"sha1", "sha256", "sha3-256", "sha3-512", "rsa"} {
			want := evidence.Reading{Answer: evidence.Yes, Evidence: name + " is registered", Source: "/proc/crypto"}
			if slices.Contains(unsure, name) {
				want = evidence.Reading{Evidence: name + " is registered, and kernels of this release may not read it in signatures: " + unread, Source: "/" + release}
			}
			if got := a.Registered(name); got != want {
				t.Errorf("%q, %s: %+v", of, name, got)
			}
		}
		if got := a.Registered("sha3-384"); got.Answer != evidence.Unknown || got.Evidence != "sha3-384 is not loaded" {
			t.Errorf("%q: %+v", of, got)
		}
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
