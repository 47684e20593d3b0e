package mok

import (
	"errors"
	"fmt"
	"slices"

	"kkeys/efivars"
)

// Cancelled is what a cancellation did.
type Cancelled struct {
	// Removed are the variables that were deleted, in order. None: nothing of these kinds was pending.
	Removed []string
	// Kinds of the requests that were taken back.
	Kinds []Kind
}

// Cancel takes back the requests of the given kinds, of all without any: the password first, then the request, because
// interrupted between the two a request without a password does nothing, while a password alone asks to erase all keys.
// Passwords without a request go too, and MokTimeout once nothing is pending any more. It goes on with other kinds when
// one fails; the error then joins the failures, and what was removed is told all the same.
func Cancel(store efivars.Store, which ...Kind) (Cancelled, error) {
	if len(which) == 0 {
		which = Kinds()
	}
	var done Cancelled
	unlock, err := exclusive(store)
	if err != nil {
		return done, err
	}
	defer unlock()
	var errs []error
	for _, k := range which {
		if !k.valid() {
			return Cancelled{}, fmt.Errorf("%w: kind %d", efivars.ErrInvalid, int(k))
		}
		if err := done.cancel(store, k, which); err != nil {
			errs = append(errs, fmt.Errorf("cancel %s: %w", k, err))
		}
	}
	if len(errs) == 0 {
		if err := done.timeout(store); err != nil {
			errs = append(errs, err)
		}
	}
	return done, errors.Join(errs...)
}

// cancel takes back a request of kind k, one of which.
func (c *Cancelled) cancel(store efivars.Store, k Kind, which []Kind) error {
	request, auth, alone := kindNames[k].request, kindNames[k].auth, k
	for owner, reset := range resets { // they share a password, which alone is the reset
		if k != owner && k != reset {
			continue
		}
		if slices.Contains(which, owner) && slices.Contains(which, reset) { // then both go, whatever the request holds
			if k == reset {
				return nil
			}
			alone = reset
			break
		}
		asked, err := read(store, Variable(kindNames[owner].request))
		if err != nil || asked.there != (k == owner) {
			return err
		}
	}
	var removed []string
	defer func() { c.Removed = append(c.Removed, removed...) }()
	for _, name := range []string{auth, request} {
		if name == "" {
			continue
		}
		gone, err := discard(store, name)
		if err != nil {
			return err
		}
		if gone {
			removed = append(removed, name)
		}
	}
	switch {
	case slices.Contains(removed, request):
		c.Kinds = append(c.Kinds, k)
	case len(removed) > 0:
		c.Kinds = append(c.Kinds, alone)
	}
	return nil
}

// discard removes a variable, makes sure that it is gone, and tells whether it was there.
func discard(store efivars.Store, name string) (bool, error) {
	err := store.Delete(Variable(name))
	if errors.Is(err, efivars.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	got, err := read(store, Variable(name))
	if err != nil {
		return false, err
	}
	if got.there {
		return false, fmt.Errorf("%w: %s is still there", ErrNotStored, name)
	}
	return true, nil
}

// timeout removes MokTimeout if no request is left that could use it.
func (c *Cancelled) timeout(store efivars.Store) error {
	p := ReadPending(store)
	unread := slices.ContainsFunc(p.NotSeen, func(g Gap) bool { return g.Source != "efivars/"+Timeout.Name })
	if len(p.Requests) > 0 || unread {
		return nil
	}
	gone, err := discard(store, Timeout.Name)
	if err != nil {
		return fmt.Errorf("remove %s: %w", Timeout.Name, err)
	}
	if gone {
		c.Removed = append(c.Removed, Timeout.Name)
	}
	return nil
}
