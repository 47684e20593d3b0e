package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/trust"
)

type trustedDocument struct {
	envelope
	Subjects []subjectDocument `json:"subjects"`
}

type subjectDocument struct {
	Path        string         `json:"path"`
	Kind        string         `json:"kind"`
	Verdict     trust.Value    `json:"verdict"`
	Proof       *trust.Proof   `json:"proof"`
	Keyring     *string        `json:"keyring"`
	Certificate certs.Details  `json:"certificate"`
	Gates       []gateDocument `json:"gates"`
}

type gateDocument struct {
	Gate      string       `json:"gate"`
	Result    trust.Result `json:"result"`
	Evidence  string       `json:"evidence"`
	Source    string       `json:"source"`
	Forgeable string       `json:"forgeable_by,omitempty"`
	Fix       *string      `json:"fix"`
}

func (s *session) trusted() *cli.Command {
	return &cli.Command{
		Name:      "trusted",
		Usage:     "is this certificate trusted for modules by the running kernel",
		ArgsUsage: "CERT…",
		Description: "Asks the kernel itself: the certificate is put to keyrings of this process that take only what a key of the kernel's\n" +
			"keyrings vouches for. Every condition on the way is shown with what was seen.\n\n" +
			"Only exit code 0 is proof. As root each keyring is asked; an ordinary user may ask about .builtin_trusted_keys and\n" +
			".secondary_trusted_keys with all that it links, and gets 3 where the answer hangs on what only root can see.",
		Action: func(c *cli.Context) error {
			document := &trustedDocument{Subjects: []subjectDocument{}}
			code, err := s.runTrusted(c.Args().Slice(), document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runTrusted(paths []string, document *trustedDocument) (int, error) {
	if len(paths) == 0 {
		return exitYes, usage("no certificate named")
	}
	facts := trust.Facts{Kernel: s.machine.Kernel()}
	facts.Rings, facts.RingsErr = s.machine.Keyrings.Rings()
	if facts.RingsErr != nil {
		document.missing("keyrings", facts.RingsErr)
	}
	code := exitYes
	var failures []error
	for _, path := range paths {
		certificates, err := machine.CertificateFile(path)
		if err != nil {
			failures = append(failures, failed("%w", err))
			continue
		}
		for _, certificate := range certificates {
			facts.Certificate = certificate
			facts.Inquiry, facts.InquiryErr = s.machine.Keyrings.Ask(certificate.Raw, trust.Questions(facts.Rings)...)
			if facts.InquiryErr != nil {
				document.missing("the kernel's answer", facts.InquiryErr)
			}
			verdict := trust.Judge(facts)
			subject := describeVerdict(path, certificate, verdict)
			code = worse(code, verdictCodes[verdict.Value])
			document.Subjects = append(document.Subjects, subject)
			if err := s.printVerdict(subject); err != nil {
				return code, err
			}
		}
	}
	return code, several(failures)
}

var verdictCodes = map[trust.Value]int{trust.Trusted: exitYes, trust.Untrusted: exitNo, trust.Unknown: exitUnsure}

func describeVerdict(path string, c *certs.Certificate, v trust.Verdict) subjectDocument {
	d := subjectDocument{Path: path, Kind: "certificate", Verdict: v.Value, Certificate: c.Details()}
	if v.Proof != "" {
		d.Proof = &v.Proof
	}
	if v.Keyring != "" {
		d.Keyring = &v.Keyring
	}
	for _, g := range v.Gates {
		gate := gateDocument{Gate: g.Name, Result: g.Result, Evidence: g.Evidence, Source: g.Source, Forgeable: g.Forgeable}
		if g.Fix != "" {
			fix := strings.ReplaceAll(g.Fix, "…", shellWord(path))
			gate.Fix = &fix
		}
		d.Gates = append(d.Gates, gate)
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
	case d.Proof == nil || d.Keyring == nil:
	case *d.Proof == trust.IDMatch:
		rest = fmt.Sprintf(", an entry of %s has its id (no proof)", *d.Keyring)
	default:
		rest = fmt.Sprintf(", %s (proof: %s)", *d.Keyring, *d.Proof)
	}
	s.say("%s: %s%s", printable.Text(d.Path), s.paint(color, string(d.Verdict)), printable.Text(rest))
	s.say("  %s, %s, key id %s", printable.Text(d.Certificate.Subject), algorithm(d.Certificate), d.Certificate.KeyID)
	var rows [][]string
	for _, g := range d.Gates {
		rows = append(rows, []string{string(g.Result), g.Gate, g.Evidence})
	}
	if err := table(s.out, nil, rows); err != nil {
		return failed("table: %w", err)
	}
	for _, g := range d.Gates {
		if g.Fix != nil && d.Verdict != trust.Trusted {
			s.say("  fix: %s", printable.Text(*g.Fix))
			break
		}
	}
	return nil
}

// shellWord quotes a word for a shell, so that a hint can be pasted.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
