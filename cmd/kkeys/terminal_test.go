package main

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

// What is typed without echo ends with Enter; the end of input is an end, and is not waited for again.
func TestReadTyped(t *testing.T) {
	for typed, want := range map[string]struct {
		line string
		err  error
	}{
		"hunter22\r":             {"hunter22", nil},
		"hunter22\nrest":         {"hunter22", nil},
		"\r":                     {"", nil},
		"hund\x7fter\b\b22\r":    {"hunt22", nil},
		"h\u00fc\x7f\x7f\x7fx\r": {"x", nil},
		"wrong\x15right\r":       {"right", nil},
		"":                       {"", io.EOF},
		"hunter":                 {"", io.EOF},
		"\x04hunter22\r":         {"", io.EOF},
		"hunter22\x04\r":         {"", io.EOF},
		"hunter\x03":             {"", errInterrupted},
		"hunter\x1c":             {"", errInterrupted},
		"pass word \x17 ~|\\'\r": {"pass word \x17 ~|\\'", nil},
	} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		out.Close()
		line, err := readTyped(in)
		in.Close()
		if line != want.line || !errors.Is(err, want.err) {
			t.Errorf("%q gives %q, %v", typed, line, err)
		}
	}
	if _, err := readTyped(silent{}); !errors.Is(err, io.EOF) {
		t.Errorf("a read of no bytes: %v", err)
	}
	if _, err := readTyped(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a read that fails: %v", err)
	}
}

// silent reads nothing and says no more, as a terminal does at the end of its input.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }
