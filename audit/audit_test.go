package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/mok"

	"github.com/pelletier/go-toml/v2"
)

// Where nothing was seen, no check passes but those of what is none.
func TestNothingSeen(t *testing.T) {
	p, err := ParsePolicy([]byte("version = 1\n[checks]\non = [\"KK-KRN-003\"]\n[keys]\ntrust = [\"kernel\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	unseen := errors.New("nobody looked")
	var stores []Store
	for _, name := range []string{"PK", "KEK", "db", "dbx"} {
		stores = append(stores, Store{Name: name, Kind: Firmware, Err: unseen})
	}
	stores = append(stores, Store{Name: "mok", Kind: Shim, Err: unseen}, Store{Name: ".machine", Kind: Keyring, Err: unseen}, Store{Name: ".blacklist", Kind: Keyring, Err: unseen})
	for why, f := range map[string]Facts{
		"no variables": {EFI: true, NoVariables: unseen, Stores: stores, LoadedErr: unseen, KeyFilesGaps: []Gap{{"/var/lib", unseen}}},
		"variables":    {EFI: true, Stores: stores, LoadedErr: unseen, KeyFilesGaps: []Gap{{"/var/lib", unseen}}, AnswersErr: unseen},
	} {
		f.Trees = []Tree{{Release: "1", Running: true, Err: unseen}}
		for _, c := range Run(f, p).Checks {
			switch c.ID {
			case WaiverID, DriftID:
				if c.Result != NotApplicable {
					t.Errorf("%s: %s is %s", why, c.ID, c.Result)
				}
			default:
				if c.Result != Unknown {
					t.Errorf("%s: %s is %s: %s", why, c.ID, c.Result, c.Evidence)
				}
			}
		}
	}
}

// A machine without EFI whose kernel has no modules has little to be asked about, and nothing of that is a finding.
func TestNotApplicable(t *testing.T) {
	no := evidence.Reading{Answer: evidence.No, Evidence: "no modules"}
	for _, c := range Run(Facts{Modular: no}, DefaultPolicy()).Checks {
		if want := slices.Contains([]string{"KK-KRN-001", "KK-KRN-004"}, c.ID); (c.Result == Unknown) != want || c.Finding() {
			t.Errorf("%s: %s: %s", c.ID, c.Result, c.Evidence)
		}
	}
}

func TestFlags(t *testing.T) {
	for taint, want := range map[uint64]string{0: "", 1: "P", 1 << 12: "O", 1<<12 | 1<<13: "OE", 1 << 1: "F", 1 << 19: "J", 1 << 40: "40"} {
		if got := strings.Join(Flags(taint), ""); got != want {
			t.Errorf("%#x: %q, want %q", taint, got, want)
		}
	}
}

// Requests that wait, and what is left of some.
func TestRequests(t *testing.T) {
	for why, c := range map[string]struct {
		pending mok.Pending
		want    Result
	}{
		"none":              {mok.Pending{}, Pass},
		"one":               {mok.Pending{Requests: []mok.Request{{Kind: mok.Enroll, Auth: evidence.Reading{Answer: evidence.Yes}}}}, Warn},
		"without password":  {mok.Pending{Requests: []mok.Request{{Kind: mok.Enroll, Auth: evidence.Reading{Answer: evidence.No}}}}, Fail},
		"a reset":           {mok.Pending{Requests: []mok.Request{{Kind: mok.Reset, Auth: evidence.Reading{Answer: evidence.Yes}}}}, Fail},
		"a reset of MOKX":   {mok.Pending{Requests: []mok.Request{{Kind: mok.ResetBlocked, Auth: evidence.Reading{Answer: evidence.Yes}}}}, Fail},
		"damaged":           {mok.Pending{Requests: []mok.Request{{Kind: mok.Enroll, Err: errors.New("cut")}}}, Fail},
		"a lonely password": {mok.Pending{Orphans: []string{"MokDelAuth"}}, Fail},
		"unseen":            {mok.Pending{NotSeen: []mok.Gap{{Source: "efivars/MokNew", Err: errors.New("denied")}}}, Unknown},
	} {
		if got := Run(Facts{EFI: true, Pending: c.pending}, DefaultPolicy(), "KK-MOK-001").Checks[0]; got.Result != c.want {
			t.Errorf("%s: %s, want %s", why, got.Result, c.want)
		}
	}
}

// Where several certificates have the name of a key in a keyring, each must be allowed.
func TestAllows(t *testing.T) {
	certificate := func(sum string) certs.Details { return certs.Details{SHA256: sum, KeyID: "aa"} }
	one, both := []certs.Details{certificate("11")}, []certs.Details{certificate("11"), certificate("22")}
	byHash := Policy{Keys: Keys{Allow: []Allowed{{SHA256: "11", Stores: []string{"mok", ".machine"}}}}}
	byID := Policy{Keys: Keys{Allow: []Allowed{{KeyID: "aa"}}}}
	kernel := Policy{Keys: Keys{Trust: []string{TrustKernel}}}
	vendor := Policy{Keys: Keys{Trust: []string{TrustVendor}}}
	f := Facts{
		Image: map[string]bool{"11": true, "77": true}, Vendor: map[string]bool{"22": true},
		Named:  map[string]certs.Details{"33": {KeyID: "aa"}, "44": {KeyID: "bb"}},
		Stores: []Store{{Name: ".builtin_trusted_keys", Kind: Keyring, Keys: []Key{{Certificates: []certs.Details{certificate("11"), certificate("88")}}}}, {Name: "db", Keys: []Key{{Certificates: []certs.Details{{SHA256: "66", KeyID: "cc"}}}}}},
	}
	other := Policy{Keys: Keys{Allow: []Allowed{{SHA256: "66"}}}}
	byFile := func(sum string) Policy {
		return Policy{Keys: Keys{Allow: []Allowed{{File: "x", Certificates: []string{sum}}}}}
	}
	for _, c := range []struct {
		why    string
		policy Policy
		store  string
		found  []certs.Details
		want   Result
	}{
		{"by hash", byHash, "mok", one, Pass},
		{"by hash, elsewhere", byHash, "db", one, Fail},
		{"by hash, and it may be another", byHash, ".machine", both, Fail},
		{"by hash, and nothing was found", byHash, ".machine", nil, Unknown},
		{"by hash of another key id, and nothing was found", other, ".machine", nil, Fail},
		{"by hash, elsewhere, and nothing was found", byHash, "db", nil, Fail},
		{"by file, and nothing was found", byFile("33"), "mok", nil, Unknown},
		{"by file of another key id, and nothing was found", byFile("44"), "mok", nil, Fail},
		{"by file that nobody knows, and nothing was found", byFile("55"), "mok", nil, Unknown},
		{"by key id", byID, ".machine", both, Pass},
		{"by key id, and nothing was found", byID, ".machine", nil, Pass},
		{"by another key id, and nothing was found", Policy{Keys: Keys{Allow: []Allowed{{KeyID: "bb"}}}}, ".machine", nil, Fail},
		{"the kernel's, in its keyring", kernel, ".builtin_trusted_keys", nil, Pass},
		{"the kernel's, linked", kernel, ".secondary_trusted_keys", one, Pass},
		{"the kernel's, signer of modules", kernel, "modules", one, Pass},
		{"the kernel's, elsewhere", kernel, ".machine", one, Fail},
		{"the kernel's, in db", kernel, "db", one, Fail},
		{"in the image, and no builtin key", kernel, ".secondary_trusted_keys", []certs.Details{certificate("77")}, Fail},
		{"a builtin key, and not in the image", kernel, ".secondary_trusted_keys", []certs.Details{certificate("88")}, Fail},
		{"no builtin key by its name, and nothing was found", kernel, ".secondary_trusted_keys", nil, Fail},
		{"not the kernel's", kernel, ".machine", both, Fail},
		{"the vendor's", vendor, "mok", []certs.Details{certificate("22")}, Pass},
		{"not the vendor's", vendor, "mok", one, Fail},
		{"not the vendor's, and nothing was found", vendor, "mok", nil, Fail},
	} {
		if got := c.policy.allows(f, Store{Name: c.store}, Key{KeyID: "aa", Description: "one: aa", Certificates: c.found}); got != c.want {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
	f.Vendor = nil // shim could not be read
	if got := vendor.allows(f, Store{Name: "mok"}, Key{KeyID: "aa"}); got != Unknown {
		t.Errorf("no vendor was seen: %s", got)
	}
	f.Stores[0].Keys[0].Description = "one: aa" // a key that is built in and was not found either
	if got := kernel.allows(f, Store{Name: ".secondary_trusted_keys"}, Key{KeyID: "aa", Description: "one: aa"}); got != Unknown {
		t.Errorf("a builtin key that was not found: %s", got)
	}
	f.Stores[0] = Store{Name: ".builtin_trusted_keys", Err: errors.New("root only")}
	for _, store := range []string{".secondary_trusted_keys", "modules"} {
		if got := kernel.allows(f, Store{Name: store}, Key{KeyID: "aa", Certificates: one}); got != Unknown {
			t.Errorf("the builtin keys were not seen, %s: %s", store, got)
		}
	}
}

// What is trusted by hash is allowed by its SHA-256, where the policy says so.
func TestAllowedHashes(t *testing.T) {
	p := Policy{Keys: Keys{Allow: []Allowed{{SHA256: "11", Stores: []string{"db"}}}}}
	for _, c := range []struct {
		store  string
		hashes []string
		want   Result
	}{
		{"db", nil, Pass}, {"db", []string{"bin:11"}, Pass}, {"db", []string{"bin:11", "bin:22"}, Fail}, {"KEK", []string{"bin:11"}, Fail}, {"dbx", []string{"bin:22"}, Pass},
	} {
		f := Facts{EFI: true, Stores: []Store{{Name: c.store, Kind: Firmware, Hashes: c.hashes}}}
		if got := Run(f, p, "KK-KEY-003").Checks[0]; got.Result != c.want {
			t.Errorf("%s %q: %+v", c.store, c.hashes, got)
		}
		f.Stores[0].Kind = Shim
		if got := Run(f, p, "KK-KEY-002").Checks[0]; got.Result != c.want {
			t.Errorf("shim, %s %q: %+v", c.store, c.hashes, got)
		}
	}
}

// A waiver of a key says nothing about another with the same key id; the SHA-256 of a certificate names it in any case.
func TestWaivedImpostor(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	ended, bits := now.AddDate(0, 0, -1), 4096
	certificate := func(sum string) certs.Details {
		return certs.Details{SHA256: sum, KeyID: "aa", Algorithm: "rsa", KeyBits: &bits, NotAfter: &ended}
	}
	key := func(found ...certs.Details) Key {
		return Key{Name: "one", KeyID: "aa", Description: "one: aa", Certificates: found}
	}
	one, both := []Key{key(certificate("11"))}, []Key{key(certificate("11")), key(certificate("22"))}
	for _, c := range []struct {
		why, check, subject string
		keys                []Key
		waived              int
	}{
		{"by key id", "KK-KEY-003", "db:aa", one, 1},
		{"by hash", "KK-KEY-003", "db:11", one, 1},
		{"by another hash", "KK-KEY-003", "db:22", one, 0},
		{"by key id, and there are two", "KK-KEY-003", "db:aa", both, 0},
		{"by hash, and there are two", "KK-KEY-003", "db:22", both, 1},
		{"by key id, and it may be another", "KK-KEY-003", "db:aa", []Key{key(certificate("11"), certificate("22"))}, 0},
		{"by one hash, and it may be another", "KK-KEY-003", "db:11", []Key{key(certificate("11"), certificate("22"))}, 0},
		{"the same twice", "KK-KEY-003", "db:aa", []Key{one[0], one[0]}, 2},
		{"expired, by key id", "KK-KEY-006", "aa", one, 1},
		{"expired, by hash", "KK-KEY-006", "11", one, 1},
		{"expired, by key id, and there are two", "KK-KEY-006", "aa", both, 0},
		{"expired, by hash, and there are two", "KK-KEY-006", "11", both, 1},
	} {
		p := Policy{Keys: Keys{Allow: []Allowed{{KeyID: "bb"}}}, Waivers: []Waiver{{Check: c.check, Subject: c.subject, Reason: "r", Expires: toml.LocalDate{Year: 2027, Month: 1, Day: 1}}}}
		got := Run(Facts{Now: now, EFI: true, Stores: []Store{{Name: "db", Kind: Firmware, Keys: c.keys}}}, p, c.check).Checks[0]
		waived := 0
		for _, s := range got.Subjects {
			if s.Waived {
				waived++
			}
		}
		if waived != c.waived {
			t.Errorf("%s: %+v", c.why, got.Subjects)
		}
	}
}

// Where no file of a module could be looked at, that is one thing that is unknown; what the kernel itself says of a module still counts.
func TestLoadedWithoutFiles(t *testing.T) {
	f := Facts{Loaded: []Loaded{{"one", ""}, {"two", "O"}, {"three", "OE"}}, Trees: []Tree{{Release: "1", Running: true, Err: errors.New("no folder")}}}
	got := Run(f, DefaultPolicy(), LoadedID).Checks[0]
	if len(got.Subjects) != 2 || got.Subjects[0].Name != "three" || got.Result != Fail || got.Subjects[1].Name != "" || !strings.Contains(got.Subjects[1].Evidence, "2 loaded modules could be looked at: no folder") {
		t.Errorf("%+v", got)
	}
}

// A good file is not enough where another of its name may be in a folder that could not be read. What is installed for another kernel does not count.
func TestLoadedFolderUnread(t *testing.T) {
	good := []Module{{Path: "/lib/modules/1/one.ko", Name: "one", State: Valid}}
	for why, c := range map[string]struct {
		trees []Tree
		want  Result
	}{
		"all read":         {[]Tree{{Release: "1", Running: true, Modules: good}}, Pass},
		"a folder unread":  {[]Tree{{Release: "1", Running: true, Modules: good, Err: errors.New("denied")}}, Unknown},
		"another kernel's": {[]Tree{{Release: "1", Running: true, Modules: good}, {Release: "2", Err: errors.New("denied"), Modules: []Module{{Name: "one", State: Unsigned}}}}, Pass},
		"only another's":   {[]Tree{{Release: "1", Running: true}, {Release: "2", Modules: good}}, Unknown},
	} {
		if got := Run(Facts{Loaded: []Loaded{{"one", ""}}, Trees: c.trees}, DefaultPolicy(), LoadedID).Checks[0]; got.Result != c.want {
			t.Errorf("%s: %s, want %s: %s", why, got.Result, c.want, got.Evidence)
		}
	}
}

// A kernel without modules still has those of another kernel to be looked at, when that is asked for.
func TestInstalledMonolithic(t *testing.T) {
	no := evidence.Reading{Answer: evidence.No, Evidence: "no modules"}
	for want, trees := range map[Result][]Tree{NotApplicable: nil, Pass: {{Release: "2", Modules: []Module{{State: Valid}}}}, Fail: {{Release: "2", Modules: []Module{{State: Unsigned}}}}} {
		if got := Run(Facts{Modular: no, Trees: trees}, DefaultPolicy(), InstalledID).Checks[0]; got.Result != want {
			t.Errorf("%+v: %s, want %s", trees, got.Result, want)
		}
	}
}

// Certificates by strength, age and succession.
func TestCertificates(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	number := func(n int) *int { return &n }
	word := func(s string) *string { return &s }
	at := func(days int) *time.Time { end := now.AddDate(0, 0, days); return &end }
	good := certs.Details{SHA256: "11", KeyID: "aa", Subject: "CN=a", Issuer: "CN=a", Algorithm: "rsa", KeyBits: number(4096), SignatureHash: word("sha256"), NotAfter: at(31)}
	with := func(change func(*certs.Details)) certs.Details {
		d := good
		change(&d)
		return d
	}
	for _, c := range []struct {
		why, id string
		details certs.Details
		want    Result
	}{
		{"strong", "KK-KEY-005", good, Pass},
		{"short", "KK-KEY-005", with(func(d *certs.Details) { d.KeyBits = number(1024) }), Fail},
		{"as short as may be", "KK-KEY-005", with(func(d *certs.Details) { d.KeyBits = number(2048) }), Pass},
		{"a short curve", "KK-KEY-005", with(func(d *certs.Details) { d.Algorithm, d.KeyBits, d.Curve = "ecdsa", number(192), word("P-192") }), Fail},
		{"a curve", "KK-KEY-005", with(func(d *certs.Details) { d.Algorithm, d.KeyBits, d.Curve = "ecdsa", number(384), word("P-384") }), Pass},
		{"a curve of unknown size", "KK-KEY-005", with(func(d *certs.Details) { d.Algorithm, d.KeyBits, d.Curve = "ecdsa", nil, word("1.3.132.0.6") }), Unknown},
		{"an unknown kind", "KK-KEY-005", with(func(d *certs.Details) { d.Algorithm, d.KeyBits = "1.2.3", nil }), Unknown},
		{"sha1, its own", "KK-KEY-005", with(func(d *certs.Details) { d.SignatureHash = word("sha1") }), Pass},
		{"sha1, another's", "KK-KEY-005", with(func(d *certs.Details) { d.SignatureHash, d.Issuer = word("sha1"), "CN=b" }), Warn},
		{"long enough", "KK-KEY-006", good, Pass},
		{"not long enough", "KK-KEY-006", with(func(d *certs.Details) { d.NotAfter = at(29) }), Warn},
		{"expired", "KK-KEY-006", with(func(d *certs.Details) { d.NotAfter = at(-1) }), Warn},
		{"no date", "KK-KEY-006", with(func(d *certs.Details) { d.NotAfter = nil }), Unknown},
	} {
		f := Facts{Now: now, Stores: []Store{{Name: "mok", Kind: Shim, Keys: []Key{{KeyID: "aa", Certificates: []certs.Details{c.details}}}}}}
		if got := Run(f, DefaultPolicy(), c.id).Checks[0]; got.Result != c.want {
			t.Errorf("%s %s: %s, want %s", c.id, c.why, got.Result, c.want)
		}
		f.Stores[0].Name = "mokx" // what is refused may be weak
		if got := Run(f, DefaultPolicy(), c.id).Checks[0]; got.Result != NotApplicable {
			t.Errorf("%s %s, refused: %s", c.id, c.why, got.Result)
		}
	}
	old := Key{KeyID: microsoft[0].keyID}
	fresh := Key{KeyID: "81aa6b3244c935bce0d6628af39827421e32497d", Certificates: []certs.Details{{CommonName: word("Microsoft UEFI CA 2023")}}}
	for want, keys := range map[Result][]Key{Warn: {old}, Pass: {old, fresh}, NotApplicable: {fresh}} {
		f := Facts{EFI: true, Stores: []Store{{Name: "db", Kind: Firmware, Keys: keys}, {Name: "KEK", Kind: Firmware}}}
		if got := Run(f, DefaultPolicy(), "KK-SB-004").Checks[0]; got.Result != want {
			t.Errorf("successors of %+v: %s, want %s", keys, got.Result, want)
		}
	}
}

// What dbx revokes must be on .blacklist, in the form that the kernel gives it.
func TestEffective(t *testing.T) {
	revoked := Key{Name: "bad", KeyID: "bb", Description: "bad: bb"}
	for _, c := range []struct {
		why       string
		dbx, ring Store
		secure    evidence.Answer
		config    string // CONFIG_SYSTEM_REVOCATION_LIST
		want      Result
	}{
		{"all hashes", Store{Hashes: []string{"bin:11"}}, Store{Hashes: []string{"bin:22", "bin:11"}}, evidence.Yes, "", Pass},
		{"one is missing", Store{Hashes: []string{"bin:11", "bin:33"}}, Store{Hashes: []string{"bin:11"}}, evidence.Yes, "", Fail},
		{"a hash of nothing is none", Store{Hashes: []string{placeholder}}, Store{}, evidence.Yes, "", NotApplicable},
		{"another certificate, kept", Store{Keys: []Key{revoked}}, Store{Keys: []Key{{Description: "good: cc"}}}, evidence.Yes, "y", Fail},
		{"hashes of certificates are nothing", Store{Hashes: []string{"tbs:11"}}, Store{}, evidence.Yes, "", NotApplicable},
		{"no keyring", Store{Hashes: []string{"bin:11"}}, Store{Absent: true}, evidence.Yes, "", Fail},
		{"keyring unseen", Store{Hashes: []string{"bin:11"}}, Store{Err: errors.New("root only")}, evidence.Yes, "", Unknown},
		{"list unseen", Store{Err: errors.New("denied")}, Store{}, evidence.Yes, "", Unknown},
		{"a certificate, kept", Store{Keys: []Key{revoked}}, Store{Keys: []Key{{Description: "bad: bb"}}}, evidence.Yes, "y", Pass},
		{"a certificate, not kept", Store{Keys: []Key{revoked}}, Store{}, evidence.Yes, "y", Fail},
		{"a certificate, none is kept", Store{Keys: []Key{revoked}}, Store{}, evidence.Yes, "n", Warn},
		{"a certificate, nobody knows", Store{Keys: []Key{revoked}}, Store{}, evidence.Yes, "", Unknown},
		{"Secure Boot is off", Store{Hashes: []string{"bin:11"}}, Store{}, evidence.No, "", Fail},
	} {
		c.dbx.Name, c.ring.Name, c.ring.Kind = "dbx", ".blacklist", Keyring
		f := Facts{EFI: true, Stores: []Store{c.dbx, c.ring}, Firmware: mok.State{SecureBoot: evidence.Reading{Answer: c.secure}}}
		if c.config != "" {
			f.Kernel.Config = kernel.Config{"SYSTEM_REVOCATION_LIST": c.config}
		}
		if got := Run(f, DefaultPolicy(), "KK-REV-002").Checks[0]; got.Result != c.want {
			t.Errorf("%s: %s, want %s: %s", c.why, got.Result, c.want, got.Evidence)
		}
		c.dbx.Name = "mokx"
		f.Stores[0] = c.dbx
		want := c.want
		if c.secure == evidence.No && c.dbx.Err == nil { // the kernel does not look at it then
			want = NotApplicable
		}
		if got := Run(f, DefaultPolicy(), "KK-REV-002").Checks[0]; got.Result != want {
			t.Errorf("MOKX, %s: %s, want %s: %s", c.why, got.Result, want, got.Evidence)
		}
	}
}

// What dbx holds counts when it refuses something: hashes, certificates, but no placeholder.
func TestRevocations(t *testing.T) {
	two := DefaultPolicy()
	two.Thresholds.DBXEntries = 2
	for _, c := range []struct {
		why    string
		dbx    Store
		policy Policy
		want   Result
		says   string
	}{
		{"empty", Store{}, DefaultPolicy(), Fail, "0 entries, fewer than 1"},
		{"the placeholder", Store{Hashes: []string{placeholder}}, DefaultPolicy(), Fail, "placeholder"},
		{"it and a hash", Store{Hashes: []string{placeholder, "bin:11"}}, DefaultPolicy(), Pass, "1 entry"},
		{"it and a hash, two are wanted", Store{Hashes: []string{placeholder, "bin:11"}}, two, Fail, "1 entry, fewer than 2"},
		{"a certificate", Store{Keys: []Key{{}}}, DefaultPolicy(), Pass, "1 entry"},
		{"a certificate and a hash", Store{Keys: []Key{{}}, Hashes: []string{"bin:11"}}, two, Pass, "2 entries"},
		{"unseen", Store{Err: errors.New("denied")}, DefaultPolicy(), Unknown, "denied"},
	} {
		c.dbx.Name = "dbx"
		got := Run(Facts{EFI: true, Stores: []Store{c.dbx}}, c.policy, "KK-REV-001").Checks[0]
		if got.Result != c.want || !strings.Contains(got.Evidence, c.says) {
			t.Errorf("%s: %s: %s", c.why, got.Result, got.Evidence)
		}
	}
}

// shim's validation: it counts where shim has started the machine, and also where Secure Boot is off but validation is switched off beside.
func TestValidation(t *testing.T) {
	yes, no := evidence.Reading{Answer: evidence.Yes}, evidence.Reading{Answer: evidence.No}
	for _, c := range []struct {
		why                    string
		shim, secure, disabled evidence.Reading
		want                   Result
	}{
		{"on", yes, yes, no, Pass},
		{"off", yes, yes, yes, Fail},
		{"not known", yes, yes, evidence.Reading{}, Unknown},
		{"Secure Boot off", yes, no, no, NotApplicable},
		{"both off", yes, no, yes, Fail},
		{"Secure Boot off, not known", yes, no, evidence.Reading{}, Unknown},
		{"without shim", no, yes, no, NotApplicable},
		{"without shim, off", no, yes, yes, NotApplicable},
	} {
		f := Facts{EFI: true, Firmware: mok.State{Shim: c.shim, SecureBoot: c.secure, ValidationDisabled: c.disabled}}
		if got := Run(f, DefaultPolicy(), "KK-SB-003").Checks[0]; got.Result != c.want {
			t.Errorf("%s: %s, want %s: %s", c.why, got.Result, c.want, got.Evidence)
		}
	}
}

// The thresholds of room are the least that is enough.
func TestRoom(t *testing.T) {
	for free, want := range map[uint64]Result{5119: Fail, 5120: Warn, 16383: Warn, 16384: Pass} {
		if got := Run(Facts{EFI: true, Space: Space{Total: 1 << 20, Free: free}}, DefaultPolicy(), "KK-SB-005").Checks[0]; got.Result != want {
			t.Errorf("%d: %s, want %s", free, got.Result, want)
		}
	}
}

func TestParseBaseline(t *testing.T) {
	f := Facts{Now: time.Unix(1, 0).UTC(), Stores: []Store{{Name: "db", Keys: []Key{{Name: "one", KeyID: "aa", Certificates: []certs.Details{{SHA256: "11"}}}}}, {Name: "mok", Err: errors.New("denied")}}}
	b, unseen := Record(f, Run(f, DefaultPolicy()))
	if len(unseen) != 1 || unseen[0].Source != "mok" {
		t.Errorf("unseen: %v", unseen)
	}
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseBaseline(text); err != nil || !reflect.DeepEqual(*got, b) {
		t.Errorf("%v, %+v, want %+v", err, got, b)
	}
	for _, bad := range []string{"", "{}", "null", string(text) + "{}", strings.Replace(string(text), "/v1", "/v2", 1), strings.Replace(string(text), "{", `{"more":1,`, 1), strings.Replace(string(text), `"unknown"`, `"fine"`, 1)} {
		if got, err := ParseBaseline([]byte(bad)); !errors.Is(err, ErrBaseline) || got != nil {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

// What changed since a baseline: keys by how many there are of a name, and only results that became worse, that nobody waives.
func TestDrift(t *testing.T) {
	key := func(sums ...string) Key {
		k := Key{Name: "one", KeyID: "aa"}
		for _, sum := range sums {
			k.Certificates = append(k.Certificates, certs.Details{SHA256: sum})
		}
		return k
	}
	for _, c := range []struct {
		why     string
		was, is []Key
		want    Result
		changes string
	}{
		{"the same", []Key{key("11")}, []Key{key("11")}, Pass, ""},
		{"the same, neither found", []Key{key()}, []Key{key()}, Pass, ""},
		{"another order", []Key{key("11"), key("22")}, []Key{key("22"), key("11")}, Pass, ""},
		{"another certificate", []Key{key("11")}, []Key{key("22")}, Fail, "key-appeared key-vanished"},
		{"it was not found then", []Key{key()}, []Key{key("22")}, Unknown, "key-unsure"},
		{"it is not found now", []Key{key("11")}, []Key{key()}, Unknown, "key-unsure"},
		{"another beside one that was not found", []Key{key()}, []Key{key("11"), key("22")}, Fail, "key-unsure key-appeared"},
		{"another beside one that is still not found", []Key{key()}, []Key{key(), key()}, Fail, "key-appeared"},
		{"another beside it", []Key{key("11")}, []Key{key("11"), key()}, Fail, "key-appeared"},
		{"one of two is gone", []Key{key("11"), key("11")}, []Key{key("11")}, Fail, "key-vanished"},
	} {
		f := Facts{Stores: []Store{{Name: ".machine", Keys: c.was}}}
		b, _ := Record(f, Report{})
		f.Baseline, f.Stores = &b, []Store{{Name: ".machine", Keys: c.is}}
		r := Run(f, DefaultPolicy(), DriftID)
		var changes []string
		for _, change := range r.Drift {
			changes = append(changes, change.What)
		}
		if r.Checks[0].Result != c.want || strings.Join(changes, " ") != c.changes {
			t.Errorf("%s: %+v", c.why, r)
		}
	}
	// The result of a check then, and lockdown now: with it the check passes, without it fails.
	waiver := []Waiver{{Check: "KK-KRN-001", Reason: "r", Expires: toml.LocalDate{Year: 2027, Month: 1, Day: 1}}}
	for _, c := range []struct {
		was      Result
		lockdown string
		waivers  []Waiver
		want     Result
		changes  int
	}{
		{Pass, "integrity", nil, Pass, 0}, {Pass, "none", nil, Fail, 1}, {Warn, "none", nil, Fail, 1}, {Fail, "integrity", nil, Pass, 1}, {NotApplicable, "integrity", nil, Pass, 1},
		{Unknown, "integrity", nil, Pass, 1}, {Unknown, "none", nil, Unknown, 1}, {Pass, "", nil, Unknown, 1}, {Fail, "", nil, Unknown, 1}, {Pass, "none", waiver, Pass, 0},
	} {
		p := DefaultPolicy()
		p.Waivers = c.waivers
		f := Facts{Kernel: kernel.Status{Lockdown: c.lockdown}, Baseline: &Baseline{Checks: map[string]Result{"KK-KRN-001": c.was}}}
		if r := Run(f, p, "KK-KRN-001", DriftID); r.Checks[1].Result != c.want || len(r.Drift) != c.changes {
			t.Errorf("%s, lockdown %q, %d waivers: %+v", c.was, c.lockdown, len(c.waivers), r)
		}
	}
	if got := (Change{What: "result-changed", Was: string(Pass), Is: string(NotApplicable)}).Result(); got != Fail {
		t.Errorf("a check that applies no more: %s", got)
	}
	// An expired waiver is no drift of the machine, neither recorded nor compared.
	p := DefaultPolicy()
	p.Waivers = []Waiver{{Check: "KK-KRN-001", Reason: "r", Expires: toml.LocalDate{Year: 2020, Month: 1, Day: 1}}}
	f := Facts{Now: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC), Host: "one", Baseline: &Baseline{Checks: map[string]Result{WaiverID: Pass}}}
	r := Run(f, p, WaiverID, DriftID)
	if r.Checks[0].Result != Fail || len(r.Drift) != 0 {
		t.Errorf("an expired waiver: %+v", r)
	}
	b, _ := Record(f, r)
	if _, there := b.Checks[WaiverID]; there || b.Host != "one" {
		t.Errorf("%+v", b)
	}
	for host, want := range map[string]Result{"one": Pass, "two": Warn, "": Pass} {
		f.Host, f.Baseline = host, &b
		if r := Run(f, DefaultPolicy(), DriftID); r.Checks[0].Result != want {
			t.Errorf("host %q: %+v", host, r)
		}
	}
	// As many other hashes are others, and said so.
	then, now := BaselineStore{Hashes: 1, Digest: "11111111aa"}, BaselineStore{Hashes: 1, Digest: "22222222bb"}
	if then.hashes() == now.hashes() {
		t.Error(then.hashes())
	}
}

func FuzzParseBaseline(f *testing.F) {
	facts := Facts{Stores: []Store{{Name: "db", Keys: []Key{{Name: "one", KeyID: "aa"}}}}}
	b, _ := Record(facts, Run(facts, DefaultPolicy()))
	seed, err := json.Marshal(b)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := ParseBaseline(seed); err != nil {
		f.Fatalf("the seed is no baseline: %v", err)
	}
	f.Add(seed)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseBaseline(text)
		if err != nil {
			return
		}
		facts := facts
		facts.Baseline = b
		_ = Run(facts, DefaultPolicy())
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseBaseline(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := json.Marshal(second); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%v\n%s\n%s", err, again, third)
		}
	})
}
