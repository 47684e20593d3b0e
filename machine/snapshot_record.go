package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/keyring"
)

// Recorder says who records, when, and what is asked.
type Recorder struct {
	Version string    // of kkeys
	Time    time.Time // is kept in UTC, in whole seconds
	// Questions gives what the kernel is asked about every certificate found, by the keyrings that can be seen: see [keyring.Take].
	Questions func([]keyring.Ring) []keyring.Restriction
	// Prove is the hash, by the kernel's name, with which load probes are made for every certificate found; empty: none are made.
	Prove string
}

// Recording is a machine written down, ready to be saved.
type Recording struct {
	manifest manifest
	entries  map[string]entry
	why      map[string]string // of an entry
}

// Kept is one file of a recording.
type Kept struct {
	Path string // absolute, as on the machine
	Size int    // bytes
	Why  string
}

// recordMax bounds a file that is recorded, in bytes; the largest of the table is a kernel configuration, others are EFI programs. Kernel
// images are read as a stream and have bounds of their own.
const recordMax = 32 << 20

// Record writes the machine down: the files in items, the EFI variables in variableTable, what following the boot entries and the places
// of certificates leads to, the keyrings, and what the kernel answers about every certificate found, load probes included if they are
// asked for. It changes nothing and opens no file of a private key. What cannot be read is noted and never fatal; the error is of a machine whose parts contradict each other.
func (m *Machine) Record(by Recorder) (*Recording, error) {
	r := &Recording{entries: map[string]entry{}, why: map[string]string{}}
	r.manifest = manifest{Kkeys: by.Version, Time: by.Time.UTC().Truncate(time.Second), NotSeen: []gap{}, LeftOut: []leftOut{}}
	release, err := m.release()
	if err != nil {
		r.missing("/proc/sys/kernel/osrelease", "", err)
	}
	r.manifest.Release = release
	for _, i := range items {
		if release != "" || !strings.Contains(i.path, "RELEASE") {
			i.path = strings.ReplaceAll(i.path, "RELEASE", release)
			r.take(m.Files, i)
		}
	}
	r.shimTable(m.Files)
	r.variables(m.Variables)
	if m.EFI() == evidence.Unknown {
		r.manifest.NoVariables.Word = wordEFIUnseen
		r.missing("EFI", "", ErrEFIUnseen)
	}
	r.follow(m)
	r.untangle()
	copied, err := recordedMachine(r.manifest, r.sorted())
	if err != nil {
		return nil, err
	}
	// What the recording shows is what can be asked about later.
	found, _ := copied.Certificates()
	builtin, _ := copied.KernelCertificates()
	var all []*certs.Certificate
	for _, f := range slices.Concat(found, builtin) {
		all = append(all, f.Certificate)
	}
	taken := keyring.Take(m.Keyrings, all, by.Questions)
	r.manifest.Record = taken.Record()
	if taken.Err != nil {
		r.missing("keyrings", "", taken.Err)
	}
	for _, asked := range taken.Asked {
		if asked.Err != nil {
			r.missing("the kernel's answers about certificates", "", asked.Err)
			break
		}
	}
	if by.Prove != "" {
		r.prove(m, all, by.Prove)
	}
	return r, nil
}

// Files are what was recorded, by path.
func (r *Recording) Files() []Kept {
	var kept []Kept
	for _, e := range r.sorted() {
		kept = append(kept, Kept{"/" + e.path, len(e.data), r.why[e.path]})
	}
	return kept
}

// NotSeen are the sources that could not be read.
func (r *Recording) NotSeen() []NotSeen {
	var all []NotSeen
	for _, g := range r.manifest.NotSeen {
		all = append(all, NotSeen{g.Source, errors.New(g.Reason)})
	}
	return all
}

// LeftOut are absolute paths of what is there and was not looked into: private keys, and EFI variables that no command reads.
func (r *Recording) LeftOut() []string {
	var all []string
	for _, l := range r.manifest.LeftOut {
		all = append(all, "/"+l.Path)
	}
	return all
}

// Keyrings counts the recorded ones.
func (r *Recording) Keyrings() int { return len(r.manifest.Record.Keyrings) }

// Inquiries counts the certificates that the kernel was asked about.
func (r *Recording) Inquiries() int { return len(r.manifest.Inquiries) }

// Probed counts the names of keys for which load probes were made; a certificate has one or two. nil: none were asked for.
func (r *Recording) Probed() *int {
	n := 0
	switch {
	case r.manifest.Probes != nil:
		n = len(r.manifest.Probes.Signers)
	case r.manifest.NoProbes == "":
		return nil
	}
	return &n
}

// Release is that of the kernel; empty when it could not be read.
func (r *Recording) Release() string { return r.manifest.Release }

// Time is when it was recorded.
func (r *Recording) Time() time.Time { return r.manifest.Time }

func (r *Recording) sorted() []entry {
	all := make([]entry, 0, len(r.entries))
	for _, e := range r.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return all
}

// missing notes a gap, with a path if looking there later shall give that error.
func (r *Recording) missing(source, path string, err error) {
	g := gap{Source: source, Path: path, outcome: outcomeOf(err)}
	if !slices.ContainsFunc(r.manifest.NotSeen, func(had gap) bool { return had.Source == source && had.Path == path }) {
		r.manifest.NotSeen = append(r.manifest.NotSeen, g)
	}
}

func (r *Recording) unreadable(name string, err error) { r.missing("/"+name, name, err) }

