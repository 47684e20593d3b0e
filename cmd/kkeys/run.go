package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"kkeys/internal/printable"
	"kkeys/machine"
)

// session is one run of the program: what every command needs.
type session struct {
	streams
	machine *machine.Machine
	args    []string // as given
	command string   // with its group, as in "mok list"
	json    bool
	quiet   bool
	color   bool
	// elsewhere: the machine is a recording or a folder, so that being root here helps nothing.
	elsewhere bool
	compact   bool                // JSON documents stand on a line each
	recording bool                // a snapshot: nothing can be written
	known     []machine.Found     // see certificates
	tree      *machine.ModuleTree // see byName
	unshown   string              // what follows when the report cannot be written
	code      int                 // set by finish
	unwritten int                 // in place of exitFailed when the report cannot be written, in a monitor's family of codes; else 0
	done      bool
}

// run is the whole program: args without the program's name; it gives the exit code (see exit.go) and touches nothing but the streams
// and the machine.
func run(ctx context.Context, args []string, std streams, m *machine.Machine) int {
	out := &checked{to: std.out}
	std.out = out
	s := &session{streams: std, machine: m, args: args}
	app := s.app()
	ordered := reorder(app, args)
	s.json, s.quiet, s.command = ordered.json, ordered.quiet, ordered.command
	var err error
	if ordered.lacks != "" {
		err = usage("%s needs a value", ordered.lacks)
	} else {
		err = app.RunContext(ctx, append([]string{app.Name}, ordered.args...))
	}
	if err != nil || !s.done {
		s.fail(err)
	}
	if out.err != nil {
		if s.code = worse(s.code, exitFailed); s.unwritten != 0 {
			s.code = s.unwritten
		}
		if !s.quiet {
			fmt.Fprintf(s.err, "kkeys: error: standard output: %s\n", printable.Text(out.err.Error()))
			if s.unshown != "" {
				fmt.Fprintf(s.err, "kkeys: error: %s\n", s.unshown)
			}
		}
	}
	return s.code
}

// checked remembers that a write failed, so that a full disk cannot pass for success.
type checked struct {
	to  io.Writer
	err error
}

func (c *checked) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// app describes the command line. urfave/cli would exit by itself, print usage errors to standard output and call a wrong command
// success or 3; the three handlers and the root action keep it to the documented codes.
func (s *session) app() *cli.App {
	app := &cli.App{
		Name:            "kkeys",
		Usage:           "the kernel's trust in module signing keys: see it, prove it, change it",
		UsageText:       "kkeys [global flags] COMMAND [flags] [ARGS]",
		Version:         version,
		HideHelpCommand: true,
		// A file's name may have commas in it.
		DisableSliceFlagSeparator: true,
		Writer:                    s.out,
		ErrWriter:                 io.Discard,
		ExitErrHandler:            func(*cli.Context, error) {},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Usage: "read every file (proc, sys, boot, etc, lib) under `DIR` instead of /"},
			&cli.StringFlag{Name: "snapshot", Usage: "answer for the machine recorded in `FILE` (kkeys snapshot); nothing can be written"},
			&cli.BoolFlag{Name: "json", Usage: "one JSON document on standard output, also when the command fails", DisableDefaultText: true},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "exit code only", DisableDefaultText: true},
			&cli.StringFlag{Name: "color", Usage: "`WHEN` to use colours: auto, always or never", Value: "auto"},
		},
		Before: s.before,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usage("unknown command %q", c.Args().First())
			}
			return usage("no command")
		},
		Commands:              []*cli.Command{s.list(), s.show(), s.status(), s.trusted(), s.doctor(), s.enroll(), s.unenroll(), s.pending(), s.cancel(), s.mok(), s.uefi(), s.generate(), s.sign(), s.signFile(), s.strip(), s.verify(), s.snapshot(), s.audit(), s.mapped()},
		CustomAppHelpTemplate: appHelp,
	}
	asUsage := func(_ *cli.Context, err error, _ bool) error { return usage("%w", err) }
	app.OnUsageError = asUsage
	var keep func(above string, commands []*cli.Command)
	keep = func(above string, commands []*cli.Command) {
		for _, command := range commands {
			command.OnUsageError, command.CustomHelpTemplate, command.HideHelpCommand = asUsage, commandHelp, true
			if above != app.Name { // else urfave/cli puts the program's name before it
				command.HelpName = above + " " + command.Name
			}
			keep(above+" "+command.Name, command.Subcommands)
		}
	}
	keep(app.Name, app.Commands)
	return app
}

// group is a command that only has others below it.
func group(name, does, description string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name: name, Usage: does, Description: description, ArgsUsage: "COMMAND", Subcommands: commands,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usage("unknown command %q", c.Args().First())
			}
			return usage("no command")
		},
	}
}

// before opens the machine that the global flags name.
func (s *session) before(c *cli.Context) error {
	when := c.String("color")
	if when != "auto" && when != "always" && when != "never" {
		return usage("--color %q: auto, always or never", when)
	}
	s.color = s.wantColor(when)
	s.elsewhere = c.IsSet("root") || c.IsSet("snapshot")
	if c.IsSet("root") && c.IsSet("snapshot") {
		return usage("--root and --snapshot name two machines")
	}
	if path := c.String("snapshot"); c.IsSet("snapshot") {
		s.recording = true
		var m *machine.Machine
		var err error
		if s.command == "audit" {
			err = ends(path)
		}
		if err == nil {
			m, err = machine.Snapshot(path)
		}
		if err != nil {
			return failed("--snapshot: %w", err)
		}
		s.machine = m
	}
	if dir := c.String("root"); c.IsSet("root") {
		m, err := machine.Directory(dir)
		if err != nil {
			return failed("--root %s: %w", dir, err)
		}
		s.machine = m
	}
	return nil
}

// writesHere keeps commands that write files from doing so where another machine is named. With --root they go on: it names the machine that is
// asked, and a file is one of this machine, by its own path.
func (s *session) writesHere() error {
	if s.recording {
		return fmt.Errorf("--snapshot: %w", machine.ErrRecorded)
	}
	return nil
}

// say writes a line for people to standard output.
func (s *session) say(format string, args ...any) {
	if !s.json && !s.quiet {
		fmt.Fprintf(s.out, format+"\n", args...)
	}
}

// warn writes a warning to standard error.
func (s *session) warn(text string) {
	if !s.quiet {
		fmt.Fprintf(s.err, "kkeys: warning: %s\n", printable.Text(text))
	}
}

// fail ends a run that a command did not finish: help was shown (no error), or it failed before it had anything to report.
func (s *session) fail(err error) {
	if err == nil {
		s.code = exitYes
		return
	}
	if errors.Is(err, errFinished) {
		return
	}
	if s.command == "audit" { // a monitor is told in its own form
		s.compact = s.asked("snapshots") != ""
		_ = s.finishAudit(newAuditDocument(), auditing{format: s.asked("format"), output: s.asked("output")}, exitYes, err)
		return
	}
	document := &envelope{}
	s.finish(document, document, exitYes, err)
}
