//go:build lab

package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/kernel"
	"kkeys/modsig"
)

// A real machine is recorded by root and by an ordinary user, while an enrolment waits; here, on another machine, the snapshots answer
// as kkeys did there.
func TestLabSnapshot(t *testing.T) {
	t.Parallel()
	mine, foreign := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 21)), certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 22))
	dir := t.TempDir()
	subjects := map[string][]byte{"mine.der": mine.DER, "foreign.der": foreign.DER}
	for _, name := range []string{"debian-ca.der", "microsoft-uefi-ca-2011.der"} {
		der, err := os.ReadFile(filepath.Join("../../testdata/certs", name))
		if err != nil {
			t.Fatal(err)
		}
		subjects[name] = der
	}
	subjects["signed.ko"] = signedPayload(t, foreign)
	for name, der := range subjects {
		if err := os.WriteFile(filepath.Join(dir, name), der, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := inGuest(t, subjects)
	files["/var/lib/dkms/mok.pub"] = lab.File{Data: foreign.DER, Mode: 0o644}
	files["/var/lib/dkms/mok.key"] = lab.File{Data: foreign.KeyPEM(t), Mode: 0o600}
	files["/etc/hostname"] = lab.File{Data: []byte("secrethost\n"), Mode: 0o644}

	questions := []string{
		"list", "list --json --blacklist", "status", "status --json", "pending", "pending --json",
		"trusted --json /srv/debian-ca.der", "trusted --json /srv/microsoft-uefi-ca-2011.der", "trusted --json /srv/foreign.der", "trusted /srv/debian-ca.der",
	}
	user := func(c lab.Command) lab.Command { c.UID = nobody; return c }
	commands := []lab.Command{
		kkeys("enroll", "/srv/mine.der", "--password-file", "/srv/password"),
		kkeys("snapshot", "--prove", "/root/machine.kks", "--json"),
		lab.Shell("cat /root/machine.kks"),
		user(kkeys("snapshot", "/tmp/user.kks")),
		lab.Shell("cat /tmp/user.kks"),
		lab.Shell("tail -c +5 /sys/firmware/efi/efivars/MokAuth-*; ls -ln /root/machine.kks >&2; ls -a /root /tmp >&2"),
	}
	first := len(commands)
	for _, q := range questions {
		commands = append(commands, kkeys(strings.Fields(q)...), user(kkeys(strings.Fields(q)...)))
	}
	// What only root can ask.
	proofs := []string{
		"trusted --prove --json /srv/debian-ca.der /srv/foreign.der", "trusted --prove /srv/microsoft-uefi-ca-2011.der", "trusted --prove --json /srv/signed.ko", "status --prove --json",
	}
	proven := len(commands)
	for _, q := range proofs {
		commands = append(commands, kkeys(strings.Fields(q)...))
	}
	run := boots(t, lab.Machine{Kernel: lab.Kernel61, Files: files, Commands: commands})
	expect(t, run.Outputs[0], exitYes)
	expect(t, run.Outputs[1], exitYes)
	document := decoded[snapshotDocument](t, "snapshot", run.Outputs[1])
	if document.Keyrings < 5 || document.Inquiries < 4 || document.Release == nil || document.Probed == nil || *document.Probed < 8 {
		t.Errorf("recorded: %d keyrings, %d inquiries, release %v, probed %v", document.Keyrings, document.Inquiries, document.Release, document.Probed)
	}
	for _, n := range document.NotSeen {
		t.Logf("not seen by root: %s: %s", n.Source, n.Reason)
	}
	expect(t, run.Outputs[3], exitUnsure, "root only")
	if listing := string(run.Outputs[5].Stderr); !strings.HasPrefix(listing, "-rw-------") || strings.Contains(listing, ".kkeys-") {
		t.Errorf("files left: %s", listing)
	}

	byRoot, byUser := filepath.Join(dir, "machine.kks"), filepath.Join(dir, "user.kks")
	for path, out := range map[string]lab.Output{byRoot: run.Outputs[2], byUser: run.Outputs[4]} {
		if err := os.WriteFile(path, out.Stdout, 0o600); err != nil {
			t.Fatal(err)
		}
		plain := unpacked(t, out.Stdout)
		t.Logf("%s: %d bytes, unpacked %d", filepath.Base(path), len(out.Stdout), len(plain))
		auth := run.Outputs[5].Stdout
		if len(auth) != 172 {
			t.Fatalf("MokAuth has %d bytes", len(auth))
		}
		for what, secret := range map[string][]byte{
			"password": []byte(password), "hash": auth[44:108], "salt": auth[12:28], "host name": []byte("secrethost"), "private key": []byte("PRIVATE KEY"),
		} {
			if bytes.Contains(plain, secret) {
				t.Errorf("%s holds the %s", path, what)
			}
		}
	}
	asThere := func(q, path string, want lab.Output) {
		got := runOn(t, nil, append([]string{"--snapshot", path}, strings.Fields(strings.ReplaceAll(q, "/srv", dir))...)...)
		same := strings.NewReplacer("--snapshot "+path+" ", "", dir, "/srv", "fix (on that machine): ", "fix: ")
		if got.code != want.Code || same.Replace(got.out) != withoutRoot(string(want.Stdout)) || same.Replace(got.err) != withoutRoot(string(want.Stderr)) {
			t.Errorf("%s on %s: exit code %d\n%s%s\nin the guest: exit code %d\n%s%s", q, filepath.Base(path), got.code, got.out, got.err, want.Code, want.Stdout, want.Stderr)
		}
	}
	for i, q := range questions {
		for j, path := range []string{byRoot, byUser} {
			asThere(q, path, run.Outputs[first+2*i+j])
		}
	}
	for i, q := range proofs {
		asThere(q, byRoot, run.Outputs[proven+i])
	}
	// The answers are worth comparing.
	expect(t, run.Outputs[first+2*6], exitYes, `"verdict": "trusted"`)
	expect(t, run.Outputs[first+2*8], exitNo, `"verdict": "untrusted"`)
	expect(t, run.Outputs[proven], exitNo, "keyless EKEYREJECTED, keyless-skid EKEYREJECTED", "keyless EKEYREJECTED (unavailable key), keyless-skid EKEYREJECTED (unavailable key)")
	expect(t, run.Outputs[proven+2], exitNo, "keyless EKEYREJECTED (unavailable key)")
}

// signedPayload is a module of the kind that can never load, with a signature of the key.
func signedPayload(t *testing.T, signer *certtest.Cert) []byte {
	t.Helper()
	payload, err := kernel.NewPayload(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.ParseDER(signer.DER)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := modsig.Sign(payload.Bytes(), signer.Key, c, "sha256", false)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func unpacked(t *testing.T, data []byte) []byte {
	t.Helper()
	reader, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	plain, err := reader.DecodeAll(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
