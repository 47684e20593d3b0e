package audit

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// whole has each key that a policy can have.
const whole = `version = 1
[checks]
off = ["KK-KEY-006"]
on = ["KK-KRN-003"]
[severity]
KK-MOD-002 = "critical"
[thresholds]
lockdown = "confidentiality"
rsa_bits = 3072
ec_bits = 384
weak_hashes = ["sha1"]
expires_days = 90
nvram_free_fail = 6000
nvram_free_warn = 20000
taint_fail = "E"
taint_warn = "O"
private_key_mode = 0o400
dbx_entries = 100
[keys]
trust = ["kernel", "vendor"]
[[keys.allow]]
name = "ours"
key_id = "AA:01"
stores = ["mok", ".machine", "modules"]
[[keys.allow]]
sha256 = "0101010101010101010101010101010101010101010101010101010101010101"
[[keys.allow]]
file = "ours.der"
[[waivers]]
check = "KK-MOD-001"
subject = "driver"
reason = "until the vendor signs it"
expires = 2027-01-31
`

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for name, zero := range zeros(reflect.ValueOf(p), "") {
		if zero && name != ".Keys.Allow[0].SHA256" && !strings.HasPrefix(name, ".Keys.Allow[") {
			t.Errorf("%s was not read", name)
		}
	}
	if p.Keys.Allow[0].KeyID != "aa01" || p.Thresholds.KeyMode != 0o400 || p.severity(rule{id: "KK-MOD-002"}) != Critical || !p.Off("KK-KEY-006") || p.Off("KK-KRN-003") {
		t.Errorf("%+v", p)
	}
	if w := p.Waivers[0]; w.Expired(time.Date(2027, 1, 31, 23, 59, 59, 0, time.UTC)) || !w.Expired(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%s ends on %s", w, w.Until())
	}
	if p, err := ParsePolicy([]byte("version = 1\n")); err != nil || !reflect.DeepEqual(p, DefaultPolicy()) {
		t.Errorf("a policy that says nothing: %v, %+v", err, p)
	}
}

// zeros tells of each field whether it is zero.
func zeros(v reflect.Value, name string) map[string]bool {
	all := map[string]bool{}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("toml") != "-" && f.IsExported() {
				for k, zero := range zeros(v.Field(i), name+"."+f.Name) {
					all[k] = zero
				}
			}
		}
	case reflect.Slice:
		all[name] = v.Len() == 0
	default:
		all[name] = v.IsZero()
	}
	return all
}

