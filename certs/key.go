package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/youmark/pkcs8"
)

// Outcomes of ParseKey.
var (
	// ErrNoKey: no private key in PEM, or of a kind that cannot sign.
	ErrNoKey = errors.New("no private key in PEM")
	// ErrPassphrase: the key is encrypted, and the passphrase is missing or wrong.
	ErrPassphrase = errors.New("the private key's passphrase")
)

// ParseKey reads the first private key of a PEM file, as scripts/sign-file does: PKCS #8, also encrypted (RFC 8018, PBES2), PKCS #1 for RSA
// or SEC 1 for ECDSA; certificates and parameters beside it are passed over. passphrase is asked once, and only for an encrypted key; nil has
// none. Other errors are those of passphrase.
func ParseKey(data []byte, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			key, err = decrypted(block.Bytes, passphrase)
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, fmt.Errorf("%w: encrypted in OpenSSL's old form; `openssl pkcs8 -topk8` makes today's of it", ErrPassphrase)
			}
			if block.Type == "RSA PRIVATE KEY" {
				key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
			} else {
				key, err = x509.ParseECPrivateKey(block.Bytes)
			}
		default:
			continue
		}
		switch signer, ok := key.(crypto.Signer); {
		case errors.Is(err, ErrPassphrase):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
		case ok:
			return signer, nil
		}
		return nil, fmt.Errorf("%w: a %T cannot sign", ErrNoKey, key)
	}
	return nil, ErrNoKey
}

func decrypted(der []byte, passphrase func() ([]byte, error)) (any, error) {
	if passphrase == nil {
		return nil, fmt.Errorf("%w is missing", ErrPassphrase)
	}
	secret, err := passphrase()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	key, err := pkcs8.ParsePKCS8PrivateKey(der, secret)
	if err != nil {
		// The library tells a wrong passphrase from damage by nothing but its words.
		return nil, fmt.Errorf("%w is wrong, or the key is damaged: %w", ErrPassphrase, err)
	}
	return key, nil
}

// EncodeKey writes a private key in PEM: PKCS #8, encrypted with AES-256 when there is a passphrase.
func EncodeKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
	der, err := pkcs8.MarshalPrivateKey(key, passphrase, keyEncryption)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}

// keyEncryption is what OpenSSL 3 reads everywhere, with the iterations that OWASP asks for.
var keyEncryption = &pkcs8.Opts{
	Cipher:  pkcs8.AES256CBC,
	KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 600_000, HMACHash: crypto.SHA256},
}
