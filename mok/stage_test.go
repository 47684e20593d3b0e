package mok_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/mok"
)

func TestStage(t *testing.T) {
	m := machine()
	var sets []string
	seconds := int32(60)
	p := plan(t, m, [][]byte{der(1000), der(1001)}, &seconds)
	for _, w := range p.Writes {
		sets = append(sets, w.Name.Name)
		if w.Attributes != 7 {
			t.Errorf("%s has attributes %s", w.Name, w.Attributes)
		}
	}
	if strings.Join(sets, " ") != "MokTimeout MokNew MokAuth" || p.Keys != 2 || p.Merged != 0 {
		t.Errorf("%v, %d keys, %d merged", sets, p.Keys, p.Merged)
	}
	if len(holds(t, m)) != 0 {
		t.Error("planning wrote something")
	}
	record := auth(t, "hunter22")
	if err := p.Stage(m, record); err != nil {
		t.Fatal(err)
	}
	for _, w := range p.Writes {
		if got := get(t, m, w.Name.Name); len(got) != w.Size {
			t.Errorf("%s has %d bytes, planned %d", w.Name.Name, len(got), w.Size)
		}
	}
	if !bytes.Equal(get(t, m, "MokNew"), keyList(der(1000), der(1001))) {
		t.Error("MokNew is something else")
	}
	if !bytes.Equal(get(t, m, "MokTimeout"), []byte{60, 0, 0, 0}) {
		t.Error("MokTimeout is something else")
	}
	a, err := mok.ParseAuth(get(t, m, "MokAuth"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := a.Verify("hunter22"); !ok || err != nil {
		t.Errorf("the password does not fit: %v", err)
	}
	if err := p.Stage(m, record); !errors.Is(err, mok.ErrChanged) {
		t.Errorf("the same plan again: %v", err)
	}
}

// A timeout that waits already is kept and told, unless it is a trap.
func TestTimeoutThatIsThere(t *testing.T) {
	for why, c := range map[string]struct {
		there  []byte
		holds  []byte // after the staging
		screen string // what the first one says
		warns  string
	}{
		"none":      {nil, nil, "within 10 seconds", ""},
		"a minute":  {[]byte{60, 0, 0, 0}, []byte{60, 0, 0, 0}, "within 60 seconds", ""},
		"for ever":  {[]byte{255, 255, 255, 255}, []byte{255, 255, 255, 255}, "choose Enroll MOK", ""},
		"0":         {[]byte{0, 0, 0, 0}, []byte{10, 0, 0, 0}, "within 10 seconds", "was to wait 0 seconds"},
		"-5":        {[]byte{251, 255, 255, 255}, []byte{10, 0, 0, 0}, "within 10 seconds", "was to wait -5 seconds"},
		"too short": {[]byte{60}, []byte{10, 0, 0, 0}, "within 10 seconds", "damaged"},
	} {
		m := machine()
		if c.there != nil {
			m.Seed(mok.Timeout, 7, c.there)
		}
		p := plan(t, m, [][]byte{der(1000)}, nil)
		if !strings.Contains(p.Screens[0].Do, c.screen) || !strings.Contains(strings.Join(p.Warnings, "\n"), c.warns) || c.warns == "" && len(p.Warnings) > 0 {
			t.Errorf("%s: %+v, %q", why, p.Screens[0], p.Warnings)
		}
		if err := p.Stage(m, auth(t, "hunter22")); err != nil {
			t.Errorf("%s: %v", why, err)
		}
		_, got, err := m.Get(mok.Timeout)
		if !bytes.Equal(got, c.holds) || (err == nil) != (c.holds != nil) {
			t.Errorf("%s: MokTimeout is %x, %v", why, got, err)
		}
	}
}

func TestMerge(t *testing.T) {
	m := machine()
	stage(t, m, [][]byte{der(1000)}, "first", nil)
	p := plan(t, m, [][]byte{der(1001)}, nil)
	if p.Keys != 2 || p.Merged != 1 || !strings.Contains(strings.Join(p.Warnings, "\n"), "replaces") {
		t.Errorf("%+v", p)
	}
	if err := p.Stage(m, auth(t, "second")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(get(t, m, "MokNew"), keyList(der(1001), der(1000))) {
		t.Error("MokNew is something else")
	}
	a, err := mok.ParseAuth(get(t, m, "MokAuth"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := a.Verify("second"); !ok {
		t.Error("the new password does not count")
	}
}

// A plan made before somebody else staged or cancelled is not carried out.
func TestStageOnChangedVariables(t *testing.T) {
	record := auth(t, "p")
	for why, change := range map[string]func(m *efivarstest.Memory){
		"request": func(m *efivarstest.Memory) { m.Seed(mok.Variable("MokNew"), 7, keyList(der(1009))) },
		"auth":    func(m *efivarstest.Memory) { m.Seed(mok.Variable("MokAuth"), 7, make([]byte, 172)) },
	} {
		m := machine()
		p := plan(t, m, [][]byte{der(1000)}, nil)
		change(m)
		before := m.Dump()
		if err := p.Stage(m, record); !errors.Is(err, mok.ErrChanged) || m.Dump() != before {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// harmless checks for what MokManager must never see apart: a password alone is an order to erase all keys.
func harmless(t *testing.T, m *efivarstest.Memory, when string) {
	t.Helper()
	there := holds(t, m)
	if slices.Contains(there, "MokAuth") && !slices.Contains(there, "MokNew") ||
		slices.Contains(there, "MokXAuth") && !slices.Contains(there, "MokXNew") {
		t.Errorf("%s: a password without its request: %v", when, there)
	}
}

var effects = map[string]efivarstest.Effect{
	"refused": efivarstest.Refused, "applied": efivarstest.Applied, "lie": efivarstest.Lie, "truncated": efivarstest.Truncated,
}

// staging is a wish with its password, on a machine where it can be staged.
type staging struct {
	start  *efivarstest.Memory
	wish   mok.Wish
	secret mok.Secret
}

// stagings are all kinds, fresh, and joined to what is pending where that can be.
func stagings(t *testing.T) map[string]staging {
	seconds := int32(60)
	hash := bytes.Repeat([]byte{7}, 32)
	hashes, _ := efivars.EncodeSignatureLists([]efivars.SignatureList{{Type: efivars.SHA256, Signatures: []efivars.Signature{{Owner: efivars.Shim, Data: hash}}}})
	full := func() *efivarstest.Memory {
		return with("MokListRT", keyList(der(900), der(1001), der(1002)), "MokListXRT", slices.Concat(keyList(der(1005), der(1006)), hashes))
	}
	merging := map[mok.Kind]*efivarstest.Memory{mok.Enroll: machine(), mok.Delete: full(), mok.Block: full(), mok.Unblock: full()}
	all := map[string]staging{}
	for k, m := range merging {
		before, now := der(1002), der(1001)
		switch k {
		case mok.Enroll, mok.Block:
			before, now = der(1010), der(1011)
		case mok.Unblock:
			before, now = der(1005), der(1006)
		}
		w := mok.Wish{Kind: k, Certificates: [][]byte{now}, Timeout: &seconds}
		all[k.String()] = staging{m.Clone(), w, auth(t, "new")}
		if err := planFor(t, m, mok.Wish{Kind: k, Certificates: [][]byte{before}}).Stage(m, auth(t, "old")); err != nil {
			t.Fatal(err)
		}
		m.Seed(mok.Timeout, 7, []byte{30, 0, 0, 0})
		all[k.String()+", merging"] = staging{m, w, auth(t, "new")}
	}
	all["unblock a hash"] = staging{full(), mok.Wish{Kind: mok.Unblock, Hashes: [][]byte{hash}}, auth(t, "new")}
	all["reset"] = staging{full(), mok.Wish{Kind: mok.Reset, Timeout: &seconds}, auth(t, "new")}
	all["reset blocklist"] = staging{full(), mok.Wish{Kind: mok.ResetBlocked, Timeout: &seconds}, auth(t, "new")}
	all["set password"] = staging{full(), mok.Wish{Kind: mok.Password, On: true, Timeout: &seconds}, auth(t, "new")}
	all["clear password"] = staging{full(), mok.Wish{Kind: mok.Password, Timeout: &seconds}, nil}
	for k, on := range map[mok.Kind]bool{mok.Validation: false, mok.UseDB: false, mok.TrustList: false} {
		all[k.String()] = staging{full(), mok.Wish{Kind: k, On: on, Timeout: &seconds}, mok.Characters("eight or more")}
	}
	return all
}

// TestStageFaults lets every operation of every staging fail in every way, once and for good; and looks at the store after each operation, as
// if the power failed there.
func TestStageFaults(t *testing.T) {
	for name, s := range stagings(t) {
		trial := s.start.Clone()
		p := planFor(t, trial, s.wish)
		planned := trial.Operations()
		if err := p.Stage(trial, s.secret); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		done, operations := trial.Dump(), trial.Operations()-planned
		if n := len(p.Writes); operations != 13+n+2*n+1+n+13 { // twice thirteen looks for other requests; snapshots; write and read back; whose they are; last looks
			t.Errorf("%s: %d operations", name, operations)
		}
		for at := 1; at <= operations+12; at++ { // beyond the end: failures while restoring come with Sticky
			for effectName, effect := range effects {
				for _, sticky := range []bool{false, true} {
					m := s.start.Clone()
					m.Fault = &efivarstest.Fault{At: at, Effect: effect, Sticky: sticky}
					if s.wish.Kind != mok.Reset && s.wish.Kind != mok.ResetBlocked { // which are what is feared elsewhere
						m.After = func() { harmless(t, m, name+", "+effectName+", in between") }
					}
					err := p.Stage(m, s.secret)
					m.Fault, m.After = nil, nil
					checkOutcome(t, name+", "+effectName, m, s.start.Dump(), done, err)
				}
			}
		}
	}
}

// checkOutcome: success means done, a claim to have restored is true, and what the error says is in the store is there.
func checkOutcome(t *testing.T, when string, m *efivarstest.Memory, before, done string, err error) {
	t.Helper()
	var failed *mok.StageError
	switch {
	case err == nil:
		if m.Dump() != done {
			t.Errorf("%s: success without effect", when)
		}
	case !errors.As(err, &failed):
		if m.Dump() != before {
			t.Errorf("%s: wrote before it failed: %v", when, err)
		}
	case failed.Restored:
		if m.Dump() != before {
			t.Errorf("%s: claims to have restored: %v\n%s", when, err, m.Dump())
		}
	default:
		there := holds(t, m)
		if failed.Now[0].Variable == "MokTimeout" && strings.HasPrefix(failed.RestoreErr.Error(), "restore MokTimeout") {
			for _, now := range failed.Now[1:] { // what was pending is not given up for a timeout
				if !strings.HasSuffix(now.Content, "as before") {
					t.Errorf("%s: %s is %s", when, now.Variable, now.Content)
				}
			}
		}
		for _, now := range failed.Now {
			absent := strings.HasPrefix(now.Content, "absent")
			if known := !strings.HasPrefix(now.Content, "unknown"); known && absent == slices.Contains(there, now.Variable) {
				t.Errorf("%s: says %+v, there are %v", when, now, there)
			}
		}
		if failed.RestoreErr == nil || failed.Error() == "" {
			t.Errorf("%s: no reason why nothing was restored", when)
		}
	}
}

// TestRestoreFaults fails a write and then every single operation of the restoring.
func TestRestoreFaults(t *testing.T) {
	for name, c := range stagings(t) {
		p := planFor(t, c.start.Clone(), c.wish)
		done := c.start.Clone()
		if err := p.Stage(done, c.secret); err != nil {
			t.Fatal(err)
		}
		for first := 13 + len(p.Writes) + 1; first <= 13+3*len(p.Writes); first++ {
			for second := first + 1; second <= first+16; second++ {
				for effectName, effect := range effects {
					m := c.start.Clone()
					s := &twice{Memory: m, first: first, second: second, effect: effect}
					if c.wish.Kind != mok.Reset && c.wish.Kind != mok.ResetBlocked {
						m.After = func() { harmless(t, m, name+" in between") }
					}
					err := p.Stage(s, c.secret)
					m.Fault, m.After = nil, nil
					checkOutcome(t, name+", "+effectName, m, c.start.Dump(), done.Dump(), err)
					checkGivenUp(t, name+", "+effectName, err)
				}
			}
		}
	}
}

// checkGivenUp: when restoring failed once and no more, request and password are what they were, or both are gone.
func checkGivenUp(t *testing.T, when string, err error) {
	t.Helper()
	var failed *mok.StageError
	if !errors.As(err, &failed) || failed.Restored {
		return
	}
	kept, gone := true, true
	for _, now := range failed.Now {
		if now.Variable != "MokTimeout" {
			kept, gone = kept && strings.HasSuffix(now.Content, "as before"), gone && strings.HasPrefix(now.Content, "absent")
		}
	}
	if !kept && !gone {
		t.Errorf("%s: %v", when, err)
	}
}

// twice fails at two operations: the first is applied and reported as failed, the second as the effect says.
type twice struct {
	*efivarstest.Memory
	first, second int
	effect        efivarstest.Effect
}

func (s *twice) arm() {
	s.Fault = &efivarstest.Fault{At: s.first, Effect: efivarstest.Applied}
	if s.Operations() >= s.first {
		s.Fault = &efivarstest.Fault{At: s.second, Effect: s.effect}
	}
}

func (s *twice) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	s.arm()
	return s.Memory.Get(n)
}

func (s *twice) Set(n efivars.Name, a efivars.Attributes, data []byte) error {
	s.arm()
	return s.Memory.Set(n, a, data)
}

func (s *twice) Delete(n efivars.Name) error {
	s.arm()
	return s.Memory.Delete(n)
}

func TestStageErrorKeepsCause(t *testing.T) {
	m := machine()
	p := plan(t, m, [][]byte{der(1000)}, nil)
	m.Capacity = m.Reserve + 1200 // room for the request, not for the password
	err := p.Stage(m, auth(t, "p"))
	var failed *mok.StageError
	if !errors.As(err, &failed) || !errors.Is(err, efivars.ErrNoSpace) || !failed.Restored || failed.Step != "write MokAuth" {
		t.Errorf("%v", err)
	}
}

// A first write that is refused has changed nothing, so nothing more is written.
func TestRefusedAtOnce(t *testing.T) {
	m := machine()
	p := plan(t, m, [][]byte{der(1000)}, nil)
	m.Limit = 500
	s := &counter{Memory: m}
	var failed *mok.StageError
	if err := p.Stage(s, auth(t, "p")); !errors.As(err, &failed) || !failed.Restored || !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if s.writes != 1 {
		t.Errorf("%d writes", s.writes)
	}
}

// counter counts what changes the store.
type counter struct {
	*efivarstest.Memory
	writes int
}

func (s *counter) Set(n efivars.Name, a efivars.Attributes, data []byte) error {
	s.writes++
	return s.Memory.Set(n, a, data)
}

func (s *counter) Delete(n efivars.Name) error {
	s.writes++
	return s.Memory.Delete(n)
}

// keeping is a store that notes which variables are kept from other users, and what they held then.
type keeping struct {
	*efivarstest.Memory
	kept map[string]string
	err  error
}

func (k keeping) Private(n efivars.Name) error {
	_, data, err := k.Get(n)
	if err != nil {
		return err
	}
	k.kept[n.Name] = string(data)
	return k.err
}

// A password that joins a pending request, or replaces its, lies in a variable that others may have been able to read since boot: no more, before it
// is written. The certificates are no secret.
func TestStageKeepsSecrets(t *testing.T) {
	wish := func(n int) mok.Wish { return mok.Wish{Certificates: [][]byte{der(n)}} }
	store := keeping{machine(), map[string]string{}, nil}
	stage := func(n int) error {
		p, err := mok.NewPlan(mok.ReadFacts(store, noRoot, goodBoot, mok.Vendor{}), wish(n))
		if err != nil {
			t.Fatal(err)
		}
		return p.Stage(store, auth(t, "secret"))
	}
	if err := stage(1000); err != nil || len(store.kept) != 0 {
		t.Fatalf("what is new is kept by itself: %v, %v", store.kept, err)
	}
	_, first, err := store.Get(mok.Variable("MokAuth"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stage(1001); err != nil {
		t.Fatal(err)
	}
	if len(store.kept) != 1 || store.kept["MokAuth"] != string(first) {
		t.Errorf("kept %d variables, and MokAuth before it was written: %v", len(store.kept), store.kept["MokAuth"] == string(first))
	}
	before := store.Dump()
	store.err = efivars.ErrDenied
	if err := stage(1002); !errors.Is(err, efivars.ErrDenied) || store.Dump() != before {
		t.Errorf("it could not be kept: %v", err)
	}
}
