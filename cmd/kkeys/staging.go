package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/mok"
)

// stagingDocument is what every command gives that stages something for MokManager.
type stagingDocument struct {
	envelope
	Wish      string            `json:"wish"` // in words: "enroll", "disable validation"
	DryRun    bool              `json:"dry_run"`
	Staged    bool              `json:"staged"`
	Requests  []requestDocument `json:"requests"`
	Writes    []writeDocument   `json:"writes"`
	Password  string            `json:"generated_password,omitempty"`
	Warnings  []string          `json:"warnings"`
	NextSteps []string          `json:"next_steps"`
}

// requestDocument is one certificate or hash.
type requestDocument struct {
	Path        string         `json:"path"`   // as named: a file, a key id, a hash
	Action      string         `json:"action"` // "staged", "would-stage", "already-enrolled", "already-pending", "refused"
	Certificate *certs.Details `json:"certificate"`
	Hash        *string        `json:"hash"`
	Why         *string        `json:"why"`
}

type writeDocument struct {
	Variable   string `json:"variable"`
	Attributes string `json:"attributes"`
	Size       int    `json:"size"`
}

// staging is one run of a command that stages something.
type staging struct {
	*session
	c        *cli.Context
	document *stagingDocument
	wish     mok.Wish
	asked    []mok.Asked // for the receipt
	question string
}

// stagingCommand makes a command that stages a wish. subjects reads the arguments into the wish; where it is nil there are none.
func (s *session) stagingCommand(command cli.Command, wish mok.Wish, question string, subjects func(*staging) error) *cli.Command {
	command.Flags = slices.Concat(command.Flags, passwordFlags(wish.Form()), []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "check and show what would be written, write nothing", DisableDefaultText: true},
		&cli.StringFlag{Name: "timeout", Usage: "let MokManager wait `SECONDS` for a key, -1 for ever", DefaultText: "10"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask whether to go on", DisableDefaultText: true},
	})
	command.Action = func(c *cli.Context) error {
		document := &stagingDocument{
			Wish: wish.String(), DryRun: c.Bool("dry-run"), Requests: []requestDocument{}, Writes: []writeDocument{}, Warnings: []string{}, NextSteps: []string{},
		}
		run := &staging{session: s, c: c, document: document, wish: wish, question: question}
		return s.finish(document, &document.envelope, exitYes, run.run(subjects))
	}
	return &command
}

// run checks everything before anything is written.
func (r *staging) run(subjects func(*staging) error) error {
	if err := r.checkPasswordFlags(r.c, r.wish.Form()); err != nil {
		return err
	}
	if r.c.IsSet("timeout") {
		narrow, err := seconds("--timeout", r.c.String("timeout"))
		if err != nil {
			return err
		}
		r.wish.Timeout = &narrow
	}
	if subjects != nil {
		if err := subjects(r); err != nil {
			return err
		}
	} else if r.c.NArg() > 0 {
		return usage("%s takes no arguments", r.command)
	}
	if err := r.look(); err != nil { // then nothing else can be told
		r.refuseAll(err)
		return err
	}
	facts := r.facts()
	plan, err := mok.NewPlan(facts, r.wish)
	if err != nil {
		return r.judge(err)
	}
	if err := r.mayStage(); err != nil {
		r.refuseAll(err)
		return err
	}
	for _, one := range facts.Erased(r.wish.Kind) { // it tells afterwards whether a reset was done
		r.asked = append(r.asked, mok.NewAsked(one.Signatures[0].Data, "", "", ""))
	}
	for _, text := range plan.Warnings {
		r.caution(text)
	}
	r.warnTPM(&r.document.Warnings, measured[r.wish.Kind])
	if r.document.DryRun {
		r.describe(plan)
		r.sayRequests("would be staged")
		r.sayPlan()
		return nil
	}
	return r.stage(plan)
}

// facts gathers all that the wish is judged by.
func (r *staging) facts() mok.Facts {
	chain, passed := r.machine.NextBoot()
	for _, entry := range passed {
		r.caution("boot order: " + entry)
	}
	if slices.Contains([]mok.Kind{mok.Block, mok.Delete, mok.Reset}, r.wish.Kind) || r.wish.Kind == mok.UseDB && !r.wish.On {
		var unseen []machine.NotSeen
		chain.Programs, unseen = r.machine.Started(chain)
		for _, gap := range unseen {
			r.caution(fmt.Sprintf("whether this machine starts with it cannot be told of %s: %v", gap.Source, gap.Err))
		}
	}
	return mok.ReadFacts(r.machine.Variables, r.machine.Files, chain, r.machine.Vendor())
}

// seconds reads those that MokTimeout can hold, in decimal: shim counts them in 16 bits.
func seconds(name, word string) (int32, error) {
	n, err := strconv.ParseInt(word, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, usage("%s %q: say how many seconds, in decimal; -1 is for ever", name, word)
	case err != nil || n < math.MinInt16 || n > math.MaxInt16:
		return 0, usage("%s %s: at most %d seconds", name, word, math.MaxInt16)
	}
	return int32(n), nil
}

// caution adds a warning to the document and, where that is not what is printed, says it at once.
func (r *staging) caution(text string) { r.session.caution(&r.document.Warnings, text) }

func (s *session) caution(warnings *[]string, text string) {
	*warnings = append(*warnings, text)
	if !s.json {
		s.warn(text)
	}
}

