package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/keyring"
	"kkeys/machine"
)

// Whatever a file is called: the word that is printed for it is that file's name to a shell, and one line that moves no cursor.
func TestShellWord(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for word, shells := range map[string][]string{
		"plain.der":             {"sh", bash},
		"":                      {"sh", bash},
		"with space":            {"sh", bash},
		"it's":                  {"sh", bash},
		`two''quotes`:           {"sh", bash},
		`"double" $HOME $(id)`:  {"sh", bash},
		`back\slash\n\`:         {"sh", bash},
		"`id`; *?[a]~ # & | <>": {"sh", bash},
		"Société":               {"sh", bash},
		"two\nlines":            {bash},
		"it's\n\\back $x 'y'":   {bash},
		"\x1b[31mred7\x01\x7f":  {bash},
		"\xff\xfe9 no UTF-8":    {bash},
		"right\u202eleft":       {bash},
	} {
		printed := pasted("printf %s " + shellWord(word))
		if strings.ContainsFunc(printed, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u202e' }) {
			t.Errorf("%q is printed as %q", word, printed)
		}
		for _, shell := range shells {
			if got, err := exec.Command(shell, "-c", printed).Output(); err != nil || string(got) != word {
				t.Errorf("%s reads %s as %q instead of %q: %v", shell, printed, got, word, err)
			}
		}
	}
}

// The hint of a command that wants root is the whole command again, as it was typed.
func TestHintIsPasted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `it's a $dir\n`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m := &machine.Machine{Files: os.DirFS(dir), Keyrings: keyring.Recorded{Err: keyring.ErrNotVisible}}
	var errs bytes.Buffer
	run(context.Background(), []string{"list", dir}, streams{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &errs, environment: os.Getenv}, m)
	_, hint, found := strings.Cut(errs.String(), "kkeys: hint: sudo kkeys list ")
	if !found {
		t.Fatal(errs.String())
	}
	if got, err := exec.Command("sh", "-c", "printf %s "+hint).Output(); err != nil || string(got) != dir {
		t.Errorf("%s is %q to a shell, not %q: %v", hint, got, dir, err)
	}
}

// pasted shows no command that would move the cursor.
func TestPasted(t *testing.T) {
	if got := pasted("kkeys \x1b[31m"); got != `kkeys \x1b[31m` {
		t.Errorf("%q", got)
	}
}
