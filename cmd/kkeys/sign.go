package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/kernel"
	"kkeys/modsig"
)

type signDocument struct {
	envelope
	Certificate *certs.Details   `json:"certificate"`
	Hash        string           `json:"hash"`
	Kernel      *string          `json:"kernel"` // the release that is to load the modules
	Modules     []signedDocument `json:"modules"`
}

type signedDocument struct {
	Path    string  `json:"path"`
	Action  string  `json:"action"`  // "signed", "unchanged" (signed so already), "failed", "not-done" (another failed before)
	Removed int     `json:"removed"` // signatures that were taken off
	Packing string  `json:"packing"`
	Why     *string `json:"why"`
}

func (s *session) sign() *cli.Command {
	return &cli.Command{
		Name:      "sign",
		Usage:     "sign modules, in place",
		ArgsUsage: "MODULE…",
		Description: "Signs each module, in one step and with its owner, mode, times and attributes kept; signatures of before are taken off, and what is\n" +
			"validly signed by this key already is left alone. Compressed modules (.gz, .xz, .zst) are compressed again, so that the kernel\n" +
			"itself can read them. Stops at the first failure unless --keep-going, and at a signal once those that were begun are done; no\n" +
			"module is ever half-written.\n\n" +
			"With --kernel it refuses a hash or key that a kernel of that release is known not to have. Exit code 1: refused so.",
		UsageText: "   kkeys sign --key signing_key.priv --cert signing_key.x509 driver.ko\n   kkeys sign --key MOK.priv --cert MOK.der --kernel 6.1.0-18-amd64 /lib/modules/6.1.0-18-amd64/updates/dkms/*.ko.xz",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "the private key, in `FILE` (PEM)"},
			&cli.StringFlag{Name: "cert", Usage: "its certificate, in `FILE` (DER or PEM)"},
			&cli.StringFlag{Name: "hash", Usage: "`HASH` of the signature: sha256, sha384, sha512, sha1, sha224, sha3-256, sha3-384, sha3-512", Value: "sha256"},
			&cli.BoolFlag{Name: "key-id", Aliases: []string{"k"}, Usage: "name the key by its subject key identifier instead of issuer and serial number", DisableDefaultText: true},
			&cli.StringFlag{Name: "kernel", Usage: "refuse what a kernel of this `RELEASE` does not have"},
			&cli.StringFlag{Name: "passphrase-file", Usage: "read the key's passphrase from `FILE`, - for standard input (else " + pin + ", or it is asked for)"},
			&cli.StringFlag{Name: "signer", Usage: "have `COMMAND` sign, which has the key in hardware, say (docs/signing.md)"},
			&cli.BoolFlag{Name: "keep-going", Usage: "go on after a failure", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			document := &signDocument{Modules: []signedDocument{}}
			return s.finish(document, &document.envelope, exitYes, s.runSign(c, document))
		},
	}
}

func (s *session) runSign(c *cli.Context, document *signDocument) error {
	if err := s.writesHere(); err != nil {
		return err
	}
	switch {
	case c.NArg() == 0:
		return usage("no module named")
	case !c.IsSet("key") || !c.IsSet("cert"):
		return usage("--key and --cert are needed")
	}
	hash, err := signatureHash(c.String("hash"))
	if err != nil {
		return err
	}
	pair, err := s.signingPairOf(c.String("key"), c.String("cert"), c.String("signer"), s.passphrase(c.String("passphrase-file")))
	if err != nil {
		return err
	}
	details := pair.certificate.Details()
	document.Certificate, document.Hash = &details, hash
	useless := pair.certificate.Useless()
	if release := c.String("kernel"); c.IsSet("kernel") {
		document.Kernel = &release
		if err := s.fits(release, hash, details, useless); err != nil {
			return err
		}
	} else if useless != nil {
		s.warn(useless.Error() + ": no kernel will load these modules as signed")
	}
	return s.signAll(eachOnce(c.Args().Slice()), c.Bool("keep-going"), moduleSigner{signingPair: pair, hash: hash, useSKID: c.Bool("key-id")}, document)
}

// fits tells whether a kernel of a release may verify what is about to be signed.
func (s *session) fits(release, hash string, key certs.Details, useless error) error {
	why, config, err := kernel.Lacks(s.machine.Files, release, hash, key.Algorithm, text(key.Curve))
	switch {
	case err != nil:
		return usage("--kernel: %w", err)
	case useless != nil:
		return fmt.Errorf("%w: %w", errLacks, useless)
	case why != "":
		return fmt.Errorf("%w: %s", errLacks, why)
	case config == "":
		s.warn("no configuration of kernel " + release + " was found: it is judged by its number alone")
	}
	return nil
}

// eachOnce leaves out what was named before.
func eachOnce(paths []string) (once []string) {
	for _, path := range paths {
		if path = filepath.Clean(path); !slices.Contains(once, path) {
			once = append(once, path)
		}
	}
	return once
}

// sameFiles parts paths, by their indices, into those of different files and those that lead to one of these too, as links do: such a file changes
// while the other name is worked on.
func sameFiles(paths []string) (first, again []int) {
	type look struct{ size, changed int64 }
	seen := map[look][]os.FileInfo{}
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil { // said when it is its turn
			first = append(first, i)
			continue
		}
		alike := look{info.Size(), info.ModTime().UnixNano()}
		if slices.ContainsFunc(seen[alike], func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			again = append(again, i)
			continue
		}
		first, seen[alike] = append(first, i), append(seen[alike], info)
	}
	return first, again
}

