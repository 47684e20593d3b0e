package machine

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"kkeys/keyring"
)

// A snapshot is a tar archive under zstd. Its first entry is the manifest; the others are folders, regular files and symbolic links
// under their paths below the machine's root, sorted, without times or owners.
const (
	manifestName = "kkeys-snapshot.json"
	// snapshotFormat is the version of all of this. A reader refuses any other.
	snapshotFormat = 1
)

// The bounds of a snapshot, for writing and for reading.
const (
	entriesMax  = 20000
	unpackedMax = 256 << 20 // bytes, headers included
	manifestMax = 32 << 20  // bytes
	linkMax     = 4096      // bytes of a link's target
	windowMax   = 32 << 20  // bytes that the decompressor may look back
)

// ErrNoSnapshot: the file is no snapshot, or one that was cut, damaged, or written by a kkeys with another format.
var ErrNoSnapshot = errors.New("not a snapshot that this kkeys can read")

// manifest is the first entry.
type manifest struct {
	Format  int       `json:"format"`
	Kkeys   string    `json:"kkeys_version"`
	Time    time.Time `json:"time"`
	Release string    `json:"kernel_release"`
	Entries int       `json:"entries"` // that follow
	keyring.Record
	// NoVariables says why there are no EFI variables.
	NoVariables *outcome `json:"efi_variables_error,omitempty"`
	Space       *space   `json:"efi_variables_space,omitempty"`
	// NotSeen could not be read. Those with a path are answered with that error.
	NotSeen []gap     `json:"not_seen"`
	LeftOut []leftOut `json:"left_out"`
	// Probes are there only if they were asked for; NoProbes says why they could not be made.
	Probes   *probesRecord `json:"probes,omitempty"`
	NoProbes string        `json:"probes_error,omitempty"`
}

// leftOut is what is there and was not looked into: a private key, or something that no command needs.
type leftOut struct {
	Path string `json:"path"`
	Mode string `json:"mode,omitempty"` // permissions, four octal digits; of private keys
}

// space is [efivars.Space], in bytes.
type space struct {
	Total     uint64 `json:"total"`
	Free      uint64 `json:"free"`
	Available uint64 `json:"available"`
}

// gap is a source that could not be read.
type gap struct {
	Source string `json:"source"`
	Path   string `json:"path,omitempty"`
	outcome
	// Size is what a file claims that gives fewer bytes to this user; only with wordHidden.
	Size int64 `json:"size,omitempty"`
}

// entry is a folder, a regular file or a symbolic link of a snapshot.
type entry struct {
	path string
	kind fs.FileMode // 0, fs.ModeDir or fs.ModeSymlink
	data []byte      // a file's content
	link string      // a link's target
}

// encodeSnapshot writes the archive.
func encodeSnapshot(w io.Writer, m manifest, entries []entry) error {
	packed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(true), zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	if err := encodeTar(packed, m, entries); err != nil {
		_ = packed.Close() // it would only add what went wrong after the first error
		return err
	}
	return packed.Close()
}

func encodeTar(w io.Writer, m manifest, entries []entry) error {
	size := 0
	for _, e := range entries {
		size += len(e.data)
	}
	// Half of the bound is left to the manifest and the headers.
	if len(entries) > entriesMax || size > unpackedMax/2 {
		return fmt.Errorf("%d files of %d bytes are more than a snapshot holds", len(entries), size)
	}
	m.Format, m.Entries = snapshotFormat, len(entries)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	first := entry{path: manifestName, data: append(text, '\n')}
	for _, e := range append([]entry{first}, entries...) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.path, Size: int64(len(e.data)), Mode: 0o600, Format: tar.FormatPAX}
		switch e.kind {
		case fs.ModeDir:
			header.Typeflag, header.Name, header.Mode = tar.TypeDir, e.path+"/", 0o700
		case fs.ModeSymlink:
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, e.link, 0o777
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(e.data); err != nil {
			return err
		}
	}
	return archive.Close()
}

// decodeSnapshot reads an archive to its end; every error is ErrNoSnapshot, and nothing is returned beside it.
func decodeSnapshot(r io.Reader) (manifest, []entry, error) {
	unpacked, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowMax), zstd.WithDecoderMaxMemory(unpackedMax))
	if err != nil {
		return manifest{}, nil, fmt.Errorf("%w: %w", ErrNoSnapshot, err)
	}
	defer unpacked.Close()
	return decodeTar(unpacked)
}

// decodeTar reads what is under the compression. Other bytes may mean the same (a tar header has many forms), so it is the content
// that encodes back to itself, not the archive.
func decodeTar(r io.Reader) (manifest, []entry, error) {
	d := &decoder{from: &counted{r: r}}
	d.tar = tar.NewReader(d.from)
	m, entries, err := d.decode()
	if err != nil {
		return manifest{}, nil, fmt.Errorf("%w: at offset %d of the unpacked archive, after %d entries: %w", ErrNoSnapshot, d.from.n, d.count, err)
	}
	return m, entries, nil
}

// counted counts what was read, and ends with an error at the bound.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.n >= unpackedMax {
		return 0, fmt.Errorf("more than %d bytes", unpackedMax)
	}
	n, err := c.r.Read(p[:min(int64(len(p)), unpackedMax-c.n)])
	c.n += int64(n)
	return n, err
}

type decoder struct {
	from  *counted
	tar   *tar.Reader
	count int   // entries read whole
	bytes int64 // of their contents: a sparse file has more than were read
}

