package efivarstest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"kkeys/efivars"
)

// Traits is what a store under test has besides the contract.
type Traits struct {
	// Vendor owns the variables that the contract makes, and nobody else's.
	Vendor efivars.GUID
	// Limited: variables have a largest size below 128 KiB.
	Limited bool
	// Volatile is a variable that shim or firmware made, if there is one.
	Volatile *efivars.Name
}

// KeyAttributes are those of the variables that the contract makes.
const KeyAttributes = efivars.NonVolatile | efivars.BootService | efivars.Runtime

// Contract checks that a store does what efivars.Store says and what firmware does. It leaves nothing behind.
func Contract(t *testing.T, s efivars.Store, traits Traits) {
	t.Helper()
	name := func(short string) efivars.Name {
		return efivars.Name{Vendor: traits.Vendor, Name: "KkeysContract" + short}
	}
	before, err := s.List()
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	t.Run("missing", func(t *testing.T) {
		n := name("Missing")
		if _, _, err := s.Get(n); !errors.Is(err, efivars.ErrNotFound) {
			t.Errorf("Get of a missing variable: %v", err)
		}
		if err := s.Delete(n); !errors.Is(err, efivars.ErrNotFound) {
			t.Errorf("Delete of a missing variable: %v", err)
		}
		absent(t, s, n)
	})
	t.Run("life", func(t *testing.T) { life(t, s, name("Life")) })
	t.Run("large", func(t *testing.T) {
		n := name("Large")
		data := bytes.Repeat([]byte("one write "), 2000) // far more than any buffer of the standard library
		mustSet(t, s, n, data)
		holds(t, s, n, data)
		mustDelete(t, s, n)
	})
	t.Run("invalid", func(t *testing.T) { invalid(t, s, name("Invalid")) })
	if traits.Limited {
		t.Run("too large", func(t *testing.T) { tooLarge(t, s, name("TooLarge")) })
	}
	if traits.Volatile != nil {
		t.Run("volatile", func(t *testing.T) { volatile(t, s, *traits.Volatile) })
	}
	t.Run("space", func(t *testing.T) {
		space, err := s.Space()
		if err != nil || space.Free > space.Total || space.Available > space.Free {
			t.Errorf("Space: %+v, %v", space, err)
		}
	})
	after, err := s.List()
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("left behind: before %v, after %v, %v", before, after, err)
	}
}

func life(t *testing.T, s efivars.Store, n efivars.Name) {
	mustSet(t, s, n, []byte{1})
	holds(t, s, n, []byte{1})
	names, err := s.List()
	if err != nil || !slices.Contains(names, n) {
		t.Errorf("List has no %s: %v, %v", n, names, err)
	}
	for _, data := range [][]byte{[]byte("longer than before"), {2}, {2}, {0}} {
		mustSet(t, s, n, data)
		holds(t, s, n, data)
	}
	mustDelete(t, s, n)
	absent(t, s, n)
	mustSet(t, s, n, []byte("again"))
	holds(t, s, n, []byte("again"))
	mustDelete(t, s, n)
	if err := s.Delete(n); !errors.Is(err, efivars.ErrNotFound) {
		t.Errorf("second Delete: %v", err)
	}
}

