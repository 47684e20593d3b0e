package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"kkeys/efivars"
)

// Outcomes that a recorded machine has besides those of what it was recorded from.
var (
	// ErrRecorded: nothing can be written to a recorded machine. It stands beside [efivars.ErrReadOnly].
	ErrRecorded = errors.New("a recorded machine cannot be changed")
	// ErrLeftOut: it was there when the machine was recorded, and was not looked into.
	ErrLeftOut = errors.New("not in the snapshot")
)

// Snapshot opens a machine that [Machine.Record] wrote down: its files, its keyrings with what its kernel answered, what load probes showed
// if they were asked for, and its EFI variables, which cannot be written. All of the file is read, and checked, before anything is answered. Errors are those of opening
// the file, and [ErrNoSnapshot].
func Snapshot(path string) (*Machine, error) {
	file, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m, err := readSnapshot(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func readSnapshot(r io.Reader) (*Machine, error) {
	m, entries, err := decodeSnapshot(r)
	if err != nil {
		return nil, err
	}
	return recordedMachine(m, entries)
}

// recordedMachine answers from a snapshot's content.
func recordedMachine(m manifest, entries []entry) (*Machine, error) {
	bad := func(err error) (*Machine, error) { return nil, fmt.Errorf("%w: %w", ErrNoSnapshot, err) }
	files, err := newTree(entries, m)
	if err != nil {
		return bad(err)
	}
	keyrings, err := m.Record.Recorded()
	if err != nil {
		return bad(fmt.Errorf("%s: %w", manifestName, err))
	}
	probes, err := m.probes()
	if err != nil {
		return bad(fmt.Errorf("%s: %w", manifestName, err))
	}
	store := efivars.Store(recordedVariables{files, m.Space})
	if m.NoVariables != nil {
		reason, err := m.NoVariables.err()
		if err != nil {
			return bad(fmt.Errorf("%s: efi_variables_error: %w", manifestName, err))
		}
		store = efivars.Absent(reason)
	}
	return &Machine{Files: files, Keyrings: keyrings, Variables: store, Recorded: m.Time, probed: probes}, nil
}

// recordedVariables are the EFI variables among a snapshot's files.
type recordedVariables struct {
	files tree
	space *space
}

var _ efivars.Store = recordedVariables{}

// Get implements efivars.Store.
func (v recordedVariables) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	fail := func(is, err error) (efivars.Attributes, []byte, error) {
		return 0, nil, fmt.Errorf("read EFI variable %s: %w: %w", n.Name, is, err)
	}
	name := efivars.DefaultDir + "/" + n.String()
	if path.Dir(name) != efivars.DefaultDir || !fs.ValidPath(name) {
		return fail(efivars.ErrInvalid, errors.New("no variable has this name"))
	}
	data, err := v.files.ReadFile(name)
	var recorded *recordedError
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(data) == 0:
		return fail(efivars.ErrNotFound, &fs.PathError{Op: "lstat", Path: "/" + name, Err: errNotThere})
	case errors.As(err, &recorded):
		return 0, nil, recorded // it has the words of the store that was recorded
	case errors.Is(err, ErrLeftOut):
		return fail(efivars.ErrUnavailable, err)
	case err != nil:
		return fail(efivars.ErrIO, err)
	}
	attributes, data, err := parseVariable(data)
	if err != nil {
		return fail(efivars.ErrMalformed, err)
	}
	return attributes, data, nil
}

// Writable implements efivars.Guarded.
func (v recordedVariables) Writable() error { return ErrRecorded }

// Set implements efivars.Store: it always fails.
func (v recordedVariables) Set(n efivars.Name, _ efivars.Attributes, _ []byte) error {
	return fmt.Errorf("write EFI variable %s: %w: %w", n.Name, efivars.ErrReadOnly, ErrRecorded)
}

// Delete implements efivars.Store: it always fails.
func (v recordedVariables) Delete(n efivars.Name) error {
	return fmt.Errorf("delete EFI variable %s: %w: %w", n.Name, efivars.ErrReadOnly, ErrRecorded)
}

// List implements efivars.Store.
func (v recordedVariables) List() ([]efivars.Name, error) {
	entries, err := v.files.ReadDir(efivars.DefaultDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list EFI variables: %w: %w", efivars.ErrIO, err)
	}
	var names []efivars.Name
	for _, e := range entries {
		if n, err := efivars.ParseName(e.Name()); err == nil && e.(*node).size > 0 {
			names = append(names, n)
		}
	}
	return names, nil
}

// Space implements efivars.Store.
func (v recordedVariables) Space() (efivars.Space, error) {
	if v.space == nil {
		return efivars.Space{}, nil
	}
	return efivars.Space(*v.space), nil
}
