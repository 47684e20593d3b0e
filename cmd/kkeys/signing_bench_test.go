//go:build lab

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mikelolasagasti/xz"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// built is the program itself.
func built(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "kkeys")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return program
}

// timed runs a command line of the shell and tells how long it took, and the largest memory of it, or else of this process before, in MB.
func timed(b *testing.B, line string) (seconds, megabytes float64) {
	b.Helper()
	cmd := exec.Command("/bin/sh", "-c", "exec "+line)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	seconds = time.Since(start).Seconds()
	if err != nil {
		b.Fatalf("%s: %v\n%s", line, err, out)
	}
	return seconds, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
}

// openSSLRates are its RSA-4096 signatures and verifications in a second, of two processes.
func openSSLRates(b *testing.B) (signs, verifies float64) {
	b.Helper()
	out, err := exec.Command("openssl", "speed", "-seconds", "1", "-multi", "2", "rsa4096").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 7 {
		b.Fatalf("openssl speed: %v\n%s", err, out)
	}
	signs, serr := strconv.ParseFloat(fields[len(fields)-2], 64)
	verifies, verr := strconv.ParseFloat(fields[len(fields)-1], 64)
	if serr != nil || verr != nil {
		b.Fatalf("openssl speed: %s", out)
	}
	return signs, verifies
}

// debianKernel is the folder of the lab's packages, and the release of Debian's kernel for every machine that begins so.
func debianKernel(b *testing.B, begin string) (root, release string) {
	b.Helper()
	parts, err := lab.Find()
	if err != nil {
		b.Fatal(err)
	}
	root = filepath.Join(parts.Folder, "root")
	releases, err := filepath.Glob(filepath.Join(root, "lib/modules", begin+".*[0-9]-amd64"))
	if err != nil || len(releases) != 1 {
		b.Fatalf("%v, %v", releases, err)
	}
	return root, filepath.Base(releases[0])
}

// BenchmarkVerifyAll verifies all modules of a kernel. x-floor is the ratio to `openssl dgst` over the files and as many RSA verifications at
// openssl's rate, two processes each; x-cms that of a loop with `openssl cms -verify`, from 40 modules; MB is the largest memory.
func BenchmarkVerifyAll(b *testing.B) {
	program := built(b)
	root, release := debianKernel(b, "6.1")
	files := filepath.Join(b.TempDir(), "files")
	timed(b, fmt.Sprintf("sh -c 'find %s/lib/modules/%s -name \"*.ko\" > %s'", root, release, files))
	list, err := os.ReadFile(files)
	if err != nil {
		b.Fatal(err)
	}
	modules := strings.Fields(string(list))
	_, verifies := openSSLRates(b)
	dgst := fmt.Sprintf("sh -c 'xargs -P2 -n 512 openssl dgst -sha256 < %s > /dev/null'", files)
	timed(b, dgst) // fills the page cache
	var ours, floor, most float64
	for b.Loop() {
		seconds, memory := timed(b, fmt.Sprintf("%s --root %s verify --all --kernel %s", program, root, release))
		hashing, _ := timed(b, dgst)
		ours, floor, most = ours+seconds, floor+hashing+float64(len(modules))/verifies, max(most, memory)
	}
	cms := filepath.Join(b.TempDir(), "cms")
	var loop float64
	for _, module := range modules[:40] {
		data, err := os.ReadFile(module)
		if err != nil {
			b.Fatal(err)
		}
		payload, message := lab.Strip(b, data), filepath.Join(cms+".p7s")
		for name, content := range map[string][]byte{cms: payload, message: data[len(payload) : len(data)-40]} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		// Without the certificate it fails at the end, after all that takes time.
		_ = exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", message, "-content", cms, "-noverify", "-out", os.DevNull).Run()
		loop += time.Since(start).Seconds()
	}
	n := float64(b.N)
	b.ReportMetric(ours/floor, "x-floor")
	b.ReportMetric(ours/n/(loop/40*float64(len(modules))), "x-cms")
	b.ReportMetric(most, "MB")
}

// BenchmarkVerifyXZ verifies the .ko.xz of Debian's 6.12. x-library is the ratio to unpacking the same files, and no more, with the same library
// on all processors; x-xz that to `xz -dc` by two processes.
func BenchmarkVerifyXZ(b *testing.B) {
	program := built(b)
	root, release := debianKernel(b, "6.12")
	folder := filepath.Join(root, "lib/modules", release)
	var modules []string
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko.xz") {
			modules = append(modules, path)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	var ours, library, theirs, most float64
	for b.Loop() {
		seconds, memory := timed(b, fmt.Sprintf("%s --root %s verify --all --kernel %s", program, root, release))
		unpacking, _ := timed(b, fmt.Sprintf("sh -c 'find %s -name \"*.xz\" | xargs -P2 -n 50 xz -dc > /dev/null'", folder))
		ours, library, theirs, most = ours+seconds, library+unpackAll(b, modules), theirs+unpacking, max(most, memory)
	}
	b.ReportMetric(ours/library, "x-library")
	b.ReportMetric(ours/theirs, "x-xz")
	b.ReportMetric(most, "MB")
}

