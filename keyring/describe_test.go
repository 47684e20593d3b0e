package keyring

import (
	"errors"
	"strings"
	"testing"
)

func TestParseDescription(t *testing.T) {
	for text, want := range map[string]Key{
		"keyring;0;0;1f0b0000;.machine":            {Type: "keyring", Permissions: 0x1f0b0000, Description: ".machine"},
		"asymmetric;0;0;1f010000;Debian CA: 6ccec": {Type: "asymmetric", Permissions: 0x1f010000, Description: "Debian CA: 6ccec"},
		"asymmetric;1000;-1;39010000;Evil; Corp;;": {Type: "asymmetric", UID: 1000, GID: -1, Permissions: 0x39010000, Description: "Evil; Corp;;"},
		"asymmetric;0;0;00000000;":                 {Type: "asymmetric"},
		"asymmetric;0;0;00000000;a\nb\x1b[0m\xff":  {Type: "asymmetric", Description: "a\nb\x1b[0m\xff"},
		"blacklist;0;65534;09090000;tbs:00ff":      {Type: "blacklist", GID: 65534, Permissions: 0x09090000, Description: "tbs:00ff"},
	} {
		got, err := ParseDescription(text)
		if err != nil || got != want {
			t.Errorf("ParseDescription(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		if got.Text() != text {
			t.Errorf("%q comes back as %q", text, got.Text())
		}
	}
}

func TestParseDescriptionRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"":                                      "1 of 5 fields at offset 0",
		"keyring;0;0;1f0b0000":                  "4 of 5 fields",
		";0;0;1f0b0000;.machine":                "empty type",
		"keyring;x;0;1f0b0000;.machine":         `uid "x" at offset 8`,
		"keyring;0;;1f0b0000;.machine":          `gid "" at offset 10`,
		"keyring;00;0;1f0b0000;.machine":        `uid "00"`,
		"keyring;+1;0;1f0b0000;.machine":        `uid "+1"`,
		"keyring;99999999999;0;1f0b0000;.m":     "uid",
		"keyring;0;0;1F0B0000;.machine":         `permissions "1F0B0000" at offset 12`,
		"keyring;0;0;1f0b000;.machine":          "permissions",
		"keyring;0;0;1f0b00000;.machine":        "permissions",
		"keyring;0;0;1f0b0000;.mach\x00ine":     "NUL at offset 26",
		strings.Repeat("9", 1<<20) + ";0;0;0;x": "permissions",
	} {
		got, err := ParseDescription(text)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ParseDescription(%.40q) = %v, want an error with %q", text, err, why)
		}
		if got != (Key{}) {
			t.Errorf("ParseDescription(%.40q) gives %+v beside its error", text, got)
		}
	}
}

func FuzzParseDescription(f *testing.F) {
	for _, seed := range []string{"keyring;0;0;1f0b0000;.machine", "asymmetric;1000;-1;39010000;Evil; Corp;;", ";;;;", "a;b;c;d;e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseDescription(text)
		if err == nil && key.Text() != text {
			t.Errorf("%q comes back as %q", text, key.Text())
		}
		if err != nil && key != (Key{}) {
			t.Errorf("%q gives %+v beside its error", text, key)
		}
	})
}

var errForTest = errors.New("for the test")
