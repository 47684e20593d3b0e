package lab

import (
	"slices"
	"strings"
	"testing"
)

// Pieces of what MokManager sends: boxes are drawn line by line, the selected line in black.
const (
	toBlue   = "\x1b[0m\x1b[37m\x1b[44m"
	toBlack  = "\x1b[0m\x1b[37m\x1b[40m"
	title    = toBlue + "\x1b[02;01H\xb3     Enroll the key(s)?     \xb3"
	boxTop   = "\x1b[23;38H\xda\xc4\xc4\xc4\xc4\xc4\xbf"
	no, yes  = "\x1b[24;38H\xb3 No  \xb3", "\x1b[25;38H\xb3 Yes \xb3"
	boxEnd   = "\x1b[26;38H\xc0\xc4\xc4\xc4\xc4\xc4\xd9"
	onNo     = boxTop + toBlack + no + toBlue + yes + boxEnd
	onYes    = boxTop + no + toBlack + yes + toBlue + boxEnd
	question = title + onNo
)

func shows(sent string) *screen {
	s := &screen{}
	s.Write([]byte(sent))
	return s
}

func TestScreen(t *testing.T) {
	for _, c := range []struct{ name, sent, want string }{
		{"lines", "one\r\ntwo\r\n", "one\ntwo"},
		{"carriage return", "one\rTWO!\r\n", "TWO!"},
		{"backspace", "onf\be", "one"},
		{"wrap", strings.Repeat("x", columns) + "y", strings.Repeat("x", columns) + "\ny"},
		{"wrap before a line end", strings.Repeat("x", columns) + "\r\ny", strings.Repeat("x", columns) + "\ny"},
		{"clear", "old\x1b[2J\x1b[01;01Hnew", "new"},
		{"erase the rest", "one two\x1b[1;4H\x1b[K", "one"},
		{"other sequences", "\x1b[=3h\x1b7a\x1b[31mb", "ab"},
		{"endless sequence", "\x1b[" + strings.Repeat("1", 100) + "x", strings.Repeat("1", 70) + "x"},
		{"beyond the screen", "\x1b[999;999Hx", strings.Repeat(" ", columns-1) + "x"},
		{"noise", "a\x00\x07\xfe\xffb", "a  b"},
		{"question", question, strings.Repeat(" ", 6) + "Enroll the key(s)?" + strings.Repeat("\n", 22) +
			strings.Repeat(" ", 39) + "No\n" + strings.Repeat(" ", 39) + "Yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shows(c.sent).String(); got != c.want {
				t.Errorf("%q, not %q", got, c.want)
			}
			var s screen // byte by byte, as a slow line delivers it
			for _, b := range []byte(c.sent) {
				s.Write([]byte{b})
			}
			if got := s.String(); got != c.want {
				t.Errorf("in pieces: %q, not %q", got, c.want)
			}
		})
	}
}

func TestScreenScrolls(t *testing.T) {
	got := strings.Split(shows(strings.Repeat("old\r\n", rows)+"last").String(), "\n")
	if len(got) != rows || got[rows-1] != "last" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}

func TestSelected(t *testing.T) {
	if got := shows(question).selected(0); got != "No" {
		t.Errorf("%q is selected, not No", got)
	}
	// While the next state is drawn over, the old selection, nothing or the new one is seen, never half a line.
	for i := range len(onYes) + 1 {
		if got := shows(question + onYes[:i]).selected(0); got != "No" && got != "" && got != "Yes" {
			t.Errorf("after %d bytes: %q", i, got)
		}
	}
	s := shows(question + onYes)
	if got := s.selected(0); got != "Yes" {
		t.Errorf("%q is selected, not Yes", got)
	}
	if got := s.selected(s.text.Len()); got != "" {
		t.Errorf("%q is selected in a menu that was not drawn yet", got)
	}
}

func FuzzScreen(f *testing.F) {
	f.Add([]byte(question + onYes))
	f.Add([]byte("\x1b[2J\x1b[999;0H\xff\n\n\b\x1b[;m\x1b[K"))
	f.Add([]byte("\x1b[-1;-9H" + strings.Repeat("x", 200)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := shows(string(data))
		s.selected(0)
		for _, r := range s.String() {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("%q on the screen", r)
			}
		}
	})
}

func TestItems(t *testing.T) {
	s := shows(question)
	if got := s.items(strings.Index(s.text.String(), "?") + 1); !slices.Equal(got, []string{"No", "Yes"}) {
		t.Errorf("the items are %q", got)
	}
	if got := s.items(s.text.Len()); got != nil {
		t.Errorf("%q are items of a menu that was not drawn yet", got)
	}
	// In the box around the menu, blank but for it.
	if got := shows("\x1b[1;1H\xb3      \xb3\x1b[2;1H\xb3      \xb3\x1b[2;3H\xb3No\xb3").items(0); !slices.Equal(got, []string{"No"}) {
		t.Errorf("the items are %q", got)
	}
}

func TestShows(t *testing.T) {
	s := shows("\x1b[1;1H\xb3 SHA256 hash \xb3\x1b[2;1H\xb3   AB CD \xb3\x1b[3;1H\xb3   EF 01 \xb3")
	if !s.shows("abcdef01", "sha256 Hash") || s.shows("abcdef01", "sha1") || !s.shows() {
		t.Error("a hash is not found, or one that is not there")
	}
}
