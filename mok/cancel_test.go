package mok_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/mok"
)

// everything has each variable that Cancel removes.
var everything = []string{"MokNew", "MokAuth", "MokDel", "MokDelAuth", "MokXNew", "MokXAuth", "MokXDel", "MokXDelAuth",
	"MokSB", "MokDB", "MokPW", "MokListTrustedNew", "MokTimeout"}

func withRequests(names ...string) *efivarstest.Memory {
	m := machine()
	for _, n := range names {
		m.Seed(mok.Variable(n), 7, []byte("anything, parsable or not"))
	}
	return m
}

func TestCancel(t *testing.T) {
	for _, test := range []struct {
		there  []string
		which  []mok.Kind
		remove string
		kinds  string
	}{
		{nil, nil, "", ""},
		{[]string{"MokNew", "MokAuth"}, nil, "MokAuth MokNew", "enroll"},
		{[]string{"MokNew", "MokAuth", "MokTimeout"}, nil, "MokAuth MokNew MokTimeout", "enroll"},
		{[]string{"MokTimeout"}, nil, "MokTimeout", ""},
		{[]string{"MokNew"}, nil, "MokNew", "enroll"},
		{[]string{"MokAuth"}, nil, "MokAuth", "reset"},
		{[]string{"MokAuth"}, []mok.Kind{mok.Enroll}, "", ""},
		{[]string{"MokAuth"}, []mok.Kind{mok.Enroll, mok.Reset}, "MokAuth", "reset"},
		{[]string{"MokXAuth"}, []mok.Kind{mok.ResetBlocked}, "MokXAuth", "reset blocklist"},
		{[]string{"MokXAuth", "MokXNew"}, []mok.Kind{mok.ResetBlocked}, "", ""},
		{[]string{"MokDelAuth"}, nil, "MokDelAuth", "delete"},
		{[]string{"MokNew", "MokAuth", "MokSB", "MokTimeout"}, []mok.Kind{mok.Enroll}, "MokAuth MokNew", "enroll"},
		{[]string{"MokNew", "MokAuth", "MokSB", "MokTimeout"}, []mok.Kind{mok.Validation}, "MokSB", "validation"},
		{everything, nil, "MokAuth MokNew MokDelAuth MokDel MokXAuth MokXNew MokXDelAuth MokXDel MokSB MokDB MokListTrustedNew MokPW MokTimeout",
			"enroll,delete,block,unblock,validation,use db,trust list,password"},
	} {
		m := withRequests(test.there...)
		m.After = func() { harmless(t, m, strings.Join(test.there, "+")) }
		if test.there != nil && !slices.Contains(test.there, "MokNew") {
			m.After = nil // a password alone from the start
		}
		done, err := mok.Cancel(m, test.which...)
		var kinds []string
		for _, k := range done.Kinds {
			kinds = append(kinds, k.String())
		}
		if err != nil || strings.Join(done.Removed, " ") != test.remove || strings.Join(kinds, ",") != test.kinds {
			t.Errorf("%v, %v: %+v, %v", test.there, test.which, done, err)
		}
		if left := holds(t, m); len(left) != len(test.there)-len(done.Removed) {
			t.Errorf("%v, %v: left %v", test.there, test.which, left)
		}
	}
	if _, err := mok.Cancel(machine(), mok.Kind(99)); !errors.Is(err, efivars.ErrInvalid) {
		t.Error(err)
	}
}

func TestCancelWhatWasStaged(t *testing.T) {
	m := machine()
	before := m.Dump()
	seconds := int32(60)
	stage(t, m, [][]byte{der(1000)}, "p", &seconds)
	if _, err := mok.Cancel(m); err != nil || m.Dump() != before {
		t.Errorf("%v\n%s", err, m.Dump())
	}
}

// TestCancelFaults lets every operation fail in every way: no password may be left without its request, what is said to be
// removed is gone, and success means that nothing is pending.
func TestCancelFaults(t *testing.T) {
	trial := withRequests(everything...)
	if _, err := mok.Cancel(trial); err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= trial.Operations(); at++ {
		for name, effect := range effects {
			for _, sticky := range []bool{false, true} {
				m := withRequests(everything...)
				m.Fault = &efivarstest.Fault{At: at, Effect: effect, Sticky: sticky}
				m.After = func() { harmless(t, m, name+" in between") }
				done, err := mok.Cancel(m)
				m.Fault, m.After = nil, nil
				harmless(t, m, name)
				left := holds(t, m)
				for _, gone := range done.Removed {
					if slices.Contains(left, gone) {
						t.Errorf("%s at %d: %s is not removed", name, at, gone)
					}
				}
				if requests := slices.DeleteFunc(left, func(n string) bool { return n == "MokTimeout" }); err == nil && len(requests) != 0 {
					t.Errorf("%s at %d: success, and left %v", name, at, left)
				}
			}
		}
	}
}

// MokTimeout stays as long as a request may be pending that cannot be seen.
func TestCancelKeepsTimeout(t *testing.T) {
	m := withRequests("MokSB", "MokTimeout")
	done, err := mok.Cancel(blind{m}, mok.Validation)
	if err != nil || strings.Join(done.Removed, " ") != "MokSB" {
		t.Errorf("%+v, %v", done, err)
	}
	done, err = mok.Cancel(m, mok.Validation)
	if err != nil || strings.Join(done.Removed, " ") != "MokTimeout" {
		t.Errorf("%+v, %v", done, err)
	}
}

// A request that cannot be read is taken back all the same where nothing depends on what it is.
func TestCancelUnreadable(t *testing.T) {
	for _, which := range [][]mok.Kind{nil, {mok.Reset, mok.Enroll}} {
		m := withRequests("MokNew", "MokAuth")
		done, err := mok.Cancel(torn{m}, which...)
		if err != nil || strings.Join(done.Removed, " ") != "MokAuth MokNew" || !slices.Equal(done.Kinds, []mok.Kind{mok.Enroll}) {
			t.Errorf("%v: %+v, %v", which, done, err)
		}
	}
	if done, err := mok.Cancel(torn{withRequests("MokNew", "MokAuth")}, mok.Reset); err == nil || len(done.Removed) > 0 {
		t.Errorf("whether it is a reset is not known: %+v, %v", done, err)
	}
}

// torn has a MokNew that no reader takes.
type torn struct{ *efivarstest.Memory }

func (s torn) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	attributes, data, err := s.Memory.Get(n)
	if n.Name == "MokNew" && err == nil {
		return 0, nil, efivars.ErrCorrupt
	}
	return attributes, data, err
}

// blind cannot read MokNew.
type blind struct{ *efivarstest.Memory }

func (b blind) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	if n.Name == "MokNew" {
		return 0, nil, efivars.ErrDenied
	}
	return b.Memory.Get(n)
}
