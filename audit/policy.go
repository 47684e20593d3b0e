package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"kkeys/certs"
)

// Policy says which checks are made and what they ask for. docs/audit.md tells of each key.
type Policy struct {
	Version    int                 `toml:"version"`
	Checks     Choice              `toml:"checks"`
	Severity   map[string]Severity `toml:"severity"`
	Thresholds Thresholds          `toml:"thresholds"`
	Keys       Keys                `toml:"keys"`
	Waivers    []Waiver            `toml:"waivers"`
}

// Choice switches checks off and on, by id.
type Choice struct {
	Off []string `toml:"off"`
	On  []string `toml:"on"`
}

// Thresholds are the numbers and words that checks compare with.
type Thresholds struct {
	Lockdown    string   `toml:"lockdown"`         // the least: "integrity" or "confidentiality"
	RSABits     int      `toml:"rsa_bits"`         // the least
	ECBits      int      `toml:"ec_bits"`          // the least
	WeakHashes  []string `toml:"weak_hashes"`      // of signatures on certificates
	ExpiresDays int      `toml:"expires_days"`     // a certificate that ends sooner is a finding
	FreeFail    uint64   `toml:"nvram_free_fail"`  // bytes
	FreeWarn    uint64   `toml:"nvram_free_warn"`  // bytes
	TaintFail   string   `toml:"taint_fail"`       // letters of the kernel's taint flags
	TaintWarn   string   `toml:"taint_warn"`       // the same
	KeyMode     int      `toml:"private_key_mode"` // permissions that a private key may have at most: 0o600
	DBXEntries  int      `toml:"dbx_entries"`      // the least
}

// Keys are what may be trusted.
type Keys struct {
	Trust []string  `toml:"trust"` // groups: "kernel", "vendor"
	Allow []Allowed `toml:"allow"`
}

// The groups of keys that a policy can allow without naming each.
const (
	TrustKernel = "kernel" // what the kernel's image brings along
	TrustVendor = "vendor" // what shim's vendor built into it
)

// Allowed is a key that may be trusted: by exactly one of key id, certificate file and SHA-256 of the certificate.
type Allowed struct {
	Name   string   `toml:"name"`
	KeyID  string   `toml:"key_id"`
	SHA256 string   `toml:"sha256"`
	File   string   `toml:"file"`   // of certificates; a relative path begins at the policy's folder
	Stores []string `toml:"stores"` // where; empty: everywhere
	// Certificates are those in File: whoever reads the policy fills them in.
	Certificates []certs.Details `toml:"-"`
}

// Waiver takes a finding out of what somebody must see to, until a day.
type Waiver struct {
	Check   string         `toml:"check"`
	Subject string         `toml:"subject"` // empty: all of the check's
	Reason  string         `toml:"reason"`
	Expires toml.LocalDate `toml:"expires"` // the last day on which it holds, UTC
}

// Until is the moment at which the waiver holds no longer.
func (w Waiver) Until() time.Time { return w.Expires.AsTime(time.UTC).AddDate(0, 0, 1) }

// Expired tells whether it holds no longer.
func (w Waiver) Expired(now time.Time) bool { return !now.Before(w.Until()) }

// String names what is waived.
func (w Waiver) String() string { return strings.TrimSpace(w.Check + " " + w.Subject) }

// ErrPolicy: the text is no policy.
var ErrPolicy = errors.New("not a policy")

// PolicyMax bounds a policy, in bytes.
const PolicyMax = 1 << 20

// DefaultPolicy is what holds where a policy says nothing.
func DefaultPolicy() Policy {
	return Policy{
		Version: 1,
		Thresholds: Thresholds{
			Lockdown: "integrity", RSABits: 2048, ECBits: 256, WeakHashes: []string{"md2", "md4", "md5", "sha1"}, ExpiresDays: 30,
			FreeFail: 5120, FreeWarn: 16384, TaintFail: "FRE", TaintWarn: "PO", KeyMode: 0o600, DBXEntries: 1,
		},
	}
}

// ParsePolicy reads a policy in TOML; what it does not name stays as in [DefaultPolicy]. Errors are ErrPolicy and name the key, and its line where
// the text itself is wrong; then there is no policy.
func ParsePolicy(text []byte) (Policy, error) {
	p := DefaultPolicy()
	bad := func(err error) (Policy, error) { return Policy{}, fmt.Errorf("%w: %w", ErrPolicy, err) }
	if len(text) > PolicyMax {
		return bad(fmt.Errorf("more than %d bytes", PolicyMax))
	}
	if err := unknownKeys(text); err != nil { // before the decoder, which takes long where there are many
		return bad(err)
	}
	p.Version = 0
	err := toml.Unmarshal(text, &p)
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &wrong):
		line, column := wrong.Position()
		return bad(fmt.Errorf("line %d, column %d: %w", line, column, withKey(wrong)))
	case err != nil:
		return bad(err)
	}
	if err := p.validate(); err != nil {
		return bad(err)
	}
	return p, nil
}

// withKey words an error of decoding.
func withKey(e *toml.DecodeError) error {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	if key := strings.Join(e.Key(), "."); key != "" {
		text = key + ": " + text
	}
	return errors.New(text)
}

