package initrd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"kkeys/initrd"
)

// TestCpio reads what cpio itself writes, over a tree with links of both kinds.
func TestCpio(t *testing.T) {
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skipf("not installed: %v", err)
	}
	root := t.TempDir()
	noise := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(root, "usr/lib/modules"), 0o755),
		os.WriteFile(filepath.Join(root, "usr/lib/modules/a.ko"), noise, 0o644),
		os.Link(filepath.Join(root, "usr/lib/modules/a.ko"), filepath.Join(root, "b.ko")),
		os.Link(filepath.Join(root, "usr/lib/modules/a.ko"), filepath.Join(root, "c.ko")),
		os.Symlink("usr/lib", filepath.Join(root, "lib")),
		os.WriteFile(filepath.Join(root, "empty"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{"newc", "crc"} {
		command := exec.Command("sh", "-c", `find . | LC_ALL=C sort | "$0" --quiet -o -H "$1"`, tool, format)
		command.Dir = root
		image, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range [][]byte{image, pack(t, image, "gzip"), pack(t, image, "xz", "--check=crc32"), pack(t, image, "zstd", "-q")} {
			var names []string
			err = initrd.Walk(iotest.OneByteReader(bytes.NewReader(image)), initrd.MaxUnpacked, func(f initrd.File) error {
				content, err := io.ReadAll(f.Content)
				if err != nil || len(content) > 0 && !bytes.Equal(content, noise) {
					t.Errorf("%s: %d bytes, %v", f.Name, len(content), err)
				}
				names = append(names, fmt.Sprintf("%s%q%s %t %d", f.Name, f.Links, f.Target, f.Regular(), f.Size))
				return nil
			})
			want := `.[] false 0; empty[] true 0; lib[]usr/lib false 0; usr[] false 0; usr/lib[] false 0; usr/lib/modules[] false 0; ` +
				`usr/lib/modules/a.ko["c.ko" "b.ko"] true 300000`
			if got := strings.Join(names, "; "); err != nil || got != want {
				t.Errorf("%s: %v\n%s", format, err, got)
			}
		}
	}
}

// TestLarge: contents beyond every buffer, chunk and window, read whole or not at all.
func TestLarge(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	text := strings.Repeat("a line of a module that says little\n", 9<<20/36)
	image := newc(item{name: "noise", content: string(noise)}, item{name: "text", content: text}, item{name: "odd", content: "xyz"}, trailer)
	for name, command := range tools {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			packed := append(pack(t, image, command...), 0, 0, 0, 0)
			for _, whole := range []bool{true, false} {
				var names []string
				err := initrd.Walk(bytes.NewReader(packed), 13<<20, func(f initrd.File) error {
					names = append(names, f.Name)
					if !whole {
						return nil
					}
					content, err := io.ReadAll(f.Content)
					if want := map[string]string{"noise": string(noise), "text": text, "odd": "xyz"}[f.Name]; string(content) != want {
						t.Errorf("%s is another", f.Name)
					}
					return err
				})
				if got := strings.Join(names, " "); err != nil || got != "noise text odd" {
					t.Errorf("%v: %s", err, got)
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	count := func(initrd.File) error { return nil }
	image := newc(item{name: "a", content: "1234"}, trailer)
	for _, packed := range [][]byte{image, pack(t, image, "gzip")} {
		if err := initrd.Walk(bytes.NewReader(packed), int64(len(image)), count); err != nil {
			t.Error(err)
		}
		for limit := range int64(len(image)) {
			if err := initrd.Walk(bytes.NewReader(packed), limit, count); !errors.Is(err, initrd.ErrTooLarge) {
				t.Fatalf("%d bytes: %v", limit, err)
			}
		}
	}
	for what, image := range map[string][]byte{
		"zeros":   pack(t, append(bytes.Clone(image), make([]byte, 1<<20)...), "gzip"),
		"claimed": []byte(strings.Replace(string(image), "00000004", "FFFFFFF0", 1)),
	} {
		if err := initrd.Walk(bytes.NewReader(image), 1<<20, count); !errors.Is(err, initrd.ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
	entry := newc(item{name: "a"})
	many := io.MultiReader(&repeat{entry: entry, left: initrd.MaxEntries}, bytes.NewReader(newc(trailer)))
	if err := initrd.Walk(many, initrd.MaxUnpacked, count); !errors.Is(err, initrd.ErrTooLarge) || !strings.Contains(err.Error(), "entries") {
		t.Errorf("entries: %v", err)
	}
	for _, name := range []string{"a", strings.Repeat("long", 1000)} {
		links := &repeat{entry: newc(item{name: name, links: 2}), left: initrd.MaxEntries}
		if err := initrd.Walk(links, initrd.MaxUnpacked, count); !errors.Is(err, initrd.ErrTooLarge) || !strings.Contains(err.Error(), "names") {
			t.Errorf("links: %v", err)
		}
	}
	// Ten thousand blocks, each with a dictionary of its own that is just allowed: the claims are added up.
	block := pack(t, image, "xz", "--check=none", "--lzma2=dict=64MiB")[:12+12+3+len(image)]
	hungry := append(bytes.Clone(block[:12]), bytes.Repeat(append(block[12:24:24], 1, 0, 0, 0, 0, 0, 0, 0), 10000)...)
	if err := initrd.Walk(bytes.NewReader(hungry), 1<<20, count); !errors.Is(err, initrd.ErrTooLarge) {
		t.Errorf("dictionaries: %v", err)
	}
}

// repeat reads an entry again and again.
type repeat struct {
	entry []byte
	left  int
	at    int
}

func (r *repeat) Read(p []byte) (n int, err error) {
	for n < len(p) && r.left > 0 {
		k := copy(p[n:], r.entry[r.at:])
		n += k
		if r.at += k; r.at == len(r.entry) {
			r.at = 0
			r.left--
		}
	}
	if r.left == 0 && n == 0 {
		err = io.EOF
	}
	return n, err
}

// TestMemory: an image of 256 MiB takes what one of 1 MiB takes.
func TestMemory(t *testing.T) {
	entry := newc(item{name: "usr/lib/modules/a.ko", content: strings.Repeat("m", 64<<10)})
	allocated := func(entries int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, end := 0, bytes.NewReader(newc(trailer))
		err := initrd.Walk(io.MultiReader(&repeat{entry: entry, left: entries}, end), initrd.MaxUnpacked, func(initrd.File) error { n++; return nil })
		if err != nil || n != entries {
			t.Fatalf("%d of %d entries: %v", n, entries, err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1)
	small, large := allocated(16), allocated(4096)
	if large > small+4096*1024 { // garbage; a File a time
		t.Errorf("%d bytes for 16 entries, %d for 4096", small, large)
	}
}

// TestErrors: what the reader and the caller say comes back as it is.
func TestErrors(t *testing.T) {
	mine := errors.New("mine")
	stop := func(initrd.File) error { return mine }
	packed := pack(t, main, "gzip")
	for _, image := range [][]byte{main, packed} {
		if err := initrd.Walk(bytes.NewReader(image), 1<<20, stop); err != mine {
			t.Error(err)
		}
		for i := range image {
			r := io.MultiReader(bytes.NewReader(image[:i]), iotest.ErrReader(mine))
			err := initrd.Walk(r, 1<<20, func(f initrd.File) error {
				_, err := io.Copy(io.Discard, f.Content)
				return err
			})
			var e *initrd.Error
			if !errors.Is(err, mine) || errors.As(err, &e) {
				t.Fatalf("at %d: %v", i, err)
			}
		}
	}
	// Content is read up to its end, whoever calls.
	err := initrd.Walk(bytes.NewReader(main[:len(main)-200]), 1<<20, func(f initrd.File) error {
		_, _ = io.ReadAll(f.Content)
		return nil
	})
	if !errors.Is(err, initrd.ErrDamaged) {
		t.Error(err)
	}
}

// FuzzWalk: no more than the limit comes out, names are clean, an error has one outcome, and a second walk gives the same.
func FuzzWalk(f *testing.F) {
	seeds := [][]byte{early, main, append(bytes.Clone(early), main...), newc(item{name: "a", inode: 7, links: 2},
		item{name: "b", inode: 7, links: 2, content: "x"}, item{name: "c", content: "y", magic: "070702", sum: 'y'}, trailer)}
	files, err := filepath.Glob("testdata/*.cpio.*")
	if err != nil || len(files) != len(tools) {
		f.Fatalf("%d recorded streams, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if got, err := told(f, data); err != nil || got != segment(1, mainTold) {
			f.Fatalf("%s: %v\n%s", file, err, got)
		}
		seeds = append(seeds, data, append(bytes.Clone(early), data...))
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, data []byte) {
		var total int64
		walk := func() (string, error) {
			var lines strings.Builder
			total = 0
			err := initrd.Walk(bytes.NewReader(data), limit, func(file initrd.File) error {
				for _, name := range append([]string{file.Name}, file.Links...) {
					if name == "" || name[0] == '/' || strings.Contains("/"+name+"/", "/../") || len(name) > initrd.MaxName || strings.Contains(name, "\x00") {
						t.Fatalf("name %q", name)
					}
				}
				n, err := io.Copy(io.Discard, file.Content)
				if total += n; err == nil && n != file.Size {
					t.Fatalf("%d bytes of %d", n, file.Size)
				}
				fmt.Fprintf(&lines, "%q %o %d %v\n", file.Name, file.Mode, n, err)
				return err
			})
			return lines.String(), err
		}
		lines, err := walk()
		if total > limit {
			t.Fatalf("%d bytes", total)
		}
		var e *initrd.Error
		if err != nil && (!errors.As(err, &e) || countOutcomes(err) != 1 || e.Offset > int64(len(data)) || e.Inside > limit+64<<10) {
			t.Fatalf("%#v", err)
		}
		again, second := walk()
		if again != lines || (err == nil) != (second == nil) {
			t.Fatalf("not the same again: %v, %v", err, second)
		}
	})
}
