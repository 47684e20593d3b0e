package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kkeys/kernel"
)

// Named is what modprobe has to go by for a module's name.
type Named struct {
	Release string
	Chosen  string       // the file that modprobe loads, by modules.dep; empty when that has none
	Files   []ModuleFile // all of that name, in the order of their paths
	Builtin bool         // it is part of the kernel itself (modules.builtin)
	Rules   []Rule       // of modprobe.d that are about it
}

// Rule is a line of modprobe.d (modprobe.d(5)).
type Rule struct {
	File, Text string
	Blocks     bool // it keeps the module from being loaded
	ByItself   bool // it only keeps it from being loaded for a device that is found
}

// modprobeFolders are where kmod looks for configuration (libkmod.c, default_config_paths). A file in one hides those of its name in later ones.
var modprobeFolders = []string{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"}

// dependenciesMax bounds modules.dep and modules.builtin, in bytes.
const dependenciesMax = 64 << 20

// FindModule looks a module up by its name, for a kernel of a release. Errors are those of [Machine.Modules]; what else cannot be read counts as not
// there.
func (m *Machine) FindModule(release, name string) (*Named, error) {
	files, err := m.Modules(release)
	if err != nil && len(files) == 0 {
		return nil, err
	}
	named := &Named{Release: release}
	for _, file := range files {
		if kernel.ModuleName(file.Path) == name {
			named.Files = append(named.Files, file)
		}
	}
	for _, top := range []string{"lib/modules/" + release, "usr/lib/modules/" + release} {
		if text, err := m.read(top+"/modules.dep", dependenciesMax); err == nil && named.Chosen == "" {
			named.Chosen = dependency(text, "/"+top, name)
		}
		if text, err := m.read(top+"/modules.builtin", dependenciesMax); err == nil {
			named.Builtin = named.Builtin || dependency(text, "/"+top, name) != ""
		}
	}
	named.Rules, err = m.modprobeRules(name)
	return named, err
}

// dependency finds the file of a module in modules.dep (`path: paths it needs`) or modules.builtin (paths).
func dependency(text []byte, top, name string) string {
	for line := range bytes.Lines(text) {
		file, _, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		if kernel.ModuleName(file) != name {
			continue
		}
		if path.IsAbs(file) {
			return file
		}
		return top + "/" + file
	}
	return ""
}

// modprobeRules are the lines about a module in the files of modprobe.d.
func (m *Machine) modprobeRules(name string) (rules []Rule, err error) {
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
			rules = append(rules, parseRules("/"+folder+"/"+file, string(text), name)...)
		}
	}
	return rules, nil
}

func parseRules(file, text, name string) (rules []Rule) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.HasPrefix(words[0], "#") || kernel.ModuleName(words[1]) != name {
			continue
		}
		rule := Rule{File: file, Text: strings.TrimSpace(line)}
		switch words[0] {
		case "blacklist":
			rule.ByItself = true
		case "install":
			rule.Blocks = slices.Contains([]string{"/bin/true", "/bin/false", "/usr/bin/true", "/usr/bin/false", ":", "true", "false"}, words[len(words)-1])
		case "options", "softdep":
		default:
			continue
		}
		rules = append(rules, rule)
	}
	return rules
}

// Free tells whether nothing is at a path, for sure.
func (m *Machine) Free(name string) bool {
	_, err := fs.Stat(m.Files, m.below(name))
	return errors.Is(err, fs.ErrNotExist)
}

// HasFolder tells whether a folder is there.
func (m *Machine) HasFolder(name string) bool {
	info, err := fs.Stat(m.Files, m.below(name))
	return err == nil && info.IsDir()
}
