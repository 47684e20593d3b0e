package certs_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"kkeys/certs"
)

// x86Like is what looks to xz's filter like x86 code with many calls close together, and the same every time.
func x86Like(size int) []byte {
	alphabet := []byte{0xe8, 0xe9, 0, 0xff, 1, 0x30, 0x82, 0x7f, 0x80, 0xfe}
	random := rand.New(rand.NewPCG(1, 2))
	code := make([]byte, size)
	for i := range code {
		code[i] = alphabet[random.IntN(len(alphabet))]
	}
	return code
}

// vmlinux is a small kernel: code, three certificates of which the last is the first again, code.
func vmlinux(t testing.TB) (kernel []byte, want [][]byte) {
	all := fixtures(t)
	want = [][]byte{all["debian-ca.der"], all["odd-p521.der"]}
	code := x86Like(6000)
	return join(code[:3000], want[0], want[1], []byte{0x30, 0x82}, want[0], code[3000:]), want
}

// closed gives what a packer wrote.
func closed(t testing.TB, w io.WriteCloser, err error, b *bytes.Buffer, data []byte) []byte {
	t.Helper()
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packings are the ways of packing, in the words of the kernel's build.
var packings = map[string]func(testing.TB, []byte) []byte{
	"gzip": func(t testing.TB, data []byte) []byte {
		var b bytes.Buffer
		return closed(t, gzip.NewWriter(&b), nil, &b, data)
	},
	"xz": func(t testing.TB, data []byte) []byte {
		var b bytes.Buffer
		w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&b)
		return closed(t, w, err, &b, data)
	},
	"zstd": func(t testing.TB, data []byte) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		return closed(t, w, err, &b, data)
	},
	"lz4": func(t testing.TB, data []byte) []byte {
		var b bytes.Buffer
		w := lz4.NewWriter(&b)
		return closed(t, w, w.Apply(lz4.LegacyOption(true)), &b, data)
	},
}

// sized appends the unpacked size, as the build does for all but gzip.
func sized(packing string, packed []byte, size int) []byte {
	if packing == "gzip" {
		return packed
	}
	return binary.LittleEndian.AppendUint32(bytes.Clone(packed), uint32(size))
}

// bzImage is the least that is one.
func bzImage(payload []byte) []byte {
	const setup, code, offset = 2, 3 * 512, 100
	b := make([]byte, code+offset)
	copy(b, "MZ")
	b[0x1f1] = setup
	copy(b[0x1fe:], "\x55\xaa")
	copy(b[0x202:], "HdrS\x0f\x02")
	binary.LittleEndian.PutUint32(b[0x248:], offset)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)))
	return join(b, payload, []byte("what follows"))
}

// zboot is the least that is an EFI zboot image.
func zboot(payload []byte) []byte {
	b := make([]byte, 256)
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[8:], 256)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(payload)))
	return join(b, payload, []byte("what follows"))
}

// elf is a program with one loaded part, the content, and something after it.
func elf(class, data byte, content []byte) []byte {
	var order binary.ByteOrder = binary.LittleEndian
	if data == 2 {
		order = binary.BigEndian
	}
	b := make([]byte, 200)
	copy(b, "\x7fELF")
	b[4], b[5] = class, data
	if class == 2 {
		order.PutUint64(b[32:], 64)
		order.PutUint16(b[54:], 56)
		order.PutUint16(b[56:], 2)
		order.PutUint32(b[64+56:], 1)
		order.PutUint64(b[64+56+8:], 200)
		order.PutUint64(b[64+56+32:], uint64(len(content)))
	} else {
		order.PutUint32(b[28:], 64)
		order.PutUint16(b[42:], 32)
		order.PutUint16(b[44:], 2)
		order.PutUint32(b[64+32:], 1)
		order.PutUint32(b[64+32+4:], 200)
		order.PutUint32(b[64+32+16:], uint32(len(content)))
	}
	return append(b, content...)
}

// flat is an arm64 Image.
func flat(content []byte) []byte {
	b := make([]byte, 64)
	copy(b[56:], "ARM\x64")
	return append(b, content...)
}

