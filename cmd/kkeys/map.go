package main

import (
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/chart"
	"kkeys/internal/printable"
	"kkeys/machine"
)

type mapDocument struct {
	envelope
	Machines int           `json:"machines"`
	SVG      *string       `json:"svg"` // the file written
	Nodes    []mapNode     `json:"nodes"`
	Edges    []mapEdge     `json:"edges"`
	Unread   []unreadEntry `json:"unread"` // snapshots that could not be read
}

type unreadEntry struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

type mapNode struct {
	ID          string         `json:"id"`
	Kind        string         `json:"kind"`
	Name        string         `json:"name"`
	KeyID       *string        `json:"key_id"`
	Certificate *certs.Details `json:"certificate"`
	// Of a store: on how many machines it is there, is not there, and could not be seen.
	Machines int     `json:"machines"`
	Absent   int     `json:"absent_on"`
	Unseen   int     `json:"not_seen_on"`
	Why      *string `json:"why"`
	Hashes   int     `json:"hash_count"`
	Hidden   int     `json:"entries_not_readable"`
	Modules  int     `json:"modules"`
}

type mapEdge struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Kind    string  `json:"kind"`
	Answer  *bool   `json:"answer"` // null: not known, or machines differ
	Yes     int     `json:"machines"`
	No      int     `json:"not_on"`
	Unknown int     `json:"not_known_on"`
	Proven  bool    `json:"proven"`
	Why     *string `json:"why"`
}

func (s *session) mapped() *cli.Command {
	return &cli.Command{
		Name:  "map",
		Usage: "a picture of who vouches for whom, from the firmware to the modules",
		Description: "Draws the firmware's PK, KEK, db and dbx, shim's own keys and its lists, the kernel's keyrings, and who signed the installed\n" +
			"modules; what each is to the others, and which keys stand where. Keys at one place are drawn as one where they are many.\n" +
			"What could not be seen is drawn as not seen. Keys are joined by name and id, which is a match and no proof (see `kkeys trusted`);\n" +
			"signatures of modules are read and not verified (see `kkeys verify`).\n\n" +
			"With --snapshots it is the union of the machines recorded in DIR (*.kks), and each line tells on how many it is.\n\n" +
			"Exit code 0: drawn; 3: drawn, but the keyrings, a list of the firmware's or of shim's, or the modules could not be seen at all (a\n" +
			"recording never has modules, which does not count); 4: a file could not be read or written.",
		UsageText: "   sudo kkeys map\n   sudo kkeys map --svg machine.svg\n   kkeys map --snapshots DIR --svg - > all.svg",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "svg", Usage: "draw into `FILE`, which is replaced in one step; - is standard output"},
			&cli.StringFlag{Name: "snapshots", Usage: "the union of the machines recorded in `DIR`"},
			&cli.BoolFlag{Name: "all", Usage: "name every key, also of many at one place", DisableDefaultText: true},
			&cli.BoolFlag{Name: "no-modules", Usage: "do not read the signatures of modules, which takes longest", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			document := &mapDocument{Nodes: []mapNode{}, Edges: []mapEdge{}, Unread: []unreadEntry{}}
			code, err := s.runMap(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runMap(c *cli.Context, document *mapDocument) (int, error) {
	switch {
	case c.NArg() > 0:
		return exitYes, usage("map takes no arguments")
	case c.IsSet("svg") && c.String("svg") == "":
		return exitYes, usage("--svg names no file")
	case s.json && c.String("svg") == "-":
		return exitYes, usage("--svg - and --json both want standard output")
	case c.IsSet("snapshots") && (s.elsewhere || c.IsSet("snapshot")):
		return exitYes, usage("--snapshots names other machines than --root and --snapshot")
	}
	builder := chart.NewBuilder()
	var code int
	var err error
	if c.IsSet("snapshots") {
		code, err = s.mapSnapshots(c.String("snapshots"), builder, document)
	} else {
		code = s.mapOne(builder, !c.Bool("no-modules"))
	}
	graph := builder.Graph()
	if graph.Machines == 0 {
		return exitYes, err
	}
	describeGraph(document, graph)
	if derr := s.drawMap(c, graph, document); derr != nil {
		return code, several([]error{err, derr})
	}
	return code, err
}

// mapOne adds the machine that was asked.
func (s *session) mapOne(builder *chart.Builder, modules bool) int {
	facts, unsure := s.mapFacts(modules)
	builder.Add(facts)
	if unsure {
		return exitUnsure
	}
	return exitYes
}

// mapSnapshots adds each machine recorded in a folder. One that cannot be read is an error beside what the others show.
func (s *session) mapSnapshots(dir string, builder *chart.Builder, document *mapDocument) (int, error) {
	paths, err := s.recordedFiles(dir)
	if err != nil {
		return exitYes, err
	}
	code := exitYes
	var first error
	for _, path := range paths {
		var m *machine.Machine
		if m, err = openRecorded(path); err != nil {
			if first == nil {
				first = err
			}
			document.Unread = append(document.Unread, unreadEntry{path, err.Error()})
			builder.Miss(chart.Gap{Source: path, Reason: err.Error()})
			continue
		}
		one := *s
		one.machine, one.recording, one.elsewhere = m, true, true
		code = worse(code, one.mapOne(builder, false))
	}
	switch n := len(document.Unread) - 1; { // each is told of as what was not seen
	case n == 0:
		err = failed("--snapshots: %w", first)
	case n > 0:
		err = failed("--snapshots: %w; and %s like it", first, count(n, "file", "files"))
	}
	return code, err
}

func describeGraph(document *mapDocument, g *chart.Graph) {
	document.Machines = g.Machines
	for _, n := range g.Nodes {
		document.Nodes = append(document.Nodes, mapNode{
			ID: n.ID, Kind: n.Kind, Name: strings.ToValidUTF8(n.Name, "\uFFFD"), KeyID: known(n.KeyID), Certificate: n.Key,
			Machines: n.Machines, Absent: n.Absent, Unseen: n.Unseen, Why: known(n.Why), Hashes: n.Hashes, Hidden: n.Hidden, Modules: n.Modules,
		})
	}
	for _, e := range g.Edges {
		document.Edges = append(document.Edges, mapEdge{From: e.From, To: e.To, Kind: string(e.Kind), Answer: e.Answer(), Yes: e.Yes, No: e.No, Unknown: e.Unknown, Proven: e.Proven, Why: known(e.Why)})
	}
	for _, gap := range g.Gaps {
		document.missing(gap.Source, errors.New(gap.Reason))
	}
}

// drawMap writes the picture: into a file, or as text.
func (s *session) drawMap(c *cli.Context, graph *chart.Graph, document *mapDocument) error {
	path := c.String("svg")
	switch {
	case path == "":
		s.say("%s", strings.TrimRight(graph.Text(c.Bool("all")), "\n"))
	case path == "-":
		if !s.quiet {
			_, _ = s.out.Write(graph.SVG(c.Bool("all"))) // run looks at what could not be written
		}
	default:
		if err := machine.ReplaceFile(path, graph.SVG(c.Bool("all")), 0o644); err != nil {
			return failed("%w", err)
		}
		document.SVG = &path
		s.say("%s: written; %s, %s", printable.Text(path), count(graph.Machines, "machine", "machines"), count(len(graph.Nodes), "node", "nodes"))
	}
	return nil
}
