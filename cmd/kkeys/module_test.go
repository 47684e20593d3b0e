package main

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ulikunitz/xz"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/keyring/keyringtest"
	"kkeys/modsig"
)

// signedModule is a module signed with a key whose certificate is given back.
func signedModule(t *testing.T, spec certtest.Spec, useSKID bool) (module []byte, made *certtest.Cert) {
	t.Helper()
	made = certtest.Make(t, spec)
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	module, err = modsig.Sign(append([]byte("\x7fELF"), bytes.Repeat([]byte("module"), 100)...), made.Key, c, "sha256", useSKID)
	if err != nil {
		t.Fatal(err)
	}
	return module, made
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// carrying puts a certificate into the signature of a module.
func carrying(t *testing.T, module []byte) []byte {
	t.Helper()
	payload, text, err := modsig.Split(module)
	if err != nil {
		t.Fatal(err)
	}
	message, err := modsig.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.ParseDER(certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("carried")}}).DER)
	if err != nil {
		t.Fatal(err)
	}
	message.Certificates = append(message.Certificates, c)
	if text, err = message.Encode(); err != nil {
		t.Fatal(err)
	}
	if module, err = modsig.Append(payload, text); err != nil {
		t.Fatal(err)
	}
	return module
}

func TestTrustedModule(t *testing.T) {
	mok, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("My MOK")}, SKID: []byte{0xaa, 1}}, false)
	bySKID, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("My MOK")}, SKID: []byte{0xaa, 1}}, true)
	disk, dkms := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("dkms")}, SKID: []byte{7}, Key: certtest.RSA(2048, 31)}, false)
	foreign, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("foreign")}, SKID: []byte{8}, Key: certtest.RSA(2048, 32)}, false)
	carries := carrying(t, mok)
	changed := bytes.Clone(mok)
	changed[10] ^= 1
	changedDisk := bytes.Clone(disk)
	changedDisk[10] ^= 1
	m, dir := debian(t)
	one, err := os.ReadFile(filepath.Join(dir, "one.der"))
	if err != nil {
		t.Fatal(err)
	}
	// dkms keeps the certificates of its keys here.
	m.Files.(fstest.MapFS)["var/lib/dkms/mok.pub"] = &fstest.MapFile{Data: dkms.DER}
	m.Files.(fstest.MapFS)["var/lib/shim-signed/mok/MOK.der"] = &fstest.MapFile{Data: one}
	m.Files.(fstest.MapFS)["usr/bin/kmod"] = &fstest.MapFile{Data: []byte("\x7fELF\x00libz.so.1\x00")}
	var xzed bytes.Buffer
	if w, err := xz.NewWriter(&xzed); err != nil {
		t.Fatal(err)
	} else if _, err := w.Write(mok); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	twice := append(gzipped(t, mok), gzipped(t, disk)...)
	for _, c := range []struct {
		name string
		data []byte
		code int
		says []string
	}{
		{"mok.ko", mok, exitYes, []string{"mok.ko: trusted, .machine", "signed with rsa and sha256 by CN=My MOK, serial number 01", "verifies with CN=My MOK"}},
		{"mok.ko.gz", gzipped(t, mok), exitYes, []string{"trusted, .machine", "kmod was built with libz.so"}},
		{"mok.ko.xz", xzed.Bytes(), exitUnsure, []string{"unknown", "kmod was built without liblzma.so", "fix: unxz -k "}},
		{"twice.ko.gz", twice, exitUnsure, []string{"bytes follow the compressed stream"}},
		{"skid.ko", bySKID, exitYes, []string{"by key id aa01", "as the module names it"}},
		{"disk.ko", disk, exitNo, []string{"untrusted", "CN=dkms (file:/var/lib/dkms/mok.pub)", "no keyring holds its key"}},
		{"foreign.ko", foreign, exitUnsure, []string{"unknown", "no certificate found on this machine"}},
		{"changed.ko", changed, exitNo, []string{"untrusted", "changed after signing (stripped"}},
		{"changed-disk.ko", changedDisk, exitNo, []string{"untrusted", "or another key of that name", "no keyring holds its key"}},
		{"carries.ko", carries, exitUnsure, []string{"unknown", "brings certificates along"}},
		{"cut.ko.gz", gzipped(t, mok)[:50], exitFailed, nil},
		{"unsigned.ko", []byte("\x7fELF, and no more"), exitNo, []string{"untrusted", "not signed"}},
		{"cut.ko", append([]byte("\x7fELF"), mok[len(mok)-45:]...), exitNo, []string{"untrusted"}},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		got := runOn(t, m, "trusted", path)
		for _, text := range c.says {
			if !strings.Contains(got.out, text) {
				t.Errorf("%s: no %q in\n%s%s", c.name, text, got.out, got.err)
			}
		}
		if got.code != c.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", c.name, got.code, c.code, got.out, got.err)
		}
		if err := validate("trusted", []byte(runOn(t, m, "trusted", "--json", path).out)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A private key proves nothing about a module.
	key := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(key, dkms.KeyPEM(t), 0o600); err != nil {
		t.Fatal(err)
	}
	// A certificate that holds another public key somewhere is not that one's.
	public, err := x509.MarshalPKIXPublicKey(dkms.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	holds := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("holds")}, Extensions: []certtest.Extension{{OID: "1.3.6.1.4.1.55555.1", Value: public}}})
	if err := os.WriteFile(filepath.Join(dir, "holds.der"), holds.DER, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"trusted", "--prove", "--key", key, filepath.Join(dir, "holds.der")},
		{"trusted", "--prove", "--key", key, filepath.Join(dir, "disk.ko")},
		{"trusted", "--key", key, filepath.Join(dir, "one.der")},
		{"trusted", "--prove", "--key", key, filepath.Join(dir, "one.der")},
		{"trusted", "--prove", "--key", key, filepath.Join(dir, "one.der"), filepath.Join(dir, "two.der")},
		{"trusted", "--prove", "--hash", "crc32", filepath.Join(dir, "one.der")},
	} {
		got := runOn(t, m, append(args, "--json")...)
		if got.code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args[1:], got.code, got.err)
		}
		if err := validate("trusted", []byte(got.out)); err != nil {
			t.Errorf("%v: %v", args[1:], err)
		}
	}
	// Without a running kernel there is nobody to ask, and the rest of the verdict stands.
	got := runOn(t, m, "trusted", "--prove", filepath.Join(dir, "one.der"))
	if got.code != exitYes || !strings.Contains(squeeze(got.out), "unknown load-probe") {
		t.Errorf("--prove on a recording: exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

// changing is a kernel whose keyrings change after they were listed once.
type changing struct {
	*keyringtest.Kernel
	change func()
}

func (k *changing) Rings() ([]keyring.Ring, error) {
	rings, err := k.Kernel.Rings()
	if k.change != nil {
		k.change()
		k.change = nil
	}
	return rings, err
}

// What is in the keyrings when the files have been read counts, not what was there before.
func TestTrustedListsAgain(t *testing.T) {
	module, made := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("My MOK")}, SKID: []byte{0xaa, 1}}, false)
	anew := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("My MOK")}, SKID: []byte{0xaa, 2}, Key: certtest.RSA(2048, 31)})
	for name, data := range map[string][]byte{"one.der": made.DER, "mok.ko": module} {
		for code, ring := range map[int]string{exitYes: keyring.Platform, exitUnsure: keyring.Machine} { // .platform is asked when nothing was found before
			m, dir := debian(t)
			kernel := &changing{Kernel: keyringtest.New()}
			kernel.Put(keyring.Machine, made.DER)
			kernel.change = func() { kernel.Put(ring, anew.DER) }
			m.Keyrings = kernel
			m.Files.(fstest.MapFS)["var/lib/dkms/mok.pub"] = &fstest.MapFile{Data: made.DER}
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := runOn(t, m, "trusted", path); got.code != code {
				t.Errorf("%s, a key put into %s: exit code %d, want %d\n%s%s", name, ring, got.code, code, got.out, got.err)
			}
		}
	}
}