// x86XZ is vmlinux packed by xz itself with the filter for x86 code.
func x86XZ(t testing.TB) []byte {
	data, err := os.ReadFile("../testdata/images/x86.xz")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// images are small kernels of every kind, all with the certificates of vmlinux.
func images(t testing.TB) map[string][]byte {
	kernel, _ := vmlinux(t)
	all := imagesOf(t, kernel)
	all["bzImage, xz with x86 filter"] = bzImage(sized("xz", x86XZ(t), len(kernel)))
	return all
}

func imagesOf(t testing.TB, kernel []byte) map[string][]byte {
	debug := fixtures(t)["microsoft-uefi-ca-2023.der"] // beyond what is loaded
	all := map[string][]byte{
		"vmlinux":               join(elf(2, 1, kernel), debug),
		"vmlinux, big-endian":   join(elf(2, 2, kernel), debug),
		"vmlinux, 32 bits":      join(elf(1, 1, kernel), debug),
		"vmlinux, 32 bits, big": join(elf(1, 2, kernel), debug),
		"Image":                 flat(kernel),
	}
	for name, pack := range packings {
		packed := pack(t, kernel)
		all["bzImage, "+name] = bzImage(sized(name, packed, len(kernel)))
		all["zboot, "+name] = zboot(packed)
		all["Image."+name] = pack(t, flat(kernel))
	}
	return all
}

func checkFound(t *testing.T, found []*certs.Certificate, err error, want [][]byte) {
	t.Helper()
	if err != nil || len(found) != len(want) {
		t.Fatalf("%d certificates instead of %d: %v", len(found), len(want), err)
	}
	for i, c := range found {
		if !bytes.Equal(c.Raw, want[i]) {
			t.Errorf("number %d is %s", i, c.KernelName())
		}
	}
}

// TestSearchImageUntil: what comes after enough is not looked at, and damage there is none where what comes before it is enough.
func TestSearchImageUntil(t *testing.T) {
	kernel, want := vmlinux(t)
	image := packings["gzip"](t, append(kernel, x86Like(3<<20)...)) // the damage is far behind
	for _, c := range []struct {
		why    string
		image  []byte
		enough int  // certificates; asked while there is more to come, and when there is not
		late   bool // nothing is enough while there is more to come
		found  int  // -1: an error
	}{
		{"the first is enough", image, 1, false, 1},
		{"all are wanted", image, 3, false, 2},
		{"not while there is more", image, 1, true, 2},
		{"cut behind enough", image[:len(image)-4], 1, true, 2},
		{"cut before enough", image[:len(image)-4], 3, true, -1},
		{"cut, and all are wanted", image[:len(image)-4], 3, false, -1},
	} {
		asked := 0
		found, err := certs.SearchImageUntil(bytes.NewReader(c.image), func(found []*certs.Certificate, more bool) bool {
			if !more {
				asked++
			}
			return len(found) >= c.enough && !(more && c.late)
		})
		if (err != nil) != (c.found < 0) || err == nil && len(found) != c.found || asked > 1 || err != nil && !errors.Is(err, certs.ErrUnpack) {
			t.Errorf("%s: %d certificates, %v, asked %d times", c.why, len(found), err, asked)
		}
		for i := range found {
			if !bytes.Equal(found[i].Raw, want[i]) {
				t.Errorf("%s: another certificate", c.why)
			}
		}
	}
}

func TestSearchImage(t *testing.T) {
	_, want := vmlinux(t)
	for name, image := range images(t) {
		t.Run(name, func(t *testing.T) {
			found, err := certs.SearchImage(bytes.NewReader(image))
			checkFound(t, found, err, want)
			found, err = certs.SearchImage(iotest.OneByteReader(bytes.NewReader(image)))
			checkFound(t, found, err, want)
		})
	}
}

// An image that tells its size and is cut gives an error and nothing else.
func TestImageCut(t *testing.T) {
	debug := fixtures(t)["microsoft-uefi-ca-2023.der"]
	for name, image := range images(t) {
		kind, _, _ := strings.Cut(name, ",")
		end := len(image) - len("what follows")
		switch kind {
		case "vmlinux":
			end = len(image) - len(debug)
		case "bzImage", "zboot":
		default:
			continue
		}
		t.Run(name, func(t *testing.T) {
			for size := 0; size < end; size += max(1, min(151, end-1-size)) {
				found, err := certs.SearchImage(bytes.NewReader(image[:size]))
				if found != nil || !errors.Is(err, certs.ErrUnpack) && !errors.Is(err, certs.ErrNotImage) {
					t.Fatalf("of the first %d bytes of %d: %d certificates, %v", size, end, len(found), err)
				}
			}
		})
	}
}

// A packed image of which one byte is wrong gives an error, or all the certificates where the byte does not matter.
func TestImageDamaged(t *testing.T) {
	_, want := vmlinux(t)
	for name, image := range images(t) {
		if !strings.HasPrefix(name, "bzImage") || strings.HasSuffix(name, "lz4") { // legacy lz4 has no check
			continue
		}
		t.Run(name, func(t *testing.T) {
			refused := 0
			for at := 3*512 + 100; at < len(image)-len("what follows"); at += 61 {
				damaged := bytes.Clone(image)
				damaged[at] ^= 0x10
				found, err := certs.SearchImage(bytes.NewReader(damaged))
				if err != nil {
					if found != nil {
						t.Fatal("certificates beside", err)
					}
					refused++
					continue
				}
				checkFound(t, found, err, want)
			}
			if refused < 20 {
				t.Errorf("%d of the damaged ones refused", refused)
			}
		})
	}
}

func TestImageRefused(t *testing.T) {
	kernel, _ := vmlinux(t)
	packed := packings["zstd"](t, kernel)
	old := bzImage(packed)
	old[0x206] = 7
	module := elf(2, 1, kernel)
	module[64+56] = 0
	strange := elf(2, 1, kernel)
	binary.LittleEndian.PutUint64(strange[32:], 1<<63)
	vast := elf(2, 1, kernel)
	binary.LittleEndian.PutUint64(vast[64+56+8:], 1<<64-1)
	for name, c := range map[string]struct {
		image []byte
		err   error
		text  string
	}{
		"nothing":         {nil, certs.ErrNotImage, ""},
		"text":            {[]byte("Linux version"), certs.ErrNotImage, ""},
		"old protocol":    {old, certs.ErrNotImage, "older than 2.08"},
		"module":          {module, certs.ErrNotImage, "perhaps a module"},
		"short ELF":       {module[:40], certs.ErrNotImage, "whole header"},
		"strange ELF":     {strange, certs.ErrNotImage, "unusual place"},
		"vast ELF":        {vast, certs.ErrNotImage, "beyond all bounds"},
		"bzip2":           {bzImage([]byte("BZh91AY&SY....")), certs.ErrCompression, ": bzip2"},
		"lzma":            {bzImage([]byte("\x5d\x00\x00\x80\x00........")), certs.ErrCompression, ": lzma"},
		"lzo":             {zboot([]byte("\x89LZO\x00\r\n\x1a\n......")), certs.ErrCompression, ": lzo"},
		"unknown":         {bzImage([]byte("unknown packing")), certs.ErrCompression, "756e6b6e6f776e"},
		"no payload":      {bzImage(nil), certs.ErrCompression, ""},
		"another size":    {bzImage(sized("zstd", packed, len(kernel)+1)), certs.ErrUnpack, "bytes came out of it instead of"},
		"no size":         {bzImage(packed), certs.ErrUnpack, ""},
		"payload outside": {bzImage(packed)[:3*512+99], certs.ErrUnpack, "payload is said to begin"},
	} {
		found, err := certs.SearchImage(bytes.NewReader(c.image))
		if found != nil || !errors.Is(err, c.err) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%s: %d certificates, %v", name, len(found), err)
		}
	}
}

