package main

import (
	"bytes"
	"regexp"
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
