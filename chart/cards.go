package chart

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// card is a store as it is drawn: a head, and rows of keys.
type card struct {
	id     string
	place  place
	state  state
	says   string   // what the store is
	status string   // what was seen of it
	ways   []string // what it is to others
	rows   []row
}

// state is how sure its being there is.
type state int

const (
	there state = iota
	absent
	unseen
)

// row is a key or a signer, or several keys at one place, of which the first are named.
type row struct {
	ids     []string
	names   []name
	more    []string // whole names of those that are not named
	notes   []string
	revoked bool
}

// name is a key's name and, below it, what it is.
type name struct{ text, detail, whole string }

// most is how many keys at one place are named each; of more, few are and the rest is counted.
const (
	most = 6
	few  = 3
)

// drawing turns a graph into cards.
type drawing struct {
	*Graph
	all     bool // name every key
	nodes   map[string]*Node
	from    map[string][]*Edge // edges by where they begin
	to      map[string][]*Edge
	sources map[string][]string // the stores that hold a key
}

func (g *Graph) draw(all bool) (*drawing, []card) {
	d := &drawing{Graph: g, all: all, nodes: map[string]*Node{}, from: map[string][]*Edge{}, to: map[string][]*Edge{}, sources: map[string][]string{}}
	for i := range g.Nodes {
		d.nodes[g.Nodes[i].ID] = &g.Nodes[i]
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		d.from[e.From], d.to[e.To] = append(d.from[e.From], e), append(d.to[e.To], e)
		if e.Kind == Holds {
			d.sources[e.To] = append(d.sources[e.To], e.From)
		}
	}
	var cards []card
	for _, n := range g.Nodes {
		if n.Kind == StoreNode && rank(n.Name) < len(places) {
			cards = append(cards, d.card(n))
		}
	}
	return d, cards
}

func (d *drawing) card(n Node) card {
	c := card{id: n.ID, place: places[rank(n.Name)]}
	c.says = c.place.says
	c.status = d.status(n)
	switch {
	case n.Machines > 0:
	case n.Unseen > 0:
		c.state = unseen
	default:
		c.state = absent
	}
	for _, e := range d.from[n.ID] {
		if words := d.way(e); words != "" {
			c.ways = append(c.ways, words)
		}
	}
	if n.Name == Modules {
		c.rows = d.signers()
	} else {
		c.rows = d.keys(n)
	}
	return c
}

// status says what was seen of a store.
func (d *drawing) status(n Node) string {
	var parts []string
	if n.Machines > 0 {
		keys := 0
		for _, e := range d.from[n.ID] {
			if e.Kind == Holds {
				keys++
			}
		}
		switch n.Name {
		case Modules:
			parts = append(parts, d.moduleCount())
		case Kernel:
			if d.Machines == 1 {
				parts = append(parts, n.Why)
			}
		default:
			parts = append(parts, count(keys, "key", "keys"))
		}
		if n.Hashes > 0 {
			parts = append(parts, atMost(d.Machines)+count(n.Hashes, "hash", "hashes"))
		}
		if n.Hidden > 0 {
			parts = append(parts, atMost(d.Machines)+count(n.Hidden, "entry", "entries")+" not readable")
		}
	}
	if d.Machines == 1 {
		switch {
		case n.Absent > 0:
			parts = append(parts, "not there"+because(n.Why))
		case n.Unseen > 0:
			parts = append(parts, "not seen"+because(n.Why))
		}
		return strings.Join(parts, ", ")
	}
	parts = append(parts, fmt.Sprintf("on %d of %d machines", n.Machines, d.Machines))
	if n.Absent > 0 {
		parts = append(parts, fmt.Sprintf("not there on %d", n.Absent))
	}
	if n.Unseen > 0 {
		parts = append(parts, fmt.Sprintf("not seen on %d", n.Unseen))
		if n.Machines == 0 && n.Absent == 0 {
			parts[len(parts)-1] += because(n.Why)
		}
	}
	return strings.Join(parts, ", ")
}

func (d *drawing) moduleCount() string {
	n := 0
	for _, node := range d.Nodes {
		n += node.Modules
	}
	return count(n, "module", "modules")
}

