package modsig_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"kkeys/modsig"
)

// TestUnpack reads what xz, zstd and gzip wrote.
func TestUnpack(t *testing.T) {
	module := read(t, "rsa-sha256.ko")
	packed := map[string]string{"rsa-sha256.ko": "none", "rsa-sha256.gz": "gzip", "rsa-sha256.zst": "zstd"}
	for _, kind := range []string{"none", "crc32", "crc64", "sha256"} {
		packed["rsa-sha256."+kind+".xz"] = "xz " + kind
	}
	for _, kind := range []string{"kernel", "blocks", "threads"} {
		packed["rsa-sha256."+kind+".xz"] = "xz crc32"
	}
	for file, want := range packed {
		t.Run(file, func(t *testing.T) {
			data := read(t, file)
			u, err := modsig.Unpack(data, len(module))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(u.Packing.String() + " " + u.Check); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if !bytes.Equal(u.Module, module) || len(u.Trailing) > 0 || u.SignedOutside() {
				t.Errorf("%d bytes and %d after them", len(u.Module), len(u.Trailing))
			}
			if want == "none" {
				return
			}
			unpackOdd(t, data, module)
		})
	}
}

// TestUnpackInto: memory that is used again holds nothing of what was in it, is taken where it is large enough, and only there.
func TestUnpackInto(t *testing.T) {
	module := read(t, "rsa-sha256.ko")
	for _, file := range []string{"rsa-sha256.ko", "rsa-sha256.gz", "rsa-sha256.zst", "rsa-sha256.crc32.xz", "rsa-sha256.blocks.xz"} {
		for _, size := range []int{0, len(module) - 1, len(module), 3 * len(module)} {
			buffer := bytes.Repeat([]byte{0xa5}, size)
			u, err := modsig.UnpackInto(buffer, read(t, file), len(module))
			if err != nil || !bytes.Equal(u.Module, module) {
				t.Errorf("%s into %d bytes: %v", file, size, err)
			}
			taken := size > 0 && bytes.Count(buffer, []byte{0xa5}) < size
			if tells := strings.HasSuffix(file, ".xz") || strings.HasSuffix(file, ".zst"); taken != (tells && size >= len(module)) {
				t.Errorf("%s: the memory of %d bytes was taken: %v", file, size, taken)
			}
		}
	}
}

