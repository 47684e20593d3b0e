package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// style has colours that differ in grey too; what matters is told by dashes, frames and words. Nothing is fetched.
const style = `
text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328; white-space: pre; }
.big { font-size: 18px; font-weight: bold; } .column { font-size: 13px; font-weight: bold; letter-spacing: 0; }
.title { font-size: 13px; font-weight: bold; } .plain { font-size: 12px; } .small { font-size: 11px; }
.dim { fill: #59636e; } .way { fill: #0b4f9e; } .note { fill: #59636e; font-style: italic; } .gap { fill: #8a2a00; font-weight: bold; }
.refused { fill: #a40e26; text-decoration: line-through; }
.back { fill: #ffffff; } .card { fill: #f3f5f8; stroke: #59636e; stroke-width: 1.2; } .row { fill: #ffffff; stroke: #d1d9e0; stroke-width: 0.8; }
.card.absent { fill: none; stroke: #b0b8c0; } .card.unseen { fill: none; stroke: #8a2a00; stroke-width: 1.6; stroke-dasharray: 7 4; }
.card.forbids { stroke: #a40e26; } .inner { fill: none; stroke: #a40e26; stroke-width: 0.8; }
.edge { fill: none; stroke: #0b4f9e; stroke-width: 1.6; } .thin { stroke-width: 1; }
.unknown { stroke: #8a5a00; stroke-dasharray: 7 4; } .no { stroke: #7d8590; stroke-dasharray: 1.5 4; }
.head { fill: #0b4f9e; } .head.unknown { fill: #8a5a00; stroke: none; } .head.no { fill: #7d8590; stroke: none; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .dim, .note { fill: #a3adb8; } .way { fill: #7ab7ff; } .gap { fill: #ffb077; } .refused { fill: #ff8a94; }
.back { fill: #0d1117; } .card { fill: #161b22; stroke: #8b949e; } .row { fill: #0d1117; stroke: #30363d; }
.card.absent { fill: none; stroke: #484f58; } .card.unseen { fill: none; stroke: #ffb077; } .card.forbids, .inner { stroke: #ff8a94; }
.edge { stroke: #7ab7ff; } .edge.unknown { stroke: #e3b341; } .edge.no { stroke: #8b949e; }
.head { fill: #7ab7ff; } .head.unknown { fill: #e3b341; } .head.no { fill: #8b949e; }
}
`

// SVG draws a graph (SVG 1.1, with a style sheet inside); all names every key. It needs no font, script or file from elsewhere, and foreign text in it is
// printable and escaped.
func (g *Graph) SVG(all bool) []byte {
	p := g.layout(all)
	w := &writer{}
	w.put(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	w.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img">`+"\n", number(p.w), number(p.h), number(p.w), number(p.h))
	w.put("<title>%s</title>\n<style>%s</style>\n", escape(p.title), style)
	w.put(`<rect class="back" width="%s" height="%s"/>`+"\n", number(p.w), number(p.h))
	for _, c := range p.curves {
		w.curve(c)
	}
	for _, b := range p.cards {
		w.block("card "+b.class, b)
	}
	for _, b := range p.rows {
		w.block(b.class, b)
	}
	for _, b := range p.notes {
		w.block("", b)
	}
	w.put("</svg>\n")
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

func (w *writer) put(format string, args ...any) { fmt.Fprintf(&w.Buffer, format, args...) }

// number writes a length with at most one digit behind the point.
func number(n float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// titled begins a group with what a pointer over it shows.
func (w *writer) titled(lines []string) {
	w.put("<g>")
	if len(lines) > 0 {
		safeLines := make([]string, len(lines))
		for i, l := range lines {
			safeLines[i] = safe(l)
		}
		w.put("<title>%s</title>", escape(strings.Join(safeLines, "\n")))
	}
	w.put("\n")
}

// block draws a frame, unless it has no class, and its text. Each line is an element by itself, which keeps text from right to left within it.
func (w *writer) block(class string, b block) {
	w.titled(b.whole)
	if class != "" {
		w.put(`<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="4"/>`+"\n", class, number(b.x), number(b.y), number(b.w), number(b.h))
	}
	if strings.Contains(class, "forbids") {
		w.put(`<rect class="inner" x="%s" y="%s" width="%s" height="%s" rx="3"/>`+"\n", number(b.x+3), number(b.y+3), number(b.w-6), number(b.h-6))
	}
	for _, l := range b.labels {
		classes := strings.TrimSpace(l.font.class + " " + l.class)
		w.put(`<text class="%s" x="%s" y="%s">%s</text>`+"\n", classes, number(l.x), number(l.base()), escape(l.text))
	}
	w.put("</g>\n")
}

// curve draws an edge, bent in the gutters and straight along the lanes, and its head.
func (w *writer) curve(c curve) {
	var d strings.Builder
	first, last := c.points[0], c.points[len(c.points)-1]
	fmt.Fprintf(&d, "M%s %s", number(first[0]), number(first[1]))
	const head = 7
	direction := 1.0
	if c.loop {
		direction = -1
	}
	for i := 1; i < len(c.points); i++ {
		from, to := c.points[i-1], c.points[i]
		if i == len(c.points)-1 {
			to[0] -= direction * head
		}
		switch middle := (from[0] + to[0]) / 2; {
		case c.loop:
			out := from[0] + gutter*0.45
			fmt.Fprintf(&d, "C%s %s %s %s %s %s", number(out), number(from[1]), number(out), number(to[1]), number(to[0]), number(to[1]))
		case i%2 == 0:
			fmt.Fprintf(&d, "L%s %s", number(to[0]), number(to[1]))
		default:
			fmt.Fprintf(&d, "C%s %s %s %s %s %s", number(middle), number(from[1]), number(middle), number(to[1]), number(to[0]), number(to[1]))
		}
	}
	w.titled([]string{c.whole})
	w.put(`<path class="edge %s" d="%s"/>`+"\n", c.class, d.String())
	back := last[0] - direction*head
	w.put(`<path class="head %s" d="M%s %sL%s %sL%s %sZ"/>`+"\n", c.class, number(last[0]), number(last[1]), number(back), number(last[1]-4), number(back), number(last[1]+4))
	w.put("</g>\n")
}
