package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"kkeys/internal/printable"
)

// envelope is what every JSON document has.
type envelope struct {
	Schema  string    `json:"schema"`
	OK      bool      `json:"ok"`
	NotSeen []notSeen `json:"not_seen,omitempty"`
	Error   *failure  `json:"error,omitempty"`
}

// notSeen is a source that could not be read, and why.
type notSeen struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"` // what would show it
}

// failure is an error in a document.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (e *envelope) missing(source string, err error) {
	for _, n := range e.NotSeen {
		if n.Source == source {
			return
		}
	}
	e.NotSeen = append(e.NotSeen, notSeen{Source: source, Reason: strings.ReplaceAll(err.Error(), "\n", "; ")}) // as errors.Join has it
}

// also takes what another command did not see.
func (e *envelope) also(others []notSeen) {
	for _, o := range others {
		e.missing(o.Source, errors.New(o.Reason))
	}
}

// finish ends a run: the exit code is the worst of the command's own and the error's, the document (which holds the envelope e) is
// written when JSON was asked for, and the error and its hint go to standard error.
func (s *session) finish(document any, e *envelope, code int, err error) error {
	s.done = true
	s.code = worse(code, codeOf(err))
	e.Schema = "kkeys/v1"
	if s.command != "" {
		e.Schema = "kkeys." + strings.ReplaceAll(s.command, " ", "-") + "/v1"
	}
	e.OK = s.code == exitYes
	if err != nil {
		e.Error = s.failure(err)
	}
	if s.quiet {
		return errFinished
	}
	if s.json {
		if jerr := s.encode(document); jerr != nil {
			err = failed("the document cannot be written as JSON: %w", jerr)
			s.code = worse(s.code, exitFailed)
			_ = s.encode(&envelope{Schema: e.Schema, Error: s.failure(err)})
		}
	} else {
		for _, n := range e.NotSeen {
			s.warn(fmt.Sprintf("not seen: %s: %s", n.Source, n.Reason))
			s.hint(n.Hint)
		}
	}
	if err != nil {
		for _, line := range lines(err) {
			fmt.Fprintf(s.err, "kkeys: error: %s\n", printable.Text(line))
		}
		s.hint(s.failure(err).Hint)
	}
	return errFinished
}

func (s *session) hint(command string) {
	if command != "" {
		fmt.Fprintf(s.err, "kkeys: hint: %s\n", pasted(command))
	}
}

// encode writes a document.
func (s *session) encode(document any) error {
	if s.compact {
		return s.encodeLine(document)
	}
	return s.encodeIndented(document, "  ")
}

// encodeLine writes an object in one line.
func (s *session) encodeLine(object any) error { return s.encodeIndented(object, "") }

// encodeIndented writes JSON. What encoding/json leaves as it is but a terminal obeys or hides (C1 controls, DEL, text direction) is
// escaped too; outside of strings a document is ASCII.
func (s *session) encodeIndented(document any, indent string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range text.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		}
	}
	_, _ = io.WriteString(s.out, out.String()) // run looks at what could not be written
	return nil
}

// lines gives an error's text, one line a failure.
func lines(err error) []string {
	many, ok := err.(severalErrors)
	if !ok {
		return []string{err.Error()}
	}
	var texts []string
	for _, e := range many {
		texts = append(texts, e.Error())
	}
	return texts
}

// failure words an error for a document. Of several errors the one that decides the exit code gives its stable code and its hint.
func (s *session) failure(err error) *failure {
	f := &failure{Message: err.Error()}
	decisive := err
	if many, ok := err.(severalErrors); ok {
		for _, e := range many {
			if codeOf(e) == codeOf(err) {
				decisive = e
				break
			}
		}
	}
	outcome := outcomeOf(decisive)
	f.Code, f.Hint = outcome.name, outcome.hint
	switch {
	case outcome.name == usageName && f.Hint == "":
		f.Hint = strings.TrimSpace("kkeys "+s.command) + " --help"
	case s.elsewhere && slices.Contains([]string{asRoot, mountEfivarfs, remountEfivarfs}, f.Hint): // it would help another machine
		f.Hint = ""
	case f.Hint == asRoot:
		f.Hint = "sudo kkeys"
		for _, arg := range s.args {
			f.Hint += " " + shellWord(arg)
		}
	case f.Hint == theList && strings.HasPrefix(s.command, "mok blocklist "):
		f.Hint = "kkeys mok blocklist list"
	case f.Hint == theList:
		f.Hint = "kkeys mok list"
	case f.Hint == reinstallShim:
		f.Hint = s.reinstall()
	}
	return f
}

// Hints that depend on the run.
const (
	asRoot          = "as root"
	theList         = "the list"
	reinstallShim   = "reinstall shim"
	mountEfivarfs   = "sudo mount -t efivarfs efivarfs /sys/firmware/efi/efivars"
	remountEfivarfs = "sudo mount -o remount,rw /sys/firmware/efi/efivars"
)
