package keyring

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Restriction says who must vouch for a certificate before it may enter a keyring, in the words of KEYCTL_RESTRICT_KEYRING for
// keys of type "asymmetric" (crypto/asymmetric_keys/asymmetric_type.c, asymmetric_lookup_restriction; Linux 4.12). It is the
// kernel's own check: the certificate's issuer is looked up in the named keyring and its signature verified with the key found
// (restrict.c). Any user may ask it.
type Restriction string

const (
	// ByBuiltin: a key of .builtin_trusted_keys vouches.
	ByBuiltin Restriction = "builtin_trusted"
	// BySecondary: a key of .secondary_trusted_keys vouches, or of what it links to (.builtin_trusted_keys, .machine). The same
	// as [ByBuiltin] on kernels without .secondary_trusted_keys.
	BySecondary Restriction = "builtin_and_secondary_trusted"
)

// ByRing: a key of the keyring with this serial, or of a keyring linked there, vouches. The kernel checks no permission on the
// named keyring, but only root can learn the serials of the kernel's own.
func ByRing(ring Serial) Restriction {
	return Restriction("key_or_keyring:" + strconv.Itoa(int(ring)))
}

// ByKey: the key with this serial vouches, and no other. It has to have the ids that the certificate gives for its issuer: both, where there are
// two (restrict.c, key_or_keyring_common). No permission on the key is checked.
func ByKey(key Serial) Restriction { return ByRing(key) }

// Inquiry is what the kernel answered about one certificate.
type Inquiry struct {
	// Description is the kernel's own name for the certificate; empty when Refused is set.
	Description string
	// Refused: the kernel does not take this certificate at all, whoever vouches: [ErrMalformed], [ErrRejected] or [ErrCrypto].
	Refused error
	// Answers has one entry a restriction, in the order asked. Empty when Refused is set: then an answer would mean nothing.
	Answers []Answer
}

// Answer is the kernel's answer to one restriction.
type Answer struct {
	Restriction Restriction
	// Err is nil when a key there vouches for the certificate. [ErrNoVoucher], [ErrMismatch], [ErrCrypto], [ErrExcluded] are answers
	// too; [ErrUnavailable] and anything else mean that there is none.
	Err error
}

// Answer finds the answer to a restriction; ok is false if it was not asked.
func (q *Inquiry) Answer(r Restriction) (Answer, bool) {
	for _, a := range q.Answers {
		if a.Restriction == r {
			return a, true
		}
	}
	return Answer{}, false
}

// What the kernel can answer. The errno is kept underneath.
var (
	// ErrNoVoucher: no key there has the ids that the certificate gives for its issuer; or the first that has the issuer and serial number has another
	// key id. That a self-signed certificate's key is not there does not follow.
	ErrNoVoucher = errors.New("no key there vouches for it")
	// ErrMismatch: the kernel found a key by the id of the issuer, and the signature does not verify with it. Of several keys that
	// the id fits, it takes one and looks no further.
	ErrMismatch = errors.New("the key of that name that the kernel took is another one")
	// ErrCrypto: this kernel lacks the hash or the key algorithm, so it cannot check.
	ErrCrypto = errors.New("this kernel has no such hash or key algorithm")
	// ErrExcluded: ca_keys= on the kernel's command line forbids the key that would vouch.
	ErrExcluded = errors.New("ca_keys= on the kernel command line excludes the key that vouches")
	// ErrMalformed: not a certificate for this kernel's parser, or a key size it does not take.
	ErrMalformed = errors.New("the kernel cannot use this certificate")
	// ErrRejected: the kernel refuses this very certificate: it is on the blacklist, or its own signature is wrong.
	ErrRejected = errors.New("the kernel rejects this certificate: blacklisted, or its signature is wrong")
	// ErrQuota: the user's key quota is used up, so nothing could be asked.
	ErrQuota = errors.New("the key quota of this user is used up")
)

// calls are the system calls of an inquiry, kept apart so that a test can stand in for the kernel.
type calls interface {
	newRing(name string) (Serial, error)
	restrict(ring Serial, r Restriction) error
	add(der []byte, ring Serial) (Serial, error)
	describe(Serial) (string, error)
	unlink(key, ring Serial) error
}

// inquire must run on an OS thread of its own (see [Live]). The free add comes first: it tells whether the kernel takes the
// certificate at all and what it calls it, without which a restricted keyring's refusal could not be read.
func inquire(c calls, der []byte, restrictions []Restriction) (*Inquiry, error) {
	free, err := c.newRing("kkeys-free")
	if err != nil {
		return nil, fmt.Errorf("%w: add_key: %w", ErrUnavailable, err)
	}
	q := &Inquiry{}
	key, err := c.add(der, free)
	if q.Refused = refusal(err); q.Refused != nil {
		return q, nil
	} else if err != nil {
		return nil, other(err)
	}
	text, err := c.describe(key)
	if err != nil {
		return nil, fmt.Errorf("%w: describe: %w", ErrUnavailable, err)
	}
	described, err := ParseDescription(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	q.Description = described.Description
	if err := c.unlink(key, free); err != nil {
		return nil, fmt.Errorf("%w: unlink: %w", ErrUnavailable, err)
	}
	for i, r := range restrictions {
		q.Answers = append(q.Answers, Answer{r, ask(c, der, r, i)})
	}
	return q, nil
}

// ask makes one restricted keyring and tries the certificate on it. A keyring whose restriction could not be set stays open, and
// everything it takes would look vouched for: that case must never reach add.
func ask(c calls, der []byte, r Restriction, n int) error {
	ring, err := c.newRing("kkeys-restricted-" + strconv.Itoa(n))
	if err != nil {
		return fmt.Errorf("%w: add_key: %w", ErrUnavailable, err)
	}
	if err := c.restrict(ring, r); err != nil {
		return fmt.Errorf("%w: restrict_keyring %s: %w", ErrUnavailable, strings.TrimSuffix(string(r), ":"), err)
	}
	key, err := c.add(der, ring)
	if err != nil {
		return restricted(err)
	}
	// It was vouched for; whether the copy can be taken out again does not change that, and the thread's end removes it anyway.
	_ = c.unlink(key, ring)
	return nil
}
