//go:build lab

package main

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// realSignFile is the kernel's own tool.
const realSignFile = "/usr/lib/linux-kbuild-6.1/scripts/sign-file"

// TestLabSignFile runs the kernel's sign-file and kkeys' with the same arguments: with RSA keys all files are the same byte for byte, and what an
// ECDSA key signed openssl takes.
func TestLabSignFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	modules := [][]byte{lab.Module(t, lab.Kernel61, "dummy"), lab.Module(t, lab.Kernel612, "dummy"), lab.Strip(t, lab.Module(t, lab.Kernel61, "dummy"))}
	keys := map[string]*certtest.Cert{
		"2048": certtest.SelfSignedWith(t, "sign-file 2048", certtest.RSA(2048, 21)),
		"4096": certtest.SelfSignedWith(t, "sign-file 4096", generated(t, 4096)),
		"p384": certtest.SelfSignedWith(t, "sign-file p384", certtest.ECDSA(t, elliptic.P384())),
	}
	run := 0
	for name, key := range keys {
		private, der, pem := write(name+".key", key.KeyPEM(t)), write(name+".der", key.DER), write(name+".pem", append(key.KeyPEM(t), key.PEM()...))
		for _, hash := range []string{"sha1", "sha224", "sha256", "sha384", "sha512"} {
			for i, flags := range [][]string{nil, {"-k"}, {"-p"}, {"-dp", "-k"}, {"-kd"}} {
				for _, destination := range []bool{false, true} {
					run++
					cert := []string{der, pem}[run%2]
					args := slices.Concat(flags, []string{hash, private, cert})
					outcome := func(tool func(args ...string) error, who string) (files map[string][]byte) {
						module := write(fmt.Sprintf("%s-%d.ko", who, run), modules[(run+i)%len(modules)])
						all, dest := append(args, module), module+".signed"
						if destination {
							all = append(all, dest)
						}
						if err := tool(all...); err != nil {
							t.Errorf("%s: %q: %v", who, all, err)
						}
						files = map[string][]byte{}
						for _, suffix := range []string{"", ".signed", ".p7s"} {
							if data, err := os.ReadFile(module + suffix); err == nil {
								files[suffix] = data
							}
						}
						return files
					}
					real := outcome(func(args ...string) error {
						out, err := lab.Tool(t, realSignFile, args...).CombinedOutput()
						if err != nil {
							err = fmt.Errorf("%w: %s", err, out)
						}
						return err
					}, "real")
					ours := outcome(func(args ...string) error {
						if got := runOn(t, nil, append([]string{"sign-file"}, args...)...); got.code != exitYes || got.out != "" {
							return fmt.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
						}
						return nil
					}, "ours")
					for suffix, want := range real {
						if got := ours[suffix]; name != "p384" && !bytes.Equal(got, want) || (got == nil) != (want == nil) {
							t.Errorf("%s %q: module%s has %d bytes, sign-file's has %d", name, args, suffix, len(got), len(want))
						}
					}
					if len(ours) != len(real) {
						t.Errorf("%s %q: %d files, sign-file makes %d", name, args, len(ours), len(real))
					}
					if signature := ours[".p7s"]; name == "p384" && signature != nil {
						payload := write("payload", modules[(run+i)%len(modules)])
						out, err := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", write("signature", signature), "-content", payload,
							"-certfile", write("cert.pem", key.PEM()), "-CAfile", write("ca.pem", key.PEM()), "-noverify", "-nointern", "-out", os.DevNull).CombinedOutput()
						if err != nil {
							t.Errorf("openssl: %v: %s", err, out)
						}
					}
				}
			}
		}
	}
	if run != 150 {
		t.Errorf("%d runs", run)
	}
}
