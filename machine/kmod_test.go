package machine

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"kkeys/evidence"
	"kkeys/modsig"
)

func TestKmodUnpacks(t *testing.T) {
	debian := "\x7fELF\x00libzstd.so.1\x00liblzma.so.5\x00libcrypto.so.3\x00"
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		want  [3]evidence.Answer // gzip, xz, zstd
		says  string             // of gzip
	}{
		{"Debian's", fstest.MapFS{"bin/kmod": {Data: []byte(debian)}}, [3]evidence.Answer{evidence.No, evidence.Yes, evidence.Yes}, "without libz.so"},
		{"with all", fstest.MapFS{"usr/bin/kmod": {Data: []byte(debian + "libz.so.1\x00")}, "bin/kmod": {}}, [3]evidence.Answer{evidence.Yes, evidence.Yes, evidence.Yes}, "with libz.so"},
		{"with none", fstest.MapFS{"sbin/kmod": {Data: []byte("\x7fELF")}}, [3]evidence.Answer{evidence.No, evidence.No, evidence.No}, "without libz.so"},
		{"nowhere", fstest.MapFS{}, [3]evidence.Answer{}, "not found"},
		{"no file", fstest.MapFS{"usr/bin/kmod/x": {}}, [3]evidence.Answer{}, "cannot be read"},
	} {
		m := &Machine{Files: c.files}
		for i, p := range []modsig.Packing{modsig.Gzip, modsig.XZ, modsig.Zstd} {
			if got := m.KmodUnpacks(p); got.Answer != c.want[i] {
				t.Errorf("%s, %v: %+v", c.name, p, got)
			}
		}
		if got := m.KmodUnpacks(modsig.Gzip).Evidence; !strings.Contains(got, c.says) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// What a snapshot keeps of the program answers the same.
func TestReduceKmod(t *testing.T) {
	program := []byte("\x7fELF\x00libzstd.so.1\x00libz.so.1\x00secret")
	kept, err := reduceKmod(bytes.NewReader(program))
	if err != nil || string(kept) != "libz.so\nlibzstd.so\n" {
		t.Fatalf("%q, %v", kept, err)
	}
	for _, p := range []modsig.Packing{modsig.Gzip, modsig.XZ, modsig.Zstd} {
		before, after := &Machine{Files: fstest.MapFS{"bin/kmod": {Data: program}}}, &Machine{Files: fstest.MapFS{"bin/kmod": {Data: kept}}}
		if a, b := before.KmodUnpacks(p), after.KmodUnpacks(p); a != b {
			t.Errorf("%v: %+v, %+v", p, a, b)
		}
	}
}
