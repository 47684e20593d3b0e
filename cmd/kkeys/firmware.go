package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/machine"
	"kkeys/mok"
)

// look tells whether this machine has EFI variables that may be looked at. Otherwise its error says what is in the way: no EFI, efivarfs that is not
// mounted, or no permission.
func (s *session) look() error {
	_, err := s.machine.Variables.List()
	return unread(err)
}

// unread marks an error that another user would not have.
func unread(err error) error {
	if errors.Is(err, efivars.ErrDenied) || errors.Is(err, efivars.ErrUnavailable) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", errUnread, err)
	}
	return err
}

// writable tells a machine without variables from one whose variables may not be written.
func (s *session) writable() error {
	if err := s.look(); err != nil {
		return err
	}
	if guarded, ok := s.machine.Variables.(efivars.Guarded); ok {
		return guarded.Writable()
	}
	return nil
}

// mayStage tells whether a request would be kept. A dry run may be another user's, and one for a recording: only what is in everybody's way counts.
func (r *staging) mayStage() error {
	err := r.writable()
	if r.document.DryRun && (errors.Is(err, efivars.ErrDenied) || errors.Is(err, machine.ErrRecorded)) {
		return nil
	}
	return err
}

// unseenList says why one of shim's lists, which stands under this name, was not seen.
func (s *session) unseenList(state mok.State, name string) error {
	if err := s.look(); err != nil {
		return err
	}
	for _, gap := range state.NotSeen {
		if strings.HasSuffix(gap.Source, "/"+name) || gap.Source == efivars.TableDir {
			return unread(fmt.Errorf("%w: shim's list was not seen: %w", mok.ErrCannotTell, gap.Err))
		}
	}
	return fmt.Errorf("%w: shim's list was not seen: %s", mok.ErrCannotTell, orUnknown(state.Shim.Evidence))
}

// toSearch says why a list cannot be searched, of which corrupt is the sentinel: it was not seen, or it is damaged. Nil when it can.
func (s *session) toSearch(state mok.State, list mok.List, name string, corrupt error) error {
	switch {
	case list.Err != nil:
		return fmt.Errorf("%w: %w", corrupt, list.Err)
	case list.Seen():
		return nil
	case state.Shim.Answer == evidence.No:
		return fmt.Errorf("%w: %s", mok.ErrNotShim, state.Shim.Evidence)
	}
	return s.unseenList(state, name)
}
