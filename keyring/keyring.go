// Package keyring reads the kernel's trusted keyrings and asks the kernel what it thinks of a certificate.
//
// A keyring is a kernel object (security/keys/keyring.c) with a serial number, an owner, permissions and links to keys and to other
// keyrings. The ones that decide about modules were made by the kernel itself at boot: their names begin with a dot, which no
// process can give to a keyring (keyctl.c, add_key: EPERM), and they belong to uid 0. Since Linux 4.7 they are
// .builtin_trusted_keys and .secondary_trusted_keys; .platform since 5.0, .machine since 5.18, .blacklist since 4.7; before 4.7
// .system_keyring.
//
// Permissions: only uid 0 may view them, so an ordinary user sees none and [ErrNotVisible] says so. A certificate can never be
// read back from a keyring (KEYCTL_READ answers EOPNOTSUPP or EACCES even to root): what is known of a key is its description.
//
// The text of /proc/keys is never believed. A description may hold a newline, so anybody can forge a line there by adding a
// certificate with such a name to a keyring of their own; only serial numbers are taken from it, and each is asked for its
// description (KEYCTL_DESCRIBE) before it counts.
package keyring

import (
	"errors"
	"fmt"
	"strings"
)

// Serial is the number of a key or keyring, positive for a real one (key_serial_t in include/linux/key.h).
type Serial int32

// String gives the form of /proc/keys: eight lower-case hex digits.
func (s Serial) String() string { return fmt.Sprintf("%08x", uint32(s)) }

// The names of the keyrings that the kernel makes for trust (certs/system_keyring.c, security/integrity/digsig.c,
// certs/blacklist.c).
const (
	Builtin   = ".builtin_trusted_keys"
	Secondary = ".secondary_trusted_keys"
	Machine   = ".machine"
	Platform  = ".platform"
	Blacklist = ".blacklist"
	System    = ".system_keyring" // Linux 4.6 and older, RHEL 7
)

// The key types that stand in those keyrings (struct key_type, field name).
const (
	TypeKeyring    = "keyring"
	TypeAsymmetric = "asymmetric"
	TypeBlacklist  = "blacklist"
)

// Key is what KEYCTL_DESCRIBE tells of a key or of a keyring (security/keys/keyctl.c, keyctl_describe_key).
type Key struct {
	Serial      Serial
	Type        string // the full name of the key type: "asymmetric", "keyring", "blacklist"
	UID, GID    int    // as seen from this process's user namespace; -1 where the namespace has no such id
	Permissions uint32 // four bytes: possessor, user, group, other (include/linux/key.h, KEY_POS_VIEW and on)
	Description string // any bytes but NUL; for a certificate its kernel name
}

// Ring is a keyring of the kernel and what it links to, in the order in which the kernel lists the links.
type Ring struct {
	Key           // Description is the name, with its dot
	Keys    []Key // links to keys; for [Blacklist] its hashes too
	Rings   []Key // links to other keyrings
	Unseen  int   // links that this process may not describe (EACCES)
	Missing int   // links whose key went away while the ring was read (ENOKEY)
}

// Name is the ring's name with its dot.
func (r *Ring) Name() string { return r.Description }

// Hashes counts the blacklist entries of the ring: hashes of refused certificates ("tbs:") and binaries ("bin:").
func (r *Ring) Hashes() int {
	n := 0
	for _, k := range r.Keys {
		if k.Type == TypeBlacklist {
			n++
		}
	}
	return n
}

// Named finds a ring by its exact name; nil if there is none.
func Named(rings []Ring, name string) *Ring {
	for i := range rings {
		if rings[i].Description == name {
			return &rings[i]
		}
	}
	return nil
}

// Source is where keyrings are seen: the running kernel ([Live]) or a recorded machine ([Recorded]).
type Source interface {
	// Rings gives every keyring of the kernel whose name begins with a dot. On failure [ErrNotVisible], [ErrUnavailable].
	Rings() ([]Ring, error)
	// Ask adds the certificate to keyrings of this process alone, one free and one under each restriction, and tells what the
	// kernel answered; nothing stays behind. On failure [ErrUnavailable], [ErrNotRecorded]: then nothing was asked.
	Ask(der []byte, restrictions ...Restriction) (*Inquiry, error)
}

// Outcomes that stand for the whole source. Where a system call gave the reason, its errno is kept underneath.
var (
	// ErrNotVisible: the kernel shows its keyrings to uid 0 of the first user namespace only.
	ErrNotVisible = errors.New("the kernel shows its keyrings to root only")
	// ErrUnavailable: no key service here: built without CONFIG_KEYS, /proc not mounted, or a container's filter refuses the calls.
	ErrUnavailable = errors.New("the kernel's key service cannot be used")
	// ErrNotRecorded: a recorded machine cannot answer a question that was not asked of it.
	ErrNotRecorded = errors.New("a recorded machine cannot be asked")
)

// trustedRing tells whether a description is that of a keyring which the kernel itself made. Text alone is not enough, see the
// package comment: key must come from KEYCTL_DESCRIBE.
func trustedRing(k Key) bool {
	return k.Type == TypeKeyring && k.UID == 0 && k.GID == 0 && strings.HasPrefix(k.Description, ".")
}
