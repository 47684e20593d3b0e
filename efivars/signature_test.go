package efivars_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"kkeys/efivars"
)

func listBytes(t testing.TB, lists ...efivars.SignatureList) []byte {
	t.Helper()
	b, err := efivars.EncodeSignatureLists(lists)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hashes(kind efivars.GUID, size, n int) efivars.SignatureList {
	l := efivars.SignatureList{Type: kind}
	for i := range n {
		l.Signatures = append(l.Signatures, efivars.Signature{Owner: vendor, Data: bytes.Repeat([]byte{byte(i)}, size)})
	}
	return l
}

// The example of one certificate: type, sizes, shim as owner, then the certificate.
func TestX509List(t *testing.T) {
	der := bytes.Repeat([]byte{0xda}, 787)
	b := listBytes(t, efivars.X509List(efivars.Shim, der))
	head := "\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72" + "\x3f\x03\x00\x00" + "\x00\x00\x00\x00" +
		"\x23\x03\x00\x00" + "\x50\xab\x5d\x60\x46\xe0\x00\x43\xab\xb6\x3d\xd8\x10\xdd\x8b\x23"
	if string(b) != head+string(der) {
		t.Errorf("% x", b[:60])
	}
}

func TestSignatureListsRoundTrip(t *testing.T) {
	unknown := hashes(efivars.GUID{Data1: 7}, 5, 3)
	unknown.Header = []byte("header")
	b := listBytes(t, efivars.X509List(efivars.Shim, []byte("der")), hashes(efivars.SHA256, 32, 100),
		hashes(efivars.SHA1, 20, 1), hashes(efivars.X509SHA256, 48, 2), unknown)
	lists, err := efivars.ParseSignatureLists(b)
	if err != nil || len(lists) != 5 || len(lists[1].Signatures) != 100 || string(lists[4].Header) != "header" {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	if got := listBytes(t, lists...); !bytes.Equal(got, b) {
		t.Error("other bytes")
	}
	if lists, err := efivars.ParseSignatureLists(nil); err != nil || lists != nil {
		t.Errorf("no bytes: %v, %v", lists, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	uneven := hashes(efivars.SHA256, 32, 2)
	uneven.Signatures[1].Data = []byte("short")
	for _, l := range []efivars.SignatureList{{Type: efivars.X509}, uneven} {
		if b, err := efivars.EncodeSignatureLists([]efivars.SignatureList{l}); !errors.Is(err, efivars.ErrInvalid) || b != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

// hostileLists are broken lists and the offset of the field that is wrong.
func hostileLists(t testing.TB) map[string]struct {
	bytes  []byte
	offset int
} {
	type hostile = struct {
		bytes  []byte
		offset int
	}
	good := listBytes(t, hashes(efivars.SHA256, 32, 5)) // 28 + 5*48 = 268
	patch := func(at int, value ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], value)
		return b
	}
	return map[string]hostile{
		"one byte":                     {good[:1], 0},
		"no sizes":                     {good[:16], 0},
		"header only":                  {good[:28], 16},
		"cut after three signatures":   {good[:28+3*48], 16},
		"cut by one byte":              {good[:len(good)-1], 16},
		"size zero":                    {patch(16, 0, 0, 0, 0), 16},
		"size under the header":        {patch(16, 27, 0, 0, 0), 16},
		"no signature":                 {patch(16, 28, 0, 0, 0), 24},
		"size of 4 GiB":                {patch(16, 0xff, 0xff, 0xff, 0xff), 16},
		"header of 4 GiB":              {patch(20, 0xff, 0xff, 0xff, 0xff), 20},
		"header to the end":            {patch(20, 240), 24},
		"header one beyond the end":    {patch(20, 241), 20},
		"signature of 4 GiB":           {patch(24, 0xff, 0xff, 0xff, 0xff), 24},
		"signature without bytes":      {patch(24, 0), 24},
		"signature without its owner":  {patch(24, 15), 24},
		"signatures that do not match": {patch(24, 49), 24},
		"sizes that wrap":              {patch(16, 0x0c, 1, 0, 0, 0xf0, 0xff, 0xff, 0xff), 20},
	}
}

func TestHostileSignatureLists(t *testing.T) {
	front := listBytes(t, efivars.X509List(efivars.Shim, []byte("certificate")))
	for why, h := range hostileLists(t) {
		for _, lead := range [][]byte{nil, front} {
			lists, err := efivars.ParseSignatureLists(slices.Concat(lead, h.bytes))
			var corrupt *efivars.CorruptError
			if lists != nil || !errors.As(err, &corrupt) || !errors.Is(err, efivars.ErrCorrupt) {
				t.Errorf("%s: %d lists, %v", why, len(lists), err)
				continue
			}
			if corrupt.Clean != len(lead) || corrupt.Offset != len(lead)+h.offset || corrupt.Why == "" {
				t.Errorf("%s: %+v", why, corrupt)
			}
		}
	}
}

func FuzzSignatureLists(f *testing.F) {
	f.Add(listBytes(f, efivars.X509List(efivars.Shim, []byte("der")), hashes(efivars.SHA256, 32, 2)))
	for _, h := range hostileLists(f) {
		f.Add(h.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lists, err := efivars.ParseSignatureLists(b)
		if err != nil {
			var corrupt *efivars.CorruptError
			if lists != nil || !errors.As(err, &corrupt) || corrupt.Clean > corrupt.Offset || corrupt.Offset > len(b) {
				t.Fatalf("%d lists, %v", len(lists), err)
			}
			if _, err := efivars.ParseSignatureLists(b[:corrupt.Clean]); err != nil {
				t.Fatalf("the clean part is not clean: %v", err)
			}
			return
		}
		again, err := efivars.EncodeSignatureLists(lists)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded as %x, %v", again, err)
		}
	})
}
