package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Errors of a console.
var (
	// ErrTimeout says that a screen did not come in time.
	ErrTimeout = errors.New("timed out")
	// ErrEnded says that the machine was off before a screen came.
	ErrEnded = errors.New("the machine ended")
)

// Console is the machine's serial line: what firmware, shim, MokManager, GRUB and kernel show, and their keyboard.
// Every wait has a deadline, and its error shows the screen.
type Console struct {
	ctx   context.Context
	keys  io.Writer
	watch func(text string) // sees each change, with some text before it

	open bool // MokManager's main menu is the last screen that was waited for
	stay bool // in MokManager, for more to do

	mu      sync.Mutex
	screen  screen
	raw     bytes.Buffer
	mark    int // where the next search in the text begins
	ended   bool
	changed chan struct{} // closed at each change and made anew
}

func newConsole(ctx context.Context, keys io.Writer, watch func(string)) *Console {
	return &Console{ctx: ctx, keys: keys, watch: watch, changed: make(chan struct{})}
}

// overlap is the longest text that the watch function can find when it comes in pieces.
const overlap = 256

// Write takes what the machine sends.
func (c *Console) Write(data []byte) (int, error) {
	c.mu.Lock()
	c.raw.Write(data)
	c.screen.Write(data)
	text := c.screen.text.String()
	c.announce()
	c.mu.Unlock()
	c.watch(text[max(len(text)-len(data)-overlap, 0):])
	return len(data), nil
}

func (c *Console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.announce()
}

func (c *Console) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Screen is what a terminal would show now, as plain text.
func (c *Console) Screen() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.screen.String()
}

// panic is the line in which the kernel said why it stopped, or nothing.
func (c *Console) panic() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, why, stopped := strings.Cut(c.screen.text.String(), "Kernel panic")
	if !stopped {
		return ""
	}
	why, _, _ = strings.Cut(why, "\n")
	return "Kernel panic" + why
}

// sent is everything that the machine has sent.
func (c *Console) sent() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.raw.Bytes())
}

// WaitFor waits until a text is drawn, one that was drawn after the text of the last WaitFor. Text is matched within one run
// of characters without a cursor movement.
func (c *Console) WaitFor(text string, within time.Duration) error {
	_, err := c.waitForOne(within, text)
	return err
}

// waitForOne waits, as WaitFor does, for one of several texts, and tells for which it was: the one that came first.
func (c *Console) waitForOne(within time.Duration, texts ...string) (string, error) {
	which := ""
	err := c.until(fmt.Sprintf("%q", texts), within, func() bool {
		all, first := c.screen.text.String()[c.mark:], -1
		for _, text := range texts {
			if at := strings.Index(all, text); at >= 0 && (first < 0 || at < first) {
				which, first = text, at
			}
		}
		if first >= 0 {
			c.mark += first + len(which)
		}
		return first >= 0
	})
	return which, err
}

// until waits for a condition on the locked console.
func (c *Console) until(what string, within time.Duration, met func() bool) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		c.mu.Lock()
		done, ended, changed := met(), c.ended, c.changed
		c.mu.Unlock()
		if done {
			return nil
		}
		cause := error(ErrEnded)
		if !ended {
			select {
			case <-changed:
				continue
			case <-timer.C:
				cause = fmt.Errorf("%w after %v", ErrTimeout, within)
			case <-c.ctx.Done():
				cause = context.Cause(c.ctx)
			}
		}
		return fmt.Errorf("waiting for %s: %w; the screen:\n%s", what, cause, c.Screen())
	}
}

// reach moves the highlight of the menu that belongs to the last WaitFor down to an item.
func (c *Console) reach(item string, within time.Duration) error {
	for last := ""; ; {
		now := ""
		err := c.until(fmt.Sprintf("the selection of %q after %q", item, last), within, func() bool {
			now = c.screen.selected(c.mark)
			return now != "" && now != last
		})
		if err != nil || now == item {
			return err
		}
		if err := c.Key(Down); err != nil {
			return err
		}
		last = now
	}
}

// items waits until the menu that belongs to the last WaitFor is drawn down to its last item, and gives them all.
func (c *Console) items(last string, within time.Duration) ([]string, error) {
	var items []string
	err := c.until(fmt.Sprintf("the menu down to %q", last), within, func() bool {
		items = c.screen.items(c.mark)
		return len(items) > 0 && items[len(items)-1] == last
	})
	return items, err
}

// Select chooses an item of the menu that belongs to the last WaitFor: it goes down, watching the highlight, and presses
// Enter. A menu does not go round, so an item that is not there is an error.
func (c *Console) Select(item string, within time.Duration) error {
	if err := c.reach(item, within); err != nil {
		return err
	}
	return c.Key(Enter)
}

// Keys of a serial terminal.
const (
	Down  = "\x1b[B"
	Up    = "\x1b[A"
	Enter = "\r"
)

// Pauses that firmware needs: between a screen and the key that answers it, and between characters.
const (
	beforeKey       = 300 * time.Millisecond
	afterCharacters = 60 * time.Millisecond
)

// Key presses one key, a little after the screen before it.
func (c *Console) Key(key string) error {
	if err := c.pause(beforeKey); err != nil {
		return err
	}
	_, err := io.WriteString(c.keys, key)
	return err
}

// Type types a text, character by character, without Enter. Only ASCII reaches a firmware's keyboard.
func (c *Console) Type(text string) error {
	if err := c.pause(beforeKey); err != nil {
		return err
	}
	for i := range len(text) {
		if _, err := c.keys.Write([]byte{text[i]}); err != nil {
			return err
		}
		if err := c.pause(afterCharacters); err != nil {
			return err
		}
	}
	return nil
}

func (c *Console) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}