// What the reader says is kept.
func TestImageReadError(t *testing.T) {
	broken := errors.New("broken disc")
	for name, image := range images(t) {
		for _, whole := range []int{0, 10, len(image) / 2} {
			r := io.MultiReader(bytes.NewReader(image[:whole]), iotest.ErrReader(broken))
			if found, err := certs.SearchImage(r); found != nil || !errors.Is(err, certs.ErrUnpack) || !errors.Is(err, broken) {
				t.Errorf("%s, after %d bytes: %v", name, whole, err)
			}
		}
	}
}

func TestImageBounds(t *testing.T) {
	kernel, want := vmlinux(t)
	for name, image := range images(t) {
		size := int64(len(kernel) + 256)
		found, err := certs.SearchImageWithin(bytes.NewReader(image), size, 64<<20, 2)
		checkFound(t, found, err, want)
		if found, err := certs.SearchImageWithin(bytes.NewReader(image), 5000, 64<<20, 2); found != nil || !errors.Is(err, certs.ErrImageTooLarge) {
			t.Errorf("%s within 5000 bytes: %v", name, err)
		}
		if found, err := certs.SearchImageWithin(bytes.NewReader(image), size, 64<<20, 1); found != nil || !errors.Is(err, certs.ErrImageTooLarge) {
			t.Errorf("%s within one certificate: %v", name, err)
		}
	}
	// The window is what a stream makes its reader keep; these two want one of 8 MiB.
	for _, name := range []string{"xz", "zstd"} {
		image := bzImage(sized(name, packings[name](t, make([]byte, 9<<20)), 9<<20))
		if _, err := certs.SearchImageWithin(bytes.NewReader(image), 9<<20, 8<<20, 1); err != nil {
			t.Errorf("%s within its window: %v", name, err)
		}
		if _, err := certs.SearchImageWithin(bytes.NewReader(image), 9<<20, 1<<20, 1); !errors.Is(err, certs.ErrUnpack) {
			t.Errorf("%s beyond its window: %v", name, err)
		}
	}
}

