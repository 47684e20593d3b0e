package modsig_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"kkeys/modsig"
)

// trailer writes what follows the payload, with any values.
func trailer(message string, info [8]byte, size uint32) string {
	return message + string(info[:]) + string(binary.BigEndian.AppendUint32(nil, size)) + modsig.Magic
}

var pkcs7 = [8]byte{2: 2}

func TestSplit(t *testing.T) {
	for _, test := range []struct{ what, module, payload, message, outcome string }{
		{"ordinary", "ELF" + trailer("cms", pkcs7, 3), "ELF", "cms", ""},
		{"payload of one byte", "E" + trailer("cms", pkcs7, 3), "E", "cms", ""},
		{"nested", "ELF" + trailer("a", pkcs7, 1) + trailer("cms", pkcs7, 3), "ELF" + trailer("a", pkcs7, 1), "cms", ""},
		{"empty", "", "", "", "unsigned"},
		{"only the text", modsig.Magic, "", "", "unsigned"},
		{"no signature", "ELF", "", "", "unsigned"},
		{"text without newline", "ELF" + strings.TrimSpace(trailer("cms", pkcs7, 3)), "", "", "unsigned"},
		{"a byte and the text", "E" + modsig.Magic, "", "", "malformed"},
		{"no payload and no message", trailer("", pkcs7, 0), "", "", "malformed"},
		{"no payload", trailer("cms", pkcs7, 3), "", "", "malformed"},
		{"more than there is", "ELF" + trailer("cms", pkcs7, 7), "", "", "malformed"},
		{"all 32 bits", "ELF" + trailer("cms", pkcs7, 0xffffffff), "", "", "malformed"},
		{"no message", "ELF" + trailer("cms", pkcs7, 0), "", "", "malformed"},
		{"PGP", "ELF" + trailer("cms", [8]byte{}, 3), "", "", "kind"},
		{"X.509, as before Linux 4.3", "ELF" + trailer("cms", [8]byte{1, 4, 1, 9, 20}, 3), "", "", "kind"},
		{"a newer kind", "ELF" + trailer("cms", [8]byte{2: 3}, 3), "", "", "kind"},
		{"a newer kind, too long", "ELF" + trailer("cms", [8]byte{2: 3}, 7), "", "", "malformed"},
		{"algo", "ELF" + trailer("cms", [8]byte{0: 1, 2: 2}, 3), "", "", "malformed"},
		{"hash", "ELF" + trailer("cms", [8]byte{1: 1, 2: 2}, 3), "", "", "malformed"},
		{"signer_len", "ELF" + trailer("cms", [8]byte{2: 2, 3: 1}, 3), "", "", "malformed"},
		{"key_id_len", "ELF" + trailer("cms", [8]byte{2: 2, 4: 1}, 3), "", "", "malformed"},
		{"padding 5", "ELF" + trailer("cms", [8]byte{2: 2, 5: 1}, 3), "", "", "malformed"},
		{"padding 6", "ELF" + trailer("cms", [8]byte{2: 2, 6: 1}, 3), "", "", "malformed"},
		{"padding 7", "ELF" + trailer("cms", [8]byte{2: 2, 7: 1}, 3), "", "", "malformed"},
	} {
		t.Run(test.what, func(t *testing.T) {
			payload, message, err := modsig.Split([]byte(test.module))
			if (err != nil) != (test.outcome != "") || err != nil && name(t, err) != test.outcome {
				t.Fatalf("%v, want %q", err, test.outcome)
			}
			if string(payload) != test.payload || string(message) != test.message {
				t.Errorf("%q and %q", payload, message)
			}
			if err != nil {
				return
			}
			if again, err := modsig.Append(payload, message); err != nil || string(again) != test.module {
				t.Errorf("%v %q", err, again)
			}
		})
	}
}

