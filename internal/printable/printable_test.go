package printable

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"Debian Secure Boot CA":        "Debian Secure Boot CA",
		"Société Générale":             "Société Générale",
		"Evil; Corp":                   "Evil; Corp",
		"two\nlines":                   `two\nlines`,
		`two\nlines`:                   `two\\nlines`,
		"\x1b[31mred\x1b[0m":           `\x1b[31mred\x1b[0m`,
		"a\tb\rc\x00d\x7f":             `a\x09b\x0dc\x00d\x7f`,
		"\xff\xfebytes":                `\xff\xfebytes`,
		"right\u202eleft":              `right\u202eleft`,
		"zero\u200bwidth":              `zero\u200bwidth`,
		"\u0085next":                   `\x85next`,
		"line\u2028separator":          `line\u2028separator`,
		"tag\U000e0041":                `tag\U000e0041`,
		"\u00a0no-break":               `\xa0no-break`,
		"replacement \ufffd is itself": "replacement \ufffd is itself",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b]0;title\a", "a\\b", "\xc3\x28", "\u202e\u2066"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s)
		if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Text(%q) = %q holds an unprintable character", s, out)
		}
		if s != "" && out == "" {
			t.Errorf("Text(%q) is empty", s)
		}
	})
}
