package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A pipe that nobody writes to, where a recording, a policy, a baseline or a certificate is expected: told of, and not waited for.
func TestAuditPipes(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "host.kks")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, filepath.Join(dir, "link.kks")); err != nil {
		t.Fatal(err)
	}
	policy := write(t, "policy.toml", "version = 1\n[[keys.allow]]\nfile = \""+pipe+"\"\n")
	for _, args := range [][]string{{"audit", "--snapshots", dir}, {"audit", "--policy", pipe}, {"audit", "--baseline", pipe}, {"audit", "--policy", policy}, {"--snapshot", pipe, "audit"}, {"audit", "--snapshot", pipe}, {"map", "--snapshots", dir}} {
		done := make(chan result, 1)
		go func() { done <- auditOn(t, auditDay, snapshotOf(t, "6.1-off"), args...) }()
		select {
		case got := <-done:
			if got.code != exitFailed || !strings.Contains(got.err, "host.kks: is no regular file") {
				t.Errorf("%v: %+v", args, got)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v: a pipe keeps it waiting", args)
			writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
			if err == nil {
				_ = writer.Close()
			}
		}
	}
	// The caller's own is read.
	read, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := out.WriteString("version = 1\n[checks]\noof = []\n"); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if got := auditOn(t, auditDay, snapshotOf(t, "6.1-off"), "audit", "--policy", "/dev/fd/"+strconv.Itoa(int(read.Fd()))); !strings.Contains(got.err, `unknown key "checks.oof"`) {
		t.Errorf("%+v", got)
	}
}
