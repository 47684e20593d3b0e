package mok

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"kkeys/efivars"
)

// Method is how the password of a crypt record is hashed (shim's PasswordCrypt.h).
type Method uint16

// The methods. kkeys makes and checks SHA256 and SHA512 only: DES never worked, MD5 left shim after 16.1, and bcrypt is
// not needed.
const (
	DES Method = iota
	BSDI
	MD5
	SHA256
	SHA512
	Bcrypt
)

// String is the method's usual name.
func (m Method) String() string {
	names := [...]string{"DES-crypt", "BSDi DES-crypt", "MD5-crypt", "SHA-256-crypt", "SHA-512-crypt", "bcrypt"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("unknown method %d", uint16(m))
}

// Usable reports whether kkeys makes and checks records of this method.
func (m Method) Usable() bool { return m == SHA256 || m == SHA512 }

// Sizes of the two forms of a password variable in bytes. MokManager takes any other size for success with nothing done.
const (
	AuthSize   = 172 // crypt record
	LegacySize = 32  // SHA-256 over request and password, which nobody writes any more
)

const (
	saltAt    = 12
	saltLimit = 32
	hashAt    = saltAt + saltLimit
	hashLimit = 128
)

// Auth is the password record that goes with a request: 172 bytes, little-endian, packed: method u16, rounds u64, length
// of the salt u16, salt 32 bytes, hash 128 bytes (shim's PASSWORD_CRYPT).
type Auth struct {
	Method Method
	// Rounds of the hash; shim takes the low 32 bits as they are.
	Rounds uint64
	// Salt is at most 32 bytes, for the SHA methods at most 16 characters.
	Salt []byte
	// Hash is the digest before the base 64 of crypt(3): 32 bytes for SHA-256, 64 for SHA-512. For other methods it is
	// the field without the zeros at its end.
	Hash []byte
}

// Outcomes of handling a password record.
var (
	// ErrPassword: the password cannot be used: empty, too long, or not plain ASCII.
	ErrPassword = errors.New("unusable password")
	// ErrMethod: the record or string uses a hash that shim or kkeys does not handle.
	ErrMethod = errors.New("password hash not usable")
	// ErrHashString: the string is no hash of the form $6$salt$hash.
	ErrHashString = errors.New("malformed password hash")
)

// size of the raw hash of the methods where it is certain.
func (m Method) size() int {
	switch m {
	case SHA256:
		return 32
	case SHA512:
		return 64
	}
	return 0
}

// ParseAuth decodes a crypt record. It accepts every method that shim ever knew, with unused bytes zero, and encodes back to
// the same bytes; on error, a *efivars.CorruptError or ErrMethod, the result is empty.
func ParseAuth(b []byte) (Auth, error) {
	bad := func(at int, format string, args ...any) (Auth, error) {
		return Auth{}, &efivars.CorruptError{What: "password record", Offset: at, Why: fmt.Sprintf(format, args...)}
	}
	if len(b) != AuthSize {
		return bad(0, "%d bytes instead of %d", len(b), AuthSize)
	}
	a := Auth{
		Method: Method(binary.LittleEndian.Uint16(b)),
		Rounds: binary.LittleEndian.Uint64(b[2:]),
	}
	if a.Method > Bcrypt {
		return Auth{}, fmt.Errorf("%w: %s at offset 0", ErrMethod, a.Method)
	}
	salt := int(binary.LittleEndian.Uint16(b[10:]))
	if salt > saltLimit || a.Method.Usable() && salt > shaSaltLimit {
		return bad(10, "a salt of %d bytes", salt)
	}
	if at := firstNonZero(b[saltAt+salt : hashAt]); at >= 0 {
		return bad(saltAt+salt+at, "the salt goes on after its end")
	}
	a.Salt = bytes.Clone(b[saltAt : saltAt+salt])
	hash := b[hashAt:]
	if size := a.Method.size(); size > 0 {
		if at := firstNonZero(hash[size:]); at >= 0 {
			return bad(hashAt+size+at, "the hash goes on after its end")
		}
		hash = hash[:size]
	} else {
		hash = bytes.TrimRight(hash, "\x00")
	}
	a.Hash = bytes.Clone(hash)
	return a, nil
}

func firstNonZero(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return -1
}

// Encode gives the 172 bytes. ErrMethod when salt or hash do not fit the record.
func (a Auth) Encode() ([]byte, error) {
	if len(a.Salt) > saltLimit || len(a.Hash) > hashLimit || a.Method.size() > 0 && len(a.Hash) != a.Method.size() {
		return nil, fmt.Errorf("%w: %s with %d bytes of salt and %d of hash", ErrMethod, a.Method, len(a.Salt), len(a.Hash))
	}
	b := make([]byte, AuthSize)
	binary.LittleEndian.PutUint16(b, uint16(a.Method))
	binary.LittleEndian.PutUint64(b[2:], a.Rounds)
	binary.LittleEndian.PutUint16(b[10:], uint16(len(a.Salt)))
	copy(b[saltAt:], a.Salt)
	copy(b[hashAt:], a.Hash)
	return b, nil
}

// usable refuses a record that MokManager could not check or that kkeys does not make.
func (a Auth) usable() error {
	switch {
	case !a.Method.Usable():
		return fmt.Errorf("%w: %s", ErrMethod, a.Method)
	case a.Rounds < roundsMin || a.Rounds > roundsMax:
		return fmt.Errorf("%w: %d rounds, must be %d to %d", ErrMethod, a.Rounds, roundsMin, roundsMax)
	case len(a.Salt) > shaSaltLimit:
		return fmt.Errorf("%w: a salt of %d bytes, at most %d", ErrMethod, len(a.Salt), shaSaltLimit)
	case len(a.Hash) != a.Method.size():
		return fmt.Errorf("%w: a hash of %d bytes for %s", ErrMethod, len(a.Hash), a.Method)
	}
	return nil
}

// PasswordLimit is the longest password that MokManager takes; PasswordShort and PasswordLong bound what a person types
// without an echo and gets right.
const (
	PasswordLimit = 256
	PasswordShort = 8
	PasswordLong  = 16
)

// CheckPassword refuses, with ErrPassword, what cannot be typed into MokManager: it keeps the low byte of each character
// of a US keyboard and ends at Enter, so only printable ASCII arrives as it was hashed.
func CheckPassword(password string) error {
	if len(password) == 0 || len(password) > PasswordLimit {
		return fmt.Errorf("%w: %d bytes, must be 1 to %d", ErrPassword, len(password), PasswordLimit)
	}
	for i := 0; i < len(password); i++ {
		if c := password[i]; c < ' ' || c > '~' {
			return fmt.Errorf("%w: byte %d is not printable ASCII, which is all that MokManager can read", ErrPassword, i+1)
		}
	}
	return nil
}

const saltLetters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewAuth makes a record for a password: SHA-512, 5000 rounds, 16 random characters of salt.
func NewAuth(password string) (Auth, error) {
	if err := CheckPassword(password); err != nil {
		return Auth{}, err
	}
	salt := make([]byte, shaSaltLimit)
	if _, err := rand.Read(salt); err != nil {
		return Auth{}, fmt.Errorf("random salt: %w", err)
	}
	for i, c := range salt {
		salt[i] = saltLetters[c%64] // 256 is a multiple of 64: no bias
	}
	a := Auth{Method: SHA512, Rounds: roundsDefault, Salt: salt}
	var err error
	a.Hash, err = a.digest(password)
	if err != nil {
		return Auth{}, err
	}
	return a, nil
}

// Verify reports whether this is the password. ErrMethod for a record that kkeys cannot check.
func (a Auth) Verify(password string) (bool, error) {
	if err := a.usable(); err != nil {
		return false, err
	}
	hash, err := a.digest(password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(hash, a.Hash) == 1, nil
}
