package chart

import (
	"bytes"
	"crypto/elliptic"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
)

// hostile are names that a certificate may have.
var hostile = []string{
	"</text><script>alert(1)</script>", "]]>&amp;<!--", "a\x1b[31mred\x1b[0m\nsecond line\r\tthird", "\u202eevil\u2066name\u200b", "W\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a",
	"\x00\xff\xfe no text", strings.Repeat("W", 300), strings.Repeat("漢字", 80), "\U0001F511\U0001F512 emoji", "\u05d0\u05d1 from right to left 1234", "", " ", "\\", "\"'`", "\uFFFE\uFFFF", "x" + strings.Repeat(" y", 400),
}

// many are the facts of a machine with n keys: most in db, every seventh enrolled and in .machine, each fifth of which signed modules.
func many(t testing.TB, n int, name func(i int) string) Facts {
	t.Helper()
	f := Facts{Unsigned: 2, Unread: 1, Gaps: []Gap{{"a source", "a reason"}}}
	stores := map[string]*Store{}
	for _, p := range places {
		stores[p.name] = &Store{Name: p.name, Seen: evidence.Yes}
	}
	stores[PK].Seen, stores[PK].Why = evidence.Unknown, "no permission"
	stores[".system_keyring"].Seen = evidence.No
	key := certtest.ECDSA(t, elliptic.P256())
	root, made := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN(name(0))}, SKID: []byte{0}, Key: key})
	stores[KEK].Certificates = append(stores[KEK].Certificates, root)
	for i := 1; i < n; i++ {
		spec := certtest.Spec{Subject: certtest.Name{certtest.CN(name(i))}, SKID: []byte{byte(i >> 8), byte(i)}, Serial: []byte{1, byte(i >> 8), byte(i)}, Key: key}
		if i%3 == 0 {
			spec.Signer = made
		}
		c, _ := certificate(t, spec)
		add := func(store string) { stores[store].Certificates = append(stores[store].Certificates, c) }
		switch {
		case i%7 == 1:
			add(MOK)
			stores[".machine"].Keys = append(stores[".machine"].Keys, c.KernelName())
			if i%5 == 1 {
				f.Signers = append(f.Signers, Signer{Issuer: c.Issuer, Serial: c.Serial, Modules: i})
			}
		case i%11 == 0:
			add(DB)
			add(DBX)
		case i%13 == 0:
			stores[".builtin_trusted_keys"].Keys = append(stores[".builtin_trusted_keys"].Keys, c.KernelName())
		default:
			add(DB)
			stores[".platform"].Keys = append(stores[".platform"].Keys, c.KernelName())
		}
	}
	for _, p := range places {
		f.Stores = append(f.Stores, *stores[p.name])
	}
	f.Ways = []Way{
		{PK, KEK, Updates, evidence.Unknown, ""}, {KEK, DB, Updates, evidence.Yes, ""}, {KEK, DBX, Updates, evidence.Yes, ""}, {DB, Shim, Starts, evidence.Yes, ""}, {DB, Kernel, Starts, evidence.No, "shim ignores db"},
		{DB, ".platform", Loads, evidence.Yes, "all"}, {DBX, ".blacklist", Loads, evidence.No, "none"}, {MOK, ".machine", Loads, evidence.Yes, ""}, {Kernel, ".builtin_trusted_keys", BuiltIn, evidence.Yes, ""},
		{".machine", ".secondary_trusted_keys", Links, evidence.Yes, ""}, {".machine", Modules, Verifies, evidence.Yes, ""}, {".platform", Modules, Verifies, evidence.Unknown, "a reason of some length, longer than a line and a half"},
	}
	return f
}

func plainName(i int) string { return fmt.Sprintf("Example Organization signing key number %d", i) }

func TestPictures(t *testing.T) {
	evil := func(i int) string { return hostile[i%len(hostile)] }
	for _, c := range []struct {
		name  string
		graph *Graph
		all   bool
	}{
		{"5 keys", graphOf(many(t, 5, plainName)), false},
		{"200 keys", graphOf(many(t, 200, plainName)), false},
		{"200 keys, each named", graphOf(many(t, 200, plainName)), true},
		{"hostile", graphOf(many(t, 64, evil)), true},
		{"three machines", graphOf(many(t, 200, plainName), many(t, 60, plainName), many(t, 20, evil)), false},
		{"nothing", graphOf(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkPicture(t, c.graph.layout(c.all))
			checkSVG(t, c.graph.SVG(c.all))
			checkText(t, c.graph.Text(c.all))
		})
	}
}

