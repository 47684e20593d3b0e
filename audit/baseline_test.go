package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/kernel"

	"github.com/pelletier/go-toml/v2"
)

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
	for _, bad := range []string{"", "{}", "null", string(text) + "{}", strings.Replace(string(text), "/v1", "/v2", 1), strings.Replace(string(text), "{", `{"more":1,`, 1), strings.Replace(string(text), `"unknown"`, `"fine"`, 1),
		strings.Replace(string(text), `"time":"1970-01-01T00:00:01Z",`, "", 1), strings.Replace(string(text), "1970-01-01T00:00:01Z", "0001-01-01T00:00:00Z", 1)} {
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

// A store that could not be seen now, then, or ever, is unknown; of one that was seen in part, what is new in it is told of too.
func TestDriftUnseen(t *testing.T) {
	denied := errors.New("denied")
	old, fresh := Key{Name: "old", KeyID: "aa"}, Key{Name: "new", KeyID: "bb"}
	for _, c := range []struct {
		why     string
		was, is Store
		want    Result
		changes string
	}{
		{"then and now", Store{Err: denied}, Store{Err: denied}, Unknown, "store-unseen"},
		{"then", Store{Err: denied}, Store{Keys: []Key{old}}, Unknown, "store-unseen"},
		{"now", Store{Keys: []Key{old}}, Store{Err: denied}, Unknown, "store-unseen"},
		{"now in part, with a new key", Store{Keys: []Key{old}}, Store{Err: denied, Keys: []Key{fresh}}, Fail, "store-unseen key-appeared"},
		{"now in part, with other hashes", Store{Keys: []Key{old}}, Store{Err: denied, Keys: []Key{old}, Hashes: []string{"bin:11"}}, Unknown, "store-unseen"},
		{"then, and now in part", Store{Err: denied}, Store{Err: denied, Keys: []Key{fresh}}, Unknown, "store-unseen"},
	} {
		c.was.Name, c.is.Name = "db", "db"
		b, _ := Record(Facts{Stores: []Store{c.was}}, Report{})
		r := Run(Facts{Stores: []Store{c.is}, Baseline: &b}, DefaultPolicy(), DriftID)
		var changes []string
		for _, change := range r.Drift {
			changes = append(changes, change.What)
		}
		if r.Checks[0].Result != c.want || strings.Join(changes, " ") != c.changes {
			t.Errorf("%s: %+v", c.why, r)
		}
	}
}

// The results of all checks are compared, also where only that of the drift is asked for, and then no other is told of.
func TestDriftAlone(t *testing.T) {
	f := Facts{Kernel: kernel.Status{Lockdown: "none"}, Baseline: &Baseline{Checks: map[string]Result{"KK-KRN-001": Pass}}}
	r := Run(f, DefaultPolicy(), DriftID)
	if len(r.Checks) != 1 || r.Checks[0].Result != Fail || len(r.Drift) != 1 || r.Drift[0].Where != "KK-KRN-001" {
		t.Errorf("%+v", r)
	}
	f.Baseline = nil
	if r := Run(f, DefaultPolicy(), DriftID); len(r.Checks) != 1 || r.Checks[0].Result != NotApplicable {
		t.Errorf("without a baseline: %+v", r)
	}
}

// A waiver of a key that came or went says nothing about another with the same key id, or about another without one.
func TestDriftWaivedImpostor(t *testing.T) {
	key := func(id, sum string) Key {
		return Key{Name: "name " + sum, KeyID: id, Certificates: []certs.Details{{SHA256: sum}}}
	}
	for _, c := range []struct {
		why, subject string
		was, is      []Key
		waived       int
	}{
		{"by key id", "db:aa", nil, []Key{key("aa", "11")}, 1},
		{"by hash", "db:11", nil, []Key{key("aa", "11")}, 1},
		{"by another hash", "db:22", nil, []Key{key("aa", "11")}, 0},
		{"by key id, and there are two", "db:aa", nil, []Key{key("aa", "11"), key("aa", "22")}, 0},
		{"by hash, and there are two", "db:22", nil, []Key{key("aa", "11"), key("aa", "22")}, 1},
		{"by key id, and it took another's place", "db:aa", []Key{key("aa", "11")}, []Key{key("aa", "22")}, 0},
		{"by key id, and it stands beside the other", "db:aa", []Key{key("aa", "11")}, []Key{key("aa", "11"), key("aa", "22")}, 0},
		{"the store, and it has no key id", "db", nil, []Key{key("", "11")}, 0},
		{"by hash, and it has no key id", "db:11", nil, []Key{key("", "11"), key("", "22")}, 1},
		{"by name, without a certificate", "db:odd", nil, []Key{{Name: "odd"}, {Name: "other"}}, 1},
	} {
		b, _ := Record(Facts{Stores: []Store{{Name: "db", Keys: c.was}}}, Report{})
		p := DefaultPolicy()
		p.Waivers = []Waiver{{Check: DriftID, Subject: c.subject, Reason: "r", Expires: toml.LocalDate{Year: 2027, Month: 1, Day: 1}}}
		waived := 0
		got := Run(Facts{Stores: []Store{{Name: "db", Keys: c.is}}, Baseline: &b}, p, DriftID).Checks[0]
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

// A baseline that is yet to be recorded tells of a wrong clock, if not of worse.
func TestBaselineToCome(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]Result{now: Pass, now.Add(time.Second): Warn} {
		if got := Run(Facts{Now: now, Baseline: &Baseline{Time: at}}, DefaultPolicy(), DriftID).Checks[0]; got.Result != want {
			t.Errorf("%s: %+v", at, got)
		}
	}
}

func FuzzParseBaseline(f *testing.F) {
	facts := Facts{Now: time.Unix(1, 0).UTC(), Stores: []Store{{Name: "db", Keys: []Key{{Name: "one", KeyID: "aa"}}}}}
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
