package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/modsig"
)

var draw = flag.Bool("draw", false, "write testdata/map anew")

// What is drawn of two recorded machines is what somebody looked at.
func TestMapDrawn(t *testing.T) {
	for _, name := range []string{"6.12-enrolled", "6.1-own-keys"} {
		recorded := filepath.Join(machines, name+".kks")
		for file, args := range map[string][]string{name + ".txt": {"map"}, name + ".svg": {"map", "--svg", "-"}} {
			got := runOn(t, nil, append([]string{"--snapshot", recorded}, args...)...)
			if got.code != exitYes || got.err != "kkeys: warning: not seen: modules: a recording has no modules\n" {
				t.Errorf("%s: exit code %d\n%s", file, got.code, got.err)
			}
			path := filepath.Join("testdata/map", file)
			if *draw {
				if err := os.WriteFile(path, []byte(got.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got.out != string(want) {
				t.Errorf("%s differs; look at it, then -args -draw:\n%s", file, got.out)
			}
		}
	}
}

// isXML tells whether all of a text decodes.
func isXML(t *testing.T, text string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for elements := 0; ; elements++ {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) && elements > 10 {
			return
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
}

// Of what is really drawn no two frames overlap, and each text ends within the frame that it begins in, a letter taken for 0.62 of its size: of each
// recorded machine, and of all of them.
func TestMapStaysInItsFrames(t *testing.T) {
	recorded, err := filepath.Glob(filepath.Join(machines, "*.kks"))
	if err != nil || len(recorded) < 14 {
		t.Fatalf("%d recorded machines, %v", len(recorded), err)
	}
	runs := [][]string{{"map", "--svg", "-", "--snapshots", machines}, {"map", "--all", "--svg", "-", "--snapshots", machines}}
	for _, path := range recorded {
		runs = append(runs, []string{"map", "--svg", "-", "--snapshot", path})
	}
	for _, args := range runs {
		got := runOn(t, nil, args...)
		if got.code != exitYes {
			t.Fatalf("%v: exit code %d\n%s", args, got.code, got.err)
		}
		var frames []frame
		texts := 0
		for decoder := xml.NewDecoder(strings.NewReader(got.out)); ; {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			element, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			f := frameOf(element)
			switch {
			case element.Name.Local == "rect" && strings.HasPrefix(f.class, "card"):
				for _, other := range frames {
					if f.x < other.x+other.w && other.x < f.x+f.w && f.y < other.y+other.h && other.y < f.y+f.h {
						t.Errorf("%v: %+v and %+v overlap", args, f, other)
					}
				}
				frames = append(frames, f)
			case element.Name.Local == "text":
				var text string
				if err := decoder.DecodeElement(&text, &element); err != nil {
					t.Fatal(err)
				}
				size := map[string]float64{"big": 18, "column": 13, "title": 13, "plain": 12, "small": 11}[strings.Fields(f.class)[0]]
				for _, home := range frames {
					if f.x >= home.x && f.x < home.x+home.w && f.y > home.y && f.y < home.y+home.h {
						texts++
						if f.x+0.62*size*float64(utf8.RuneCountInString(text)) > home.x+home.w {
							t.Errorf("%v: %q does not end in %+v", args, text, home)
						}
					}
				}
			}
		}
		if len(frames) < 13 || texts < 40 {
			t.Errorf("%v: only %d frames and %d texts", args, len(frames), texts)
		}
	}
}

type frame struct {
	class      string
	x, y, w, h float64
}

func frameOf(element xml.StartElement) (f frame) {
	for _, a := range element.Attr {
		if a.Name.Local == "class" {
			f.class = a.Value
		} else if to := map[string]*float64{"x": &f.x, "y": &f.y, "width": &f.w, "height": &f.h}[a.Name.Local]; to != nil {
			*to, _ = strconv.ParseFloat(a.Value, 64)
		}
	}
	return f
}

func mapOf(t *testing.T, want int, m *machine.Machine, args ...string) (d mapDocument) {
	t.Helper()
	got := runOn(t, m, append([]string{"map", "--json"}, args...)...)
	if got.code != want {
		t.Errorf("%v: exit code %d, want %d\n%s%s", args, got.code, want, got.out, got.err)
	}
	if err := validate("map", []byte(got.out)); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, got.out)
	}
	if err := json.Unmarshal([]byte(got.out), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d mapDocument) node(t *testing.T, id string) mapNode {
	t.Helper()
	for _, n := range d.Nodes {
		if n.ID == id || n.Name == id {
			return n
		}
	}
	t.Fatalf("no node %s", id)
	return mapNode{}
}

// edge gives the one between nodes by their ids or names; nil when there is none.
func (d mapDocument) edge(t *testing.T, from, to, kind string) *mapEdge {
	t.Helper()
	for _, e := range d.Edges {
		if e.From == d.node(t, from).ID && e.To == d.node(t, to).ID && e.Kind == kind {
			return &e
		}
	}
	return nil
}

func answerIs(e *mapEdge) string {
	switch {
	case e == nil:
		return "none"
	case e.Answer == nil:
		return "unknown"
	}
	return fmt.Sprint(*e.Answer)
}

// What stands in the picture of each recorded machine is what was done to it (testdata/machines/README.md).
func TestMapOfRecordedMachines(t *testing.T) {
	for name, c := range map[string]struct{ mine, starts, toMachine, toPlatform string }{
		"enrolled": {"true", "true", "true", "true"}, "pending": {"none", "true", "true", "true"}, "declined": {"none", "true", "true", "true"},
		"off": {"none", "false", "false", "none"}, "own-keys": {"none", "true", "true", "true"},
	} {
		for _, release := range []string{"6.1", "6.12"} {
			d := mapOf(t, exitYes, nil, "--snapshot", filepath.Join(machines, release+"-"+name+".kks"))
			mine := "none"
			if slices.ContainsFunc(d.Nodes, func(n mapNode) bool { return n.Name == "lab: mine" }) {
				mine = answerIs(d.edge(t, ".machine", "lab: mine", "holds"))
			}
			for what, pair := range map[string][2]string{
				"mine in .machine": {mine, c.mine}, "MokListRT starts the kernel": {answerIs(d.edge(t, "MokListRT", "kernel", "starts")), c.starts},
				"MokListRT goes to .machine": {answerIs(d.edge(t, "MokListRT", ".machine", "loads")), c.toMachine}, "db goes to .platform": {answerIs(d.edge(t, "db", ".platform", "loads")), c.toPlatform},
				".machine is consulted": {answerIs(d.edge(t, ".machine", "modules", "verifies")), "true"}, ".platform is consulted": {answerIs(d.edge(t, ".platform", "modules", "verifies")), "unknown"},
				".machine is linked": {answerIs(d.edge(t, ".machine", ".secondary_trusted_keys", "links")), "true"}, "shim stands in MokListRT": {answerIs(d.edge(t, "shim", "MokListRT", "mirrors")), "true"},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s-%s: %s: %s, want %s", release, name, what, pair[0], pair[1])
				}
			}
			if n := d.node(t, "modules"); n.Unseen != 1 || n.Why == nil || *n.Why != "a recording has no modules" {
				t.Errorf("%s: %+v", name, n)
			}
		}
	}
}

// The union tells of each node and edge on how many machines it is; one file that cannot be read is told, and the others are drawn.
func TestMapOfManyMachines(t *testing.T) {
	d := mapOf(t, exitYes, nil, "--snapshots", machines)
	counts := map[string]int{"machines": d.Machines, "mine": d.edge(t, ".machine", "lab: mine", "holds").Yes, "dbx there": d.node(t, "dbx").Machines, "dbx absent": d.node(t, "dbx").Absent,
		"starts": d.edge(t, "MokListRT", "kernel", "starts").Yes, "starts not": d.edge(t, "MokListRT", "kernel", "starts").No, "modules": d.node(t, "modules").Unseen, "vendor": d.edge(t, "shim", "Debian Secure Boot CA", "holds").Yes}
	for what, want := range map[string]int{"machines": 14, "mine": 2, "dbx there": 8, "dbx absent": 6, "starts": 8, "starts not": 6, "modules": 14, "vendor": 12} {
		if counts[what] != want {
			t.Errorf("%s: %d, want %d", what, counts[what], want)
		}
	}
	got := runOn(t, nil, "map", "--snapshots", machines, "--svg", "-")
	isXML(t, got.out)
	for _, want := range []string{"Who vouches for whom, on 14 machines", "on 2 of 14 machines", "not seen: modules: a recording has no modules (on 14 machines)"} {
		if got.code != exitYes || !strings.Contains(got.out, want) {
			t.Errorf("exit code %d, no %q in\n%s", got.code, want, got.out)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"broken.kks": "no recording", "notes.txt": "not looked at"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := runOn(t, nil, "map", "--snapshots", dir); got.code != exitFailed || !strings.Contains(got.err, "broken.kks") || !strings.Contains(got.err, "the name does not end in .kks: 1 file") || got.out != "" {
		t.Errorf("nothing to draw: exit code %d\n%s%s", got.code, got.out, got.err)
	}
	data, err := os.ReadFile(filepath.Join(machines, "6.1-off.kks"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "off.kks"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.kks"), 0o700); err != nil { // passed over, as audit does
		t.Fatal(err)
	}
	if d := mapOf(t, exitFailed, nil, "--snapshots", dir); d.Machines != 1 || len(d.Unread) != 1 || !strings.HasSuffix(d.Unread[0].Path, "broken.kks") || !slices.ContainsFunc(d.NotSeen, func(n notSeen) bool { return strings.HasSuffix(n.Source, "broken.kks") }) {
		t.Errorf("%+v", d)
	}
}

// withTree is a machine with signed modules of all sorts.
func withTree(t *testing.T) *machine.Machine {
	m, _ := debian(t)
	mine, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("My MOK")}, SKID: []byte{0xaa, 1}}, true)
	evil, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("</text>\x1b[2J\u202e")}, SKID: []byte{9}}, false)
	files := m.Files.(fstest.MapFS)
	for name, data := range map[string][]byte{
		"kernel/a.ko": mine, "kernel/b.ko.gz": gzipped(t, mine), "updates/evil.ko": evil, "extra/plain.ko": []byte("\x7fELF and no more"), "extra/cut.ko.gz": gzipped(t, mine)[:40], "modules.dep": []byte("a.ko:"),
	} {
		files["lib/modules/6.1.0-56-cloud-amd64/"+name] = &fstest.MapFile{Data: data}
	}
	return m
}