// stage asks, makes the password and carries the plan out.
func (r *staging) stage(plan *mok.Plan) error {
	before := r.course(&envelope{})
	secret, generated, err := r.confirm()
	if r.hold != nil { // else a request could be left without a receipt, or with a password that nobody has seen
		r.hold()
	}
	if err == nil {
		err = plan.Stage(r.machine.Variables, secret)
	}
	if err != nil {
		r.refuseAll(err)
		return err
	}
	for i := range r.document.Requests {
		r.document.Requests[i].Action = "staged"
	}
	r.document.Staged, r.document.Password = true, generated
	if generated != "" {
		r.unshown = fmt.Sprintf("the request is staged, and nobody has seen its password: take it back with `sudo kkeys cancel %s`", kindWord(r.wish.Kind))
	}
	r.keepReceipt(before)
	r.describe(plan)
	r.sayRequests("staged")
	if generated != "" {
		purpose := "Password to type at the next boot"
		if r.wish.Kind == mok.Password {
			purpose = "MokManager's own password, to type at the next boot and to keep"
		}
		r.say("\n%s, shown only now: %s", purpose, generated)
	}
	r.sayPlan()
	return nil
}

// confirm makes sure that it is wanted, and gets the password.
func (r *staging) confirm() (secret mok.Secret, generated string, err error) {
	if r.prompt != nil && !r.c.Bool("yes") {
		question := r.question
		if n := len(r.document.Requests); n > 0 {
			question = fmt.Sprintf(question, count(n, "key", "keys"))
		}
		answer, err := r.ask(fmt.Sprintf("Ask MokManager to %s at the next boot? [y/N] ", question), false)
		if err != nil {
			return nil, "", err
		}
		if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
			return nil, "", coded(exitNo, "not confirmed; nothing was staged")
		}
	}
	return r.secret(r.c, r.wish.Form(), r.caution)
}

// keepReceipt notes what was staged, so that after the reboot it can be told what became of it. The request is staged all the same: without a
// receipt only less can be told, so that this is no failure.
func (r *staging) keepReceipt(before mok.Course) {
	receipt := mok.NewReceipt(r.wish, time.Now(), r.machine.Kernel().BootID, r.asked...)
	err := r.machine.KeepReceipts(func(old []mok.Receipt) []mok.Receipt {
		return append(forget(old, before, func(a mok.Answer) bool { return passed(a, before) }), receipt)
	})
	if kept := len(receipt.Certificates); kept < len(r.document.Requests) {
		r.caution(fmt.Sprintf("what becomes of the first %d will be told, and not of the others", kept))
	}
	if err != nil {
		r.caution(fmt.Sprintf("staged, but without a receipt: kkeys will not be able to tell what became of it (%v)", err))
	}
}

// judge gives each request the reason that is its own, or those that are about none, and gives the reasons as errors that name the file.
func (r *staging) judge(err error) error {
	var refusal *mok.Refusal
	if !errors.As(err, &refusal) {
		r.refuseAll(err)
		return err
	}
	var reasons, general []error
	for _, reason := range refusal.Reasons {
		if reason.Subject < 0 {
			reasons, general = append(reasons, permission(reason)), append(general, reason)
			continue
		}
		request := &r.document.Requests[reason.Subject]
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
	refuseRest(r.document.Requests, general)
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
func (r *staging) refuseAll(err error) { refuse(r.document.Requests, err) }

func refuse(requests []requestDocument, err error) {
	for i := range requests {
		if requests[i].Why == nil {
			why := err.Error()
			requests[i].Action, requests[i].Why = "refused", &why
		}
	}
}

// refuseRest marks those of them for the reasons that are about none; without such a reason they are not done because of another.
func refuseRest(requests []requestDocument, general []error) {
	if len(general) > 0 {
		refuse(requests, several(general))
	}
	refuse(requests, errSubject)
}

func (r *staging) describe(plan *mok.Plan) {
	d := r.document
	for _, w := range plan.Writes {
		d.Writes = append(d.Writes, writeDocument{w.Name.String(), w.Attributes.String(), w.Size})
	}
	d.NextSteps = append(d.NextSteps, "reboot")
	if serial := r.machine.SerialConsole(); serial != "" {
		d.NextSteps = append(d.NextSteps, "without a screen: MokManager shows itself on the firmware's serial console too ("+serial+
			" here); the arrow keys move, carriage return (Enter) selects, and --timeout -1 makes it wait for you")
	}
	for _, screen := range plan.Screens {
		step := strings.TrimSuffix(screen.Title, ":") + ": " + screen.Do
		if len(screen.Items) > 0 {
			step = fmt.Sprintf("%s (%s): %s", screen.Title, strings.Join(screen.Items, " | "), screen.Do)
		}
		d.NextSteps = append(d.NextSteps, step)
	}
	d.NextSteps = append(d.NextSteps, "kkeys status")
}

func (r *staging) sayRequests(state string) {
	for _, q := range r.document.Requests {
		if q.Certificate != nil {
			r.say("%s: %s: %s, key id %s", printable.Text(q.Path), state, printable.Text(q.Certificate.Subject), q.Certificate.KeyID)
		} else {
			r.say("%s: %s", printable.Text(q.Path), state)
		}
	}
	if len(r.document.Requests) == 0 {
		r.say("%s: %s", r.document.Wish, state)
	}
}

func (r *staging) sayPlan() {
	r.say("\nVariables:")
	for _, w := range r.document.Writes {
		r.say("  %s  %s  %d bytes", w.Variable, w.Attributes, w.Size)
	}
	r.say("\nAt the next boot:")
	for i, step := range r.document.NextSteps {
		r.say("  %d. %s", i+1, step)
	}
}
