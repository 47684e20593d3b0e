package kernel

import (
	"strings"
	"testing"

	"kkeys/evidence"
)

func TestParseOSRelease(t *testing.T) {
	for text, want := range map[string]Distribution{
		"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n": {ID: "debian", Version: "12"},
		"# comment\nID='arch'\n  PRETTY_NAME = x\n\nNONSENSE\n":                          {ID: "arch"},
		"ID=\"a\\\"b\\\\c\"": {ID: `a"b\c`},
		"":                   {},
		"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n": {ID: "linuxmint", Like: "ubuntu debian"},
		"ID=\"unended":               {ID: `"unended`},
		"#ID=debian\nVERSION_ID=1\n": {Version: "1"},
	} {
		if got, err := ParseOSRelease(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{strings.Repeat("x", 70<<10), strings.Repeat("#\n", 40<<10)} {
		if got, err := ParseOSRelease(strings.NewReader(text)); err == nil || got != (Distribution{}) {
			t.Errorf("%d bytes: %+v, %v, want an error alone", len(text), got, err)
		}
	}
}

func TestExpect(t *testing.T) {
	for d, want := range map[Distribution]evidence.Answer{
		{ID: "debian"}: evidence.Yes, {ID: "arch"}: evidence.No, {ID: "nobody"}: evidence.Unknown, {}: evidence.Unknown,
		{ID: "ubuntu", Version: "22.04"}: evidence.Yes, {ID: "ubuntu", Version: "24.04"}: evidence.Yes, {ID: "ubuntu", Version: "25.10"}: evidence.Unknown, {ID: "ubuntu"}: evidence.Unknown,
	} {
		if got := d.Expect().Platform; got != want {
			t.Errorf("%+v: %v, want %v", d, got, want)
		}
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add("ID=debian\nPRETTY_NAME=\"x\\\"y\"")
	f.Add("=\n'\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseOSRelease(strings.NewReader(text)); err != nil && d != (Distribution{}) {
			t.Error("a distribution beside an error")
		}
	})
}
