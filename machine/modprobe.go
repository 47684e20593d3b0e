package machine

import (
	"fmt"
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
	ByItself    bool // it only keeps it from being loaded for a device that is found

	name  string // the module's, or the alias
	alias string // the module that the name stands for
	loads string // the module that an install command loads, its own install command left out
}

// modprobeFolders are where kmod looks for configuration (libkmod.c, default_config_paths). A file in one hides those of its name in later ones.
var modprobeFolders = []string{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"}

// modprobeRules are the lines of all files of modprobe.d that say how a module is loaded. A file that cannot be read is an error, beside the lines of those
// before it.
func (m *Machine) modprobeRules() (rules []Rule, err error) {
	var seen []string
	for _, folder := range modprobeFolders {
		files, err := m.names(folder)
		if err != nil {
			continue
		}
		slices.Sort(files)
		for _, file := range files {
			if !strings.HasSuffix(file, ".conf") || slices.Contains(seen, file) {
				continue
			}
			seen = append(seen, file)
			text, err := m.read(folder+"/"+file, 1<<20)
			if err != nil {
				return rules, fmt.Errorf("/%s/%s: %w", folder, file, err)
			}
			rules = append(rules, parseRules("/"+folder+"/"+file, string(text))...)
		}
	}
	return rules, nil
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
		rule.Blocks = slices.Contains([]string{"/bin/true", "/bin/false", "/usr/bin/true", "/usr/bin/false", ":", "true", "false"}, words[len(words)-1])
		rule.loads = loadedBy(line)
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
