package chart

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/evidence"
)

// Builder puts machines together, one after the other; it keeps of each only what is new.
type Builder struct {
	machines int
	nodes    map[string]*Node
	edges    map[[3]string]*Edge
	signed   map[[2]string]likeness // by child and issuer
	gaps     []missed
	ids      map[*certs.Certificate]string
}

// missed is a gap, and on how many machines it is.
type missed struct {
	Gap
	machines int
}

// NewBuilder begins with no machine.
func NewBuilder() *Builder {
	return &Builder{nodes: map[string]*Node{}, edges: map[[3]string]*Edge{}, signed: map[[2]string]likeness{}}
}

// one is a machine that is being added.
type one struct {
	*Builder
	facts Facts
	pool  []*certs.Certificate // those in stores, first of those that feed keyrings, then the others
	held  map[string][]string  // the stores that a key stands in
	certs map[string]*certs.Certificate
	seen  map[string]bool // the nodes that this machine was counted for
}

// Add adds a machine.
func (b *Builder) Add(f Facts) {
	b.machines++
	b.ids = map[*certs.Certificate]string{}
	o := &one{Builder: b, facts: f, held: map[string][]string{}, certs: map[string]*certs.Certificate{}, seen: map[string]bool{}}
	for _, s := range slices.SortedStableFunc(slices.Values(f.Stores), func(x, y Store) int { return cmp.Compare(feeds(x.Name), feeds(y.Name)) }) {
		o.pool = append(o.pool, s.Certificates...)
	}
	o.pool = append(o.pool, f.Others...)
	for _, s := range f.Stores {
		o.store(s)
	}
	for _, w := range f.Ways {
		e := b.edge(w.From, w.To, w.Kind)
		e.count(w.Answer)
		if e.Why == "" {
			e.Why = w.Why
		}
	}
	o.revoked()
	o.issued()
	for _, s := range f.Signers {
		o.signer(s)
	}
	o.modules(UnsignedNode, "unsigned", f.Unsigned)
	o.modules(UnreadNode, "signature not readable", f.Unread)
	here := map[string]bool{}
	for _, g := range f.Gaps {
		if !here[g.Source] {
			here[g.Source] = true
			b.Miss(g)
		}
	}
}

// feeds puts the stores first that the kernel takes keys from.
func feeds(store string) int {
	if at := slices.Index([]string{MOK, Shim, DB}, store); at >= 0 {
		return at
	}
	return 3
}

// Miss notes a source that could not be read: of the machine added last, or a machine as a whole. Of several reasons the first is told.
func (b *Builder) Miss(g Gap) {
	for i := range b.gaps {
		if b.gaps[i].Source == g.Source {
			b.gaps[i].machines++
			return
		}
	}
	b.gaps = append(b.gaps, missed{g, 1})
}

func (e *Edge) count(a evidence.Answer) {
	switch a {
	case evidence.Yes:
		e.Yes++
	case evidence.No:
		e.No++
	default:
		e.Unknown++
	}
}

func (b *Builder) edge(from, to string, kind Kind) *Edge {
	key := [3]string{from, to, string(kind)}
	if b.edges[key] == nil {
		b.edges[key] = &Edge{From: from, To: to, Kind: kind}
	}
	return b.edges[key]
}

// node gives the node, which make describes when it is new, and counts this machine for it once.
func (o *one) node(id string, make func() Node) *Node {
	n := o.nodes[id]
	if n == nil {
		made := make()
		made.ID = id
		n = &made
		o.nodes[id] = n
	}
	if !o.seen[id] && n.Kind != StoreNode {
		o.seen[id] = true
		n.Machines++
	}
	return n
}

// store adds a store and its keys.
func (o *one) store(s Store) {
	n := o.node(s.Name, func() Node { return Node{Kind: StoreNode, Name: s.Name} })
	switch s.Seen {
	case evidence.Yes:
		n.Machines++
	case evidence.No:
		n.Absent++
	default:
		n.Unseen++
	}
	if n.Why == "" {
		n.Why = s.Why
	}
	n.Hashes, n.Hidden = max(n.Hashes, s.Hashes), max(n.Hidden, s.Unseen)
	for _, c := range s.Certificates {
		o.hold(s.Name, o.key(c))
	}
	for _, description := range s.Keys {
		o.hold(s.Name, o.described(description))
	}
}

func (o *one) hold(store, key string) {
	if !slices.Contains(o.held[key], store) {
		o.held[key] = append(o.held[key], store)
		o.edge(store, key, Holds).Yes++
	}
}

// key adds the node of a certificate and gives its id.
func (o *one) key(c *certs.Certificate) string {
	id := o.id(c)
	o.certs[id] = c
	o.node(id, func() Node {
		details := c.Details()
		return Node{Kind: KeyNode, Name: nameOf(details), Key: &details, KeyID: details.KeyID}
	})
	return id
}

func (o *one) id(c *certs.Certificate) string {
	if o.ids[c] == "" {
		sum := sha256.Sum256(c.Raw)
		o.ids[c] = "key:" + hex.EncodeToString(sum[:])
	}
	return o.ids[c]
}

// nameOf is the common name, unless it shows nothing, else the whole one.
func nameOf(d certs.Details) string {
	if d.CommonName != nil && strings.TrimSpace(*d.CommonName) != "" {
		return *d.CommonName
	}
	return d.Subject
}

// described adds the node of a key that the kernel describes: that of the certificate with this name and id, if one was found.
func (o *one) described(description string) string {
	for _, c := range o.pool {
		if c.MatchesName(description) {
			return o.key(c)
		}
	}
	sum := sha256.Sum256([]byte(description))
	id := "kernel-key:" + hex.EncodeToString(sum[:])
	o.node(id, func() Node {
		n := Node{Kind: KeyNode, Name: description}
		if name, keyID, ok := certs.ParseKernelName(description); ok {
			n.Name, n.KeyID = cmp.Or(name, description), hex.EncodeToString(keyID)
		}
		return n
	})
	return id
}
