package machine

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"kkeys/keyring"
	"kkeys/modsig"
)

// small is a snapshot's content with one of everything.
func small() (manifest, []entry) {
	m := manifest{
		Kkeys: "0", Time: time.Unix(1, 0).UTC(), Release: "6.1", Entries: 5, Format: snapshotFormat, Record: keyring.Recorded{}.Record(),
		NotSeen: []gap{
			{Source: "/etc/secret", Path: "etc/secret", outcome: outcome{"permission", "open etc/secret: permission denied"}},
			{Source: "/sys/hidden", Path: "sys/hidden", outcome: outcome{wordHidden, "0 of 5 bytes"}, Size: 5},
			{Source: "/etc/closed", Path: "etc/closed", outcome: outcome{"permission", "open etc/closed: permission denied"}},
			{Source: "something", outcome: outcome{wordFailed, "why"}},
		},
		LeftOut: []leftOut{{Path: "root/MOK.priv", Mode: "0600"}},
	}
	return m, []entry{
		{path: "dev/disk/sda1", kind: fs.ModeSymlink, link: "../sda1"},
		{path: "etc/closed", kind: fs.ModeDir},
		{path: "etc/name", data: []byte("kkeys\n")},
		{path: "lib", kind: fs.ModeSymlink, link: "/usr/lib"},
		{path: "usr/lib/empty", data: nil},
	}
}

