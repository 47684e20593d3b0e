package mok

import (
	"encoding/binary"
	"fmt"

	"kkeys/efivars"
)

// Write is one variable that a plan writes.
type Write struct {
	Name       efivars.Name
	Attributes efivars.Attributes
	// Size of the data in bytes.
	Size int

	data []byte // nil for the password record, which Stage is given
}

// Plan is a staging that passed its preflight: what is shown is what is done.
type Plan struct {
	// Writes in their order: the password comes last, because alone it means "erase all keys".
	Writes []Write
	// Keys is how many entries MokManager will show.
	Keys int
	// Merged is how many of them were pending already; the new password replaces theirs.
	Merged int
	// Warnings for whoever confirms, in plain words.
	Warnings []string
	// Screens of MokManager to expect.
	Screens []Screen

	// previous is the pending request that the plan adds to, nil if there was none.
	previous []byte
}

// NewPlan checks the facts and plans the enrolment; its error is the preflight's *Refusal.
func NewPlan(f Facts, e Enrolment) (*Plan, error) {
	if err := f.Preflight(e); err != nil {
		return nil, err
	}
	pending, _ := f.Pending.Request(Enroll)
	lists := make([]efivars.SignatureList, len(e.Certificates))
	for i, der := range e.Certificates {
		lists[i] = efivars.X509List(efivars.Shim, der)
	}
	request, err := efivars.EncodeSignatureLists(lists)
	if err != nil {
		return nil, err
	}
	request = append(request, pending.raw...) // as mokutil orders them: new before old
	all, err := efivars.ParseSignatureLists(request)
	if err != nil { // shim would store the broken bytes for good
		return nil, fmt.Errorf("the request would be corrupt: %w", err)
	}
	p := &Plan{Keys: len(all), Merged: pending.Keys(), previous: pending.raw}
	if e.Timeout != nil {
		p.write(Timeout.Name, binary.LittleEndian.AppendUint32(nil, uint32(*e.Timeout)))
	}
	p.write(kindNames[Enroll].request, request)
	p.Writes = append(p.Writes, Write{Name: Variable(kindNames[Enroll].auth), Attributes: Attributes, Size: AuthSize})
	p.Screens = enrollScreens(p.Keys, e.Timeout)
	p.warn(f, len(request))
	return p, nil
}

func (p *Plan) write(name string, data []byte) {
	p.Writes = append(p.Writes, Write{Name: Variable(name), Attributes: Attributes, Size: len(data), data: data})
}

func (p *Plan) warn(f Facts, request int) {
	warn := func(format string, args ...any) { p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...)) }
	if p.Merged > 0 {
		warn("the new password replaces that of %d pending key(s)", p.Merged)
	}
	if list := f.State.Enrolled.Size + request + listOverhead; list > variableSoft {
		if _, known := f.State.Variables.listLimit(); !known {
			warn("MokList would have up to %d bytes; some firmware stores no more than %d in a variable", list, variableSoft)
		}
	}
	if !f.State.Blocked.Seen() {
		warn("shim's blocklist could not be read: a blocked key would be of no use")
	}
	if f.SpaceErr != nil {
		warn("how much room the firmware has left could not be asked: %v", f.SpaceErr)
	}
	if f.Pending.TimeoutErr != nil {
		warn("%v", f.Pending.TimeoutErr)
	}
}

// Screen is one screen of MokManager (shim's MokManager.c; its texts did not change from shim 15 to 16.1).
type Screen struct {
	// Title is the text that identifies the screen.
	Title string
	// Items to choose from, the first one preselected; none when something is typed or any key will do.
	Items []string
	// Do is what to press or type there.
	Do string
}

// enrollScreens are those of enrolling n keys.
func enrollScreens(n int, timeout *int32) []Screen {
	var s []Screen
	if timeout == nil || *timeout != -1 {
		seconds := int32(10)
		if timeout != nil {
			seconds = *timeout
		}
		s = append(s, Screen{Title: "Press any key to perform MOK management",
			Do: fmt.Sprintf("press a key within %d seconds, or the request is gone", seconds)})
	}
	items := make([]string, 0, n+1)
	for i := range n {
		items = append(items, fmt.Sprintf("View key %d", i))
	}
	return append(s,
		Screen{"Perform MOK management", []string{"Continue boot", "Enroll MOK", "Enroll key from disk", "Enroll hash from disk"}, "choose Enroll MOK"},
		Screen{"[Enroll MOK]", append(items, "Continue"), "view the keys if you like, then choose Continue"},
		Screen{"Enroll the key(s)?", []string{"No", "Yes"}, "choose Yes (Escape counts as Yes)"},
		Screen{"Password:", nil, "type the password and Enter; nothing is shown, the keyboard is a US one"},
		Screen{"Perform MOK management", []string{"Reboot", "Enroll key from disk", "Enroll hash from disk"}, "choose Reboot"},
	)
}
