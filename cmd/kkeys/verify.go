package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/modsig"
)

type verifyDocument struct {
	envelope
	Kernel       *string            `json:"kernel"` // the release whose keys and modules it is about
	Certificates []verifierDocument `json:"certificates"`
	Summary      map[string]int     `json:"summary"` // how many modules have each result
	Modules      []verifiedDocument `json:"modules"`
}

type verifierDocument struct {
	Subject string `json:"subject"`
	KeyID   string `json:"key_id"`
	Where   string `json:"where"`
}

type verifiedDocument struct {
	Path     string          `json:"path"`
	Result   string          `json:"result"` // see verifyResults
	Signer   *signerDocument `json:"signer"`
	KeyID    *string         `json:"key_id"` // of the certificate that verified it
	Hash     *string         `json:"hash"`   // of the signature
	SignedBy *certs.Details  `json:"signed_by"`
	Detail   *string         `json:"detail"` // why
}

// verifyResults are what can be said of a module, with the exit code of each.
var verifyResults = map[string]int{
	"valid": exitYes, "unsigned": exitNo, "unknown-key": exitNo, "invalid": exitNo, "altered": exitNo, "malformed": exitNo, "refused": exitNo,
	"unsupported": exitUnsure, "unreadable": exitFailed,
}

// results is their order.
var results = []string{"valid", "unsigned", "unknown-key", "invalid", "altered", "malformed", "refused", "unsupported", "unreadable"}

func (s *session) verify() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check the signatures of modules, by computing them",
		ArgsUsage: "[MODULE…]",
		Description: "Checks each signature with the keys of the running kernel: the certificates in its image, and those of shim's list, of which it\n" +
			"shows the keys in the keyrings that it consults. With --kernel the keys and, with --all, the modules of another release, with --cert\n" +
			"nothing but these certificates. A signature is valid when such a key made it over exactly these bytes. Blacklists are not looked at;\n" +
			"whether the running kernel takes the module is `kkeys trusted MODULE`, which asks it.\n\n" +
			"Results: valid; unsigned; unknown-key; invalid (changed, or another key of that name); altered (valid, but changed where no kernel\n" +
			"looks); malformed (a form that no kernel takes); refused (a key or hash that the kernel does not verify with); unsupported (cannot\n" +
			"be checked here); unreadable. Exit code 0: all valid; 1: one is not; 3: cannot tell, for which it is enough that a key or a folder was\n" +
			"not seen; 4: unreadable.",
		UsageText: "   kkeys verify driver.ko\n   kkeys verify --all --json\n   kkeys --root DIR verify --all --kernel 6.1.0-18-amd64",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "every module of the kernel: /lib/modules/RELEASE, with updates, extra, weak-updates", DisableDefaultText: true},
			&cli.StringFlag{Name: "initrd", Usage: "every module in the initramfs `FILE`"},
			&cli.StringFlag{Name: "kernel", Usage: "the kernel of this `RELEASE` instead of the running one"},
			&cli.StringSliceFlag{Name: "cert", Usage: "check with the certificates in `FILE` and no others"},
			&cli.BoolFlag{Name: "json-lines", Usage: "one JSON object a line for each module, then the document without them", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			document := &verifyDocument{Certificates: []verifierDocument{}, Summary: map[string]int{}, Modules: []verifiedDocument{}}
			s.json = s.json || c.Bool("json-lines")
			code, err := s.runVerify(c, document)
			if c.Bool("json-lines") {
				for _, m := range document.Modules {
					if lerr := s.encodeLine(m); lerr != nil && err == nil {
						err = failed("%s: %w", m.Path, lerr)
					}
				}
				document.Modules = []verifiedDocument{}
			}
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
	if release == "" && c.Bool("all") {
		return exitYes, usage("--all: no kernel is running below the root: name its release with --kernel")
	}
	document.Kernel = known(release)
	v := &verifiers{session: s, release: release, ofKernel: c.IsSet("kernel") || !c.IsSet("cert"), lacks: map[string]error{}}
	err := v.verify(c.StringSlice("cert"), document, func(processors turns) ([]signature, error) { return s.signatures(c, release, processors, document) })
	if err != nil {
		return exitYes, err
	}
	document.Certificates = v.documents()
	return s.sayVerified(document, v, c.NArg() > 0), nil
}