// What is wrong is named: the key, and the line where the text itself is wrong. Nothing of such a policy holds.
func TestParsePolicyRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"":                                   "version is 0",
		"version = 2":                        "version is 2",
		"version = 1\nversoin = 1\n":         `line 2: unknown key "versoin"`,
		"version = 1\n[checks]\noof = []":    `line 3: unknown key "checks.oof"`,
		"version = 1\n[[waivers]]\nwhy = ''": `line 3: unknown key "waivers.why"`,
		"version = 1\n[thresholds]\nrsa_bits = \"many\"\n":                                       "line 3",
		"version = 1\n[thresholds]\nrsa_bits = -1\n":                                             "thresholds.rsa_bits: -1",
		"version = 1\n[thresholds]\nrsa_bits = 1\nrsa_bits = 2\n":                                "line 4",
		"version = 1\n[thresholds]\nlockdown = \"none\"\n":                                       "thresholds.lockdown",
		"version = 1\n[thresholds]\ntaint_fail = \"EQ\"\n":                                       "thresholds.taint_fail",
		"version = 1\n[thresholds]\nprivate_key_mode = 512\n":                                    "private_key_mode",
		"version = 1\n[checks]\noff = [\"KK-SB-999\"]":                                           `checks.off: there is no check "KK-SB-999"`,
		"version = 1\n[checks]\noff = [\"KK-SB-001\"]\non = [\"KK-SB-001\"]":                     "off and on",
		"version = 1\n[severity]\nKK-SB-001 = \"bad\"":                                           "severity.KK-SB-001",
		"version = 1\n[severity]\nKK-SB-999 = \"low\"":                                           "severity",
		"version = 1\n[keys]\ntrust = [\"microsoft\"]":                                           "keys.trust",
		"version = 1\n[[keys.allow]]\nname = \"x\"":                                              "keys.allow[0]: exactly one",
		"version = 1\n[[keys.allow]]\nkey_id = \"aa\"\nfile = \"x\"":                             "keys.allow[0]: exactly one",
		"version = 1\n[[keys.allow]]\nkey_id = \"xyz\"":                                          "key_id",
		"version = 1\n[[keys.allow]]\nsha256 = \"aa\"":                                           "1 bytes instead of 32",
		"version = 1\n[[keys.allow]]\nkey_id = \"aa\"\nstores = [\"nowhere\"]":                   "stores",
		"version = 1\n[[keys.allow]]\nkey_id = \"aa\"\nstores = [\"db\", \"dbx\"]":               `"dbx" is refused`,
		"version = 1\n[[keys.allow]]\nkey_id = \"aa\"\nstores = [\"mokx\"]":                      `"mokx" is refused`,
		"version = 1\n[[keys.allow]]\nkey_id = \"aa\"\nstores = [\".blacklist\"]":                `".blacklist" is refused`,
		"version = 1\n[[waivers]]\ncheck = \"KK-SB-001\"\nexpires = 2027-01-01":                  "waivers[0]: reason",
		"version = 1\n[[waivers]]\ncheck = \"KK-SB-001\"\nreason = \"  \"\nexpires = 2027-01-01": "waivers[0]: reason",
		"version = 1\n[[waivers]]\ncheck = \"KK-SB-001\"\nreason = \"x\"":                        "waivers[0]: expires",
		"version = 1\n[[waivers]]\ncheck = \"KK-SB-001\"\nreason = \"x\"\nexpires = \"soon\"":    "line 5",
		"version = 1\n[[waivers]]\ncheck = \"KK-SB-001\"\nreason = \"x\"\nexpires = 2027-02-30":  "line 5",
		"version = 1\n[[waivers]]\ncheck = \"KK-POL-001\"\nreason = \"x\"\nexpires = 2027-01-01": "cannot be waived",
		"version = 1\n[[waivers]]\ncheck = \"KK-SB-1\"\nreason = \"x\"\nexpires = 2027-01-01":    "there is no check",
		"version = 1\n" + strings.Repeat("#", PolicyMax):                                         "more than",
		"version = 1\n\xff": "",
		"VERSION = 1":       `line 1: unknown key "VERSION"`,
		"version = 1\nx = 1\n[y]\nz = 1\n[checks]\noof = []": `line 2: unknown key "x"; line 3: unknown key "y"; line 6: unknown key "checks.oof"`,
		"version = 1\n[[Waivers]]\ncheck = \"KK-SB-001\"\nreason = \"x\"\nexpires = 2027-01-01\n[[waivers]]\ncheck = \"KK-SB-002\"\nreason = \"x\"\nexpires = 2027-01-01": `line 2: unknown key "Waivers"`,
		"version = 1\n[keys]\nallow = [\n{key_id = \"aa\"},\n{Key_ID = \"bb\"}]":                                                                                          `line 5: unknown key "keys.allow.Key_ID"`,
		"version = 1\nkeys.Trust = []":                                                     `line 2: unknown key "keys.Trust"`,
		"version = 1\nchecks = {Off = []}":                                                 `line 2: unknown key "checks.Off"`,
		"version = 1\n[thresholds]\nrsa_bits = -1\nec_bits = -2\nexpires_days = -3":        "thresholds.rsa_bits: -1",
		"version = 1\n[severity]\nKK-SB-004 = \"x\"\nKK-SB-003 = \"x\"\nKK-SB-001 = \"x\"": "severity.KK-SB-001",
		"version = 1\n[thresholds]\nweak_hashes = [\"sha-1\"]":                             `thresholds.weak_hashes: "sha-1" is none of`,
		"version = 1\n[thresholds]\nweak_hashes = [\"SHA1\"]":                              `thresholds.weak_hashes: "SHA1" is none of`,
		"version = 1\n[[keys.allow]]\nkey_id = \"::\"":                                     "key_id: no byte",
		"version = 1\n[[keys.allow]]\nsha256 = \":\"":                                      "sha256: no byte",
		"version = 1\n[keyz]\n[keys":                                                       `line 2: unknown key "keyz"`,
		"version = 1\n[keys":                                                               "line 2",
	} {
		p, err := ParsePolicy([]byte(text))
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), says) || !reflect.DeepEqual(p, Policy{}) {
			t.Errorf("%.90q: %v, want %q", text, err, says)
		}
	}
}

