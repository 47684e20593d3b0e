package kernel

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"kkeys/evidence"
)

// table makes a symbol table of 64 bits with the letter and name of each.
func table(symbols ...string) string {
	text := "0000000000000000 A fixed_percpu_data\n"
	for _, s := range symbols {
		text += "ffffffff81000000 " + s + "\n"
	}
	return text
}

func TestParseSymbols(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Symbols
	}{
		"none":           {table("T _stext"), Symbols{}},
		"not looked for": {table("T efi_set_secure_boot", "T restrict_link_by_ca", "T set_platform_trusted_keys", "T trust_moklist"), Symbols{"trust_moklist": true}}, // in older snapshots
		"two":            {table("T set_machine_trusted_keys", "t trust_moklist", "T other"), Symbols{"set_machine_trusted_keys": true, "trust_moklist": true}},
		"32 bits":        {"c0008000 T trust_moklist\n", Symbols{"trust_moklist": true}},
		"hidden":         {"0000000000000000 T is_key_on_revocation_list\n", Symbols{"is_key_on_revocation_list": true}},
		"suffix":         {table("t imputed_trust_enabled.constprop.0", "t trust_moklist.llvm.12345"), Symbols{"imputed_trust_enabled": true, "trust_moklist": true}},
		"prefix":         {table("t __pfx_trust_moklist", "T xtrust_moklist", "t .trust_moklist", "T trust_moklist_x"), Symbols{}},
		"weak":           {table("W arch_get_secureboot", "w trust_moklist"), Symbols{}},
		"of a module":    {table("T _stext", "t trust_moklist\t[evil]"), Symbols{}},
		"behind modules": {table("t x\t[m]", "t trust_moklist") + "nonsense", Symbols{}},
	} {
		if got, err := ParseSymbols(strings.NewReader(c.text)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	failure := errors.New("no")
	if s, err := ParseSymbols(iotest.ErrReader(failure)); s != nil || !errors.Is(err, failure) {
		t.Errorf("%v, %v", s, err)
	}
	for name, text := range map[string]string{
		"empty": "", "cut": table("T a") + "ffffffff81", "cut before the newline": strings.TrimSuffix(table("T trust_moklist"), "\n"), "blank": table() + "\n",
		"no address": "T trust_moklist\n", "odd address": "ffffffff8100000 T a\n", "no hex": "ffffffff8100000g T a\n", "upper case": "FFFFFFFF81000000 T a\n",
		"no type": "ffffffff81000000 trust_moklist\n", "no name": "ffffffff81000000 T \n", "long line": "ffffffff81000000 T " + strings.Repeat("x", symbolLineMax) + "\n",
	} {
		if s, err := ParseSymbols(strings.NewReader(text)); s != nil || err == nil {
			t.Errorf("%s: %v, %v, want an error alone", name, s, err)
		}
	}
	if s, err := ParseSymbols(&endless{line: []byte("ffffffff81000000 T another\n")}); s != nil || err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a table without end: %v, %v", s, err)
	}
}

// endless gives a line again and again.
type endless struct{ line []byte }

func (e *endless) Read(p []byte) (n int, _ error) {
	for n+len(e.line) <= len(p) {
		n += copy(p[n:], e.line)
	}
	if n == 0 {
		n = copy(p, e.line[:len(p)])
		e.line = append(e.line[n:len(e.line):len(e.line)], e.line[:n]...)
	}
	return n, nil
}

// The table is looked at only where there is no configuration.
func TestReadSymbols(t *testing.T) {
	content := map[string]string{release: "6.1.0\n", symbolFile: table("T set_machine_trusted_keys")}
	if s := Read(files(content)); !s.Symbols["set_machine_trusted_keys"] {
		t.Errorf("without a configuration: %v", s.Symbols)
	}
	content["lib/modules/6.1.0/build/.config"] = "CONFIG_MODULES=y\n"
	if s := Read(files(content)); s.Symbols != nil || s.ConfigPath != "/lib/modules/6.1.0/build/.config" {
		t.Errorf("with a configuration: %v, %s", s.Symbols, s.ConfigPath)
	}
	if s, err := ReadSymbols(files(nil)); s != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := ReadSymbols(fstest.MapFS{symbolFile: {Mode: fs.ModeNamedPipe}}); s != nil || err == nil {
		t.Errorf("a pipe: %v, %v", s, err)
	}
}

