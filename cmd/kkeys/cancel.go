package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/efivars"
	"kkeys/mok"
)

type cancelDocument struct {
	envelope
	Removed []string `json:"removed"`
	Kinds   []string `json:"kinds"`
}

func (s *session) cancel() *cli.Command {
	return &cli.Command{
		Name:  "cancel",
		Usage: "take back what is staged for MokManager",
		Description: "Removes every pending request, the password before its request, and passwords that were left over. Exit code 0: nothing\n" +
			"is pending any more.",
		Action: func(c *cli.Context) error {
			document := &cancelDocument{Removed: []string{}, Kinds: []string{}}
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
	return err
}