// Modules are counted by signer; who did not sign, and what could not be read, is drawn.
func TestMapModules(t *testing.T) {
	m := withTree(t)
	const evilName = "CN=\\</text\\>\x1b[2J\u202e, serial number 01"
	d := mapOf(t, exitYes, m)
	for id, want := range map[string]int{"signer:aa01": 2, "unsigned": 1, "unread": 1, evilName: 1} {
		if n := d.node(t, id); n.Modules != want {
			t.Errorf("%s: %+v", id, n)
		}
	}
	if answerIs(d.edge(t, "My MOK", "signer:aa01", "signs")) != "true" {
		t.Error("the key in .machine did not sign")
	}
	for _, args := range [][]string{{"map"}, {"map", "--svg", "-"}, {"map", "--all", "--svg", "-"}} {
		got := runOn(t, m, args...)
		if len(args) > 1 {
			isXML(t, got.out)
		}
		for _, want := range []string{"5 modules", "unsigned", "signature not readable"} {
			if !strings.Contains(got.out, want) {
				t.Errorf("%v: no %q in\n%s", args, want, got.out)
			}
		}
		if strings.ContainsAny(got.out, "\x1b\u202e") || strings.Contains(got.out, "</text>\\x1b") && len(args) > 1 {
			t.Errorf("%v: a name is drawn as it is\n%q", args, got.out)
		}
	}
	if d := mapOf(t, exitYes, m, "--no-modules"); d.node(t, "modules").Unseen != 1 || *d.node(t, "modules").Why != "not asked for (--no-modules)" {
		t.Errorf("%+v", d.node(t, "modules"))
	}
}

