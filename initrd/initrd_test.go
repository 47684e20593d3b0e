package initrd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"kkeys/initrd"
)

// item is an entry of an archive made by hand.
type item struct {
	name, content string
	mode          uint32
	inode, links  int
	magic         string // 070701 if empty
	sum           uint32
	nameSize      int // len(name)+1 if 0, none if -1
}

// newc makes an archive; where the trailer is wanted it is the last item.
func newc(items ...item) []byte {
	var b bytes.Buffer
	for _, i := range items {
		if i.magic == "" {
			i.magic = "070701"
		}
		if i.nameSize == 0 {
			i.nameSize = len(i.name) + 1
		}
		if i.mode == 0 {
			i.mode = 0o100644
		}
		b.WriteString(i.magic)
		for _, n := range []int{i.inode, int(i.mode), 0, 0, max(i.links, 1), 0, len(i.content), 8, 1, 0, 0, max(i.nameSize, 0), int(i.sum)} {
			fmt.Fprintf(&b, "%08X", n)
		}
		for _, field := range []string{i.name + "\x00", i.content} {
			b.WriteString(field)
			b.Write(make([]byte, -b.Len()&3))
		}
	}
	return b.Bytes()
}

var trailer = item{name: "TRAILER!!!"}

// told is a walk in lines: name, mode, content.
func told(t testing.TB, image []byte) (string, error) {
	t.Helper()
	var lines strings.Builder
	err := initrd.Walk(bytes.NewReader(image), 64<<20, func(f initrd.File) error {
		content, err := io.ReadAll(f.Content)
		if err != nil {
			return err
		}
		if int64(len(content)) != f.Size {
			t.Errorf("%s: %d bytes of %d", f.Name, len(content), f.Size)
		}
		fmt.Fprintf(&lines, "%d %s %o %s", f.Segment, f.Name, f.Mode, content)
		if len(f.Links) > 0 {
			fmt.Fprintf(&lines, " also %q", f.Links)
		}
		if f.LinkTo != "" {
			fmt.Fprintf(&lines, " is %s", f.LinkTo)
		}
		if f.Target != "" {
			fmt.Fprintf(&lines, " to %s", f.Target)
		}
		lines.WriteString("\n")
		return nil
	})
	var e *initrd.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%v is no *Error", err)
	}
	if err != nil && countOutcomes(err) != 1 {
		t.Fatalf("%v has %d outcomes", err, countOutcomes(err))
	}
	return lines.String(), err
}

func countOutcomes(err error) (n int) {
	for _, outcome := range []error{initrd.ErrDamaged, initrd.ErrUnsupported, initrd.ErrTooLarge} {
		if errors.Is(err, outcome) {
			n++
		}
	}
	return n
}

// pack runs a compressor that writes what its standard input was.
func pack(t testing.TB, data []byte, command ...string) []byte {
	t.Helper()
	tool, err := exec.LookPath(command[0])
	if err != nil {
		t.Skipf("not installed: %v", err)
	}
	c := exec.Command(tool, command[1:]...)
	c.Stdin = bytes.NewReader(data)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return out
}

// tools are the compressors as initramfs-tools and dracut call them, and in other ways that make other streams.
var tools = map[string][]string{
	"gzip":         {"gzip", "-n", "-9"},
	"bzip2":        {"bzip2", "-9"},
	"lzma":         {"xz", "--format=lzma", "--lzma1=dict=1MiB"},
	"xz":           {"xz", "--check=crc32", "--lzma2=dict=1MiB"},
	"xz none":      {"xz", "--check=none", "-0"},
	"xz blocks":    {"xz", "--check=crc32", "--block-size=512", "--lzma2=dict=4KiB"},
	"xz threads":   {"xz", "--check=crc32", "-T2"},
	"lz4":          {"lz4", "-9", "-l", "-c"},
	"zstd":         {"zstd", "-q", "-19", "-T0"},
	"zstd check":   {"zstd", "-q", "-1", "--check"},
	"zstd nocheck": {"zstd", "-q", "-3", "--no-check"},
}

var (
	early = newc(item{name: "kernel", mode: 0o40755}, item{name: "kernel/x86/microcode/GenuineIntel.bin", content: "microcode"}, trailer)
	main  = newc(item{name: ".", mode: 0o40755}, item{name: "lib", mode: 0o120777, content: "usr/lib"},
		item{name: "usr/lib/modules/6.1/a.ko", content: "module a"}, item{name: "dev/console", mode: 0o20600}, trailer)
)

