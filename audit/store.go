package audit

import (
	"slices"

	"kkeys/certs"
)

// Store is a place in which keys are trusted or refused: the firmware's lists, shim's, and the kernel's keyrings.
type Store struct {
	Name string // "PK", "KEK", "db", "dbx", "mok", "mokx", or a keyring with its dot
	Kind Kind
	// Err says why it was not seen as a whole; nil also when it is not there, which Absent tells.
	Err    error
	Absent bool
	Keys   []Key
	// Hashes are those that it refuses, in the kernel's words: "bin:" and "tbs:" with lower-case hex.
	Hashes []string
}

// Kind is whose store it is.
type Kind string

// The kinds.
const (
	Firmware Kind = "firmware"
	Shim     Kind = "shim"
	Keyring  Kind = "keyring"
)

// Refuses tells a store of what is refused from one of what is trusted.
func (s Store) Refuses() bool { return slices.Contains([]string{"dbx", "mokx", ".blacklist"}, s.Name) }

// Key is a key in a store.
type Key struct {
	Name  string // for people: the common name, or the kernel's
	KeyID string // lower-case hex; empty where there is none
	// Description is the kernel's name of the key.
	Description string
	// Certificates that it may be: the one of a list, or those that bear the name of a key in a keyring, which gives none back. Several only where
	// different ones have one name.
	Certificates []certs.Details
}

// label is how a key is named in a store: "db:13adbf43…", which a waiver can name.
func (s Store) label(k Key) string { return s.Name + ":" + k.id() }

// id identifies a key: its key id, else the hash of its certificate, else the kernel's name.
func (k Key) id() string {
	switch {
	case k.KeyID != "":
		return k.KeyID
	case len(k.Certificates) > 0:
		return k.Certificates[0].SHA256
	}
	return k.Description
}

// store finds one by its name; nil when nobody looked for it.
func (f Facts) store(name string) *Store {
	for i := range f.Stores {
		if f.Stores[i].Name == name {
			return &f.Stores[i]
		}
	}
	return nil
}

// allows tells whether the policy allows a key in a store. Where several certificates have its name, each must be allowed.
func (p Policy) allows(f Facts, s Store, k Key) bool {
	if slices.Contains(p.Keys.Trust, TrustKernel) && slices.Contains([]string{".builtin_trusted_keys", ".system_keyring"}, s.Name) {
		return true // only the kernel's image puts keys there
	}
	if len(k.Certificates) == 0 {
		return p.allowsCertificate(f, s.Name, k.KeyID, "")
	}
	return !slices.ContainsFunc(k.Certificates, func(c certs.Details) bool { return !p.allowsCertificate(f, s.Name, k.KeyID, c.SHA256) })
}

// allowsCertificate tells whether the policy allows the certificate, or the key id, in a store.
func (p Policy) allowsCertificate(f Facts, store, keyID, sha256 string) bool {
	switch {
	case slices.Contains(p.Keys.Trust, TrustKernel) && f.Image[sha256], slices.Contains(p.Keys.Trust, TrustVendor) && f.Vendor[sha256]:
		return true
	}
	return slices.ContainsFunc(p.Keys.Allow, func(a Allowed) bool {
		is := a.SHA256 != "" && a.SHA256 == sha256 || a.SHA256 == "" && a.KeyID != "" && a.KeyID == keyID || slices.Contains(a.Certificates, sha256)
		return is && (len(a.Stores) == 0 || slices.Contains(a.Stores, store))
	})
}

// trusted are the stores whose keys count for something, of a kind; empty: of any.
func (f Facts) trusted(kinds ...Kind) (stores []Store) {
	for _, s := range f.Stores {
		if !s.Refuses() && (len(kinds) == 0 || slices.Contains(kinds, s.Kind)) {
			stores = append(stores, s)
		}
	}
	return stores
}
