package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// streams are the program's standard streams and what is around them.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// terminal: standard output is one, so colours are welcome.
	terminal bool
	// unread: nobody reads standard output, since it is the null device; Go's runtime opens that in the place of one that was closed too.
	unread bool
	// clock tells the time; nil for the system's.
	clock func() time.Time
	// environment looks up a variable.
	environment func(string) string
	// prompt asks on the terminal and gives the line typed, without echo for a secret; nil where there is no terminal to ask on.
	prompt func(text string, secret bool) (string, error)
	// hold keeps signals from ending the program any more: what was begun is soon done, and half of it would be worse. May be nil.
	hold func()
	// interrupts catches the first signal that would end the program, until stop is called. May be nil.
	interrupts func() (signals <-chan os.Signal, stop func())
}

// now is the time.
func (s streams) now() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return time.Now()
}

// endings are the signals that people and systems end a program with.
var endings = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

func standardStreams() streams {
	s := streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, environment: os.Getenv}
	s.hold = func() { signal.Ignore(append(endings, syscall.SIGPIPE)...) }
	s.interrupts = func() (<-chan os.Signal, func()) {
		caught, first := make(chan os.Signal, 1), make(chan os.Signal)
		signal.Notify(caught, endings...)
		go func() {
			<-caught
			signal.Stop(caught)
			close(first)
		}()
		return first, func() { signal.Stop(caught) }
	}
	s.unread = isNull(os.Stdout)
	s.terminal = term.IsTerminal(int(os.Stdout.Fd()))
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())) {
		lines := bufio.NewReader(os.Stdin)
		s.prompt = func(text string, secret bool) (string, error) {
			fmt.Fprint(os.Stderr, text)
			if secret {
				return readSecretly(os.Stdin)
			}
			line, err := lines.ReadString('\n')
			return strings.TrimRight(line, "\r\n"), err
		}
	}
	return s
}

// isNull tells whether a file is the null device.
func isNull(file *os.File) bool {
	it, err := file.Stat()
	if err != nil {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(it, null)
}

var errInterrupted = errors.New("interrupted")

// readSecretly reads a line without echo: from a raw terminal, since term.ReadPassword takes the end of input for nothing and reads on for ever.
// Whoever interrupts it must get a terminal with echo back.
func readSecretly(terminal *os.File) (string, error) {
	fd := int(terminal.Fd())
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, endings...)
	defer signal.Stop(interrupted)
	state, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	typed := make(chan func() (string, error), 1)
	go func() {
		secret, err := readTyped(terminal)
		typed <- func() (string, error) { return secret, err }
	}()
	defer fmt.Fprintln(os.Stderr)
	select {
	case <-interrupted: // the other one goes on reading until the program ends, which is soon
		return "", errors.Join(errInterrupted, term.Restore(fd, state))
	case line := <-typed:
		rerr := term.Restore(fd, state)
		secret, err := line()
		if err == nil {
			err = rerr
		}
		return secret, err
	}
}

// The keys that a raw terminal gives as bytes and does nothing about.
const (
	interruptKey = 'C' & 31
	endKey       = 'D' & 31
	backspaceKey = 'H' & 31
	eraseKey     = 'U' & 31
	quitKey      = '\\' & 31
	deleteKey    = 127
)

// readTyped reads a line from a raw terminal, byte by byte, as what follows is for somebody else. The end of input is io.EOF, whatever was typed.
func readTyped(from io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := from.Read(one)
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return "", err
		}
		switch key := one[0]; key {
		case '\r', '\n':
			return string(line), nil
		case endKey:
			return "", io.EOF
		case interruptKey, quitKey:
			return "", errInterrupted
		case backspaceKey, deleteKey:
			_, last := utf8.DecodeLastRune(line)
			line = line[:len(line)-last]
		case eraseKey:
			line = nil
		default:
			line = append(line, key)
		}
	}
}

// ask asks for a line on the terminal.
func (s *session) ask(text string, secret bool) (string, error) {
	if s.prompt == nil {
		return "", usage("no terminal to ask on")
	}
	line, err := s.prompt(text, secret)
	if errors.Is(err, io.EOF) {
		return "", coded(exitNo, "no answer; nothing was staged")
	} else if err != nil {
		return "", failed("read from the terminal: %w", err)
	}
	return line, nil
}

// wantColor follows --color, then NO_COLOR, CLICOLOR_FORCE and TERM, then what standard output is.
func (s *session) wantColor(when string) bool {
	force := s.environment("CLICOLOR_FORCE")
	switch {
	case when != "auto":
		return when == "always"
	case s.environment("NO_COLOR") != "":
		return false
	case force != "" && force != "0":
		return true
	}
	return s.terminal && s.environment("TERM") != "dumb"
}

// The colours of a terminal (ECMA-48, select graphic rendition).
const (
	green  = "32"
	yellow = "33"
	red    = "31"
)

func (s *session) paint(color, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
