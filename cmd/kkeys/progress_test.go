package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"sync/atomic"
	"testing"
	"time"
)

// On a terminal long work shows how much is done and how long the rest will take; elsewhere nothing.
func TestProgress(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var shown bytes.Buffer
		s := &session{streams: streams{err: &shown}}
		if terminal {
			s.prompt = func(string, bool) (string, error) { return "", nil }
		}
		done := 0
		err := s.workOn(work{pieces: 4, atOnce: 1, what: "signing", piece: func(int) error {
			if done++; done == 1 {
				time.Sleep(1200 * time.Millisecond) // it counts in whole seconds
			}
			return nil
		}})
		if err != nil || done != 4 {
			t.Errorf("%d pieces done, %v", done, err)
		}
		counted := regexp.MustCompile(`signing +25% .*\(1/4\) \[1s:[3-9]s\]`).Match(shown.Bytes())
		if counted != terminal || !terminal && shown.Len() > 0 {
			t.Errorf("on a terminal: %v; shown: %q", terminal, &shown)
		}
	}
}

// A signal ends the work also of those that wait for their turn: they have not begun.
func TestWaitingIsNotBegun(t *testing.T) {
	signals, turns := make(chan os.Signal, 1), make(chan struct{}, 1)
	var done atomic.Int64
	err := (&session{streams: streams{err: io.Discard}}).workOn(work{pieces: 20, atOnce: 8, cancel: signals, turns: turns, piece: func(int) error {
		signals <- os.Interrupt
		time.Sleep(50 * time.Millisecond) // the others come to wait
		done.Add(1)
		<-turns
		return nil
	}})
	if !errors.Is(err, errInterrupted) || done.Load() != 1 {
		t.Errorf("%v, %d done", err, done.Load())
	}
}