// A certificate is found wherever it begins, at the edges of the window too, and what only looks like one is not.
func TestSearchEverywhere(t *testing.T) {
	der := fixtures(t)["debian-ca.der"]
	filler := bytes.Repeat([]byte{0x30}, 2*certs.WindowSize+1000) // every byte may be the first of one
	edge := certs.WindowSize - certs.MaxSize
	for _, at := range []int{0, 1, edge - 2, edge - 1, edge, edge + 1, certs.WindowSize - len(der), certs.WindowSize - 5, certs.WindowSize, 2*edge - 1, 2 * certs.WindowSize} {
		image := flat(join(filler[:at], der, filler[at:]))
		found, err := certs.SearchImage(bytes.NewReader(image))
		checkFound(t, found, err, [][]byte{der})
	}
	broken := bytes.Clone(der)
	broken[10] ^= 0xff
	nested := join([]byte{0x30, 0x82, 0xff, 0xf0, 0x30, 0x82}, der)
	for name, c := range map[string]struct {
		content []byte
		want    [][]byte
	}{
		"broken":        {broken, nil},
		"cut":           {der[:len(der)-1], nil},
		"inside":        {nested, [][]byte{der}},
		"at the end":    {join([]byte{0x30}, der), [][]byte{der}},
		"half a header": {[]byte{0x30, 0x82}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := certs.SearchImage(bytes.NewReader(flat(c.content)))
			checkFound(t, found, err, c.want)
		})
	}
}

// xz's own packing of code that is all calls comes back byte for byte, and a filter for other code is read too.
func TestXZFilters(t *testing.T) {
	kernel, _ := vmlinux(t)
	got, err := certs.UnpackXZ(bytes.NewReader(x86XZ(t)))
	if err != nil || !bytes.Equal(got, kernel) {
		t.Errorf("%d bytes instead of %d, or others: %v", len(got), len(kernel), err)
	}
	arm, err := os.ReadFile("../testdata/images/arm.xz")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := certs.UnpackXZ(bytes.NewReader(arm)); err != nil || len(got) == 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The kinds of check, and several blocks.
func TestXZ(t *testing.T) {
	kernel, _ := vmlinux(t)
	for _, check := range []byte{xz.CRC32, xz.CRC64, xz.SHA256, xz.None} {
		config := xz.WriterConfig{CheckSum: check, NoCheckSum: check == xz.None, BlockSize: 1000}
		var b bytes.Buffer
		w, err := config.NewWriter(&b)
		packed := closed(t, w, err, &b, kernel)
		if got, err := certs.UnpackXZ(bytes.NewReader(packed)); err != nil || !bytes.Equal(got, kernel) {
			t.Errorf("check %d: %d bytes, %v", check, len(got), err)
		}
	}
}
