package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/efivars"
	"kkeys/internal/printable"
)

type uefiDocument struct {
	envelope
	SecureBoot *bool           `json:"secure_boot"`
	SetupMode  *bool           `json:"setup_mode"`
	Variables  []firmwareLists `json:"variables"`
}

// firmwareLists is one of the firmware's lists of signatures.
type firmwareLists struct {
	Variable string       `json:"variable"`
	Present  *bool        `json:"present"` // null: it could not be read
	Size     int          `json:"size"`    // bytes
	Keys     []pendingKey `json:"keys"`
	Problem  *string      `json:"problem"`
}

// firmwareNames are PK, KEK, db and dbx (UEFI 2.10 section 32.3), and what the firmware goes back to (section 3.3).
var firmwareNames = []efivars.Name{
	efivars.PK, efivars.KEK, efivars.DB, efivars.DBX,
	{Vendor: efivars.Global, Name: "PKDefault"}, {Vendor: efivars.Global, Name: "KEKDefault"}, {Vendor: efivars.Global, Name: "dbDefault"}, {Vendor: efivars.Global, Name: "dbxDefault"},
}

func (s *session) uefi() *cli.Command {
	return &cli.Command{
		Name:      "uefi",
		Usage:     "the firmware's own lists: PK, KEK, db, dbx and their defaults",
		ArgsUsage: "[VARIABLE…]",
		Description: "PK is whoever may change KEK, KEK whoever may change db and dbx; what db vouches for starts, what dbx names does not. The\n" +
			"defaults are what the firmware's menu goes back to. Exit code 1: a variable that was named is not there.",
		UsageText:   "   kkeys uefi\n   kkeys uefi db dbx --hashes",
		Subcommands: []*cli.Command{s.uefiEnroll()},
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "hashes", Usage: "list every hash, and do not only count them", DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			document := &uefiDocument{Variables: []firmwareLists{}}
			code, err := s.runUEFI(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runUEFI(c *cli.Context, document *uefiDocument) (int, error) {
	chosen := firmwareNames
	if c.NArg() > 0 {
		chosen = nil
	}
	for _, word := range c.Args().Slice() {
		at := slices.IndexFunc(firmwareNames, func(n efivars.Name) bool { return strings.EqualFold(n.Name, word) })
		if at < 0 {
			return exitYes, usage("%q is none of PK, KEK, db, dbx, PKDefault, KEKDefault, dbDefault, dbxDefault", word)
		}
		if !slices.Contains(chosen, firmwareNames[at]) {
			chosen = append(chosen, firmwareNames[at])
		}
	}
	if err := s.look(); err != nil {
		return exitYes, err
	}
	document.SecureBoot, document.SetupMode = s.firmwareFlag(&document.envelope, efivars.SecureBoot), s.firmwareFlag(&document.envelope, efivars.SetupMode)
	s.say("Secure Boot: %s, setup mode: %s", yesNo(document.SecureBoot), yesNo(document.SetupMode))
	code := exitYes
	var failures []error
	for _, name := range chosen {
		d, err := s.firmwareLists(document, name)
		if err != nil {
			failures = append(failures, err)
		}
		if c.NArg() > 0 && d.Present != nil && !*d.Present {
			code = worse(code, exitNo)
		}
		document.Variables = append(document.Variables, d)
		s.sayLists(d, c.Bool("hashes"))
	}
	if len(document.NotSeen) > 0 {
		code = worse(code, exitUnsure)
	}
	return code, several(failures)
}

// firmwareFlag is a variable of one byte, nil where it cannot be told.
func (s *session) firmwareFlag(e *envelope, name efivars.Name) *bool {
	_, data, err := s.machine.Variables.Get(name)
	if err == nil && (len(data) != 1 || data[0] > 1) {
		err = fmt.Errorf("%w: %d bytes instead of a single 0 or 1", efivars.ErrMalformed, len(data))
	}
	if err != nil {
		if !errors.Is(err, efivars.ErrNotFound) {
			e.missing(name.Name, err)
		}
		return nil
	}
	on := data[0] == 1
	return &on
}

// firmwareLists reads one list. What comes before a damage is shown; the error names the place of it.
func (s *session) firmwareLists(document *uefiDocument, name efivars.Name) (firmwareLists, error) {
	d := firmwareLists{Variable: name.Name, Keys: []pendingKey{}}
	_, data, err := s.machine.Variables.Get(name)
	there := err == nil
	switch {
	case err == nil, errors.Is(err, efivars.ErrNotFound):
		d.Present = &there
	default:
		document.missing(name.Name, err)
		return d, nil
	}
	d.Size = len(data)
	lists, err := efivars.ParseSignatureLists(data)
	var corrupt *efivars.CorruptError
	if errors.As(err, &corrupt) {
		lists, _ = efivars.ParseSignatureLists(data[:corrupt.Clean])
		why := err.Error()
		d.Problem = &why
		err = failed("%s: %w", name.Name, err)
	}
	for _, list := range lists {
		for _, signature := range list.Signatures {
			d.Keys = append(d.Keys, describeSignature(list.Type, signature.Data))
		}
	}
	return d, err
}

func (s *session) sayLists(d firmwareLists, hashes bool) {
	switch {
	case d.Present == nil:
		s.say("%s: %s", d.Variable, notKnown)
	case !*d.Present:
		s.say("%s: not there", d.Variable)
	default:
		s.say("%s: %s, %d bytes", d.Variable, count(len(d.Keys), "entry", "entries"), d.Size)
	}
	counted := 0
	for _, key := range d.Keys {
		switch {
		case key.Certificate != nil:
			s.say("  %s, %s, key id %s, to %s", printable.Text(key.Certificate.Subject), algorithm(*key.Certificate), key.Certificate.KeyID, orUnknown(date(key.Certificate.NotAfter)))
		case key.Hash != nil && !hashes:
			counted++
		case key.Hash != nil:
			s.say("  hash %s (%s)", *key.Hash, typeWord(key.Type))
		default:
			s.say("  a certificate that cannot be decoded")
		}
	}
	if counted > 0 {
		s.say("  %s", count(counted, "hash", "hashes"))
	}
	if d.Problem != nil {
		s.say("  problem: %s", printable.Text(*d.Problem))
	}
}
