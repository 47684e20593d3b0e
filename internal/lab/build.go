package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Binary builds a command of this module for the guest: static, for amd64. pkg is an import path such as
// "kkeys/cmd/kkeys". Each is built once in a test process.
func Binary(t testing.TB, pkg string, tags ...string) []byte {
	t.Helper()
	return mustBuild(t, "build", pkg, tags)
}

// TestBinary builds a package's tests for the guest, as "go test -c" does. Their testdata is not in it.
func TestBinary(t testing.TB, pkg string, tags ...string) []byte {
	t.Helper()
	return mustBuild(t, "test -c", pkg, tags)
}

func mustBuild(t testing.TB, verb, pkg string, tags []string) []byte {
	t.Helper()
	binary, err := build(t.Context(), verb, pkg, tags)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var built struct {
	sync.Mutex
	binaries map[string][]byte
}

func build(ctx context.Context, verb, pkg string, tags []string) ([]byte, error) {
	built.Lock()
	defer built.Unlock()
	name := strings.Join(append([]string{verb, pkg}, tags...), " ")
	if binary, ok := built.binaries[name]; ok {
		return binary, nil
	}
	folder, err := os.MkdirTemp("", "lab-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	out := filepath.Join(folder, "binary")
	args := append(strings.Fields(verb), "-trimpath", "-ldflags=-s -w", "-tags="+strings.Join(tags, ","), "-o", out, pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	binary, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", pkg, err)
	}
	if built.binaries == nil {
		built.binaries = map[string][]byte{}
	}
	built.binaries[name] = binary
	return binary, nil
}
