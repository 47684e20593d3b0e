package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/trust"
)

type listDocument struct {
	envelope
	Keyrings []ringDocument `json:"keyrings"`
}

type ringDocument struct {
	Name        string        `json:"name"`
	Serial      string        `json:"serial"`
	Permissions string        `json:"permissions"`
	Consulted   *bool         `json:"consulted_for_modules"`
	Linked      []string      `json:"linked_keyrings"`
	HashCount   int           `json:"hash_count"`
	Keys        []keyDocument `json:"keys"`

	why string // of Consulted
}

type keyDocument struct {
	Serial      string         `json:"serial"`
	Type        string         `json:"type"`
	Description string         `json:"description"`
	KeyID       *string        `json:"key_id"`
	Certificate *certs.Details `json:"certificate"`
	FoundIn     []string       `json:"found_in"`
}

func (s *session) list() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "the kernel's trusted keyrings, decoded",
		ArgsUsage: "[KEYRING…]",
		Description: "Shows .builtin_trusted_keys, .secondary_trusted_keys, .machine, .platform and .blacklist of the running kernel, or the\n" +
			"keyrings named. The kernel gives no certificate back: each is looked for in shim and its list, in the firmware's db and\n" +
			"KEK, in the places where tools keep keys, in the kernel's image and in the files given, and joined by name and\nkey id: that is a match, and no proof that it is the same key (see `kkeys trusted`).\n\nThe kernel shows its keyrings to root only.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "blacklist", Usage: "also list the hashes of .blacklist", DisableDefaultText: true},
			&cli.StringSliceFlag{Name: "cert", Usage: "look for certificates in `FILE` too (DER or PEM); may be repeated"},
		},
		Action: func(c *cli.Context) error {
			document := &listDocument{Keyrings: []ringDocument{}}
			code, err := s.runList(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runList(c *cli.Context, document *listDocument) (int, error) {
	names, err := ringNames(c.Args().Slice())
	if err != nil {
		return exitYes, err
	}
	named, err := namedFiles(c.StringSlice("cert"))
	if err != nil {
		return exitYes, err
	}
	rings, err := s.machine.Keyrings.Rings()
	if err != nil {
		return exitYes, explainRings(err)
	}
	shown, absent := choose(rings, names, c.NArg() > 0)
	sources := s.sources(shown, named, document)
	status := s.machine.Kernel()
	code := exitYes
	for _, ring := range shown {
		document.Keyrings = append(document.Keyrings, describeRing(ring, rings, status, sources, c.Bool("blacklist")))
		if ring.Unseen > 0 {
			code = worse(code, exitUnsure)
			document.missing(ring.Name(), fmt.Errorf("%d entries give this process no permission to view them", ring.Unseen))
		}
	}
	if err := s.printRings(document.Keyrings); err != nil {
		return exitYes, err
	}
	return code, several(absent)
}

// choose gives the keyrings to show. One that was asked for and is not there is an error; of the usual ones some kernels lack some.
func choose(rings []keyring.Ring, names []string, asked bool) (shown []*keyring.Ring, absent []error) {
	for _, name := range names {
		ring := keyring.Named(rings, name)
		switch {
		case ring != nil:
			shown = append(shown, ring)
		case asked:
			absent = append(absent, coded(exitNo, "this kernel has no keyring %s", name))
		}
	}
	return shown, absent
}

// namedFiles reads the certificates of the files given with --cert.
func namedFiles(paths []string) ([]machine.Found, error) {
	var all []machine.Found
	for _, path := range paths {
		found, err := machine.CertificateFile(path)
		if err != nil {
			return nil, failed("--cert: %w", err)
		}
		for _, certificate := range found {
			all = append(all, machine.Found{Certificate: certificate, Where: "file:" + path})
		}
	}
	return all, nil
}

// sources are the certificates that the machine shows. The kernel's image takes longest to search, so it comes last and only where a key
// still has no certificate.
func (s *session) sources(shown []*keyring.Ring, named []machine.Found, document *listDocument) []machine.Found {
	sources, unseen := s.machine.Certificates()
	sources = append(sources, named...)
	if !complete(shown, sources) {
		image, missed := s.machine.KernelCertificates()
		for _, n := range missed {
			// No image is no gap: a container has none, and some boot loaders keep it elsewhere.
			if !errors.Is(n.Err, fs.ErrNotExist) {
				unseen = append(unseen, n)
			}
		}
		sources = append(sources, image...)
	}
	for _, n := range unseen {
		document.missing(n.Source, n.Err)
	}
	return sources
}

// complete tells whether each key that is shown has a certificate among the sources.
func complete(shown []*keyring.Ring, sources []machine.Found) bool {
	for _, ring := range shown {
		for _, key := range ring.Keys {
			named := func(f machine.Found) bool { return f.Certificate.MatchesName(key.Description) }
			if key.Type == keyring.TypeAsymmetric && !slices.ContainsFunc(sources, named) {
				return false
			}
		}
	}
	return true
}

// ringNames are the keyrings to show; the leading dot may be left out.
func ringNames(args []string) ([]string, error) {
	if len(args) == 0 {
		return trust.Listed, nil
	}
	var names []string
	for _, arg := range args {
		name := "." + strings.TrimPrefix(arg, ".")
		if name == "." {
			return nil, usage("a keyring's name is empty")
		}
		names = append(names, name)
	}
	return names, nil
}

// explainRings says what root would see.
func explainRings(err error) error {
	if errors.Is(err, keyring.ErrNotVisible) {
		return fmt.Errorf("%w; root would see %s", err, strings.Join(trust.Listed[:5], ", "))
	}
	return err
}

func describeRing(ring *keyring.Ring, rings []keyring.Ring, status kernel.Status, sources []machine.Found, hashes bool) ringDocument {
	consulted := trust.Consulted(rings, status, ring.Name())
	d := ringDocument{
		Name: ring.Name(), Serial: ring.Serial.String(), Permissions: fmt.Sprintf("%08x", ring.Permissions),
		Consulted: boolOf(consulted.Answer), why: consulted.Evidence,
		Linked: []string{}, HashCount: ring.Hashes(), Keys: []keyDocument{},
	}
	for _, link := range ring.Rings {
		d.Linked = append(d.Linked, link.Description)
	}
	for _, key := range ring.Keys {
		if key.Type == keyring.TypeBlacklist && !hashes {
			continue
		}
		d.Keys = append(d.Keys, describeKey(key, sources))
	}
	return d
}

func describeKey(key keyring.Key, sources []machine.Found) keyDocument {
	d := keyDocument{Serial: key.Serial.String(), Type: key.Type, Description: key.Description, FoundIn: []string{}}
	if key.Type != keyring.TypeAsymmetric {
		return d
	}
	if _, id, ok := certs.ParseKernelName(key.Description); ok {
		text := hex.EncodeToString(id)
		d.KeyID = &text
	}
	for _, source := range sources {
		if !source.Certificate.MatchesName(key.Description) {
			continue
		}
		// Two certificates of one name and id are told apart by `trusted`; here the first stands for both.
		if d.Certificate == nil {
			details := source.Certificate.Details()
			d.Certificate = &details
		}
		if !slices.Contains(d.FoundIn, source.Where) {
			d.FoundIn = append(d.FoundIn, source.Where)
		}
	}
	return d
}

func (s *session) printRings(rings []ringDocument) error {
	if s.json || s.quiet {
		return nil
	}
	for i, ring := range rings {
		if i > 0 {
			s.say("")
		}
		s.say("%s", ringHeadline(ring))
		var rows [][]string
		for _, key := range ring.Keys {
			rows = append(rows, keyRow(key))
		}
		if len(rows) == 0 {
			continue
		}
		header := []string{"NAME", "KEY ID", "ALGORITHM", "VALID UNTIL", "FOUND BY ID IN", "SUBJECT"}
		if err := table(s.out, header, rows); err != nil {
			return failed("table: %w", err)
		}
	}
	return nil
}

func ringHeadline(ring ringDocument) string {
	keys := 0
	for _, key := range ring.Keys {
		if key.Type != keyring.TypeBlacklist {
			keys++
		}
	}
	parts := []string{count(keys, "key", "keys")}
	if ring.HashCount > 0 {
		parts = append(parts, count(ring.HashCount, "hash", "hashes"))
	}
	if len(ring.Linked) > 0 {
		parts = append(parts, "links "+strings.Join(ring.Linked, " and "))
	}
	line := ring.Name + ": " + strings.Join(parts, ", ")
	switch {
	case ring.Name == keyring.Blacklist:
		line += "; what the kernel refuses"
	case ring.Consulted == nil:
		line += "; not known whether consulted for modules: " + ring.why
	case *ring.Consulted:
		line += "; consulted for modules"
	default:
		line += "; not consulted for modules: " + ring.why
	}
	return printable.Text(line)
}

func keyRow(key keyDocument) []string {
	name, _, ok := certs.ParseKernelName(key.Description)
	if !ok || key.Type != keyring.TypeAsymmetric {
		name = key.Description
	}
	row := []string{name, "", "", "", strings.Join(key.FoundIn, " "), ""}
	if key.KeyID != nil {
		row[1] = *key.KeyID
	}
	if c := key.Certificate; c != nil {
		row[2], row[3], row[5] = algorithm(*c), date(c.NotAfter), c.Subject
	}
	return row
}

// algorithm words a key's algorithm and size: "RSA 2048", "ECDSA P-384".
func algorithm(c certs.Details) string {
	switch {
	case c.Curve != nil:
		return strings.ToUpper(c.Algorithm) + " " + *c.Curve
	case c.KeyBits != nil:
		return fmt.Sprintf("%s %d", strings.ToUpper(c.Algorithm), *c.KeyBits)
	}
	return strings.ToUpper(c.Algorithm)
}

func date(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// boolOf gives true, false, or nil for unknown.
func boolOf(a evidence.Answer) *bool {
	if a == evidence.Unknown {
		return nil
	}
	yes := a == evidence.Yes
	return &yes
}
