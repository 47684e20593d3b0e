package mok

import (
	"fmt"
	"slices"

	"kkeys/efivars"
)

// Write is one variable that a plan writes.
type Write struct {
	Name       efivars.Name
	Attributes efivars.Attributes
	// Size of the data in bytes.
	Size int

	data   []byte
	secret bool // Stage adds the password
}

// Plan is a staging that passed its preflight: what is shown is what is done.
type Plan struct {
	// Writes in their order: a password record comes last, because alone it means "erase all keys".
	Writes []Write
	// Form is the password that Stage wants.
	Form Form
	// Keys is how many entries MokManager will show.
	Keys int
	// Merged is how many of them were pending already; the new password replaces theirs.
	Merged int
	// Warnings for whoever confirms, in plain words.
	Warnings []string
	// Screens of MokManager to expect.
	Screens []Screen

	kind Kind
	// previous is the pending request that the plan adds to, nil if there was none.
	previous []byte
}

// NewPlan checks the facts and plans the staging; its error is the preflight's *Refusal.
func NewPlan(f Facts, w Wish) (*Plan, error) {
	if !w.Kind.valid() {
		return nil, fmt.Errorf("%w: kind %d", efivars.ErrInvalid, int(w.Kind))
	}
	if err := f.Preflight(w); err != nil {
		return nil, err
	}
	pending, _ := f.Pending.Request(w.Kind)
	trap := ""
	if w.Timeout == nil {
		w.Timeout, trap = f.Pending.timeoutToKeep()
	}
	p := &Plan{kind: w.Kind, Form: w.Form(), Merged: pending.Keys(), previous: pending.raw}
	if w.Timeout != nil && (f.Pending.Timeout == nil || *w.Timeout != *f.Pending.Timeout) {
		data, err := TimeoutData(*w.Timeout)
		if err != nil {
			return nil, err
		}
		p.write(Timeout.Name, data, false)
	}
	request, auth := kindNames[w.Kind].request, kindNames[w.Kind].auth
	data := append(w.data(), pending.raw...) // as mokutil orders them: new before old
	if w.Kind.listed() {
		all, err := efivars.ParseSignatureLists(data)
		if err != nil { // shim would store the broken bytes for good
			return nil, fmt.Errorf("the request would be corrupt: %w", err)
		}
		p.Keys = len(all)
	}
	if request != "" {
		p.write(request, data, p.Form != NoSecret && auth == "")
	}
	if auth != "" {
		p.write(auth, nil, true)
	}
	p.Screens = w.screens(p.Keys)
	if trap != "" {
		p.Warnings = append(p.Warnings, trap)
	}
	p.warn(f, w, len(data))
	return p, nil
}

// timeoutToKeep is the MokTimeout that is there already, nil when there is none. One with which MokManager would lose the request makes way for
// shim's own ten seconds, and that is told.
func (p Pending) timeoutToKeep() (seconds *int32, trap string) {
	usual := int32(UsualTimeout)
	switch {
	case p.TimeoutErr != nil:
		return &usual, fmt.Sprintf("the timeout that is there is damaged (%v): it becomes %d seconds", p.TimeoutErr, usual)
	case p.Timeout == nil:
		return nil, ""
	}
	if p.Trap() {
		return &usual, fmt.Sprintf("MokManager was to wait %d seconds, with which a key pressed too early loses the request: it becomes %d seconds", *p.Timeout, usual)
	}
	return p.Timeout, ""
}

// write plans one; a secret comes after the data.
func (p *Plan) write(name string, data []byte, secret bool) {
	size := len(data)
	switch {
	case secret && p.Form == Typed:
		size += switchSize - 4
	case secret:
		size += AuthSize
	}
	p.Writes = append(p.Writes, Write{Name: Variable(name), Attributes: Attributes, Size: size, data: data, secret: secret})
}

// number is a number with its noun.
func number(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func (p *Plan) warn(f Facts, w Wish, request int) {
	warn := func(format string, args ...any) { p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...)) }
	if p.Merged > 0 {
		warn("the new password replaces that of %s", number(p.Merged, "pending key", "pending keys"))
	}
	if list := f.State.Enrolled.Size + request + listOverhead; w.Kind == Enroll && list > variableSoft {
		if _, known := f.State.Variables.listLimit(); !known {
			warn("MokList would have up to %d bytes; some firmware stores no more than %d in a variable", list, variableSoft)
		}
	}
	if w.Kind == Enroll && !f.State.Blocked.Seen() {
		warn("shim's blocklist could not be read: a blocked key would be of no use")
	}
	if w.Kind == Enroll && f.Forbidden.Err != nil {
		warn("the firmware's dbx could not be read (%v): a key in it would be of no use", f.Forbidden.Err)
	}
	if f.Vendor.Err != nil && (w.Kind.listed() && w.Kind != Enroll || w.Kind.resets()) {
		warn("what is built into shim could not be read (%v): MokManager cannot remove that, and says that it failed or, worse, that it did", f.Vendor.Err)
	}
	if text := prices[w.Kind][w.On]; text != "" {
		warn("%s", text)
	}
	if w.Kind.resets() {
		warn("this erases all that was ever added to the list: %s that can be seen", number(len(f.Erased(w.Kind)), "entry", "entries"))
	}
	gone := f.Erased(w.Kind)
	if w.Kind == Delete {
		gone = w.lists()
	}
	for _, p := range f.Boot.Programs {
		if slices.ContainsFunc(gone, p.by) {
			warn("%s is signed by what goes: with Secure Boot on shim will not start it, unless something else in its lists or db vouches for it", p.Path)
		}
	}
	if f.SpaceErr != nil {
		warn("how much room the firmware has left could not be asked: %v", f.SpaceErr)
	}
}

// prices are what a wish costs that is not about a key, by kind and whether it is to switch on.
var prices = map[Kind]map[bool]string{
	Validation: {false: "shim will check nothing that it starts, and the kernel then counts Secure Boot as off: it takes no key from shim, so that modules signed with an enrolled key no longer load where signatures are enforced"},
	UseDB:      {false: "shim and the kernel will ignore the keys of the firmware's db: what only they vouch for no longer starts, another system's loader among them"},
	TrustList:  {false: "the kernel will not trust enrolled keys for modules"},
	Password:   {true: "whether MokManager has a password cannot be seen from the operating system; with one it waits for it without end each time it starts, so that a machine without anybody at it stands still"},
}
