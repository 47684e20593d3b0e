package main

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes, the same for every command. Only 0 is proof.
const (
	exitYes    = 0 // done, trusted, present, no finding
	exitNo     = 1 // not trusted, refused, not enrolled, nothing pending, a finding
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

// several joins errors, those that are there.
func several(errs []error) error {
	var all severalErrors
	for _, err := range errs {
		if many, ok := err.(severalErrors); ok {
			all = append(all, many...)
		} else if err != nil {
			all = append(all, err)
		}
	}
	if all == nil {
		return nil
	}
	return all
}

// codeOf gives an error's exit code: the worst of several, or its own, or that of the outcome it wraps.
func codeOf(err error) int {
	many, ok := err.(severalErrors)
	if !ok {
		return outcomeOf(err).code
	}
	code := exitYes
	for _, e := range many {
		code = worse(code, codeOf(e))
	}
	return code
}

// outcomeOf finds the outcome that an error wraps. An error that knows its exit code keeps it.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcome{code: exitYes}
	}
	found := outcome{name: "failed", code: exitFailed}
	for _, o := range outcomes {
		if errors.Is(err, o.is) {
			found = o
			break
		}
	}
	var own *codedError
	if errors.As(err, &own) && own.code != found.code {
		return outcome{name: codeNames[own.code], code: own.code}
	}
	return found
}

const usageName = "usage"

// codeNames are the stable words for errors that are none of the outcomes.
var codeNames = map[int]string{exitNo: "refused", exitUsage: usageName, exitUnsure: "cannot-tell", exitFailed: "failed"}
