package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// follow records what is found by following: the boot entries to the programs on the EFI system partition, the places of certificates,
// the image of the running kernel. The same code that will read the snapshot is let loose on the machine, and what it looked at is what
// is recorded, links and failures too.
func (r *Recording) follow(m *Machine) {
	r.partitions(m)
	r.mounts(m)
	r.watch(m, func(m *Machine) { m.NextBoot(); m.VendorCertificates() }, func(name string) {
		r.take(m.Files, bootProgram(name))
	})
	told := map[string]bool{}
	r.watch(m, func(m *Machine) {
		_, unseen := m.fileCertificates()
		for _, n := range unseen {
			told[n.Source] = true
		}
	}, func(name string) { r.certificateFile(m.Files, name, told["/"+name]) })
	r.watch(m, func(m *Machine) {
		if r.manifest.Release == "" {
			return
		}
		for _, image := range m.existing(runningImages(r.manifest.Release)) {
			if r.take(m.Files, item{path: image[1:], keep: keepReduced, reduce: reduceImage, why: whyImage}) {
				break
			}
		}
	}, func(string) {})
	r.watch(m, func(m *Machine) {
		keys, _ := m.KeyFiles() // what could not be seen is noted by watching
		for _, k := range keys {
			r.leaveOut(leftOut{Path: k.Path[1:], Mode: fmt.Sprintf("%04o", k.Mode.Perm())})
		}
	}, func(string) {})
}

// certificateFile records a file at one of the places. Where the place is a guess, what is no certificate is no gap either.
func (r *Recording) certificateFile(files fs.FS, name string, told bool) {
	i := item{path: name, keep: keepReduced, reduce: reduceCertificates, why: whyCertificates}
	if name == dkmsFile || strings.HasPrefix(name, dkmsFile+".d/") {
		i.reduce, i.why = reduceDKMS, whyDKMS
	}
	before := len(r.manifest.NotSeen)
	if !r.take(files, i) && !told && len(r.manifest.NotSeen) > before {
		r.manifest.NotSeen = r.manifest.NotSeen[:before]
		r.leaveOut(leftOut{Path: name})
	}
}

// watch runs something on the machine and records the links and folders on its way, and what could not be seen; file is called for each
// file that was opened.
func (r *Recording) watch(m *Machine, run func(*Machine), file func(name string)) {
	w := &witness{root: m.Files, failed: map[string]error{}, links: map[string]string{}, folders: map[string]error{}, files: map[string]bool{}}
	watched := *m
	watched.Files = w
	run(&watched)
	for name, target := range w.links {
		r.add(entry{path: name, kind: fs.ModeSymlink, link: target}, whyLink)
	}
	for _, name := range slices.Sorted(maps.Keys(w.folders)) {
		r.add(entry{path: name, kind: fs.ModeDir}, whyFolder)
		if err := w.folders[name]; err != nil {
			r.unreadable(name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.failed)) {
		r.unreadable(name, w.failed[name])
	}
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		file(name)
	}
}

const (
	whyLink   = "links on the way"
	whyFolder = "folders on the way"
)

// witness is a root folder that notes what is looked at. What does not exist is not noted: it will not exist in the snapshot either. Nor
// is what the tables name: proc, sys and dev.
type witness struct {
	root    fs.FS
	failed  map[string]error  // what is there and cannot be reached
	links   map[string]string // absolute links, which lead elsewhere below the root
	folders map[string]error  // that were looked at or listed
	files   map[string]bool   // that were opened
}

func (w *witness) note(name string, err error, seen func()) {
	top, _, _ := strings.Cut(name, "/")
	switch {
	case top == "proc" || top == "sys" || top == "dev" || name == "." || !fs.ValidPath(name) || errors.Is(err, fs.ErrNotExist):
	case err != nil:
		w.failed[name] = err
	default:
		seen()
	}
}

// Open implements fs.FS.
func (w *witness) Open(name string) (fs.File, error) {
	file, err := w.root.Open(name)
	w.note(name, err, func() { w.files[name] = true })
	return file, err
}

// ReadDir implements fs.ReadDirFS.
func (w *witness) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return entries, err
	}
	w.note(name, nil, func() { w.folders[name] = err })
	return entries, err
}

// Stat implements fs.StatFS.
func (w *witness) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(w.root, name)
	w.note(name, err, func() {
		if _, listed := w.folders[name]; info.IsDir() && !listed {
			w.folders[name] = nil
		}
	})
	return info, err
}

