// Package keyringtest has a kernel in memory whose keyrings obey the rules of the real ones: which certificates become keys, which key a
// lookup takes when several fit, what a restricted keyring answers, and, what no keyring tells, whether a module's signature would be
// accepted. It is for tests only; a contract test in package keyring holds it against the running kernel.
//
// It is a kernel since Linux 6.4 as Debian builds it (the contract test makes no certificate which those since 5.17 take otherwise): no
// SYSTEM_REVOCATION_LIST, so that a certificate in .blacklist revokes nothing; no ca_keys=; drivers for all that package certs can verify. Not
// modelled: quotas, expired and revoked keys, keyrings nested deeper than the kernel follows, who may put what into a system keyring.
package keyringtest

import (
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/keyring"
)

// Kernel is a kernel with its keyrings. It is a [keyring.Source] as root sees one.
type Kernel struct {
	// Order compares two entries of one keyring by their serial numbers: in this order a lookup tries them, first the keys, then the keyrings,
	// and in this order they are listed. Nil is the order of a real keyring of up to 16 entries: the oldest first, the others from the newest to
	// the second (lib/assoc_array.c: the first takes slot 0, each further one the last free slot). Beyond that the kernel orders by a hash, so
	// that any order may come. It must not change the order of two entries between lookups, as the kernel does not.
	Order func(a, b keyring.Serial) int

	rings  []*ring
	serial keyring.Serial
}

// ring is a keyring and what it links to, in the order of the array's slots.
type ring struct {
	keyring.Key
	entries []*entry
}

// entry is a link, to a key or to a keyring.
type entry struct {
	keyring.Key
	certificate *certs.Certificate // what the key was made of
	ring        *ring
	hidden      bool
}

var _ keyring.Source = (*Kernel)(nil)

// New gives a kernel whose keyrings are empty: the five of Debian. .secondary_trusted_keys links .builtin_trusted_keys and .machine
// (certs/system_keyring.c, system_trusted_keyring_init and set_machine_trusted_keys).
func New() *Kernel {
	k := &Kernel{}
	for _, name := range []string{keyring.Builtin, keyring.Secondary, keyring.Machine, keyring.Platform, keyring.Blacklist} {
		k.Ring(name)
	}
	k.Link(keyring.Builtin, keyring.Secondary)
	k.Link(keyring.Machine, keyring.Secondary)
	return k
}

// Ring is the serial number of the keyring with this name, which is made when there is none. Only those whose name begins with a dot
// are the kernel's, so that Rings lists them.
func (k *Kernel) Ring(name string) keyring.Serial {
	if r := k.find(name); r != nil {
		return r.Serial
	}
	permissions := map[string]uint32{keyring.Secondary: 0x1f0f0000, keyring.Blacklist: 0x0f0b0000}[name]
	if permissions == 0 {
		permissions = 0x1f0b0000
	}
	r := &ring{Key: keyring.Key{Serial: k.next(), Type: keyring.TypeKeyring, Permissions: permissions, Description: name}}
	k.rings = append(k.rings, r)
	return r.Serial
}

// next is the serial number of a new key or keyring.
func (k *Kernel) next() keyring.Serial {
	k.serial += 0x10203
	return k.serial
}

func (k *Kernel) find(name string) *ring {
	i := slices.IndexFunc(k.rings, func(r *ring) bool { return r.Description == name })
	if i < 0 {
		return nil
	}
	return k.rings[i]
}

// must is a keyring that the test has to have named right.
func (k *Kernel) must(name string) *ring {
	r := k.find(name)
	if r == nil {
		panic("keyringtest: no keyring " + name)
	}
	return r
}

// Link links a keyring from another one, which it must not hold itself.
func (k *Kernel) Link(name, from string) {
	r := k.must(name)
	k.must(from).link(&entry{Key: r.Key, ring: r})
}

// Unlink cuts that link, as root can.
func (k *Kernel) Unlink(name, from string) {
	r := k.must(from)
	r.entries = slices.DeleteFunc(r.entries, func(e *entry) bool { return e.ring != nil && e.Description == name })
}

// link puts an entry where the kernel puts it: in place of one of the same type and description (security/keys/keyring.c, __key_link), else
// in the last free slot (lib/assoc_array.c, assoc_array_insert_into_terminal_node).
func (r *ring) link(e *entry) {
	for i, old := range r.entries {
		if old.Type == e.Type && old.Description == e.Description {
			r.entries[i] = e
			return
		}
	}
	r.entries = slices.Insert(r.entries, min(1, len(r.entries)), e)
}

// Option is something special about an entry.
type Option func(*entry)

// Described gives the key a description of its own, as root's add_key can, in place of the kernel's.
func Described(description string) Option {
	return func(e *entry) { e.Description = description }
}

// Hidden makes an entry that no lookup finds, because root took its permission to search away (security/keys/keyring.c,
// keyring_search_iterator: EACCES, and the search goes on). It is listed, and can be named by its serial number.
func Hidden() Option {
	const search = 0x08080808 // include/linux/key.h, KEY_POS_SEARCH and on
	return func(e *entry) { e.hidden, e.Permissions = true, e.Permissions&^search }
}

// Put loads a certificate into a keyring, without asking who vouches for it, and gives the serial number of the new key; 0 when the kernel
// makes no key of it. A key of the same description that is there already is replaced.
func (k *Kernel) Put(name string, der []byte, options ...Option) keyring.Serial {
	r := k.must(name)
	c, refused := preparse(der)
	if refused != nil {
		return 0
	}
	permissions := map[string]uint32{keyring.Builtin: 0x1f030000, keyring.Secondary: 0x39010000}[name]
	if permissions == 0 {
		permissions = 0x1f010000
	}
	e := &entry{Key: keyring.Key{Serial: k.next(), Type: keyring.TypeAsymmetric, Permissions: permissions, Description: c.KernelName()}, certificate: c}
	for _, option := range options {
		option(e)
	}
	r.link(e)
	return e.Serial
}

// Rings lists the kernel's own keyrings.
func (k *Kernel) Rings() ([]keyring.Ring, error) {
	var all []keyring.Ring
	for _, r := range k.rings {
		if !strings.HasPrefix(r.Description, ".") {
			continue
		}
		listed := keyring.Ring{Key: r.Key}
		for _, e := range k.inOrder(r) {
			if e.ring != nil {
				listed.Rings = append(listed.Rings, e.Key)
			} else {
				listed.Keys = append(listed.Keys, e.Key)
			}
		}
		all = append(all, listed)
	}
	return all, nil
}

// inOrder gives a keyring's entries as lookups try them.
func (k *Kernel) inOrder(r *ring) []*entry {
	if k.Order == nil {
		return r.entries
	}
	return slices.SortedStableFunc(slices.Values(r.entries), func(a, b *entry) int { return k.Order(a.Serial, b.Serial) })
}
