package audit

import (
	"errors"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/evidence"

	"github.com/pelletier/go-toml/v2"
)

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
		Stores: []Store{{Name: ".builtin_trusted_keys", Kind: Keyring, Keys: []Key{{Certificates: []certs.Details{certificate("11"), certificate("88")}}}}, {Name: "db", Keys: []Key{{Certificates: []certs.Details{{SHA256: "66", KeyID: "cc"}}}}}},
	}
	other := Policy{Keys: Keys{Allow: []Allowed{{SHA256: "66"}}}}
	byFile := func(sum, id string) Policy {
		return Policy{Keys: Keys{Allow: []Allowed{{File: "x", Certificates: []certs.Details{{SHA256: sum, KeyID: id}}}}}}
	}
	byBoth := byFile("44", "bb")
	byBoth.Keys.Allow = append(byBoth.Keys.Allow, Allowed{SHA256: "44"})
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
		{"by file, and nothing was found", byFile("33", "aa"), "mok", nil, Unknown},
		{"by file of another key id, and nothing was found", byFile("44", "bb"), "mok", nil, Fail},
		{"by file", byFile("11", "aa"), "mok", one, Pass},
		{"by another file of the same key id", byFile("33", "aa"), "mok", one, Fail},
		{"by hash that nobody knows, and nothing was found", Policy{Keys: Keys{Allow: []Allowed{{SHA256: "55"}}}}, "mok", nil, Unknown},
		{"by hash of a file with another key id, and nothing was found", byBoth, "mok", nil, Fail},
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
		f := Facts{EFI: evidence.Yes, Stores: []Store{{Name: c.store, Kind: Firmware, Hashes: c.hashes}}}
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
		got := Run(Facts{Now: now, EFI: evidence.Yes, Stores: []Store{{Name: "db", Kind: Firmware, Keys: c.keys}}}, p, c.check).Checks[0]
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
