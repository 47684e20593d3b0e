package keyring

import (
	"errors"
	"fmt"
	"syscall"
)

// refusal reads the errno of an add to a free keyring: what the kernel thinks of the certificate itself; nil for an errno that says
// nothing about it.
func refusal(err error) error {
	switch {
	case errors.Is(err, syscall.EBADMSG), // x509_cert_parser.c: not X.509 in DER, or a field it does not take
		errors.Is(err, syscall.EINVAL): // crypto/rsa.c: an RSA size it does not take; x509_public_key.c: the self-signature does not parse
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	case errors.Is(err, errKeyRejected): // x509_public_key.c: tbs: hash on the blacklist, or a self-signature that is wrong
		return fmt.Errorf("%w: %w", ErrRejected, err)
	case errors.Is(err, errNoPackage), // x509_cert_parser.c: key algorithm unknown to this version
		errors.Is(err, syscall.ENOENT): // public_key.c: algorithm known, its driver is not there (ECDSA on some kernels)
		return fmt.Errorf("%w: %w", ErrCrypto, err)
	}
	return nil
}

// restricted reads the errno of an add to a restricted keyring, after the same certificate went into a free one.
func restricted(err error) error {
	switch {
	case errors.Is(err, errNoKey): // restrict.c: find_asymmetric_key found no issuer; no AKI before 5.17; an empty keyring
		return fmt.Errorf("%w: %w", ErrNoVoucher, err)
	case errors.Is(err, errKeyRejected), // public_key.c: the signature is not of the key found (ECDSA, and RSA on some versions)
		errors.Is(err, syscall.EINVAL),  // rsa-pkcs1pad.c, rsassa-pkcs1.c: the padding under the key found is not a signature's
		errors.Is(err, syscall.EBADMSG): // the same, a shorter key
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	case errors.Is(err, errNoPackage), // restrict.c: sig->unsupported: the certificate's signature hash is not there
		errors.Is(err, syscall.ENOENT): // public_key.c: the driver for the issuer's algorithm is not there
		return fmt.Errorf("%w: %w", ErrCrypto, err)
	case errors.Is(err, syscall.EPERM): // restrict.c, restrict_link_by_signature: use_builtin_keys, ca_keyid from ca_keys=
		return fmt.Errorf("%w: %w", ErrExcluded, err)
	}
	return other(err)
}

// other reads an errno that says nothing about the certificate.
func other(err error) error {
	if errors.Is(err, syscall.EDQUOT) { // key.c, key_alloc: 200 keys or 20000 bytes a user, /proc/sys/kernel/keys/maxkeys
		return fmt.Errorf("%w: %w", ErrQuota, err)
	}
	// ENOMEM, or EPERM, EACCES and ENOSYS from a container's filter; ENODEV where the kernel has no asymmetric keys.
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
