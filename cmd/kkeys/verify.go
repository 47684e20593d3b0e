package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

type verifyDocument struct {
	envelope
	Kernel       *string            `json:"kernel"` // the release whose keys and modules it is about
	Certificates []verifierDocument `json:"certificates"`
	Counts       map[string]int     `json:"counts"`
	Modules      []verifiedDocument `json:"modules"`
}

type verifierDocument struct {
	Subject string `json:"subject"`
	KeyID   string `json:"key_id"`
	Where   string `json:"where"`
}

type verifiedDocument struct {
	Path   string          `json:"path"`
	Result string          `json:"result"` // see verifyResults
	Signer *signerDocument `json:"signer"`
	KeyID  *string         `json:"key_id"` // of the certificate that verified it
	Why    *string         `json:"why"`
}

// verifyResults are what can be said of a module, with the exit code of each.
var verifyResults = map[string]int{
	"valid": exitYes, "unsigned": exitNo, "unknown-key": exitNo, "wrong": exitNo, "refused": exitNo, "unsupported": exitUnsure, "unreadable": exitFailed,
}

func (s *session) verify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check the signatures of modules, by computing them",
		ArgsUsage: "[MODULE…]",
		Description: "Checks each signature with the keys of the running kernel: the certificates in its image, and those of shim's list, of which it\n" +
			"shows the keys in the keyrings that it consults. With --kernel the keys and, with --all, the modules of another release, with --cert\n" +
			"nothing but these certificates. A signature is valid when such a key made it over exactly these bytes; whether the running kernel\n" +
			"takes the module is `kkeys trusted MODULE`, which asks it.\n\n" +
			"Results: valid; unsigned; unknown-key; wrong (changed, or another key of that name); refused (a form that no kernel takes);\n" +
			"unsupported (cannot be checked here); unreadable. Exit code 0: all valid; 1: one is not; 3: cannot tell; 4: unreadable.",
		UsageText: "   kkeys verify driver.ko\n   kkeys verify --all --json\n   kkeys --root DIR verify --all --kernel 6.1.0-18-amd64",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "every module of the kernel: /lib/modules/RELEASE, with updates, extra, weak-updates", DisableDefaultText: true},
			&cli.StringFlag{Name: "kernel", Usage: "the kernel of this `RELEASE` instead of the running one"},
			&cli.StringSliceFlag{Name: "cert", Usage: "check with the certificates in `FILE` and no others"},
		},
		Action: func(c *cli.Context) error {
			document := &verifyDocument{Certificates: []verifierDocument{}, Counts: map[string]int{}, Modules: []verifiedDocument{}}
			code, err := s.runVerify(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runVerify(c *cli.Context, document *verifyDocument) (int, error) {
	switch {
	case c.Bool("all") && c.NArg() > 0:
		return exitYes, usage("--all and modules by name")
	case !c.Bool("all") && c.NArg() == 0:
		return exitYes, usage("no module named; --all is all of the kernel's")
	}
	release := c.String("kernel")
	if release == "" {
		release = s.machine.Kernel().Release
	}
	document.Kernel = known(release)
	paths := c.Args().Slice()
	read := func(i int, _ []byte) ([]byte, error) { return machine.ReadFile(paths[i]) }
	if c.Bool("all") {
		files, err := s.machine.Modules(release)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return exitYes, failed("%w", err)
		} else if err != nil {
			document.missing("modules", err)
		}
		for _, file := range files {
			paths = append(paths, file.Path)
		}
		read = func(i int, buffer []byte) ([]byte, error) { return s.machine.ReadModuleFile(files[i], buffer) }
	}
	// Unpacking the kernel's image takes as long as all digests: both at once.
	var candidates []*certs.Certificate
	var failure error
	searched := make(chan struct{})
	go func() {
		defer close(searched)
		candidates, failure = s.verifiers(c.StringSlice("cert"), release, document)
	}()
	document.Modules = make([]verifiedDocument, len(paths))
	signatures := make([]signature, len(paths))
	var buffers sync.Pool
	_ = s.workOn(len(paths), "verifying", true, func(i int) error {
		buffer, _ := buffers.Get().(*[]byte)
		if buffer == nil {
			buffer = new([]byte)
		}
		data, err := read(i, *buffer)
		document.Modules[i].Path = paths[i]
		signatures[i] = document.Modules[i].read(data, err)
		if cap(data) > cap(*buffer) {
			*buffer = data
		}
		buffers.Put(buffer)
		return nil
	})
	<-searched
	if failure != nil {
		document.Modules = []verifiedDocument{}
		return exitYes, failure
	}
	_ = s.workOn(len(paths), "", true, func(i int) error {
		document.Modules[i].judge(signatures[i], candidates)
		return nil
	})
	return s.sayVerified(document, !c.Bool("all")), nil
}

// signature is what is kept of a module to verify it.
type signature struct {
	message *modsig.Message // nil when there is nothing to verify
	digests map[string][]byte
}

// verifiers are the certificates to check with. None at all is an error: nothing could be said.
func (s *session) verifiers(files []string, release string, document *verifyDocument) (candidates []*certs.Certificate, err error) {
	var found []machine.Found
	for _, file := range files {
		all, err := machine.CertificateFile(file)
		if err != nil {
			return nil, failed("%w", err)
		}
		for _, c := range all {
			found = append(found, machine.Found{Certificate: c, Where: "file:" + file})
		}
	}
	if len(files) == 0 {
		image, unseen := s.machine.CertificatesOf(release)
		stored, missed := s.machine.Certificates()
		found = image
		for _, f := range stored {
			if f.Where == "mok" || f.Where == machine.InShim {
				found = append(found, f)
			}
		}
		for _, n := range append(unseen, missed...) {
			document.missing(n.Source, n.Err)
		}
		if release == s.machine.Kernel().Release {
			found = s.inKeyrings(found)
		}
	}
	for _, f := range found {
		if slices.ContainsFunc(candidates, func(c *certs.Certificate) bool { return string(c.Raw) == string(f.Certificate.Raw) }) {
			continue
		}
		candidates = append(candidates, f.Certificate)
		details := f.Certificate.Details()
		document.Certificates = append(document.Certificates, verifierDocument{details.Subject, details.KeyID, f.Where})
	}
	if len(candidates) == 0 {
		return nil, fmt.Errorf("%w: no certificate to check with was found: neither an image of kernel %s nor shim's list; --cert names one", errNoVerifier, release)
	}
	return candidates, nil
}

var errNoVerifier = errors.New("cannot tell")

// inKeyrings leaves the certificates of which the running kernel has the key in a keyring that it consults; all, where it does not show them.
func (s *session) inKeyrings(found []machine.Found) []machine.Found {
	rings, err := s.machine.Keyrings.Rings()
	if err != nil || len(rings) == 0 {
		return found
	}
	status := s.machine.Kernel()
	return slices.DeleteFunc(found, func(f machine.Found) bool {
		for _, ring := range rings {
			if trust.Consulted(rings, status, ring.Name()).Answer != evidence.Yes {
				continue
			}
			for _, key := range ring.Keys {
				if f.Certificate.MatchesName(key.Description) && f.Certificate.MatchesKeyID(key.Description) {
					return false
				}
			}
		}
		return true
	})
}

// read takes the signature and the digests out of a module, or gives the result when there is none to verify.
func (d *verifiedDocument) read(data []byte, err error) signature {
	result := func(word string, why error) signature {
		d.Result, d.Why = word, known(why.Error())
		return signature{}
	}
	if err != nil {
		return result("unreadable", err)
	}
	unpacked, err := modsig.Unpack(data, modsig.MaxModule)
	if err != nil {
		return result("unreadable", err)
	}
	payload, text, err := modsig.Split(unpacked.Module)
	switch {
	case errors.Is(err, modsig.ErrUnsigned) && unpacked.SignedOutside():
		return result("unsigned", errors.New("it was signed after it was compressed, where nothing looks"))
	case errors.Is(err, modsig.ErrUnsigned):
		return result("unsigned", err)
	case err != nil:
		return result("refused", err)
	}
	message, err := modsig.Decode(bytes.Clone(text)) // the next module comes into the same memory
	switch {
	case errors.Is(err, modsig.ErrNotDER), errors.Is(err, modsig.ErrUnsupported):
		return result("unsupported", err)
	case err != nil:
		return result("refused", err)
	}
	return signature{message, message.Digests(payload)}
}

// judge gives the result of a module that has a signature.
func (d *verifiedDocument) judge(s signature, candidates []*certs.Certificate) {
	if s.message == nil {
		return
	}
	r := s.message.VerifyDigests(s.digests, candidates)
	d.Signer, d.Result = describeSigner(&s.message.Signers[r.Signer]), strings.ReplaceAll(r.Outcome.String(), " ", "-")
	if r.Outcome == modsig.Valid {
		d.KeyID = known(r.Key.Details().KeyID)
	}
	if r.Err != nil {
		d.Why = known(r.Err.Error())
	}
}

// sayVerified counts, and names what is not valid; what was named by the user is named again.
func (s *session) sayVerified(document *verifyDocument, each bool) int {
	code := exitYes
	for _, m := range document.Modules {
		document.Counts[m.Result]++
		code = worse(code, verifyResults[m.Result])
		if m.Result == "valid" && !each {
			continue
		}
		line := printable.Text(m.Path) + ": " + strings.ReplaceAll(m.Result, "-", " ")
		if m.Signer != nil {
			line += ", signed with " + m.Signer.Algorithm + " and " + m.Signer.Hash + " by " + printable.Text(m.Signer.String())
		}
		if m.Why != nil {
			line += ": " + printable.Text(*m.Why)
		}
		s.say("%s", line)
	}
	var words []string
	for _, word := range []string{"valid", "unsigned", "unknown-key", "wrong", "refused", "unsupported", "unreadable"} {
		if n := document.Counts[word]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, strings.ReplaceAll(word, "-", " ")))
		}
	}
	if !each || len(document.Modules) > 1 {
		s.say("%s: %s", count(len(document.Modules), "module", "modules"), strings.Join(words, ", "))
	}
	if len(document.NotSeen) > 0 && len(document.Modules) == 0 {
		code = worse(code, exitUnsure)
	}
	return code
}
