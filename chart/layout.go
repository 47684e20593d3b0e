package chart

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The sizes of the picture, in the units of its viewBox; a letter of ordinary text is 12 high.
const (
	cardWidth  = 300.0
	gutter     = 96.0
	margin     = 24.0
	pad        = 10.0
	between    = 18.0 // two cards
	laneHeight = 8.0
)

// font is a size of text, and how far apart its lines are.
type font struct {
	class      string
	size, line float64
}

var (
	big    = font{"big", 18, 26}
	column = font{"column", 13, 24}
	title  = font{"title", 13, 18}
	plain  = font{"plain", 12, 16}
	small  = font{"small", 11, 15}
)

func (f font) fits(width float64) int { return int(math.Floor(width / (em * f.size))) }

type box struct{ x, y, w, h float64 }

func (b box) right() float64  { return b.x + b.w }
func (b box) bottom() float64 { return b.y + b.h }

// label is a line of text and the room that it is taken to need.
type label struct {
	box
	font  font
	text  string // printable
	class string // besides the font's
}

func (l label) base() float64 { return l.y + l.font.line*0.75 }

// block is a card or a row with its text; whole is what a pointer over it shows.
type block struct {
	box
	class  string
	whole  []string
	labels []label
}

// curve is an edge; its points are its ends and, in pairs, those of the lanes between them.
type curve struct {
	class  string
	points [][2]float64
	loop   bool // it comes back to the column that it left
	whole  string
}

// picture is where everything stands.
type picture struct {
	box
	cards, rows []block
	curves      []curve
	notes       []block // what stands above and below the cards
	title       string
}

// placing lays a drawing out.
type placing struct {
	*drawing
	picture
	cards []card
	at    map[string]box       // cards by id
	ports map[string]float64   // where an edge leaves its card, by edge
	rowAt map[[2]string]box    // rows by card and node
	lanes map[string][]float64 // the heights at which an edge passes columns
	taken map[string]int       // arrows that arrived at a card, by card and side
}

func (g *Graph) layout(all bool) *picture {
	d, cards := g.draw(all)
	p := &placing{drawing: d, cards: cards, at: map[string]box{}, ports: map[string]float64{}, rowAt: map[[2]string]box{}, lanes: map[string][]float64{}, taken: map[string]int{}}
	p.w = 2*margin + float64(len(columns))*cardWidth + float64(len(columns)-1)*gutter
	p.head()
	top := p.h
	for i := range columns {
		p.h = max(p.h, p.column(i, top))
	}
	p.edges()
	p.foot()
	p.h += margin
	return &p.picture
}

func columnX(i int) float64 { return margin + float64(i)*(cardWidth+gutter) }

// write adds a line to a block, below those that it has.
func (b *block) write(f font, class, text string) {
	l := label{box{b.x + pad, b.bottom(), em * f.size * float64(cells(text)), f.line}, f, text, class}
	b.labels = append(b.labels, l)
	b.h += f.line
}

// wrapped adds a text of at most so many lines.
func (b *block) wrapped(f font, class, text string, lines int) {
	for _, part := range wrap(safe(text), f.fits(b.w-2*pad), lines) {
		b.write(f, class, part)
	}
}

func (p *placing) head() {
	p.picture.title = "Who vouches for whom"
	if p.Machines != 1 {
		p.picture.title += ", on " + count(p.Machines, "machine", "machines")
	}
	b := block{box: box{margin - pad, margin, p.w - 2*margin + 2*pad, 0}}
	b.write(big, "", p.picture.title)
	p.picture.notes = append(p.picture.notes, b)
	for i, name := range columns {
		c := block{box: box{columnX(i) - pad, b.bottom() + 6, cardWidth + 2*pad, 0}}
		c.write(column, "", name)
		p.picture.notes = append(p.picture.notes, c)
		p.h = c.bottom() + 4
	}
}

// slot is a place in a column: for a card, or for an edge that passes.
type slot struct {
	rank float64
	card *card
	edge string
}

// passes are the ranks at which edges pass the column of shim, by where they go.
func passes(to string) float64 {
	switch to {
	case Kernel:
		return float64(rank(Shim)) - 0.5
	case ".blacklist":
		return float64(rank(MOKX)) + 0.5
	}
	return float64(rank(MOK)) + 0.5
}

func edgeID(e *Edge) string { return e.From + "\x00" + e.To + "\x00" + string(e.Kind) }

// column places the cards of a column and the edges that pass it, and gives where it ends.
func (p *placing) column(i int, y float64) float64 {
	var slots []slot
	for j := range p.cards {
		if c := &p.cards[j]; c.place.column == i {
			slots = append(slots, slot{float64(rank(c.place.name)), c, ""})
		}
	}
	for j := range p.Edges {
		e := &p.Edges[j]
		if p.storeEdge(e) && places[rank(e.From)].column < i && i < places[rank(e.To)].column {
			slots = append(slots, slot{passes(e.To), nil, edgeID(e)})
		}
	}
	slices.SortStableFunc(slots, func(a, b slot) int { return cmp.Compare(a.rank, b.rank) })
	for _, s := range slots {
		if s.card == nil {
			p.lanes[s.edge] = append(p.lanes[s.edge], columnX(i), y+laneHeight/2)
			y += laneHeight + between
			continue
		}
		y = p.card(s.card, columnX(i), y) + between
	}
	return y
}

