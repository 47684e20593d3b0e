package keyring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	errNoKey       = unix.ENOKEY
	errKeyRejected = unix.EKEYREJECTED
	errNoPackage   = unix.ENOPKG
)

// threadKeyring is KEY_SPEC_THREAD_KEYRING: it belongs to one OS thread and ends with it. The process keyring would be shared with
// Go's other threads, which see it only from time to time.
const threadKeyring = unix.KEY_SPEC_THREAD_KEYRING

func describeSerial(s Serial) (string, error) {
	return unix.KeyctlString(unix.KEYCTL_DESCRIBE, int(s))
}

// readMembers reads the serials that a keyring links to (KEYCTL_READ, keyring.c keyring_read: an array of key_serial_t in the
// machine's byte order). The answer is the whole size even when the buffer is too small, and may grow between two calls.
func readMembers(ring Serial) ([]Serial, error) {
	buffer := make([]byte, 256)
	for {
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, int(ring), buffer, 0)
		if err != nil {
			return nil, err
		}
		if n > len(buffer) {
			buffer = make([]byte, n+256)
			continue
		}
		if n%4 != 0 {
			return nil, fmt.Errorf("keyring %s: %d bytes are no whole number of serials", ring, n)
		}
		members := make([]Serial, n/4)
		for i := range members {
			members[i] = Serial(binary.NativeEndian.Uint32(buffer[4*i:]))
		}
		return members, nil
	}
}

// kernelCalls are the real system calls of an inquiry, all on the keyrings of the calling thread.
type kernelCalls struct{}

func (kernelCalls) newRing(name string) (Serial, error) { return addRing(name, threadKeyring) }

func addRing(name string, in Serial) (Serial, error) { return addKey(TypeKeyring, name, nil, in) }

// addKey waits a little where the user's quota is used up: the kernel gives back the quota of dropped keys only when its collector
// comes round (security/keys/gc.c), so many questions in a row can outrun it.
func addKey(kind, description string, payload []byte, ring Serial) (Serial, error) {
	for try := 0; ; try++ {
		s, err := unix.AddKey(kind, description, payload, int(ring))
		if !errors.Is(err, unix.EDQUOT) || try == 20 {
			return Serial(s), err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (kernelCalls) restrict(ring Serial, r Restriction) error {
	return unix.KeyctlRestrictKeyring(int(ring), TypeAsymmetric, string(r))
}

// add gives no description, so the kernel makes its own from the certificate.
func (kernelCalls) add(der []byte, ring Serial) (Serial, error) {
	return addKey(TypeAsymmetric, "", der, ring)
}

func (kernelCalls) describe(s Serial) (string, error) { return describeSerial(s) }

func (kernelCalls) unlink(key, ring Serial) error {
	_, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, int(key), int(ring), 0, 0)
	return err
}

// gone: the key was removed between two calls (ENOKEY).
func gone(err error) bool { return errors.Is(err, unix.ENOKEY) }

// hidden: the key gives this process no VIEW permission (EACCES), or a security module or filter says no (EPERM).
func hidden(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }
