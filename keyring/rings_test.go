package keyring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// pretend is a kernel with the keys given: serial to the text of KEYCTL_DESCRIBE, keyring to members.
type pretend struct {
	keys    map[Serial]string
	members map[Serial][]Serial
	hide    Serial // gives EACCES
}

func (p pretend) describe(s Serial) (string, error) {
	if s == p.hide {
		return "", syscall.EACCES
	}
	text, ok := p.keys[s]
	if !ok {
		return "", errNoKey
	}
	return text, nil
}

func (p pretend) read(s Serial) ([]Serial, error) { return p.members[s], nil }

func TestReadRingsBelievesOnlyTheKernel(t *testing.T) {
	p := pretend{
		keys: map[Serial]string{
			1: "keyring;0;0;1f0b0000;.machine",
			2: "keyring;0;0;1f0f0000;.secondary_trusted_keys",
			3: "asymmetric;0;0;1f010000;Evil; Corp\n3fffffff I------ 1 perm 1f0b0000 0 0 keyring .platform: 1: aabb",
			4: "keyring;1000;1000;3f030000;.platform", // the name is right, the owner is not
			5: "keyring;0;1000;3f030000;.platform",    // nor is the group
			6: "asymmetric;0;0;3f030000;.platform",    // no keyring
			7: "keyring;0;65534;1f3f0000;_uid.0",      // no dot
			9: "keyring;0;0;1f0b0000; .platform",      // not exactly the name
		},
		members: map[Serial][]Serial{1: {3, 8, 10}, 2: {1, 3}},
		hide:    10,
	}
	rings, err := readRings([]Serial{9, 7, 6, 5, 4, 3, 2, 1, 99}, p.describe, p.read)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rings {
		names = append(names, r.Name())
	}
	if want := []string{".secondary_trusted_keys", ".machine"}; !slices.Equal(names, want) {
		t.Fatalf("rings %q, want %q", names, want)
	}
	machine, secondary := Named(rings, Machine), Named(rings, Secondary)
	if len(machine.Keys) != 1 || machine.Missing != 1 || machine.Unseen != 1 || machine.Keys[0].Serial != 3 {
		t.Errorf(".machine: %+v", machine)
	}
	if len(secondary.Rings) != 1 || secondary.Rings[0].Description != Machine || len(secondary.Keys) != 1 {
		t.Errorf(".secondary_trusted_keys: %+v", secondary)
	}
	if Named(rings, Platform) != nil {
		t.Error("a forged .platform was believed")
	}
}

// A listing without the keyring that every kernel has is no listing, whoever asks.
func TestSeen(t *testing.T) {
	ring := func(name string) []Ring { return []Ring{{Key: Key{Description: name}}} }
	for _, c := range []struct {
		rings []Ring
		root  bool
		want  error
	}{
		{ring(Builtin), true, nil}, {ring(System), true, nil}, {ring(Builtin), false, nil},
		{nil, true, ErrUnavailable}, {ring(Blacklist), true, ErrUnavailable}, {nil, false, ErrNotVisible}, {ring(".ima"), false, ErrNotVisible},
	} {
		if err := seen(c.rings, c.root); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%v as root %v: %v, want %v", c.rings, c.root, err, c.want)
		}
	}
}

func TestReadRingsKeepsErrors(t *testing.T) {
	for name, p := range map[string]pretend{
		"description of another shape": {keys: map[Serial]string{1: "keyring;0;0"}},
		"member of another shape":      {keys: map[Serial]string{1: "keyring;0;0;1f0b0000;.machine", 2: "junk"}, members: map[Serial][]Serial{1: {2}}},
	} {
		if rings, err := readRings([]Serial{1}, p.describe, p.read); err == nil || rings != nil {
			t.Errorf("%s: %v, %v, want an error alone", name, rings, err)
		}
	}
	p := pretend{keys: map[Serial]string{1: "keyring;0;0;1f0b0000;.machine"}}
	broken := func(Serial) (string, error) { return "", syscall.EIO }
	if rings, err := readRings([]Serial{1}, broken, p.read); !errors.Is(err, syscall.EIO) || rings != nil {
		t.Errorf("a description that cannot be read: %v, %v, want EIO alone", rings, err)
	}
	refused := func(Serial) ([]Serial, error) { return nil, syscall.EACCES }
	if _, err := readRings([]Serial{1}, p.describe, refused); !errors.Is(err, ErrNotVisible) || !errors.Is(err, syscall.EACCES) {
		t.Errorf("a ring that cannot be read: %v, want ErrNotVisible over EACCES", err)
	}
}

// scripted plays the kernel in an inquiry: what each call answers.
type scripted struct {
	ringErr, restrictErr, describeErr error
	addFree, addRestricted            error
	open                              map[Serial]bool // keyrings without a restriction
	left                              map[Serial]int  // keys in each keyring
	next                              Serial
}

func (s *scripted) newRing(string) (Serial, error) {
	if s.ringErr != nil {
		return 0, s.ringErr
	}
	s.next++
	s.open[s.next] = true
	return s.next, nil
}

func (s *scripted) restrict(ring Serial, _ Restriction) error {
	if s.restrictErr == nil {
		s.open[ring] = false
	}
	return s.restrictErr
}

func (s *scripted) add(_ []byte, ring Serial) (Serial, error) {
	err := s.addRestricted
	if s.open[ring] {
		err = s.addFree
	}
	if err != nil {
		return 0, err
	}
	s.left[ring]++
	return 1000 + ring, nil
}

func (s *scripted) describe(Serial) (string, error) {
	return "asymmetric;0;0;39010000;Me: 01", s.describeErr
}

func (s *scripted) unlink(_, ring Serial) error { s.left[ring]--; return nil }

