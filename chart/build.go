package chart

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
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

// revoked adds an edge for each key that a list of what is refused has, itself or by its hash.
func (o *one) revoked() {
	for _, s := range o.facts.Stores {
		if at := rank(s.Name); at == len(places) || !places[at].forbid {
			continue
		}
		digests := map[string]bool{}
		for _, d := range s.Forbids {
			digests[string(d)] = true
		}
		for _, id := range slices.Sorted(maps.Keys(o.held)) {
			c := o.certs[id]
			if slices.Contains(o.held[id], s.Name) || c != nil && len(digests) > 0 && slices.ContainsFunc(sums(c), func(sum string) bool { return digests[sum] }) {
				o.edge(s.Name, id, Revokes).Yes++
			}
		}
	}
}

// sums are the digests by which a list may name a certificate (UEFI 2.10, 32.4.1; certs/blacklist.c, kind tbs).
func sums(c *certs.Certificate) (all []string) {
	for _, name := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"} {
		if hash, ok := certs.Hash(name); ok {
			h := hash.New()
			h.Write(c.RawTBS)
			all = append(all, string(h.Sum(nil)))
		}
	}
	return all
}

// likeness is how two certificates stand to each other.
type likeness int

const (
	strangers likeness = iota + 1
	likely             // names agree, and the signature is of a kind that cannot be computed here
	proven
)

// issued adds an edge from each key to those that it signed.
func (o *one) issued() {
	bySubject := map[string][]string{}
	ids := slices.Sorted(maps.Keys(o.certs))
	for _, id := range ids {
		if o.held[id] != nil {
			subject := string(o.certs[id].Subject)
			bySubject[subject] = append(bySubject[subject], id)
		}
	}
	for _, id := range ids {
		if o.held[id] == nil {
			continue
		}
		for _, by := range bySubject[string(o.certs[id].Issuer)] {
			if by == id {
				continue
			}
			pair := [2]string{id, by}
			if o.signed[pair] == 0 {
				o.signed[pair] = compare(o.certs[id], o.certs[by])
			}
			if o.signed[pair] != strangers {
				e := o.edge(by, id, Issued)
				e.Proven = o.signed[pair] == proven
				e.Yes++
			}
		}
	}
}

func compare(c, issuer *certs.Certificate) likeness {
	if c.Authority.KeyID != nil && issuer.SubjectKeyID != nil && !bytes.Equal(c.Authority.KeyID, issuer.SubjectKeyID) {
		return strangers
	}
	switch signed, err := c.SignedBy(issuer); {
	case err != nil:
		return likely
	case signed:
		return proven
	}
	return strangers
}

// signer adds the signer of modules, with an edge from the key that it names.
func (o *one) signer(s Signer) {
	id := "signer:" + hex.EncodeToString(s.SKID)
	if s.SKID == nil {
		sum := sha256.Sum256(s.Issuer)
		id = "signer:" + hex.EncodeToString(s.Serial) + ":" + hex.EncodeToString(sum[:])
	}
	key, c := o.named(s)
	n := o.node(id, func() Node {
		if s.SKID != nil {
			return Node{Kind: SignerNode, Name: "key id " + hex.EncodeToString(s.SKID), KeyID: hex.EncodeToString(s.SKID)}
		}
		return Node{Kind: SignerNode, Name: certs.DistinguishedName(s.Issuer) + ", serial number " + hex.EncodeToString(s.Serial)}
	})
	n.Modules += s.Modules
	if c != nil && n.Key == nil {
		details := c.Details()
		n.Key, n.Name, n.KeyID = &details, nameOf(details), details.KeyID
	}
	if key != "" {
		o.edge(key, id, Signs).Yes++
	}
}

// named finds the key that a signer names, one in a keyring of the kernel before all others, and its certificate, which may be in no store.
func (o *one) named(s Signer) (key string, found *certs.Certificate) {
	best := 0
	for _, c := range o.pool {
		if s.SKID != nil && !bytes.Equal(c.SubjectKeyID, s.SKID) || s.SKID == nil && !bytes.Equal(c.ID0(), slices.Concat(s.Serial, s.Issuer)) {
			continue
		}
		worth, id := 1, o.id(c)
		for _, store := range o.held[id] {
			worth = max(worth, 2)
			if strings.HasPrefix(store, ".") {
				worth = 3
			}
		}
		if worth > best {
			best, found = worth, c
			if worth > 1 {
				key = id
			}
		}
	}
	if found != nil || s.SKID == nil {
		return key, found
	}
	for _, id := range slices.Sorted(maps.Keys(o.held)) { // the kernel's descriptions have the key id alone
		if n := o.nodes[id]; n.Key == nil && n.KeyID == hex.EncodeToString(s.SKID) {
			return id, nil
		}
	}
	return "", nil
}

func (o *one) modules(kind, name string, n int) {
	if n > 0 {
		o.node(kind, func() Node { return Node{Kind: kind, Name: name} }).Modules += n
	}
}

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
			known.Yes, known.No, known.Unknown = known.Yes+e.Yes, known.No+e.No, known.Unknown+e.Unknown
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