const (
	earlyTold = "1 kernel 40755 \n1 kernel/x86/microcode/GenuineIntel.bin 100644 microcode\n"
	mainTold  = "S . 40755 \nS lib 120777  to usr/lib\nS usr/lib/modules/6.1/a.ko 100644 module a\nS dev/console 20600 \n"
)

func segment(n int, lines string) string { return strings.ReplaceAll(lines, "S ", fmt.Sprint(n, " ")) }

// TestTools: what each compressor writes, alone, after microcode, padded, and followed by another archive.
func TestTools(t *testing.T) {
	for name, command := range tools {
		t.Run(name, func(t *testing.T) {
			packed := pack(t, main, command...)
			zeros := make([]byte, 512)
			for _, test := range []struct {
				what  string
				image [][]byte
				want  string
			}{
				{"alone", [][]byte{packed}, segment(1, mainTold)},
				{"padded by one", [][]byte{packed, zeros[:1]}, segment(1, mainTold)},
				{"padded", [][]byte{packed, zeros}, segment(1, mainTold)},
				{"after microcode", [][]byte{early, zeros[:400], packed}, earlyTold + segment(2, mainTold)},
				{"twice", [][]byte{packed, packed}, segment(1, mainTold) + segment(2, mainTold)},
				{"twice padded", [][]byte{packed, zeros, packed, zeros[:3]}, segment(1, mainTold) + segment(2, mainTold)},
				{"before a plain one", [][]byte{packed, zeros[:4+-len(packed)&3], main}, segment(1, mainTold) + segment(2, mainTold)},
			} {
				// These decoders go on with a stream of the same kind themselves: the segments are one then.
				want := test.want
				if test.what == "twice" && (name == "lz4" || name == "bzip2") {
					want = segment(1, mainTold) + segment(1, mainTold)
				}
				got, err := told(t, bytes.Join(test.image, nil))
				if err != nil || got != want {
					t.Errorf("%s: %v\n%s", test.what, err, got)
				}
			}
			for i := 1; i < len(packed); i++ {
				// The legacy format of lz4 does not tell its end: cut in the zeros of the trailer's padding it cannot be told apart.
				if got, err := told(t, packed[:i]); err == nil {
					t.Errorf("cut at %d of %d: no error\n%s", i, len(packed), got)
				}
				if got, err := told(t, append(packed[:i:i], 0, 0, 0, 0)); err == nil && i < len(packed)-4 {
					t.Errorf("cut at %d of %d and padded: no error\n%s", i, len(packed), got)
				}
			}
		})
	}
}

