package lab

import (
	"slices"
	"strconv"
	"strings"
)

// screen is what a serial terminal would show: it follows the cursor movements that firmware draws with, and keeps which
// background colour each character has, since MokManager marks the selected item by it alone. Bytes are code page 437;
// those above ASCII, mostly the frames of boxes, are shown as spaces.
type screen struct {
	lines       [rows][columns]cell
	row, column int
	background  int    // of what is written next, an SGR number
	escape      []byte // an escape sequence that has begun
	text        strings.Builder
}

type cell struct {
	character  byte
	background int
	at         int // length of the text when it was written
}

// OVMF's terminal is 80 characters wide; MokManager chooses the mode with the most rows.
const (
	rows    = 50
	columns = 80
)

const escapeByte = 0x1b

// Write takes what the machine has sent. It never fails.
func (s *screen) Write(data []byte) (int, error) {
	for _, b := range data {
		switch {
		case len(s.escape) > 0:
			s.continueEscape(b)
		case b == escapeByte:
			s.escape = append(s.escape, b)
		default:
			s.put(b)
		}
	}
	return len(data), nil
}

func (s *screen) put(b byte) {
	switch {
	case b == '\r':
		s.column = 0
	case b == '\n':
		s.text.WriteByte('\n')
		s.lineFeed()
	case b == '\b':
		s.column = max(s.column-1, 0)
	case b < ' ':
	default:
		s.text.WriteByte(printable(b))
		if s.column == columns {
			s.column = 0
			s.lineFeed()
		}
		s.lines[s.row][s.column] = cell{b, s.background, s.text.Len()}
		s.column++
	}
}

func (s *screen) lineFeed() {
	if s.row++; s.row == rows {
		copy(s.lines[:], s.lines[1:])
		s.lines[rows-1] = [columns]cell{}
		s.row = rows - 1
	}
}

// longestEscape bounds a sequence that has no end, as noise on the line may look.
const longestEscape = 32

// continueEscape takes a byte of an escape sequence: ESC, "[", parameters, a letter. Other sequences are two bytes long.
func (s *screen) continueEscape(b byte) {
	s.escape = append(s.escape, b)
	if len(s.escape) == 2 {
		if b != '[' {
			s.escape = s.escape[:0]
		}
		return
	}
	if b >= '@' && b <= '~' {
		s.control(string(s.escape[2:len(s.escape)-1]), b)
		s.escape = s.escape[:0]
	} else if len(s.escape) == longestEscape {
		s.escape = s.escape[:0]
	}
}

// control obeys a control sequence.
func (s *screen) control(parameters string, letter byte) {
	var numbers []int
	for field := range strings.SplitSeq(parameters, ";") {
		n, err := strconv.Atoi(field)
		if err != nil {
			n = 0 // left out, or private
		}
		numbers = append(numbers, n)
	}
	switch letter {
	case 'H', 'f':
		numbers = append(numbers, 0)
		s.row = min(max(numbers[0]-1, 0), rows-1)
		s.column = min(max(numbers[1]-1, 0), columns-1)
		s.text.WriteByte('\n') // what follows belongs to another place
	case 'J':
		s.lines = [rows][columns]cell{}
	case 'K':
		clear(s.lines[s.row][min(s.column, columns):])
	case 'm':
		for _, n := range numbers {
			if n == 0 || n >= 40 && n <= 47 {
				s.background = n
			}
		}
	}
}

// A menu is a box whose items are blue; the selected one, with the box's frame left and right of it, is black.
const (
	black = 40
	frame = 0xb3 // a vertical line in code page 437
)

// selected is the item that is highlighted in a menu drawn after a place in the text, or nothing. A line that is being drawn
// over has lost one of its frames and does not count.
func (s *screen) selected(after int) string {
	for _, line := range s.lines {
		from := slices.IndexFunc(line[:], func(c cell) bool { return c.background == black && c.at > after })
		if from < 0 {
			continue
		}
		to := from + 1
		for to < columns && line[to].background == black {
			to++
		}
		if to > from+1 && line[from].character == frame && line[to-1].character == frame {
			return strings.TrimSpace(lineText(line[from:to]))
		}
	}
	return ""
}

// items are the lines of the menu that was drawn after a place in the text: what stands between frames. It is a box in a box
// that fills the screen; the title in that one was drawn before.
func (s *screen) items(after int) []string {
	var items []string
	for _, line := range s.lines {
		left := -1 // the last frame
		for i, c := range line {
			if c.character != frame || c.at <= after {
				continue
			}
			if text := strings.TrimSpace(lineText(line[left+1 : i])); left >= 0 && text != "" {
				items = append(items, text)
			}
			left = i
		}
	}
	return items
}

// String is what the screen shows, without the blank lines above and below.
func (s *screen) String() string {
	var out strings.Builder
	for _, line := range s.lines {
		out.WriteString(strings.TrimRight(lineText(line[:]), " ") + "\n")
	}
	return strings.Trim(out.String(), "\n")
}

// shows tells whether all these texts are on the screen. White space, and so lines, does not count, nor case.
func (s *screen) shows(texts ...string) bool {
	bare := func(text string) string { return strings.ToLower(strings.Join(strings.Fields(text), "")) }
	all := bare(s.String())
	return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(all, bare(text)) })
}

func lineText(line []cell) string {
	text := make([]byte, len(line))
	for i, c := range line {
		text[i] = printable(c.character)
	}
	return string(text)
}

// printable replaces what is not ASCII, such as frames and cells that were never written, with a space.
func printable(b byte) byte {
	if b < ' ' || b > '~' {
		return ' '
	}
	return b
}
