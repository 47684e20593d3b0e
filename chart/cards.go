package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// keys puts the keys of a store into rows, those at one place into one.
func (d *drawing) keys(store Node) []row {
	places := map[string][]*Node{}
	var order []string
	for _, n := range d.Nodes {
		if n.Kind != KeyNode || !slices.Contains(d.sources[n.ID], store.ID) {
			continue
		}
		at := strings.Join(d.notes(&n, store.Name), "\n") + fmt.Sprint(d.refused(&n, store)) // those struck out stand apart
		for _, e := range d.from[n.ID] {                                                     // a line goes from its row
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
	r.revoked = d.refused(keys[0], store) && !places[rank(store.Name)].forbid
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
