package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec: names a key, and protects nothing
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Outcomes of making keys and certificates.
var (
	// ErrKeyKind: no such kind of key is made.
	ErrKeyKind = errors.New("no such kind of key")
	// ErrSpec: a certificate as asked for cannot be made, or would not say what was asked.
	ErrSpec = errors.New("such a certificate cannot be made")
)

// keyKinds are the keys that NewKey makes. RSA of other sizes is nothing for the kernel (crypto/rsa.c rsa_check_key_length); P-521 is known to it only since
// Linux 6.10, Ed25519 never.
var keyKinds = []struct {
	name  string
	bits  int
	curve elliptic.Curve
}{
	{"rsa2048", 2048, nil}, {"rsa3072", 3072, nil}, {"rsa4096", 4096, nil},
	{"p256", 0, elliptic.P256()}, {"p384", 0, elliptic.P384()},
}

// KeyKinds names the keys that [NewKey] makes: rsa2048, rsa3072, rsa4096, p256 and p384.
func KeyKinds() (names []string) {
	for _, k := range keyKinds {
		names = append(names, k.name)
	}
	return names
}

// NewKey makes a private key of one of the [KeyKinds]. Every kernel with module signatures can use RSA; P-256 and P-384 need Linux 5.13 and
// CONFIG_CRYPTO_ECDSA. ErrKeyKind for other names.
func NewKey(kind string) (crypto.Signer, error) {
	for _, k := range keyKinds {
		switch {
		case k.name != kind:
		case k.curve != nil:
			return ecdsa.GenerateKey(k.curve, rand.Reader)
		default:
			return rsa.GenerateKey(rand.Reader, k.bits)
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrKeyKind, kind)
}

// Spec says what a certificate shall hold, key and issuer apart. It is of version 3, signed with SHA-256, which every kernel that verifies modules
// has, and has a random serial number of at most 20 bytes (RFC 5280 4.1.2.2).
type Spec struct {
	Subject Name
	// From and Until are the validity, cut to whole seconds. The kernel looks at neither.
	From, Until time.Time
	// Extensions stand in the certificate in this order; none twice.
	Extensions []Extension
}

// Issuer is who signs a certificate.
type Issuer struct {
	Key         crypto.Signer
	Certificate *Certificate
}

// SignerSpec is for the certificate of a key that signs modules: no authority, digitalSignature, and the extended key usage codeSigning, without
// which the kernels of SLE and Leap take no signer (CONFIG_CHECK_CODESIGN_EKU). Unless boot is true it also has shim's OID_EKU_MODSIGN: then shim takes
// nothing for signed that this key signed, neither kernel nor boot loader (shim's verify_eku), so that a stolen key gives less away.
//
// Basic constraints and key usage are those of the kernel's own certs/default_x509.genkey.
func SignerSpec(subject Name, from, until time.Time, boot bool) Spec {
	purposes := ExtKeyUsage{oidCodeSigning}
	if !boot {
		purposes = append(purposes, oidModuleSigning)
	}
	return Spec{subject, from, until, []Extension{
		{true, BasicConstraints{}}, {false, KeyUsage(x509.KeyUsageDigitalSignature)}, {false, purposes}, {false, SubjectKeyID{}}, {false, AuthorityKeyID{}},
	}}
}

// RootSpec is for the certificate of a root that issues the certificates of signers and nothing else. It is what a kernel with CONFIG_INTEGRITY_CA_MACHINE_KEYRING
// (Linux 6.4, security/integrity/platform_certs/machine_keyring.c, crypto/asymmetric_keys/restrict.c restrict_link_by_ca) takes from shim's list into
// .machine: CA:TRUE with keyCertSign and, for CONFIG_INTEGRITY_CA_MACHINE_KEYRING_MAX, without digitalSignature.
//
// The root's certificate is the one to enroll. The signer's key signs the modules, and its certificate, which this root issued, must reach the kernel
// too: into .secondary_trusted_keys at each boot (the kernel takes it, because .machine vouches for it), or inside each signature.
func RootSpec(subject Name, from, until time.Time) Spec {
	var onlySigners int // below the root comes no other authority
	return Spec{subject, from, until, []Extension{
		{true, BasicConstraints{CA: true, PathLen: &onlySigners}}, {true, KeyUsage(x509.KeyUsageCertSign | x509.KeyUsageCRLSign)},
		{false, SubjectKeyID{}}, {false, AuthorityKeyID{}},
	}}
}

// SelfSign makes the certificate of a key, signed by that key. Errors: ErrSpec.
func (s Spec) SelfSign(key crypto.Signer) (*Certificate, error) {
	template, err := s.template(key.Public(), nil)
	if err != nil {
		return nil, err
	}
	return s.make(template, template, key.Public(), key)
}

// Issue makes the certificate of a key that somebody else signs. Errors: ErrSpec.
func (s Spec) Issue(public crypto.PublicKey, by Issuer) (*Certificate, error) {
	if by.Certificate.X509 == nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, by.Certificate.X509Err)
	}
	template, err := s.template(public, by.Certificate)
	if err != nil {
		return nil, err
	}
	return s.make(template, by.Certificate.X509, public, by.Key)
}

