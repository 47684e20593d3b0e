package chart

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
)

func certificate(t testing.TB, spec certtest.Spec) (*certs.Certificate, *certtest.Cert) {
	t.Helper()
	made := certtest.Make(t, spec)
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	return c, made
}

// called is a certificate with a name and a key id.
func called(t testing.TB, name string, id ...byte) *certs.Certificate {
	t.Helper()
	c, _ := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN(name)}, SKID: id, Serial: append([]byte{1}, id...)})
	return c
}

func find(t *testing.T, g *Graph, id string) Node {
	t.Helper()
	for _, n := range g.Nodes {
		if n.ID == id {
			return n
		}
	}
	t.Fatalf("no node %s", id)
	return Node{}
}

// named gives the only node of this name.
func named(t *testing.T, g *Graph, kind, name string) Node {
	t.Helper()
	var found []Node
	for _, n := range g.Nodes {
		if n.Kind == kind && n.Name == name {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d nodes %s %q", len(found), kind, name)
	}
	return found[0]
}

// between gives the edges of a kind, as "from>to" by names.
func edgesOf(g *Graph, kind Kind) (all []string) {
	names := map[string]string{}
	for _, n := range g.Nodes {
		names[n.ID] = n.Name
	}
	for _, e := range g.Edges {
		if e.Kind == kind {
			all = append(all, names[e.From]+">"+names[e.To])
		}
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func graphOf(machines ...Facts) *Graph {
	b := NewBuilder()
	for _, f := range machines {
		b.Add(f)
	}
	return b.Graph()
}

// A key in a keyring is that of the certificate with its name and id; one of which none was found stays, under the kernel's words.
func TestKeysJoined(t *testing.T) {
	mok, image := called(t, "mok", 1), called(t, "build", 2)
	g := graphOf(Facts{
		Stores: []Store{
			{Name: MOK, Seen: evidence.Yes, Certificates: []*certs.Certificate{mok}},
			{Name: ".machine", Seen: evidence.Yes, Keys: []string{"mok: 01", "mok: 02", "strange; words"}},
			{Name: ".builtin_trusted_keys", Seen: evidence.Yes, Keys: []string{"build: 02"}},
		},
		Others: []*certs.Certificate{image, called(t, "nowhere", 9)},
	})
	same(t, "held", edgesOf(g, Holds), "MokListRT>mok", ".machine>mok", ".machine>mok", ".machine>strange; words", ".builtin_trusted_keys>build")
	if n := named(t, g, KeyNode, "build"); n.Key == nil || n.KeyID != "02" {
		t.Errorf("%+v", n)
	}
	if n := named(t, g, KeyNode, "strange; words"); n.Key != nil || n.KeyID != "" {
		t.Errorf("%+v", n)
	}
	if slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.Name == "nowhere" }) {
		t.Error("a certificate that stands in no store is drawn")
	}
}

// That one certificate issued another is computed: the name alone, and the name with the wrong key, make no edge.
func TestIssued(t *testing.T) {
	ca, made := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN("ca")}, SKID: []byte{1}})
	leaf, _ := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN("leaf")}, SKID: []byte{2}, Signer: made})
	other, otherMade := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN("other")}, SKID: []byte{3}, Key: certtest.RSA(2048, 5)})
	forged, _ := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN("forged")}, Issuer: certtest.Name{certtest.CN("ca")}, SKID: []byte{4}, Signer: otherMade})
	g := graphOf(Facts{Stores: []Store{{Name: DB, Seen: evidence.Yes, Certificates: []*certs.Certificate{ca, leaf, other, forged}}}})
	same(t, "issued", edgesOf(g, Issued), "ca>leaf")
	for _, e := range g.Edges {
		if e.Kind == Issued && !e.Proven {
			t.Errorf("%+v", e)
		}
	}
	if text := g.Text(false); !strings.Contains(text, "signed by ca\n") {
		t.Error(text)
	}
}

