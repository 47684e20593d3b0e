package chart

import (
	"fmt"
	"strings"

	"kkeys/internal/printable"
)

// Text draws a graph as lines, from the firmware to the modules; all names every key. Foreign text is printable.
func (g *Graph) Text(all bool) string {
	var b strings.Builder
	column := -1
	_, cards := g.draw(all)
	for _, c := range cards {
		if c.place.column != column {
			if column >= 0 {
				b.WriteString("\n")
			}
			column = c.place.column
			b.WriteString(columns[column] + "\n")
		}
		c.text(&b)
	}
	return b.String()
}

// nameWidth is how many characters of a name a line has.
const nameWidth = 60

func (c card) text(b *strings.Builder) {
	head := "  " + c.place.title + ": " + c.status
	if c.state == there {
		head += " – " + c.says
	}
	b.WriteString(line(head) + "\n")
	stem := "  "
	if len(c.rows) > 0 {
		stem = "│ "
	}
	for _, w := range c.ways {
		b.WriteString("  " + stem + "→ " + line(w) + "\n")
	}
	for i, r := range c.rows {
		first, next := "├─ ", "│  "
		if i == len(c.rows)-1 {
			first, next = "└─ ", "   "
		}
		for j, n := range r.names {
			lead := next
			if j == 0 {
				lead = first
			}
			detail := ""
			if n.detail != "" {
				detail = "  " + printable.Text(n.detail)
			}
			b.WriteString("  " + lead + clip(safe(n.text), nameWidth) + detail + "\n")
		}
		if len(r.more) > 0 {
			fmt.Fprintf(b, "  %s… and %d more at the same place\n", next, len(r.more))
		}
		for _, note := range r.notes {
			b.WriteString("  " + next + "   " + clip(safe(note), 2*nameWidth) + "\n")
		}
	}
}

func line(s string) string { return strings.TrimRight(safe(s), " ") }
