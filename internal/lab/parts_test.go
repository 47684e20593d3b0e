package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("KKEYS_LAB", cache)
	missing := func(state string) {
		t.Helper()
		if _, err := Find(); !errors.Is(err, ErrNoParts) {
			t.Errorf("%s: %v", state, err)
		}
		if _, err := (Machine{}).Boot(t); !errors.Is(err, ErrNoParts) || !strings.Contains(err.Error(), "make lab") {
			t.Errorf("%s: Boot says %v", state, err)
		}
	}
	missing("nothing there")
	parts := filepath.Join(cache, "parts")
	if err := os.MkdirAll(parts, 0o755); err != nil {
		t.Fatal(err)
	}
	missing("no stamp")
	if err := os.WriteFile(filepath.Join(parts, "packages"), []byte("# other packages\nb 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing("another list")
	if err := Stamp(parts, []string{"b 1", "a 2"}); err != nil {
		t.Fatal(err)
	}
	found, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(found.Packages, ","); got != "a 2,b 1" {
		t.Errorf("packages %q", got)
	}
}