// ReadLink implements fs.ReadLinkFS.
func (w *witness) ReadLink(name string) (string, error) {
	target, err := fs.ReadLink(w.root, name)
	if err == nil && path.IsAbs(target) {
		w.note(name, nil, func() { w.links[name] = target })
	}
	return target, err
}

// Lstat implements fs.ReadLinkFS.
func (w *witness) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(w.root, name) }

// partitions records the links that name GPT partitions.
func (r *Recording) partitions(m *Machine) {
	const folder = "dev/disk/by-partuuid"
	names, err := m.names(folder)
	if err != nil {
		r.unreadable(folder, err)
	}
	for _, name := range names {
		if target, err := fs.ReadLink(m.Files, path.Join(folder, name)); err == nil {
			r.add(entry{path: path.Join(folder, name), kind: fs.ModeSymlink, link: target}, whyBoot)
		}
	}
}

// mounts keeps those lines of the mounts that a boot entry may lead to: FAT file systems, and partitions that an entry names. The
// others may name servers, users and this host.
func (r *Recording) mounts(m *Machine) {
	const name = "proc/self/mountinfo"
	file, err := m.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var data []byte
	if err == nil {
		data, err = readAll(file)
		_ = file.Close()
	}
	if err != nil {
		r.unreadable(name, err)
		return
	}
	named := map[string]bool{}
	candidates, _ := m.candidates() // without them there is nothing to follow
	for _, c := range candidates {
		if id, ok := c.option.Partition(); ok {
			if target, err := fs.ReadLink(m.Files, "dev/disk/by-partuuid/"+id.String()); err == nil {
				named["/dev/"+path.Base(target)] = true
			}
		}
	}
	var kept strings.Builder
	for line := range strings.Lines(string(data)) {
		mounts, err := parseMounts(strings.NewReader(line))
		if err == nil && len(mounts) == 1 && (named[mounts[0].source] || mounts[0].kind == "vfat" && m.hasEFI(mounts[0].dir)) {
			kept.WriteString(line)
		}
	}
	r.add(entry{path: name, data: []byte(kept.String())}, whyBoot)
}

// hasEFI tells whether a folder looks like that of an EFI system partition.
func (m *Machine) hasEFI(dir string) bool {
	_, err := m.find(dir, "EFI")
	return err == nil
}

// untangle brings everything under its real path: what was reached through a recorded link is moved to where the link leads, links that
// lead to nothing recorded are dropped (they may name people's folders), and of gaps below each other the upper one stays.
func (r *Recording) untangle() {
	links := map[string]string{}
	for name, e := range r.entries {
		if e.kind == fs.ModeSymlink && path.IsAbs(e.link) {
			links[name] = e.link
		}
	}
	entries, why := map[string]entry{}, map[string]string{}
	for name, e := range r.entries {
		e.path = realPath(links, name)
		if had, there := entries[e.path]; !there || had.kind != 0 && e.kind == 0 {
			entries[e.path], why[e.path] = e, r.why[name]
		}
	}
	for name, target := range links {
		below := realPath(links, path.Join(".", target))
		used := func(other string) bool { return other == below || strings.HasPrefix(other, below+"/") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(entries)), func(other string) bool { return used(other) && entries[other].kind == 0 }) {
			delete(entries, name)
		}
	}
	r.entries, r.why = entries, why
	// What a gap or something left out says must not contradict what was recorded, or another above it.
	taken := map[string]bool{}
	free := func(name string) bool {
		if e, recorded := entries[name]; name == "" || taken[name] || recorded && e.kind != fs.ModeDir {
			return false
		}
		for up := path.Dir(name); up != "."; up = path.Dir(up) {
			if e, folder := entries[up]; (taken[up] || folder) && (!folder || e.kind != fs.ModeDir) {
				return false
			}
		}
		taken[name] = true
		return true
	}
	gaps := r.manifest.NotSeen
	slices.SortStableFunc(gaps, func(a, b gap) int { return strings.Compare(a.Path, b.Path) })
	for i := range gaps {
		if gaps[i].Path = realPath(links, gaps[i].Path); !free(gaps[i].Path) {
			gaps[i].Path = ""
		}
	}
	left := []leftOut{}
	for _, l := range r.manifest.LeftOut {
		if l.Path = realPath(links, l.Path); free(l.Path) {
			left = append(left, l)
		}
	}
	r.manifest.LeftOut = left
}

// realPath follows the links that a path leads through, not one at its end.
func realPath(links map[string]string, name string) string {
	for range hopsMax {
		moved := false
		for at, c := range name {
			if target, ok := links[name[:at]]; c == '/' && ok {
				name, moved = path.Join(".", target, name[at:]), true
				break
			}
		}
		if !moved {
			break
		}
	}
	return name
}
