package main

import (
	"crypto"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/machine"
)

type generateDocument struct {
	envelope
	Profile   *string        `json:"profile"`
	Config    *string        `json:"config"`
	Pairs     []pairDocument `json:"pairs"`
	Enroll    *string        `json:"enroll"` // the certificate's file
	NextSteps []string       `json:"next_steps"`
	Warnings  []string       `json:"warnings"`
}

// pairDocument is a private key and its certificate.
type pairDocument struct {
	Role        string        `json:"role"`
	Key         string        `json:"key"`
	Cert        string        `json:"cert"`
	Encrypted   bool          `json:"encrypted"`
	Certificate certs.Details `json:"certificate"`
}

// What a key is for.
const (
	profileModule = "module"
	profileBoot   = "module+boot"
	profileCA     = "ca"
)

// Roles of a pair.
const (
	roleSigner = "signer"
	roleRoot   = "root"
)

const (
	daysMost      = 99_999
	rootSuffix    = " root" // the two names must differ: a certificate with one name for both says that it signed itself
	defaultSigner = "module signing key"
)

func (s *session) generate() *cli.Command {
	return &cli.Command{
		Name:  "generate",
		Usage: "a signing key and its certificate",
		Description: "Makes signing_key.priv (PEM, for its owner only) and signing_key.x509 (DER) in the working directory. Nothing that is there is replaced.\n" +
			"Profiles: module signs modules and nothing else; module+boot kernels and boot loaders, too; ca makes a root to enroll and a signer\n" +
			"that it issued, for kernels that take only authorities from shim (CONFIG_INTEGRITY_CA_MACHINE_KEYRING). --config reads the file that\n" +
			"the kernel's build reads, certs/x509.genkey, and refuses what it does not understand. Which one to choose: docs/keys.md.",
		UsageText: "   kkeys generate\n   kkeys generate --profile ca --name 'Example build'\n   kkeys generate --config certs/x509.genkey",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "write the private key into the new file `FILE`", Value: "signing_key.priv"},
			&cli.StringFlag{Name: "cert", Usage: "write the certificate into the new file `FILE`", Value: "signing_key.x509"},
			&cli.StringFlag{Name: "root-key", Usage: "with --profile ca: the root's private key, in `FILE`", Value: "signing_root.priv"},
			&cli.StringFlag{Name: "root-cert", Usage: "with --profile ca: the root's certificate, in `FILE`", Value: "signing_root.x509"},
			&cli.StringFlag{Name: "profile", Usage: "what the key is for, `P`: module, module+boot or ca", Value: profileModule},
			&cli.StringFlag{Name: "algorithm", Usage: "the kind of key, `A`: " + strings.Join(certs.KeyKinds(), ", "), Value: "rsa4096"},
			&cli.StringFlag{Name: "name", Usage: "the common name, `CN`", DefaultText: "HOSTNAME " + defaultSigner},
			&cli.IntFlag{Name: "days", Usage: "valid for `N` days; the kernel looks at no dates", Value: 36500},
			&cli.StringFlag{Name: "passphrase-file", Usage: "encrypt the private key with the passphrase in `FILE`, - for standard input"},
			&cli.StringFlag{Name: "config", Usage: "take key and certificate from `FILE`, as the kernel's certs/x509.genkey"},
		},
		Action: func(c *cli.Context) error {
			document := &generateDocument{Pairs: []pairDocument{}, NextSteps: []string{}, Warnings: []string{}}
			err := s.runGenerate(c, document)
			return s.finish(document, &document.envelope, exitYes, err)
		},
	}
}

// pair is a key with its certificate, and the files for both.
type pair struct {
	role, keyPath, certPath string
	key                     crypto.Signer
	certificate             *certs.Certificate
}