func TestPlain(t *testing.T) {
	for _, test := range []struct {
		what  string
		image []byte
		want  string
	}{
		{"two archives", bytes.Join([][]byte{early, main}, nil), earlyTold + segment(2, mainTold)},
		{"zeros first", append(make([]byte, 4), early...), earlyTold},
		{"no trailer before another", append(newc(item{name: "a"}), pack(t, main, "gzip")...), "1 a 100644 \n" + segment(2, mainTold)},
		{"names", newc(item{name: "/etc/x"}, item{name: "../../a/../b"}, item{name: "./c//d/"}, item{name: ""}, item{name: "esc\x1b[m\xff"}, trailer),
			"1 etc/x 100644 \n1 b 100644 \n1 c/d 100644 \n1 . 100644 \n1 esc\x1b[m\xff 100644 \n"},
		{"a name padded with zeros", newc(item{name: "a\x00\x00\x00", content: "x"}, trailer), "1 a 100644 x\n"},
		{"what the kernel skips", newc(item{name: "d", mode: 0o40755, content: "body"}, item{name: "l", mode: 0o120777, content: strings.Repeat("x", 4097)},
			item{name: "a"}, trailer), "1 a 100644 \n"},
		{"sums", newc(item{name: "a", content: "\x01\x02\xff", magic: "070702", sum: 0x102}, trailer), "1 a 100644 \x01\x02\xff\n"},
		{"content with the last name", newc(item{name: "a", inode: 7, links: 3}, item{name: "other", inode: 8}, item{name: "b", inode: 7, links: 3},
			item{name: "c", inode: 7, links: 3, content: "x"}, trailer), "1 other 100644 \n1 c 100644 x also [\"a\" \"b\"]\n"},
		{"content with the first name", newc(item{name: "a", inode: 7, links: 2, content: "x"}, item{name: "b", inode: 7, links: 2}, trailer),
			"1 a 100644 x\n1 b 100644  is a\n"},
		{"no content", newc(item{name: "a", inode: 7, links: 2}, item{name: "b", inode: 7, links: 2}, trailer), "1 a 100644  also [\"b\"]\n"},
		{"the trailer ends names", append(newc(item{name: "a", inode: 7, links: 2}, trailer), newc(item{name: "b", inode: 7, links: 2, content: "x"}, trailer)...),
			"1 a 100644 \n2 b 100644 x\n"},
	} {
		if got, err := told(t, test.image); err != nil || got != test.want {
			t.Errorf("%s: %v\n%q\n%q", test.what, err, got, test.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		what    string
		image   []byte
		outcome error
		says    string
	}{
		{"nothing", nil, initrd.ErrDamaged, "no archive"},
		{"zeros", make([]byte, 5000), initrd.ErrDamaged, "at offset 5000: no archive"},
		{"text", []byte("hello"), initrd.ErrDamaged, `segment 1 (unknown) at offset 0: "he" is neither`},
		{"lzo", []byte("\x89LZO\x00\r\n"), initrd.ErrUnsupported, "lzo"},
		{"old format", []byte("0707070000"), initrd.ErrUnsupported, "newc"},
		{"no header", append(newc(item{name: "a"}), "0707xx"...), initrd.ErrDamaged, `at offset 112: "0707xx" is no cpio header`},
		{"not hexadecimal", []byte("070701" + strings.Repeat("-", 104)), initrd.ErrDamaged, "hexadecimal"},
		{"no trailer", newc(item{name: "a"}), initrd.ErrDamaged, "no trailer"},
		{"long name", newc(item{name: strings.Repeat("n", 4096)}, trailer), initrd.ErrDamaged, "a name of 4097 bytes"},
		{"no name", newc(item{name: "abc", nameSize: -1}, trailer), initrd.ErrDamaged, "at offset 0: a name of 0 bytes"},
		{"name without end", newc(item{name: "abc", nameSize: 3}, trailer), initrd.ErrDamaged, "does not end with a zero"},
		{"sum", newc(item{name: "a", content: "xy", magic: "070702", sum: 1}, trailer), initrd.ErrDamaged, "add up to 0xf1, not 0x1"},
		{"odd offset", append([]byte{0}, main...), initrd.ErrDamaged, "multiple of four"},
		{"odd padding", append(append(bytes.Clone(main), 0), main...), initrd.ErrDamaged, "padding"},
		{"junk", append(bytes.Clone(main), "junk"...), initrd.ErrDamaged, `segment 2 (unknown) at offset 628: "ju"`},
		{"junk inside", pack(t, append(bytes.Clone(main), "junk"...), "gzip"), initrd.ErrDamaged, `628 bytes into its content: "j" after an entry`},
		{"xz check", pack(t, main, "xz", "--check=crc64"), initrd.ErrUnsupported, "segment 1 (xz) at offset 12, 0 bytes into its content: not readable: an xz stream with check 4"},
		{"xz filter", pack(t, main, "xz", "--check=crc32", "--x86", "--lzma2"), initrd.ErrUnsupported, "2 xz filters, the first is 0x4"},
		{"xz dictionary", pack(t, main, "xz", "--check=crc32", "--lzma2=dict=1GiB"), initrd.ErrTooLarge, "dictionary"},
		{"lzma dictionary", pack(t, main, "xz", "--format=lzma", "--lzma1=dict=1GiB"), initrd.ErrTooLarge, "dictionary"},
		{"zstd window", []byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), initrd.ErrTooLarge, "window"},
		{"lz4 frame", pack(t, main, "lz4", "-c"), initrd.ErrDamaged, "neither"},
		{"gzip checksum", flip(pack(t, main, "gzip"), -6), initrd.ErrDamaged, "checksum"},
	} {
		_, err := told(t, test.image)
		if !errors.Is(err, test.outcome) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

func flip(data []byte, at int) []byte {
	data[len(data)+at] ^= 1
	return data
}

// TestCut: a plain image cut anywhere is an error, but where microcode alone is left.
func TestCut(t *testing.T) {
	image := append(append(bytes.Clone(early), 0, 0, 0, 0), main...)
	for i := range image {
		_, err := told(t, image[:i])
		if whole := i >= len(early) && i <= len(early)+4; (err == nil) != whole {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}