// verify gives the result of each module that read puts into the document, with the certificates in files, or those of the release. Unpacking the
// kernel's image takes as long as all digests: both at once, and, when all are read by then, no further than to the certificate
// that all are signed with; with one processor to its end.
func (v *verifiers) verify(files []string, document *verifyDocument, read func(turns) ([]signature, error)) error {
	var failure error
	var signatures []signature
	searched, done := make(chan struct{}), make(chan struct{})
	processors := make(turns, runtime.GOMAXPROCS(0)) // the search for certificates, which is the longest, has one for itself
	processors.take()
	enough := func(found []machine.Found, more bool) bool {
		select {
		case <-done:
		default:
			if more { // to wait would keep the decompressor's memory meanwhile, which is more than all the rest
				return false
			}
			processors.give()
			defer processors.take()
			<-done
		}
		v.use(found)
		v.session.judgeAll(signatures, v, document)
		return !slices.ContainsFunc(document.Modules, func(d verifiedDocument) bool { return d.Signer != nil && d.Result != "valid" })
	}
	go func() {
		defer close(searched)
		defer processors.give()
		failure = v.find(files, enough)
	}()
	signatures, err := read(processors)
	close(done)
	<-searched
	document.NotSeen = append(document.NotSeen, v.gaps.NotSeen...)
	if err == nil {
		err = failure
	}
	if err != nil {
		document.Modules = []verifiedDocument{}
		return err
	}
	v.session.judgeAll(signatures, v, document)
	v.settle(document.Modules)
	return nil
}

// settle leaves of the image's certificates none behind the last that all modules needed: how far the search went depends on which of the two was quicker.
func (v *verifiers) settle(modules []verifiedDocument) {
	used := map[string]bool{} // by SHA-256
	for _, m := range modules {
		switch {
		case m.Signer != nil && m.Result != "valid":
			return
		case m.SignedBy != nil:
			used[m.SignedBy.SHA256] = true
		}
	}
	last := slices.IndexFunc(v.found, func(f machine.Found) bool { return f.Where == machine.InKernelImage }) // where nothing is signed the first is enough
	needed := len(used)
	for i, f := range v.found {
		if details := v.details[f.Certificate]; details != nil && f.Where == machine.InKernelImage && used[details.SHA256] {
			last, needed = i, needed-1
		}
	}
	if last < 0 || needed > 0 { // others were needed, and the search went to the image's end
		return
	}
	behind := v.found[last+1:]
	v.found = append(v.found[:last+1:last+1], slices.DeleteFunc(slices.Clone(behind), func(f machine.Found) bool { return f.Where == machine.InKernelImage })...)
}

// judgeAll gives the result of every module that has a signature and is not known to be valid.
func (s *session) judgeAll(signatures []signature, v *verifiers, document *verifyDocument) {
	_ = s.workOn(work{pieces: len(signatures), keepGoing: true, piece: func(i int) error {
		if d := &document.Modules[i]; d.Result != "valid" {
			d.judge(signatures[i], v)
		}
		return nil
	}})
}

// judge gives the result of a module that has a signature.
func (d *verifiedDocument) judge(s signature, v *verifiers) {
	if s.message == nil {
		return
	}
	d.Detail, d.KeyID, d.SignedBy = nil, nil, nil // there may be more candidates than the last time
	r := s.message.VerifyDigests(s.digests, v.candidates)
	signer := s.message.Signers[r.Signer]
	d.Signer, d.Hash, d.Result = describeSigner(&signer), known(signer.Hash), verifyOutcomes[r.Outcome]
	if r.Err != nil {
		d.Detail = known(r.Err.Error())
	}
	if r.Outcome != modsig.Valid {
		return
	}
	d.SignedBy = v.details[r.Key]
	d.KeyID = known(d.SignedBy.KeyID)
	if why := v.refuses(r.Key, signer.Hash); why != nil {
		d.Result, d.Detail = "refused", known(why.Error())
	} else if !s.usual {
		d.Result, d.Detail = "altered", known("the signature is right, and in the bytes around it, which nobody signs and no kernel looks at, is something that no program writes")
	}
}

var verifyOutcomes = map[modsig.Outcome]string{modsig.Valid: "valid", modsig.UnknownKey: "unknown-key", modsig.Wrong: "invalid", modsig.Unsupported: "unsupported"}

// sayVerified counts, and names what is not valid; what was named by the user is named again.
func (s *session) sayVerified(document *verifyDocument, v *verifiers, each bool) int {
	code := exitYes
	for _, m := range document.Modules {
		document.Summary[m.Result]++
		own := verifyResults[m.Result]
		if m.Result == "unknown-key" && !v.all {
			own = exitUnsure
		}
		code = worse(code, own)
		if m.Result == "valid" && !each {
			continue
		}
		line := printable.Text(m.Path) + ": " + strings.ReplaceAll(m.Result, "-", " ")
		if m.Signer != nil {
			line += ", signed with " + m.Signer.Algorithm + " and " + m.Signer.Hash + " by " + printable.Text(m.Signer.String())
		}
		if m.Detail != nil {
			line += ": " + printable.Text(*m.Detail)
		}
		s.say("%s", line)
	}
	var words []string
	for _, word := range results {
		if n := document.Summary[word]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, strings.ReplaceAll(word, "-", " ")))
		}
	}
	if len(document.Modules) == 0 {
		document.missing("modules", errNoModule)
	}
	if !each || len(document.Modules) > 1 {
		s.say("%s: %s", count(len(document.Modules), "module", "modules"), strings.Join(words, ", "))
	}
	if slices.ContainsFunc(document.NotSeen, func(n notSeen) bool { return n.Source == "modules" }) {
		code = worse(code, exitUnsure)
	}
	return code
}

var errNoModule = errors.New("there is none")