func atMost(machines int) string {
	if machines > 1 {
		return "up to "
	}
	return ""
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// ways are the words of an edge from store to store: yes, no, unknown.
var ways = map[Kind][3]string{
	Updates:  {"signs updates of %s", "signs no updates of %s", "signs updates of %s: not known"},
	Starts:   {"vouches for %s", "does not vouch for %s", "vouches for %s: not known"},
	Mirrors:  {"stands first in %s", "does not stand in %s", "stands first in %s: not known"},
	Loads:    {"goes to %s", "does not go to %s", "goes to %s: not known"},
	BuiltIn:  {"has %s in it", "has no %s in it", "has %s in it: not known"},
	Links:    {"linked under %s", "not linked under %s", "linked under %s: not known"},
	Verifies: {"consulted for %s", "not consulted for %s", "consulted for %s: not known"},
}

// way words an edge from store to store, empty for another.
func (d *drawing) way(e *Edge) string {
	words, known := ways[e.Kind]
	if !known || rank(e.To) == len(places) {
		return ""
	}
	answer, on := 0, e.Yes
	switch {
	case e.Yes > 0:
	case e.Unknown > 0:
		answer, on = 2, e.Unknown
	default:
		answer, on = 1, e.No
	}
	text := fmt.Sprintf(words[answer], places[rank(e.To)].title)
	if d.Machines == 1 {
		return text + because(e.Why)
	}
	text += fmt.Sprintf(", on %d", on)
	if answer != 1 && e.No > 0 {
		text += fmt.Sprintf(", not on %d", e.No)
	}
	if answer == 0 && e.Unknown > 0 {
		text += fmt.Sprintf(", not known on %d", e.Unknown)
	}
	return text
}

// keys puts the keys of a store into rows, those at one place into one.
func (d *drawing) keys(store Node) []row {
	places := map[string][]*Node{}
	var order []string
	for _, n := range d.Nodes {
		if n.Kind != KeyNode || !slices.Contains(d.sources[n.ID], store.ID) {
			continue
		}
		at := strings.Join(d.notes(&n, store.Name), "\n")
		for _, e := range d.from[n.ID] { // a line goes from its row
			at += "\n" + e.To
		}
		if places[at] == nil {
			order = append(order, at)
		}
		places[at] = append(places[at], d.nodes[n.ID])
	}
	slices.SortStableFunc(order, func(x, y string) int { return cmp.Compare(places[y][0].Machines, places[x][0].Machines) })
	var rows []row
	for _, at := range order {
		rows = append(rows, d.group(places[at], store))
	}
	return rows
}

func (d *drawing) group(keys []*Node, store Node) row {
	r := row{notes: d.notes(keys[0], store.Name)}
	r.revoked = len(d.revokers(keys[0])) > 0 && !places[rank(store.Name)].forbid
	shown := len(keys)
	if !d.all && shown > most {
		shown = few
	}
	least, top := d.Machines, 0
	for i, n := range keys {
		on := d.on(store.ID, n.ID)
		least, top = min(least, on), max(top, on)
		r.ids = append(r.ids, n.ID)
		if i < shown {
			r.names = append(r.names, d.name(n))
		} else {
			r.more = append(r.more, n.Name+" "+n.KeyID)
		}
	}
	switch {
	case d.Machines == 1:
	case least == top:
		r.notes = append(r.notes, fmt.Sprintf("on %d of %d machines", top, d.Machines))
	default:
		r.notes = append(r.notes, fmt.Sprintf("on %d to %d of %d machines", least, top, d.Machines))
	}
	if len(keys) > 1 {
		for i := range r.notes {
			r.notes[i] = "each " + r.notes[i]
		}
	}
	return r
}

// on counts the machines on which a store holds a key.
func (d *drawing) on(store, key string) int {
	for _, e := range d.to[key] {
		if e.From == store && e.Kind == Holds {
			return e.Yes
		}
	}
	return 0
}

func (d *drawing) name(n *Node) name {
	var parts []string
	whole := n.Name
	if n.Key != nil {
		whole = n.Key.Subject
		parts = append(parts, algorithm(n))
		if n.Key.NotAfter != nil {
			parts = append(parts, "to "+n.Key.NotAfter.UTC().Format(time.DateOnly))
		}
	} else {
		parts = append(parts, "no certificate seen")
	}
	if n.KeyID != "" {
		parts = append(parts, short(n.KeyID))
		whole += ", key id " + n.KeyID
	}
	return name{n.Name, strings.Join(parts, ", "), whole}
}

// short is the beginning of a key id, enough for the eye.
func short(id string) string {
	if len(id) > 10 {
		return id[:10]
	}
	return id
}

func algorithm(n *Node) string {
	switch k := n.Key; {
	case k.Curve != nil:
		return strings.ToUpper(k.Algorithm) + " " + *k.Curve
	case k.KeyBits != nil:
		return fmt.Sprintf("%s %d", strings.ToUpper(k.Algorithm), *k.KeyBits)
	default:
		return strings.ToUpper(k.Algorithm)
	}
}

// notes say what else is known of a key: where else it stands, who signed it, who refuses it, what it signed.
func (d *drawing) notes(n *Node, store string) (notes []string) {
	var elsewhere, issuers []string
	for _, s := range d.sources[n.ID] {
		if s != store && rank(s) < len(places) && !places[rank(s)].forbid {
			elsewhere = append(elsewhere, places[rank(s)].title)
		}
	}
	if len(elsewhere) > 0 {
		notes = append(notes, "also in "+strings.Join(elsewhere, ", "))
	}
	for _, e := range d.to[n.ID] {
		if e.Kind == Issued && d.nodes[e.From] != nil {
			words := d.nodes[e.From].Name
			if !e.Proven {
				words += " (by name)"
			}
			issuers = append(issuers, words)
		}
	}
	if len(issuers) > 0 {
		notes = append(notes, "signed by "+strings.Join(issuers, ", "))
	}
	if revokers := slices.DeleteFunc(d.revokers(n), func(by string) bool { return by == store }); len(revokers) > 0 {
		notes = append(notes, "REFUSED by "+strings.Join(revokers, ", "))
	}
	signed := 0
	for _, e := range d.from[n.ID] {
		if e.Kind == Signs && d.nodes[e.To] != nil {
			signed += d.nodes[e.To].Modules
		}
	}
	if signed > 0 {
		notes = append(notes, "signed "+count(signed, "module", "modules"))
	}
	return notes
}

func (d *drawing) revokers(n *Node) (names []string) {
	for _, e := range d.to[n.ID] {
		if e.Kind == Revokes && rank(e.From) < len(places) {
			names = append(names, places[rank(e.From)].title)
		}
	}
	return names
}

// signers are the rows of the modules: each signer, then those without one.
func (d *drawing) signers() (rows []row) {
	for i := range d.Nodes {
		n := &d.Nodes[i]
		if n.Kind != SignerNode && n.Kind != UnsignedNode && n.Kind != UnreadNode {
			continue
		}
		r := row{ids: []string{n.ID}, notes: []string{count(n.Modules, "module", "modules")}}
		if d.Machines > 1 {
			r.notes[0] += fmt.Sprintf(" on %d of %d machines", n.Machines, d.Machines)
		}
		r.names = []name{{n.Name, "", n.Name}}
		if n.Kind == SignerNode {
			r.names[0] = d.name(n)
			r.notes = append(r.notes, d.keyOf(n))
		}
		rows = append(rows, r)
	}
	return rows
}

// keyOf tells where the key of a signer stands.
func (d *drawing) keyOf(n *Node) string {
	in := map[string]bool{}
	for _, e := range d.to[n.ID] {
		for _, s := range d.sources[e.From] {
			if rank(s) < len(places) {
				in[s] = true
			}
		}
	}
	if len(in) == 0 {
		for _, store := range d.Nodes { // what was not seen may have it
			if store.Kind == StoreNode && strings.HasPrefix(store.Name, ".") && store.Unseen+store.Hidden > 0 {
				return "not known whether a keyring has its key"
			}
		}
		return "its key stands in none of these"
	}
	var names []string
	for _, s := range slices.SortedFunc(maps.Keys(in), func(x, y string) int { return cmp.Compare(rank(x), rank(y)) }) {
		names = append(names, places[rank(s)].title)
	}
	return "its key: " + strings.Join(names, ", ")
}