// Of many keys that no policy has the first are named, and it takes no longer for each of them.
func TestParsePolicyManyUnknown(t *testing.T) {
	var tables, inline strings.Builder
	tables.WriteString("version = 1\n")
	inline.WriteString("version = 1\nchecks = {")
	for i := range 50000 {
		fmt.Fprintf(&tables, "[a%d]\n", i)
		fmt.Fprintf(&inline, "a%d = 1, ", i)
	}
	inline.WriteString("off = []}\n")
	for text, last := range map[string]string{tables.String(): `line 11: unknown key "a9"; and more`, inline.String(): `line 2: unknown key "checks.a9"; and more`} {
		start := time.Now()
		_, err := ParsePolicy([]byte(text))
		if !errors.Is(err, ErrPolicy) || !strings.HasSuffix(err.Error(), last) {
			t.Errorf("%.300v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s", took)
		}
	}
}

// The example in the documentation is a policy, and has every key that one can have.
func TestPolicyOfDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```toml\n")
	example, _, found := strings.Cut(rest, "```")
	p, err := ParsePolicy([]byte(example))
	if !found || err != nil {
		t.Fatalf("%v\n%s", err, example)
	}
	for name, zero := range zeros(reflect.ValueOf(p), "") {
		if zero {
			t.Errorf("the example has nothing for %s", name)
		}
	}
	for key := range keysOf(reflect.TypeFor[Policy]()) {
		if !strings.Contains(example, key) {
			t.Errorf("the example has no %s", key)
		}
	}
}

// keysOf are the names of a policy's keys.
func keysOf(of reflect.Type) map[string]bool {
	all := map[string]bool{}
	for of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.PkgPath() != "kkeys/audit" {
		return all
	}
	for i := range of.NumField() {
		f := of.Field(i)
		if name := f.Tag.Get("toml"); name != "" && name != "-" {
			all[name] = true
			for below := range keysOf(f.Type) {
				all[below] = true
			}
		}
	}
	return all
}

// Each check has a row in the documentation, with its title, its severity and its references.
func TestTableOfDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range table {
		if seen[r.id] {
			t.Errorf("%s is there twice", r.id)
		}
		seen[r.id] = true
		row := "| " + r.id + " | " + r.title + " | " + string(r.severity) + " | "
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/audit.md has no row %q", row)
			continue
		}
		_, rest, _ := strings.Cut(string(text), row)
		line, _, _ := strings.Cut(rest, "\n")
		for _, reference := range r.references {
			if !strings.Contains(line, reference) {
				t.Errorf("docs/audit.md, %s: no reference %s", r.id, reference)
			}
		}
	}
}

var policySeeds = []string{"version = 1\n", "", "version = 1\n[[waivers]]\ncheck = \"KK-SB-001\"\nreason = \"x\"\nexpires = 2027-01-01\n", "version = 1\n[checks]\noof = []"}

// FuzzParsePolicy: whatever is accepted is a policy that audits can be made with, and nothing comes beside an error.
func FuzzParsePolicy(f *testing.F) {
	if _, err := ParsePolicy([]byte(whole)); err != nil {
		f.Fatalf("the largest seed is no policy: %v", err)
	}
	for _, seed := range append(policySeeds, whole) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			if !errors.Is(err, ErrPolicy) || !reflect.DeepEqual(p, Policy{}) {
				t.Fatalf("%v, %+v", err, p)
			}
			return
		}
		if err := p.validate(); err != nil {
			t.Fatal(err)
		}
		r := Run(Facts{Now: time.Unix(0, 0)}, p)
		if len(r.Checks) != len(table) {
			t.Fatalf("%d checks", len(r.Checks))
		}
	})
}
