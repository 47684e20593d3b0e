package main

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/internal/certtest"
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

// busy is a key that keeps account of how many it signs for at once.
type busy struct {
	crypto.Signer
	now, most atomic.Int64
}

func (b *busy) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	for now, most := b.now.Add(1), b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
	}
	defer b.now.Add(-1)
	time.Sleep(5 * time.Millisecond)
	return b.Signer.Sign(random, digest, o)
}

// However many wait for the disk, no more modules are in memory for their signature than there are processors.
func TestSignInTurn(t *testing.T) {
	made := certtest.Make(t, certtest.Spec{})
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for i := range 8 * runtime.GOMAXPROCS(0) {
		paths = append(paths, filepath.Join(t.TempDir(), fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], []byte("\x7fELF"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := &busy{Signer: made.Key}
	s := &session{streams: streams{out: io.Discard, err: io.Discard}}
	if err := s.signAll(paths, false, moduleSigner{signingPair: signingPair{key, c}, hash: "sha256"}, &signDocument{Certificate: &certs.Details{}}); err != nil {
		t.Fatal(err)
	}
	if most := key.most.Load(); most > int64(runtime.GOMAXPROCS(0)) {
		t.Errorf("%d at once on %d processors", most, runtime.GOMAXPROCS(0))
	}
}
