package mok

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/GehirnInc/crypt"
	"github.com/GehirnInc/crypt/sha256_crypt"
	"github.com/GehirnInc/crypt/sha512_crypt"
)

// Limits of SHA-crypt. glibc moves less to the least and takes up to 999999999, shim takes what is there: at the most that is allowed here
// MokManager already stands still for a second or two after each password, and with glibc's it would for half an hour.
const (
	roundsDefault = 5000
	roundsMin     = 1000
	roundsMax     = 1000000
	shaSaltLimit  = 16
)

// The order in which crypt(3) writes the bytes of a digest, three at a time; the last group is shorter.
var (
	order256 = []byte{
		20, 10, 0, 11, 1, 21, 2, 22, 12, 23, 13, 3, 14, 4, 24, 5,
		25, 15, 26, 16, 6, 17, 7, 27, 8, 28, 18, 29, 19, 9, 30, 31,
	}
	order512 = []byte{
		42, 21, 0, 1, 43, 22, 23, 2, 44, 45, 24, 3, 4, 46, 25, 26,
		5, 47, 48, 27, 6, 7, 49, 28, 29, 8, 50, 51, 30, 9, 10, 52,
		31, 32, 11, 53, 54, 33, 12, 13, 55, 34, 35, 14, 56, 57, 36, 15,
		16, 58, 37, 38, 17, 59, 60, 39, 18, 19, 61, 40, 41, 20, 62, 63,
	}
)

// prefix of the crypt string, order of its bytes, and what computes it.
func (m Method) crypt() (prefix string, order []byte, core crypt.Crypter) {
	if m == SHA256 {
		return "$5$", order256, sha256_crypt.New()
	}
	return "$6$", order512, sha512_crypt.New()
}

// digest hashes the password with the record's method, rounds and salt.
func (a Auth) digest(password string) ([]byte, error) {
	prefix, order, core := a.Method.crypt()
	// The package reads everything after the rounds as salt, so nothing may follow it.
	setting := prefix + "rounds=" + strconv.FormatUint(a.Rounds, 10) + "$" + string(a.Salt)
	s, err := core.Generate([]byte(password), []byte(setting))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Method, err)
	}
	return undo(s[strings.LastIndexByte(s, '$')+1:], order)
}

// undo turns the base 64 of crypt(3) back into the digest.
func undo(text string, order []byte) ([]byte, error) {
	if want := (len(order)*8 + 5) / 6; len(text) != want {
		return nil, fmt.Errorf("%w: the hash has %d characters instead of %d", ErrHashString, len(text), want)
	}
	digest := make([]byte, len(order))
	for at := 0; at < len(order); at += 3 {
		group := text[at/3*4:]
		group = group[:min(4, len(group))]
		value := 0
		for i := range group {
			v := strings.IndexByte(saltLetters, group[i])
			if v < 0 {
				return nil, fmt.Errorf("%w: character %d of the hash", ErrHashString, at/3*4+i+1)
			}
			value |= v << (6 * i)
		}
		places := order[at:min(at+3, len(order))]
		for i, place := range places {
			digest[place] = byte(value >> (8 * i))
		}
		if value>>(8*len(places)) != 0 {
			return nil, fmt.Errorf("%w: its last character is impossible", ErrHashString)
		}
	}
	return digest, nil
}

// AuthFromCrypt takes a hash of the form $6$[rounds=N$]salt$hash or $5$…, as mkpasswd, openssl passwd -6 and mokutil -g
// print it; one newline at the end is allowed. ErrMethod for other schemes, rounds outside 1000 to 1000000, or more
// than 16 characters of salt; ErrHashString for anything else.
func AuthFromCrypt(s string) (Auth, error) {
	s = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	a := Auth{Rounds: roundsDefault}
	switch {
	case strings.HasPrefix(s, "$6$"):
		a.Method = SHA512
	case strings.HasPrefix(s, "$5$"):
		a.Method = SHA256
	case strings.HasPrefix(s, "$"):
		scheme, _, _ := strings.Cut(s[1:], "$")
		if len(scheme) > 8 {
			return Auth{}, fmt.Errorf("%w: no scheme between its first two $ signs", ErrHashString)
		}
		return Auth{}, fmt.Errorf("%w: scheme $%s$; use $6$ (SHA-512-crypt) or $5$", ErrMethod, scheme)
	default:
		return Auth{}, fmt.Errorf("%w: it does not begin with $6$ or $5$", ErrHashString)
	}
	fields := strings.Split(s[3:], "$")
	if rest, ok := strings.CutPrefix(fields[0], "rounds="); ok {
		n, err := strconv.ParseUint(rest, 10, 64)
		if err != nil || rest != strconv.FormatUint(n, 10) {
			return Auth{}, fmt.Errorf("%w: rounds is no number", ErrHashString)
		}
		a.Rounds = n
		fields = fields[1:]
	}
	if len(fields) != 2 {
		return Auth{}, fmt.Errorf("%w: it must be salt, $ and hash after its prefix", ErrHashString)
	}
	a.Salt = []byte(fields[0])
	if i := bytes.IndexFunc(a.Salt, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }); i >= 0 {
		return Auth{}, fmt.Errorf("%w: character %d of the salt", ErrHashString, i+1)
	}
	_, order, _ := a.Method.crypt()
	hash, err := undo(fields[1], order)
	if err != nil {
		return Auth{}, err
	}
	a.Hash = hash
	if err := a.usable(); err != nil {
		return Auth{}, err
	}
	return a, nil
}

// Crypt is the record as a string of crypt(3), $6$salt$hash or $5$…, which AuthFromCrypt reads; empty for other methods.
func (a Auth) Crypt() string {
	if a.usable() != nil {
		return ""
	}
	prefix, order, _ := a.Method.crypt()
	var b strings.Builder
	b.WriteString(prefix)
	if a.Rounds != roundsDefault {
		fmt.Fprintf(&b, "rounds=%d$", a.Rounds)
	}
	b.Write(a.Salt)
	b.WriteByte('$')
	for at := 0; at < len(order); at += 3 {
		places := order[at:min(at+3, len(order))]
		value := 0
		for i, place := range places {
			value |= int(a.Hash[place]) << (8 * i)
		}
		for i := range (len(places)*8 + 5) / 6 {
			b.WriteByte(saltLetters[value>>(6*i)&63])
		}
	}
	return b.String()
}
