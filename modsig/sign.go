package modsig

import (
	"crypto"
	"crypto/rand"
	"fmt"

	"kkeys/certs"
)

// Sign signs a module and appends the signature, as scripts/sign-file does: hash by the kernel's name, the key named by
// issuer and serial number or, with useSKID (-k), by the SKID. With an RSA key the result is the same byte for byte.
// Signatures that are there stay, below the new one. The key may be any crypto.Signer that signs digests: RSA with
// PKCS #1 v1.5, or ECDSA.
//
// Errors are those of MessageFor and Append.
func Sign(module []byte, key crypto.Signer, c *certs.Certificate, hash string, useSKID bool) ([]byte, error) {
	message, err := MessageFor(module, key, c, hash, useSKID)
	if err != nil {
		return nil, err
	}
	return Append(module, message)
}

// MessageFor makes the CMS message that Sign appends, which sign-file -p writes into a file of its own.
//
// Errors: ErrInvalid as from SignerFor, and when the key is not the certificate's; what the key itself says.
func MessageFor(module []byte, key crypto.Signer, c *certs.Certificate, hash string, useSKID bool) ([]byte, error) {
	signer, err := SignerFor(c, hash, useSKID)
	if err != nil {
		return nil, err
	}
	h, digest := sum(hash, module)
	if digest == nil {
		return nil, invalid(fmt.Sprintf("hash %q cannot be computed here", hash))
	}
	if signer.Signature, err = key.Sign(rand.Reader, digest, h); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	// What leaves here verifies: the wrong key is noticed, and so is a faulty device.
	good, err := c.VerifyDigest(hash, digest, signer.Signature)
	switch {
	case err != nil:
		return nil, fmt.Errorf("checking the new signature: %w", err)
	case !good:
		return nil, invalid("the private key does not belong to the certificate")
	}
	return (&Message{Signers: []Signer{signer}}).Encode()
}

// sum digests with a hash of the kernel's name; the digest is nil when Go's library has no such hash.
func sum(name string, data []byte) (crypto.Hash, []byte) {
	h, ok := certs.Hash(name)
	if !ok {
		return 0, nil
	}
	w := h.New()
	w.Write(data)
	return h, w.Sum(nil)
}
