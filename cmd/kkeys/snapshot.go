package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/trust"
)

type snapshotDocument struct {
	envelope
	Path      string             `json:"path"`
	Release   *string            `json:"kernel_release"`
	Time      *time.Time         `json:"time"`
	Recorded  []recordedDocument `json:"recorded"`
	LeftOut   []string           `json:"left_out"`
	Keyrings  int                `json:"keyrings"`
	Inquiries int                `json:"inquiries"`
	Probed    *int               `json:"probed"`
}

type recordedDocument struct {
	Path string `json:"path"`
	Size int    `json:"size"`
	Why  string `json:"why"`
}

func (s *session) snapshot() *cli.Command {
	return &cli.Command{
		Name:      "snapshot",
		Usage:     "record everything that the reading commands need",
		ArgsUsage: "FILE",
		Description: "Writes the machine down in FILE: `kkeys --snapshot FILE COMMAND` answers from it, on any operating system. No private key is\n" +
			"opened; of passwords that wait for MokManager only their size is kept; neither host name nor machine-id is looked at. What\n" +
			"the kernel thinks of the certificates found on this machine is asked now and kept; with --prove by load probes too, so that\n" +
			"`kkeys --snapshot FILE trusted --prove` has something to go by. Each probe may leave one line in the kernel log.\n\n" +
			"Exit code 3: the file is written, and something could not be seen; root sees more.",
		UsageText: "   sudo kkeys snapshot --prove machine.kks\n   kkeys --snapshot machine.kks list\n",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "replace FILE if it is there", DisableDefaultText: true},
			&cli.BoolFlag{Name: "prove", Usage: "make load probes for every certificate found: modules that can never load (root)", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			document := &snapshotDocument{Recorded: []recordedDocument{}, LeftOut: []string{}}
			code, err := s.runSnapshot(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runSnapshot(c *cli.Context, document *snapshotDocument) (int, error) {
	switch {
	case c.NArg() != 1 || c.Args().First() == "":
		return exitYes, usage("snapshot takes one file to write")
	case c.IsSet("snapshot"):
		return exitYes, usage("a recorded machine is recorded already")
	}
	document.Path = c.Args().First()
	by := machine.Recorder{Version: version, Time: time.Now(), Questions: trust.Questions}
	if c.Bool("prove") {
		by.Prove = probedHash
	}
	recording, err := s.machine.Record(by)
	if err != nil {
		return exitYes, failed("%w", err)
	}
	at := recording.Time()
	document.Release, document.Time = known(recording.Release()), &at
	document.Keyrings, document.Inquiries, document.Probed = recording.Keyrings(), recording.Inquiries(), recording.Probed()
	document.LeftOut = append(document.LeftOut, recording.LeftOut()...)
	for _, k := range recording.Files() {
		document.Recorded = append(document.Recorded, recordedDocument(k))
	}
	for _, n := range recording.NotSeen() {
		document.missing(n.Source, n.Err)
	}
	switch err := recording.Save(document.Path, c.Bool("force")); {
	case errors.Is(err, machine.ErrExists):
		return exitYes, coded(exitNo, "%w; --force replaces a regular file", err)
	case err != nil:
		return exitYes, failed("%w", err)
	}
	if err := s.saySnapshot(document); err != nil {
		return exitYes, err
	}
	if len(document.NotSeen) > 0 {
		return exitUnsure, nil
	}
	return exitYes, nil
}

// probedHash is the one of the load probes. Whether the kernel finds a key does not depend on it, only whether the kernel has the hash, as this one
// nearly every kernel has.
const probedHash = "sha256"

// saySnapshot counts what was recorded by the reasons for it, in the order of the files.
func (s *session) saySnapshot(document *snapshotDocument) error {
	if s.json || s.quiet {
		return nil
	}
	probed := "no load probes (--prove makes them)"
	if n := document.Probed; n != nil {
		probed = "load probes for " + count(*n, "name of a key", "names of keys")
	}
	s.say("%s: %s, %s, the kernel's answers about %s, %s", printable.Text(document.Path), count(len(document.Recorded), "file", "files"),
		count(document.Keyrings, "keyring", "keyrings"), count(document.Inquiries, "certificate", "certificates"), probed)
	var reasons []string
	files := map[string]int{}
	for _, r := range document.Recorded {
		if files[r.Why]++; !slices.Contains(reasons, r.Why) {
			reasons = append(reasons, r.Why)
		}
	}
	var rows [][]string
	for _, why := range reasons {
		rows = append(rows, []string{fmt.Sprint(files[why]), why})
	}
	if err := table(s.out, []string{"FILES", "WHAT FOR"}, rows); err != nil {
		return failed("table: %w", err)
	}
	if n := len(document.LeftOut); n > 0 {
		s.say("left out, only the names are kept: %s (--json names them)", count(n, "file", "files"))
	}
	return nil
}
