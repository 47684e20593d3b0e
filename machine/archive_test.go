package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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

// The machines that were recorded in the lab are read.
func TestRecordedMachines(t *testing.T) {
	paths, err := filepath.Glob("../testdata/machines/*.kks")
	if err != nil || len(paths) < 14 {
		t.Fatalf("%d recorded machines, %v", len(paths), err)
	}
	for _, path := range paths {
		m, err := Snapshot(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if rings, err := m.Keyrings.Rings(); err != nil || len(rings) == 0 {
			t.Errorf("%s: %d keyrings, %v", path, len(rings), err)
		}
	}
}

// The document names every field of the manifest.
func TestManifestIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/snapshot.md")
	if err != nil {
		t.Fatal(err)
	}
	var look func(reflect.Type)
	look = func(kind reflect.Type) {
		switch kind.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			look(kind.Elem())
		case reflect.Struct:
			for i := range kind.NumField() {
				field := kind.Field(i)
				if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && !bytes.Contains(text, []byte("`"+name+"`")) {
					t.Errorf("%s of %s is not in docs/snapshot.md", name, kind)
				}
				look(field.Type)
			}
		}
	}
	look(reflect.TypeFor[manifest]())
}