// template is the certificate in the form of crypto/x509. All extensions are given ready-made, because the package decides itself in which order
// it writes those that it knows, which are critical, and how a key is named.
func (s Spec) template(public crypto.PublicKey, issuer *Certificate) (*x509.Certificate, error) {
	subject, err := s.Subject.encode()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, fmt.Errorf("random numbers: %w", err)
	}
	template := &x509.Certificate{
		RawSubject: subject, SerialNumber: serial.Add(serial, big.NewInt(1)), // from 1 to 2^159, so of 20 bytes and positive
		NotBefore: s.From.UTC().Truncate(time.Second), NotAfter: s.Until.UTC().Truncate(time.Second),
	}
	ids := keyIDs{selfSigned: issuer == nil}
	if ids.own, err = keyID(public); err != nil {
		return nil, err
	}
	if ids.issuer = ids.own; issuer != nil {
		ids.issuer = issuer.SubjectKeyID
	}
	for _, e := range s.Extensions {
		extension, there, err := e.encode(ids)
		if err != nil {
			return nil, err
		}
		if there {
			template.ExtraExtensions = append(template.ExtraExtensions, extension)
		}
	}
	return template, nil
}

// make signs, and looks whether the result says what was asked for and nothing else.
func (s Spec) make(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*Certificate, error) {
	if !template.NotAfter.After(template.NotBefore) {
		return nil, fmt.Errorf("%w: valid until %s, from %s on", ErrSpec, template.NotAfter.Format(time.DateOnly), template.NotBefore.Format(time.DateOnly))
	}
	switch key.Public().(type) {
	case *rsa.PublicKey:
		template.SignatureAlgorithm = x509.SHA256WithRSA
	case *ecdsa.PublicKey:
		template.SignatureAlgorithm = x509.ECDSAWithSHA256
	default:
		return nil, fmt.Errorf("%w: signed by a %T", ErrSpec, key)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	made, err := ParseDER(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if made.X509 == nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, made.X509Err)
	}
	same := func(a, b pkix.Extension) bool {
		return a.Id.Equal(b.Id) && a.Critical == b.Critical && bytes.Equal(a.Value, b.Value)
	}
	if !bytes.Equal(made.X509.RawSubject, template.RawSubject) || !slices.EqualFunc(made.X509.Extensions, template.ExtraExtensions, same) {
		return nil, fmt.Errorf("%w: another one was made", ErrSpec)
	}
	if why := made.Refusal(); why != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, why)
	}
	return made, nil
}

// keyID is SHA-1 of the key's bits, method 1 of RFC 5280 4.2.1.2, as openssl's `subjectKeyIdentifier = hash`.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:], nil
}
