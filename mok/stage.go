package mok

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kkeys/efivars"
)

// Outcomes of staging.
var (
	// ErrChanged: the variables are no longer what the plan was made on; nothing was written.
	ErrChanged = errors.New("the pending request changed meanwhile")
	// ErrNotStored: the firmware reported success and stored something else.
	ErrNotStored = errors.New("the firmware did not store what was written")
)

// Now is what a variable holds after a staging that failed.
type Now struct {
	Variable string
	// Content in words: "absent", "as before", "the new value", "something else (n bytes)", "unknown: …".
	Content string
}

// StageError is a staging that failed, after which everything possible was put back.
type StageError struct {
	// Step that failed, as in "write MokAuth".
	Step string
	Err  error
	// Restored: all variables are as they were.
	Restored bool
	// RestoreErr is why not, nil if Restored.
	RestoreErr error
	// Now is what is in the variables.
	Now []Now
}

func (e *StageError) Error() string {
	text := e.Step + ": " + e.Err.Error()
	if e.Restored {
		return text + " (everything is as it was)"
	}
	parts := make([]string, len(e.Now))
	for i, n := range e.Now {
		parts[i] = n.Variable + " is " + n.Content
	}
	return fmt.Sprintf("%s; and it could not be put back: %v (%s)", text, e.RestoreErr, strings.Join(parts, ", "))
}

// Unwrap gives the cause and what went wrong while restoring.
func (e *StageError) Unwrap() []error {
	if e.RestoreErr == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.RestoreErr}
}

// value is what a variable held; absent is a value too.
type value struct {
	there      bool
	attributes efivars.Attributes
	data       []byte
}

func read(store efivars.Store, n efivars.Name) (value, error) {
	a, data, err := store.Get(n)
	if errors.Is(err, efivars.ErrNotFound) {
		return value{}, nil
	}
	if err != nil {
		return value{}, err
	}
	return value{true, a, bytes.Clone(data)}, nil
}

func (v value) equal(w value) bool {
	return v.there == w.there && v.attributes == w.attributes && bytes.Equal(v.data, w.data)
}

// put makes the variable hold the value and makes sure that it does.
func put(store efivars.Store, n efivars.Name, v value) error {
	var err error
	if v.there {
		err = store.Set(n, v.attributes, v.data)
	} else if err = store.Delete(n); errors.Is(err, efivars.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	got, err := read(store, n)
	if err != nil {
		return err
	}
	if !got.equal(v) {
		return fmt.Errorf("%w: %s", ErrNotStored, n.Name)
	}
	return nil
}

// snapshot is the values of a plan's variables before it, in the order of its writes.
type snapshot []value

// Stage carries the plan out with this password, nil where none is asked for: each variable in one write, read back and compared. When
// anything fails, what was there is put back; the error is then a *StageError, except before the first write (ErrPassword and ErrMethod for a
// password that MokManager could not check, ErrInvalid of efivars for one of another form). A password is never left without its request.
func (p *Plan) Stage(store efivars.Store, secret Secret) error {
	p, err := p.with(secret)
	if err != nil {
		return err
	}
	unlock, err := exclusive(store)
	if err != nil {
		return err
	}
	defer unlock()
	if err := alone(store, p.kind); err != nil {
		return err
	}
	before := make(snapshot, len(p.Writes))
	for i, w := range p.Writes {
		if before[i], err = read(store, w.Name); err != nil {
			return fmt.Errorf("before staging: %w", err)
		}
		was := before[i].there == (p.previous != nil)
		if w.Name.Name == kindNames[p.kind].request {
			was = was && bytes.Equal(before[i].data, p.previous)
		}
		if w.Name != Timeout && !was {
			return fmt.Errorf("%w: %s", ErrChanged, w.Name.Name)
		}
	}
	for _, w := range p.Writes {
		if err := w.private(store); err != nil {
			return p.undo(store, before, "keep other users from "+w.Name.Name, err)
		}
		if err := put(store, w.Name, w.value()); err != nil {
			return p.undo(store, before, "write "+w.Name.Name, err)
		}
	}
	// mokutil takes no lock. If it took the request back meanwhile, the password must go too: alone it means "erase all keys".
	if p.replaced(store) {
		return fmt.Errorf("%w: another program staged a request of its own", ErrChanged)
	}
	for _, w := range p.Writes {
		if got, err := read(store, w.Name); err != nil || !got.equal(w.value()) {
			return p.undo(store, before, "look at "+w.Name.Name+" again", errors.Join(ErrChanged, err))
		}
	}
	if err := alone(store, p.kind); err != nil {
		return p.undo(store, before, "look for other requests again", err)
	}
	return nil
}

// critical are the plan's writes without MokTimeout, which harms nobody.
func (p *Plan) critical() []Write {
	return slices.DeleteFunc(slices.Clone(p.Writes), func(w Write) bool { return w.Name == Timeout })
}

// replaced tells whether all variables of the request are there and somebody else's: a whole request, which is not ours to take back.
func (p *Plan) replaced(store efivars.Store) bool {
	for _, w := range p.critical() {
		if got, err := read(store, w.Name); err != nil || !got.there || got.equal(w.value()) {
			return false
		}
	}
	return true
}

// alone looks for requests of another kind, now that nobody else with the lock can write: of two kinds MokManager loses one.
func alone(store efivars.Store, k Kind) error {
	pending := ReadPending(store)
	for _, r := range pending.Requests {
		if r.Kind != k {
			return fmt.Errorf("%w: %s", ErrChanged, r.Variable)
		}
	}
	if len(pending.Orphans) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, pending.Orphans[0])
	}
	for _, gap := range pending.NotSeen {
		if gap.Source != "efivars/"+Timeout.Name {
			return fmt.Errorf("look for other requests: %w", gap.Err)
		}
	}
	return nil
}