func (r *Recording) leaveOut(l leftOut) {
	if goodPath(l.Path) {
		r.manifest.LeftOut = append(r.manifest.LeftOut, l)
	}
}

func (r *Recording) add(e entry, why string) {
	if !goodPath(e.path) {
		r.missing("/"+e.path, "", errors.New("a path that a snapshot cannot hold"))
	} else if _, there := r.entries[e.path]; !there {
		r.entries[e.path], r.why[e.path] = e, why
	}
}

// take records one file and reports whether it could be.
func (r *Recording) take(files fs.FS, i item) bool {
	info, err := fs.Stat(files, i.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		r.unreadable(i.path, err)
		return false
	case i.keep == keepPresence:
		r.add(entry{path: i.path, kind: info.Mode().Type() & fs.ModeDir}, i.why)
		return true
	}
	data, err := content(files, info, i)
	if err == nil {
		err = checkPublic(data)
	} else if errors.Is(err, fs.ErrPermission) && info.Mode().Perm()&0o444 == 0 && strings.HasPrefix(i.path, "sys/") {
		// A file of the kernel's that is there to be written and that nobody can read: seeing more than that it is there is not to be had.
		r.leaveOut(leftOut{Path: i.path, Mode: fmt.Sprintf("%04o", info.Mode().Perm())})
		return false
	}
	if err != nil {
		r.unreadable(i.path, err)
		return false
	}
	r.add(entry{path: i.path, data: data}, i.why)
	return true
}

// content is what is kept of a file.
func content(files fs.FS, info fs.FileInfo, i item) ([]byte, error) {
	if !info.Mode().IsRegular() { // a pipe would keep its reader waiting
		return nil, fmt.Errorf("/%s is no file: %w", i.path, fs.ErrInvalid)
	}
	file, err := files.Open(i.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if i.keep == keepReduced {
		return i.reduce(file)
	}
	return readAll(file)
}

// readAll reads at most recordMax bytes.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, recordMax+1))
	if err == nil && len(data) > recordMax {
		return nil, fmt.Errorf("more than %d bytes", recordMax)
	}
	return data, err
}

// shimTable records shim's table. Its files are 0400, and even root gets nothing of them without CAP_SYS_ADMIN: then they give fewer
// bytes than they have.
func (r *Recording) shimTable(files fs.FS) {
	info, err := fs.Stat(files, efivars.TableDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err == nil && !info.IsDir(): // a pipe would keep its reader waiting; that there is no table shows in the snapshot too
		r.add(entry{path: efivars.TableDir}, whyShim)
		return
	}
	r.add(entry{path: efivars.TableDir, kind: fs.ModeDir}, whyShim)
	entries, err := fs.ReadDir(files, efivars.TableDir)
	if err != nil {
		r.unreadable(efivars.TableDir, err)
		return
	}
	for _, e := range entries {
		name := efivars.TableDir + "/" + e.Name()
		v, wanted := recordedVariable(efivars.Name{Vendor: efivars.Shim, Name: e.Name()})
		if !wanted {
			r.leaveOut(leftOut{Path: name})
			continue
		}
		info, err := fs.Stat(files, name)
		var data []byte
		if err == nil {
			data, err = content(files, info, item{path: name})
		}
		if err == nil && (len(data) == 0 || int64(len(data)) < info.Size()) {
			o := outcome{wordHidden, fmt.Sprintf("%d of %d bytes", len(data), info.Size())}
			r.manifest.NotSeen = append(r.manifest.NotSeen, gap{Source: "/" + name, Path: name, outcome: o, Size: info.Size()})
			continue
		}
		if err == nil && v.reduce != nil {
			data = v.reduce(data)
		}
		r.variable(name, v.why, data, err)
	}
}

// variables records the EFI variables of the store, each as a file of efivarfs has it.
func (r *Recording) variables(store efivars.Store) {
	names, err := store.List()
	if err != nil {
		o := outcomeOf(err)
		r.manifest.NoVariables = &o
		if !errors.Is(err, efivars.ErrNotSupported) {
			r.missing("EFI variables", "", err)
		}
		return
	}
	r.add(entry{path: efivars.DefaultDir, kind: fs.ModeDir}, whyFirmware)
	if s, err := store.Space(); err != nil {
		r.missing("free space for EFI variables", "", err)
	} else if s.Known() {
		r.manifest.Space = (*space)(&s)
	}
	for _, n := range names {
		name := efivars.DefaultDir + "/" + n.String()
		v, wanted := recordedVariable(n)
		if !wanted {
			r.leaveOut(leftOut{Path: name})
			continue
		}
		attributes, data, err := store.Get(n)
		if errors.Is(err, efivars.ErrNotFound) {
			continue // gone meanwhile
		}
		if err == nil && v.reduce != nil {
			data = v.reduce(data)
		}
		r.variable(name, v.why, append(binary.LittleEndian.AppendUint32(nil, uint32(attributes)), data...), err)
	}
}

// variable records a variable's file, or why it could not be read.
func (r *Recording) variable(name, why string, data []byte, err error) {
	if err == nil {
		err = checkPublic(data)
	}
	if err != nil {
		r.unreadable(name, err)
		return
	}
	r.add(entry{path: name, data: data}, why)
}

// parseVariable splits a file of efivarfs.
func parseVariable(file []byte) (efivars.Attributes, []byte, error) {
	if len(file) < 4 {
		return 0, nil, fmt.Errorf("only %d of 4 bytes of attributes", len(file))
	}
	return efivars.Attributes(binary.LittleEndian.Uint32(file)), file[4:], nil
}
