package keyringtest

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"kkeys/certs"
	"kkeys/keyring"
)

// Linux's numbers, which package syscall does not have elsewhere.
const (
	noEntry     = syscall.Errno(2)
	invalid     = syscall.Errno(22)
	noPackage   = syscall.Errno(65)
	badMessage  = syscall.Errno(74)
	noKey       = syscall.Errno(126)
	keyRejected = syscall.Errno(129)
)

// errnos are those of [certs.Refusal] and what package keyring makes of them on an add to a free keyring.
var errnos = map[string]error{
	"EBADMSG":      fmt.Errorf("%w: %w", keyring.ErrMalformed, badMessage),
	"EINVAL":       fmt.Errorf("%w: %w", keyring.ErrMalformed, invalid),
	"EKEYREJECTED": fmt.Errorf("%w: %w", keyring.ErrRejected, keyRejected),
	"ENOPKG":       fmt.Errorf("%w: %w", keyring.ErrCrypto, noPackage),
	"ENOENT":       fmt.Errorf("%w: %w", keyring.ErrCrypto, noEntry),
}

// holds tells whether this kernel is among those that refuse.
func holds(r certs.Refusal) bool {
	return r.Kernels == "" || r.Kernels == "since Linux 6.4" || strings.HasPrefix(r.Kernels, "that have its hash ")
}

// preparse makes a key of a certificate, or says as what it is refused (crypto/asymmetric_keys/x509_public_key.c, x509_key_preparse).
func preparse(der []byte) (*certs.Certificate, error) {
	c, err := certs.ParseDER(der)
	if err != nil {
		return nil, errnos["EBADMSG"]
	}
	for _, r := range c.Refusals() {
		switch {
		case !holds(r):
		case len(r.Errnos) > 1 && c.KeyAlgorithm() == "rsa":
			// Its own signature is wrong. What is no padding of a signature at all is the usual case.
			return nil, errnos["EINVAL"]
		default:
			return nil, errnos[r.Errnos[0]]
		}
	}
	return c, nil
}

// Ask asks the model as [keyring.Live] asks the kernel.
func (k *Kernel) Ask(der []byte, restrictions ...keyring.Restriction) (*keyring.Inquiry, error) {
	c, refused := preparse(der)
	if refused != nil {
		return &keyring.Inquiry{Refused: refused}, nil
	}
	q := &keyring.Inquiry{Description: c.KernelName()}
	for _, r := range restrictions {
		q.Answers = append(q.Answers, keyring.Answer{Restriction: r, Err: k.ask(c, r)})
	}
	return q, nil
}

// ask is the answer of a keyring that is restricted so (crypto/asymmetric_keys/restrict.c, restrict_link_by_signature and
// key_or_keyring_common).
func (k *Kernel) ask(c *certs.Certificate, r keyring.Restriction) error {
	trusted := k.trusted(r)
	if trusted == nil {
		return fmt.Errorf("%w: restrict_keyring %s: %w", keyring.ErrUnavailable, r, noKey)
	}
	if unsupported(c) {
		return errnos["ENOPKG"]
	}
	names := authorityOf(c)
	var issuer *certs.Certificate
	if trusted.ring != nil {
		issuer = k.inRing(trusted.ring, names)
	} else if names.isKey(trusted.certificate) {
		issuer = trusted.certificate
	}
	if issuer == nil {
		return fmt.Errorf("%w: %w", keyring.ErrNoVoucher, noKey)
	}
	return verify(c, issuer)
}

// trusted is what a restriction names, nil when there is no such key (crypto/asymmetric_keys/asymmetric_type.c, asymmetric_lookup_restriction).
func (k *Kernel) trusted(restriction keyring.Restriction) *entry {
	switch restriction {
	case keyring.ByBuiltin:
		return &entry{ring: k.must(keyring.Builtin)}
	case keyring.BySecondary:
		return &entry{ring: k.must(keyring.Secondary)}
	}
	text, ok := strings.CutPrefix(string(restriction), "key_or_keyring:")
	serial, err := strconv.ParseInt(text, 10, 32)
	if !ok || err != nil {
		return nil
	}
	for _, r := range k.rings {
		if r.Serial == keyring.Serial(serial) {
			return &entry{ring: r}
		}
		for _, e := range r.entries {
			if e.Serial == keyring.Serial(serial) {
				return e
			}
		}
	}
	return nil
}

// unsupported: the kernel forgets a signature whose hash it does not have, and then looks nobody up (x509_public_key.c, x509_get_sig_params).
func unsupported(c *certs.Certificate) bool {
	hash := c.Details().SignatureHash
	if hash == nil {
		return true
	}
	_, known := certs.Hash(*hash)
	return !known
}

// unusable says why the kernel can verify nothing with a key that it has, as RSA keys of a size that its driver does not take.
func unusable(c *certs.Certificate) error {
	for _, r := range c.KeyRefusals() {
		if holds(r) {
			return fmt.Errorf("%w: %w", keyring.ErrMismatch, invalid)
		}
	}
	return nil
}

// verify checks a signature with the key found (crypto/asymmetric_keys/public_key.c, public_key_verify_signature).
func verify(c, issuer *certs.Certificate) error {
	if err := unusable(issuer); err != nil {
		return err
	}
	verified, err := c.SignedBy(issuer)
	switch {
	case err != nil:
		return errnos["ENOPKG"]
	case !verified:
		return fmt.Errorf("%w: %w", keyring.ErrMismatch, invalid)
	}
	return nil
}
