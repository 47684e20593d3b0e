package kernel

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
)

func TestParseParameters(t *testing.T) {
	for text, want := range map[string]Parameters{
		"":                      {},
		" \t\n":                 {},
		"quiet lockdown=none\n": {{"quiet", "", false, "quiet"}, {"lockdown", "none", true, "lockdown=none"}},
		"a= b==c =d =e=f":       {{"a", "", true, "a="}, {"b", "=c", true, "b==c"}, {"=d", "", false, "=d"}, {"=e", "f", true, "=e=f"}},
		`a="b c" "d=e f" "g h"`: {{"a", "b c", true, `a="b c"`}, {"d", "e f", true, `"d=e f"`}, {"g h", "", false, `"g h"`}},
		// One open quote swallows what follows, and the equals sign in it divides.
		`a="b" c" d e="f`: {{"a", "b", true, `a="b"`}, {`c" d e`, "f", true, `c" d e="f`}},
		`"a="b""`:         {{"a", `b"`, true, `"a="b""`}},
		`"a=" x`:          {{"a", "", true, `"a="`}, {"x", "", false, "x"}},
		`"`:               {{"", "", false, `"`}},
		`""x`:             {{`"x`, "", false, `""x`}},
		`a="`:             {{"a", "", true, `a="`}},
		`a=b"c d"e`:       {{"a", `b"c d"e`, true, `a=b"c d"e`}},
		"a -- b=1":        {{"a", "", false, "a"}},
		`a "--" b=1`:      {{"a", "", false, "a"}},
		"a --=1 --b":      {{"a", "", false, "a"}, {"--", "1", true, "--=1"}, {"--b", "", false, "--b"}},
		"a\xa0b\v\fc":     {{"a", "", false, "a"}, {"b", "", false, "b"}, {"c", "", false, "c"}},
		"\x85 é":          {{"\x85", "", false, "\x85"}, {"é", "", false, "é"}},
	} {
		got, err := ParseParameters(strings.NewReader(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestParametersNamed(t *testing.T) {
	p, err := ParseParameters(strings.NewReader("ima_policy=tcb ima-policy=\"secure_boot|x\" quiet lockdown=integrity lockdown=none -- lockdown=confidentiality\n"))
	if err != nil {
		t.Fatal(err)
	}
	if value, found := p.Last("lockdown"); value != "none" || !found {
		t.Errorf("lockdown %q, %v", value, found)
	}
	if got := p.All("ima_policy"); !reflect.DeepEqual(got, []string{"tcb", "secure_boot|x"}) {
		t.Errorf("ima_policy %q", got)
	}
	if value, found := p.Last("quiet"); value != "" || !found {
		t.Errorf("quiet %q, %v", value, found)
	}
	for _, p := range []Parameters{p, nil, {}} {
		if value, found := p.Last("lock"); value != "" || found || p.All("lock") != nil {
			t.Errorf("lock %q, %v", value, found)
		}
	}
	if got, want := p.String(), `ima_policy=tcb ima-policy="secure_boot|x" quiet lockdown=integrity lockdown=none`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParametersRefused(t *testing.T) {
	failure := errors.New("no")
	for name, text := range map[string]string{"too much": strings.Repeat("a ", commandLineMax), "a zero byte": "a\x00b"} {
		if p, err := ParseParameters(strings.NewReader(text)); p != nil || err == nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if p, err := ParseParameters(iotest.ErrReader(failure)); p != nil || !errors.Is(err, failure) {
		t.Errorf("%v, %v", p, err)
	}
	for name, root := range map[string]fs.FS{
		"none": files(nil), "a pipe": fstest.MapFS{commandLineFile: {Mode: fs.ModeNamedPipe}}, "a zero byte": files(map[string]string{commandLineFile: "\x00"}),
	} {
		if s := Read(root); s.CommandLine != nil {
			t.Errorf("%s: %v", name, s.CommandLine)
		}
	}
	if s := Read(files(map[string]string{commandLineFile: "\n"})); s.CommandLine == nil || len(s.CommandLine) != 0 {
		t.Errorf("an empty command line: %#v", s.CommandLine)
	}
}

func FuzzParseParameters(f *testing.F) {
	for _, seed := range []string{"quiet a=b \"c d\"=e -- x\n", `a="b c" "d=e f`, "\"a=\"b\"\"", "\xa0=\xa0\"\x00", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseParameters(strings.NewReader(text))
		if (err == nil) != (p != nil) {
			t.Fatalf("%v, %v", p, err)
		}
		rest := text
		for _, each := range p {
			at := strings.Index(rest, each.Word)
			if at < 0 || each.Word == "" || !strings.Contains(each.Word, each.Name) || !strings.Contains(each.Word, each.Value) || !each.Set && each.Value != "" {
				t.Fatalf("%+v is not in %q", each, rest)
			}
			rest = rest[at+len(each.Word):]
		}
		if err != nil {
			return
		}
		if again, err := ParseParameters(strings.NewReader(p.String() + "\n")); err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%q: %+v became %+v, %v", text, p, again, err)
		}
	})
}
