package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/mok"
)

type enrollDocument struct {
	envelope
	DryRun    bool              `json:"dry_run"`
	Requests  []requestDocument `json:"requests"`
	Writes    []writeDocument   `json:"writes"`
	Password  string            `json:"generated_password,omitempty"`
	Warnings  []string          `json:"warnings"`
	NextSteps []string          `json:"next_steps"`

	asked []mok.Asked // for the receipt
}

type requestDocument struct {
	Path        string         `json:"path"`
	Action      string         `json:"action"` // "staged", "would-stage", "already-enrolled", "already-pending", "refused"
	Certificate *certs.Details `json:"certificate"`
	Why         *string        `json:"why"`
}

type writeDocument struct {
	Variable   string `json:"variable"`
	Attributes string `json:"attributes"`
	Size       int    `json:"size"`
}

func (s *session) enroll() *cli.Command {
	return &cli.Command{
		Name:      "enroll",
		Usage:     "ask shim's MokManager to enroll certificates at the next boot",
		ArgsUsage: "CERT…",
		Description: "Stages a MOK enrolment in EFI variables, after looking for what would make it stop the next boot or be useless.\n" +
			"Whoever sits at the console confirms it at the next boot with a one-time password. Nothing is written\n" +
			"when anything speaks against it.",
		UsageText: "   kkeys enroll cert.der\n   kkeys enroll cert.pem --generate-password --timeout -1\n   kkeys enroll cert.der --dry-run",
		Flags: append(passwordFlags(),
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "check and show what would be written, write nothing", DisableDefaultText: true},
			&cli.IntFlag{Name: "timeout", Usage: "let MokManager wait `SECONDS` for a key, -1 for ever", DefaultText: "10"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask whether to go on", DisableDefaultText: true},
		),
		Action: func(c *cli.Context) error {
			document := &enrollDocument{
				DryRun: c.Bool("dry-run"), Requests: []requestDocument{}, Writes: []writeDocument{}, Warnings: []string{}, NextSteps: []string{},
			}
			return s.finish(document, &document.envelope, exitYes, s.runEnroll(c, document))
		},
	}
}

func (s *session) runEnroll(c *cli.Context, document *enrollDocument) error {
	if c.NArg() == 0 {
		return usage("no certificate named")
	}
	if err := s.checkPasswordFlags(c); err != nil {
		return err
	}
	enrolment := mok.Enrolment{}
	if c.IsSet("timeout") {
		seconds := c.Int("timeout")
		if seconds < math.MinInt16 || seconds > math.MaxInt16 {
			return usage("--timeout %d: at most %d seconds", seconds, math.MaxInt16)
		}
		narrow := int32(seconds)
		enrolment.Timeout = &narrow
	}
	if err := s.readRequests(c.Args().Slice(), document, &enrolment); err != nil {
		return err
	}
	chain, passed := s.machine.NextBoot()
	for _, entry := range passed {
		s.caution(document, "boot order: "+entry)
	}
	plan, err := mok.NewPlan(mok.ReadFacts(s.machine.Variables, s.machine.Files, chain), enrolment)
	if err != nil {
		return judgeRequests(document.Requests, err)
	}
	for _, text := range plan.Warnings {
		s.caution(document, text)
	}
	if s.machine.HasTPM() {
		s.caution(document, "enrolling changes TPM register 14: a disk whose key is bound to it will ask for its recovery key")
	}
	if document.DryRun {
		describePlan(document, plan)
		s.sayRequests(document, "would be staged")
		s.sayPlan(document)
		return nil
	}
	return s.stage(c, document, plan)
}

// caution adds a warning to the document and, where that is not what is printed, says it at once.
func (s *session) caution(document *enrollDocument, text string) {
	document.Warnings = append(document.Warnings, text)
	if !s.json {
		s.warn(text)
	}
}

// stage asks, makes the password record and carries the plan out.
func (s *session) stage(c *cli.Context, document *enrollDocument, plan *mok.Plan) error {
	if guarded, ok := s.machine.Variables.(efivars.Guarded); ok {
		if err := guarded.Writable(); err != nil {
			refuseAll(document.Requests, err)
			return err
		}
	}
	if s.prompt != nil && !c.Bool("yes") {
		answer, err := s.ask(fmt.Sprintf("Ask MokManager to enroll %s at the next boot? [y/N] ", count(len(document.Requests), "key", "keys")), false)
		if err == nil && !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
			err = coded(exitNo, "not confirmed; nothing was staged")
		}
		if err != nil {
			refuseAll(document.Requests, err)
			return err
		}
	}
	auth, generated, err := s.auth(c)
	if err != nil {
		refuseAll(document.Requests, err)
		return err
	}
	if err := plan.Stage(s.machine.Variables, auth); err != nil {
		refuseAll(document.Requests, err)
		return err
	}
	for i := range document.Requests {
		document.Requests[i].Action = "staged"
	}
	document.Password = generated
	s.keepReceipt(document)
	describePlan(document, plan)
	s.sayRequests(document, "staged")
	if generated != "" {
		s.say("\nPassword to type at the next boot, shown only now: %s", generated)
	}
	s.sayPlan(document)
	return nil
}

