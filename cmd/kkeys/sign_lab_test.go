//go:build lab

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"kkeys/internal/lab"
	"kkeys/machine"
	"kkeys/modsig"
)

// TestLabSign takes a key from its making to a loaded module, with kkeys alone: generate, enroll, MokManager, sign, insmod with Secure Boot on.
func TestLabSign(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			algorithms := []string{"rsa4096", "rsa2048"}
			if kernel == lab.Kernel612 { // Debian's 6.1 has no ECDSA
				algorithms = append(algorithms, "p384", "p256")
			}
			dir, bare, content := t.TempDir(), lab.Strip(t, lab.Module(t, kernel, "dummy")), map[string][]byte{}
			var ders []string
			for _, algorithm := range algorithms {
				key, cert := filepath.Join(dir, algorithm+".priv"), filepath.Join(dir, algorithm+".x509")
				if got := runOn(t, nil, "generate", "--algorithm", algorithm, "--name", "lab: "+algorithm, "--key", key, "--cert", cert); got.code != exitYes {
					t.Fatalf("%s: exit code %d %s", algorithm, got.code, got.err)
				}
				for _, file := range []string{key, cert} {
					data, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					content[filepath.Base(file)] = data
				}
				ders = append(ders, "/srv/"+algorithm+".x509")
				content[algorithm+".ko"] = bare
			}
			content["crc64.ko.xz"], content["packed.ko.gz"], content["packed.ko.zst"] = xzed(t, bare, xz.CRC64), gzipped(t, bare), zstded(t, bare)
			m := lab.Machine{Kernel: kernel, Files: inGuest(t, content), Commands: []lab.Command{labStaging(append([]string{"enroll"}, ders...)...)}}
			staged := boots(t, m)
			expect(t, staged.Outputs[0], exitYes)

			load := func(file string) lab.Command {
				return lab.Shell(fmt.Sprintf("/tmp/insmod /srv/%s && rmmod dummy", file))
			}
			commands := []lab.Command{lab.Shell("ln -s /bin/kmod /tmp/insmod"), load("rsa4096.ko")}
			for _, algorithm := range algorithms {
				files := []string{"/srv/" + algorithm + ".ko"}
				if algorithm == "rsa4096" {
					files = append(files, "/srv/crc64.ko.xz", "/srv/packed.ko.gz", "/srv/packed.ko.zst")
				}
				key := []string{"sign", "--key", "/srv/" + algorithm + ".priv", "--cert", "/srv/" + algorithm + ".x509"}
				commands = append(commands, kkeys(append(key, files...)...), kkeys("trusted", "/srv/"+algorithm+".ko"), kkeys("verify", "/srv/"+algorithm+".ko"), load(algorithm+".ko"))
			}
			packed := len(commands)
			commands = append(commands, load("crc64.ko.xz"), load("packed.ko.zst"), kkeys("strip", "/srv/rsa4096.ko"), load("rsa4096.ko"))
			m.Variables, m.Firmware, m.Commands = staged.Variables, lab.Enroll(len(ders), password), commands
			run := boots(t, m)
			if run.Outputs[1].Code == 0 {
				t.Error("an unsigned module was loaded")
			}
			for i := range algorithms {
				out := run.Outputs[2+4*i:]
				expect(t, out[0], exitYes, "signed")
				expect(t, out[1], exitYes, "trusted, .machine")
				expect(t, out[2], exitYes, ": valid")
				expect(t, out[3], 0)
			}
			expect(t, run.Outputs[packed], 0)
			expect(t, run.Outputs[packed+1], 0)
			expect(t, run.Outputs[packed+2], exitYes, "1 signature taken off")
			if run.Outputs[packed+3].Code == 0 {
				t.Error("a stripped module was loaded")
			}
		})
	}
}

// TestLabVerifyAll computes the signatures of all modules of the lab's kernels, and of Debian's for every machine, with the certificates out of their
// own images. Any byte that is
// changed in what is signed, in the signature or behind it is noticed.
func TestLabVerifyAll(t *testing.T) {
	parts, err := lab.Find()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(parts.Folder, "root")
	m, err := machine.Directory(root)
	if err != nil {
		t.Fatal(err)
	}
	releases, err := filepath.Glob(root + "/lib/modules/*")
	if err != nil || len(releases) != 4 {
		t.Fatalf("%v, %v", releases, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, folder := range releases {
		release := filepath.Base(folder)
		document := decoded[verifyDocument](t, "verify", lab.Output{Stdout: []byte(runOn(t, m, "verify", "--all", "--kernel", release, "--json").out)})
		least := 4000
		if strings.HasSuffix(release, "-cloud-amd64") {
			least = 1000
		}
		if n := len(document.Modules); n < least || document.Summary["valid"] != n {
			t.Errorf("%s: %v of %d", release, document.Summary, n)
		}
		t.Logf("%s: %d modules", release, len(document.Modules))
		found, _ := m.CertificatesOf(release, nil)
		v := &verifiers{session: &session{machine: m}, release: release, ofKernel: true, lacks: map[string]error{}}
		v.use(found)
		for range 6 {
			file := document.Modules[r.IntN(len(document.Modules))].Path
			packed, err := os.ReadFile(filepath.Join(root, file))
			if err != nil {
				t.Fatal(err)
			}
			unpacked, err := modsig.Unpack(packed, modsig.MaxModule)
			if err != nil {
				t.Fatal(err)
			}
			module := bytes.Clone(unpacked.Module)
			payload, _, err := modsig.Split(module)
			if err != nil {
				t.Fatal(err)
			}
			places := []int{0, len(payload) - 1}
			for range 20 {
				places = append(places, r.IntN(len(payload)))
			}
			for at := len(payload); at < len(module); at += 1 + r.IntN(7) {
				places = append(places, at)
			}
			for _, at := range append(places, len(module)-1) {
				module[at] ^= 1 << r.IntN(8)
				d := verifiedDocument{Path: file}
				d.judge(d.read(module, nil, new(buffers)), v)
				if d.Result == "valid" || d.Result == "" {
					t.Errorf("%s: byte %d of %d, of which %d are signed, was changed, and it is valid", file, at, len(module), len(payload))
				}
				copy(module[at:], unpacked.Module[at:at+1])
			}
		}
	}
}
