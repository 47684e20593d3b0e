package mok_test

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/mok"
)

// Runs of kkeys beside one another leave whole requests only: each waits for the other.
func TestStageAndCancelTogether(t *testing.T) {
	dir := t.TempDir()
	for round := range 20 {
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				store, err := efivars.Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 1 {
					if _, err := mok.Cancel(store); err != nil {
						t.Errorf("round %d: cancel: %v", round, err)
					}
					return
				}
				facts := mok.ReadFacts(machine(), noRoot, goodBoot, mok.Vendor{})
				facts.Pending = mok.ReadPending(store)
				p, err := mok.NewPlan(facts, mok.Wish{Certificates: [][]byte{der(1000 + i)}})
				if err != nil {
					return // another request came first, or half of one was seen
				}
				if err := p.Stage(store, auth(t, "together")); err != nil && !errors.Is(err, mok.ErrChanged) {
					t.Errorf("round %d: stage: %v", round, err)
				}
			})
		}
		all.Wait()
		store, err := efivars.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, _, request := store.Get(mok.Variable("MokNew"))
		_, _, password := store.Get(mok.Variable("MokAuth"))
		if (request == nil) != (password == nil) {
			entries, _ := os.ReadDir(dir)
			t.Fatalf("round %d left half a request: %v", round, entries)
		}
	}
}

// Somebody without the lock takes the request back after it was staged: the password goes too, and nobody is told that all is well.
func TestStageWhenRequestVanishes(t *testing.T) {
	m := machine()
	p := plan(t, m, [][]byte{der(1000)}, nil)
	err := p.Stage(vanishing{m}, auth(t, "p"))
	if !errors.Is(err, mok.ErrChanged) {
		t.Errorf("staging: %v, want ErrChanged", err)
	}
	harmless(t, m, "after the request vanished")
}

// Another kind of request that came while the password was asked for is seen before anything is written.
func TestStageWhenAnotherKindCame(t *testing.T) {
	for name, data := range map[string][]byte{"MokDel": keyList(der(1001)), "MokXAuth": make([]byte, 172), "MokDelAuth": make([]byte, 172), "MokSB": make([]byte, 40)} {
		m := machine()
		p := plan(t, m, [][]byte{der(1000)}, nil)
		m.Seed(mok.Variable(name), 7, data)
		before := m.Dump()
		if err := p.Stage(m, auth(t, "p")); !errors.Is(err, mok.ErrChanged) || m.Dump() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A whole request of another program's that replaced ours is left alone.
func TestStageWhenReplaced(t *testing.T) {
	m := machine()
	p := plan(t, m, [][]byte{der(1000)}, nil)
	if err := p.Stage(replacing{m}, auth(t, "p")); !errors.Is(err, mok.ErrChanged) {
		t.Errorf("staging: %v, want ErrChanged", err)
	}
	if got := get(t, m, "MokNew"); !bytes.Equal(got, keyList(der(1009))) {
		t.Error("the other's request was taken back")
	}
	harmless(t, m, "after it was replaced")
}

// replacing puts another whole request in the place of ours as soon as it is complete.
type replacing struct{ *efivarstest.Memory }

func (r replacing) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	a, data, err := r.Memory.Get(n)
	if n.Name == "MokAuth" && err == nil {
		r.Seed(mok.Variable("MokNew"), mok.Attributes, keyList(der(1009)))
		r.Seed(mok.Variable("MokAuth"), mok.Attributes, make([]byte, 172))
	}
	return a, data, err
}

// A store that another program keeps is not written.
func TestStageBusy(t *testing.T) {
	m := machine()
	p := plan(t, m, [][]byte{der(1000)}, nil)
	before := m.Dump()
	if err := p.Stage(busy{m}, auth(t, "p")); !errors.Is(err, efivars.ErrBusy) || m.Dump() != before {
		t.Errorf("staging: %v", err)
	}
	if _, err := mok.Cancel(busy{m}); !errors.Is(err, efivars.ErrBusy) || m.Dump() != before {
		t.Errorf("cancelling: %v", err)
	}
}

// vanishing loses the request as soon as the password is there.
type vanishing struct{ *efivarstest.Memory }

func (v vanishing) Set(n efivars.Name, a efivars.Attributes, data []byte) error {
	if err := v.Memory.Set(n, a, data); err != nil || n.Name != "MokAuth" {
		return err
	}
	return v.Memory.Delete(mok.Variable("MokNew"))
}

type busy struct{ *efivarstest.Memory }

func (busy) Lock() (func(), error) { return nil, efivars.ErrBusy }
