package modsig_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kkeys/modsig"
)

var packings = []modsig.Packing{modsig.Plain, modsig.Gzip, modsig.XZ, modsig.Zstd}

// suffix is the end of the file's name that each tool wants.
var suffix = map[modsig.Packing]string{modsig.Gzip: ".gz", modsig.XZ: ".xz", modsig.Zstd: ".zst"}

// contents are modules of odd sizes: empty, below and above the sizes at which the encoders change their ways.
func contents(t testing.TB) map[string][]byte {
	random := rand.NewChaCha8([32]byte{1})
	made := map[string][]byte{"recorded": read(t, "rsa-sha256.ko")}
	for _, size := range []int{0, 1, 255, 256, 1024, 4096, 1 << 20, 5 << 20, 9 << 20} {
		text := bytes.Repeat([]byte("a line of a module that says little; "), size/37+1)[:size]
		for i := 0; i < size; i += 4001 {
			text[i] = byte(i / 4001)
		}
		made[fmt.Sprint("text ", size)] = text
		if size <= 5<<20 { // above that only the window of zstd matters
			noise := make([]byte, size)
			random.Read(noise)
			made[fmt.Sprint("noise ", size)] = noise
		}
	}
	return made
}

// TestPack: what is packed unpacks to the same, is made the same again, and pleases the tools.
func TestPack(t *testing.T) {
	for what, module := range contents(t) {
		for _, how := range packings {
			if how == modsig.XZ && len(module) > 5<<20 {
				continue // slow, and the same as 5 MiB
			}
			t.Run(what+"/"+how.String(), func(t *testing.T) {
				t.Parallel()
				packed, err := modsig.Pack(module, how)
				if err != nil {
					t.Fatal(err)
				}
				if len(module) <= 1<<20 || how == modsig.Zstd { // noise takes xz long
					if again, err := modsig.Pack(module, how); err != nil || !bytes.Equal(again, packed) {
						t.Errorf("not the same bytes again: %v", err)
					}
				}
				u, err := modsig.Unpack(packed, len(module))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(u.Module, module) || u.Packing != how || len(u.Trailing) > 0 {
					t.Errorf("%v, %d bytes and %d after them", u.Packing, len(u.Module), len(u.Trailing))
				}
				if strings.HasPrefix(what, "text") && len(module) >= 1024 && how != modsig.Plain && len(packed) > len(module)/4 {
					t.Errorf("%d bytes became %d", len(module), len(packed))
				}
				narrow(t, packed, module, how)
				if how != modsig.Plain {
					tools(t, packed, module, how)
				}
			})
		}
	}
}

// narrow looks at the headers for what the kernel's decompressors refuse.
func narrow(t *testing.T, packed, module []byte, how modsig.Packing) {
	switch how {
	case modsig.Gzip: // deflate, no flags, no time
		if want := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0}; !bytes.HasPrefix(packed, want) {
			t.Errorf("gzip header %x", packed[:10])
		}
	case modsig.XZ: // check 1 is CRC32; one filter, LZMA2, whose dictionary of 1 MiB is written 16
		if check := packed[6:8]; !bytes.Equal(check, []byte{0, 1}) {
			t.Errorf("xz check %x", check)
		}
		if block := packed[13:17]; !bytes.Equal(block, []byte{0, 0x21, 1, 16}) {
			t.Errorf("xz block header %x", block)
		}
	case modsig.Zstd:
		var header zstd.Header
		if err := header.Decode(packed); err != nil {
			t.Fatal(err)
		}
		if !header.HasFCS || header.FrameContentSize != uint64(len(module)) {
			t.Errorf("zstd says %d bytes, known: %t", header.FrameContentSize, header.HasFCS)
		}
		if header.WindowSize > 8<<20 || header.SingleSegment && len(module) > 8<<20 || header.DictionaryID != 0 {
			t.Errorf("zstd window %d, single segment %t, dictionary %d", header.WindowSize, header.SingleSegment, header.DictionaryID)
		}
		if header.HasCheckSum != (len(module) > 0) {
			t.Errorf("zstd checksum %t", header.HasCheckSum)
		}
	}
}

// tools are the second opinion: gzip, xz, zstd, where they are installed.
func tools(t *testing.T, packed, module []byte, how modsig.Packing) {
	tool, err := exec.LookPath(how.String())
	if err != nil {
		t.Logf("no second opinion: %v", err)
		return
	}
	file := filepath.Join(t.TempDir(), "module.ko"+suffix[how])
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		t.Helper()
		out, err := exec.Command(tool, append(arguments, file)...).Output()
		if err != nil {
			t.Errorf("%s %v: %v", how, arguments, err)
		}
		return string(out)
	}
	run("-t", "-q")
	if out := run("-d", "-c", "-q"); out != string(module) {
		t.Errorf("%v unpacks %d bytes of %d", how, len(out), len(module))
	}
	switch how {
	case modsig.XZ:
		// file, streams, blocks, packed, unpacked, ratio, check, padding
		if fields := strings.Split(strings.Split(run("--robot", "--list"), "\n")[1], "\t"); fields[1] != "1" || fields[6] != "CRC32" {
			t.Errorf("xz --list: %q", fields)
		}
		if out := run("--robot", "-lvv"); !strings.Contains(out, "--lzma2=dict=1MiB") {
			t.Errorf("xz -lvv: %s", out)
		}
	case modsig.Zstd:
		if out := run("-l", "-v"); !strings.Contains(out, fmt.Sprintf("(%d B)", len(module))) {
			t.Errorf("zstd -lv: %s", out)
		}
	}
}

func TestPackUnknown(t *testing.T) {
	for _, how := range []modsig.Packing{-1, 4} {
		if packed, err := modsig.Pack([]byte("x"), how); !errors.Is(err, modsig.ErrPacking) || packed != nil {
			t.Errorf("%d: %q, %v", int(how), packed, err)
		}
	}
}

// FuzzPack: every module comes back.
func FuzzPack(f *testing.F) {
	seeds := [][]byte{nil, {0}, read(f, "rsa-sha256.ko"), bytes.Repeat([]byte("kkeys"), 1000)}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		for _, how := range packings[1:] {
			packed, err := modsig.Pack(module, how)
			if err != nil {
				t.Fatal(err)
			}
			u, err := modsig.Unpack(packed, len(module))
			if err != nil || !bytes.Equal(u.Module, module) || u.Packing != how || len(u.Trailing) > 0 {
				t.Fatalf("%v: %v", how, err)
			}
		}
	})
}
