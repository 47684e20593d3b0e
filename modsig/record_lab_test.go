//go:build lab

package modsig_test

import (
	"bytes"
	"crypto/elliptic"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

var record = flag.Bool("record", false, "write testdata anew")

// signFile is the kernel's own, of Linux 6.1.
const signFile = "/usr/lib/linux-kbuild-6.1/scripts/sign-file"

// workshop is a folder with the keys, the certificates and the payload, in which other programs make signatures.
type workshop struct{ folder string }

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	w := workshop{t.TempDir()}
	w.write(t, "module", payload)
	w.keep(t, "owner", owner(t))
	w.keep(t, "leaf", leaf(t))
	return w
}

func (w workshop) path(name string) string { return filepath.Join(w.folder, name) }

func (w workshop) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w workshop) keep(t *testing.T, name string, c *certtest.Cert) {
	t.Helper()
	w.write(t, name+".key", c.KeyPEM(t))
	w.write(t, name+".der", c.DER)
	w.write(t, name+".pem", c.PEM())
}

// run runs a program in the folder and gives the file "out".
func (w workshop) run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	command := lab.Tool(t, name, args...)
	command.Dir = w.folder
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, text)
	}
	out, err := os.ReadFile(w.path("out"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cms are the arguments of every message; the rest says what is special.
func cms(args ...string) []string {
	return append([]string{"cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", "-in", "module", "-out", "out"}, args...)
}

// TestRecorded makes the files of testdata as they were made, and compares those that come out the same every time. With
// -record it writes them.
func TestRecorded(t *testing.T) {
	w := newWorkshop(t)
	ecdsa := certtest.SelfSignedWith(t, "modsig ecdsa", certtest.ECDSA(t, elliptic.P384()))
	w.keep(t, "ecdsa", ecdsa)
	if *record {
		if err := os.WriteFile("testdata/ecdsa.der", ecdsa.DER, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(args ...string) []string { return append([]string{signFile}, append(args, "module", "out")...) }
	openssl := func(args ...string) []string { return append([]string{"/usr/bin/openssl"}, cms(args...)...) }
	plain := []string{"-noattr", "-nocerts"}
	mine := []string{"-signer", "owner.pem", "-inkey", "owner.key"}
	theirs := []string{"-signer", "leaf.pem", "-inkey", "leaf.key"}
	for file, made := range map[string]struct {
		command []string
		same    bool // every time
	}{
		"rsa-sha1.ko":        {signed("sha1", "owner.key", "owner.der"), true},
		"rsa-sha256.ko":      {signed("sha256", "owner.key", "owner.der"), true},
		"rsa-sha512.ko":      {signed("sha512", "owner.key", "owner.pem"), true},
		"rsa-sha256-k.ko":    {signed("-k", "sha256", "owner.key", "owner.der"), true},
		"rsa-sha3-256.ko":    {signed("sha3-256", "owner.key", "owner.der"), true},
		"ecdsa-sha256.ko":    {signed("sha256", "ecdsa.key", "ecdsa.der"), false},
		"ecdsa-sha384-k.ko":  {signed("-k", "sha384", "ecdsa.key", "ecdsa.der"), false},
		"cms-plain.der":      {openssl(slices.Concat(plain, mine)...), true},
		"cms-keyid.der":      {openssl(slices.Concat(plain, mine, []string{"-keyid"})...), true},
		"cms-attributes.der": {openssl(slices.Concat([]string{"-nocerts"}, mine)...), false},
		"cms-content.der":    {openssl(slices.Concat(plain, mine, []string{"-nodetach"})...), true},
		"cms-pss.der":        {openssl(slices.Concat(plain, mine, []string{"-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:0"})...), true},
		"cms-certs.der":      {openssl(slices.Concat([]string{"-noattr"}, mine)...), true},
		"cms-leaf.der":       {openssl(slices.Concat(plain, theirs)...), true},
		"cms-chain.der":      {openssl(slices.Concat([]string{"-noattr", "-certfile", "owner.pem"}, theirs)...), true},
		"cms-two.der":        {openssl(slices.Concat(plain, mine, theirs)...), true},
	} {
		out := w.run(t, made.command[0], made.command[1:]...)
		switch {
		case *record:
			if err := os.WriteFile(filepath.Join("testdata", file), out, 0o644); err != nil {
				t.Fatal(err)
			}
		case made.same && !bytes.Equal(out, read(t, file)):
			t.Errorf("%s comes out different", file)
		}
	}
}
