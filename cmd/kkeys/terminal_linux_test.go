package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/term"
)

// pseudoTerminal opens one: what is written to the keyboard is typed (pty(7); ioctl_tty(2) for the two requests).
func pseudoTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	const unlock, number = 0x40045431, 0x80045430 // TIOCSPTLCK, TIOCGPTN
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	var n, zero int32
	for request, value := range map[uintptr]*int32{unlock: &zero, number: &n} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, keyboard.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// A secret is read from a terminal without echo, Ctrl-D and a signal end it, and the terminal is as before afterwards.
func TestReadSecretly(t *testing.T) {
	for typed, want := range map[string]struct {
		line string
		err  error
	}{
		"hunter22\r":           {"hunter22", nil},
		"\x04":                 {"", io.EOF},
		"hunter\x04":           {"", io.EOF},
		"hunter\x03":           {"", errInterrupted},
		"hunter23\x7f22\x7f\r": {"hunter22", nil},
		"SIGTERM":              {"", errInterrupted},
	} {
		keyboard, terminal := pseudoTerminal(t)
		before, err := term.GetState(int(terminal.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			line string
			err  error
		}
		answers := make(chan answer, 1)
		go func() {
			line, err := readSecretly(terminal)
			answers <- answer{line, err}
		}()
		for now := before; reflect.DeepEqual(now, before); { // what is typed before belongs to the shell
			time.Sleep(time.Millisecond)
			if now, err = term.GetState(int(terminal.Fd())); err != nil {
				t.Fatal(err)
			}
		}
		if typed == "SIGTERM" {
			err = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		} else {
			_, err = keyboard.WriteString(typed)
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-answers:
			if got.line != want.line || !errors.Is(got.err, want.err) {
				t.Errorf("%q gives %q, %v", typed, got.line, got.err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q: no end", typed)
		}
		if after, err := term.GetState(int(terminal.Fd())); err != nil || !reflect.DeepEqual(after, before) {
			t.Errorf("%q: the terminal is another one: %v", typed, err)
		}
	}
}
