package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/mok"
	"kkeys/trust"
)

type trustedDocument struct {
	envelope
	Subjects []subjectDocument `json:"subjects"`
}

type subjectDocument struct {
	Path        string          `json:"path"`
	Kind        string          `json:"kind"`
	Verdict     trust.Value     `json:"verdict"`
	Proof       *trust.Proof    `json:"proof"`
	Keyring     *string         `json:"keyring"`
	Certificate *certs.Details  `json:"certificate"`
	Signer      *signerDocument `json:"signer"`
	Gates       []gateDocument  `json:"gates"`
}

type gateDocument struct {
	Gate      string       `json:"gate"`
	Result    trust.Result `json:"result"`
	Evidence  string       `json:"evidence"`
	Source    string       `json:"source"`
	Forgeable string       `json:"forgeable_by,omitempty"`
	Decides   bool         `json:"decides"`
	Fix       *string      `json:"fix"`
}

func (s *session) trusted() *cli.Command {
	return &cli.Command{
		Name:      "trusted",
		Usage:     "is this certificate, or the signer of this module, trusted for modules by the running kernel",
		ArgsUsage: "FILE…",
		Description: "Asks the kernel itself: the certificate is put to keyrings of this process that take only what a key of the kernel's\n" +
			"keyrings vouches for. Every condition on the way is shown with what was seen.\n\n" +
			"Only exit code 0 is proof. As root each keyring is asked; an ordinary user may ask about .builtin_trusted_keys and\n" +
			".secondary_trusted_keys with all that it links, and gets 3 where the answer hangs on what only root can see.",
		UsageText: "   kkeys trusted signing_key.x509\n   sudo kkeys trusted --prove --key MOK.priv MOK.der",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "prove", Usage: "ask the kernel with load probes: modules that can never load (root)", DisableDefaultText: true},
			&cli.StringFlag{Name: "key", Usage: "with --prove: sign a probe with the private key in `FILE` (PEM)"},
			&cli.StringFlag{Name: "hash", Usage: "the `HASH` that modules will be signed with; --prove probes with it", Value: "sha256"},
		},
		Action: func(c *cli.Context) error {
			document := &trustedDocument{Subjects: []subjectDocument{}}
			code, err := s.runTrusted(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runTrusted(c *cli.Context, document *trustedDocument) (int, error) {
	paths := c.Args().Slice()
	if len(paths) == 0 {
		return exitYes, usage("no file named")
	}
	proof, err := s.proofOf(c)
	if err != nil {
		return exitYes, err
	}
	facts := s.gather(proof, document)
	code := exitYes
	var failures []error
	for _, path := range paths {
		subjects, err := s.subjects(path, proof, facts, document)
		if err != nil {
			failures = append(failures, err)
		}
		for _, subject := range subjects {
			code = worse(code, verdictCodes[subject.Verdict])
			document.Subjects = append(document.Subjects, subject)
			if err := s.printVerdict(subject); err != nil {
				return code, err
			}
		}
	}
	return code, several(failures)
}

// subjects judges what a file holds: one module, or certificates. common is what is known for every subject.
func (s *session) subjects(path string, p proof, common trust.Facts, document *trustedDocument) ([]subjectDocument, error) {
	data, err := machine.ReadFile(path)
	if err != nil {
		return nil, failed("%w", err)
	}
	if machine.IsModule(data) {
		s.listAgain(&common)
		return s.judgeModule(path, data, p, common, document)
	}
	certificates, err := machine.DecodeCertificates(path, data)
	if err != nil {
		return nil, failed("%w", err)
	}
	var subjects []subjectDocument
	for _, certificate := range certificates {
		facts := common
		s.inquire(&facts, certificate)
		if facts.InquiryErr != nil {
			document.missing("the kernel's answer", facts.InquiryErr)
		}
		if err := s.prove(p, &facts); err != nil {
			return subjects, err
		}
		subjects = append(subjects, s.describeVerdict(asked{path, path, p.hash}, certificate, trust.Judge(facts)))
	}
	return subjects, nil
}

// gather collects what every verdict of this run needs.
func (s *session) gather(p proof, document *trustedDocument) trust.Facts {
	facts := trust.Facts{Kernel: s.machine.Kernel(), Today: time.Now().UTC().Format(time.DateOnly)}
	facts.Rings, facts.RingsErr = s.machine.Keyrings.Rings()
	if facts.RingsErr != nil {
		document.missing("keyrings", facts.RingsErr)
	}
	facts.Algorithms, _ = kernel.ReadAlgorithms(s.machine.Files) // unreadable: nothing is known to be registered
	facts.Hash = facts.Algorithms.Registered(p.hash)
	if efi := s.machine.EFI(); efi != evidence.No {
		state := mok.ReadState(s.machine.Variables, s.machine.Files)
		facts.Firmware, facts.Pending, facts.DBX = &state, mok.ReadPending(s.machine.Variables), mok.ReadFirmwareList(s.machine.Variables, efivars.DBX)
		if efi == evidence.Unknown { // what is not there was not seen
			document.missing("EFI", machine.ErrEFIUnseen)
			facts.DBX.Err, state.Blocked.Err = machine.ErrEFIUnseen, machine.ErrEFIUnseen
		}
	}
	if facts.Receipts, facts.ReceiptsErr = s.machine.Receipts(); facts.ReceiptsErr != nil {
		document.missing("receipts", facts.ReceiptsErr)
	}
	var found []machine.Found
	if value, _ := facts.Kernel.Config.Value("CHECK_CODESIGN_EKU"); value == "y" {
		found = s.certificates(document) // such a kernel looks into what it loaded, of which some is in its image
	} else {
		var unseen []machine.NotSeen
		found, unseen = s.machine.Certificates()
		for _, n := range unseen {
			document.missing(n.Source, n.Err)
		}
	}
	for _, f := range found {
		facts.Stored = append(facts.Stored, trust.Stored{Certificate: f.Certificate, Where: f.Where})
	}
	if p.wanted {
		facts.Platform = s.provePlatform(p.hash, found, facts.Rings, facts.Kernel)
	}
	return facts
}

// listAgain: a file that is a pipe can have kept us waiting, and the kernel's image takes long to search. Whoever knew what was listed before could
// change it until the kernel is asked.
func (s *session) listAgain(facts *trust.Facts) {
	facts.Rings, facts.RingsErr = s.machine.Keyrings.Rings()
}

// inquire asks the kernel about the certificate, about witnesses that name it, and about its namesakes.
func (s *session) inquire(facts *trust.Facts, c *certs.Certificate) {
	s.listAgain(facts)
	questions := trust.Questions(facts.Rings)
	facts.Certificate = c
	facts.Inquiry, facts.InquiryErr = s.machine.Keyrings.Ask(c.Raw, questions...)
	facts.Witnesses, facts.WitnessErr = map[certs.Lookup]*keyring.Inquiry{}, nil
	if facts.InquiryErr != nil {
		return
	}
	for _, by := range certs.Lookups {
		der, err := c.Witness(by)
		if err == nil {
			facts.Witnesses[by], err = s.machine.Keyrings.Ask(der, questions...)
		}
		if err != nil {
			facts.WitnessErr = err
		}
	}
	facts.Namesakes = trust.NamesakesOf(c, facts.Stored)
	for i, n := range facts.Namesakes {
		// What cannot be asked about one leaves it a name; it tells nothing of the keys then.
		facts.Namesakes[i].Inquiry, _ = s.machine.Keyrings.Ask(n.Certificate.Raw, questions...)
	}
}

var verdictCodes = map[trust.Value]int{trust.Trusted: exitYes, trust.Untrusted: exitNo, trust.Unknown: exitUnsure}

func (s *session) describeVerdict(about asked, c *certs.Certificate, v trust.Verdict) subjectDocument {
	if v.Warning != "" {
		s.warn(v.Warning)
	}
	d := subjectDocument{Path: about.path, Kind: "certificate", Verdict: v.Value}
	if c != nil {
		details := c.Details()
		d.Certificate = &details
	}
	if v.Proof != "" {
		d.Proof = &v.Proof
	}
	if v.Keyring != "" {
		d.Keyring = &v.Keyring
	}
	for _, g := range v.Gates {
		d.Gates = append(d.Gates, gateDocument{
			Gate: g.Name, Result: g.Result, Evidence: g.Evidence, Source: g.Source, Forgeable: g.Forgeable, Decides: g.Decides, Fix: known(s.fix(g.Mend, about)),
		})
	}
	return d
}

func (s *session) printVerdict(d subjectDocument) error {
	if s.json || s.quiet {
		return nil
	}
	color := map[trust.Value]string{trust.Trusted: green, trust.Untrusted: red, trust.Unknown: yellow}[d.Verdict]
	rest := ""
	switch {
	case d.Proof == nil:
	case d.Keyring == nil:
		rest = fmt.Sprintf(" (proof: %s)", *d.Proof)
	case *d.Proof == trust.IDMatch:
		rest = fmt.Sprintf(", an entry of %s has its id (no proof)", *d.Keyring)
	default:
		rest = fmt.Sprintf(", %s (proof: %s)", *d.Keyring, *d.Proof)
	}
	s.say("%s: %s%s", printable.Text(d.Path), s.paint(color, string(d.Verdict)), printable.Text(rest))
	if c := d.Certificate; c != nil {
		s.say("  %s, %s, key id %s", printable.Text(c.Subject), algorithm(*c), c.KeyID)
	}
	if d.Signer != nil {
		s.say("  signed with %s and %s by %s", d.Signer.Algorithm, d.Signer.Hash, printable.Text(d.Signer.String()))
	}
	var decide, explain [][]string
	for i, g := range d.Gates {
		row := []string{string(g.Result), g.Gate, g.Evidence}
		switch {
		case g.Decides:
			decide = append(decide, row)
		case i > 0 && d.Gates[i-1].Evidence == g.Evidence:
			// One reason for several gates; the document has each.
		default:
			explain = append(explain, row)
		}
	}
	if err := table(s.out, nil, decide); err != nil {
		return failed("table: %w", err)
	}
	s.say("what may explain it:")
	if err := table(s.out, nil, explain); err != nil {
		return failed("table: %w", err)
	}
	s.sayFixes(d)
	return nil
}

// sayFix gives a command. Pasted here it would mend this machine and not a recorded one.
func (s *session) sayFix(command string) {
	where := ""
	if s.elsewhere {
		where = " (on that machine)"
	}
	s.say("  fix%s: %s", where, pasted(command))
}

// sayFixes gives the commands that mend what stands in the way, in the order of the gates.
func (s *session) sayFixes(d subjectDocument) {
	if d.Verdict == trust.Trusted {
		return
	}
	said := map[string]bool{}
	for _, g := range d.Gates {
		if g.Fix != nil && !said[*g.Fix] {
			s.sayFix(*g.Fix)
			said[*g.Fix] = true
		}
	}
}