// A signer that no keyring names is looked for in the kernel's image.
func TestMapSignerInImage(t *testing.T) {
	m, err := machine.Snapshot(filepath.Join(machines, "6.1-off.kks"))
	if err != nil {
		t.Fatal(err)
	}
	found, _ := m.KernelCertificates()
	at := slices.IndexFunc(found, func(f machine.Found) bool {
		return strings.HasPrefix(f.Certificate.KernelName(), "Build time autogenerated")
	})
	if at < 0 {
		t.Fatal("the image has no certificate of its own")
	}
	signer, err := modsig.SignerFor(found[at].Certificate, "sha256", false)
	if err != nil {
		t.Fatal(err)
	}
	signer.Signature = make([]byte, 512) // nobody verifies it
	text, err := (&modsig.Message{Signers: []modsig.Signer{signer}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	module, err := modsig.Append([]byte("\x7fELF"), text)
	if err != nil {
		t.Fatal(err)
	}
	m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible}
	with(map[string]string{"lib/modules/6.1.0-56-cloud-amd64/a.ko": string(module)})(m)
	d := mapOf(t, exitUnsure, m)
	if n := d.node(t, "Build time autogenerated kernel key"); n.Kind != "signer" || n.Modules != 1 || n.Certificate == nil {
		t.Errorf("%+v", n)
	}
}

// What could not be seen at all is drawn as that, and makes the answer unsure.
func TestMapUnseen(t *testing.T) {
	m := withTree(t)
	m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible}
	d := mapOf(t, exitUnsure, m)
	for _, ring := range []string{keyring.Builtin, keyring.Secondary, keyring.Machine, keyring.Platform, keyring.Blacklist} {
		if n := d.node(t, ring); n.Unseen != 1 || n.Machines+n.Absent != 0 || !strings.Contains(*n.Why, "root only") {
			t.Errorf("%+v", n)
		}
		if ring != keyring.Blacklist && answerIs(d.edge(t, ring, "modules", "verifies")) != "unknown" {
			t.Errorf("%s is taken for consulted or not", ring)
		}
	}
	if !slices.ContainsFunc(d.NotSeen, func(n notSeen) bool { return strings.Contains(n.Reason, "root only") }) {
		t.Errorf("%+v", d.NotSeen)
	}
	delete(m.Files.(fstest.MapFS), "sys/module/module/parameters/sig_enforce")
	delete(m.Files.(fstest.MapFS), "sys/kernel/security/lockdown")
	got := runOn(t, m, "map", "--svg", "-")
	if got.code != exitUnsure || !strings.Contains(got.out, `class="card unseen"`) || strings.Contains(got.out, "no EFI") {
		t.Errorf("without /sys: exit code %d\n%s", got.code, got.out)
	}
}

