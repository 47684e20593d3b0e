package efivars_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"unicode/utf16"

	"kkeys/efivars"
)

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func node(kind, sub byte, data ...byte) []byte {
	return slices.Concat([]byte{kind, sub}, binary.LittleEndian.AppendUint16(nil, uint16(4+len(data))), data)
}

var end = node(0x7f, 0xff)

func option(attributes uint32, title string, path []byte, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	return slices.Concat(b, wide(title), path, data)
}

// hardDrive is partition 1 from sector 2048 on, with this kind of signature.
func hardDrive(kind byte) []byte {
	data := make([]byte, 38)
	data[0] = 1
	data[5] = 8
	copy(data[20:], "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b")
	data[36], data[37] = 2, kind
	return node(4, 1, data...)
}

var debian = option(1, "debian", slices.Concat(hardDrive(2), node(4, 4, wide(`\EFI\debian\shimx64.efi`)...), end), 'o', 'p', 't')

func TestLoadOption(t *testing.T) {
	o, err := efivars.ParseLoadOption(debian)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := o.Partition()
	if !o.Active() || o.Description() != "debian" || !ok || id.String() != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" || string(o.Data) != "opt" {
		t.Errorf("%+v", o)
	}
	if file, ok := o.File(); !ok || file != `\EFI\debian\shimx64.efi` || o.Kind() != efivars.KindFile {
		t.Errorf("%q, %v, %s", file, ok, o.Kind())
	}
	if b, err := o.Encode(); err != nil || !bytes.Equal(b, debian) {
		t.Errorf("%x, %v", b, err)
	}
}

func TestLoadOptionKinds(t *testing.T) {
	pci, acpi := node(1, 1, 0, 0), node(2, 1, make([]byte, 8)...)
	mac, ip := node(3, 11, make([]byte, 33)...), node(3, 12, make([]byte, 23)...)
	for want, paths := range map[efivars.Kind][][]byte{
		efivars.KindFile: {
			slices.Concat(hardDrive(2), node(4, 4, wide(`\a.efi`)...)),
			node(4, 4, wide(`\short form`)...),
		},
		efivars.KindDevice: {hardDrive(2), slices.Concat(acpi, pci, node(3, 18, 0, 0, 0, 0, 0, 0)),
			slices.Concat(acpi, pci, node(3, 5, 0, 0)), node(4, 2, make([]byte, 20)...)},
		efivars.KindNetwork:  {slices.Concat(acpi, pci, mac), slices.Concat(acpi, pci, mac, ip)},
		efivars.KindHTTP:     {slices.Concat(acpi, pci, mac, ip, node(3, 24)), slices.Concat(mac, ip, node(3, 24, []byte("http://x")...))},
		efivars.KindFirmware: {slices.Concat(node(4, 7, make([]byte, 16)...), node(4, 6, make([]byte, 16)...))},
		efivars.KindBIOS:     {node(5, 1, 1, 0, 0, 0, 'x', 0)},
		efivars.KindRAMDisk:  {node(4, 9, make([]byte, 34)...)},
		efivars.KindUnknown:  {{}, slices.Concat(acpi, pci), node(1, 4, make([]byte, 16)...)},
	} {
		for i, path := range paths {
			o, err := efivars.ParseLoadOption(option(1, "", append(slices.Clone(path), end...)))
			if err != nil || o.Kind() != want {
				t.Errorf("%s %d: %s, %v", want, i, o.Kind(), err)
			}
		}
	}
}

func TestLoadOptionPaths(t *testing.T) {
	for _, parts := range [][]string{{`\EFI\a`}, {`\EFI`, `a`}, {`\EFI\`, `a`}, {`\EFI`, `\a`}} {
		var path []byte
		for _, p := range parts {
			path = append(path, node(4, 4, wide(p)...)...)
		}
		o, err := efivars.ParseLoadOption(option(0, "x", append(path, end...)))
		if file, ok := o.File(); err != nil || !ok || file != `\EFI\a` || o.Active() {
			t.Errorf("%q: %q, %v", parts, file, err)
		}
	}
	// A drive with an MBR names no GPT partition; a second device path is kept, not looked into.
	second := slices.Concat(hardDrive(1), end, hardDrive(2), end)
	o, err := efivars.ParseLoadOption(option(1, "mbr", second))
	if _, ok := o.Partition(); err != nil || ok || len(o.Path) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	if b, err := o.Encode(); err != nil || !bytes.Equal(b, option(1, "mbr", second)) {
		t.Errorf("%x, %v", b, err)
	}
	o.Path = []efivars.Node{{Type: 4, SubType: 3, Data: make([]byte, 65530)}}
	if _, err := o.Encode(); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("a path of 64 KiB: %v", err)
	}
}

// hostileOptions are broken load options and the offset of what is wrong.
var hostileOptions = map[string]struct {
	bytes  []byte
	offset int
}{
	"nothing":                  {nil, 0},
	"half a header":            {debian[:5], 0},
	"title without end":        {debian[:6+5], 10},
	"path cut":                 {debian[:40], 4},
	"path without end":         {option(1, "a", hardDrive(2)), 52},
	"node under four bytes":    {option(1, "a", []byte{4, 4, 3, 0, 0x7f, 0xff, 4, 0}), 12},
	"node beyond the path":     {option(1, "a", []byte{4, 4, 200, 0, 0, 0}), 12},
	"end with content":         {option(1, "a", []byte{0x7f, 0xff, 6, 0, 0, 0}), 12},
	"drive of another size":    {option(1, "a", append(node(4, 1, 1, 2, 3), end...)), 14},
	"odd file path":            {option(1, "a", append(node(4, 4, 'a', 0, 0), end...)), 14},
	"file path without end":    {option(1, "a", append(node(4, 4, 'a', 0), end...)), 14},
	"no path, not even an end": {option(1, "a", nil), 10},
}

func TestHostileLoadOptions(t *testing.T) {
	for why, h := range hostileOptions {
		o, err := efivars.ParseLoadOption(h.bytes)
		var corrupt *efivars.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Offset != h.offset || o.Path != nil || o.Data != nil {
			t.Errorf("%s: %+v, %v", why, o, err)
		}
	}
}

func TestBootOrder(t *testing.T) {
	order, err := efivars.ParseBootOrder([]byte{1, 0, 0x0a, 0x20})
	if err != nil || !slices.Equal(order, []uint16{1, 0x200a}) {
		t.Errorf("%v, %v", order, err)
	}
	if order, err := efivars.ParseBootOrder([]byte{1, 0, 2}); order != nil || !errors.Is(err, efivars.ErrCorrupt) {
		t.Errorf("%v, %v", order, err)
	}
	if n, err := efivars.ParseBootNumber([]byte{0x34, 0x12}); n != 0x1234 || err != nil {
		t.Errorf("%v, %v", n, err)
	}
	for _, b := range [][]byte{nil, {1}, {1, 2, 3}} {
		if _, err := efivars.ParseBootNumber(b); !errors.Is(err, efivars.ErrCorrupt) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func FuzzLoadOption(f *testing.F) {
	f.Add(debian)
	f.Add(option(1, "net", slices.Concat(node(3, 11, make([]byte, 33)...), node(3, 24, []byte("http://x")...), end)))
	for _, h := range hostileOptions {
		f.Add(h.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := efivars.ParseLoadOption(b)
		if err != nil {
			var corrupt *efivars.CorruptError
			if !errors.As(err, &corrupt) || corrupt.Offset > len(b) || o.Path != nil {
				t.Fatalf("%+v, %v", o, err)
			}
			return
		}
		o.Description()
		o.File()
		o.Partition()
		o.Kind()
		if again, err := o.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded as %x, %v", again, err)
		}
	})
}