func TestSyntaxErrorOffset(t *testing.T) {
	var e *modsig.SyntaxError
	if _, _, err := modsig.Split([]byte("ELF" + trailer("cms", [8]byte{2: 2, 4: 7}, 3))); !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e.Offset != 3+3+4 || e.What != "key_id_len" || !strings.Contains(e.Error(), "key_id_len at offset 10: 7") {
		t.Errorf("%+v: %v", e, e)
	}
}

func TestUnsigned(t *testing.T) {
	signed := "ELF" + trailer("cms", pkcs7, 3)
	for _, test := range []struct {
		what, module string
		want         modsig.UnsignedError
		text         string
	}{
		{"nothing", "ELF", modsig.UnsignedError{Magic: -1}, "the module is not signed"},
		{"a newline more", signed + "\n", modsig.UnsignedError{Magic: len(signed) - len(modsig.Magic), Appended: true, After: 1}, "1 bytes were appended"},
		{"padding", signed + strings.Repeat("\x00", 500), modsig.UnsignedError{Magic: len(signed) - len(modsig.Magic), Appended: true, After: 500}, "500 bytes were appended"},
		{"as data", "ELF " + modsig.Magic + " and more", modsig.UnsignedError{Magic: 4, After: 9}, "at offset 4 only"},
	} {
		var e *modsig.UnsignedError
		if _, _, err := modsig.Split([]byte(test.module)); !errors.As(err, &e) {
			t.Errorf("%s: %v", test.what, err)
		} else if *e != test.want || !strings.Contains(e.Error(), test.text) {
			t.Errorf("%s: %+v %v", test.what, *e, e)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, pair := range [][2]string{{"", "cms"}, {"ELF", ""}} {
		if module, err := modsig.Append([]byte(pair[0]), []byte(pair[1])); module != nil || name(t, err) != "invalid" {
			t.Errorf("%q: %v", pair, err)
		}
	}
}

func TestStrip(t *testing.T) {
	one := trailer("cms", pkcs7, 3)
	for _, test := range []struct {
		module, payload string
		count           int
		outcome         string
	}{
		{"", "", 0, ""},
		{"ELF", "ELF", 0, ""},
		{"ELF" + one, "ELF", 1, ""},
		{"ELF" + one + one + one, "ELF", 3, ""},
		{"ELF" + one + "\n", "ELF" + one + "\n", 0, ""},
		{"ELF" + one + "x" + one, "ELF" + one + "x", 1, ""},
		{"ELF" + trailer("", pkcs7, 0) + one, "", 0, "malformed"},
		{"ELF" + trailer("cms", [8]byte{}, 3), "", 0, "kind"},
	} {
		payload, count, err := modsig.Strip([]byte(test.module))
		if (err != nil) != (test.outcome != "") || err != nil && name(t, err) != test.outcome {
			t.Errorf("%q: %v", test.module, err)
		}
		if string(payload) != test.payload || count != test.count {
			t.Errorf("%q: %q, %d", test.module, payload, count)
		}
	}
}

// FuzzSplit: what is accepted is put together again to the same bytes, and nothing is given beside an error.
func FuzzSplit(f *testing.F) {
	module := read(f, "rsa-sha256.ko")
	for _, seed := range [][]byte{module, append(bytes.Clone(module), '\n'), module[1:], module[:len(module)-1], []byte(modsig.Magic),
		[]byte("E" + modsig.Magic), []byte("ELF" + trailer("cms", [8]byte{2: 3}, 3)), []byte("ELF" + trailer("cms", pkcs7, 1<<31))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, module []byte) {
		payload, message, err := modsig.Split(module)
		if err != nil {
			if payload != nil || message != nil {
				t.Fatal("something beside an error")
			}
			name(t, err)
		} else if again, err := modsig.Append(payload, message); err != nil || !bytes.Equal(again, module) {
			t.Fatalf("%v: %x", err, again)
		}
		stripped, count, err := modsig.Strip(module)
		if err == nil && !bytes.HasPrefix(module, stripped) || err == nil && (count == 0) != (len(stripped) == len(module)) {
			t.Fatalf("%d: %x", count, stripped)
		}
	})
}
