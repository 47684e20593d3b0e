package chart

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// name is a key's name and, below it, what it is.
type name struct{ text, detail, whole string }

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
		also := "also in "
		if d.Machines > 1 { // of which machine it stands where, the lines tell
			also = "on this machine or another also in "
		}
		notes = append(notes, also+strings.Join(elsewhere, ", "))
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
	if revokers := d.revokers(n, store); len(revokers) > 0 {
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

// revokers are the lists that refuse a key, but for one, and of many machines on how many each does.
func (d *drawing) revokers(n *Node, but string) (names []string) {
	for _, e := range d.to[n.ID] {
		if e.Kind != Revokes || rank(e.From) >= len(places) || e.From == but {
			continue
		}
		name := places[rank(e.From)].title
		if d.Machines > 1 {
			name += fmt.Sprintf(" on %d", e.Yes)
		}
		names = append(names, name)
	}
	return names
}

// refused tells whether a key is refused on each machine where it stands in a store.
func (d *drawing) refused(n *Node, store Node) bool {
	return slices.ContainsFunc(d.to[n.ID], func(e *Edge) bool { return e.Kind == Holds && e.From == store.ID && e.Refused == e.Yes })
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
			if store.Kind == StoreNode && store.Unseen+store.Hidden > 0 {
				return "not known whether one of these has its key"
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
