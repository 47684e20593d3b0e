package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// Live is the running kernel.
type Live struct{}

var _ Source = Live{}

// Rings finds the kernel's keyrings through /proc/keys, describes each candidate and reads those that prove to be the kernel's.
func (Live) Rings() ([]Ring, error) {
	file, err := os.Open("/proc/keys")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no /proc/keys: the kernel has no CONFIG_KEYS, or /proc is not mounted", ErrUnavailable)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer file.Close()
	candidates, err := ParseProcKeys(file)
	if err != nil {
		return nil, err
	}
	rings, err := readRings(candidates, describeSerial, members)
	if err != nil {
		return nil, err
	}
	if err := seen(rings, firstRoot()); err != nil {
		return nil, err
	}
	return rings, nil
}

// seen tells a listing from one that shows nothing. Every kernel that checks module signatures has .builtin_trusted_keys, or
// .system_keyring before 4.7, so a listing without either is no listing: to an ordinary user, in a user namespace, or in a container that
// hides /proc/keys or filters the calls.
func seen(rings []Ring, root bool) error {
	switch {
	case Named(rings, Builtin) != nil || Named(rings, System) != nil:
		return nil
	case !root:
		return ErrNotVisible
	}
	return fmt.Errorf("%w: %s is not shown: a container hides it, or the kernel was built without it", ErrUnavailable, Builtin)
}

// readRings keeps the candidates that are keyrings of the kernel, and reads them.
func readRings(candidates []Serial, describe func(Serial) (string, error), members func(Serial) ([]Serial, error)) ([]Ring, error) {
	var rings []Ring
	for _, serial := range candidates {
		text, err := describe(serial)
		if gone(err) || hidden(err) {
			continue // another user's, or a line that nobody backs
		} else if err != nil {
			return nil, fmt.Errorf("%w: describe %s: %w", ErrUnavailable, serial, err)
		}
		key, err := ParseDescription(text)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", serial, err)
		}
		if key.Serial = serial; !trustedRing(key) {
			continue
		}
		ring := Ring{Key: key}
		if err := ring.read(describe, members); err != nil {
			return nil, fmt.Errorf("keyring %s: %w", key.Description, err)
		}
		rings = append(rings, ring)
	}
	return rings, nil
}

// read fills in what the ring links to.
func (r *Ring) read(describe func(Serial) (string, error), members func(Serial) ([]Serial, error)) error {
	serials, err := members(r.Serial)
	if hidden(err) {
		return fmt.Errorf("%w: %w", ErrNotVisible, err)
	} else if err != nil {
		return err
	}
	for _, serial := range serials {
		text, err := describe(serial)
		switch {
		case gone(err):
			r.Missing++
			continue
		case hidden(err):
			r.Unseen++
			continue
		case err != nil:
			return fmt.Errorf("describe %s: %w", serial, err)
		}
		key, err := ParseDescription(text)
		if err != nil {
			return fmt.Errorf("key %s: %w", serial, err)
		}
		key.Serial = serial
		if key.Type == TypeKeyring {
			r.Rings = append(r.Rings, key)
		} else {
			r.Keys = append(r.Keys, key)
		}
	}
	return nil
}

// firstRoot tells whether this process is uid 0 of the first user namespace, to whom the kernel shows its keyrings. Anyone else
// sees none, which must not be taken for there being none.
func firstRoot() bool {
	if os.Geteuid() != 0 {
		return false
	}
	idMap, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(idMap)), " ") == "0 0 4294967295"
}

// Ask runs the inquiry on an OS thread of its own, locked and never unlocked, so that the runtime ends it (runtime.LockOSThread). With the
// thread ends its keyring and all that was made in it; where the runtime keeps the thread, as it does the program's first, they
// end with the program.
func (Live) Ask(der []byte, restrictions ...Restriction) (*Inquiry, error) {
	type result struct {
		inquiry *Inquiry
		err     error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		q, err := inquire(kernelCalls{}, der, restrictions)
		done <- result{q, err}
	}()
	r := <-done
	return r.inquiry, r.err
}
