package audit

import (
	"fmt"
	"slices"
	"strings"
)

// State is what is known of a module's signature.
type State string

// The states. Unsure: it cannot be told whether a key that counts made the signature.
const (
	Valid      State = "valid"
	Unsigned   State = "unsigned"
	Untrusted  State = "untrusted" // by no key that counts, or in a form that the kernel refuses
	Broken     State = "broken"    // changed after it was signed, damaged, unreadable
	Unverified State = "unverified"
)

// Module is a module's file.
type Module struct {
	Path, Name string
	State      State
	// KeyID and SHA256 are those of the certificate that verified it.
	KeyID, SHA256 string
	Detail        string
}

// Tree are the installed modules of one kernel.
type Tree struct {
	Release string
	Running bool
	Modules []Module
	Err     error // why they could not be looked at, or not all
}

// Loaded is a module in the kernel (/proc/modules).
type Loaded struct {
	Name string
	// Taint has the kernel's letters: O from outside of its tree, E without a trusted signature, F by force.
	Taint string
}

// judge says of a module's file how it stands towards the policy.
func (m Module) judge(f Facts, p Policy) (Result, string) {
	switch m.State {
	case Valid:
		if !p.Restricts() {
			return Pass, ""
		}
		switch p.allowsCertificate(f, "modules", m.KeyID, m.SHA256) {
		case Fail:
			return Fail, "signed by key " + m.KeyID + ", which is not allowed"
		case Unknown:
			return Unknown, "signed by key " + m.KeyID + " of the kernel's image, of which it is not known whether it is a builtin one"
		}
		return Pass, ""
	case Unverified:
		return Unknown, orElse(m.Detail, "it cannot be told whether the key that signed it counts")
	case Unsigned:
		return Fail, "not signed"
	case Untrusted:
		return Fail, orElse(m.Detail, "signed by a key that does not count")
	}
	return Fail, orElse(m.Detail, "damaged")
}

// Counted is how a module stands in the metrics: "trusted", "untrusted", "unsigned", "broken", "unknown".
func (m Module) Counted(f Facts, p Policy) string {
	result, _ := m.judge(f, p)
	switch {
	case result == Pass:
		return "trusted"
	case result == Unknown:
		return "unknown"
	case m.State == Unsigned, m.State == Broken:
		return string(m.State)
	}
	return "untrusted"
}

func installedModules(f Facts, p Policy) outcome {
	if o, no := f.monolithic(); no && len(f.Trees) == 0 {
		return o
	}
	var subjects []Subject
	var well []string
	if _, no := f.monolithic(); !no && !slices.ContainsFunc(f.Trees, func(t Tree) bool { return t.Running }) {
		subjects = append(subjects, Subject{Result: Unknown, Evidence: "which kernel runs is not known"})
	}
	for _, tree := range f.Trees {
		if tree.Err != nil {
			subjects = append(subjects, Subject{Name: tree.Release, Result: Unknown, Evidence: tree.Err.Error()})
		}
		for _, m := range tree.Modules {
			if result, why := m.judge(f, p); result != Pass {
				subjects = append(subjects, Subject{Name: m.Path, Result: result, Evidence: why})
			}
		}
		well = append(well, fmt.Sprintf("%d of %s", len(tree.Modules), tree.Release))
	}
	return of(subjects, "modules, all signed by an allowed key: "+strings.Join(well, ", "))
}

// loadedModules goes by the kernel's own taint of each module, and by the file of its name. Which file it was loaded from, the kernel does not tell:
// where several have the name, the worst counts.
func loadedModules(f Facts, p Policy) outcome {
	if o, no := f.monolithic(); no {
		return o
	}
	if f.LoadedErr != nil {
		return finds(Unknown, "%s", f.LoadedErr)
	}
	files := map[string][]Module{}
	var unread error
	for _, tree := range f.Trees {
		if !tree.Running {
			continue
		}
		unread = tree.Err
		for _, m := range tree.Modules {
			files[m.Name] = append(files[m.Name], m)
		}
	}
	var subjects []Subject
	unseen := 0
	for _, loaded := range f.Loaded {
		result, why := loaded.judge(f, p, files[loaded.Name])
		switch {
		case unread != nil && (result == Pass || result == Unknown && len(files) == 0): // another file of its name may be where nobody looked
			unseen++
		case result != Pass:
			subjects = append(subjects, Subject{Name: loaded.Name, Result: result, Evidence: why})
		}
	}
	if unseen > 0 {
		subjects = append(subjects, Subject{Result: Unknown, Evidence: fmt.Sprintf("not all files of %d loaded modules could be looked at: %s", unseen, unread)})
	}
	return of(subjects, fmt.Sprintf("%d modules are loaded, all signed by an allowed key", len(f.Loaded)))
}

func (l Loaded) judge(f Facts, p Policy, files []Module) (Result, string) {
	switch {
	case strings.Contains(l.Taint, "E"):
		return Fail, "the kernel loaded it without a trusted signature (taint E)"
	case strings.Contains(l.Taint, "F"):
		return Fail, "it was loaded by force (taint F)"
	case len(files) == 0:
		return Unknown, "no file of its name is installed" + outside(l)
	}
	worst, why := Pass, ""
	for _, m := range files {
		if result, reason := m.judge(f, p); worse(worst, result) != worst {
			worst, why = result, m.Path+": "+reason
		}
	}
	return worst, why
}

func outside(l Loaded) string {
	if strings.Contains(l.Taint, "O") {
		return "; it is from outside of the kernel's tree (taint O)"
	}
	return ""
}
