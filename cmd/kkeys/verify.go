package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

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
	"valid": exitYes, "unsigned": exitNo, "unknown-key": exitNo, "wrong": exitNo, "altered": exitNo, "refused": exitNo, "unsupported": exitUnsure, "unreadable": exitFailed,
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
			"Results: valid; unsigned; unknown-key; wrong (changed, or another key of that name); altered (valid, but changed where no kernel\n" +
			"looks); refused (a form that no kernel takes); unsupported (cannot be checked here); unreadable. Exit code 0: all valid; 1: one is not; 3: cannot tell; 4: unreadable.",
		UsageText: "   kkeys verify driver.ko\n   kkeys verify --all --json\n   kkeys --root DIR verify --all --kernel 6.1.0-18-amd64",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "every module of the kernel: /lib/modules/RELEASE, with updates, extra, weak-updates", DisableDefaultText: true},
			&cli.StringFlag{Name: "initrd", Usage: "every module in the initramfs `FILE`"},
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
	ways := 0
	for _, given := range []bool{c.Bool("all"), c.IsSet("initrd"), c.NArg() > 0} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return exitYes, usage("modules by name, --all and --initrd exclude each other")
	case ways == 0:
		return exitYes, usage("no module named; --all is all of the kernel's, --initrd those of an initramfs")
	}
	release := c.String("kernel")
	if release == "" {
		release = s.machine.Kernel().Release
	}
	document.Kernel = known(release)
	// Unpacking the kernel's image takes as long as all digests: both at once, and no further than to the certificate that all are signed with.
	var candidates []*certs.Certificate
	var failure error
	var gaps envelope
	var signatures []signature
	searched, read := make(chan struct{}), make(chan struct{})
	processors := make(turns, runtime.GOMAXPROCS(0))
	processors.take()
	enough := func(found []machine.Found) bool {
		processors.give()
		defer processors.take()
		<-read
		return s.judgeAll(signatures, certificatesOf(found), document)
	}
	go func() {
		defer close(searched)
		defer processors.give()
		candidates, failure = s.verifiers(c.StringSlice("cert"), release, enough, &gaps, document)
	}()
	signatures, err := s.signatures(c, release, processors, document)
	close(read)
	<-searched
	document.NotSeen = append(document.NotSeen, gaps.NotSeen...)
	if err == nil {
		err = failure
	}
	if err != nil {
		document.Modules = []verifiedDocument{}
		return exitYes, err
	}
	s.judgeAll(signatures, candidates, document)
	return s.sayVerified(document, c.NArg() > 0), nil
}

// turns are as many as there are processors: the search for certificates, which is the longest, has one for itself.
type turns chan struct{}

func (t turns) take() { t <- struct{}{} }
func (t turns) give() { <-t }

// judgeAll gives the result of every module that has a signature and is not known to be valid, and tells whether all of them are now.
func (s *session) judgeAll(signatures []signature, candidates []*certs.Certificate, document *verifyDocument) bool {
	_ = s.workOn(work{pieces: len(signatures), keepGoing: true, piece: func(i int) error {
		if d := &document.Modules[i]; d.Result != "valid" {
			d.judge(signatures[i], candidates)
		}
		return nil
	}})
	return !slices.ContainsFunc(document.Modules, func(d verifiedDocument) bool { return d.Signer != nil && d.Result != "valid" })
}

func certificatesOf(found []machine.Found) (all []*certs.Certificate) {
	for _, f := range found {
		all = append(all, f.Certificate)
	}
	return all
}

// verifiers are the certificates to check with. None at all is an error: nothing could be said.
func (s *session) verifiers(files []string, release string, enough func([]machine.Found) bool, gaps *envelope, document *verifyDocument) (candidates []*certs.Certificate, err error) {
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
		counts := func(found []machine.Found) []machine.Found { return found }
		if release == s.machine.Kernel().Release {
			counts = s.inKeyrings
		}
		image, unseen := s.machine.CertificatesOf(release, func(found []*certs.Certificate) bool {
			var all []machine.Found
			for _, c := range found {
				all = append(all, machine.Found{Certificate: c, Where: machine.InKernelImage})
			}
			return enough(counts(all))
		})
		stored, missed := s.machine.Certificates()
		found = image
		for _, f := range stored {
			if f.Where == "mok" || f.Where == machine.InShim {
				found = append(found, f)
			}
		}
		for _, n := range append(unseen, missed...) {
			gaps.missing(n.Source, n.Err)
		}
		found = counts(found)
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

// judge gives the result of a module that has a signature.
func (d *verifiedDocument) judge(s signature, candidates []*certs.Certificate) {
	if s.message == nil {
		return
	}
	d.Why, d.KeyID = nil, nil // there may be more candidates than the last time
	r := s.message.VerifyDigests(s.digests, candidates)
	d.Signer, d.Result = describeSigner(&s.message.Signers[r.Signer]), strings.ReplaceAll(r.Outcome.String(), " ", "-")
	if r.Outcome == modsig.Valid {
		d.KeyID = known(r.Key.Details().KeyID)
	}
	if r.Err != nil {
		d.Why = known(r.Err.Error())
	}
	if r.Outcome == modsig.Valid && !s.usual {
		d.Result, d.Why = "altered", known("the signature is right, and in the bytes around it, which nobody signs and no kernel looks at, is something that no program writes")
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
	for _, word := range []string{"valid", "unsigned", "unknown-key", "wrong", "altered", "refused", "unsupported", "unreadable"} {
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
