package main

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

// proof is what --prove, --key and --hash ask for.
type proof struct {
	wanted bool
	key    crypto.Signer // nil: probes without a private key only
	hash   string
}

func (s *session) proofOf(c *cli.Context) (proof, error) {
	p := proof{wanted: c.Bool("prove"), hash: c.String("hash")}
	if _, known := certs.Hash(p.hash); !known {
		return p, usage("--hash %s: the kernel knows no such hash for modules", p.hash)
	}
	if !c.IsSet("key") {
		return p, nil
	}
	if !p.wanted {
		return p, usage("--key needs --prove")
	}
	if c.NArg() != 1 {
		return p, usage("--key is for one certificate")
	}
	var err error
	p.key, err = privateKey(c.String("key"), nil)
	return p, err
}

// privateKey reads a private key in PEM. passphrase is asked only for an encrypted one; nil has none.
func privateKey(path string, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	data, err := machine.ReadFile(path)
	if err != nil {
		return nil, failed("%w", err)
	}
	key, err := certs.ParseKey(data, passphrase)
	if err != nil {
		return nil, failed("%s: %w", path, err)
	}
	return key, nil
}

// prove makes the load probes for the certificate of the facts. What the kernel or the machine does not let be asked is a fact, too; an error
// is the user's: a key that is not the certificate's.
func (s *session) prove(p proof, facts *trust.Facts) error {
	if !p.wanted {
		return nil
	}
	if p.key != nil && !facts.Certificate.HasKey(p.key.Public()) {
		return usage("--key: this is not the private key of the certificate")
	}
	question, err := machine.QuestionAbout(facts.Certificate, p.hash, p.key)
	if err == nil {
		facts.Probes, err = s.machine.Prove(question)
	}
	facts.ProbesErr = err
	if errors.Is(err, modsig.ErrInvalid) {
		facts.ProbesErr = fmt.Errorf("no probe can be made for this certificate: %w", err)
	}
	return nil
}

// provePlatform asks with load probes whether .platform is consulted, if a certificate of the firmware's db is there and nowhere else.
func (s *session) provePlatform(hash string, found []machine.Found, rings []keyring.Ring, status kernel.Status) evidence.Reading {
	for _, source := range found {
		c := source.Certificate
		if source.Where != "db" || c.SubjectKeyID == nil || !trust.OnlyIn(rings, c, keyring.Platform) {
			continue
		}
		question, err := machine.QuestionAbout(c, hash, nil)
		if err != nil {
			continue
		}
		probes, err := s.machine.Prove(question)
		if err != nil {
			return evidence.Reading{Evidence: err.Error(), Source: "the kernel (init_module)"}
		}
		if warning := trust.JudgeProbes(probes, status).Warning; warning != "" {
			s.warn(warning)
		}
		return trust.PlatformConsulted(probes, status)
	}
	return evidence.Reading{Evidence: "no certificate is in .platform and nowhere else", Source: "the kernel (init_module)"}
}
