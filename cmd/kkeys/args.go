package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// ordered is a command line in the order that the flag package understands: global flags, command, its flags, "--", arguments.
type ordered struct {
	args        []string
	command     string // with its group, as in "mok list"; "" when none was given
	json, quiet bool   // known before parsing, so that a usage error can be reported in the form that was asked for
	lacks       string // a last flag whose value is missing; "--" would pass for it
}

// reorder moves flags before arguments, because the flag package stops at the first argument and would silently drop what follows:
// `kkeys enroll cert.der --dry-run` must not enroll. Global flags may stand anywhere. What follows "--" is argument, and so is a number below zero. Unknown flags
// stay flags, so that parsing refuses them. Where help is asked for, arguments do not matter, which the package would take for topics of it; a word
// that is no command stays one.
func reorder(app *cli.App, args []string) ordered {
	var o ordered
	var path, global, flags, rest []string
	known, commands, help := app.Flags, app.Commands, false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if single := apart(known, arg); path != nil && len(single) > 1 {
			args = slices.Concat(args[:i], single, args[i+1:])
			arg = args[i]
		}
		switch {
		case arg == "--" && path == nil:
			rest = append(rest, arg) // no argument can stand before a command
			i = len(args)
		case arg == "--":
			rest = append(rest, args[i+1:]...)
			i = len(args)
		case len(arg) < 2 || arg[0] != '-' || negative(arg):
			at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(arg) })
			if at < 0 || len(rest) > 0 {
				rest = append(rest, arg)
				break
			}
			command := commands[at]
			path, known, commands = append(path, command.Name), append(command.Flags, app.Flags...), command.Subcommands
		case slices.Contains(cli.HelpFlag.Names(), strings.TrimLeft(arg, "-")):
			help = true
		default:
			words := args[i : i+1]
			flag, inline := lookup(known, arg)
			switch {
			case !takesValue(flag) || inline:
			case i+1 == len(args):
				o.lacks = arg
			default:
				words = args[i : i+2]
				i++
			}
			if slices.Contains(app.Flags, flag) || path == nil {
				global = append(global, words...)
			} else {
				flags = append(flags, words...)
			}
			o.json = o.json || isSet(flag, "json", arg)
			o.quiet = o.quiet || isSet(flag, "quiet", arg)
		}
	}
	switch {
	case help && path != nil:
		flags, rest = append([]string{"--help"}, flags...), nil
	case help && len(rest) == 0:
		global = append([]string{"--help"}, global...)
	}
	o.command = strings.Join(path, " ")
	o.args = slices.Concat(global, path, flags)
	if len(rest) > 0 {
		o.args = append(append(o.args, "--"), rest...)
	}
	return o
}

// negative tells a number below zero, which no flag is named like.
func negative(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && strings.Trim(arg[1:], "0123456789") == ""
}

// apart takes switches of one letter apart that stand in one word, as in `sign-file -dp`; nil when they are none.
func apart(known []cli.Flag, arg string) (single []string) {
	if len(arg) < 3 || arg[0] != '-' || arg[1] == '-' {
		return nil
	}
	for _, letter := range arg[1:] {
		flag, _ := lookup(known, string(letter))
		if flag == nil || takesValue(flag) {
			return nil
		}
		single = append(single, "-"+string(letter))
	}
	return single
}

// lookup finds the flag that an argument names, and whether its value stands in the same word.
func lookup(flags []cli.Flag, arg string) (cli.Flag, bool) {
	name, _, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	for _, flag := range flags {
		if slices.Contains(flag.Names(), name) {
			return flag, inline
		}
	}
	return nil, inline
}

func takesValue(flag cli.Flag) bool {
	_, boolean := flag.(*cli.BoolFlag)
	return flag != nil && !boolean
}

// isSet tells whether arg switches the flag of that name on.
func isSet(flag cli.Flag, name, arg string) bool {
	if flag == nil || flag.Names()[0] != name {
		return false
	}
	_, value, inline := strings.Cut(arg, "=")
	on, err := strconv.ParseBool(value)
	return !inline || on || err != nil
}
