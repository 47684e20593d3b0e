package main

import (
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"kkeys/machine"
	"kkeys/modsig"
)

type signFileDocument struct {
	envelope
	Module    string  `json:"module"`
	Output    *string `json:"output"`    // where the signed module is, null when only the signature was written
	Signature *string `json:"signature"` // the file with the signature alone
}

func (s *session) signFile() *cli.Command {
	return &cli.Command{
		Name:      "sign-file",
		Usage:     "sign a module as scripts/sign-file does, argument for argument",
		ArgsUsage: "HASH KEY X509 MODULE [DEST]  or, with -s, SIGNATURE HASH X509 MODULE [DEST]",
		Description: "For kbuild, dkms and scripts, in place of the kernel's own tool. In place unless DEST is named; a signature that is there stays\n" +
			"below the new one, as with that tool (`kkeys sign` takes it off). The passphrase of KEY is taken from " + pin + ".\n" +
			"With --signer or " + signerVariable + " an external program signs, which has the key KEY in hardware, say: docs/signing.md.",
		UsageText: "   kkeys sign-file sha256 signing_key.priv signing_key.x509 driver.ko\n   kkeys sign-file -k sha512 MOK.priv MOK.der driver.ko signed.ko",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "p", Usage: "write the signature into MODULE.p7s too", DisableDefaultText: true},
			&cli.BoolFlag{Name: "d", Usage: "write the signature into MODULE.p7s and nothing else", DisableDefaultText: true},
			&cli.BoolFlag{Name: "k", Usage: "name the key by its subject key identifier instead of issuer and serial number", DisableDefaultText: true},
			&cli.BoolFlag{Name: "s", Usage: "append the signature in the file SIGNATURE, a CMS message in DER", DisableDefaultText: true},
			&cli.StringFlag{Name: "signer", Usage: "have `COMMAND` sign"},
		},
		Action: func(c *cli.Context) error {
			document := &signFileDocument{}
			return s.finish(document, &document.envelope, exitYes, s.runSignFile(c, document))
		},
	}
}

func (s *session) runSignFile(c *cli.Context, document *signFileDocument) error {
	if err := s.writesHere(); err != nil {
		return err
	}
	args := c.Args().Slice()
	if len(args) < 4 || len(args) > 5 {
		return usage("sign-file needs four arguments and may have five: see `kkeys sign-file --help`")
	}
	document.Module = args[3]
	to := args[len(args)-1]
	file, err := modsig.Find(to) // before it is read, so that a change is seen
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("%w", err)
	}
	module, err := machine.ReadFile(document.Module)
	if err != nil {
		return failed("%w", err)
	}
	message, err := s.signatureFor(c, args, module)
	if err != nil {
		return err
	}
	signed, err := modsig.Append(module, message)
	if err != nil {
		return failed("%s: %w", document.Module, err)
	}
	if (c.Bool("p") || c.Bool("d")) && !c.Bool("s") {
		path := document.Module + ".p7s"
		there, err := modsig.Find(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failed("%w", err)
		}
		if err := writeFile(there, path, message); err != nil {
			return failed("%w", err)
		}
		document.Signature = &path
		if c.Bool("d") {
			return nil
		}
	}
	if err := writeFile(file, to, signed); err != nil {
		return failed("%w", err)
	}
	document.Output = &to
	return nil
}

// signatureFor makes the message, or reads it (-s).
func (s *session) signatureFor(c *cli.Context, args []string, module []byte) ([]byte, error) {
	if c.Bool("s") {
		message, err := machine.ReadFile(args[0])
		if err != nil {
			return nil, failed("%w", err)
		}
		if _, err := modsig.Decode(message); err != nil {
			return nil, failed("%s: %w", args[0], err)
		}
		return message, nil
	}
	hash, err := signatureHash(args[0])
	if err != nil {
		return nil, err
	}
	pair, err := s.signingPairOf(args[1], args[2], c.String("signer"), s.passphrase(""))
	if err != nil {
		return nil, err
	}
	message, err := modsig.MessageFor(module, pair.key, pair.certificate, hash, c.Bool("k"))
	if err != nil {
		return nil, failed("%s: %w", args[3], err)
	}
	return message, nil
}

// writeFile replaces a file in one step, or, where there is none, makes one that is whole or not there.
func writeFile(there *modsig.File, path string, data []byte) error {
	if there != nil {
		return there.Replace(data)
	}
	return newFiles(fileToBe{path, data, 0o666})
}