var errLacks = errors.New("the kernel would not verify such signatures")

// signAll signs with all processors, or one after the other where an external signer does. The results stand in the order of the arguments.
func (s *session) signAll(paths []string, keepGoing bool, by moduleSigner, document *signDocument) error {
	for _, path := range paths {
		document.Modules = append(document.Modules, signedDocument{Path: path, Action: "not-done"})
	}
	by.turns = make(turns, runtime.GOMAXPROCS(0))
	atOnce := 4 * cap(by.turns)                            // most wait until what they wrote is on the disk
	if _, external := by.key.(*externalSigner); external { // a token is asked one thing at a time
		atOnce = 1
	}
	pass := func(of []int, atOnce int) error {
		return s.changeFiles(work{pieces: len(of), atOnce: atOnce, what: "signing", keepGoing: keepGoing, turns: by.turns, piece: func(i int) error { return by.sign(&document.Modules[of[i]]) }})
	}
	first, again := sameFiles(paths)
	err := pass(first, atOnce)
	if len(again) > 0 && (err == nil || keepGoing && !errors.Is(err, errInterrupted)) {
		err = several([]error{err, pass(again, 1)})
	}
	signed, unchanged, not := 0, 0, 0
	for _, m := range document.Modules {
		switch m.Action {
		case "signed":
			signed++
		case "unchanged":
			unchanged++
		default:
			not++
		}
	}
	s.say("%s signed, %d signed so already, by %s, key id %s, %s", count(signed, "module", "modules"), unchanged, printable.Text(document.Certificate.Subject), document.Certificate.KeyID, document.Hash)
	if not > 0 {
		s.say("%d not signed", not)
	}
	return err
}

// moduleSigner signs module files.
type moduleSigner struct {
	signingPair
	hash    string
	useSKID bool
	turns   turns // of [work]
}

// sign signs one file, unless it is signed so already.
func (m moduleSigner) sign(document *signedDocument) error {
	err := m.signFile(document)
	if err != nil {
		why := err.Error()
		document.Action, document.Why = "failed", &why
		return failed("%s: %w", document.Path, err)
	}
	return nil
}

func (m moduleSigner) signFile(document *signedDocument) error {
	signed, err := m.signed(document)
	if err != nil || signed == nil {
		return err
	}
	if err := signed.file.Replace(signed.content); err != nil {
		return err
	}
	document.Action, document.Removed = "signed", signed.removed
	return nil
}

// replacement is what is to stand in a file's place.
type replacement struct {
	file    *modsig.File
	content []byte
	removed int // signatures
}

// signed makes the new content; nil stands for what is signed so already. It is what the turns are for: it holds a module more than once.
func (m moduleSigner) signed(document *signedDocument) (*replacement, error) {
	defer m.turns.give()
	file, unpacked, err := moduleFile(document.Path)
	if err != nil {
		return nil, err
	}
	document.Packing = unpacked.Packing.String()
	payload, removed, err := modsig.Strip(unpacked.Module)
	if err != nil {
		return nil, err
	}
	if !unpacked.SignedOutside() && removed == 1 && m.signedAlready(unpacked.Module) {
		document.Action = "unchanged"
		return nil, nil
	}
	if unpacked.SignedOutside() {
		removed++
	}
	module, err := modsig.Sign(payload, m.key, m.certificate, m.hash, m.useSKID)
	if err != nil {
		return nil, err
	}
	packed, err := modsig.Pack(module, unpacked.Packing)
	if err != nil {
		return nil, err
	}
	return &replacement{file, packed, removed}, nil
}

var errNotModule = errors.New("it is no kernel module (ELF)")

// moduleFile reads a module and takes it out of its compression. What follows the compressed stream must be a signature, which was put at the wrong
// place.
func moduleFile(path string) (*modsig.File, *modsig.Unpacked, error) {
	file, err := modsig.Find(path)
	if err != nil {
		return nil, nil, err
	}
	data, err := file.Read()
	if err != nil {
		return nil, nil, err
	}
	unpacked, err := modsig.Unpack(data, modsig.MaxModule)
	switch {
	case err != nil:
		return nil, nil, err
	case !bytes.HasPrefix(unpacked.Module, []byte("\x7fELF")):
		return nil, nil, errNotModule
	case len(unpacked.Trailing) > 0 && !unpacked.SignedOutside():
		return nil, nil, fmt.Errorf("%w: %d bytes follow the compressed module", modsig.ErrDamaged, len(unpacked.Trailing))
	}
	return file, unpacked, nil
}

// signedAlready tells whether the signature is what signing would make, but for the noise in those of ECDSA.
func (m moduleSigner) signedAlready(module []byte) bool {
	payload, text, err := modsig.Split(module)
	if err != nil {
		return false
	}
	message, err := modsig.Decode(text)
	if err != nil || len(message.Signers) != 1 || len(message.Certificates) > 0 {
		return false
	}
	wanted, err := modsig.SignerFor(m.certificate, m.hash, m.useSKID)
	is := message.Signers[0]
	return err == nil && is.Hash == wanted.Hash && is.Algorithm == wanted.Algorithm && bytes.Equal(is.ID(), wanted.ID()) && (is.SKID != nil) == m.useSKID &&
		message.Verify(payload, []*certs.Certificate{m.certificate}).Outcome == modsig.Valid
}