// However many keys stand at one place, the picture stays one that a person can read; none is lost: each is named in a title.
func TestManyKeysFit(t *testing.T) {
	g := graphOf(many(t, 200, plainName))
	if p := g.layout(false); p.h > 2600 || p.w > 2000 {
		t.Errorf("%g by %g", p.w, p.h)
	}
	drawn, whole := string(g.SVG(false)), string(g.SVG(true))
	for i := 1; i < 200; i++ {
		if !strings.Contains(drawn, plainName(i)) {
			t.Errorf("key %d is not named", i)
		}
	}
	if !strings.Contains(drawn, ">and ") || strings.Contains(whole, ">and ") {
		t.Error("many keys are not drawn as one, or are where each is to be named")
	}
}

func inside(inner, outer box) bool {
	const hair = 0.01
	return inner.x >= outer.x-hair && inner.y >= outer.y-hair && inner.right() <= outer.right()+hair && inner.bottom() <= outer.bottom()+hair
}

func apart(a, b box) bool {
	return a.right() <= b.x || b.right() <= a.x || a.bottom() <= b.y || b.bottom() <= a.y
}

// checkPicture: no two boxes overlap, all text stays in its box, and no line crosses a card.
func checkPicture(t *testing.T, p *picture) {
	t.Helper()
	for i, a := range p.cards {
		if !inside(a.box, p.box) {
			t.Errorf("card %d is outside of the picture: %+v", i, a.box)
		}
		for j, b := range p.cards[:i] {
			if !apart(a.box, b.box) {
				t.Errorf("cards %d and %d overlap: %+v %+v", i, j, a.box, b.box)
			}
		}
		for _, n := range p.notes {
			if !apart(a.box, n.box) {
				t.Errorf("card %d overlaps a note: %+v %+v", i, a.box, n.box)
			}
		}
	}
	for i, r := range p.rows {
		homes := 0
		for _, c := range p.cards {
			if inside(r.box, c.box) {
				homes++
				for _, l := range c.labels {
					if !apart(r.box, l.box) {
						t.Errorf("a row covers %q", l.text)
					}
				}
			}
		}
		if homes != 1 {
			t.Errorf("row %d is in %d cards", i, homes)
		}
		for j, other := range p.rows[:i] {
			if !apart(r.box, other.box) {
				t.Errorf("rows %d and %d overlap", i, j)
			}
		}
	}
	for _, blocks := range [][]block{p.cards, p.rows, p.notes} {
		for _, b := range blocks {
			for i, l := range b.labels {
				if want := 0.62 * l.font.size * float64(cells(l.text)); math.Abs(want-l.w) > 0.01 || !inside(l.box, b.box) {
					t.Errorf("%q of %g does not stay in %+v", l.text, l.w, b.box)
				}
				if i > 0 && l.y < b.labels[i-1].bottom() {
					t.Errorf("%q stands on the line above it", l.text)
				}
			}
		}
	}
	for _, c := range p.curves {
		for _, point := range drawn(c) {
			for _, card := range p.cards {
				if b := card.box; point[0] > b.x+0.1 && point[0] < b.right()-0.1 && point[1] > b.y && point[1] < b.bottom() {
					t.Fatalf("the line %q crosses %q at %v", c.whole, card.labels[0].text, point)
				}
			}
		}
	}
}

// drawn gives points on a curve as the picture has it, read from its path.
func drawn(c curve) (points [][2]float64) {
	var w writer
	w.curve(c)
	_, path, _ := strings.Cut(w.String(), ` d="M`)
	path, _, _ = strings.Cut(path, `"`)
	var at [2]float64
	for i, part := range strings.FieldsFunc(strings.NewReplacer("C", "|C", "L", "|L").Replace(path), func(r rune) bool { return r == '|' }) {
		var n [6]float64
		switch {
		case i == 0:
			_, _ = fmt.Sscan(part, &at[0], &at[1])
			continue
		case part[0] == 'L':
			_, _ = fmt.Sscan(part[1:], &n[4], &n[5])
			n[0], n[1], n[2], n[3] = at[0], at[1], n[4], n[5]
		default:
			_, _ = fmt.Sscan(part[1:], &n[0], &n[1], &n[2], &n[3], &n[4], &n[5])
		}
		for step := range 41 {
			s := float64(step) / 40
			var point [2]float64
			for d := range 2 {
				point[d] = (1-s)*(1-s)*(1-s)*at[d] + 3*s*(1-s)*(1-s)*n[d] + 3*s*s*(1-s)*n[2+d] + s*s*s*n[4+d]
			}
			points = append(points, point)
		}
		at = [2]float64{n[4], n[5]}
	}
	return points
}

