package machine

import (
	"bytes"
	"crypto"
	"testing"

	"kkeys/internal/certtest"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

// What shim starts is found beside it and in /boot, with who signed it, and decides what may be blocked.
func TestStarted(t *testing.T) {
	ca := certtest.SelfSignedWith(t, "CA", certtest.RSA(2048, 21))
	leaf := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("leaf")}, Signer: ca, Key: certtest.RSA(2048, 22), SKID: []byte{2}})
	own, other := certtest.SelfSignedWith(t, "own", certtest.RSA(2048, 23)), certtest.SelfSignedWith(t, "CA", certtest.RSA(2048, 24))
	made := machinetest.Installed(t)
	image := machinetest.Image(0x8664, machinetest.Section{Name: ".text", Content: []byte("grub")})
	made.ESP(`\EFI\debian\grubx64.efi`, machinetest.SignedBy(image, leaf.DER))
	made.ESP(`\EFI\debian\FBX64.EFI`, []byte("no program"))
	made.ESP(`\EFI\debian\notes.txt`, []byte("no program either"))
	made.Write("proc/sys/kernel/osrelease", "6.1.0-1-amd64\n")
	made.Write("boot/vmlinuz-6.1.0-1-amd64", string(machinetest.SignedBy(machinetest.Image(0x8664, machinetest.Section{Name: ".text", Content: []byte("linux")}), own.DER)))
	m := in(t, made)
	chain, _ := m.NextBoot()
	programs, unseen := m.Started(chain)
	if len(unseen) != 1 || unseen[0].Source != "/boot/efi/EFI/debian/FBX64.EFI" {
		t.Errorf("unseen: %v", unseen)
	}
	signers := map[string][][]byte{}
	for _, p := range programs {
		signers[p.Path] = p.Signers
		if p.Path == "/boot/efi/EFI/debian/grubx64.efi" && !bytes.Equal(p.Digest, machinetest.Digest(image, crypto.SHA256)) {
			t.Errorf("%s has the digest %x", p.Path, p.Digest)
		}
	}
	if len(programs) != 3 || len(signers["/boot/efi/EFI/debian/grubx64.efi"]) != 1 || len(signers["/boot/vmlinuz-6.1.0-1-amd64"]) != 1 || len(signers["/boot/efi/EFI/debian/mmx64.efi"]) != 0 {
		t.Errorf("%d programs, signed by %v", len(programs), signers)
	}

	chain.Programs = programs
	facts := mok.ReadFacts(m.Variables, m.Files, chain, mok.Vendor{})
	for why, c := range map[string]struct {
		wish    mok.Wish
		refused bool
	}{
		"the signer of the loader":      {mok.Wish{Kind: mok.Block, Certificates: [][]byte{leaf.DER}}, true},
		"the issuer of that":            {mok.Wish{Kind: mok.Block, Certificates: [][]byte{ca.DER}}, true},
		"another of the issuer's name":  {mok.Wish{Kind: mok.Block, Certificates: [][]byte{other.DER}}, false},
		"the signer of the kernel":      {mok.Wish{Kind: mok.Block, Certificates: [][]byte{own.DER}}, true},
		"the hash of the loader":        {mok.Wish{Kind: mok.Block, Hashes: [][]byte{machinetest.Digest(image, crypto.SHA256)}}, true},
		"another hash":                  {mok.Wish{Kind: mok.Block, Hashes: [][]byte{bytes.Repeat([]byte{1}, 32)}}, false},
		"enrolling what signs a kernel": {mok.Wish{Kind: mok.Enroll, Certificates: [][]byte{own.DER}}, false},
	} {
		if err := facts.Preflight(c.wish); (err != nil) != c.refused {
			t.Errorf("%s: %v", why, err)
		}
	}
}
