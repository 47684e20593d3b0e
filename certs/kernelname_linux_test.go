package certs_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kkeys/certs"
)

// TestKernel asks the running kernel for its own name, or its refusal, of every specimen and compares.
func TestKernel(t *testing.T) {
	all := specimens(t)
	if len(all) < 400 {
		t.Fatalf("only %d certificates", len(all))
	}
	ring, running := newRing(t), release(t)
	seen := map[string]bool{}
	accepted := 0
	for _, s := range all {
		if seen[s.name] {
			t.Errorf("two specimens are called %s", s.name)
		}
		seen[s.name] = true
		c, err := certs.ParseDER(s.der)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		description, err := ring.add(t, s.der)
		if err == nil {
			accepted++
		}
		if complaint := compare(c, description, err, running); complaint != "" {
			t.Errorf("%s: %s", s.name, complaint)
		}
	}
	t.Logf("kernel %d.%d: %d certificates, %d accepted, %d refused", running/1000, running%1000, len(all), accepted, len(all)-accepted)
	if accepted < 400 {
		t.Errorf("the kernel took only %d of them", accepted)
	}
}

// compare says what is wrong with the kernel's answer, "" if nothing.
func compare(c *certs.Certificate, description string, err error, running int) string {
	errnos, may := expected(c.Refusals(), running)
	if err == nil {
		switch {
		case !may:
			return fmt.Sprintf("the kernel takes it as %q, expected %v", description, errnos)
		case description != c.KernelName():
			return fmt.Sprintf("the kernel calls it\n%q, KernelName is\n%q", description, c.KernelName())
		case !c.MatchesName(description):
			return "MatchesName says no"
		}
		return ""
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	for _, name := range errnos {
		if name == unix.ErrnoName(errno) {
			return ""
		}
	}
	return fmt.Sprintf("the kernel refuses it with %s, expected %v (or acceptance: %t)", unix.ErrnoName(errno), errnos, may)
}

// expected gives the errors that are possible on this kernel, and whether it may take the certificate.
func expected(refusals []certs.Refusal, running int) (errnos []string, may bool) {
	for _, r := range refusals {
		holds, known := applies(r.Kernels, running)
		if known && !holds {
			continue
		}
		errnos = append(errnos, r.Errnos...)
		if known {
			return errnos, false
		}
	}
	return errnos, true
}

var phrase = regexp.MustCompile(`^(before|since) Linux (\d+\.\d+)$`)

// applies decides the phrases that name a version only.
func applies(kernels string, running int) (holds, known bool) {
	if kernels == "" {
		return true, true
	}
	parts := phrase.FindStringSubmatch(kernels)
	if parts == nil {
		return false, false
	}
	return (running < version(parts[2])) == (parts[1] == "before"), true
}

// version turns "6.12.1-x" into 6012.
func version(text string) int {
	major, rest, _ := strings.Cut(text, ".")
	minor := strings.FieldsFunc(rest+" ", func(r rune) bool { return r < '0' || r > '9' })
	m, _ := strconv.Atoi(major)
	n, _ := strconv.Atoi(minor[0])
	return m*1000 + n
}
