package audit

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/mok"
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
		"no variables":  {EFI: evidence.Yes, NoVariables: unseen, Stores: stores, LoadedErr: unseen, KeyFilesGaps: []Gap{{"/var/lib", unseen}}},
		"no EFI either": {Stores: stores, LoadedErr: unseen, KeyFilesGaps: []Gap{{"/var/lib", unseen}}},
		"variables":     {EFI: evidence.Yes, Stores: stores, LoadedErr: unseen, KeyFilesGaps: []Gap{{"/var/lib", unseen}}, AnswersErr: unseen},
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
	for _, c := range Run(Facts{EFI: evidence.No, Modular: no}, DefaultPolicy()).Checks {
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
		if got := Run(Facts{EFI: evidence.Yes, Pending: c.pending}, DefaultPolicy(), "KK-MOK-001").Checks[0]; got.Result != c.want {
			t.Errorf("%s: %s, want %s", why, got.Result, c.want)
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

// The modules of a kernel that is named are not those of the one that runs.
func TestInstalledRunningUnknown(t *testing.T) {
	good := Tree{Release: "2", Modules: []Module{{State: Valid}}}
	running := Tree{Release: "1", Running: true, Modules: []Module{{State: Valid}}}
	for want, trees := range map[Result][]Tree{Unknown: {good}, Pass: {running, good}, Fail: {{Release: "2", Modules: []Module{{State: Unsigned}}}}} {
		if got := Run(Facts{Trees: trees}, DefaultPolicy(), InstalledID).Checks[0]; got.Result != want {
			t.Errorf("%+v: %+v, want %s", trees, got, want)
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
		{"md2, another's", "KK-KEY-005", with(func(d *certs.Details) { d.SignatureHash, d.Issuer = word("md2"), "CN=b" }), Warn},
		{"another's, over what nobody knows", "KK-KEY-005", with(func(d *certs.Details) { d.SignatureHash, d.Issuer = nil, "CN=b" }), Unknown},
		{"another's, without a hash", "KK-KEY-005", with(func(d *certs.Details) { d.SignatureHash, d.Hashless, d.Issuer = nil, true, "CN=b" }), Pass},
		{"its own, over what nobody knows", "KK-KEY-005", with(func(d *certs.Details) { d.SignatureHash = nil }), Pass},
		{"ed25519", "KK-KEY-005", with(func(d *certs.Details) { d.Algorithm, d.KeyBits = "ed25519", number(256) }), Pass},
		{"ml-dsa", "KK-KEY-005", with(func(d *certs.Details) { d.Algorithm, d.KeyBits = "mldsa65", nil }), Unknown},
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
	p := DefaultPolicy()
	p.Thresholds.ECBits = 384
	edwards := Key{Certificates: []certs.Details{with(func(d *certs.Details) { d.Algorithm, d.KeyBits = "ed25519", number(256) })}}
	if got := Run(Facts{Stores: []Store{{Name: "mok", Kind: Shim, Keys: []Key{edwards}}}}, p, "KK-KEY-005").Checks[0]; got.Result != Fail {
		t.Errorf("ed25519 where 384 bits are wanted: %s", got.Result)
	}
	old := Key{KeyID: microsoft[0].keyID}
	fresh := Key{KeyID: "81aa6b3244c935bce0d6628af39827421e32497d", Certificates: []certs.Details{{CommonName: word("Microsoft UEFI CA 2023")}}}
	for want, keys := range map[Result][]Key{Warn: {old}, Pass: {old, fresh}, NotApplicable: {fresh}} {
		f := Facts{EFI: evidence.Yes, Stores: []Store{{Name: "db", Kind: Firmware, Keys: keys}, {Name: "KEK", Kind: Firmware}}}
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
		f := Facts{EFI: evidence.Yes, Stores: []Store{c.dbx, c.ring}, Firmware: mok.State{SecureBoot: evidence.Reading{Answer: c.secure}}}
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

// Entries that Linux does not look for are counted beside the others.
func TestEffectiveUnsought(t *testing.T) {
	for _, c := range []struct {
		hashes []string
		want   Result
		says   string
	}{
		{[]string{"bin:11", "tbs:22", "SHA-1:33"}, Pass, "1 entry of dbx and MOKX are on .blacklist; 2 entries: Linux does not look"},
		{[]string{"tbs:22"}, NotApplicable, "1 entry: Linux does not look"},
		{[]string{"bin:11"}, Pass, "1 entry of dbx and MOKX are on .blacklist"},
	} {
		f := Facts{EFI: evidence.Yes, Stores: []Store{{Name: "dbx", Hashes: c.hashes}, {Name: ".blacklist", Kind: Keyring, Hashes: []string{"bin:11"}}}}
		if got := Run(f, DefaultPolicy(), "KK-REV-002").Checks[0]; got.Result != c.want || !strings.Contains(got.Evidence, c.says) {
			t.Errorf("%q: %s: %s", c.hashes, got.Result, got.Evidence)
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
		got := Run(Facts{EFI: evidence.Yes, Stores: []Store{c.dbx}}, c.policy, "KK-REV-001").Checks[0]
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
		f := Facts{EFI: evidence.Yes, Firmware: mok.State{Shim: c.shim, SecureBoot: c.secure, ValidationDisabled: c.disabled}}
		if got := Run(f, DefaultPolicy(), "KK-SB-003").Checks[0]; got.Result != c.want {
			t.Errorf("%s: %s, want %s: %s", c.why, got.Result, c.want, got.Evidence)
		}
	}
}

// The thresholds of room are the least that is enough.
func TestRoom(t *testing.T) {
	for free, want := range map[uint64]Result{5119: Fail, 5120: Warn, 16383: Warn, 16384: Pass} {
		if got := Run(Facts{EFI: evidence.Yes, Space: Space{Total: 1 << 20, Free: free}}, DefaultPolicy(), "KK-SB-005").Checks[0]; got.Result != want {
			t.Errorf("%d: %s, want %s", free, got.Result, want)
		}
	}
}
