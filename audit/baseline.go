package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Baseline is what a machine trusted, and what its checks said, at one time.
type Baseline struct {
	Schema string                   `json:"schema"` // BaselineSchema
	Time   time.Time                `json:"time"`
	Host   string                   `json:"host,omitempty"` // empty: not known
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
	b = Baseline{Schema: BaselineSchema, Time: f.Now, Host: f.Host, Kernel: f.Kernel.Release, Stores: map[string]BaselineStore{}, Checks: map[string]Result{}}
	for _, s := range f.Stores {
		if s.Err != nil {
			unseen = append(unseen, Gap{s.Name, s.Err})
			continue
		}
		b.Stores[s.Name] = s.baseline()
	}
	for _, c := range r.Checks {
		if compared(c.ID) && c.Ran() {
			b.Checks[c.ID] = c.Result
		}
	}
	return b, unseen
}

// compared tells whether a check's result is part of a baseline. That of the waivers is about the policy and not about the machine.
func compared(id string) bool { return id != DriftID && id != WaiverID }

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
	case b.Time.IsZero():
		return bad(errors.New("time is missing"))
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
	What  string // "key-appeared", "key-vanished", "key-unsure", "hashes-changed", "store-unseen", "result-changed", "host-changed"
	Where string // the store, the check, or "host"
	KeyID string
	Name  string
	Was   string
	Is    string
	// id is the key for a waiver, sum the SHA-256 of its certificate; empty where it is no key, and sum where that is not one.
	id, sum string
}

// Result is what a change is for the check of the drift: a result that became better is told of and is no finding.
func (c Change) Result() Result {
	switch c.What {
	case "store-unseen", "key-unsure":
		return Unknown
	case "host-changed":
		return Warn
	case "result-changed":
		was, is := Result(c.Was), Result(c.Is)
		switch {
		case is == Unknown, was == Unknown && is.Finding():
			return Unknown
		case slices.Index(byDrift, is) > slices.Index(byDrift, was):
			return Pass
		}
	}
	return Fail
}

// byDrift has the worst first: a check that passed and applies no more has become worse.
var byDrift = []Result{Fail, Warn, Unknown, NotApplicable, Pass}

