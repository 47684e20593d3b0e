package keyring

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestParseProcKeys(t *testing.T) {
	// testdata/proc-keys-forged: written on Linux 6.18 by adding a certificate whose common name holds a newline and the text of a
	// keyring line.
	text, err := os.ReadFile("testdata/proc-keys-forged")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseProcKeys(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got, 0x3fffffff) {
		t.Error("the forged line is no candidate; then this fixture shows nothing")
	}
	if !slices.Contains(got, 0x045748b4) {
		t.Errorf("candidates %v miss .builtin_trusted_keys", got)
	}
}

func TestParseProcKeysShapes(t *testing.T) {
	const good = "045748b4 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: empty\n"
	for name, c := range map[string]struct {
		text string
		want []Serial
	}{
		"empty":           {"", nil},
		"one":             {good, []Serial{0x045748b4}},
		"twice":           {good + good, []Serial{0x045748b4}},
		"no newline":      {strings.TrimSpace(good), []Serial{0x045748b4}},
		"another type":    {strings.Replace(good, "keyring  ", "asymmetri", 1), nil},
		"negative serial": {strings.Replace(good, "045748b4", "f45748b4", 1), nil},
		"serial zero":     {strings.Replace(good, "045748b4", "00000000", 1), nil},
		"no hex":          {strings.Replace(good, "045748b4", "0x5748b4", 1), nil},
		"long serial":     {"0" + good, nil},
		"cut":             {good[:40], nil},
		"garbage":         {"\x00\xff\n\n;;;\n" + good, []Serial{0x045748b4}},
	} {
		got, err := ParseProcKeys(strings.NewReader(c.text))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestParseProcKeysIsBounded(t *testing.T) {
	if got, err := ParseProcKeys(strings.NewReader(strings.Repeat("a", 2<<20))); err == nil || got != nil {
		t.Errorf("a line of 2 MiB: %v, %v, want an error alone", got, err)
	}
	line := strings.Repeat("b", 1000) + "\n"
	if got, err := ParseProcKeys(io.LimitReader(repeat{line}, procKeysMax+10)); err == nil || got != nil {
		t.Errorf("more than the bound: %v, %v, want an error alone", got, err)
	}
	if got, err := ParseProcKeys(failing{}); err == nil || got != nil {
		t.Errorf("a failing reader: %v, %v, want an error alone", got, err)
	}
}

// repeat gives the same text for ever.
type repeat struct{ text string }

func (r repeat) Read(p []byte) (int, error) { return copy(p, r.text), nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errForTest }

func FuzzParseProcKeys(f *testing.F) {
	if text, err := os.ReadFile("testdata/proc-keys-forged"); err != nil {
		f.Fatal(err)
	} else {
		f.Add(string(text))
	}
	f.Add("045748b4 I------ 1 perm 1f0b0000 0 0 keyring .x: 1")
	f.Fuzz(func(t *testing.T, text string) {
		serials, err := ParseProcKeys(strings.NewReader(text))
		if err != nil && serials != nil {
			t.Error("candidates beside an error")
		}
		for i, s := range serials {
			if s <= 0 || slices.Contains(serials[:i], s) {
				t.Errorf("candidate %v is no serial, or is there twice", s)
			}
		}
	})
}
