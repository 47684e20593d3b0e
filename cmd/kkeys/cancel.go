package main

import (
	"errors"
	"fmt"
	"slices"
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
		Name:  "cancel",
		Usage: "take back what is staged for MokManager",
		Description: "Removes every pending request, the password before its request, and passwords that were left over. Exit code 0: nothing\n" +
			"is pending any more.",
		Action: func(c *cli.Context) error {
			document := &cancelDocument{Removed: []string{}, Kinds: []string{}, Warnings: []string{}}
			return s.finish(document, &document.envelope, exitYes, s.runCancel(c, document))
		},
	}
}

func (s *session) runCancel(c *cli.Context, document *cancelDocument) error {
	if c.NArg() > 0 {
		return usage("cancel takes no arguments")
	}
	if _, err := s.machine.Variables.List(); err != nil {
		if errors.Is(err, efivars.ErrDenied) {
			err = fmt.Errorf("%w: %w", errUnread, err)
		}
		return err
	}
	if guarded, ok := s.machine.Variables.(efivars.Guarded); ok {
		if err := guarded.Writable(); errors.Is(err, machine.ErrRecorded) {
			return err
		}
	}
	pending, _ := mok.ReadPending(s.machine.Variables).Request(mok.Enroll)
	done, err := mok.Cancel(s.machine.Variables)
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
	if slices.Contains(done.Removed, pending.Variable) {
		s.dropReceipts(document, pending.Certificates())
	}
	return err
}

// dropReceipts forgets that these certificates were asked for, in this boot or an earlier one: nobody will be asked about them any more, and
// later they shall not pass for declined.
func (s *session) dropReceipts(document *cancelDocument, ders [][]byte) {
	err := s.machine.KeepReceipts(func(old []mok.Receipt) []mok.Receipt { return mok.Forget(old, mok.Enroll, ders) })
	if err == nil {
		return
	}
	document.Warnings = append(document.Warnings, fmt.Sprintf("taken back, but its receipt stays, and kkeys may take it for declined later (%v)", err))
	if !s.json {
		s.warn(document.Warnings[0])
	}
}
