package main

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes, the same for every command. Only 0 is proof.
const (
	exitYes    = 0 // done, trusted, present
	exitNo     = 1 // not trusted, refused, not enrolled
	exitUsage  = 2 // wrong usage
	exitUnsure = 3 // cannot tell: no permission, no EFI, a source unreadable
	exitFailed = 4 // a write refused, an I/O error, input that cannot be parsed
)

// severity orders the codes: with several subjects the worst wins.
var severity = map[int]int{exitUsage: 4, exitFailed: 3, exitNo: 2, exitUnsure: 1, exitYes: 0}

func worse(a, b int) int {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func coded(code int, format string, args ...any) error {
	return &codedError{code, fmt.Errorf(format, args...)}
}

func usage(format string, args ...any) error  { return coded(exitUsage, format, args...) }
func failed(format string, args ...any) error { return coded(exitFailed, format, args...) }

// errFinished: the command has written its report and set the exit code.
var errFinished = errors.New("finished")

// severalErrors are failures of one run, each with a line of its own.
type severalErrors []error

func (e severalErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e severalErrors) Unwrap() []error { return e }

// several joins errors; none is nil.
func several(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return severalErrors(errs)
}

// codeOf gives an error's exit code: its own, that of the outcome it wraps, or failed.
func codeOf(err error) int {
	var own *codedError
	switch many, ok := err.(severalErrors); {
	case err == nil:
		return exitYes
	case ok:
		code := exitYes
		for _, e := range many {
			code = worse(code, codeOf(e))
		}
		return code
	case errors.As(err, &own):
		return own.code
	}
	for _, outcome := range outcomes {
		if errors.Is(err, outcome.is) {
			return outcome.code
		}
	}
	return exitFailed
}