// unpackAll tells how many seconds it takes to unpack all these files.
func unpackAll(b *testing.B, files []string) float64 {
	b.Helper()
	start := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var reader *xz.Reader
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				data, err := os.ReadFile(files[i])
				switch {
				case err != nil:
				case reader == nil:
					reader, err = xz.NewReader(bytes.NewReader(data), xz.DefaultDictMax)
				default:
					err = reader.Reset(bytes.NewReader(data))
				}
				if err == nil {
					_, err = io.Copy(io.Discard, reader)
				}
				if err != nil {
					b.Error(files[i], err)
				}
			}
		})
	}
	workers.Wait()
	return time.Since(start).Seconds()
}

// signingPairIn makes an RSA-4096 key and its certificate, as the files key and cert.
func signingPairIn(b *testing.B, dir string) {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		b.Fatal(err)
	}
	signer := certtest.SelfSignedWith(b, "bench", key)
	for name, data := range map[string][]byte{"key": signer.KeyPEM(b), "cert": signer.DER} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSign signs 400 modules with RSA-4096. x-sign-file is the ratio to the kernel's tool with two processes, x-openssl that to as many
// signatures at openssl's rate.
func BenchmarkSign(b *testing.B) {
	program, dir := built(b), b.TempDir()
	signingPairIn(b, dir)
	bare := lab.Strip(b, lab.Module(b, lab.Kernel61, "dummy"))
	fresh := func() (names string) {
		var list bytes.Buffer
		for i := range 400 {
			name := filepath.Join(dir, fmt.Sprintf("m%d.ko", i))
			if err := os.WriteFile(name, bare, 0o600); err != nil {
				b.Fatal(err)
			}
			fmt.Fprintln(&list, name)
		}
		names = filepath.Join(dir, "names")
		if err := os.WriteFile(names, list.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
		return names
	}
	tool := strings.Join(lab.Tool(b, realSignFile).Args, " ")
	signs, _ := openSSLRates(b)
	var ours, theirs, most float64
	for b.Loop() {
		seconds, memory := timed(b, fmt.Sprintf("sh -c 'xargs %s sign --key %s/key --cert %s/cert < %s'", program, dir, dir, fresh()))
		real, _ := timed(b, fmt.Sprintf("sh -c 'xargs -P2 -n1 %s sha256 %s/key %s/cert < %s'", tool, dir, dir, fresh()))
		ours, theirs, most = ours+seconds, theirs+real, max(most, memory)
	}
	b.ReportMetric(ours/theirs, "x-sign-file")
	b.ReportMetric(ours/float64(b.N)/(400/signs), "x-openssl")
	b.ReportMetric(most, "MB")
}

// BenchmarkSignXZ signs the .ko.xz of Debian's 6.12 that are larger than 400 KiB, which takes the most memory. x-xz is the ratio to unpacking and packing
// them with xz, two processes; MB is the largest memory.
func BenchmarkSignXZ(b *testing.B) {
	program, dir := built(b), b.TempDir()
	signingPairIn(b, dir)
	root, release := debianKernel(b, "6.12")
	var ours, theirs, most float64
	for b.Loop() {
		modules := filepath.Join(b.TempDir(), "modules")
		timed(b, fmt.Sprintf("sh -c 'mkdir %s && find %s/lib/modules/%s -name \"*.ko.xz\" -size +400k -exec cp -t %s {} +'", modules, root, release, modules))
		unpacking, _ := timed(b, fmt.Sprintf("sh -c 'ls %s/* | xargs -P2 -n1 sh -c \"xz -dc \\$0 | xz --check=crc32 --lzma2=dict=1MiB > /dev/null\"'", modules))
		seconds, memory := timed(b, fmt.Sprintf("sh -c '%s sign --key %s/key --cert %s/cert %s/*'", program, dir, dir, modules))
		ours, theirs, most = ours+seconds, theirs+unpacking, max(most, memory)
	}
	b.ReportMetric(ours/theirs, "x-xz")
	b.ReportMetric(most, "MB")
}

// BenchmarkStart tells by how many milliseconds a start takes longer than that of /bin/true.
func BenchmarkStart(b *testing.B) {
	program := built(b)
	var extra [2]float64
	commands := []string{program + " --help", program + " show ../../testdata/certs/debian-ca.der"}
	for b.Loop() {
		nothing, _ := timed(b, "true")
		for i, command := range commands {
			seconds, _ := timed(b, command)
			extra[i] += seconds - nothing
		}
	}
	b.ReportMetric(1000*extra[0]/float64(b.N), "ms-help")
	b.ReportMetric(1000*extra[1]/float64(b.N), "ms-show")
}