func TestInquire(t *testing.T) {
	for name, c := range map[string]struct {
		kernel  scripted
		failed  error // of the inquiry
		refused error
		answer  error
		errno   error
	}{
		"vouched":                   {},
		"not there":                 {kernel: scripted{addRestricted: errNoKey}, answer: ErrNoVoucher, errno: errNoKey},
		"other key, EKEYREJECTED":   {kernel: scripted{addRestricted: errKeyRejected}, answer: ErrMismatch, errno: errKeyRejected},
		"other key, EINVAL":         {kernel: scripted{addRestricted: syscall.EINVAL}, answer: ErrMismatch, errno: syscall.EINVAL},
		"other key, EBADMSG":        {kernel: scripted{addRestricted: syscall.EBADMSG}, answer: ErrMismatch, errno: syscall.EBADMSG},
		"no hash":                   {kernel: scripted{addRestricted: errNoPackage}, answer: ErrCrypto, errno: errNoPackage},
		"no driver":                 {kernel: scripted{addRestricted: syscall.ENOENT}, answer: ErrCrypto, errno: syscall.ENOENT},
		"ca_keys=":                  {kernel: scripted{addRestricted: syscall.EPERM}, answer: ErrExcluded, errno: syscall.EPERM},
		"quota, restricted":         {kernel: scripted{addRestricted: syscall.EDQUOT}, answer: ErrQuota, errno: syscall.EDQUOT},
		"memory":                    {kernel: scripted{addRestricted: syscall.ENOMEM}, answer: ErrUnavailable, errno: syscall.ENOMEM},
		"restriction not possible":  {kernel: scripted{restrictErr: syscall.EOPNOTSUPP}, answer: ErrUnavailable, errno: syscall.EOPNOTSUPP},
		"keyring unknown":           {kernel: scripted{restrictErr: errNoKey}, answer: ErrUnavailable, errno: errNoKey},
		"no certificate":            {kernel: scripted{addFree: syscall.EBADMSG}, refused: ErrMalformed, errno: syscall.EBADMSG},
		"RSA of a wrong size":       {kernel: scripted{addFree: syscall.EINVAL}, refused: ErrMalformed, errno: syscall.EINVAL},
		"blacklisted":               {kernel: scripted{addFree: errKeyRejected}, refused: ErrRejected, errno: errKeyRejected},
		"unknown algorithm":         {kernel: scripted{addFree: errNoPackage}, refused: ErrCrypto, errno: errNoPackage},
		"no driver for its own key": {kernel: scripted{addFree: syscall.ENOENT}, refused: ErrCrypto, errno: syscall.ENOENT},
		"quota":                     {kernel: scripted{addFree: syscall.EDQUOT}, failed: ErrQuota, errno: syscall.EDQUOT},
		"no asymmetric keys":        {kernel: scripted{addFree: syscall.ENODEV}, failed: ErrUnavailable, errno: syscall.ENODEV},
		"seccomp":                   {kernel: scripted{ringErr: syscall.EPERM}, failed: ErrUnavailable, errno: syscall.EPERM},
		"no key service":            {kernel: scripted{ringErr: syscall.ENOSYS}, failed: ErrUnavailable, errno: syscall.ENOSYS},
		"describe refused":          {kernel: scripted{describeErr: syscall.EACCES}, failed: ErrUnavailable, errno: syscall.EACCES},
	} {
		c.kernel.open, c.kernel.left = map[Serial]bool{}, map[Serial]int{}
		q, err := inquire(&c.kernel, []byte{0x30}, []Restriction{BySecondary, ByRing(7)})
		check := func(what string, got, want error) {
			if want == nil && got != nil || want != nil && (!errors.Is(got, want) || !errors.Is(got, c.errno)) {
				t.Errorf("%s: %s is %v, want %v over %v", name, what, got, want, c.errno)
			}
		}
		check("the failure", err, c.failed)
		if err != nil {
			continue
		}
		check("the refusal", q.Refused, c.refused)
		if (c.refused != nil) == (len(q.Answers) == 2 && q.Description == "Me: 01") {
			t.Errorf("%s: refused %v, answers %v, description %q", name, q.Refused, q.Answers, q.Description)
		}
		for _, a := range q.Answers {
			check("the answer to "+string(a.Restriction), a.Err, c.answer)
		}
		for ring, n := range c.kernel.left {
			if n != 0 {
				t.Errorf("%s: %d keys left in keyring %d", name, n, ring)
			}
		}
	}
}

// A keyring whose restriction could not be set takes everything: that must never read as "vouched".
func TestInquireNeverTrustsAnOpenRing(t *testing.T) {
	kernel := &scripted{restrictErr: errNoKey, open: map[Serial]bool{}, left: map[Serial]int{}}
	q, err := inquire(kernel, []byte{0x30}, []Restriction{ByRing(12345)})
	if err != nil {
		t.Fatal(err)
	}
	a, asked := q.Answer(ByRing(12345))
	if !asked || a.Err == nil {
		t.Fatalf("answer %v, asked %v: an open keyring was taken for consent", a.Err, asked)
	}
	if _, asked := q.Answer(ByBuiltin); asked {
		t.Error("an answer to a question that was not asked")
	}
}

func TestRestrictionWords(t *testing.T) {
	for got, want := range map[Restriction]string{
		ByBuiltin: "builtin_trusted", BySecondary: "builtin_and_secondary_trusted", ByRing(0x2b3c4d5e): "key_or_keyring:725372254",
	} {
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := fmt.Sprint(Serial(0x45748b4)); got != "045748b4" || strings.ToLower(got) != got {
		t.Errorf("serial %s", got)
	}
}
