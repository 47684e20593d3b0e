package chart

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Graph gives what was added. A key that one machine shows no certificate of is that of another machine with the same name and id.
func (b *Builder) Graph() *Graph {
	alias := b.aliases()
	nodes := map[string]*Node{}
	for id, n := range b.nodes {
		if alias[id] == "" {
			copied := *n
			nodes[id] = &copied
		}
	}
	for id, to := range alias {
		nodes[to].Machines += b.nodes[id].Machines // no machine has both: it would have found the certificate
	}
	edges := map[[3]string]*Edge{}
	for _, key := range slices.SortedFunc(maps.Keys(b.edges), func(x, y [3]string) int { return slices.Compare(x[:], y[:]) }) {
		e := *b.edges[key]
		e.From, e.To = cmp.Or(alias[e.From], e.From), cmp.Or(alias[e.To], e.To)
		key = [3]string{e.From, e.To, string(e.Kind)}
		if known := edges[key]; known != nil {
			known.Yes, known.No, known.Unknown, known.Refused = known.Yes+e.Yes, known.No+e.No, known.Unknown+e.Unknown, known.Refused+e.Refused
			continue
		}
		edges[key] = &e
	}
	g := &Graph{Machines: b.machines}
	for _, m := range b.gaps {
		if m.machines > 1 {
			m.Reason += fmt.Sprintf(" (on %d machines)", m.machines)
		}
		g.Gaps = append(g.Gaps, m.Gap)
	}
	for _, n := range nodes {
		g.Nodes = append(g.Nodes, *n)
	}
	for _, e := range edges {
		g.Edges = append(g.Edges, *e)
	}
	slices.SortFunc(g.Nodes, func(x, y Node) int {
		return cmp.Or(cmp.Compare(x.order(), y.order()), cmp.Compare(y.Modules, x.Modules), cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	slices.SortFunc(g.Edges, func(x, y Edge) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, x.Kind), slices.Index(kinds, y.Kind)), cmp.Compare(rank(x.From), rank(y.From)), cmp.Compare(rank(x.To), rank(y.To)),
			cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To))
	})
	return g
}

// order puts stores before keys before signers.
func (n Node) order() int {
	switch n.Kind {
	case StoreNode:
		return rank(n.Name)
	case KeyNode:
		return len(places) + 1
	case SignerNode:
		return len(places) + 2
	case UnsignedNode:
		return len(places) + 3
	}
	return len(places) + 4
}

func (b *Builder) aliases() map[string]string {
	byName := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(b.nodes)) {
		if n := b.nodes[id]; n.Kind == KeyNode && n.Key != nil {
			if known := byName[n.Key.KernelName]; known == "" {
				byName[n.Key.KernelName] = id
			}
		}
	}
	alias := map[string]string{}
	for id, n := range b.nodes {
		if n.Kind == KeyNode && n.Key == nil {
			if to := byName[n.Name+": "+n.KeyID]; to != "" && n.KeyID != "" {
				alias[id] = to
			}
		}
	}
	return alias
}