// storeEdge tells an edge that is drawn from card to card.
func (p *placing) storeEdge(e *Edge) bool {
	_, known := ways[e.Kind]
	return known && rank(e.From) < len(places) && rank(e.To) < len(places) && p.nodes[e.From] != nil && p.nodes[e.To] != nil
}

func (p *placing) card(c *card, x, y float64) float64 {
	b := block{box: box{x, y, cardWidth, 6}, class: [...]string{"there", "absent", "unseen"}[c.state]}
	if c.place.forbid {
		b.class += " forbids"
	}
	b.wrapped(title, "", c.place.title, 1)
	b.wrapped(small, "dim", c.says, 1)
	b.wrapped(plain, "", c.status, 3)
	b.whole = append([]string{c.place.title + ": " + c.says, c.status}, c.ways...)
	at := 0
	for i := range p.Edges {
		e := &p.Edges[i]
		if e.From != c.id || p.way(e) == "" {
			continue
		}
		p.ports[edgeID(e)] = b.bottom() + small.line/2
		b.wrapped(small, "way", "→ "+c.ways[at], 2)
		at++
	}
	b.h += 4
	var rows []block
	for _, r := range c.rows {
		line := p.row(r, box{x + 5, b.bottom() + 3, cardWidth - 10, 3})
		for _, id := range r.ids {
			p.rowAt[[2]string{c.id, id}] = line.box
		}
		rows = append(rows, line)
		b.h = line.bottom() + 2 - b.y
	}
	b.h += 4
	p.at[c.id] = b.box
	p.picture.cards, p.picture.rows = append(p.picture.cards, b), append(p.picture.rows, rows...)
	return b.bottom()
}

func (p *placing) row(r row, at box) block {
	b := block{box: at, class: "row"}
	class := ""
	if r.revoked {
		class = "refused"
	}
	for i, n := range r.names {
		if i > 0 {
			b.h += 4
		}
		b.wrapped(plain, class, n.text, 2)
		b.wrapped(small, "dim", n.detail, 1)
		b.whole = append(b.whole, n.whole)
	}
	if len(r.more) > 0 {
		b.h += 4
		b.wrapped(plain, "", fmt.Sprintf("and %d more", len(r.more)), 1)
		b.whole = append(b.whole, r.more...)
	}
	for _, note := range r.notes {
		b.wrapped(small, "note", note, 2)
		b.whole = append(b.whole, note)
	}
	b.h += 3
	return b
}

// edges draws from card to card, and from the row of a key in a keyring to that of the signer.
func (p *placing) edges() {
	for i := range p.Edges {
		e := &p.Edges[i]
		if p.storeEdge(e) {
			p.storeCurve(e)
		}
		if e.Kind == Signs {
			p.signerCurves(e)
		}
	}
}

func (p *placing) storeCurve(e *Edge) {
	from, to := p.at[e.From], p.at[e.To]
	c := curve{class: sure(e), whole: places[rank(e.From)].title + " " + p.way(e)}
	c.loop = from.x == to.x
	side, x := "left", to.x
	if c.loop {
		side, x = "right", to.right()
	}
	n := p.taken[e.To+side]
	p.taken[e.To+side]++
	c.points = append(c.points, [2]float64{from.right(), p.ports[edgeID(e)]})
	lanes := p.lanes[edgeID(e)]
	for i := 0; i+1 < len(lanes); i += 2 {
		c.points = append(c.points, [2]float64{lanes[i], lanes[i+1]}, [2]float64{lanes[i] + cardWidth, lanes[i+1]})
	}
	c.points = append(c.points, [2]float64{x, min(to.y+10+9*float64(n), to.bottom()-4)})
	p.curves = append(p.curves, c)
}

// sure is the class of an edge: drawn through where some machine says yes, dashed where it is not known, dotted where none does.
func sure(e *Edge) string {
	switch {
	case e.Yes > 0:
		return "yes"
	case e.Unknown > 0:
		return "unknown"
	}
	return "no"
}

func (p *placing) signerCurves(e *Edge) {
	to, drawn := p.rowAt[[2]string{Modules, e.To}]
	if !drawn {
		return
	}
	for _, store := range p.sources[e.From] {
		from, ok := p.rowAt[[2]string{store, e.From}]
		if !ok || !strings.HasPrefix(store, ".") {
			continue
		}
		class := "unknown"
		for _, w := range p.drawing.from[store] {
			if w.Kind == Verifies {
				class = sure(w)
			}
		}
		p.curves = append(p.curves, curve{class: class + " thin", points: [][2]float64{{from.right() + 5, from.y + from.h/2}, {to.x - 5, to.y + to.h/2}},
			whole: p.nodes[e.From].Name + " in " + store + " signed " + count(p.nodes[e.To].Modules, "module", "modules")})
	}
}

// foot explains the lines, and names what was not seen.
func (p *placing) foot() {
	b := block{box: box{margin - pad, p.h + 6, p.w - 2*margin + 2*pad, 0}}
	for _, text := range []string{
		"A line drawn through: yes. Dashed: not known. Dotted: no. A thin line joins a key in a keyring with what it signed. A double frame holds what is refused.",
		"Keys are joined by name and id: a match, no proof. “signed by” was computed, unless it says by name.",
	} {
		b.wrapped(small, "dim", text, 2)
	}
	for _, gap := range p.Gaps {
		b.wrapped(small, "gap", "not seen: "+gap.Source+": "+gap.Reason, 2)
		b.whole = append(b.whole, gap.Source+": "+gap.Reason)
	}
	p.picture.notes = append(p.picture.notes, b)
	p.h = b.bottom()
}
