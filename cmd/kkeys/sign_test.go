package main

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/modsig"
)

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

// However many wait for the disk, no more modules are worked on at once than there are processors.
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

// What several names lead to is signed under each of them, and no name fails because of another.
func TestSignSeveralNames(t *testing.T) {
	made := certtest.Make(t, certtest.Spec{})
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{streams: streams{out: io.Discard, err: io.Discard}}
	for range 20 {
		dir := t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		content := []byte("\x7fELF" + strings.Repeat("module", 1000))
		err := errors.Join(os.WriteFile(in("file"), content, 0o600), os.Symlink("file", in("soft")), os.Link(in("file"), in("hard")), os.Link(in("file"), in("harder")), os.WriteFile(in("other"), content, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		document := &signDocument{Certificate: &certs.Details{}}
		if err := s.signAll([]string{in("hard"), in("file"), in("soft"), in("harder"), in("other")}, false, moduleSigner{signingPair: signingPair{made.Key, c}, hash: "sha256"}, document); err != nil {
			t.Fatal(err)
		}
		for i, action := range []string{"signed", "signed", "unchanged", "signed", "signed"} {
			if m := document.Modules[i]; m.Action != action {
				t.Errorf("%s: %s", m.Path, m.Action)
			}
			signed, err := os.ReadFile(document.Modules[i].Path)
			if err != nil {
				t.Fatal(err)
			}
			payload, _, err := modsig.Strip(signed)
			if err != nil || !bytes.Equal(payload, content) || len(signed) == len(content) {
				t.Errorf("%s: %v", document.Modules[i].Path, err)
			}
		}
	}
	first, again := sameFiles([]string{"no such file", "no such file"})
	if len(first) != 2 || len(again) != 0 {
		t.Errorf("%v, %v", first, again)
	}
}

// A signature that was put behind the compressed module is counted among those that were taken off, as strip counts it.
func TestSignCountsOutside(t *testing.T) {
	made := certtest.Make(t, certtest.Spec{})
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := modsig.Sign(gzipped(t, []byte("\x7fELF")), made.Key, c, "sha256", false)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "driver.ko.gz")
	if err := os.WriteFile(path, outside, 0o600); err != nil {
		t.Fatal(err)
	}
	document := &signDocument{Certificate: &certs.Details{}}
	s := &session{streams: streams{out: io.Discard, err: io.Discard}}
	if err := s.signAll([]string{path}, false, moduleSigner{signingPair: signingPair{made.Key, c}, hash: "sha256"}, document); err != nil {
		t.Fatal(err)
	}
	if m := document.Modules[0]; m.Action != "signed" || m.Removed != 1 {
		t.Errorf("%+v", m)
	}
}