// The file appears whole or not at all, in the place of an older one; what is no file is left alone.
func TestMapFile(t *testing.T) {
	recorded := filepath.Join(machines, "6.1-off.kks")
	dir := t.TempDir()
	file := filepath.Join(dir, "it's a map.svg")
	for _, before := range []string{"", "an older one"} {
		if before != "" {
			if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := runOn(t, nil, "--snapshot", recorded, "map", "--svg", file); got.code != exitYes || !strings.Contains(got.out, "written; 1 machine, ") {
			t.Fatalf("exit code %d\n%s%s", got.code, got.out, got.err)
		}
		data, err := os.ReadFile(file)
		if err != nil || !bytes.HasSuffix(data, []byte("</svg>\n")) {
			t.Fatalf("%v\n%s", err, data)
		}
		isXML(t, string(data))
	}
	if got := runOn(t, nil, "--snapshot", recorded, "map", "--quiet", "--svg", file); got.code != exitYes || got.out+got.err != "" {
		t.Errorf("--quiet: exit code %d\n%s%s", got.code, got.out, got.err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "none", "a.svg")} {
		if got := runOn(t, nil, "--snapshot", recorded, "map", "--svg", path); got.code != exitFailed || !strings.Contains(got.err, "kkeys: error: ") {
			t.Errorf("%s: exit code %d\n%s%s", path, got.code, got.out, got.err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestMapUsage(t *testing.T) {
	recorded := filepath.Join(machines, "6.1-off.kks")
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitUsage, []string{"map", "here"}}, {exitUsage, []string{"map", "--svg", ""}}, {exitUsage, []string{"map", "--json", "--svg", "-", "--snapshot", recorded}},
		{exitUsage, []string{"map", "--snapshot", recorded, "--snapshots", machines}}, {exitUnsure, []string{"map", "--snapshots", t.TempDir()}}, {exitFailed, []string{"map", "--snapshots", "none"}},
	} {
		m, _ := debian(t)
		got := runOn(t, m, c.args...)
		if got.code != c.code || got.out != "" && !slices.Contains(c.args, "--json") {
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, got.code, c.code, got.out, got.err)
		}
		if got := runOn(t, m, append(c.args, "--json")...); got.code != c.code || validate("map", []byte(got.out)) != nil {
			t.Errorf("%v: exit code %d\n%s", c.args, got.code, got.out)
		}
	}
	if got := runOn(t, nil, "map", "--help"); got.code != exitYes || !strings.Contains(got.out, "EXIT CODES") || !strings.Contains(got.out, "--snapshots DIR") {
		t.Errorf("exit code %d\n%s", got.code, got.out)
	}
}
