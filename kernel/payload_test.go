package kernel

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestPayload(t *testing.T) {
	for arch, a := range architectures {
		t.Run(arch, func(t *testing.T) {
			p, err := newPayload(arch, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^kkeys_probe_[0-9a-f]{32}$`).MatchString(p.Name()) {
				t.Errorf("name %q", p.Name())
			}
			file, err := elf.NewFile(bytes.NewReader(p.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if file.Type != elf.ET_REL || file.Machine != a.machine || file.Class != a.class || file.ByteOrder != a.order {
				t.Errorf("%v %v %v %v", file.Type, file.Machine, file.Class, file.ByteOrder)
			}
			checkEarly(t, file, p)
			checkNeverLoads(t, file, p)
		})
	}
	if _, ok := architectures[runtime.GOARCH]; !ok {
		t.Errorf("no payload for %s, on which this test runs", runtime.GOARCH)
	}
}

// checkEarly follows elf_header_check and setup_load_info of Linux 4.19 to 5.11: what they want before the signature check.
func checkEarly(t *testing.T, file *elf.File, p *Payload) {
	t.Helper()
	want := []struct {
		name  string
		kind  elf.SectionType
		alloc bool
	}{{"", elf.SHT_NULL, false}, {".shstrtab", elf.SHT_STRTAB, false}, {".symtab", elf.SHT_SYMTAB, false}, {".strtab", elf.SHT_STRTAB, false},
		{".gnu.linkonce.this_module", elf.SHT_PROGBITS, true}, {".modinfo", elf.SHT_PROGBITS, true}, {".kkeys", elf.SHT_PROGBITS, true}}
	if len(file.Sections) != len(want) {
		t.Fatalf("%d sections, want %d", len(file.Sections), len(want))
	}
	for i, w := range want {
		s := file.Sections[i]
		if s.Name != w.name || s.Type != w.kind || (s.Flags&elf.SHF_ALLOC != 0) != w.alloc {
			t.Errorf("section %d is %s, %v, %v", i, s.Name, s.Type, s.Flags)
		}
		if i < len(want)-1 && s.Offset+s.Size > uint64(len(p.Bytes())) {
			t.Errorf("section %s lies beyond the file", s.Name)
		}
	}
	information, err := file.Section(".modinfo").Data()
	if err != nil || !bytes.Contains(information, []byte("name="+p.Name()+"\x00")) || !bytes.Contains(information, []byte("license=GPL\x00")) {
		t.Errorf(".modinfo %q, %v", information, err)
	}
	if s := file.Section(".gnu.linkonce.this_module"); s.Size < 2048 || s.Flags&elf.SHF_WRITE == 0 {
		t.Errorf("this_module: %d bytes, %v", s.Size, s.Flags)
	}
	if s := file.Section(".symtab"); file.Sections[s.Link].Name != ".strtab" || s.Size != s.Entsize {
		t.Errorf("the symbols are linked to section %d, entries of %d bytes", s.Link, s.Entsize)
	}
}

// checkNeverLoads: one section ends far beyond the file, however large a signature is appended, and no sum of it overflows.
func checkNeverLoads(t *testing.T, file *elf.File, p *Payload) {
	t.Helper()
	s := file.Section(".kkeys")
	const largest = 1 << 20 // payload and signature together, generously
	if s.Type == elf.SHT_NOBITS || s.Size == 0 || s.Offset < largest || s.Offset+s.Size > 1<<31 || len(p.Bytes()) > largest/2 {
		t.Errorf("section %s: %v, offset %#x, size %#x of a file of %d bytes", s.Name, s.Type, s.Offset, s.Size, len(p.Bytes()))
	}
}

func TestPayloadsDiffer(t *testing.T) {
	first, err := NewPayload(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewPayload(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if first.Name() == second.Name() || bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two payloads are the same")
	}
}

func TestPayloadRefused(t *testing.T) {
	if p, err := newPayload("wasm", rand.Reader); p != nil || !errors.Is(err, ErrArchitecture) {
		t.Errorf("%v, %v", p, err)
	}
	failure := errors.New("no randomness")
	if p, err := NewPayload(iotest.ErrReader(failure)); p != nil || !errors.Is(err, failure) {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := NewPayload(strings.NewReader("short")); p != nil || err == nil {
		t.Errorf("%v, %v", p, err)
	}
}
