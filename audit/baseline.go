package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Baseline is what a machine trusted, and what its checks said, at one time.
type Baseline struct {
	Schema string                   `json:"schema"` // BaselineSchema
	Time   time.Time                `json:"time"`
	Kernel string                   `json:"kernel"`
	Stores map[string]BaselineStore `json:"stores"`
	Checks map[string]Result        `json:"checks"`
}

// BaselineStore is what stood in a store.
type BaselineStore struct {
	Keys []BaselineKey `json:"keys"`
	// Hashes counts what is refused by hash, Digest is the SHA-256 over all of it, sorted, each with a newline.
	Hashes int    `json:"hashes"`
	Digest string `json:"digest"`
}

// BaselineKey is a key in a store.
type BaselineKey struct {
	Name   string   `json:"name"`
	KeyID  string   `json:"key_id"`
	SHA256 []string `json:"sha256"` // of the certificates that it may be
}

// BaselineSchema is the form of a baseline; another is refused.
const BaselineSchema = "kkeys.audit-baseline/v1"

// BaselineMax bounds a baseline, in bytes.
const BaselineMax = 16 << 20

// ErrBaseline: the text is no baseline.
var ErrBaseline = errors.New("not a baseline")

// Record makes a baseline of facts and of what the checks said. Stores that were not seen as a whole are left out, and named.
func Record(f Facts, r Report) (b Baseline, unseen []Gap) {
	b = Baseline{Schema: BaselineSchema, Time: f.Now, Kernel: f.Kernel.Release, Stores: map[string]BaselineStore{}, Checks: map[string]Result{}}
	for _, s := range f.Stores {
		if s.Err != nil {
			unseen = append(unseen, Gap{s.Name, s.Err})
			continue
		}
		b.Stores[s.Name] = s.baseline()
	}
	for _, c := range r.Checks {
		if c.ID != DriftID && c.Ran() {
			b.Checks[c.ID] = c.Result
		}
	}
	return b, unseen
}

func (s Store) baseline() BaselineStore {
	b := BaselineStore{Keys: []BaselineKey{}, Hashes: len(s.Hashes)}
	for _, k := range s.Keys {
		key := BaselineKey{Name: k.Name, KeyID: k.KeyID, SHA256: []string{}}
		for _, c := range k.Certificates {
			key.SHA256 = append(key.SHA256, c.SHA256)
		}
		slices.Sort(key.SHA256)
		b.Keys = append(b.Keys, key)
	}
	h := sha256.New()
	for _, hash := range slices.Sorted(slices.Values(s.Hashes)) {
		fmt.Fprintln(h, hash)
	}
	b.Digest = hex.EncodeToString(h.Sum(nil))
	return b
}

// ParseBaseline reads what Record gave, as JSON. Every error is ErrBaseline, and nothing is given beside it.
func ParseBaseline(text []byte) (*Baseline, error) {
	bad := func(err error) (*Baseline, error) { return nil, fmt.Errorf("%w: %w", ErrBaseline, err) }
	if len(text) > BaselineMax {
		return bad(fmt.Errorf("more than %d bytes", BaselineMax))
	}
	var b Baseline
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&b); err != nil {
		return bad(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return bad(errors.New("something follows it"))
	}
	switch {
	case b.Schema != BaselineSchema:
		return bad(fmt.Errorf("schema %.80q instead of %s", b.Schema, BaselineSchema))
	case b.Stores == nil || b.Checks == nil:
		return bad(errors.New("stores or checks are missing"))
	}
	for id, result := range b.Checks {
		if !slices.Contains(Results, result) {
			return bad(fmt.Errorf("checks: %.80q: %.80q is no result", id, result))
		}
	}
	return &b, nil
}

// Change is one thing that is not as in the baseline.
type Change struct {
	What  string // "key-appeared", "key-vanished", "hashes-changed", "store-unseen", "result-changed"
	Where string // the store, or the check
	KeyID string
	Name  string
	Was   string
	Is    string
}

// drift compares with the baseline: the keys of each store, and the results of the checks that were made then and now.
func (f Facts) drift(now []Check) (changes []Change) {
	if f.Baseline == nil {
		return nil
	}
	names := map[string]bool{}
	for name := range f.Baseline.Stores {
		names[name] = true
	}
	for _, s := range f.Stores {
		if s.Err == nil {
			names[s.Name] = true
		}
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		changes = append(changes, f.storeDrift(name)...)
	}
	for _, c := range now {
		was, known := f.Baseline.Checks[c.ID]
		if known && c.Ran() && was != c.Result {
			changes = append(changes, Change{What: "result-changed", Where: c.ID, Name: c.Title, Was: string(was), Is: string(c.Result)})
		}
	}
	return changes
}

func (f Facts) storeDrift(name string) (changes []Change) {
	was, known := f.Baseline.Stores[name]
	s := f.store(name)
	if s == nil || s.Err != nil {
		why := "it is not there"
		if s != nil {
			why = s.Err.Error()
		}
		return []Change{{What: "store-unseen", Where: name, Is: why}}
	}
	is := s.baseline()
	if !known { // it was not seen then, so that nothing can be said of what is new
		return []Change{{What: "store-unseen", Where: name, Was: "it was not seen when the baseline was recorded"}}
	}
	for _, k := range is.Keys {
		if !slices.ContainsFunc(was.Keys, k.same) {
			changes = append(changes, Change{What: "key-appeared", Where: name, KeyID: k.KeyID, Name: k.Name})
		}
	}
	for _, k := range was.Keys {
		if !slices.ContainsFunc(is.Keys, k.same) {
			changes = append(changes, Change{What: "key-vanished", Where: name, KeyID: k.KeyID, Name: k.Name})
		}
	}
	if was.Digest != is.Digest {
		changes = append(changes, Change{What: "hashes-changed", Where: name, Was: hashCount(was.Hashes), Is: hashCount(is.Hashes)})
	}
	return changes
}

func hashCount(n int) string { return strings.TrimSpace(fmt.Sprintf("%d hashes", n)) }

// same tells whether two are one key: their names and ids are, and the certificates where both have some.
func (k BaselineKey) same(o BaselineKey) bool {
	return k.KeyID == o.KeyID && k.Name == o.Name && (len(k.SHA256) == 0 || len(o.SHA256) == 0 || slices.Equal(k.SHA256, o.SHA256))
}

// String words a change.
func (c Change) String() string {
	switch c.What {
	case "key-appeared", "key-vanished":
		return fmt.Sprintf("%s: %s %s %s", c.Where, c.Name, c.KeyID, strings.TrimPrefix(c.What, "key-"))
	case "store-unseen":
		return c.Where + ": " + c.Was + c.Is
	}
	return fmt.Sprintf("%s: %s, was %s", c.Where, c.Is, c.Was)
}

func driftOutcome(f Facts, changes []Change) outcome {
	if f.Baseline == nil {
		return inapplicable("no baseline was given")
	}
	var subjects []Subject
	for _, c := range changes {
		result := Fail
		if c.What == "store-unseen" || c.Was == string(Unknown) || c.Is == string(Unknown) {
			result = Unknown
		}
		subjects = append(subjects, Subject{Name: strings.TrimSuffix(c.Where+":"+c.KeyID, ":"), Result: result, Evidence: c.String()})
	}
	return of(subjects, "as on "+day(f.Baseline.Time))
}
