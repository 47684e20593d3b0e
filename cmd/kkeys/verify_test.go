package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/fstest"

	"kkeys/internal/certtest"
	"kkeys/machine"
)

// TestVerifyCertificates: what is told of the image's certificates does not depend on how far the search had come when the modules were read.
func TestVerifyCertificates(t *testing.T) {
	first, signer, other := certtest.SelfSignedWith(t, "lab: first", certtest.RSA(2048, 61)), certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)), certtest.SelfSignedWith(t, "lab: other", certtest.RSA(2048, 62))
	head := make([]byte, 64)
	copy(head[56:], "ARM\x64")
	const release = "6.1.0-1"
	files := fstest.MapFS{"boot/vmlinuz-" + release: {Data: bytes.Join([][]byte{head, first.DER, signer.DER, make([]byte, 4<<20), other.DER}, nil)}}
	b := bench{t, "6.1-enrolled"}
	for modules, want := range []int{1, 2, 2, 3} { // none signed; one; two; and one by another
		if modules > 0 {
			spec := signer.Spec
			if modules == 3 {
				spec = other.Spec
			}
			files[fmt.Sprintf("lib/modules/%s/kernel/m%d.ko", release, modules)] = &fstest.MapFile{Data: b.signed(b.plain(), spec, "sha256")}
		} else {
			files["lib/modules/"+release+"/kernel/unsigned.ko"] = &fstest.MapFile{Data: b.plain()}
		}
		for _, processors := range []int{1, 2, 2, 2, 4} {
			before := runtime.GOMAXPROCS(processors)
			got := runOn(t, &machine.Machine{Files: files, Variables: noVariables{}}, "verify", "--all", "--kernel", release, "--json")
			runtime.GOMAXPROCS(before)
			var document verifyDocument
			if err := json.Unmarshal([]byte(got.out), &document); err != nil || document.Summary["valid"] != modules || len(document.Certificates) != want {
				t.Errorf("%d modules, %d processors: %d certificates, %v %v\n%s", modules, processors, len(document.Certificates), document.Summary, err, got.err)
			}
		}
	}
}

// TestVerifyCutImage: the kernel's image, cut behind the certificate that all modules are signed with, is enough, whichever of the two is read first; with
// one processor too neither waits for the other.
func TestVerifyCutImage(t *testing.T) {
	signer := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60))
	code := make([]byte, 3<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range code {
		code[i] = byte(random.Uint32())
	}
	var image bytes.Buffer
	w := gzip.NewWriter(&image)
	if _, err := w.Write(bytes.Join([][]byte{code[:5000], signer.DER, code}, nil)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	const release = "6.1.0-1"
	files := fstest.MapFS{"boot/vmlinuz-" + release: {Data: image.Bytes()[:image.Len()-8]}}
	b := bench{t, "6.1-enrolled"}
	module := b.signed(b.plain(), signer.Spec, "sha256")
	for _, modules := range []int{1, 500} {
		for i := range modules {
			files[fmt.Sprintf("lib/modules/%s/kernel/m%d.ko", release, i)] = &fstest.MapFile{Data: module}
		}
		for _, processors := range []int{1, 2, 4} {
			before := runtime.GOMAXPROCS(processors)
			got := runOn(t, &machine.Machine{Files: files, Variables: noVariables{}}, "verify", "--all", "--kernel", release, "--json")
			runtime.GOMAXPROCS(before)
			var document verifyDocument
			if err := json.Unmarshal([]byte(got.out), &document); err != nil || got.code != exitYes || document.Summary["valid"] != modules {
				t.Errorf("%d modules, %d processors: exit code %d, %v\n%s", modules, processors, got.code, document.Summary, got.err)
			}
		}
	}
}