// drift compares with the baseline: the host, the keys of each store, and the results of the checks that were made then and now and that nobody waives.
func (f Facts) drift(now []Check) (changes []Change) {
	if f.Baseline == nil {
		return nil
	}
	if was := f.Baseline.Host; was != "" && f.Host != "" && was != f.Host {
		changes = append(changes, Change{What: "host-changed", Where: "host", Was: was, Is: f.Host})
	}
	names := map[string]bool{}
	for name := range f.Baseline.Stores {
		names[name] = true
	}
	for _, s := range f.Stores { // also one that was seen neither then nor now
		names[s.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		changes = append(changes, f.storeDrift(name)...)
	}
	for _, c := range now {
		was, known := f.Baseline.Checks[c.ID]
		if known && compared(c.ID) && c.Ran() && !c.Waived && was != c.Result {
			changes = append(changes, Change{What: "result-changed", Where: c.ID, Name: c.Title, Was: string(was), Is: string(c.Result)})
		}
	}
	return changes
}

func (f Facts) storeDrift(name string) (changes []Change) {
	was, known := f.Baseline.Stores[name]
	s := f.store(name)
	switch {
	case s == nil:
		return []Change{{What: "store-unseen", Where: name, Is: "it is not there"}}
	case s.Err != nil:
		changes = []Change{{What: "store-unseen", Where: name, Is: s.Err.Error()}}
	case !known:
		changes = []Change{{What: "store-unseen", Where: name, Was: "it was not seen when the baseline was recorded"}}
	}
	if !known { // so that nothing can be said of what is new
		return changes
	}
	is := s.baseline()
	for _, c := range keyDrift(name, was.Keys, is.Keys) {
		if s.Err == nil || c.What == "key-appeared" { // what is missing may be where nobody could look
			changes = append(changes, c)
		}
	}
	if s.Err == nil && was.Digest != is.Digest {
		changes = append(changes, Change{What: "hashes-changed", Where: name, Was: was.hashes(), Is: is.hashes()})
	}
	return changes
}

// hashes words how many there are, and which: as many others are others.
func (b BaselineStore) hashes() string {
	if b.Hashes == 1 {
		return fmt.Sprintf("1 hash (%.8s)", b.Digest)
	}
	return fmt.Sprintf("%d hashes (%.8s)", b.Hashes, b.Digest)
}

// keyDrift takes the keys that are the same off both sides, each once; then those that may be the same, since the certificate of one was not found. The
// others came and went.
func keyDrift(store string, before, now []BaselineKey) (changes []Change) {
	was, is := slices.Clone(before), slices.Clone(now)
	all := slices.Concat(before, now)
	change := func(what string, k BaselineKey) Change {
		c := Change{What: what, Where: store, KeyID: k.KeyID, Name: k.Name, id: k.label(all)}
		if len(k.SHA256) == 1 {
			c.sum = k.SHA256[0]
		}
		return c
	}
	take := func(fits func(a, b BaselineKey) bool) (pairs []BaselineKey) {
		is = slices.DeleteFunc(is, func(k BaselineKey) bool {
			i := slices.IndexFunc(was, func(old BaselineKey) bool { return old.Name == k.Name && old.KeyID == k.KeyID && fits(old, k) })
			if i < 0 {
				return false
			}
			pairs, was = append(pairs, k), slices.Delete(was, i, i+1)
			return true
		})
		return pairs
	}
	take(func(a, b BaselineKey) bool { return slices.Equal(a.SHA256, b.SHA256) })
	for _, k := range take(func(a, b BaselineKey) bool { return len(a.SHA256) == 0 || len(b.SHA256) == 0 }) {
		unsure := change("key-unsure", k)
		if unsure.Was = "its certificate was not found when the baseline was recorded"; len(k.SHA256) == 0 {
			unsure.Was, unsure.Is = "", "its certificate is not found any more"
		}
		changes = append(changes, unsure)
	}
	for _, k := range is {
		changes = append(changes, change("key-appeared", k))
	}
	for _, k := range was {
		changes = append(changes, change("key-vanished", k))
	}
	return changes
}

// label names a key among those of its store then and now, by the rules of [Store.label].
func (k BaselineKey) label(all []BaselineKey) string {
	shared := slices.ContainsFunc(all, func(other BaselineKey) bool { return other.KeyID == k.KeyID && !slices.Equal(other.SHA256, k.SHA256) })
	if k.KeyID != "" && !shared && len(k.SHA256) < 2 {
		return k.KeyID
	}
	return orElse(strings.Join(k.SHA256, "+"), k.Name)
}

// String words a change.
func (c Change) String() string {
	switch c.What {
	case "key-appeared", "key-vanished":
		return fmt.Sprintf("%s: %s %s %s", c.Where, c.Name, c.KeyID, strings.TrimPrefix(c.What, "key-"))
	case "key-unsure":
		return fmt.Sprintf("%s: %s %s: %s, so that it may be another", c.Where, c.Name, c.KeyID, c.Was+c.Is)
	case "store-unseen":
		return c.Where + ": " + c.Was + c.Is
	}
	return fmt.Sprintf("%s: %s, was %s", c.Where, c.Is, c.Was)
}

// subject is a change for waivers: a key in a store, else the store, the check or the host.
func (c Change) subject(r Result) Subject {
	s := Subject{Name: c.Where, Result: r, Evidence: c.String()}
	if c.id != "" {
		s.Name += ":" + c.id
	}
	if c.sum != "" {
		s.Also = c.Where + ":" + c.sum
	}
	return s
}

func driftOutcome(f Facts, changes []Change) outcome {
	if f.Baseline == nil {
		return inapplicable("no baseline was given")
	}
	var subjects []Subject
	for _, c := range changes {
		if result := c.Result(); result != Pass {
			subjects = append(subjects, c.subject(result))
		}
	}
	if f.Baseline.Time.After(f.Now) {
		subjects = append(subjects, Subject{Name: "baseline", Result: Warn, Evidence: "it is of " + day(f.Baseline.Time) + ", which is still to come: one of two clocks is wrong"})
	}
	well := "as on " + day(f.Baseline.Time)
	if len(changes) > 0 {
		well += ", and some results are better"
	}
	return of(subjects, well)
}