// Of a real kernel the table can be read by everybody.
func TestSymbolsOfThisKernel(t *testing.T) {
	if _, err := os.Stat("/" + symbolFile); err != nil {
		t.Skip("this kernel shows no symbols: ", err)
	}
	if _, err := ReadSymbols(os.DirFS("/")); err != nil {
		t.Error(err)
	}
}

func BenchmarkReadSymbols(b *testing.B) {
	for range b.N {
		if _, err := ReadSymbols(os.DirFS("/")); err != nil {
			b.Skip(err)
		}
	}
}

func FuzzParseSymbols(f *testing.F) {
	for _, seed := range []string{table("T trust_moklist", "t x\t[m]"), "c0008000 W arch_get_secureboot\n", "ffffffff81000000 T trust_moklist.1", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := ParseSymbols(strings.NewReader(text))
		if (found == nil) == (err == nil) {
			t.Fatalf("%v, %v", found, err)
		}
		for name := range found {
			if !strings.Contains(text, " "+name) {
				t.Errorf("%s is not in the text", name)
			}
		}
	})
}

func TestBuilt(t *testing.T) {
	config := Config{"A": "y", "B": "m", "C": `"text"`, "D": "17"}
	symbols := Symbols{
		"set_machine_trusted_keys": true, "arch_get_secureboot": true, "is_key_on_revocation_list": true,
	}
	for _, c := range []struct {
		status Status
		option string
		want   evidence.Answer
		says   string
	}{
		{Status{Config: config, ConfigPath: "/c"}, "A", evidence.Yes, "CONFIG_A=y"},
		{Status{Config: config, ConfigPath: "/c"}, "B", evidence.Yes, "CONFIG_B=m"},
		{Status{Config: config, ConfigPath: "/c"}, "C", evidence.Unknown, "neither"},
		{Status{Config: config, ConfigPath: "/c"}, "D", evidence.Unknown, "neither"},
		{Status{Config: config, ConfigPath: "/c"}, "E", evidence.No, "not set"},
		{Status{Config: config, ConfigPath: "/c", Symbols: symbols}, "INTEGRITY_MACHINE_KEYRING", evidence.No, "not set"},
		{Status{Symbols: symbols}, "INTEGRITY_MACHINE_KEYRING", evidence.Yes, "set_machine_trusted_keys"},
		{Status{Symbols: Symbols{"trust_moklist": true}}, "INTEGRITY_MACHINE_KEYRING", evidence.Yes, "trust_moklist"},
		{Status{Symbols: Symbols{"imputed_trust_enabled": true}}, "INTEGRITY_MACHINE_KEYRING", evidence.Yes, "imputed_trust_enabled"},
		{Status{Symbols: symbols}, "HAVE_ARCH_GET_SECUREBOOT", evidence.Yes, "arch_get_secureboot"},
		{Status{Symbols: symbols}, "SYSTEM_REVOCATION_LIST", evidence.Yes, "is_key_on_revocation_list"},
		{Status{Symbols: Symbols{}}, "INTEGRITY_MACHINE_KEYRING", evidence.Unknown, "proves nothing"},
		{Status{Symbols: symbols}, "MODULE_SIG", evidence.Unknown, "no kernel configuration"},
		{Status{}, "INTEGRITY_MACHINE_KEYRING", evidence.Unknown, "no kernel configuration"},
	} {
		r := c.status.Built(c.option)
		if r.Answer != c.want || !strings.Contains(r.Evidence, c.says) || r.Source == "" || c.want == evidence.Unknown && c.status.Config == nil && strings.Contains(r.Evidence, "only there") || (r.Source == configPlaces) != (c.status.Config == nil && c.status.Symbols == nil) {
			t.Errorf("%s: %+v, want %v about %q", c.option, r, c.want, c.says)
		}
	}
	for _, names := range only {
		for _, name := range names {
			if !reflect.DeepEqual(parsed(t, table("T "+name)), Symbols{name: true}) {
				t.Errorf("%s is not looked for", name)
			}
		}
	}
}

// parsed reads a table that must be good.
func parsed(t *testing.T, text string) Symbols {
	t.Helper()
	s, err := ParseSymbols(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
