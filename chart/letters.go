package chart

import (
	"fmt"
	"strings"
	"unicode"

	"kkeys/internal/printable"
)

// safe is [printable.Text], and of marks that stand above or below a letter it leaves one a letter: a heap of them would cover the lines around it.
func safe(s string) string {
	s = printable.Text(s)
	var b strings.Builder
	marks := 0
	for _, r := range s {
		if !unicode.Is(unicode.M, r) {
			marks = 0
		} else if marks++; marks > 1 {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// cells is how wide a text is taken to be: a Latin letter has one, every other letter two, which is what the widest have (Han in a font of
// one width). A letter has no more than em of the font's size for each.
func cells(s string) (n int) {
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

const em = 0.62

func cellsOf(r rune) int {
	if r < 0x250 {
		return 1
	}
	return 2
}

// clip cuts a text to so many cells; what was cut ends with three dots.
func clip(s string, width int) string {
	if cells(s) <= width {
		return s
	}
	n := 0
	for i, r := range s {
		if n += cellsOf(r); n > width-2 {
			return s[:i] + "…"
		}
	}
	return s
}

// wrap breaks a text into lines of at most width cells, at blanks where there are some; what does not fit into so many lines is cut.
func wrap(s string, width, lines int) (all []string) {
	for s != "" {
		if len(all) == lines-1 || cells(s) <= width {
			return append(all, clip(s, width))
		}
		n, end, blank := 0, len(s), -1
		for i, r := range s {
			if n += cellsOf(r); n > width {
				end = i
				break
			}
			if r == ' ' {
				blank = i
			}
		}
		if s[end:] != "" && s[end] == ' ' {
			blank = end
		}
		if blank > 0 {
			end = blank
		}
		all, s = append(all, strings.TrimRight(s[:end], " ")), strings.TrimLeft(s[end:], " ")
	}
	return all
}
