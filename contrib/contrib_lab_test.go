//go:build lab

// Package contrib_test runs what contrib holds with the programs that it is for, as Debian packages them, on hosts in namespaces.
package contrib_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kkeys/internal/lab"
	"kkeys/machine"
)

const (
	kkeys    = "/usr/local/bin/kkeys"
	machines = "../testdata/machines/"
)

// host starts a host on which kkeys is installed and whose firmware and kernel settings, what /sys holds, are those of a recorded machine. Its /proc and keyrings
// are this machine's.
func host(t *testing.T, name, recording string) *lab.Host {
	t.Helper()
	h := lab.Hosts(t, name)[0]
	h.Write(t, kkeys, lab.Binary(t, "kkeys/cmd/kkeys"), 0o755)
	dress(t, h, recording)
	return h
}

// dress gives a host the /sys of a recorded machine, in place of the one it has.
func dress(t *testing.T, h *lab.Host, recording string) {
	t.Helper()
	m, err := machine.Snapshot(machines + recording)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Files(t).RemoveAll("sys/firmware"); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = fs.WalkDir(m.Files, "sys", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if data, err := fs.ReadFile(m.Files, path); err == nil { // of some variables a recording holds the name alone
			files++
			h.Write(t, path, data, 0o644)
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Fatalf("%s: %d files in /sys, %v", recording, files, err)
	}
}

// run runs a command and returns what it wrote to standard output, to standard error, and its exit code.
func run(t *testing.T, cmd *exec.Cmd) (string, string, int) {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, errs, code := run(t, cmd)
	if code != 0 {
		t.Fatalf("%q: exit code %d\n%s%s", cmd.Args, code, out, errs)
	}
	return out
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A host's devices are files of its own, not this machine's bound there: their modes and owners are too.
func TestLabHost(t *testing.T) {
	h := lab.Hosts(t, "devices")[0]
	for name, minor := range map[string]uint64{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		var stats [2]*syscall.Stat_t
		here, err := os.Stat("/dev/" + name)
		if err != nil {
			t.Fatal(err)
		}
		there, err := h.Files(t).Stat("dev/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for i, info := range []os.FileInfo{here, there} {
			stats[i] = info.Sys().(*syscall.Stat_t)
		}
		if os.SameFile(here, there) || stats[0].Dev == stats[1].Dev || stats[1].Rdev != 1<<8|minor || there.Mode() != os.ModeDevice|os.ModeCharDevice|0o666 {
			t.Errorf("/dev/%s: %v, device %#x, on file system %#x; here on %#x", name, there.Mode(), stats[1].Rdev, stats[1].Dev, stats[0].Dev)
		}
	}
	must(t, h.Command(t, "/bin/busybox", "sh", "-c", "echo x >/dev/null && head -c 9 /dev/urandom >/dev/null && grep -q '^proc /proc/sys proc ro' /proc/mounts"))
}

// A symbolic link in the packages leads to no file of this machine: what a host is furnished with is written in its own root.
func TestLabHostLinks(t *testing.T) {
	real, err := lab.Folder()
	if err != nil {
		t.Fatal(err)
	}
	cache, outside := t.TempDir(), t.TempDir()
	root := filepath.Join(cache, "parts/root")
	for _, folder := range []string{root + "/bin", root + "/etc", root + outside} { // in the host the link leads into a folder of the same name
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"parts/packages", "parts/root/bin/busybox"} {
		if err := os.WriteFile(filepath.Join(cache, name), read(t, filepath.Join(real, name)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside+"/passwd", root+"/etc/passwd"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KKEYS_LAB", cache)
	h := lab.Hosts(t, "links")[0]
	if text := string(h.Read(t, outside+"/passwd")); !strings.HasPrefix(text, "root:x:0:0:") {
		t.Errorf("the host's /etc/passwd: %q", text)
	}
	for _, folder := range []string{outside, root + outside} {
		if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
			t.Errorf("making a host wrote to %s: %v, %v", folder, files, err)
		}
	}
}
