package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"kkeys/internal/printable"
	"kkeys/modsig"
)

type stripDocument struct {
	envelope
	Modules []signedDocument `json:"modules"`
}

func (s *session) strip() *cli.Command {
	return &cli.Command{
		Name:      "strip",
		Usage:     "take the signatures off modules, in place",
		ArgsUsage: "MODULE…",
		Description: "Takes every appended signature off, and one that was put behind a compressed module; in one step, with owner, mode, times and\n" +
			"attributes kept. A module without a signature is left alone. Stops at the first failure unless --keep-going.",
		UsageText: "   kkeys strip driver.ko",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "keep-going", Usage: "go on after a failure", DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			document := &stripDocument{Modules: []signedDocument{}}
			return s.finish(document, &document.envelope, exitYes, s.runStrip(c, document))
		},
	}
}

func (s *session) runStrip(c *cli.Context, document *stripDocument) error {
	if err := s.writesHere(); err != nil {
		return err
	}
	if c.NArg() == 0 {
		return usage("no module named")
	}
	for _, path := range eachOnce(c.Args().Slice()) {
		document.Modules = append(document.Modules, signedDocument{Path: path, Action: "not-done"})
	}
	err := s.changeFiles(work{pieces: len(document.Modules), what: "stripping", keepGoing: c.Bool("keep-going"), piece: func(i int) error {
		m := &document.Modules[i]
		if err := stripFile(m); err != nil {
			why := err.Error()
			m.Action, m.Why = "failed", &why
			return failed("%s: %w", m.Path, err)
		}
		return nil
	}})
	for _, m := range document.Modules {
		if m.Action == "stripped" || m.Action == "unchanged" {
			s.say("%s: %s", printable.Text(m.Path), map[bool]string{true: "not signed", false: fmt.Sprintf("%s taken off", count(m.Removed, "signature", "signatures"))}[m.Removed == 0])
		}
	}
	return err
}

func stripFile(document *signedDocument) error {
	file, unpacked, err := moduleFile(document.Path)
	if err != nil {
		return err
	}
	document.Packing = unpacked.Packing.String()
	payload, removed, err := modsig.Strip(unpacked.Module)
	if err != nil {
		return err
	}
	if unpacked.SignedOutside() {
		removed++
	}
	if removed == 0 {
		document.Action = "unchanged"
		return nil
	}
	packed, err := modsig.Pack(payload, unpacked.Packing)
	if err != nil {
		return err
	}
	if err := file.Replace(packed); err != nil {
		return err
	}
	document.Action, document.Removed = "stripped", removed
	return nil
}