// What enrolls the key of a module names the certificate, not the module.
func TestTrustedModuleFix(t *testing.T) {
	module, dkms := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("dkms")}, SKID: []byte{7}, Key: certtest.RSA(2048, 31)}, false)
	m, made := statusMachine(t)
	made.Write("var/lib/dkms/mok.pub", string(dkms.DER))
	made.Write("it.ko", string(module))
	for path, want := range map[string]string{"it.ko": "/var/lib/dkms/mok.pub", "var/lib/dkms/mok.pub": filepath.Join(made.Dir, "var/lib/dkms/mok.pub")} {
		got := runOn(t, m, "trusted", filepath.Join(made.Dir, path))
		if got.code != exitNo || !strings.Contains(got.out, "\n  fix: sudo kkeys enroll "+want+"\n") {
			t.Errorf("%s: exit code %d\n%s%s", path, got.code, got.out, got.err)
		}
	}
}

// TestVerifyRunning: with the running kernel's keys a certificate that is merely in a file verifies nothing, and where a key's certificate was not
// seen nobody's signature is called a stranger's.
func TestVerifyRunning(t *testing.T) {
	mok, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("My MOK")}, SKID: []byte{0xaa, 1}}, false)
	disk, dkms := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("dkms")}, SKID: []byte{7}, Key: certtest.RSA(2048, 31)}, false)
	m, dir := debian(t)
	one, err := os.ReadFile(filepath.Join(dir, "one.der"))
	if err != nil {
		t.Fatal(err)
	}
	m.Files.(fstest.MapFS)["var/lib/dkms/mok.pub"] = &fstest.MapFile{Data: dkms.DER}
	m.Files.(fstest.MapFS)["sys/firmware/efi/mok-variables/MokListRT"] = &fstest.MapFile{Data: request(t, one)[4:]}
	for name, data := range map[string][]byte{"mok.ko": mok, "disk.ko": disk} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		module, result string
		code           int
	}{{"mok.ko", "valid", exitYes}, {"disk.ko", "unknown-key", exitUnsure}} {
		got := runOn(t, m, "verify", "--json", filepath.Join(dir, c.module))
		if err := validate("verify", []byte(got.out)); err != nil {
			t.Error(err)
		}
		if got.code != c.code || !strings.Contains(got.out, `"result": "`+c.result+`"`) {
			t.Errorf("%s: exit code %d, want %d and %s\n%s%s", c.module, got.code, c.code, c.result, got.out, got.err)
		}
	}
}
