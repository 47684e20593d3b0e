package kernel

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Below a folder given by name a pipe to which nobody writes may lie in the place of each file, and none is opened.
func TestPipesWait(t *testing.T) {
	const running = "6.1.0"
	paths := []string{
		release, sigEnforce, lockdownPath, fipsEnabled, imaPolicy, cryptoFile, symbolFile, commandLineFile, "etc/os-release", "usr/lib/os-release",
		"proc/sys/kernel/modules_disabled", "proc/sys/kernel/tainted", "proc/sys/kernel/random/boot_id", "proc/config.gz", "boot/config-" + running,
		"lib/modules/" + running + "/config", "usr/lib/modules/" + running + "/config", "lib/modules/" + running + "/build/.config",
	}
	dir := t.TempDir()
	for i, path := range paths {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(full, 0o644); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // the others are looked for by the release
			if err := os.Rename(full, full+".pipe"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(running+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, known := range []bool{true, false} {
		if !known {
			if err := root.Rename(release+".pipe", release); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s := Read(root.FS())
			if (s.Release == running) != known || s.Config != nil || s.Symbols != nil || s.CommandLine != nil || s.Distribution != (Distribution{}) || s.BootID != "" || s.Taint != nil {
				t.Errorf("read from pipes: %+v", s)
			}
			if a, err := ReadAlgorithms(root.FS()); a != nil || err == nil {
				t.Errorf("read from pipes: %v, %v", a, err)
			}
			if symbols, err := ReadSymbols(root.FS()); symbols != nil || err == nil {
				t.Errorf("read from pipes: %v, %v", symbols, err)
			}
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("a pipe keeps its reader waiting")
		}
	}
}