func (s *session) runGenerate(c *cli.Context, document *generateDocument) error {
	if err := s.writesHere(); err != nil {
		return err
	}
	if err := checkGenerate(c); err != nil {
		return err
	}
	kind, specs, err := s.wanted(c, document)
	if err != nil {
		return err
	}
	pairs := []pair{{role: roleSigner, keyPath: c.String("key"), certPath: c.String("cert")}}
	if len(specs) > 1 {
		pairs = append(pairs, pair{role: roleRoot, keyPath: c.String("root-key"), certPath: c.String("root-cert")})
	}
	if err := noneThere(pairs); err != nil {
		return err
	}
	passphrase := ""
	if c.IsSet("passphrase-file") {
		if passphrase, err = s.readSecret(c.String("passphrase-file")); err != nil {
			return err
		}
		if passphrase == "" {
			return failed("%s: the passphrase is empty", c.String("passphrase-file"))
		}
	}
	if err := makePairs(kind, specs, pairs); err != nil {
		return err
	}
	if err := writePairs(pairs, passphrase); err != nil {
		return err
	}
	s.describeGenerated(pairs, passphrase != "", document)
	return nil
}

// checkGenerate looks at the flags alone.
func checkGenerate(c *cli.Context) error {
	if c.NArg() > 0 {
		return usage("generate takes no arguments: --key and --cert name the files")
	}
	if c.IsSet("config") {
		for _, flag := range []string{"profile", "algorithm", "name"} {
			if c.IsSet(flag) {
				return usage("--%s: --config says that already", flag)
			}
		}
	}
	profile := c.String("profile")
	for _, flag := range []string{"root-key", "root-cert"} {
		if c.IsSet(flag) && profile != profileCA {
			return usage("--%s needs --profile ca", flag)
		}
	}
	var paths []string
	for _, flag := range []string{"key", "cert", "root-key", "root-cert"} {
		path := filepath.Clean(c.String(flag))
		switch {
		case c.String(flag) == "":
			return usage("--%s names no file", flag)
		case slices.Contains(paths, path):
			return usage("--%s: one file cannot hold two things", flag)
		}
		paths = append(paths, path)
	}
	switch days := c.Int("days"); {
	case profile != profileModule && profile != profileBoot && profile != profileCA:
		return usage("--profile %q: module, module+boot or ca", profile)
	case !slices.Contains(certs.KeyKinds(), c.String("algorithm")):
		return usage("--algorithm %q: one of %s", c.String("algorithm"), strings.Join(certs.KeyKinds(), ", "))
	case days < 1 || days > daysMost:
		return usage("--days %d: from 1 to %d", days, daysMost)
	case !c.IsSet("name"):
		return nil
	}
	name, most := c.String("name"), nameMost(profile)
	if size := utf8.RuneCountInString(name); size < 1 || size > most {
		return usage("--name: %d characters; from 1 to %d", size, most)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return usage("--name %q: characters that nobody can see", name)
	}
	return nil
}

// nameMost is how many characters a name may have.
func nameMost(profile string) int {
	if profile == profileCA {
		return certs.CommonNameMax - len(rootSuffix)
	}
	return certs.CommonNameMax
}

// wanted gives the kind of key, and what the certificates shall say: the signer's, then the root's if there is to be one.
func (s *session) wanted(c *cli.Context, document *generateDocument) (kind string, specs []certs.Spec, err error) {
	from := time.Now()
	until := from.Add(time.Duration(c.Int("days")) * 24 * time.Hour)
	if path := c.String("config"); c.IsSet("config") {
		document.Config = &path
		text, err := machine.ReadFile(path)
		if err != nil {
			return "", nil, failed("--config: %w", err)
		}
		request, err := certs.ParseRequest(text)
		if err != nil {
			return "", nil, fmt.Errorf("--config: %s: %w", path, err)
		}
		request.Spec.From, request.Spec.Until = from, until
		return request.Kind, []certs.Spec{request.Spec}, nil
	}
	profile, name := c.String("profile"), c.String("name")
	document.Profile = &profile
	if name == "" {
		name = s.signerName(nameMost(profile))
	}
	specs = []certs.Spec{certs.SignerSpec(certs.CommonName(name), from, until, profile == profileBoot)}
	if profile == profileCA {
		specs = append(specs, certs.RootSpec(certs.CommonName(name+rootSuffix), from, until))
	}
	return c.String("algorithm"), specs, nil
}