// A list of what is refused has a certificate itself, or a digest of its signed part.
func TestRevoked(t *testing.T) {
	whole, hashed, free := called(t, "whole", 1), called(t, "hashed", 2), called(t, "free", 3)
	sum := sha256.Sum256(hashed.RawTBS)
	g := graphOf(Facts{Stores: []Store{
		{Name: DB, Seen: evidence.Yes, Certificates: []*certs.Certificate{whole, hashed, free}},
		{Name: DBX, Seen: evidence.Yes, Certificates: []*certs.Certificate{whole}, Hashes: 3},
		{Name: MOKX, Seen: evidence.Yes, Forbids: [][]byte{sum[:]}, Hashes: 1},
		{Name: ".blacklist", Seen: evidence.Yes, Keys: []string{"free: 04"}},
	}})
	same(t, "revoked", edgesOf(g, Revokes), "dbx>whole", "MokListXRT>hashed", ".blacklist>free")
	text := g.Text(false)
	for _, want := range []string{"REFUSED by dbx\n", "REFUSED by MokListXRT\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if drawn := string(g.SVG(false)); strings.Count(drawn, `class="plain refused"`) != 2 {
		t.Error("not both are struck out in db, or another is")
	}
}

// A key is struck out in a store only where each machine that has it there refuses it, by whichever list.
func TestRefusedSomewhere(t *testing.T) {
	key := called(t, "key", 1)
	list := func(name string, keys ...*certs.Certificate) Store {
		return Store{Name: name, Seen: evidence.Yes, Certificates: keys}
	}
	for _, c := range []struct {
		why      string
		machines []Facts
		want     int
	}{
		{"in dbx of another machine", []Facts{{Stores: []Store{list(DB, key), list(DBX)}}, {Stores: []Store{list(DB), list(DBX, key)}}}, 0},
		{"on one of two", []Facts{{Stores: []Store{list(DB, key), list(DBX)}}, {Stores: []Store{list(DB, key), list(DBX, key)}}}, 0},
		{"on both, by different lists", []Facts{{Stores: []Store{list(DB, key), list(MOKX, key)}}, {Stores: []Store{list(DB, key), list(DBX, key)}}}, 1},
		{"in db of both, and in shim's list of one that does not refuse it", []Facts{{Stores: []Store{list(DB, key), list(MOK, key)}}, {Stores: []Store{list(DB, key), list(DBX, key)}}}, 0},
		{"in two stores, on the machine that refuses it in one", []Facts{{Stores: []Store{list(DB, key)}}, {Stores: []Store{list(MOK, key), list(DBX, key)}}}, 1},
	} {
		if got := strings.Count(string(graphOf(c.machines...).SVG(false)), `class="plain refused"`); got != c.want {
			t.Errorf("%s: struck out %d times, want %d", c.why, got, c.want)
		}
	}
}