// keepReceipt notes what was staged, so that after the reboot it can be told what became of it. The request is staged all the same: without a
// receipt only less can be told, so that this is no failure.
func (s *session) keepReceipt(document *enrollDocument) {
	receipt := mok.NewReceipt(mok.Enroll, time.Now(), s.machine.Kernel().BootID, document.asked...)
	err := s.machine.KeepReceipts(func(old []mok.Receipt) []mok.Receipt { return append(old, receipt) })
	if err != nil {
		s.caution(document, fmt.Sprintf("staged, but without a receipt: kkeys will not be able to tell what became of it (%v)", err))
	}
}

// readRequests reads the certificate files. Each must hold exactly one certificate: MokManager would store anything.
func (s *session) readRequests(paths []string, document *enrollDocument, enrolment *mok.Enrolment) error {
	var failures []error
	for _, path := range paths {
		request := requestDocument{Path: path, Action: "refused"}
		found, err := machine.CertificateFile(path)
		switch {
		case err != nil && isDecoding(err):
			err = fmt.Errorf("%w: %w", errNotOne, err)
		case err != nil:
			err = failed("%w", err)
		case len(found) != 1:
			err = fmt.Errorf("%s: %w: it holds %d", path, errNotOne, len(found))
		}
		if err != nil {
			why := err.Error()
			request.Why = &why
			failures = append(failures, err)
		} else {
			details := found[0].Details()
			request.Certificate, request.Action = &details, "would-stage"
			enrolment.Certificates = append(enrolment.Certificates, found[0].Raw)
			document.asked = append(document.asked, mok.NewAsked(found[0].Raw, details.KeyID, details.Subject))
			s.warnUnfit(document, path, found[0])
		}
		document.Requests = append(document.Requests, request)
	}
	if len(failures) > 0 {
		refuseAll(document.Requests, errors.New("not staged because of another certificate"))
	}
	return several(failures)
}

// isDecoding tells bytes that are no certificate from a file that could not be read.
func isDecoding(err error) bool {
	for _, sentinel := range []error{certs.ErrEmpty, certs.ErrMalformed, certs.ErrTrailing, certs.ErrTooLarge, certs.ErrNotCertificate, certs.ErrPrivateKey} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// warnUnfit asks the running kernel whether it could use the certificate for modules at all, or, where it cannot be asked, what every kernel
// does. A certificate that is of no use for modules may still be meant for boot loaders, so this is no reason to refuse.
func (s *session) warnUnfit(document *enrollDocument, path string, c *certs.Certificate) {
	unfit := c.Refusal()
	if inquiry, err := s.machine.Keyrings.Ask(c.Raw); err == nil {
		unfit = inquiry.Refused
	}
	if unfit != nil {
		s.caution(document, fmt.Sprintf("%s: of no use for modules: %v", path, unfit))
	}
}

// judgeRequests gives each request the reason that is its own, or all reasons, and gives the reasons as errors that name the file.
func judgeRequests(requests []requestDocument, err error) error {
	var refusal *mok.Refusal
	if !errors.As(err, &refusal) {
		refuseAll(requests, err)
		return err
	}
	var reasons []error
	for _, reason := range refusal.Reasons {
		if reason.Certificate < 0 {
			reasons = append(reasons, permission(reason))
			continue
		}
		request := &requests[reason.Certificate]
		reasons = append(reasons, fmt.Errorf("%s: %w", request.Path, reason))
		why := reason.Error()
		request.Action, request.Why = "refused", &why
		switch {
		case errors.Is(reason, mok.ErrAlreadyEnrolled):
			request.Action = "already-enrolled"
		case errors.Is(reason, mok.ErrAlreadyPending):
			request.Action = "already-pending"
		}
	}
	refuseAll(requests, err)
	return several(reasons)
}

// permission marks a reason that another user would not have.
func permission(reason *mok.Reason) error {
	if errors.Is(reason, mok.ErrCannotTell) && (errors.Is(reason, efivars.ErrDenied) || errors.Is(reason, fs.ErrPermission)) {
		return fmt.Errorf("%w: %w", errUnread, reason)
	}
	return reason
}

// refuseAll marks the requests that have no reason of their own yet.
func refuseAll(requests []requestDocument, err error) {
	for i := range requests {
		if requests[i].Why == nil {
			why := err.Error()
			requests[i].Action, requests[i].Why = "refused", &why
		}
	}
}

func describePlan(document *enrollDocument, plan *mok.Plan) {
	for _, w := range plan.Writes {
		document.Writes = append(document.Writes, writeDocument{w.Name.String(), w.Attributes.String(), w.Size})
	}
	document.NextSteps = append(document.NextSteps, "reboot")
	for _, screen := range plan.Screens {
		step := screen.Title + ": " + screen.Do
		if len(screen.Items) > 0 {
			step = fmt.Sprintf("%s (%s): %s", screen.Title, strings.Join(screen.Items, " | "), screen.Do)
		}
		document.NextSteps = append(document.NextSteps, step)
	}
	document.NextSteps = append(document.NextSteps, "kkeys list .machine .platform")
}

func (s *session) sayRequests(document *enrollDocument, state string) {
	for _, r := range document.Requests {
		s.say("%s: %s: %s, key id %s", printable.Text(r.Path), state, printable.Text(r.Certificate.Subject), r.Certificate.KeyID)
	}
}

func (s *session) sayPlan(document *enrollDocument) {
	s.say("\nVariables:")
	for _, w := range document.Writes {
		s.say("  %s  %s  %d bytes", w.Variable, w.Attributes, w.Size)
	}
	s.say("\nAt the next boot:")
	for i, step := range document.NextSteps {
		s.say("  %d. %s", i+1, step)
	}
}
