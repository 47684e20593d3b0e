package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"kkeys/machine"
)

// Whatever the umask lets others do, the private key is its owner's alone.
func TestGenerateWithoutUmask(t *testing.T) {
	t.Chdir(t.TempDir())
	defer syscall.Umask(syscall.Umask(0))
	if got := runOn(t, &machine.Machine{Files: fstest.MapFS{}}, "generate", "--algorithm", "p256", "--profile", "ca"); got.code != exitYes {
		t.Fatal(got)
	}
	for name, want := range map[string]string{"signing_key.priv": "-rw-------", "signing_root.priv": "-rw-------", "signing_key.x509": "-rw-r--r--"} {
		if info, err := os.Stat(name); err != nil || info.Mode().String() != want {
			t.Error(name, info.Mode(), err)
		}
	}
}

// On a disk that gets full nothing stays, whichever of the files does not fit. The disk is a tmpfs of so many pages in a namespace of its own.
func TestGenerateOnAFullDisk(t *testing.T) {
	if err := exec.Command("unshare", "-rm", "true").Run(); err != nil {
		t.Skip("no namespaces for mounts here: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	kkeys := filepath.Join(dir, "kkeys") // see TestMain
	if err := os.Symlink(self, kkeys); err != nil {
		t.Fatal(err)
	}
	for fit, want := range []string{"4", "4", "4", "4", "0 signing_key.priv signing_key.x509 signing_root.priv signing_root.x509"} {
		disk := filepath.Join(dir, fmt.Sprint(fit))
		if err := os.Mkdir(disk, 0o700); err != nil {
			t.Fatal(err)
		}
		const script = `mount -t tmpfs -o "size=$1" tmpfs "$2" && cd "$2" && head -c 4096 /dev/zero >filler || exit 9
			"$3" generate --profile ca --algorithm p256 >&2; code=$?; rm filler; echo "$code" *`
		var errs strings.Builder
		command := exec.Command("unshare", "-rm", "sh", "-c", script, "sh", fmt.Sprint(4096*(fit+1)), disk, kkeys)
		command.Stderr = &errs
		out, err := command.Output()
		if fit < 4 {
			want += " *" // as the shell writes "no file"
		}
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%d files fit: %q, want %q, %v\n%s", fit, got, want, err, &errs)
		}
		if full := strings.Contains(errs.String(), "no space left on device"); full != (fit < 4) {
			t.Errorf("%d files fit:\n%s", fit, &errs)
		}
	}
}
