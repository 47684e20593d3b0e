// Package efivarstest has a store in memory that obeys the rules of real firmware, and the contract that every store keeps.
package efivarstest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"kkeys/efivars"
)

// Defaults, as OVMF and Linux on x86 have them.
const (
	// Limit is the largest variable in bytes, name and data.
	Limit = 0x83c4
	// Capacity is the size of the storage in bytes.
	Capacity = 256 << 10
	// Reserve is what the kernel keeps free.
	Reserve = 5120
)

// perVariable is about what firmware needs besides name and data.
const perVariable = 60

// Effect is what a fault does to the store.
type Effect int

// The effects that firmware has shown.
const (
	Refused   Effect = iota // an error, and nothing happened
	Applied                 // an error, though it was done
	Lie                     // success, though nothing happened (HP 840 G2)
	Truncated               // success, but only half of the data was stored
)

// Fault is a failure at an operation.
type Fault struct {
	// At counts operations from 1, of every kind.
	At int
	// Sticky: all operations from there on, not just that one.
	Sticky bool
	Effect Effect
	// Err is what Refused and Applied return; nil is an I/O error.
	Err error
}

// Memory is a store in memory. That new variables are immutable is not to be seen through a Store, which clears the flag.
type Memory struct {
	// Limit, Capacity and Reserve in bytes.
	Limit             int
	Capacity, Reserve uint64
	// Unknown: the free space cannot be asked, as before Linux 6.7.
	Unknown bool
	// Refuses, if not nil, is why every write is refused, and known beforehand: efivars.ErrReadOnly on a read-only mount, efivars.ErrDenied.
	Refuses error
	// Fault, if not nil, is what will go wrong.
	Fault *Fault
	// After is called after each operation, if not nil: the moment of a power failure.
	After func()

	variables map[efivars.Name]variable
	count     int
}

type variable struct {
	attributes efivars.Attributes
	data       []byte
	time       time.Time // of an authenticated one
}

var (
	_ efivars.Store   = (*Memory)(nil)
	_ efivars.Guarded = (*Memory)(nil)
)

// NewMemory gives an empty store.
func NewMemory() *Memory {
	return &Memory{Limit: Limit, Capacity: Capacity, Reserve: Reserve, variables: map[efivars.Name]variable{}}
}

// Seed puts a variable there as firmware or shim would before the system starts, without any rule.
func (m *Memory) Seed(n efivars.Name, a efivars.Attributes, data []byte) {
	m.variables[n] = variable{attributes: a, data: bytes.Clone(data)}
}

// SeedAt puts an empty authenticated variable there, last written at that time.
func (m *Memory) SeedAt(n efivars.Name, written time.Time) {
	m.variables[n] = variable{attributes: efivars.AuthenticatedAttributes, time: written}
}

// Operations is the number of operations so far.
func (m *Memory) Operations() int { return m.count }

// Clone is a copy without fault and count.
func (m *Memory) Clone() *Memory {
	c := NewMemory()
	c.Limit, c.Capacity, c.Reserve, c.Unknown, c.Refuses = m.Limit, m.Capacity, m.Reserve, m.Unknown, m.Refuses
	for n, v := range m.variables {
		c.Seed(n, v.attributes, v.data)
	}
	return c
}

