package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"kkeys/certs"
	"kkeys/machine"
)

// A name says whose key it is, as far as the machine's name is known and fits into a certificate.
func TestSignerName(t *testing.T) {
	long := strings.Repeat("a", 50)
	for host, want := range map[string]string{
		"build\n":           "build module signing key",
		"build.example\n":   "build.example module signing key",
		long + "\n":         "module signing key",
		"build." + long:     "build module signing key",
		"(none)\n":          "module signing key",
		"\n":                "module signing key",
		"a\x1b[31m\n":       "module signing key",
		"\xff\n":            "module signing key",
		".x\n":              ".x module signing key",
		"日本\n":              "日本 module signing key",
		long[:45] + ".x\n":  long[:45] + " module signing key",
		long[:46] + ".xy\n": "module signing key",
	} {
		s := &session{machine: &machine.Machine{Files: fstest.MapFS{"proc/sys/kernel/hostname": {Data: []byte(host)}}}}
		name := s.signerName(nameMost(profileModule))
		if name != want || len(certs.CommonName(name)) != 1 {
			t.Errorf("%q: %q, want %q", host, name, want)
		}
	}
	s := &session{machine: &machine.Machine{Files: fstest.MapFS{}}}
	if name := s.signerName(nameMost(profileCA)); name != defaultSigner {
		t.Error(name)
	}
}

// The private key has its mode when it is made: nobody can open it in between. What was there is left, what was made is not.
func TestNewFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	names := func() (all []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.Name()+" "+info.Mode().String())
		}
		return all
	}
	if err := newFiles(fileToBe{at("a"), []byte("1"), fs.FileMode(0o600)}, fileToBe{at("b"), []byte("2"), 0o644}); err != nil {
		t.Fatal(err)
	}
	want := []string{"a -rw-------", "b -rw-r--r--"}
	if got := names(); !slices.Equal(got, want) {
		t.Error(got)
	}
	for why, c := range map[string]struct {
		files []fileToBe
		code  int
	}{
		"there":            {[]fileToBe{{at("c"), nil, 0o600}, {at("d"), nil, 0o600}, {at("b"), []byte("3"), 0o644}}, exitNo},
		"twice":            {[]fileToBe{{at("c"), nil, 0o600}, {at("c"), nil, 0o600}}, exitNo},
		"no folder":        {[]fileToBe{{at("c"), nil, 0o600}, {at("nowhere/d"), nil, 0o644}}, exitFailed},
		"a folder is":      {[]fileToBe{{at("c"), nil, 0o600}, {dir, nil, 0o644}}, exitNo},
		"the first of two": {[]fileToBe{{at("a"), []byte("3"), 0o600}, {at("c"), nil, 0o600}}, exitNo},
	} {
		if err := newFiles(c.files...); codeOf(err) != c.code {
			t.Errorf("%s: %v", why, err)
		}
		if got := names(); !slices.Equal(got, want) {
			t.Errorf("%s: %q", why, got)
		}
	}
	for name, want := range map[string]string{"a": "1", "b": "2"} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