// validate looks at what TOML cannot say.
func (p *Policy) validate() error {
	if p.Version != 1 {
		return fmt.Errorf("version is %d; this kkeys knows version 1", p.Version)
	}
	for _, id := range p.Checks.Off {
		if !IsCheck(id) {
			return fmt.Errorf("checks.off: there is no check %q", id)
		}
	}
	for _, id := range p.Checks.On {
		if !IsCheck(id) {
			return fmt.Errorf("checks.on: there is no check %q", id)
		}
	}
	for _, id := range p.Checks.Off {
		if slices.Contains(p.Checks.On, id) {
			return fmt.Errorf("checks: %s is off and on", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.Severity)) {
		switch severity := p.Severity[id]; {
		case !IsCheck(id):
			return fmt.Errorf("severity: there is no check %q", id)
		case !slices.Contains(Severities, severity):
			return fmt.Errorf("severity.%s: %q is none of low, medium, high, critical", id, severity)
		}
	}
	if err := p.Thresholds.validate(); err != nil {
		return err
	}
	for _, group := range p.Keys.Trust {
		if group != TrustKernel && group != TrustVendor {
			return fmt.Errorf("keys.trust: %q is neither %q nor %q", group, TrustKernel, TrustVendor)
		}
	}
	for i := range p.Keys.Allow {
		if err := p.Keys.Allow[i].validate(); err != nil {
			return fmt.Errorf("keys.allow[%d]: %w", i, err)
		}
	}
	for i, w := range p.Waivers {
		if err := w.validate(); err != nil {
			return fmt.Errorf("waivers[%d]: %w", i, err)
		}
	}
	return nil
}

func (t Thresholds) validate() error {
	if !slices.Contains(lockdownModes, t.Lockdown) {
		return fmt.Errorf("thresholds.lockdown: %q is neither integrity nor confidentiality", t.Lockdown)
	}
	for _, number := range []struct {
		key string
		n   int
	}{{"rsa_bits", t.RSABits}, {"ec_bits", t.ECBits}, {"expires_days", t.ExpiresDays}, {"dbx_entries", t.DBXEntries}} {
		if number.n < 0 || number.n > 1<<20 {
			return fmt.Errorf("thresholds.%s: %d is out of range", number.key, number.n)
		}
	}
	for _, hash := range t.WeakHashes {
		if !slices.Contains(hashNames, hash) {
			return fmt.Errorf("thresholds.weak_hashes: %q is none of %s", hash, strings.Join(hashNames, ", "))
		}
	}
	if t.KeyMode < 0 || t.KeyMode > 0o777 {
		return fmt.Errorf("thresholds.private_key_mode: %#o are no permissions", t.KeyMode)
	}
	for _, flags := range [][2]string{{"taint_fail", t.TaintFail}, {"taint_warn", t.TaintWarn}} {
		for _, letter := range flags[1] {
			if !strings.ContainsRune(taintLetters, letter) {
				return fmt.Errorf("thresholds.%s: the kernel has no taint flag %q", flags[0], letter)
			}
		}
	}
	return nil
}

// hashNames are the kernel's names of the hashes under signatures, as [certs.Details] has them.
var hashNames = []string{"md2", "md4", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "streebog256", "streebog512", "sm3"}

func (a *Allowed) validate() error {
	given := 0
	for _, value := range []string{a.KeyID, a.SHA256, a.File} {
		if value != "" {
			given++
		}
	}
	if given != 1 {
		return errors.New("exactly one of key_id, sha256 and file names the key")
	}
	for _, number := range []struct {
		key   string
		value *string
		bytes int // 0: any but none
	}{{"key_id", &a.KeyID, 0}, {"sha256", &a.SHA256, sha256.Size}} {
		if *number.value == "" {
			continue
		}
		*number.value = strings.ToLower(strings.ReplaceAll(*number.value, ":", ""))
		raw, err := hex.DecodeString(*number.value)
		switch {
		case err != nil:
			return fmt.Errorf("%s: no hexadecimal number: %q", number.key, *number.value)
		case len(raw) == 0:
			return fmt.Errorf("%s: no byte in it", number.key)
		case number.bytes > 0 && len(raw) != number.bytes:
			return fmt.Errorf("%s: %d bytes instead of %d", number.key, len(raw), number.bytes)
		}
	}
	for _, store := range a.Stores {
		switch {
		case Store{Name: store}.Refuses():
			return fmt.Errorf("stores: what stands in %q is refused, and nothing in it is allowed", store)
		case !slices.Contains(allowedStores, store) && !strings.HasPrefix(store, "."):
			return fmt.Errorf("stores: %q is none of %s and no keyring", store, strings.Join(allowedStores, ", "))
		}
	}
	return nil
}

// allowedStores are the names of stores besides keyrings; "modules" is for the signers of modules.
var allowedStores = []string{"PK", "KEK", "db", "mok", "modules"}

func (w Waiver) validate() error {
	switch date := w.Expires; {
	case !IsCheck(w.Check):
		return fmt.Errorf("check: there is no check %q", w.Check)
	case w.Check == WaiverID:
		return fmt.Errorf("check: an expired waiver cannot be waived by another")
	case strings.TrimSpace(w.Reason) == "":
		return errors.New("reason: it has none")
	case date == toml.LocalDate{}:
		return errors.New("expires: it has no date, as in expires = 2027-01-31")
	}
	return nil
}

// severity is the policy's, or the table's.
func (p Policy) severity(r rule) Severity {
	if s, own := p.Severity[r.id]; own {
		return s
	}
	return r.severity
}

// Off tells whether a check is not made.
func (p Policy) Off(id string) bool {
	for _, r := range table {
		if r.id == id && r.off && !slices.Contains(p.Checks.On, id) {
			return true
		}
	}
	return slices.Contains(p.Checks.Off, id)
}

// waives tells whether a finding is waived now.
func (p Policy) waives(id, subject string, now time.Time) bool {
	return slices.ContainsFunc(p.Waivers, func(w Waiver) bool {
		return w.Check == id && (w.Subject == "" || w.Subject == subject) && !w.Expired(now)
	})
}

// Restricts tells whether the policy names allowed keys, so that others are findings.
func (p Policy) Restricts() bool { return len(p.Keys.Trust) > 0 || len(p.Keys.Allow) > 0 }
