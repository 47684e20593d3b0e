package main

import (
	"encoding/json"
	"errors"
	"fmt"

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
	e.NotSeen = append(e.NotSeen, notSeen{source, err.Error()})
}

// finish ends a run: the exit code is the worst of the command's own and the error's, the document (which holds the envelope e) is
// written when JSON was asked for, and the error and its hint go to standard error.
func (s *session) finish(document any, e *envelope, code int, err error) error {
	s.done = true
	s.code = worse(code, codeOf(err))
	e.Schema = "kkeys/v1"
	if s.command != "" {
		e.Schema = "kkeys." + s.command + "/v1"
	}
	e.OK = s.code == exitYes
	if err != nil {
		e.Error = s.failure(err)
	}
	if s.json && !s.quiet {
		encoder := json.NewEncoder(s.out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(document) // what can fail is the write, which run looks at
	}
	if s.quiet {
		return errFinished
	}
	if !s.json {
		for _, n := range e.NotSeen {
			s.warn(fmt.Sprintf("not seen: %s: %s", n.Source, n.Reason))
		}
	}
	if err != nil {
		for _, line := range lines(err) {
			fmt.Fprintf(s.err, "kkeys: error: %s\n", printable.Text(line))
		}
		if hint := s.failure(err).Hint; hint != "" {
			fmt.Fprintf(s.err, "kkeys: hint: %s\n", printable.Text(hint))
		}
	}
	return errFinished
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

// failure words an error for a document: its stable code and its hint come from the outcome that it wraps.
func (s *session) failure(err error) *failure {
	f := &failure{Code: codeNames[codeOf(err)], Message: err.Error()}
	for _, o := range outcomes {
		if errors.Is(err, o.is) {
			f.Code, f.Hint = o.name, o.hint
			break
		}
	}
	if f.Code == "usage" && f.Hint == "" {
		f.Hint = "kkeys --help"
		if s.command != "" {
			f.Hint = "kkeys " + s.command + " --help"
		}
	}
	return f
}

var codeNames = map[int]string{exitNo: "refused", exitUsage: "usage", exitUnsure: "cannot-tell", exitFailed: "failed"}
