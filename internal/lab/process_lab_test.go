//go:build lab

package lab_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kkeys/internal/lab"
)

// TestMain checks that no machine is left when all tests have run.
func TestMain(m *testing.M) {
	code := m.Run()
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		fmt.Fprintf(os.Stderr, "a child process is left: %d, %v\n", pid, err)
		code = 1
	}
	os.Exit(code)
}

// victim is set for the process that TestKilled kills.
const victim = "KKEYS_LAB_VICTIM"

// TestKilled kills a test process while its machine runs: the machine dies with it.
func TestKilled(t *testing.T) {
	if os.Getenv(victim) != "" {
		_, err := lab.Machine{Commands: []lab.Command{lab.Shell("sleep 1000")}}.Boot(t)
		t.Fatal("the machine ended first: ", err)
	}
	t.Parallel()
	folder := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), victim+"=yes", "TMPDIR="+folder)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := eventually(10*time.Minute, func() bool { return machines(t, folder) == 1 }) // it waits for its turn
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !started {
		t.Fatalf("no machine was started: %v %s", err, out.Bytes())
	}
	if !eventually(10*time.Second, func() bool { return machines(t, folder) == 0 }) {
		t.Error("the machine outlives its test")
	}
}

func eventually(within time.Duration, condition func() bool) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// machines counts the processes with a disk below a folder.
func machines(t *testing.T, folder string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, line := range lines {
		text, err := os.ReadFile(line)
		if err == nil && bytes.Contains(text, []byte("file="+folder)) {
			count++
		}
	}
	return count
}