// checkSVG: it is XML, of elements that only draw, with nothing from elsewhere, and no character in it moves or hides another.
func checkSVG(t *testing.T, svg []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	allowed := map[string]bool{"svg": true, "title": true, "style": true, "g": true, "rect": true, "text": true, "path": true}
	for elements := 0; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if elements < 10 {
				t.Errorf("%d elements", elements)
			}
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements++
			if !allowed[token.Name.Local] {
				t.Errorf("element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Name.Local, "href") {
					t.Errorf("attribute %s", a.Name.Local)
				}
			}
		case xml.CharData:
			for _, r := range string(token) {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("character %U", r)
				}
			}
		}
	}
	if !utf8.Valid(svg) || bytes.Contains(svg, []byte("url(")) || bytes.Contains(svg, []byte("@import")) {
		t.Error("no UTF-8, or something is fetched")
	}
}

func checkText(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("character %U in %q", r, line)
			}
		}
	}
}

// A Han letter needs the room of two; texts are cut and wrapped by what they need.
func TestLetters(t *testing.T) {
	if got := cells("abc漢字ü"); got != 8 {
		t.Errorf("%d cells", got)
	}
	for _, c := range []struct {
		text         string
		width, lines int
		want         string
	}{
		{"one two three", 20, 2, "one two three"}, {"one two three", 8, 2, "one two|three"}, {"one two three four five", 9, 2, "one two|three f…"}, {"onetwothree", 4, 2, "onet|wo…"}, {"漢字漢字漢", 4, 3, "漢字|漢字|漢"}, {"", 4, 2, ""}, {"漢字漢字", 4, 1, "漢…"},
	} {
		if got := strings.Join(wrap(c.text, c.width, c.lines), "|"); got != c.want {
			t.Errorf("%q at %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
	if got := safe("a\u0300\u0301\u0302b\u0300\n"); got != "a\u0300\\u0301\\u0302b\u0300\\n" {
		t.Errorf("%+q", got)
	}
}

// FuzzPicture: whatever names certificates, keys, signers and reasons have, the picture holds its rules.
func FuzzPicture(f *testing.F) {
	seeds := 0
	for i, name := range hostile {
		f.Add(name, hostile[(i+1)%len(hostile)], uint8(i))
		seeds++
	}
	if seeds < 15 {
		f.Fatalf("only %d seeds", seeds)
	}
	key := called(f, "key", 1)
	f.Fuzz(func(t *testing.T, name, reason string, n uint8) {
		facts := Facts{
			Stores: []Store{
				{Name: DB, Seen: evidence.Yes, Certificates: []*certs.Certificate{key}, Hashes: int(n), Unseen: int(n)}, {Name: DBX, Why: reason},
				{Name: ".machine", Seen: evidence.Yes, Keys: []string{key.KernelName(), name, name + ": 01", name + reason}}, {Name: Modules, Seen: evidence.Yes}, {Name: name, Seen: evidence.Yes, Keys: []string{reason}},
			},
			Ways:    []Way{{DB, ".machine", Loads, evidence.Answer(n % 3), reason}, {".machine", Modules, Verifies, evidence.Answer(n % 3), reason}, {name, reason, Links, evidence.Yes, ""}},
			Signers: []Signer{{SKID: []byte(name), Modules: int(n)}, {Issuer: []byte(name), Serial: []byte(reason), Modules: 1}, {Issuer: key.Issuer, Serial: key.Serial, Modules: 1}},
			Gaps:    []Gap{{name, reason}},
		}
		machines := []Facts{facts}
		for range n % 3 {
			machines = append(machines, facts)
		}
		g := graphOf(machines...)
		checkPicture(t, g.layout(n%2 == 0))
		checkSVG(t, g.SVG(n%2 == 0))
		checkText(t, g.Text(n%2 == 0))
	})
}