// signerName tells one machine's key from another's, which the kernel's list shows by name. What is too long for a certificate is shortened.
func (s *session) signerName(most int) string {
	host := s.machine.Hostname()
	short, _, _ := strings.Cut(host, ".")
	for _, host := range []string{host, short} {
		name := host + " " + defaultSigner
		if host != "" && utf8.RuneCountInString(name) <= most && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return name
		}
	}
	return defaultSigner
}

// noneThere looks before the work, and newFiles again when it writes.
func noneThere(pairs []pair) error {
	for _, p := range pairs {
		for _, path := range []string{p.keyPath, p.certPath} {
			if _, err := os.Lstat(path); err == nil {
				return isThere(path)
			}
		}
	}
	return nil
}

func makePairs(kind string, specs []certs.Spec, pairs []pair) (err error) {
	// The last one signs itself, and those before it.
	for i, spec := range slices.Backward(specs) {
		p, root := &pairs[i], &pairs[len(pairs)-1]
		if p.key, err = certs.NewKey(kind); err != nil {
			return err
		}
		if p == root {
			p.certificate, err = spec.SelfSign(p.key)
		} else {
			p.certificate, err = spec.Issue(p.key.Public(), certs.Issuer{Key: root.key, Certificate: root.certificate})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writePairs(pairs []pair, passphrase string) error {
	var files []fileToBe
	for _, p := range pairs {
		text, err := certs.EncodeKey(p.key, []byte(passphrase))
		if err != nil {
			return err
		}
		files = append(files, fileToBe{p.keyPath, text, fs.FileMode(0o600)}, fileToBe{p.certPath, p.certificate.Raw, 0o644})
	}
	return newFiles(files...)
}

func (s *session) describeGenerated(pairs []pair, encrypted bool, document *generateDocument) {
	signer, enrolled := pairs[0], pairs[len(pairs)-1]
	for _, p := range pairs {
		d := p.certificate.Details()
		document.Pairs = append(document.Pairs, pairDocument{p.role, p.keyPath, p.certPath, encrypted, d})
		s.say("%s: the %s's private key, %s, %s", printable.Text(p.keyPath), p.role, algorithm(d), map[bool]string{true: "encrypted", false: "not encrypted"}[encrypted])
		s.say("%s: %s, key id %s, valid from %s to %s", printable.Text(p.certPath), printable.Text(d.Subject), d.KeyID, d.NotBefore.Format(time.DateOnly), d.NotAfter.Format(time.DateOnly))
	}
	for _, why := range signer.certificate.KeyRefusals() {
		s.caution(&document.Warnings, fmt.Sprintf("kernels %s cannot use the key: %s", why.Kernels, why.Why))
	}
	if d := document.Pairs[0].Certificate; d.Algorithm == "ecdsa" {
		s.caution(&document.Warnings, "kernels without CONFIG_CRYPTO_ECDSA, such as Debian's 6.1, cannot use the key")
	}
	document.Enroll = &enrolled.certPath
	document.NextSteps = append(document.NextSteps, "sudo kkeys enroll "+argument(enrolled.certPath))
	if len(pairs) > 1 {
		document.NextSteps = append(document.NextSteps, "sudo keyctl padd asymmetric '' %:.secondary_trusted_keys < "+argument(signer.certPath)+"  # after each boot")
	}
	document.NextSteps = append(document.NextSteps, fmt.Sprintf("kkeys sign --key %s --cert %s MODULE…", argument(signer.keyPath), argument(signer.certPath)))
	s.say("\nNext:")
	for _, step := range document.NextSteps {
		s.say("  %s", step)
	}
}