func invalid(t *testing.T, s efivars.Store, n efivars.Name) {
	bad := map[string]efivars.Attributes{
		"unknown bit":             KeyAttributes | 1<<8,
		"no attributes":           0,
		"volatile":                efivars.BootService | efivars.Runtime,
		"invisible at run time":   efivars.NonVolatile | efivars.BootService,
		"append to what is not":   KeyAttributes | efivars.AppendWrite,
		"every bit there can be":  ^efivars.Attributes(0),
		"run time without boot's": efivars.NonVolatile | efivars.Runtime,
	}
	for why, a := range bad {
		if err := s.Set(n, a, []byte("data")); !errors.Is(err, efivars.ErrInvalid) {
			t.Errorf("create, %s: %v", why, err)
		}
		absent(t, s, n)
	}
	if err := s.Set(n, KeyAttributes, nil); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("create without data: %v", err)
	}
	absent(t, s, n)
	mustSet(t, s, n, []byte("kept"))
	bad["other than before"] = KeyAttributes | efivars.HardwareError // well-formed, so refused by kernel or firmware
	for why, a := range bad {
		if err := s.Set(n, a, []byte("changed")); !errors.Is(err, efivars.ErrInvalid) {
			t.Errorf("overwrite, %s: %v", why, err)
		}
		holds(t, s, n, []byte("kept"))
	}
	if err := s.Set(n, KeyAttributes, nil); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("overwrite without data: %v", err)
	}
	holds(t, s, n, []byte("kept"))
	mustDelete(t, s, n)
	for _, wrong := range []string{"", "a/b", "../up", "nul\x00"} {
		m := efivars.Name{Vendor: n.Vendor, Name: wrong}
		if err := s.Set(m, KeyAttributes, []byte{1}); !errors.Is(err, efivars.ErrInvalid) {
			t.Errorf("name %q: %v", wrong, err)
		}
	}
}

func tooLarge(t *testing.T, s efivars.Store, n efivars.Name) {
	big := make([]byte, 128<<10)
	refused := func(err error) bool {
		return errors.Is(err, efivars.ErrInvalid) || errors.Is(err, efivars.ErrNoSpace)
	}
	if err := s.Set(n, KeyAttributes, big); !refused(err) {
		t.Errorf("create: %v", err)
	}
	absent(t, s, n)
	mustSet(t, s, n, []byte("kept")) // also when the failed creation left a file behind
	if err := s.Set(n, KeyAttributes, big); !refused(err) {
		t.Errorf("overwrite: %v", err)
	}
	holds(t, s, n, []byte("kept"))
	mustDelete(t, s, n)
}

func volatile(t *testing.T, s efivars.Store, n efivars.Name) {
	a, data, err := s.Get(n)
	if err != nil || a.Has(efivars.NonVolatile) {
		t.Fatalf("Get: %v, %v", a, err)
	}
	if err := s.Delete(n); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("Delete: %v", err)
	}
	if err := s.Set(n, KeyAttributes, []byte{1}); !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("Set: %v", err)
	}
	gotA, got, err := s.Get(n)
	if err != nil || gotA != a || !bytes.Equal(got, data) {
		t.Errorf("changed: %v, %d bytes, %v", gotA, len(got), err)
	}
}

func mustSet(t *testing.T, s efivars.Store, n efivars.Name, data []byte) {
	t.Helper()
	if err := s.Set(n, KeyAttributes, data); err != nil {
		t.Fatalf("Set %s to %d bytes: %v", n.Name, len(data), err)
	}
	t.Cleanup(func() { _ = s.Delete(n) }) // when the test breaks off
}

func mustDelete(t *testing.T, s efivars.Store, n efivars.Name) {
	t.Helper()
	if err := s.Delete(n); err != nil {
		t.Fatalf("Delete %s: %v", n.Name, err)
	}
	absent(t, s, n)
}

func holds(t *testing.T, s efivars.Store, n efivars.Name, data []byte) {
	t.Helper()
	a, got, err := s.Get(n)
	if err != nil || a != KeyAttributes || !bytes.Equal(got, data) {
		t.Errorf("%s: %s, %d bytes, %v; want %s, %d bytes", n.Name, a, len(got), err, KeyAttributes, len(data))
	}
}

func absent(t *testing.T, s efivars.Store, n efivars.Name) {
	t.Helper()
	if _, _, err := s.Get(n); !errors.Is(err, efivars.ErrNotFound) {
		t.Errorf("%s is there: %v", n.Name, err)
	}
	names, err := s.List()
	if err != nil || slices.Contains(names, n) {
		t.Errorf("%s is listed: %v", n.Name, err)
	}
}
