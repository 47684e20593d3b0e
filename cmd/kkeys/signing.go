package main

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/machine"
	"kkeys/modsig"
)

// pin is the variable in which kbuild and dkms give sign-file the private key's passphrase.
const pin = "KBUILD_SIGN_PIN"

// signerVariable names the external signer's command where no flag does.
const signerVariable = "KKEYS_SIGNER"

// signingPair is a private key and its certificate.
type signingPair struct {
	key         crypto.Signer
	certificate *certs.Certificate
}

// signingPairOf reads what signs modules. The key is a PEM file; with an external signer's command it is whatever that command understands, such
// as a pkcs11: URI.
func (s *session) signingPairOf(key, cert, command string, passphrase func() ([]byte, error)) (signingPair, error) {
	certificate, err := signersCertificate(cert)
	if err != nil {
		return signingPair{}, err
	}
	if command == "" {
		command = s.environment(signerVariable)
	}
	if command != "" {
		return signingPair{&externalSigner{command, key, certificate, s.err}, certificate}, nil
	}
	if strings.HasPrefix(key, "pkcs11:") {
		return signingPair{}, usage("%s: a key in hardware needs an external signer: --signer COMMAND or %s (docs/signing.md)", key, signerVariable)
	}
	signer, err := privateKey(key, passphrase)
	if err != nil {
		return signingPair{}, err
	}
	if !certificate.HasKey(signer.Public()) {
		return signingPair{}, failed("%s and %s: %w", key, cert, errOtherKey)
	}
	return signingPair{signer, certificate}, nil
}

var errOtherKey = errors.New("the private key is not that of the certificate")

// signersCertificate reads a certificate as sign-file does: DER, or the first one of a PEM file, in which a private key may stand too.
func signersCertificate(path string) (*certs.Certificate, error) {
	data, err := machine.ReadFile(path)
	if err != nil {
		return nil, failed("%w", err)
	}
	der := data
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			der = block.Bytes
			break
		}
	}
	c, err := certs.ParseDER(der)
	if err != nil {
		return nil, failed("%s: %w", path, err)
	}
	return c, nil
}

// passphrase gives the way to the passphrase of an encrypted key: a file, the environment, or the terminal.
func (s *session) passphrase(file string) func() ([]byte, error) {
	return func() ([]byte, error) {
		switch {
		case file != "":
			text, err := s.readSecret(file)
			return []byte(text), err
		case s.environment(pin) != "":
			return []byte(s.environment(pin)), nil
		case s.prompt == nil:
			return nil, fmt.Errorf("give it in %s or with --passphrase-file", pin)
		}
		line, err := s.ask("Passphrase of the private key: ", true)
		return []byte(line), err
	}
}

// externalSigner has another program sign, which may have the key in hardware. The program gets the digest on standard input and gives the
// signature on standard output: for RSA that of PKCS #1 v1.5, for ECDSA the DER SEQUENCE of r and s. docs/signing.md has its environment.
type externalSigner struct {
	command, key string
	certificate  *certs.Certificate
	stderr       io.Writer
}

// signatureMax bounds what an external signer may answer, in bytes.
const signatureMax = 4096

func (e *externalSigner) Public() crypto.PublicKey {
	if e.certificate.X509 == nil {
		return nil
	}
	return e.certificate.X509.PublicKey
}

func (e *externalSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	name := strings.ToLower(strings.ReplaceAll(opts.HashFunc().String(), "SHA-", "SHA"))
	command := exec.Command("/bin/sh", "-c", e.command)
	command.Stdin, command.Stderr = bytes.NewReader(digest), e.stderr
	command.Env = append(os.Environ(), "KKEYS_KEY="+e.key, "KKEYS_HASH="+name, "KKEYS_ALGORITHM="+e.certificate.KeyAlgorithm(),
		"KKEYS_DIGESTINFO="+hex.EncodeToString(certs.DigestInfo(name, digest)))
	var out bytes.Buffer
	command.Stdout = &limited{&out, signatureMax}
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%w: %w", errExternal, err) // without the command, in which there may be a PIN
	}
	if out.Len() == 0 {
		return nil, fmt.Errorf("%w: no signature on its standard output", errExternal)
	}
	return out.Bytes(), nil
}

var errExternal = errors.New("the external signer failed")

// limited refuses more than so many bytes.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, fmt.Errorf("more than a signature has")
	}
	l.left -= len(p)
	return l.to.Write(p)
}

// signatureHash checks the name of a hash, in which OpenSSL takes capitals too.
func signatureHash(name string) (string, error) {
	lower := strings.ToLower(name)
	if !slices.Contains(modsig.Hashes(), lower) {
		return "", usage("%q: no hash that modules are signed with; those are %s", name, strings.Join(modsig.Hashes(), ", "))
	}
	return lower, nil
}