// unpackOdd unpacks the same file cut short, continued, and with too low a limit.
func unpackOdd(t *testing.T, data, module []byte) {
	if _, err := modsig.Unpack(data, len(module)-1); err == nil || name(t, err) != "too large" {
		t.Errorf("beyond the limit: %v", err)
	}
	for i := 6; i < len(data); i++ { // below that no packing can be told
		if _, err := modsig.Unpack(data[:i], 1<<20); err == nil || name(t, err) != "damaged" {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for after, signed := range map[string]bool{"\n": false, "garbage": false, string(data): false, trailer("cms", pkcs7, 3): true} {
		u, err := modsig.Unpack(append(bytes.Clone(data), after...), len(module))
		if err != nil || string(u.Trailing) != after || !bytes.Equal(u.Module, module) || u.SignedOutside() != signed {
			t.Errorf("%d bytes appended: %v", len(after), err)
		}
	}
}

// Whatever is changed, the result is the module or an error. xz without check, and the last block's size in gzip
// and zstd without check, could not tell; the recorded files have checks.
func TestUnpackFlipped(t *testing.T) {
	module := read(t, "rsa-sha256.ko")
	for _, file := range []string{"rsa-sha256.crc32.xz", "rsa-sha256.blocks.xz", "rsa-sha256.zst", "rsa-sha256.gz"} {
		data := read(t, file)
		for bit := 6 * 8; bit < len(data)*8; bit += 3 {
			data[bit/8] ^= 1 << (bit % 8)
			if u, err := modsig.Unpack(data, 1<<20); err == nil && !bytes.Equal(u.Module, module) {
				t.Errorf("%s: bit %d gives another module", file, bit)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// A header may ask for gigabytes.
func TestUnpackMemory(t *testing.T) {
	hungry := read(t, "rsa-sha256.crc32.xz")
	header := hungry[12:24] // size, flags, 0x21, 1, dictionary, padding, CRC-32
	header[4] = 40
	binary.LittleEndian.PutUint32(header[8:], crc32.ChecksumIEEE(header[:8]))
	// Many blocks of one byte, each with a dictionary that is just allowed.
	block := bytes.Clone(hungry[12:24])
	block[4] = 28 // 64 MiB
	binary.LittleEndian.PutUint32(block[8:], crc32.ChecksumIEEE(block[:8]))
	many := append(bytes.Clone(hungry[:12]), bytes.Repeat(append(block, 1, 0, 0, 'x', 0, 0, 0, 0, 1, 2, 3, 4), 10000)...)
	for what, data := range map[string][]byte{
		"xz dictionary of 4 GiB": hungry,
		"10000 xz dictionaries":  many,
		"zstd window of 2 GiB":   read(t, "rsa-sha256.window.zst"),
		"zstd content of 2^60":   append([]byte("\x28\xb5\x2f\xfd\xe0"), 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0),
	} {
		if _, err := modsig.Unpack(data, 1<<20); err == nil || name(t, err) != "too large" {
			t.Errorf("%s: %v", what, err)
		}
	}
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	w.Write(make([]byte, 50<<20))
	w.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := modsig.Unpack(bomb.Bytes(), 1<<20); err == nil || name(t, err) != "too large" {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 10<<20 {
		t.Errorf("%d bytes allocated for a module of at most 1 MiB", allocated)
	}
}

func TestUnpackUnknown(t *testing.T) {
	for what, data := range map[string][]byte{
		"filter of x86 code": read(t, "rsa-sha256.x86.xz"),
		"xz check 2":         []byte("\xfd7zXZ\x00\x00\x02\x00\x00\x00\x00"),
		"zstd dictionary":    append([]byte("\x28\xb5\x2f\xfd\x21"), 7, 1, 9, 0, 0, 'x'),
		"zstd block type":    append([]byte("\x28\xb5\x2f\xfd\x20"), 1, 0xf, 0, 0, 'x'),
	} {
		want := "damaged"
		if what == "filter of x86 code" {
			want = "filter"
		}
		if _, err := modsig.Unpack(data, 1<<20); err == nil || name(t, err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if u, err := modsig.Unpack(nil, 0); err != nil || len(u.Module) > 0 || u.Packing != modsig.Plain {
		t.Error(err)
	}
}

// TestUnpackLibraries reads larger streams, of several blocks and chunks, that Go's libraries write.
func TestUnpackLibraries(t *testing.T) {
	module := make([]byte, 3<<20)
	for i := range module {
		module[i] = byte(i * i >> (i % 13))
	}
	var x, z bytes.Buffer
	xw, err := xz.WriterConfig{BlockSize: 1 << 20, CheckSum: xz.CRC32}.NewWriter(&x)
	if err != nil {
		t.Fatal(err)
	}
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{xw, zw} {
		if _, err := w.Write(module); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, packed := range [][]byte{x.Bytes(), z.Bytes()} {
		u, err := modsig.Unpack(append(packed, "tail"...), modsig.MaxModule)
		if err != nil || !bytes.Equal(u.Module, module) || string(u.Trailing) != "tail" {
			t.Error(err)
		}
	}
}

// FuzzUnpack: never more than the limit, never a module beside an error, and the stream alone gives the same.
func FuzzUnpack(f *testing.F) {
	files, err := filepath.Glob("testdata/rsa-sha256.*")
	if err != nil || len(files) < 10 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	for _, file := range files {
		data := read(f, filepath.Base(file))
		f.Add(data)
		f.Add(append(data, "and more"...))
	}
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := modsig.Unpack(data, limit)
		if err != nil {
			if u != nil {
				t.Fatal("a module beside an error")
			}
			name(t, err)
			return
		}
		if u.Packing == modsig.Plain {
			return
		}
		if len(u.Module) > limit || !bytes.HasSuffix(data, u.Trailing) {
			t.Fatalf("%d bytes, %d after them", len(u.Module), len(u.Trailing))
		}
		again, err := modsig.Unpack(data[:len(data)-len(u.Trailing)], limit)
		if err != nil || !bytes.Equal(again.Module, u.Module) || len(again.Trailing) > 0 {
			t.Fatalf("the stream alone: %v", err)
		}
	})
}
