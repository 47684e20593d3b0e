// Package kkeys_test holds the rules of the house that can be read off the source: see README.md, "Where things are".
package kkeys_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// listed is what `go list -json` tells of a package.
type listed struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
	Error      *struct{ Err string }
}

// arrows are the imports that each folder may have of the others: down only, and none of a sibling but mok's of efivars.
var arrows = map[string][]string{
	"certs":               {},
	"evidence":            {},
	"keyring":             {"certs"},
	"efivars":             {"certs"},
	"kernel":              {"certs", "evidence"},
	"mok":                 {"efivars", "evidence"},
	"machine":             {"certs", "evidence", "keyring", "efivars", "mok", "kernel", "modsig"},
	"modsig":              {"certs"},
	"initrd":              {},
	"trust":               {"certs", "evidence", "keyring", "kernel", "modsig", "mok"},
	"doctor":              {"evidence", "kernel", "modsig", "trust"},
	"audit":               {"certs", "evidence", "kernel", "mok"},
	"chart":               {"certs", "evidence", "internal/printable"},
	"cmd/kkeys":           {"audit", "certs", "chart", "doctor", "evidence", "keyring", "efivars", "mok", "kernel", "machine", "modsig", "initrd", "trust", "internal/printable"},
	"internal/printable":  {},
	"internal/certtest":   {},
	"internal/lab":        {"internal/lab/gpt", "internal/lab/wire"},
	"internal/lab/agent":  {"internal/lab/gpt", "internal/lab/wire"},
	"internal/lab/fetch":  {"internal/lab"},
	"internal/lab/gpt":    {},
	"internal/lab/wire":   {},
	"efivars/efivarstest": {"efivars"},
	"machine/machinetest": {"efivars", "mok"},
	"keyring/keyringtest": {"certs", "keyring"},
}

func TestArrows(t *testing.T) {
	for _, system := range []string{"linux/amd64", "linux/arm64", "darwin/arm64"} {
		for _, p := range list(t, system) {
			name := strings.TrimPrefix(p.ImportPath, "kkeys/")
			if p.ImportPath == "kkeys" {
				continue
			}
			allowed, known := arrows[name]
			if !known {
				t.Errorf("folder %s has no place in the house", name)
			}
			for _, imported := range p.Imports {
				if ours, ok := strings.CutPrefix(imported, "kkeys/"); ok && !slices.Contains(allowed, ours) {
					t.Errorf("%s: %s imports %s", system, name, ours)
				}
			}
		}
	}
}

// Only keyring, efivars and kernel make system calls of their own, each in one file for Linux.
func TestSystemCallsHaveOneFile(t *testing.T) {
	for _, p := range list(t, "linux/amd64") {
		name := strings.TrimPrefix(p.ImportPath, "kkeys/")
		var users []string
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte(`"golang.org/x/sys/unix"`)) {
				users = append(users, file)
			}
		}
		switch {
		case len(users) == 0 || strings.HasPrefix(name, "internal/lab"):
		case !slices.Contains([]string{"keyring", "efivars", "kernel"}, name):
			t.Errorf("%s makes system calls in %v", name, users)
		case len(users) > 1:
			t.Errorf("%s makes system calls in %d files: %v", name, len(users), users)
		}
	}
}

// The verdict is drawn from facts alone, and the picture too: no file, no clock, no system call. The picture words dates that it was given.
func TestTrustIsPure(t *testing.T) {
	for _, p := range list(t, "linux/amd64") {
		for _, imported := range p.Imports {
			if p.ImportPath != "kkeys/trust" && (p.ImportPath != "kkeys/chart" || imported == "time") {
				continue
			}
			if slices.Contains([]string{"os", "io", "io/fs", "time", "syscall", "net", "os/exec", "crypto/rand", "math/rand"}, imported) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// A policy is held against facts alone. What time it is, is one of them.
func TestAuditIsPure(t *testing.T) {
	for _, p := range list(t, "linux/amd64") {
		if p.ImportPath != "kkeys/audit" {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains([]string{"os", "io/fs", "syscall", "net", "os/exec", "crypto/rand", "math/rand"}, imported) {
				t.Errorf("audit imports %s", imported)
			}
		}
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			for _, clock := range []string{"time.Now", "time.Since", "time.Until"} {
				if bytes.Contains(text, []byte(clock)) {
					t.Errorf("audit/%s reads the clock: %s", file, clock)
				}
			}
		}
	}
}

// A test of the lab that cannot run fails; none skips itself, nor has what it calls there a way to.
func TestLabNeverSkips(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(text, []byte("//go:build lab\n")) && !strings.HasPrefix(path, "internal/lab/") && !strings.HasPrefix(path, "contrib/") {
			return nil
		}
		seen++
		if skips.Match(text) {
			t.Errorf("%s skips", path)
		}
		return nil
	})
	if err != nil || seen < 30 {
		t.Errorf("%d files, %v", seen, err)
	}
}

var skips = regexp.MustCompile(`\.Skip(f|Now)?\(`)

// A file is one concept; above 450 lines it is two.
func TestFileSizes(t *testing.T) {
	for _, p := range list(t, "linux/amd64") {
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if lines := bytes.Count(text, []byte("\n")); lines > 450 {
				t.Errorf("%s/%s has %d lines", p.ImportPath, file, lines)
			}
		}
	}
}

func list(t *testing.T, system string) []listed {
	t.Helper()
	goos, goarch, _ := strings.Cut(system, "/")
	command := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,GoFiles,Error", "./...")
	command.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("%d packages listed: the rules were not looked at", len(packages))
	}
	return packages
}
