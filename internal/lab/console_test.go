package lab

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// keyboard answers keys with screens, as a firmware would.
type keyboard struct {
	console *Console
	answers map[string]string
	pressed []string
}

func (k *keyboard) Write(key []byte) (int, error) {
	k.pressed = append(k.pressed, string(key))
	answer := k.answers[string(key)]
	go k.console.Write([]byte(answer))
	return len(key), nil
}

func newKeyboard(t *testing.T, answers map[string]string) *keyboard {
	k := &keyboard{answers: answers}
	k.console = newConsole(t.Context(), k, func(string) {})
	return k
}

func TestSelect(t *testing.T) {
	k := newKeyboard(t, map[string]string{Down: onYes, Enter: "\x1b[25;29H\xb3 Password:   "})
	k.console.Write([]byte(question))
	if err := k.console.WaitFor("Enroll the key(s)?", time.Second); err != nil {
		t.Fatal(err)
	}
	if err := k.console.Select("Yes", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(k.pressed, ""); got != Down+Enter {
		t.Errorf("pressed %q", got)
	}
	if err := k.console.WaitFor("Password:", 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestSelectWithoutItem(t *testing.T) {
	k := newKeyboard(t, map[string]string{Down: onYes})
	k.console.Write([]byte(question))
	err := k.console.Select("Perhaps", 600*time.Millisecond)
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "Enroll the key(s)?") {
		t.Errorf("the error is %v", err)
	}
}

func TestWaitFor(t *testing.T) {
	c := newConsole(t.Context(), nil, func(string) {})
	c.Write([]byte("one two one"))
	for _, text := range []string{"one", "one"} {
		if err := c.WaitFor(text, time.Second); err != nil {
			t.Error(err)
		}
	}
	if err := c.WaitFor("one", 10*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("a text that was waited for already: %v", err)
	}
	go c.Write([]byte(" one"))
	if err := c.WaitFor("one", 5*time.Second); err != nil {
		t.Error(err)
	}
	c.end()
	if err := c.WaitFor("three", time.Minute); !errors.Is(err, ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
}

func TestWaitForOne(t *testing.T) {
	c := newConsole(t.Context(), nil, func(string) {})
	c.Write([]byte("first second Enter password character 1"))
	for _, want := range []string{"first", "second"} {
		if got, err := c.waitForOne(time.Second, "second", "first"); got != want || err != nil {
			t.Errorf("%q and %v, not %q", got, err, want)
		}
	}
	go c.Write([]byte("2: "))
	if got, err := c.number("character ", ":"); got != 12 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

func TestWaitForCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	c := newConsole(ctx, nil, func(string) {})
	cause := errors.New("the reason")
	cancel(cause)
	if err := c.WaitFor("never", time.Minute); !errors.Is(err, cause) {
		t.Errorf("the error is %v", err)
	}
}

func TestWatchSeesWholeTexts(t *testing.T) {
	seen := false
	c := newConsole(t.Context(), nil, func(text string) { seen = seen || strings.Contains(text, prompt) })
	for _, b := range []byte(strings.Repeat("noise ", 1000) + prompt) {
		if seen {
			t.Fatal("seen too early")
		}
		c.Write([]byte{b})
	}
	if !seen {
		t.Error("not seen")
	}
}

func TestPanic(t *testing.T) {
	k := newKeyboard(t, nil)
	if why := k.console.panic(); why != "" {
		t.Errorf("nothing was said, and %q is the reason", why)
	}
	k.console.Write([]byte("[    3.9] Kernel panic - not syncing: no init\r\n" + strings.Repeat("[    3.9]  a call\r\n", 2*rows)))
	if why := k.console.panic(); why != "Kernel panic - not syncing: no init" {
		t.Errorf("the reason is %q", why)
	}
}
