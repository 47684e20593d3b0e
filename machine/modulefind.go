package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"kkeys/kernel"
)

// Named is what modprobe has to go by for a module's name.
type Named struct {
	Alias   string       // the module that the name stands for, where that is another one; Chosen, Files and Builtin are that one's
	Chosen  string       // the file that modprobe loads, by modules.dep; empty when that has none
	Files   []ModuleFile // all of that name, in the order of their paths
	Builtin bool         // it is part of the kernel itself (modules.builtin)
	Rules   []Rule       // of modprobe.d that are about it
	// Unlisted: modules.dep was read, so that what it does not name modprobe does not find; Absent: all that could have the name was looked through.
	Unlisted, Absent bool
}

// ModuleTree is what modprobe has to go by for the modules of one release, read once for any number of names.
type ModuleTree struct {
	files   map[string][]ModuleFile
	chosen  map[string]string // modules.dep
	builtin map[string]string // modules.builtin
	aliases map[string]string // modules.alias: plain names only
	rules   []Rule            // of modprobe.d, about any module
	listed  bool              // modules.dep was read
	whole   bool              // all else was: no file of a name, none in modules.builtin, is none
}

// dependenciesMax bounds modules.dep, modules.alias and modules.builtin, in bytes.
const dependenciesMax = 64 << 20

// ModuleTree lists the modules of a kernel's release, to look names up in it. What could not be read is an error beside a tree without it; no tree where
// [Machine.Modules] found nothing.
func (m *Machine) ModuleTree(release string) (*ModuleTree, error) {
	files, err := m.Modules(release)
	if err != nil && len(files) == 0 {
		return nil, err
	}
	t := &ModuleTree{files: map[string][]ModuleFile{}, chosen: map[string]string{}, builtin: map[string]string{}, aliases: map[string]string{}, whole: err == nil}
	for _, file := range files {
		name := kernel.ModuleName(file.Path)
		t.files[name] = append(t.files[name], file)
	}
	unread := []error{err}
	take := func(top, file string, into func(text []byte)) bool {
		text, err := m.read(top+"/"+file, dependenciesMax)
		switch {
		case err == nil:
			into(text)
		case !errors.Is(err, fs.ErrNotExist):
			unread, t.whole = append(unread, fmt.Errorf("/%s/%s: %w", top, file, err)), false
		}
		return err == nil
	}
	for _, top := range []string{"lib/modules/" + release, "usr/lib/modules/" + release} {
		if take(top, "modules.dep", func(text []byte) { dependencies(text, "/"+top, t.chosen) }) {
			t.listed = true
		}
		take(top, "modules.builtin", func(text []byte) { dependencies(text, "/"+top, t.builtin) })
		take(top, "modules.alias", func(text []byte) { aliases(text, t.aliases) })
	}
	if !t.listed && t.whole { // modprobe itself goes by the other one, which depmod writes along with it
		t.listed = !m.HasFile("lib/modules/"+release+"/modules.dep.bin") && !m.HasFile("usr/lib/modules/"+release+"/modules.dep.bin")
	}
	t.rules, err = m.modprobeRules()
	return t, errors.Join(append(unread, err)...)
}

// dependencies reads modules.dep (`path: paths it needs`) or modules.builtin (paths); the first of a name counts.
func dependencies(text []byte, top string, into map[string]string) {
	for line := range bytes.Lines(text) {
		file, _, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		name := kernel.ModuleName(file)
		if _, had := into[name]; had || name == "" {
			continue
		}
		if !path.IsAbs(file) {
			file = top + "/" + file
		}
		into[name] = file
	}
}

// aliases reads modules.alias (`alias NAME MODULE`). Most are patterns of devices, which nobody asks for by name.
func aliases(text []byte, into map[string]string) {
	for line := range bytes.Lines(text) {
		if bytes.ContainsAny(line, "*?[:") {
			continue
		}
		if words := strings.Fields(string(line)); len(words) == 3 && words[0] == "alias" {
			if name := kernel.ModuleName(words[1]); into[name] == "" {
				into[name] = kernel.ModuleName(words[2])
			}
		}
	}
}

// Find looks a module up by its name, with dashes or underscores, the way of kmod (libkmod-module.c, kmod_module_new_from_lookup): aliases of modprobe.d,
// modules.dep, install commands, modules.alias, modules.builtin; the first that has the name counts, and what an alias names is no alias again. A file
// of that name goes before modules.alias even where modules.dep lacks it. An install command that runs `modprobe -i OTHER` loads the other one, of which
// no install command counts.
func (t *ModuleTree) Find(name string) *Named {
	name = kernel.ModuleName(name)
	named := &Named{}
	real, aliased := t.lookup(name)
	named.Rules = t.about(real, aliased, false)
	if other := installs(named.Rules); other != "" && other != real {
		real, aliased = t.lookup(other)
		named.Rules = append(named.Rules, t.about(real, aliased, true)...)
	}
	if real != name {
		named.Alias = real
	}
	named.Files, named.Chosen = t.files[real], t.chosen[real]
	named.Builtin = t.builtin[real] != ""
	named.Unlisted, named.Absent = t.listed && named.Chosen == "", t.whole && len(named.Files) == 0 && !named.Builtin
	return named
}

// lookup gives the module that a name stands for, and whether an alias led to it.
func (t *ModuleTree) lookup(name string) (real string, aliased bool) {
	installed := false
	for _, rule := range t.rules {
		if rule.name == name && rule.alias != "" {
			return rule.alias, true
		}
		installed = installed || rule.name == name && strings.HasPrefix(rule.Text, "install")
	}
	if real, is := t.aliases[name]; is && real != "" && t.chosen[name] == "" && len(t.files[name]) == 0 && !installed {
		return real, true
	}
	return name, false
}

// about are the rules of modprobe.d about a module. To what an alias led, modprobe applies blacklist too (tools/modprobe.c,
// KMOD_PROBE_APPLY_BLACKLIST_ALIAS_ONLY); install commands do not count for a module that one loads itself.
func (t *ModuleTree) about(name string, aliased, installed bool) (rules []Rule) {
	for _, rule := range t.rules {
		if rule.name != name || rule.alias != "" || installed && strings.HasPrefix(rule.Text, "install") {
			continue
		}
		if aliased && rule.ByItself {
			rule.Blocks, rule.ByItself = true, false
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

// HasFile tells whether a file is there.
func (m *Machine) HasFile(name string) bool {
	info, err := fs.Stat(m.Files, m.below(name))
	return err == nil && info.Mode().IsRegular()
}
