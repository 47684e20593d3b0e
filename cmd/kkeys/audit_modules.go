package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"kkeys/audit"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/machine"
)

// auditModules verifies the installed modules as `verify --all` does, when a check asks for that, and gives the certificates that it found for it.
func (s *session) auditModules(f *audit.Facts, a auditing, e *envelope) (found []machine.Found) {
	if !a.wants(audit.LoadedID) && !a.wants(audit.InstalledID) {
		return nil
	}
	loaded, err := kernel.ReadLoaded(s.machine.Files)
	if err != nil {
		f.LoadedErr = fmt.Errorf("which modules are loaded: %w", err)
		if s.recording && errors.Is(err, fs.ErrNotExist) {
			f.LoadedErr = errors.New("which modules are loaded was not recorded")
		}
	}
	if err == nil {
		f.Loaded = []audit.Loaded{} // none is known too
	}
	for _, l := range loaded {
		f.Loaded = append(f.Loaded, audit.Loaded(l))
	}
	var releases []string
	if f.Modular.Answer != evidence.No && f.Kernel.Release != "" {
		releases = []string{f.Kernel.Release}
	}
	for _, release := range a.kernels {
		if !slices.Contains(releases, release) {
			releases = append(releases, release)
		}
	}
	return s.auditTrees(f, releases, e)
}

// wants tells whether a check is made, be it that the drift is compared with what it said.
func (a auditing) wants(id string) bool {
	if a.policy.Off(id) {
		return false
	}
	if len(a.only) == 0 || slices.Contains(a.only, id) {
		return true
	}
	if a.baseline == nil || a.policy.Off(audit.DriftID) || !slices.Contains(a.only, audit.DriftID) {
		return false
	}
	_, compared := a.baseline.Checks[id]
	return compared
}

// auditTrees verifies the modules of these kernels, and gives the certificates of the running one.
func (s *session) auditTrees(f *audit.Facts, releases []string, e *envelope) (found []machine.Found) {
	for _, release := range releases {
		tree, certificates := s.auditTree(release)
		tree.Running = release == f.Kernel.Release
		if found == nil && tree.Running {
			found = certificates
		}
		f.Trees = append(f.Trees, tree)
		if tree.Err != nil {
			e.missing("modules of "+release, tree.Err)
		}
	}
	return found
}

var errNotRecorded = errors.New("a recording holds no files of modules")

// auditTree verifies the modules of one kernel.
func (s *session) auditTree(release string) (tree audit.Tree, found []machine.Found) {
	tree = audit.Tree{Release: release}
	if s.recording {
		tree.Err = errNotRecorded
		return tree, nil
	}
	document := &verifyDocument{}
	v := &verifiers{session: s, release: release, ofKernel: true, wide: true, lacks: map[string]error{}}
	err := v.verify(nil, document, func(processors turns) ([]signature, error) { return s.allOf(release, processors, document) })
	if err != nil {
		tree.Err = err
		return tree, nil
	}
	for _, n := range document.NotSeen { // folders that could not be read; of keys, each result tells
		if n.Source == "modules" {
			tree.Err = errors.New(n.Reason)
		}
	}
	if len(document.Modules) == 0 && tree.Err == nil {
		tree.Err = errNoModule
	}
	tree.Modules = make([]audit.Module, len(document.Modules))
	for i, d := range document.Modules {
		tree.Modules[i] = d.audited(v)
	}
	return tree, v.found
}

// states are what verify's results are for an audit.
var states = map[string]audit.State{
	"valid": audit.Valid, "unsigned": audit.Unsigned, "unknown-key": audit.Untrusted, "invalid": audit.Broken, "altered": audit.Broken, "malformed": audit.Broken,
	"refused": audit.Untrusted, "unsupported": audit.Unverified, "unreadable": audit.Unverified,
}

// audited is a module's result. A key that is not known may be one that the kernel has, where not all of its keys were seen; and one that is known may be
// in a keyring that the kernel does not ask.
func (d verifiedDocument) audited(v *verifiers) audit.Module {
	m := audit.Module{Path: d.Path, Name: kernel.ModuleName(d.Path), State: states[d.Result]}
	if d.Detail != nil {
		m.Detail = *d.Detail
	}
	switch d.Result {
	case "invalid":
		m.Detail = "changed after it was signed, or signed by another key of that name"
	case "unknown-key":
		m.Detail = "signed by a key that was not found"
		if d.Signer != nil {
			m.Detail += ": " + d.Signer.String()
		}
		if !v.all {
			m.State = audit.Unverified
		}
	}
	if d.SignedBy != nil {
		m.KeyID, m.SHA256 = d.SignedBy.KeyID, d.SignedBy.SHA256
		if m.State == audit.Valid && v.unsure(m.SHA256) {
			m.State, m.Detail = audit.Unverified, "signed by key "+m.KeyID+", of which it is not known whether the kernel asks its keyring"
		}
	}
	return m
}

// unsure tells of a certificate that it is in no keyring which is known to be consulted.
func (v *verifiers) unsure(sha256 string) bool {
	for c, details := range v.details {
		if details.SHA256 == sha256 {
			sure, inKeyring := v.sure[string(c.Raw)]
			return inKeyring && !sure
		}
	}
	return false
}
