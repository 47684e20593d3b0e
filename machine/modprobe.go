package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kkeys/kernel"
)

// Rule is a line of modprobe.d (modprobe.d(5)).
type Rule struct {
	File, Text  string
	First, Last int  // the lines of the file that it takes, from 1; a backslash at the end continues one
	Blocks      bool // it keeps the module from being loaded
	Instead     bool // a command is run in its place, of which it is not known that it loads anything
	ByItself    bool // it only keeps it from being loaded for a device that is found

	name  string // the module's, or the alias
	alias string // the module that the name stands for
	loads string // the module that an install command loads, its own install command left out
}

// modprobeFolders are where kmod looks for configuration (libkmod.c, default_config_paths). A file in one hides those of its name in later ones.
var modprobeFolders = []string{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"}

// modprobeRules are the lines of all files of modprobe.d that say how a module is loaded. What cannot be read is an error, beside the lines of the others.
func (m *Machine) modprobeRules() (rules []Rule, err error) {
	var seen []string
	var unread []error
	for _, folder := range modprobeFolders {
		files, err := m.names(folder)
		if err != nil {
			unread = append(unread, fmt.Errorf("/%s: %w", folder, err))
		}
		slices.Sort(files)
		for _, file := range files {
			if !strings.HasSuffix(file, ".conf") || slices.Contains(seen, file) {
				continue
			}
			name := folder + "/" + file
			info, err := fs.Stat(m.Files, m.below(name))
			if errors.Is(err, fs.ErrNotExist) { // a link to nothing hides nothing
				continue
			}
			seen = append(seen, file)
			if err == nil && info.Mode()&fs.ModeCharDevice != 0 { // a link to /dev/null, which hides files of its name
				continue
			}
			text, err := m.read(name, 1<<20)
			if err != nil {
				unread = append(unread, fmt.Errorf("/%s: %w", name, err))
				continue
			}
			rules = append(rules, parseRules("/"+name, string(text))...)
		}
	}
	return rules, errors.Join(unread...)
}

// RuleLines finds the lines of a file of modprobe.d that a rule takes, by the rule's text; 0 where they are not there.
func (m *Machine) RuleLines(file, text string) (first, last int) {
	content, err := m.read(m.below(strings.TrimPrefix(file, "/")), 1<<20)
	if err != nil {
		return 0, 0
	}
	for _, rule := range parseRules(file, string(content)) {
		if rule.Text == text {
			return rule.First, rule.Last
		}
	}
	return 0, 0
}

func parseRules(file, text string) (rules []Rule) {
	joined, first, last := "", 1, 0
	for line := range strings.Lines(text) {
		last++
		if start, continued := strings.CutSuffix(line, "\\\n"); continued {
			joined += start + " "
			continue
		}
		if rule, is := parseRule(joined + line); is {
			rule.File, rule.First, rule.Last = file, first, last
			rules = append(rules, rule)
		}
		joined, first = "", last+1
	}
	if rule, is := parseRule(joined); is { // the file ends with a backslash
		rule.File, rule.First, rule.Last = file, first, last
		rules = append(rules, rule)
	}
	return rules
}

// parseRule reads one line, without backslashes that continue it.
func parseRule(line string) (rule Rule, is bool) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return Rule{}, false
	}
	rule = Rule{Text: strings.TrimSpace(line), name: kernel.ModuleName(words[1])}
	switch words[0] {
	case "blacklist":
		rule.ByItself = true
	case "install":
		command := words[2:]
		if comment := slices.IndexFunc(command, func(w string) bool { return strings.HasPrefix(w, "#") }); comment >= 0 { // the shell's
			command = command[:comment]
		}
		rule.Blocks = len(command) == 1 && slices.Contains([]string{"/bin/true", "/bin/false", "/usr/bin/true", "/usr/bin/false", ":", "true", "false"}, command[0])
		rule.loads = loadedBy(line)
		rule.Instead = !rule.Blocks && rule.loads == "" && !strings.Contains(line, "modprobe") && !strings.Contains(line, "insmod")
	case "alias":
		if len(words) != 3 || strings.ContainsAny(words[1], "*?[:") { // a pattern of devices
			return Rule{}, false
		}
		if rule.alias = kernel.ModuleName(words[2]); rule.alias == rule.name {
			rule.alias = ""
		}
		if words[2] == "off" { // no module has that name: an old way to keep one from being loaded
			rule.Blocks, rule.alias = true, ""
		}
	case "options", "softdep":
	default:
		return Rule{}, false
	}
	return rule, true
}

// loadedBy is the module that an install command loads with `modprobe -i` (--ignore-install): the first that it names so. Debian's for nvidia is
// `install nvidia modprobe -i nvidia-current $CMDLINE_OPTS`. What a shell would have to work out is not guessed.
func loadedBy(command string) string {
	command = strings.NewReplacer(";", " ; ", "&", " & ", "|", " | ").Replace(command)
	running, ignoring := false, false
	for i, word := range strings.Fields(command) {
		switch {
		case i < 2: // install NAME
		case strings.ContainsAny(word, ";&|"):
			running = false
		case path.Base(word) == "modprobe":
			running, ignoring = true, false
		case running && (word == "--ignore-install" || word == "-i" || word == "-qi" || word == "-iq"):
			ignoring = true
		case running && strings.HasPrefix(word, "-"):
		case running && ignoring && !strings.ContainsAny(word, "$`'\"(){}<>"):
			return kernel.ModuleName(word)
		default:
			running = false
		}
	}
	return ""
}

// installs is the module that the first install command among rules loads (kmod goes by the first).
func installs(rules []Rule) string {
	for _, rule := range rules {
		if strings.HasPrefix(rule.Text, "install") {
			return rule.loads
		}
	}
	return ""
}
