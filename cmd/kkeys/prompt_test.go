package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/internal/certtest"
	"kkeys/machine"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

// installed is a machine whose variables are in memory, and a certificate file for it.
func installed(t *testing.T) (m *machine.Machine, store *efivarstest.Memory, file string) {
	t.Helper()
	made := machinetest.Installed(t)
	m, err := machine.Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	store = efivarstest.NewMemory()
	names, err := m.Variables.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		attributes, data, err := m.Variables.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		store.Seed(name, attributes, data)
	}
	m.Variables = store
	file = filepath.Join(t.TempDir(), "cert.der")
	if err := os.WriteFile(file, certtest.SelfSignedWith(t, "mine", certtest.RSA(2048, 11)).DER, 0o600); err != nil {
		t.Fatal(err)
	}
	return m, store, file
}

// staged is the password record in the store, if any.
func staged(t *testing.T, store efivars.Store) (mok.Auth, bool) {
	t.Helper()
	_, data, err := store.Get(mok.Variable("MokAuth"))
	if errors.Is(err, efivars.ErrNotFound) {
		return mok.Auth{}, false
	} else if err != nil {
		t.Fatal(err)
	}
	auth, err := mok.ParseAuth(data)
	if err != nil {
		t.Fatal(err)
	}
	return auth, true
}

func TestEnrollAsks(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		answers []string // what is typed; then end of file
		code    int
		staged  bool
	}{
		"confirmed":            {answers: []string{"y", "hunter22", "hunter22"}, staged: true},
		"confirmed in a word":  {answers: []string{"Yes", "hunter22", "hunter22"}, staged: true},
		"nothing typed":        {answers: []string{""}, code: exitNo},
		"no":                   {answers: []string{"n"}, code: exitNo},
		"end of file":          {code: exitNo},
		"end at the password":  {answers: []string{"y"}, code: exitNo},
		"end at the second":    {answers: []string{"y", "hunter22"}, code: exitNo},
		"passwords differ":     {answers: []string{"y", "hunter22", "hunter23"}, code: exitNo},
		"no password":          {answers: []string{"y", ""}, code: exitUsage},
		"not ASCII":            {answers: []string{"y", "pässwort"}, code: exitUsage},
		"not asked with --yes": {args: []string{"--yes"}, answers: []string{"hunter22", "hunter22"}, staged: true},
		"dry run asks nothing": {args: []string{"--dry-run"}},
	} {
		m, store, file := installed(t)
		var secrets int
		var out, errs bytes.Buffer
		s := streams{in: strings.NewReader(""), out: &out, err: &errs, environment: func(string) string { return "" }}
		s.prompt = func(_ string, secret bool) (string, error) {
			if len(c.answers) == 0 {
				return "", io.EOF
			}
			if secret {
				secrets++
			}
			answer := c.answers[0]
			c.answers = c.answers[1:]
			return answer, nil
		}
		code := run(context.Background(), append([]string{"enroll", file}, c.args...), s, m)
		auth, there := staged(t, store)
		if code != c.code || there != c.staged || len(c.answers) > 0 {
			t.Errorf("%s: exit code %d, staged %v, not asked for %q\n%s%s", name, code, there, c.answers, out.String(), errs.String())
		}
		if there {
			if ok, err := auth.Verify("hunter22"); !ok || err != nil {
				t.Errorf("%s: the record is not that of the password: %v", name, err)
			}
			if secrets != 2 {
				t.Errorf("%s: %d times asked without echo, want 2", name, secrets)
			}
		}
		if strings.Contains(out.String()+errs.String(), "hunter") {
			t.Errorf("%s: the password was printed", name)
		}
	}
}

// Where no file is named, it is asked which of the keys that tools have made.
func TestEnrollAsksWhich(t *testing.T) {
	for answer, code := range map[string]int{"2": exitYes, " 1 ": exitYes, "0": exitNo, "3": exitNo, "": exitNo, "dkms": exitNo} {
		made := machinetest.Installed(t)
		for i, path := range []string{"var/lib/shim-signed/mok/MOK.der", "var/lib/dkms/mok.pub"} {
			made.Write(path, string(certtest.SelfSignedWith(t, path, certtest.RSA(2048, 11+i)).DER))
		}
		m, err := machine.Directory(made.Dir)
		if err != nil {
			t.Fatal(err)
		}
		var out, errs, asked bytes.Buffer
		s := streams{in: strings.NewReader(""), out: &out, err: &errs, environment: func(string) string { return "" }}
		s.prompt = func(text string, _ bool) (string, error) {
			asked.WriteString(text)
			return answer, nil
		}
		got := run(context.Background(), []string{"enroll", "--yes", "--generate-password"}, s, m)
		if _, there := staged(t, m.Variables); got != code || there != (code == exitYes) || !strings.Contains(asked.String(), "2. /var/lib/dkms/mok.pub: CN=var/lib/dkms/mok.pub\n") {
			t.Errorf("%q: exit code %d, staged %v, asked %q\n%s%s", answer, got, there, asked.String(), out.String(), errs.String())
		}
	}
}

// The generated password is the one that was staged.
func TestEnrollGenerates(t *testing.T) {
	m, store, file := installed(t)
	got := runOn(t, m, "enroll", file, "--generate-password")
	_, rest, _ := strings.Cut(got.out, "shown only now: ")
	password, _, _ := strings.Cut(rest, "\n")
	auth, there := staged(t, store)
	if ok, err := auth.Verify(password); got.code != exitYes || !there || !ok || err != nil {
		t.Errorf("exit code %d, staged %v, password %q verifies: %v, %v", got.code, there, password, ok, err)
	}
}

// Whichever operation of the firmware fails, a request without success is 4 or 3, and no password stays without its request.
func TestEnrollWhenFirmwareFails(t *testing.T) {
	done := false
	for at := 1; !done; at++ {
		for _, effect := range []efivarstest.Effect{efivarstest.Refused, efivarstest.Applied, efivarstest.Lie, efivarstest.Truncated} {
			m, store, file := installed(t)
			store.Fault = &efivarstest.Fault{At: at, Effect: effect}
			got := runOn(t, m, "enroll", file, "--generate-password")
			store.Fault = nil
			_, there := staged(t, store)
			pending := runOn(t, m, "pending")
			switch {
			case got.code == exitYes && pending.code != exitYes:
				t.Errorf("operation %d, effect %d: success and nothing pending\n%s", at, effect, got.err)
			case got.code != exitYes && there:
				t.Errorf("operation %d, effect %d: exit code %d, and a password is staged", at, effect, got.code)
			case got.code != exitYes && !strings.Contains(got.err, "kkeys: error: "):
				t.Errorf("operation %d, effect %d: exit code %d without an error", at, effect, got.code)
			}
		}
		if at > 200 {
			t.Fatal("the fault is never passed")
		}
		m, store, file := installed(t)
		store.Fault = &efivarstest.Fault{At: at, Sticky: true}
		done = runOn(t, m, "enroll", file, "--generate-password").code == exitYes
	}
}
