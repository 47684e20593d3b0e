package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kkeys/modsig"
)

// A signal in the midst of many modules: those that were begun are signed, the others are as they were, the report says which, and nothing lies
// beside them.
func TestSignInterrupted(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, modules := t.TempDir(), t.TempDir()
	kkeys := filepath.Join(dir, "kkeys") // see TestMain
	if err := os.Symlink(self, kkeys); err != nil {
		t.Fatal(err)
	}
	for name, content := range specimens(t) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const n = 2000
	args := []string{"sign", "--json", "--key", "key.pem", "--cert", "one.der"}
	for i := range n {
		path := filepath.Join(modules, fmt.Sprintf("%d.ko", i))
		if err := os.WriteFile(path, []byte("\x7fELF"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	signed := func(i int) bool {
		content, err := os.ReadFile(args[i+6])
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = modsig.Split(content)
		if err != nil && string(content) != "\x7fELF" {
			t.Fatalf("%s: half-written", args[i+6])
		}
		return err == nil
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGHUP} {
		command := exec.Command(kkeys, args...)
		command.Dir = dir
		var out bytes.Buffer
		command.Stdout = &out
		first := 0
		for ; signed(first); first++ {
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(time.Minute); !signed(first) && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		if err := command.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = command.Wait() // the exit code tells
		if code := command.ProcessState.ExitCode(); code != exitFailed {
			t.Fatalf("%v: exit code %d", sig, code)
		}
		var document signDocument
		if err := json.Unmarshal(out.Bytes(), &document); err != nil || document.Error == nil || document.Error.Code != "interrupted" {
			t.Fatalf("%v: %v\n%s", sig, err, &out)
		}
		begun := 0
		for i, m := range document.Modules {
			if is := signed(i); is != (m.Action == "signed" || m.Action == "unchanged") {
				t.Errorf("%v: %s: %q, and signed: %v", sig, m.Path, m.Action, is)
			} else if is {
				begun++
			}
		}
		if begun == 0 || begun == n {
			t.Errorf("%v: %d modules signed", sig, begun)
		}
		if entries, err := os.ReadDir(modules); err != nil || len(entries) != n {
			t.Errorf("%v: %d files, %v", sig, len(entries), err)
		}
	}
}
