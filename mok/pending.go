package mok

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kkeys/efivars"
	"kkeys/evidence"
)

// Request is one kind of request as it stands in the variables.
type Request struct {
	Kind Kind
	// Variable is the name of the one that holds the request; for Reset and ResetBlocked that is the password's.
	Variable string
	// Lists is what shall be added or removed, for Enroll, Delete, Block and Unblock.
	Lists []efivars.SignatureList
	// Wish is what a switch shall do, in words: "disable validation"; see [Wish].
	Wish string
	// Auth tells whether the request's password is there: Yes when the record has a right size, No when it is missing or
	// of a size that MokManager takes for success without doing anything, Unknown when it could not be read. Switches
	// carry their password themselves.
	Auth evidence.Reading
	// Err says what is wrong with the request: a *efivars.CorruptError or a wrong size. MokManager will refuse it.
	Err error

	raw []byte
}

// Keys is the number of entries that MokManager will show: one a signature list.
func (r Request) Keys() int { return len(r.Lists) }

// Certificates are the DER certificates of the request, in order.
func (r Request) Certificates() [][]byte { return certificates(r.Lists) }

// Pending is what waits for MokManager.
type Pending struct {
	// Requests, in the order of the kinds.
	Requests []Request
	// Orphans are password variables without the request they belong to and which mean nothing alone: MokDelAuth and
	// MokXDelAuth. MokAuth and MokXAuth alone are requests of the kinds Reset and ResetBlocked, wanted or not.
	Orphans []string
	// Timeout is MokTimeout in seconds, nil when there is none; TimeoutErr is set when it is malformed.
	Timeout    *int32
	TimeoutErr error
	// NotSeen are the variables that could not be read: what is in them is unknown.
	NotSeen []Gap
}

// Request finds the request of a kind.
func (p Pending) Request(k Kind) (Request, bool) {
	for _, r := range p.Requests {
		if r.Kind == k {
			return r, true
		}
	}
	return Request{}, false
}

// Trap tells of a MokTimeout with which a key that is pressed too early loses the request (MokManager.c, draw_countdown).
func (p Pending) Trap() bool { return p.Timeout != nil && (*p.Timeout == 0 || *p.Timeout < -1) }

// ReadPending reads all request variables. What cannot be read is in NotSeen, what cannot be understood in the requests.
func ReadPending(store efivars.Store) Pending {
	var p Pending
	get := func(name string) ([]byte, evidence.Answer) {
		_, b, err := store.Get(Variable(name))
		switch {
		case err == nil:
			return b, evidence.Yes
		case errors.Is(err, efivars.ErrNotFound):
			return nil, evidence.No
		}
		p.NotSeen = append(p.NotSeen, Gap{"efivars/" + name, err})
		return nil, evidence.Unknown
	}
	for k := range kinds {
		if kindNames[k].request == "" { // Reset: seen with the request that it shares the password with
			continue
		}
		raw, there := get(kindNames[k].request)
		auth, authThere, authName := []byte(nil), evidence.No, kindNames[k].auth
		if authName != "" {
			auth, authThere = get(authName)
		}
		switch {
		case there == evidence.Yes:
			r := Request{Kind: k, Variable: kindNames[k].request, raw: raw}
			r.decode()
			if authName != "" {
				r.Auth = authFact(authName, auth, authThere)
			}
			p.Requests = append(p.Requests, r)
		case there == evidence.No && authThere == evidence.Yes:
			p.lone(k, authName, auth)
		}
	}
	p.timeout(get(Timeout.Name))
	return p
}

// lone adds a password without a request.
func (p *Pending) lone(k Kind, name string, auth []byte) {
	reset, ok := resets[k]
	if !ok {
		p.Orphans = append(p.Orphans, name)
		return
	}
	p.Requests = append(p.Requests, Request{
		Kind: reset, Variable: name, Wish: reset.String(), Auth: authFact(name, auth, evidence.Yes), raw: auth,
	})
}

func (p *Pending) timeout(b []byte, there evidence.Answer) {
	if there != evidence.Yes {
		return
	}
	if len(b) != 4 {
		p.TimeoutErr = &efivars.CorruptError{What: Timeout.Name, Why: fmt.Sprintf("%d bytes instead of 4", len(b))}
		return
	}
	seconds := int32(binary.LittleEndian.Uint32(b))
	p.Timeout = &seconds
}

// authFact judges a password variable by its size, as MokManager does (MokManager.c, match_password and its callers).
func authFact(name string, b []byte, there evidence.Answer) evidence.Reading {
	f := evidence.Reading{Answer: there, Source: "efivars/" + name}
	switch {
	case there == evidence.Unknown:
		f.Evidence = "could not be read"
	case there == evidence.No:
		f.Evidence = "absent: MokManager will not carry the request out"
	case len(b) == LegacySize:
		f.Evidence = "the old form, a SHA-256 over request and password"
	case len(b) != AuthSize:
		f.Answer = evidence.No
		f.Evidence = fmt.Sprintf("%d bytes instead of %d or %d: MokManager will drop the request and claim success",
			len(b), AuthSize, LegacySize)
	}
	return f
}

// switchSize is the size of MokSB, MokDB and MokListTrustedNew: state, length and 16 characters of a clear password.
const switchSize = 40

// decode fills in what the request asks for.
func (r *Request) decode() {
	switch r.Kind {
	case Enroll, Delete, Block, Unblock:
		r.Lists, r.Err = efivars.ParseSignatureLists(r.raw)
		if r.Err == nil && len(r.Lists) == 0 {
			r.Err = r.corrupt("no keys in it")
		}
	case Validation, UseDB, TrustList:
		if len(r.raw) != switchSize {
			r.Err = r.corrupt(fmt.Sprintf("%d bytes instead of %d", len(r.raw), switchSize))
			return
		}
		r.Wish, r.Err = r.wish(binary.LittleEndian.Uint32(r.raw))
	case Password:
		switch {
		case len(r.raw) != AuthSize && len(r.raw) != LegacySize:
			r.Err = r.corrupt(fmt.Sprintf("%d bytes instead of %d or %d", len(r.raw), AuthSize, LegacySize))
		case firstNonZero(r.raw) < 0:
			r.Wish = wishes[Password][0]
		default:
			r.Wish = wishes[Password][1]
		}
	}
}

func (r *Request) corrupt(why string) error {
	return &efivars.CorruptError{What: r.Variable + " request", Why: why}
}

// wish puts the state of a switch into words.
func (r *Request) wish(state uint32) (string, error) {
	for _, on := range []bool{false, true} {
		if w := (Wish{Kind: r.Kind, On: on}); binary.LittleEndian.Uint32(w.data()) == state {
			return w.words(), nil
		}
	}
	return "", r.corrupt(fmt.Sprintf("state %d instead of 0 or 1", state))
}
