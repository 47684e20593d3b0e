package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"kkeys/audit"
	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/machine"
)

// readPolicy reads a policy and the certificates that it names. Nothing of it holds when something is wrong.
func readPolicy(path string) (audit.Policy, error) {
	text, err := readSetting(path)
	if err != nil {
		return audit.Policy{}, err
	}
	p, err := audit.ParsePolicy(text)
	if err != nil {
		return audit.Policy{}, fmt.Errorf("%s: %w", path, err)
	}
	for i := range p.Keys.Allow {
		allowed := &p.Keys.Allow[i]
		if allowed.File == "" {
			continue
		}
		file := allowed.File
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		err := machine.Regular(file)
		var found []*certs.Certificate
		if err == nil {
			found, err = machine.CertificateFile(file)
		}
		if err != nil {
			return audit.Policy{}, fmt.Errorf("%s: keys.allow[%d]: %w", path, i, err)
		}
		for _, c := range found {
			allowed.Certificates = append(allowed.Certificates, c.Details())
		}
	}
	return p, nil
}

// ends refuses a pipe but the caller's own, as the shell names it: an audit shall end where nobody sits before it.
func ends(path string) error {
	if path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/") {
		return nil
	}
	return machine.Regular(path)
}

// readSetting reads a policy or a baseline.
func readSetting(path string) ([]byte, error) {
	if err := ends(path); err != nil {
		return nil, err
	}
	return machine.ReadFile(path)
}

func readBaseline(path string) (*audit.Baseline, error) {
	text, err := readSetting(path)
	if err != nil {
		return nil, err
	}
	b, err := audit.ParseBaseline(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func encodeBaseline(b audit.Baseline) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(b)
	return text.Bytes(), err
}

func (s *session) sayRecorded(path string, b audit.Baseline) {
	keys := 0
	for _, store := range b.Stores {
		keys += len(store.Keys)
	}
	s.say("%s: baseline of %s in %s and the results of %s", printable.Text(path), count(keys, "key", "keys"), count(len(b.Stores), "store", "stores"),
		count(len(b.Checks), "check", "checks"))
}
