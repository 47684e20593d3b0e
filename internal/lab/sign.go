package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Tool prepares a program of the packages to run on this machine, by absolute name: "/usr/bin/openssl", "/bin/kmod".
func Tool(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return found(t).tool(t.Context(), name, args...)
}

// SignFile appends a signature to a module with the kernel's own scripts/sign-file (of Linux 6.1). The hash is named as
// there, such as "sha256"; the private key is PEM, the certificate DER.
func SignFile(t testing.TB, hash string, key, certificate, module []byte) []byte {
	t.Helper()
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	for name, data := range map[string][]byte{"key": key, "certificate": certificate, "module": module} {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := Tool(t, "/usr/lib/linux-kbuild-6.1/scripts/sign-file", hash, path("key"), path("certificate"), path("module"), path("signed"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sign-file: %v: %s", err, out)
	}
	signed, err := os.ReadFile(path("signed"))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Strip cuts the appended signature off a module; the module must have one.
func Strip(t testing.TB, module []byte) []byte {
	t.Helper()
	plain, err := strip(module)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// strip follows the kernel's kernel/module/signing.c: the module, the signature, twelve bytes that end with the signature's
// length in big endian, the marker.
func strip(module []byte) ([]byte, error) {
	const tail = 12
	rest, ok := bytes.CutSuffix(module, []byte("~Module signature appended~\n"))
	if !ok || len(rest) < tail {
		return nil, errors.New("the module has no appended signature")
	}
	length := uint64(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	rest = rest[:len(rest)-tail]
	if length > uint64(len(rest)) {
		return nil, errors.New("the signature is longer than the module")
	}
	return rest[:uint64(len(rest))-length], nil
}
