package certs

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrConfig: the configuration is not understood. Errors are *ConfigError.
var ErrConfig = errors.New("configuration not understood")

// ConfigError says what of a configuration is not understood.
type ConfigError struct {
	// Line counts from 1.
	Line int
	// Key is what the line sets, with its section, as in "req.default_bits"; empty where it is no setting.
	Key string
	Why string
}

func (e *ConfigError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%v: line %d: %s", ErrConfig, e.Line, e.Why)
	}
	return fmt.Sprintf("%v: line %d: %s: %s", ErrConfig, e.Line, e.Key, e.Why)
}

// Unwrap gives ErrConfig.
func (e *ConfigError) Unwrap() error { return ErrConfig }

// MaxConfig is the largest configuration in bytes; the kernel's own has 400.
const MaxConfig = 1 << 16

// setting is one line `key = value`.
type setting struct {
	line       int
	section    string
	key, value string
}

func (s *setting) bad(format string, args ...any) error {
	return &ConfigError{s.line, s.section + "." + s.key, fmt.Sprintf(format, args...)}
}

// section is a part of a configuration.
type section struct {
	name     string
	line     int
	settings []*setting
	used     bool
}

// sections reads a file of the form of config(5ssl), as far as it says there what a line is without regard to the lines before: no variables,
// escapes, continued lines, directives, no settings before the first section, none twice. Where openssl would take the last of several, or go on
// in a section that was left, it is an error here.
func sections(data []byte) ([]*section, error) {
	switch {
	case len(data) > MaxConfig:
		return nil, &ConfigError{Line: 1, Why: fmt.Sprintf("%d bytes, more than %d", len(data), MaxConfig)}
	case !utf8.Valid(data):
		return nil, &ConfigError{Line: 1 + strings.Count(string(data[:invalidAt(data)]), "\n"), Why: "no UTF-8"}
	}
	var all []*section
	for i, line := range strings.Split(string(data), "\n") {
		text, err := uncommented(strings.TrimSuffix(line, "\r"))
		if err != nil {
			return nil, &ConfigError{Line: i + 1, Why: err.Error()}
		}
		if text == "" {
			continue
		}
		if name, ok := strings.CutPrefix(text, "["); ok {
			name, ok = strings.CutSuffix(name, "]")
			name = strings.Trim(name, blank)
			switch {
			case !ok || !isWord(name):
				return nil, &ConfigError{Line: i + 1, Why: fmt.Sprintf("%q names no section", text)}
			case find(all, name) != nil:
				return nil, &ConfigError{Line: i + 1, Why: fmt.Sprintf("[ %s ] is there already", name)}
			}
			all = append(all, &section{name: name, line: i + 1})
			continue
		}
		one, err := newSetting(text, i+1, all)
		if err != nil {
			return nil, err
		}
		last := all[len(all)-1]
		last.settings = append(last.settings, one)
	}
	return all, nil
}

func newSetting(text string, line int, all []*section) (*setting, error) {
	key, value, ok := strings.Cut(text, "=")
	one := &setting{line: line, key: strings.Trim(key, blank), value: strings.Trim(value, blank)}
	switch {
	case !ok:
		return nil, &ConfigError{Line: line, Why: fmt.Sprintf("%q is neither a section nor a setting", text)}
	case !isWord(one.key):
		return nil, &ConfigError{Line: line, Why: fmt.Sprintf("%q is no name of a setting", one.key)}
	case len(all) == 0:
		return nil, &ConfigError{Line: line, Key: one.key, Why: "stands before the first section"}
	}
	last := all[len(all)-1]
	one.section = last.name
	if last.get(one.key) != nil {
		return nil, one.bad("is there already")
	}
	if inner, ok := strings.CutPrefix(one.value, `"`); ok {
		one.value, ok = strings.CutSuffix(inner, `"`)
		if !ok || strings.Contains(one.value, `"`) {
			return nil, one.bad("quotes stand around the whole value or nowhere")
		}
	} else if strings.ContainsAny(one.value, "\"'`") {
		return nil, one.bad("quotes inside of a value")
	}
	if one.value == "" {
		return nil, one.bad("has no value")
	}
	return one, nil
}

// blank is what openssl calls white space in a configuration, ends of lines apart.
const blank = " \t"

// uncommented cuts a comment off, and white space on both ends. It refuses what openssl reads as more than it is, and what no text has.
func uncommented(line string) (string, error) {
	quoted := false
	for i, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '#' && !quoted:
			return strings.Trim(line[:i], blank), nil
		case r == '\\':
			return "", errors.New("a backslash: neither escapes nor continued lines are understood")
		case r == '$':
			return "", errors.New("variables are not understood")
		case r != '\t' && !unicode.IsPrint(r):
			return "", fmt.Errorf("the character %U", r)
		}
	}
	return strings.Trim(line, blank), nil
}

// isWord tells a name of a section or a setting.
func isWord(text string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	return text != "" && text[0] != '.' && strings.Trim(text, letters) == ""
}

func invalidAt(data []byte) int {
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

func find(all []*section, name string) *section {
	for _, s := range all {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (s *section) get(key string) *setting {
	for _, one := range s.settings {
		if one.key == key {
			return one
		}
	}
	return nil
}