// exclusive keeps other runs of kkeys from changing the variables.
func exclusive(store efivars.Store) (unlock func(), err error) {
	if l, ok := store.(efivars.Locker); ok {
		return l.Lock()
	}
	return func() {}, nil
}

// with is the plan with its password filled in.
func (p *Plan) with(secret Secret) (*Plan, error) {
	form, record := NoSecret, []byte(nil)
	if secret != nil {
		form = secret.form()
		var err error
		if record, err = secret.encode(); err != nil {
			return nil, err
		}
	}
	if form != p.Form {
		return nil, fmt.Errorf("%w: a password of another form than the plan's", efivars.ErrInvalid)
	}
	filled := *p
	filled.Writes = slices.Clone(p.Writes)
	for i, w := range filled.Writes {
		if w.secret {
			filled.Writes[i].data = append(bytes.Clone(w.data), record...)
		}
	}
	return &filled, nil
}

// private keeps other users from a password in a variable that is overwritten; a new one is made so.
func (w Write) private(store efivars.Store) error {
	keeper, ok := store.(efivars.Keeper)
	if !ok || !w.secret {
		return nil
	}
	if err := keeper.Private(w.Name); !errors.Is(err, efivars.ErrNotFound) {
		return err
	}
	return nil
}

func (w Write) value() value { return value{true, w.Attributes, w.data} }

// undo puts the snapshot back. When that fails too, the request is deleted, its password first, unless both are what they were.
func (p *Plan) undo(store efivars.Store, before snapshot, step string, cause error) error {
	e := &StageError{Step: step, Err: cause}
	e.RestoreErr = p.restore(store, before)
	if e.RestoreErr != nil && !p.asBefore(store, before) {
		if err := p.remove(store); err != nil {
			e.RestoreErr = errors.Join(e.RestoreErr, err)
		}
	}
	e.Restored = e.RestoreErr == nil
	for i, w := range p.Writes {
		e.Now = append(e.Now, Now{w.Name.Name, describe(store, w, before[i])})
	}
	return e
}

// restore goes through the variables from the last to the first: a new password goes before its request does, and
// MokTimeout, which harms nobody, comes at the end. The first failure ends it.
func (p *Plan) restore(store efivars.Store, before snapshot) error {
	for i := len(p.Writes) - 1; i >= 0; i-- {
		name := p.Writes[i].Name
		if got, err := read(store, name); err == nil && got.equal(before[i]) {
			continue // nothing is written that need not be
		}
		if err := put(store, name, before[i]); err != nil {
			return fmt.Errorf("restore %s: %w", name.Name, err)
		}
	}
	return nil
}

// asBefore reports whether the variables of the request are what they were.
func (p *Plan) asBefore(store efivars.Store, before snapshot) bool {
	for i, w := range p.Writes {
		if got, err := read(store, w.Name); w.Name != Timeout && (err != nil || !got.equal(before[i])) {
			return false
		}
	}
	return true
}

// remove deletes the variables of the request, the last first, and stops at the first that will not go.
func (p *Plan) remove(store efivars.Store) error {
	for _, w := range slices.Backward(p.critical()) {
		if err := put(store, w.Name, value{}); err != nil {
			return fmt.Errorf("remove %s: %w", w.Name.Name, err)
		}
	}
	return nil
}

func describe(store efivars.Store, w Write, before value) string {
	got, err := read(store, w.Name)
	switch {
	case err != nil:
		return "unknown: " + err.Error()
	case got.equal(before):
		if !got.there {
			return "absent, as before"
		}
		return "as before"
	case !got.there:
		return "absent"
	case got.equal(w.value()):
		return "the new value"
	}
	return fmt.Sprintf("something else (%d bytes)", len(got.data))
}