// Dump shows all variables, for comparing two stores.
func (m *Memory) Dump() string {
	var lines []string
	for n, v := range m.variables {
		lines = append(lines, fmt.Sprintf("%s %s %x", n, v.attributes, v.data))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Writable implements efivars.Guarded.
func (m *Memory) Writable() error { return m.Refuses }

// errno is an error as a real store gives it.
func errno(sentinel error, number syscall.Errno, why string) error {
	return fmt.Errorf("%w: %s: %w", sentinel, why, number)
}

// do counts an operation and runs it, or what the fault makes of it.
func (m *Memory) do(run func(half bool) error) error {
	m.count++
	if m.After != nil {
		defer m.After()
	}
	f := m.Fault
	if f == nil || m.count < f.At || m.count > f.At && !f.Sticky {
		return run(false)
	}
	err := f.Err
	if err == nil {
		err = errno(efivars.ErrIO, syscall.EIO, "injected")
	}
	switch f.Effect {
	case Applied:
		_ = run(false)
		return err
	case Lie:
		return nil
	case Truncated:
		return run(true)
	}
	return err
}

// reading counts an operation that changes nothing: a fault in it can only be an error.
func (m *Memory) reading() error {
	m.count++
	if m.After != nil {
		defer m.After()
	}
	f := m.Fault
	if f == nil || m.count < f.At || m.count > f.At && !f.Sticky || f.Effect == Lie || f.Effect == Truncated {
		return nil
	}
	if f.Err != nil {
		return f.Err
	}
	return errno(efivars.ErrIO, syscall.EIO, "injected")
}

// Get implements efivars.Store.
func (m *Memory) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	if err := m.reading(); err != nil {
		return 0, nil, err
	}
	v, ok := m.variables[n]
	if !ok {
		return 0, nil, errno(efivars.ErrNotFound, syscall.ENOENT, n.Name)
	}
	return v.attributes, bytes.Clone(v.data), nil
}

// Set implements efivars.Store.
func (m *Memory) Set(n efivars.Name, a efivars.Attributes, data []byte) error {
	return m.do(func(half bool) error {
		old, exists := m.variables[n]
		switch {
		case m.Refuses != nil:
			return m.Refuses
		case n.Name == "" || strings.ContainsAny(n.Name, "/\x00"):
			return errno(efivars.ErrInvalid, syscall.EINVAL, "name")
		case len(data) == 0:
			return errno(efivars.ErrInvalid, syscall.EINVAL, "no data")
		case !a.Writable():
			return errno(efivars.ErrInvalid, syscall.EINVAL, "attributes at run time")
		case exists && old.attributes != a:
			return errno(efivars.ErrInvalid, syscall.EINVAL, "attributes changed")
		case 2*len(n.Name)+len(data) > m.Limit:
			return errno(efivars.ErrInvalid, syscall.EINVAL, "too large")
		}
		var stamp time.Time
		if a.Has(efivars.TimeAuthWrite) {
			u, err := m.authenticate(n, old, data)
			if err != nil {
				return err
			}
			data, stamp = u.Content, u.Time
		}
		need := cost(n, data)
		if exists {
			need -= min(need, cost(n, old.data))
		}
		if m.used()+need+m.Reserve > m.Capacity {
			return errno(efivars.ErrNoSpace, syscall.ENOSPC, "full")
		}
		if half {
			data = data[:(len(data)+1)/2]
		}
		m.variables[n] = variable{a, bytes.Clone(data), stamp}
		return nil
	})
}

// authenticate checks an update as firmware does, but for the signature itself: that a certificate which may sign it is in it is taken for one.
// In setup mode nobody need have signed it.
func (m *Memory) authenticate(n efivars.Name, old variable, data []byte) (efivars.Update, error) {
	refused := func(why string) error { return errno(efivars.ErrDenied, syscall.EACCES, why) }
	u, err := efivars.ParseUpdate(data)
	if err != nil {
		return u, refused(err.Error())
	}
	if !u.Time.After(old.time) {
		return u, refused("the time has not grown")
	}
	signers := efivars.PK
	if n != efivars.PK && n != efivars.KEK {
		signers = efivars.KEK
	}
	if setup := m.variables[efivars.SetupMode]; bytes.Equal(setup.data, []byte{1}) {
		return u, nil
	}
	lists, _ := efivars.ParseSignatureLists(m.variables[signers].data)
	for _, list := range lists {
		for _, s := range list.Signatures {
			if bytes.Contains(u.Signature, s.Data) {
				return u, nil
			}
		}
	}
	return u, refused("nobody who may has signed it")
}

func cost(n efivars.Name, data []byte) uint64 { return uint64(2*len(n.Name) + len(data) + perVariable) }

func (m *Memory) used() uint64 {
	var sum uint64
	for n, v := range m.variables {
		if v.attributes.Has(efivars.NonVolatile) {
			sum += cost(n, v.data)
		}
	}
	return sum
}

// Delete implements efivars.Store.
func (m *Memory) Delete(n efivars.Name) error {
	return m.do(func(bool) error {
		v, ok := m.variables[n]
		switch {
		case m.Refuses != nil:
			return m.Refuses
		case !ok:
			return errno(efivars.ErrNotFound, syscall.ENOENT, n.Name)
		case !v.attributes.Has(efivars.NonVolatile):
			return errno(efivars.ErrInvalid, syscall.EINVAL, "volatile")
		}
		delete(m.variables, n)
		return nil
	})
}

// List implements efivars.Store.
func (m *Memory) List() ([]efivars.Name, error) {
	if err := m.reading(); err != nil {
		return nil, err
	}
	var names []efivars.Name
	for n := range m.variables {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b efivars.Name) int { return strings.Compare(a.String(), b.String()) })
	return names, nil
}

// Space implements efivars.Store.
func (m *Memory) Space() (efivars.Space, error) {
	if err := m.reading(); err != nil {
		return efivars.Space{}, err
	}
	if m.Unknown {
		return efivars.Space{}, nil
	}
	free := m.Capacity - min(m.Capacity, m.used())
	return efivars.Space{Total: m.Capacity, Free: free, Available: free - min(free, m.Reserve)}, nil
}
