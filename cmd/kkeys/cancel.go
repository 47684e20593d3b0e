package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/efivars"
	"kkeys/machine"
	"kkeys/mok"
)

type cancelDocument struct {
	envelope
	Removed  []string `json:"removed"`
	Kinds    []string `json:"kinds"`
	Warnings []string `json:"warnings"`
}

func (s *session) cancel() *cli.Command {
	return &cli.Command{
		Name:      "cancel",
		Usage:     "take back what is staged for MokManager",
		ArgsUsage: "[KIND…]",
		Description: "Removes every pending request, or those of the kinds named as `kkeys pending` does, the password before its request,\n" +
			"and passwords that were left over; once nothing is pending, MokTimeout too, how long MokManager would wait. Requests that\n" +
			"nobody confirmed are then forgotten as well. Exit code 0: nothing of these kinds is pending any more.",
		UsageText: "   kkeys cancel\n   kkeys cancel enroll",
		Action: func(c *cli.Context) error {
			document := &cancelDocument{Removed: []string{}, Kinds: []string{}, Warnings: []string{}}
			return s.finish(document, &document.envelope, exitYes, s.runCancel(c, document))
		},
	}
}

func (s *session) runCancel(c *cli.Context, document *cancelDocument) error {
	kinds, err := kindsOf(c.Args().Slice())
	if err != nil {
		return err
	}
	if err := s.look(); err != nil {
		return err
	}
	if guarded, ok := s.machine.Variables.(efivars.Guarded); ok {
		if err := guarded.Writable(); errors.Is(err, machine.ErrRecorded) || errors.Is(err, efivars.ErrVolatile) {
			return err
		}
	}
	before := s.course(&envelope{})
	done, err := mok.Cancel(s.machine.Variables, kinds...)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		err = several(joined.Unwrap())
	}
	document.Removed = append(document.Removed, done.Removed...)
	for _, k := range done.Kinds {
		document.Kinds = append(document.Kinds, k.String())
	}
	switch {
	case len(done.Removed) > 0:
		s.say("removed %s", strings.Join(done.Removed, ", "))
	case err == nil:
		s.say("nothing was pending")
	}
	if len(kinds) == 0 {
		kinds = mok.Kinds()
	}
	if err != nil { // of the others something may still be pending
		kinds = done.Kinds
	}
	if err := s.settle(kinds, done.Kinds, before); err != nil {
		s.caution(&document.Warnings, fmt.Sprintf("taken back, but its receipt stays, and kkeys may take it for declined later (%v)", err))
	}
	return err
}
