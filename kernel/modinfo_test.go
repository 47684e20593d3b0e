package kernel

import (
	"bytes"
	"crypto/rand"
	"debug/elf"
	"errors"
	"testing"
)

func TestParseInfo(t *testing.T) {
	payload, err := NewPayload(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	info, err := ParseInfo(payload.Bytes())
	if err != nil || info.Name != payload.Name() || info.Machine == elf.EM_NONE || info.InTree {
		t.Errorf("%+v, %v", info, err)
	}
	for _, bad := range [][]byte{nil, []byte("\x7fELF"), payload.Bytes()[:100], bytes.Replace(payload.Bytes(), []byte(".modinfo"), []byte(".nothing"), 1)} {
		if info, err := ParseInfo(bad); !errors.Is(err, ErrNoInfo) || info != nil {
			t.Errorf("%.20q: %+v, %v", bad, info, err)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	payload, err := NewPayload(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload.Bytes())
	f.Fuzz(func(t *testing.T, module []byte) {
		if info, err := ParseInfo(module); (info == nil) != (err != nil) {
			t.Errorf("%+v, %v", info, err)
		}
	})
}
