package audit

import (
	"slices"
	"strings"

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

// label is how a key is named in a store: "db:13adbf43…", which a waiver can name. Of two with one id each is named by the hash of its certificate,
// so that who waives one does not waive the other.
func (s Store) label(k Key) string {
	for _, other := range s.Keys {
		if other.id() == k.id() && !slices.Equal(other.sums(), k.sums()) {
			return s.Name + ":" + orElse(k.sum(), k.Description)
		}
	}
	if len(k.Certificates) > 1 {
		return s.Name + ":" + strings.Join(k.sums(), "+")
	}
	return s.Name + ":" + k.id()
}

// bySum is the other name by which a waiver can name a key: "db:" and the SHA-256 of its certificate; empty where that is not one.
func (s Store) bySum(k Key) string {
	if k.sum() == "" {
		return ""
	}
	return s.Name + ":" + k.sum()
}

// sums are the SHA-256 of the certificates that it may be.
func (k Key) sums() (sums []string) {
	for _, c := range k.Certificates {
		sums = append(sums, c.SHA256)
	}
	return sums
}

// sum is that of the only certificate that it may be, else empty.
func (k Key) sum() string {
	if len(k.Certificates) != 1 {
		return ""
	}
	return k.Certificates[0].SHA256
}

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

// builtIn are the keyrings that only the kernel's image fills.
var builtIn = []string{".builtin_trusted_keys", ".system_keyring"}

// fromImage are the stores in which a certificate of the kernel's image may stand: its own keyring is linked to the second, and signs modules.
var fromImage = append([]string{".secondary_trusted_keys", "modules"}, builtIn...)

// allows tells whether the policy allows a key in a store: Pass, Fail, or Unknown. Where several certificates have its name, each must be allowed.
func (p Policy) allows(f Facts, s Store, k Key) Result {
	switch {
	case slices.Contains(p.Keys.Trust, TrustKernel) && slices.Contains(builtIn, s.Name):
		return Pass
	case len(k.Certificates) == 0:
		return p.allowsBare(f, s.Name, k)
	}
	result := Pass
	for _, c := range k.Certificates {
		result = worse(result, p.allowsCertificate(f, s.Name, k.KeyID, c.SHA256))
	}
	return result
}

// allowsCertificate tells whether the policy allows the certificate, or the key id, in a store.
func (p Policy) allowsCertificate(f Facts, store, keyID, sha256 string) Result {
	switch {
	case slices.Contains(p.Keys.Trust, TrustVendor) && f.Vendor[sha256]:
		return Pass
	case slices.ContainsFunc(p.Keys.Allow, func(a Allowed) bool {
		is := a.SHA256 != "" && a.SHA256 == sha256 || a.SHA256 == "" && a.KeyID != "" && a.KeyID == keyID || a.has(sha256)
		return is && a.in(store)
	}):
		return Pass
	case slices.Contains(p.Keys.Trust, TrustKernel) && slices.Contains(fromImage, store) && f.Image[sha256]:
		return f.builtIn(func(k Key) bool {
			return slices.ContainsFunc(k.Certificates, func(c certs.Details) bool { return c.SHA256 == sha256 })
		})
	}
	return Fail
}

// has tells whether a certificate is one of its file.
func (a Allowed) has(sha256 string) bool {
	return slices.ContainsFunc(a.Certificates, func(c certs.Details) bool { return c.SHA256 == sha256 })
}

func (a Allowed) in(store string) bool { return len(a.Stores) == 0 || slices.Contains(a.Stores, store) }

// builtIn tells whether a key of the kernel's own keyring is one. The image holds other certificates too: those of what it refuses, of its tests, of
// other subsystems.
func (f Facts) builtIn(is func(Key) bool) Result {
	result := Fail
	for _, name := range builtIn {
		s := f.store(name)
		switch {
		case s != nil && slices.ContainsFunc(s.Keys, is):
			return Pass
		case s != nil && s.Err != nil, s == nil && name == builtIn[0]:
			result = Unknown
		}
	}
	return result
}

// allowsBare is for a key whose certificate was not found: a key id that is allowed decides, and another than all that are allowed.
func (p Policy) allowsBare(f Facts, store string, k Key) Result {
	result := Fail
	for _, a := range p.Keys.Allow {
		switch {
		case !a.in(store):
		case a.KeyID != "":
			if a.KeyID == k.KeyID {
				return Pass
			}
		case a.SHA256 != "" && p.mayBe(f, k, a.SHA256), slices.ContainsFunc(a.Certificates, k.mayBe):
			result = Unknown
		}
	}
	switch {
	case slices.Contains(p.Keys.Trust, TrustVendor) && len(f.Vendor) == 0: // shim could not be read
		result = Unknown
	case slices.Contains(p.Keys.Trust, TrustKernel) && slices.Contains(fromImage, store):
		if f.builtIn(func(own Key) bool { return own.Description == k.Description }) != Fail {
			result = Unknown
		}
	}
	return result
}

// mayBe tells whether a key whose certificate was not found may be this one.
func (k Key) mayBe(c certs.Details) bool { return k.KeyID == "" || c.KeyID == k.KeyID }

// mayBe tells whether a key may be the certificate of that SHA-256: unless that is known and has another key id.
func (p Policy) mayBe(f Facts, k Key, sha256 string) bool {
	for _, a := range p.Keys.Allow {
		for _, c := range a.Certificates {
			if c.SHA256 == sha256 {
				return k.mayBe(c)
			}
		}
	}
	for _, s := range f.Stores {
		for _, other := range s.Keys {
			for _, c := range other.Certificates {
				if c.SHA256 == sha256 {
					return k.mayBe(c)
				}
			}
		}
	}
	return true
}

// allowsHash tells whether the policy allows a program, or a certificate, that a store trusts by its hash alone ("bin:" and hex).
func (p Policy) allowsHash(store, hash string) bool {
	_, sum, _ := strings.Cut(hash, ":")
	return slices.ContainsFunc(p.Keys.Allow, func(a Allowed) bool { return a.SHA256 != "" && a.SHA256 == sum && a.in(store) })
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
