package mok_test

import (
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
				facts := mok.ReadFacts(machine(), noRoot, goodBoot)
				facts.Pending = mok.ReadPending(store)
				p, err := mok.NewPlan(facts, mok.Enrolment{Certificates: [][]byte{der(1000 + i)}})
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