func encoded(t testing.TB, m manifest, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encodeSnapshot(&b, m, entries); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func smallEncoded(t testing.TB) []byte {
	t.Helper()
	m, entries := small()
	return encoded(t, m, entries)
}

func TestArchive(t *testing.T) {
	m, entries := small()
	gotM, got, err := decodeSnapshot(bytes.NewReader(encoded(t, m, entries)))
	if err != nil || !reflect.DeepEqual(gotM, m) || len(got) != len(entries) {
		t.Fatalf("%+v\n%+v\n%v", gotM, got, err)
	}
	for i, e := range entries {
		if g := got[i]; g.path != e.path || g.kind != e.kind || g.link != e.link || !bytes.Equal(g.data, e.data) {
			t.Errorf("entry %d is %+v, want %+v", i, g, e)
		}
	}
	if !bytes.Equal(encoded(t, m, entries), encoded(t, m, entries)) {
		t.Error("the same content gives different archives")
	}
}

// A snapshot that was cut anywhere gives nothing. One with a byte changed gives nothing either, or what it gave before: a compressed
// stream can say the same in other bytes, and its checksum sees the rest.
func TestArchiveDamaged(t *testing.T) {
	whole := smallEncoded(t)
	for i := range whole {
		if m, entries, err := decodeSnapshot(bytes.NewReader(whole[:i])); !errors.Is(err, ErrNoSnapshot) || entries != nil || m.Kkeys != "" {
			t.Fatalf("cut at %d of %d: %+v, %v", i, len(whole), entries, err)
		}
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		if changedM, changed, err := decodeSnapshot(bytes.NewReader(bad)); err == nil && !bytes.Equal(encoded(t, changedM, changed), whole) {
			t.Errorf("byte %d changed: other content was read", i)
		}
	}
	var plain bytes.Buffer
	m, entries := small()
	if err := encodeTar(&plain, m, entries); err != nil {
		t.Fatal(err)
	}
	for i := range plain.Len() - 1024 { // the end of a tar archive is 1024 zeros
		_, got, err := decodeTar(bytes.NewReader(plain.Bytes()[:i]))
		if err == nil || got != nil {
			t.Fatalf("tar cut at %d of %d was read", i, plain.Len())
		}
		if i > 3000 && !strings.Contains(err.Error(), "offset") {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// hostile archives: the headers, each with its content, after a manifest with the text given.
type hostile struct {
	manifest string
	headers  []tar.Header
	after    string // behind the archive's end
	says     string
}

func regular(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}
}

var hostiles = map[string]hostile{
	"another format":       {manifest: `{"format":2,"anything":1}`, says: "format 2"},
	"no format":            {manifest: `{}`, says: "format 0"},
	"unknown field":        {manifest: `{"format":1,"more":1}`, says: "more"},
	"a field twice":        {manifest: `{"format":1,"entries":0,"Entries":0}`, says: "a second \"Entries\""},
	"a field twice inside": {manifest: `{"format":1,"inquiries":{"a":{},"A":{}}}`, says: "a second \"A\""},
	"no JSON":              {manifest: `{`, says: manifestName},
	"two documents":        {manifest: `{"format":1}{}`, says: manifestName},
	"too few entries":      {manifest: `{"format":1,"entries":2}`, headers: []tar.Header{regular("a")}, says: "tells of 2"},
	"too many entries":     {manifest: `{"format":1}`, headers: []tar.Header{regular("a")}, says: "tells of 0"},
	"absolute path":        {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{regular("/a")}, says: "no path"},
	"upward path":          {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{regular("a/../../b")}, says: "no path"},
	"the root":             {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeDir, Name: "./"}}, says: "no path"},
	"empty path":           {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeDir, Name: "/"}}, says: "no path"},
	"backslash":            {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{regular(`a\b`)}, says: "no path"},
	"twice":                {manifest: `{"format":1,"entries":2}`, headers: []tar.Header{regular("a"), regular("a")}, says: "twice"},
	"out of order":         {manifest: `{"format":1,"entries":2}`, headers: []tar.Header{regular("b"), regular("a")}, says: "twice or after"},
	"hard link":            {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}}, says: "type"},
	"device":               {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeBlock, Name: "a", Devmajor: 8}}, says: "type"},
	"pipe":                 {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeFifo, Name: "a"}}, says: "type"},
	"link to nothing":      {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a"}}, says: "leads to"},
	"long link":            {manifest: `{"format":1,"entries":1}`, headers: []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a", Linkname: strings.Repeat("x", linkMax+1)}}, says: "leads to"},
	"something behind":     {manifest: `{"format":1}`, after: "more", says: "more after the end"},
	"gap with a bad path":  {manifest: `{"format":1,"not_seen":[{"source":"x","path":"/a","outcome":"failed","reason":""}]}`, says: "not_seen"},
	"gap of negative size": {manifest: `{"format":1,"not_seen":[{"source":"x","path":"a","outcome":"hidden","reason":"","size":-1}]}`, says: "not_seen"},
	"left out, bad path":   {manifest: `{"format":1,"left_out":[{"path":"../a"}]}`, says: "left_out"},
	"left out, bad mode":   {manifest: `{"format":1,"left_out":[{"path":"a","mode":"7777"}]}`, says: "left_out"},
	"bad time":             {manifest: `{"format":1,"time":"yesterday"}`, says: manifestName},
	// These are whole archives that contradict themselves.
	"file as folder":      {manifest: `{"format":1,"entries":2}`, headers: []tar.Header{regular("a"), regular("a/b")}, says: "no folder"},
	"file and left out":   {manifest: `{"format":1,"entries":1,"left_out":[{"path":"a"}]}`, headers: []tar.Header{regular("a")}, says: "twice"},
	"file and gap":        {manifest: `{"format":1,"entries":1,"not_seen":[{"source":"x","path":"a","outcome":"failed","reason":""}]}`, headers: []tar.Header{regular("a")}, says: "twice"},
	"gap of unknown word": {manifest: `{"format":1,"not_seen":[{"source":"x","outcome":"fine","reason":""}]}`, says: "fine"},
	"no variables, why":   {manifest: `{"format":1,"efi_variables_error":{"outcome":"fine","reason":""}}`, says: "fine"},
	// Load probes.
	"probes of nothing":               {manifest: `{"format":1,"probes":{}}`, says: "control"},
	"probes, no object":               {manifest: `{"format":1,"probes":[]}`, says: "probes"},
	"probes, unknown field":           {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"more":1}}`, says: "more"},
	"attempt, unknown field":          {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","more":1},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}}`, says: "more"},
	"unknown errno":                   {manifest: `{"format":1,"probes":{"control":{"errno":"EFINE"},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}}`, says: "EFINE"},
	"errno as a number":               {manifest: `{"format":1,"probes":{"control":{"errno":1},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}}`, says: "errno"},
	"unknown errno of the broken one": {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"none"}}}`, says: "broken"},
	"log line of something else":      {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":["welcome"]},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}}`, says: "welcome"},
	"negative taint":                  {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","taint_before":-1},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}}`, says: "taint_before"},
	"unknown hash":                    {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"md4","registered":true}]}}`, says: "md4"},
	"hash twice":                      {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true},{"hash":"sha256","registered":null}]}}`, says: "twice"},
	"stranger without hash":           {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "stranger 0"},
	"stranger without algorithm":      {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "stranger 0"},
	"stranger of unknown errno":       {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "stranger 0"},
	"stranger twice":                  {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}},{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "stranger 1"},
	"signer without stranger":         {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"signers":[{"hash":"sha256","algorithm":"rsa","skid":"01","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "signer 0"},
	"signer with another stranger":    {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","issuer":"01","serial":"02","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "signer 0"},
	"signer of another hash":          {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha512","algorithm":"rsa","skid":"01","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "signer 0"},
	"signer without name":             {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "named"},
	"signer with two names":           {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","issuer":"01","serial":"02","skid":"03","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "named"},
	"signer with half a name":         {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","issuer":"01","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "named"},
	"signer in capitals":              {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","skid":"AB","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "hex"},
	"signer of unknown errno":         {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","skid":"01","attempt":{"errno":"errno 0","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "signer 0"},
	"signer twice":                    {manifest: `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","skid":"01","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}},{"hash":"sha256","algorithm":"rsa","skid":"01","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`, says: "signer 1"},
	"probes and none":                 {manifest: `{"format":1,"probes_error":"why","probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}}`, says: "reason why there are none"},
	"keyring of odd shape":            {manifest: `{"format":1,"keyrings":[{"serial":"x"}]}`, says: "serial"},
}

// goodProbes is a manifest with load probes, which the hostile ones differ from in one part.
const goodProbes = `{"format":1,"probes":{"control":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"broken":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null},"hashes":[{"hash":"sha256","registered":true}],"strangers":[{"hash":"sha256","algorithm":"rsa","by_skid":true,"attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}],"signers":[{"hash":"sha256","algorithm":"rsa","skid":"01","attempt":{"errno":"EPERM","log":[],"taint_before":null,"taint_after":null}}]}}`

func (h hostile) tar(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	first := regular(manifestName)
	first.Size = int64(len(h.manifest))
	for i, header := range append([]tar.Header{first}, h.headers...) {
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := w.Write([]byte(h.manifest)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), h.after...)
}

func compressed(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestArchiveHostile(t *testing.T) {
	for name, h := range hostiles {
		m, err := readSnapshot(bytes.NewReader(compressed(t, h.tar(t))))
		if m != nil || !errors.Is(err, ErrNoSnapshot) || !strings.Contains(err.Error(), h.says) {
			t.Errorf("%s: %v, %v, want an error about %q", name, m, err, h.says)
		}
	}
	if _, err := readSnapshot(bytes.NewReader(compressed(t, hostile{manifest: `{"format":1}`}.tar(t)))); err != nil {
		t.Errorf("the base is refused: %v", err)
	}
	if _, err := readSnapshot(bytes.NewReader(compressed(t, hostile{manifest: goodProbes}.tar(t)))); err != nil {
		t.Errorf("the base of load probes is refused: %v", err)
	}
	var first bytes.Buffer
	w := tar.NewWriter(&first)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "etc/name"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := decodeTar(&first); err == nil || !strings.Contains(err.Error(), "first entry") {
		t.Errorf("without a manifest: %v", err)
	}
}

// What is claimed is not believed, and what unpacks without end is stopped.
func TestArchiveBounds(t *testing.T) {
	big := regular("a")
	big.Size = unpackedMax + 1
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	first := regular(manifestName)
	first.Size = int64(len(`{"format":1}`))
	if err := w.WriteHeader(&first); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(`{"format":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteHeader(&big); err != nil {
		t.Fatal(err)
	}
	if _, _, err := decodeTar(&b); err == nil || !strings.Contains(err.Error(), "claims") {
		t.Errorf("a claim of %d bytes: %v", big.Size, err)
	}
	many := hostile{manifest: fmt.Sprintf(`{"format":1,"entries":%d}`, entriesMax+1)}
	for i := range entriesMax + 1 {
		many.headers = append(many.headers, regular(fmt.Sprintf("%06d", i)))
	}
	if _, _, err := decodeTar(bytes.NewReader(many.tar(t))); err == nil || !strings.Contains(err.Error(), "more than 20000 entries") {
		t.Errorf("20001 entries: %v", err)
	}
	endless := &counted{r: zeros{}, n: unpackedMax - 10}
	if n, err := endless.Read(make([]byte, 100)); n != 10 || err != nil {
		t.Errorf("at the bound: %d, %v", n, err)
	}
	if _, err := endless.Read(make([]byte, 100)); err == nil {
		t.Error("there is no bound")
	}
	if err := encodeTar(&b, manifest{}, make([]entry, entriesMax+1)); err == nil {
		t.Error("more was written than would be read")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTree(t *testing.T) {
	m, entries := small()
	whole := append([]entry{{path: "dev/name", kind: fs.ModeSymlink, link: "../etc/name"}}, entries[1:]...)
	files, err := newTree(whole, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "etc/name", "usr/lib/empty", "etc/closed", "dev/name"); err != nil {
		t.Error(err)
	}
	if files, err = newTree(entries, m); err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(files, "lib/empty"); err != nil || len(data) != 0 {
		t.Errorf("through an absolute link: %q, %v", data, err)
	}
	if target, err := fs.ReadLink(files, "dev/disk/sda1"); err != nil || target != "../sda1" {
		t.Errorf("link: %q, %v", target, err)
	}
	if _, err := files.Open("dev/disk/sda1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to what was not recorded: %v", err)
	}
	if _, err := files.Open("etc/secret"); !errors.Is(err, fs.ErrPermission) || err.Error() != "open etc/secret: permission denied" {
		t.Errorf("what could not be read: %v", err)
	}
	if _, err := files.Stat("etc/secret"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("what could not be read, Stat: %v", err)
	}
	if _, err := files.ReadDir("etc/closed"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that could not be listed: %v", err)
	}
	if _, err := files.Stat("etc/closed/x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("below a folder that could not be listed: %v", err)
	}
	if info, err := files.Stat("etc/closed"); err != nil || !info.IsDir() {
		t.Errorf("that folder: %v, %v", info, err)
	}
	if info, err := files.Stat("sys/hidden"); err != nil || info.Size() != 5 {
		t.Errorf("what hides its content: %v, %v", info, err)
	}
	if info, err := files.Stat("root/MOK.priv"); err != nil || info.Mode() != 0o600 {
		t.Errorf("a private key: %v, %v", info, err)
	}
	if _, err := files.ReadFile("root/MOK.priv"); !errors.Is(err, ErrLeftOut) {
		t.Errorf("a private key's content: %v", err)
	}
	for name, want := range map[string]error{"../etc": fs.ErrInvalid, "etc/none": fs.ErrNotExist, "etc/name/x": errNotDir} {
		if _, err := files.Open(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	loop, err := newTree([]entry{{path: "a", kind: fs.ModeSymlink, link: "b/../a"}, {path: "b", kind: fs.ModeDir}}, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loop.Open("a"); !errors.Is(err, errLoop) {
		t.Errorf("a circle: %v", err)
	}
	up, err := newTree([]entry{{path: "a", kind: fs.ModeSymlink, link: "../../../etc/name"}, {path: "etc/name", data: []byte("inside")}}, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := up.ReadFile("a"); err != nil || string(data) != "inside" {
		t.Errorf("a link that leads up and up ends at the root: %q, %v", data, err)
	}
}

func addSeeds(f *testing.F, change func(testing.TB, []byte) []byte) {
	for _, h := range hostiles {
		f.Add(change(f, h.tar(f)))
	}
	f.Add(change(f, hostile{manifest: goodProbes}.tar(f)))
	m, entries := small()
	var b bytes.Buffer
	if err := encodeTar(&b, m, entries); err != nil {
		f.Fatal(err)
	}
	f.Add(change(f, b.Bytes()))
}

// accepted is held against what every archive that is read must be.
func accepted(t *testing.T, m manifest, entries []entry, err error) {
	if err != nil {
		if entries != nil || !errors.Is(err, ErrNoSnapshot) {
			t.Fatalf("%d entries beside %v", len(entries), err)
		}
		return
	}
	var b bytes.Buffer
	if err := encodeTar(&b, m, entries); err != nil {
		t.Fatal(err)
	}
	againM, again, err := decodeTar(&b)
	if err != nil || len(again) != len(entries) {
		t.Fatalf("written and read again: %d of %d entries, %v", len(again), len(entries), err)
	}
	first, _ := json.Marshal(m)
	if second, _ := json.Marshal(againM); !bytes.Equal(first, second) {
		t.Fatalf("%s\nbecame\n%s", first, second)
	}
	machine, err := recordedMachine(m, entries)
	if err != nil {
		return
	}
	_ = fs.WalkDir(machine.Files, ".", func(name string, _ fs.DirEntry, _ error) error {
		_, _ = fs.ReadFile(machine.Files, name)
		return nil
	})
	machine.Certificates()
	machine.NextBoot()
	if m.Probes == nil {
		return
	}
	for _, s := range m.Probes.Signers {
		key, err := s.key()
		if err != nil {
			t.Fatal(err)
		}
		signer := modsig.Signer{Hash: key.Hash, Algorithm: key.Algorithm, Issuer: []byte(key.issuer), Serial: []byte(key.serial)}
		if key.skid != "" {
			signer = modsig.Signer{Hash: key.Hash, Algorithm: key.Algorithm, SKID: []byte(key.skid)}
		}
		if p, err := machine.Prove(QuestionOf(signer)); err != nil || (p.Keyless == nil) == (p.KeylessSKID == nil) || (p.Stranger == nil) != (p.Keyless == nil) {
			t.Fatalf("signer %+v: %+v, %v", s, p, err)
		}
	}
}

func FuzzArchive(f *testing.F) {
	addSeeds(f, compressed)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, entries, err := decodeSnapshot(bytes.NewReader(data))
		accepted(t, m, entries, err)
	})
}

func FuzzArchiveTar(f *testing.F) {
	addSeeds(f, func(_ testing.TB, data []byte) []byte { return data })
	f.Fuzz(func(t *testing.T, data []byte) {
		m, entries, err := decodeTar(bytes.NewReader(data))
		accepted(t, m, entries, err)
	})
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "machine.kks")
	only := func(want string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != want {
			t.Errorf("the folder has %v, %v, want %s alone", entries, err, want)
		}
	}
	r := &Recording{manifest: manifest{Record: keyring.Recorded{}.Record()}, entries: map[string]entry{}, why: map[string]string{}}
	if err := r.Save(path, false); err != nil {
		t.Fatal(err)
	}
	only("machine.kks")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Snapshot(path); err != nil {
		t.Error(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Save(path, false); !errors.Is(err, ErrExists) {
		t.Errorf("a file that is there: %v", err)
	}
	full := errors.New("the disk is full")
	err = save(path, true, func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		return full
	})
	if now, rerr := os.ReadFile(path); !errors.Is(err, full) || rerr != nil || !bytes.Equal(now, whole) {
		t.Errorf("after a failed write: %v, %v, changed %v", err, rerr, !bytes.Equal(now, whole))
	}
	only("machine.kks")
	if err := r.Save(path, true); err != nil {
		t.Error(err)
	}
	only("machine.kks")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	if err := r.Save(path, true); !errors.Is(err, ErrExists) {
		t.Errorf("a link was replaced: %v", err)
	}
	if err := r.Save(filepath.Join(dir, "none", "x"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	only("machine.kks")
	// Whoever makes the file between the look and the end keeps it.
	race := filepath.Join(dir, "race")
	err = save(race, false, func(io.Writer) error { return os.WriteFile(race, []byte("theirs"), 0o600) })
	if now, rerr := os.ReadFile(race); !errors.Is(err, ErrExists) || rerr != nil || string(now) != "theirs" {
		t.Errorf("made meanwhile: %v, %q, %v", err, now, rerr)
	}
}
