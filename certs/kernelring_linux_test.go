package certs_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ring is a keyring of the test's own under the thread keyring of the test's thread, so that the kernel can be asked
// what it makes of a certificate. No system keyring is touched and it is gone with the thread.
type ring int

// newRing locks the test to its thread. It skips where the kernel lacks keyrings or forbids them, with the reason; with
// KKEYS_GUEST=1 that is a failure, because the lab's kernels have them.
func newRing(t *testing.T) ring {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread and its keyring end with the test
	id, err := unix.AddKey("keyring", "kkeys-test", nil, unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		// ENOSYS: no CONFIG_KEYS. EPERM, EACCES: seccomp in a container.
		unavailable(t, "the kernel gives no keyring: %v", err)
	}
	if _, err = unix.AddKey("asymmetric", "", []byte{0x30, 0}, id); errors.Is(err, unix.ENODEV) {
		unavailable(t, "the kernel has no key type asymmetric: %v", err) // CONFIG_ASYMMETRIC_KEY_TYPE
	}
	return ring(id)
}

func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("KKEYS_GUEST") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// add asks the kernel to make a key of the certificate and gives the description that it chose.
func (r ring) add(t *testing.T, der []byte) (description string, err error) {
	t.Helper()
	id, err := unix.AddKey("asymmetric", "", der, int(r))
	// EDQUOT: keys that were unlinked still count until the kernel has collected them.
	for wait := time.Millisecond; errors.Is(err, unix.EDQUOT) && wait < 5*time.Second; wait *= 2 {
		time.Sleep(wait)
		id, err = unix.AddKey("asymmetric", "", der, int(r))
	}
	if err != nil {
		return "", err
	}
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, int(r), 0, 0); err != nil {
		t.Fatalf("unlink: %v", err)
	}
	fields := strings.SplitN(text, ";", 5) // type;uid;gid;perm;description
	if len(fields) != 5 || fields[0] != "asymmetric" {
		t.Fatalf("describe: %q", text)
	}
	return fields[4], nil
}

// release is the kernel's version as major*1000+minor.
func release(t *testing.T) int {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	return version(unix.ByteSliceToString(name.Release[:]))
}
