package main

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestReorder(t *testing.T) {
	app := (&session{}).app()
	for in, want := range map[string]string{
		"enroll cert.der --dry-run":               "enroll --dry-run -- cert.der",
		"enroll --timeout -1 cert.der":            "enroll --timeout -1 -- cert.der",
		"enroll cert.der --timeout=-1 -n":         "enroll --timeout=-1 -n -- cert.der",
		"mok timeout -1":                          "mok timeout -- -1",
		"mok timeout -1 --json":                   "--json mok timeout -- -1",
		"mok timeout -1x":                         "mok timeout -1x",
		"-1 list":                                 "-- -1 list",
		"list --json":                             "--json list",
		"list .machine --root dir -q --blacklist": "--root dir -q list --blacklist -- .machine",
		"--root dir list":                         "--root dir list",
		"--root list list":                        "--root list list",
		"enroll list":                             "enroll -- list",
		"enroll -- --dry-run":                     "enroll -- --dry-run",
		"enroll a -- -b --json":                   "enroll -- a -b --json",
		"nonsense list --json":                    "--json -- nonsense list",
		"enroll cert.der --nonsense":              "enroll --nonsense -- cert.der",
		"enroll --password-file - cert.der":       "enroll --password-file - -- cert.der",
		"enroll - cert.der":                       "enroll -- - cert.der",
		"enroll cert.der --root":                  "--root enroll -- cert.der",
		"list --cert a --cert b c":                "list --cert a --cert b -- c",
		"list .machine --cert a --help":           "list --help --cert a",
		"-h list":                                 "list --help",
		"--json -h":                               "--help --json",
		"nonsense --help":                         "-- nonsense",
		"enroll -- --help":                        "enroll -- --help",
		"enroll --password-file --help cert.der":  "enroll --password-file --help -- cert.der",
		"":                                        "",
	} {
		if got := strings.Join(reorder(app, strings.Fields(in)).args, " "); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Commands in groups have flags of their own, and global ones.
func TestReorderGroups(t *testing.T) {
	app := (&session{}).app()
	app.Commands = append(app.Commands, group("group", "", "", &cli.Command{Name: "inner", Flags: []cli.Flag{&cli.StringFlag{Name: "of"}}}))
	for in, want := range map[string]string{
		"group inner a --of b":    "group inner --of b -- a",
		"group --json inner a":    "--json group inner -- a",
		"group a inner":           "group -- a inner",
		"group inner inner":       "group inner -- inner",
		"group -- inner":          "group -- inner",
		"group --of b inner":      "group --of -- b inner",
		"group inner a --help":    "group inner --help",
		"group -h":                "group --help",
		"--root d group inner -q": "--root d -q group inner",
	} {
		o := reorder(app, strings.Fields(in))
		if got := strings.Join(o.args, " "); got != want || !strings.HasPrefix(o.command, "group") {
			t.Errorf("%q becomes %q of %q, want %q", in, got, o.command, want)
		}
	}
}

// Whatever flag a command or the program has, it counts after the arguments too.
func TestEveryFlagAfterArguments(t *testing.T) {
	app := (&session{}).app()
	var each func(path []string, commands []*cli.Command)
	each = func(path []string, commands []*cli.Command) {
		for _, command := range commands {
			path := append(path[:len(path):len(path)], command.Name)
			for _, flag := range append(command.Flags, app.Flags...) {
				for _, name := range flag.Names() {
					word := "--" + name
					if len(name) == 1 {
						word = "-" + name
					}
					words := append(path[:len(path):len(path)], "argument", word)
					if takesValue(flag) {
						words = append(words, "value")
					}
					got := strings.Join(reorder(app, words).args, " ")
					if !strings.HasSuffix(got, " -- argument") || !strings.Contains(" "+got, " "+word) {
						t.Errorf("%v becomes %q", words, got)
					}
				}
			}
			each(path, command.Subcommands)
		}
	}
	each(nil, app.Commands)
}

// Help is shown for every command, wherever it is asked for, and whatever file is named.
func TestHelp(t *testing.T) {
	var each func(above string, commands []*cli.Command)
	each = func(above string, commands []*cli.Command) {
		for _, command := range commands {
			name := above + command.Name
			for _, args := range []string{"%s --help", "%s -h", "%s no-file --help", "%s -h no-file", "-h %s no-file"} {
				got := runOn(t, nil, strings.Fields(strings.ReplaceAll(args, "%s", name))...)
				if got.code != exitYes || got.err != "" || !strings.HasPrefix(got.out, "kkeys "+name+" - ") {
					t.Errorf("%s, %s: exit code %d\n%s%s", name, args, got.code, got.out, got.err)
				}
			}
			each(name+" ", command.Subcommands)
		}
	}
	each("", (&session{}).app().Commands)
	if got := runOn(t, nil, "nonsense", "--help"); got.code != exitUsage || !strings.Contains(got.err, `unknown command "nonsense"`) {
		t.Errorf("help for what is no command: exit code %d, %s", got.code, got.err)
	}
}

// Help and the version are text for people, whatever form is asked for.
func TestHelpAndVersionAreText(t *testing.T) {
	for _, args := range []string{"--help", "--version", "trusted a.der -h"} {
		plain := runOn(t, nil, strings.Fields(args)...)
		if plain.code != exitYes || plain.out == "" {
			t.Errorf("%s: exit code %d, %q", args, plain.code, plain.out)
		}
		for _, form := range []string{"--json", "--quiet", "-q --json"} {
			if got := runOn(t, nil, strings.Fields(form+" "+args)...); got != plain {
				t.Errorf("%s %s: %+v", form, args, got)
			}
		}
	}
}

// JSON and silence must be known even when parsing fails.
func TestReorderKnowsTheForm(t *testing.T) {
	app := (&session{}).app()
	for in, want := range map[string][2]bool{
		"list --json --nonsense": {true, false}, "--quiet list": {false, true}, "-q --json": {true, true}, "list -- --json": {false, false},
		"list --json=false": {false, false}, "enroll --password-file --json": {false, false},
	} {
		o := reorder(app, strings.Fields(in))
		if o.json != want[0] || o.quiet != want[1] {
			t.Errorf("%q: json %v, quiet %v", in, o.json, o.quiet)
		}
	}
}

// A flag whose value is missing is named, and nothing else passes for the value.
func TestMissingValue(t *testing.T) {
	for _, args := range []string{"trusted a.der --hash", "trusted --key", "--root", "list --cert", "enroll a.der --timeout"} {
		got := runOn(t, nil, strings.Fields(args)...)
		if want := args[strings.LastIndex(args, "--"):] + " needs a value"; got.code != exitUsage || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit code %d, %s", args, got.code, got.err)
		}
	}
}
