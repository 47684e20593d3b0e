package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kkeys/machine/machinetest"
)

// Below a folder given by name a pipe may lie where a file belongs. Nobody writes into it, so that opening it would never end.
func TestPipes(t *testing.T) {
	for _, path := range []string{
		"proc/crypto", "proc/cmdline", "proc/kallsyms", "proc/config.gz", "proc/self/mountinfo", "proc/sys/kernel/osrelease", "proc/sys/crypto/fips_enabled", "etc/os-release",
		"sys/firmware/efi/mok-variables/MokListRT", "sys/module/module/parameters/sig_enforce", "sys/kernel/security/lockdown", "sys/kernel/security/integrity/ima/policy",
		"sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", "var/lib/dkms/mok.pub", "var/lib/shim-signed/mok/MOK.der", "etc/dkms/framework.conf",
		"var/lib/kkeys/receipts.json", "boot/efi/EFI/debian/shimx64.efi", "boot/vmlinuz-6.1.0-test",
	} {
		made := machinetest.Installed(t)
		if path != "proc/sys/kernel/osrelease" {
			made.Write("proc/sys/kernel/osrelease", "6.1.0-test\n")
		}
		pipe := filepath.Join(made.Dir, path)
		if err := os.MkdirAll(filepath.Dir(pipe), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(pipe); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan bool, 1)
		go func() {
			for _, args := range [][]string{{"status"}, {"list"}, {"trusted", machines + "/mine.der"}, {"pending"}, {"snapshot", filepath.Join(t.TempDir(), "s.kks")}, {"enroll", "--dry-run", machines + "/mine.der"}} {
				runOn(t, nil, append([]string{"--root", made.Dir, "--json"}, args...)...)
			}
			done <- true
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: a pipe there keeps kkeys waiting", path)
		}
	}
}