func (d *decoder) decode() (manifest, []entry, error) {
	fail := func(err error) (manifest, []entry, error) { return manifest{}, nil, err }
	first, err := d.next(manifestMax)
	if err != nil {
		return fail(noEnd(err))
	}
	if first.path != manifestName || first.kind != 0 {
		return fail(fmt.Errorf("the first entry is %.80q and not %s", first.path, manifestName))
	}
	m, err := decodeManifest(first.data)
	if err != nil {
		return fail(fmt.Errorf("%s: %w", manifestName, err))
	}
	var entries []entry
	for {
		e, err := d.next(unpackedMax)
		if err == io.EOF {
			break
		} else if err != nil {
			return fail(err)
		}
		if len(entries) > 0 && e.path <= entries[len(entries)-1].path {
			return fail(fmt.Errorf("entry %.200q stands twice or after %.200q", e.path, entries[len(entries)-1].path))
		}
		entries = append(entries, e)
	}
	if len(entries) != m.Entries {
		return fail(fmt.Errorf("%d entries, the manifest tells of %d", len(entries), m.Entries))
	}
	// To the end, where the decompressor finds out whether it was given all.
	rest, err := io.ReadAll(io.LimitReader(d.from, 1<<20))
	if err != nil {
		return fail(err)
	}
	if len(bytes.Trim(rest, "\x00")) > 0 || len(rest) == 1<<20 {
		return fail(errors.New("there is more after the end of the archive"))
	}
	return m, entries, nil
}

// next reads an entry of at most limit bytes; io.EOF at the end.
func (d *decoder) next(limit int64) (entry, error) {
	header, err := d.tar.Next()
	if err != nil {
		return entry{}, err
	}
	// The first is the manifest, which does not count.
	if d.count > entriesMax {
		return entry{}, fmt.Errorf("more than %d entries", entriesMax)
	}
	e := entry{path: header.Name}
	switch header.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		e.kind, e.path = fs.ModeDir, strings.TrimSuffix(header.Name, "/")
	case tar.TypeSymlink:
		e.kind, e.link = fs.ModeSymlink, header.Linkname
	default:
		return entry{}, fmt.Errorf("entry %.200q is of type %q: neither folder, file nor symbolic link", header.Name, header.Typeflag)
	}
	if !goodPath(e.path) {
		return entry{}, fmt.Errorf("entry %.200q is no path below a root", header.Name)
	}
	if (e.kind == fs.ModeSymlink) != (e.link != "") || len(e.link) > linkMax || strings.ContainsRune(e.link, 0) {
		return entry{}, fmt.Errorf("link %.200q leads to %.80q", e.path, e.link)
	}
	if limit = min(limit, unpackedMax-d.bytes); header.Size < 0 || header.Size > limit || e.kind != 0 && header.Size != 0 {
		return entry{}, fmt.Errorf("entry %.200q claims %d bytes, %d are allowed", e.path, header.Size, limit)
	}
	var content bytes.Buffer // grows with what is there, not with what is claimed
	if _, err := io.CopyN(&content, d.tar, header.Size); err != nil {
		return entry{}, fmt.Errorf("entry %.200q: %w", e.path, noEnd(err))
	}
	if e.kind == 0 {
		e.data = content.Bytes()
	}
	d.bytes += header.Size
	d.count++
	return e, nil
}

// noEnd: the end of the input is a cut where this is used.
func noEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// goodPath is a path of fs.FS other than the root itself. A backslash would be a separator on other systems.
func goodPath(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, "\\\x00") && path.Clean(name) == name
}

// decodeManifest refuses another format before anything else, since its fields may mean something else.
func decodeManifest(text []byte) (manifest, error) {
	var version struct{ Format int }
	if err := json.Unmarshal(text, &version); err != nil {
		return manifest{}, err
	}
	if version.Format != snapshotFormat {
		return manifest{}, fmt.Errorf("format %d, known is %d", version.Format, snapshotFormat)
	}
	if err := plainNames(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return manifest{}, err
	}
	var m manifest
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return manifest{}, err
	}
	for _, g := range m.NotSeen {
		if g.Path != "" && !goodPath(g.Path) || g.Size < 0 || g.Size > unpackedMax {
			return manifest{}, fmt.Errorf("not_seen: %.200q is no path below a root, or its size %d is none", g.Path, g.Size)
		}
	}
	for _, l := range m.LeftOut {
		if _, err := l.mode(); err != nil || !goodPath(l.Path) {
			return manifest{}, fmt.Errorf("left_out: %.200q is no path below a root, or %.80q no permissions", l.Path, l.Mode)
		}
	}
	return m, nil
}

// plainNames refuses a field that stands twice, since encoding/json takes the last, and one whose name is not lower-case ASCII as all are: it would
// be taken for another that differs in capitals alone. How deep objects may nest, [json.Unmarshal] has seen to before.
func plainNames(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	names := map[string]bool{}
	for d.More() {
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name := fmt.Sprint(token)
			if names[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				return fmt.Errorf("offset %d: field %.80q stands twice, or is not in lower case", d.InputOffset(), name)
			}
			names[name] = true
		}
		if err := plainNames(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// mode is what Stat tells of the permissions.
func (l leftOut) mode() (fs.FileMode, error) {
	if l.Mode == "" {
		return 0o444, nil
	}
	n, err := strconv.ParseUint(l.Mode, 8, 32)
	if err != nil || fmt.Sprintf("%04o", n) != l.Mode || n > 0o777 {
		return 0, fmt.Errorf("%.80q is not four octal digits", l.Mode)
	}
	return fs.FileMode(n), nil
}