// A signer is the key that it names, one in a keyring before its namesake in a list; who is not known and who did not sign are told too.
func TestSigners(t *testing.T) {
	key, twin := called(t, "key", 1), called(t, "key", 1)
	double, _ := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN("key")}, SKID: []byte{1}, Serial: []byte{1, 1}, Key: certtest.RSA(2048, 5)})
	onFile := called(t, "on file", 7)
	namesake, _ := certificate(t, certtest.Spec{Subject: certtest.Name{certtest.CN("other")}, Issuer: certtest.Name{certtest.CN("key")}, SKID: []byte{6}, Serial: []byte{1, 1}})
	if !bytes.Equal(key.Raw, twin.Raw) || bytes.Equal(key.Raw, double.Raw) || !bytes.Equal(key.ID0(), double.ID0()) || !bytes.Equal(key.ID0(), namesake.ID0()) {
		t.Fatal("no namesakes")
	}
	g := graphOf(Facts{
		Stores: []Store{
			{Name: KEK, Seen: evidence.Yes, Certificates: []*certs.Certificate{double}},
			{Name: MOK, Seen: evidence.Yes, Certificates: []*certs.Certificate{namesake, key}},
			{Name: ".machine", Seen: evidence.Yes, Keys: []string{"key: 01", "only described: 05"}},
			{Name: Modules, Seen: evidence.Yes},
		},
		Others: []*certs.Certificate{onFile},
		Signers: []Signer{
			{Issuer: key.Issuer, Serial: key.Serial, Modules: 4000}, {SKID: []byte{5}, Modules: 20}, {SKID: []byte{7}, Modules: 2}, {SKID: []byte{8}, Modules: 1},
		},
		Unsigned: 3, Unread: 1,
	})
	same(t, "signed", edgesOf(g, Signs), "key>key", "only described>key id 05")
	for _, e := range g.Edges {
		if e.Kind == Signs && e.To[:7] == "signer:" && find(t, g, e.To).Modules == 4000 && find(t, g, e.From).Key.SHA256 != fmt.Sprintf("%x", sha256.Sum256(key.Raw)) {
			t.Error("the signer is the namesake that stands in no keyring")
		}
	}
	for kind, want := range map[string]int{UnsignedNode: 3, UnreadNode: 1} {
		if n := find(t, g, kind); n.Modules != want || n.Kind != kind {
			t.Errorf("%+v", n)
		}
	}
	text := g.Text(false)
	for _, want := range []string{"modules: 4027 modules", "its key: MokListRT, .machine\n", "its key stands in none of these\n", "unsigned\n", "signature not readable\n", "on file", "key id 08"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// That no keyring has a signer's key is said only where all of them were seen.
func TestSignerUnseen(t *testing.T) {
	for want, ring := range map[string]Store{
		"its key stands in none of these\n": {Name: ".machine", Seen: evidence.Yes}, "not known whether one of these has its key\n": {Name: ".machine"},
		"  not known whether one of these has its key\n": {Name: ".machine", Seen: evidence.Yes, Unseen: 1},
	} {
		g := graphOf(Facts{Stores: []Store{ring, {Name: Modules, Seen: evidence.Yes}}, Signers: []Signer{{SKID: []byte{1}, Modules: 1}}})
		if text := g.Text(false); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What could not be seen is told as that, what is not there as that, on one machine and on several.
func TestUnseen(t *testing.T) {
	seen := Facts{Stores: []Store{{Name: PK, Seen: evidence.No}, {Name: DB, Seen: evidence.Yes, Certificates: []*certs.Certificate{called(t, "a", 1)}}}}
	blind := Facts{Stores: []Store{{Name: PK, Why: "no permission"}, {Name: DB, Why: "no permission"}}, Gaps: []Gap{{"PK", "no permission"}}}
	for name, c := range map[string]struct {
		machines []Facts
		want     []string
	}{
		"one": {[]Facts{blind}, []string{"PK: not seen: no permission\n", "db: not seen: no permission\n"}},
		"two": {[]Facts{blind, seen}, []string{"PK: on 0 of 2 machines, not there on 1, not seen on 1", "db: 1 key, on 1 of 2 machines, not seen on 1", "on 1 of 2 machines\n"}},
	} {
		g := graphOf(c.machines...)
		for _, want := range c.want {
			if text := g.Text(false); !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
		if drawn := string(g.SVG(false)); !strings.Contains(drawn, `not seen: PK: no permission`) || !strings.Contains(drawn, `class="card unseen"`) {
			t.Errorf("%s: the picture does not show what was not seen", name)
		}
	}
}

// Answers of several machines are counted; a key without a certificate is that of another machine's.
func TestUnion(t *testing.T) {
	key := called(t, "key", 1)
	way := func(a evidence.Answer) []Way { return []Way{{MOK, ".machine", Loads, a, "why"}} }
	stores := func(list ...*certs.Certificate) []Store {
		return []Store{{Name: MOK, Seen: evidence.Yes, Certificates: list}, {Name: ".machine", Seen: evidence.Yes, Keys: []string{"key: 01"}}}
	}
	g := graphOf(Facts{Stores: stores(key), Ways: way(evidence.Yes)}, Facts{Stores: stores(), Ways: way(evidence.No)}, Facts{Stores: stores(), Ways: way(evidence.Unknown)})
	if n := named(t, g, KeyNode, "key"); n.Machines != 3 || n.Key == nil {
		t.Errorf("%+v", n)
	}
	for _, e := range g.Edges {
		switch {
		case e.Kind == Loads && (e.Yes != 1 || e.No != 1 || e.Unknown != 1 || e.Answer() != nil):
			t.Errorf("%+v", e)
		case e.Kind == Holds && e.From == ".machine" && e.Yes != 3:
			t.Errorf("%+v", e)
		}
	}
	if text := g.Text(false); !strings.Contains(text, "goes to .machine, on 1, not on 1, not known on 1\n") || !strings.Contains(text, "on 3 of 3 machines\n") {
		t.Error(text)
	}
}
