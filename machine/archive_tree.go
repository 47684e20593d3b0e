package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is the files of a snapshot in memory: an [fs.FS] that follows symbolic links below its root, as a root folder's does, and answers
// for what could not be read with the error of then.
type tree map[string]*node

var (
	_ fs.ReadDirFS  = tree{}
	_ fs.ReadFileFS = tree{}
	_ fs.StatFS     = tree{}
	_ fs.ReadLinkFS = tree{}
)

// node is one file. It is its own fs.FileInfo and fs.DirEntry.
type node struct {
	name     string
	kind     fs.FileMode // 0, fs.ModeDir or fs.ModeSymlink
	data     []byte
	link     string
	size     int64   // what a file claims to hold, at least len(data)
	children []*node // of a folder, sorted by name
	// err is why a folder could not be listed, or a file not be reached at all. What was left out can be seen and not opened.
	err     error
	sealed  bool        // left out
	allowed fs.FileMode // permissions, where they were recorded
}

func (n *node) Name() string               { return n.name }
func (n *node) Type() fs.FileMode          { return n.kind }
func (n *node) IsDir() bool                { return n.kind.IsDir() }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }
func (n *node) Size() int64                { return n.size }
func (n *node) ModTime() time.Time         { return time.Time{} }
func (n *node) Sys() any                   { return nil }
func (n *node) String() string             { return fs.FormatDirEntry(n) }
func (n *node) Mode() fs.FileMode {
	switch {
	case n.IsDir():
		return n.kind | 0o555
	case n.sealed:
		return n.kind | n.allowed
	}
	return n.kind | 0o444
}

// newTree puts entries and gaps into their places. The folders above them need no entries.
func newTree(entries []entry, m manifest) (tree, error) {
	t := tree{".": {name: ".", kind: fs.ModeDir}}
	for _, e := range entries {
		if err := t.put(e.path, &node{kind: e.kind, data: e.data, link: e.link, size: int64(len(e.data))}); err != nil {
			return nil, err
		}
	}
	for _, g := range m.NotSeen {
		if err := t.putGap(g); err != nil {
			return nil, err
		}
	}
	for _, l := range m.LeftOut {
		mode, err := l.mode()
		if err != nil {
			return nil, err
		}
		sealed := &node{sealed: true, err: fmt.Errorf("%w: /%s", ErrLeftOut, l.Path), size: 1, allowed: mode}
		if err := t.put(l.Path, sealed); err != nil {
			return nil, err
		}
	}
	for _, n := range t {
		slices.SortFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	}
	return t, nil
}

// put adds a node; a folder may be there already because something below it came first.
func (t tree) put(name string, n *node) error {
	parent, err := t.folder(path.Dir(name))
	if err != nil {
		return err
	}
	if had := t[name]; had != nil {
		if had.IsDir() && n.IsDir() {
			return nil
		}
		return fmt.Errorf("%.200q stands twice", name)
	}
	n.name = path.Base(name)
	t[name], parent.children = n, append(parent.children, n)
	return nil
}

// folder gives the folder of a path and makes those that are missing, top down.
func (t tree) folder(name string) (*node, error) {
	if n := t[name]; n != nil {
		if !n.IsDir() {
			return nil, fmt.Errorf("%.200q is no folder, and something lies below it", name)
		}
		return n, nil
	}
	if err := t.put(name, &node{kind: fs.ModeDir}); err != nil {
		return nil, err
	}
	return t[name], nil
}

// putGap adds what could not be read: an error for a folder that is there, otherwise a file that cannot be opened or hides its content.
func (t tree) putGap(g gap) error {
	err, bad := g.err()
	switch {
	case bad != nil:
		return fmt.Errorf("not_seen: %w", bad)
	case g.Path == "":
		return nil
	case g.Word == wordHidden:
		return t.put(g.Path, &node{size: g.Size})
	}
	if n := t[g.Path]; n != nil && n.IsDir() {
		n.err = err
		return nil
	}
	return t.put(g.Path, &node{err: err, size: 1})
}

// hopsMax bounds the links that a path leads through, as Linux does (include/linux/namei.h, MAXSYMLINKS).
const hopsMax = 40

// walk finds a node; links on the way are followed, the last one only if wanted. An absolute link begins at the root, and no link leads
// out of it.
func (t tree) walk(op, name string, last bool) (*node, error) {
	fail := func(err error) (*node, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	at, rest := ".", name
	for hops := 0; ; {
		var part string
		if part, rest, _ = strings.Cut(rest, "/"); part == "" && rest == "" {
			return t[at], nil
		}
		if n := t[at]; n.err != nil && !n.IsDir() {
			return nil, n.err
		} else if !n.IsDir() {
			return fail(errNotDir)
		}
		// path.Join cleans "." and "..", and at the root ".." stays there.
		next := strings.TrimPrefix(path.Join("/", at, part), "/")
		if next == "" {
			next = "."
		}
		n := t[next]
		switch {
		case n == nil && t[at].err != nil:
			return nil, t[at].err
		case n == nil:
			return fail(errNotThere)
		case n.kind == fs.ModeSymlink && (rest != "" || last):
			if hops++; hops > hopsMax {
				return fail(errLoop)
			}
			rest = n.link + "/" + rest
			if strings.HasPrefix(rest, "/") {
				at = "."
			}
		default:
			at = next
		}
	}
}

// Errors in the words of Linux, where the machine is from.
var (
	errLoop     = errors.New("too many levels of symbolic links")
	errNotDir   = errors.New("not a directory")
	errNotThere = &recordedError{"no such file or directory", fs.ErrNotExist}
)

// Open implements fs.FS.
func (t tree) Open(name string) (fs.File, error) {
	n, err := t.walk("open", name, true)
	if err != nil {
		return nil, err
	}
	if n.err != nil {
		return nil, n.err // it names the path, as it did when it was recorded
	}
	if n.IsDir() {
		return &openFolder{node: n, path: name}, nil
	}
	return &openFile{bytes.NewReader(n.data), n}, nil
}

// ReadDir implements fs.ReadDirFS.
func (t tree) ReadDir(name string) ([]fs.DirEntry, error) {
	file, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	folder, ok := file.(*openFolder)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return folder.ReadDir(-1)
}

// ReadFile implements fs.ReadFileFS.
func (t tree) ReadFile(name string) ([]byte, error) {
	file, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}

// Stat implements fs.StatFS.
func (t tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.walk("stat", name, true)
	if err != nil {
		return nil, err
	}
	if n.err != nil && !n.IsDir() && !n.sealed {
		return nil, n.err
	}
	return n, nil
}

// Lstat implements fs.ReadLinkFS.
func (t tree) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.walk("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// ReadLink implements fs.ReadLinkFS.
func (t tree) ReadLink(name string) (string, error) {
	n, err := t.walk("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.kind != fs.ModeSymlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.link, nil
}

// openFile is a file that is being read.
type openFile struct {
	*bytes.Reader
	node *node
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFile) Close() error               { return nil }

// openFolder is a folder that is being listed.
type openFolder struct {
	node *node
	path string
	at   int
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFolder) Close() error               { return nil }
func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.path, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (f *openFolder) ReadDir(count int) ([]fs.DirEntry, error) {
	left := f.node.children[f.at:]
	if count > 0 && len(left) == 0 {
		return nil, io.EOF
	}
	if count > 0 && count < len(left) {
		left = left[:count]
	}
	f.at += len(left)
	entries := make([]fs.DirEntry, len(left))
	for i, n := range left {
		entries[i] = n
	}
	return entries, nil
}
