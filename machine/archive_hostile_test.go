package machine

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kkeys/keyring"
)

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
	"a field twice":        {manifest: `{"format":1,"probes":null,"probes":null}`, says: "\"probes\" stands twice"},
	"in capitals":          {manifest: `{"format":1,"PROBES":null}`, says: "\"PROBES\" stands twice, or is not in lower case"},
	"one capital":          {manifest: `{"format":1,"entries":0,"Entries":0}`, says: "\"Entries\""},
	"a long s for an s":    {manifest: `{"format":1,"probeſ":null}`, says: "\"probeſ\""}, // encoding/json takes it for one
	"format in capitals":   {manifest: `{"FORMAT":1}`, says: "\"FORMAT\""},
	"escaped twice":        {manifest: `{"format":1,"probes":null,"prob\u0065s":null}`, says: "\"probes\" stands twice"},
	"a field twice inside": {manifest: `{"format":1,"left_out":[{"path":"a"},{"path":"b","path":"c"}]}`, says: "\"path\" stands twice"},
	"capitals inside":      {manifest: `{"format":1,"inquiries":{"a":{},"A":{}}}`, says: "\"A\""},
	"nested too deep":      {manifest: `{"format":1,"keyrings":` + strings.Repeat("[", 1<<20), says: manifestName},
	"deep and closed":      {manifest: `{"format":1,"keyrings":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + "}", says: "depth"},
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
	// The same without a hostile part: a field of one name in two objects, and twice as a value.
	if _, err := readSnapshot(bytes.NewReader(compressed(t, hostile{manifest: `{"format":1,"left_out":[{"path":"a"},{"path":"path"}],"kkeys_version":"PROBES"}`}.tar(t)))); err != nil {
		t.Errorf("names that stand once are refused: %v", err)
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

// No kernel is without keyrings. A snapshot that has none and does not say why shows nothing, as if they could not be read.
func TestNoKeyrings(t *testing.T) {
	for _, text := range []string{`{"format":1}`, `{"format":1,"keyrings":[]}`, `{"format":1,"keyrings":null}`, `{"format":1,"keyrings":[],"keyrings_error":null}`} {
		m, err := readSnapshot(bytes.NewReader(compressed(t, hostile{manifest: text}.tar(t))))
		if err != nil {
			t.Fatal(err)
		}
		if rings, err := m.Keyrings.Rings(); rings != nil || !errors.Is(err, keyring.ErrUnavailable) {
			t.Errorf("%s: %v, %v", text, rings, err)
		}
	}
}
