package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/keyring"
	"kkeys/mok"
	"kkeys/trust"
)

// answerDocument is what became of one thing that kkeys asked of MokManager.
type answerDocument struct {
	Kind    string    `json:"kind"`
	Wish    *string   `json:"wish"`
	Subject *string   `json:"subject"` // the certificate's name, or the hash
	KeyID   *string   `json:"key_id"`
	SHA256  *string   `json:"sha256"` // of the certificate or hash
	Asked   time.Time `json:"asked"`
	Outcome string    `json:"outcome"`
	Keyring *string   `json:"keyring"` // of the running kernel, that an enrolled certificate is in
	Why     string    `json:"why"`
	Fix     *string   `json:"fix"`
}

// answered are the stable words for what became of a request.
var answered = map[mok.Outcome]string{
	mok.Unknown: "unknown", mok.NotAsked: "not-asked", mok.Enrolled: "enrolled", mok.Done: "done", mok.Waiting: "waiting", mok.WaitingStill: "still-waiting",
	mok.Unconfirmable: "not-confirmable", mok.Declined: "not-confirmed", mok.Interrupted: "interrupted", mok.Withdrawn: "withdrawn",
}

// Besides mok's outcomes: what is enrolled counts only once the kernel has loaded it.
const (
	answerLoaded    = "enrolled-and-loaded"
	answerNotLoaded = "enrolled-not-loaded"
)

// course gathers what the fates of requests are drawn from.
func (s *session) course(e *envelope) mok.Course {
	c := mok.Course{State: mok.ReadState(s.machine.Variables, s.machine.Files), Pending: mok.ReadPending(s.machine.Variables), Boot: s.machine.Kernel().BootID}
	if c.Receipts, c.Unread = s.machine.Receipts(); c.Unread != nil {
		e.missing("receipts", c.Unread)
	}
	return c
}

// answers tells what became of all that kkeys asked for.
func (s *session) answers(c mok.Course) []answerDocument {
	documents := []answerDocument{}
	var facts *trust.Facts
	for _, a := range c.Answers() {
		d := answerDocument{Kind: a.Receipt.Kind.String(), Wish: known(a.Receipt.Wish), Asked: a.Receipt.Time, Outcome: answered[a.Outcome], Why: a.Evidence}
		if a.Asked != nil {
			d.Subject, d.KeyID, d.SHA256 = known(a.Asked.Name), known(a.Asked.KeyID), known(hex.EncodeToString(a.Asked.SHA256[:]))
		}
		switch a.Outcome {
		case mok.Enrolled:
			if facts == nil {
				gathered := s.gather(proof{hash: "sha256"}, &trustedDocument{})
				facts = &gathered
			}
			s.loaded(&d, a, c.State.Enrolled, *facts)
		case mok.Declined, mok.Withdrawn:
			d.Fix = known(s.again(a))
		case mok.Unconfirmable, mok.Interrupted:
			d.Fix = known(fixes[trust.MendCancel])
		case mok.Waiting, mok.WaitingStill:
			d.Fix = known(fixes[trust.MendConfirm])
		}
		documents = append(documents, d)
	}
	return documents
}

// loaded tells whether the kernel has an enrolled certificate, and if not, which gate of the verdict is in the way.
func (s *session) loaded(d *answerDocument, a mok.Answer, list mok.List, facts trust.Facts) {
	at := slices.IndexFunc(list.Certificates(), func(der []byte) bool { return sha256.Sum256(der) == a.Asked.SHA256 })
	if at < 0 { // a hash, which only shim uses
		return
	}
	c, err := certs.ParseDER(list.Certificates()[at])
	if err != nil {
		d.Outcome, d.Why = answerNotLoaded, err.Error()
		return
	}
	s.inquire(&facts, c)
	verdict := trust.Judge(facts)
	if verdict.Keyring != "" {
		d.Outcome, d.Keyring = answerLoaded, &verdict.Keyring
		return
	}
	if verdict.Value != trust.Untrusted {
		d.Why += "; whether the kernel has loaded it cannot be told" + s.whyUntold(facts, verdict)
		return
	}
	d.Outcome = answerNotLoaded
	for _, g := range verdict.Gates {
		if g.Result == trust.Fail && !g.Decides {
			d.Why, d.Fix = "enrolled, but the kernel has not loaded it: "+g.Evidence, known(s.fix(g.Mend, asked{}))
			return
		}
	}
	d.Why = "enrolled, but the kernel has not loaded it, and nothing that can be seen says why: its log may (dmesg)"
}

// whyUntold says why the kernel's keyrings do not tell of a certificate, and who can see more.
func (s *session) whyUntold(facts trust.Facts, verdict trust.Verdict) string {
	switch {
	case errors.Is(facts.RingsErr, keyring.ErrNotVisible) && !s.elsewhere:
		return " by an ordinary user: `sudo kkeys status` tells"
	case facts.RingsErr != nil:
		return ": " + facts.RingsErr.Error()
	}
	for _, g := range verdict.Gates {
		if g.Result == trust.ResultUnknown && g.Decides {
			return ": " + g.Evidence
		}
	}
	return ""
}

// again is the command that asks once more; empty when it cannot be made.
func (s *session) again(a mok.Answer) string {
	blocklist := ""
	if a.Receipt.Kind == mok.Block || a.Receipt.Kind == mok.Unblock {
		blocklist = "mok blocklist "
	}
	adds := a.Receipt.Kind == mok.Enroll || a.Receipt.Kind == mok.Block
	onOff := "off"
	if a.Receipt.Wish == (mok.Wish{Kind: a.Receipt.Kind, On: true}).String() {
		onOff = "on"
	}
	words := ""
	switch a.Receipt.Kind {
	case mok.Reset:
		words = "mok reset"
	case mok.ResetBlocked:
		words = "mok blocklist reset"
	case mok.Validation:
		words = "mok validation " + onOff
	case mok.UseDB:
		words = "mok use-db " + onOff
	case mok.TrustList:
		words = "mok trust " + onOff
	case mok.Password:
		words = map[string]string{"on": "mok password", "off": "mok clear-password"}[onOff]
	default:
		hash, isHash := hexOf(*a.Asked)
		switch {
		case isHash && blocklist == "":
			blocklist = "mok "
			fallthrough
		case isHash:
			words = blocklist + "hash " + map[bool]string{true: "enroll ", false: "delete "}[adds] + hash
		case !adds:
			words = blocklist + "unenroll " + hex.EncodeToString(a.Asked.SHA256[:8])
		default:
			file := s.fileOf(*a.Asked)
			if file == "" {
				return ""
			}
			words = blocklist + "enroll " + argument(file)
		}
	}
	return "sudo kkeys " + words
}

// fileOf is the file that a certificate came from, or where a tool on this machine keeps it; empty when it is in none.
func (s *session) fileOf(a mok.Asked) string {
	if a.File != "" && !strings.HasPrefix(a.File, "/dev/") { // receipts used to name pipes too
		return a.File
	}
	for _, found := range s.machine.ToolCertificates() {
		if sha256.Sum256(found.Certificate.Raw) == a.SHA256 {
			return strings.TrimPrefix(found.Where, "file:")
		}
	}
	return ""
}

// sayAnswers prints them; what is done and well is left to `kkeys list`.
func (s *session) sayAnswers(answers []answerDocument) {
	for _, a := range answers {
		what := a.Kind
		if a.Wish != nil {
			what = *a.Wish
		}
		if a.Subject != nil {
			what += " " + *a.Subject
		}
		outcome := strings.ReplaceAll(a.Outcome, "-", " ")
		if a.Keyring != nil {
			outcome += " (" + *a.Keyring + ")"
		}
		s.say("asked to %s: %s: %s", printable.Text(what), outcome, printable.Text(a.Why))
		if a.Fix != nil {
			s.sayFix(*a.Fix)
		}
	}
}

// settle forgets what was asked for in kinds whose requests were taken back, and what nobody confirmed: nobody will be asked about it any more,
// and it shall not be told for ever. What was done is kept, and what another program took back in this boot. taken are the kinds of which a request was
// there: what could not be read of it makes no difference to what was asked for in this boot.
func (s *session) settle(kinds, taken []mok.Kind, before mok.Course) error {
	return s.machine.KeepReceipts(func(old []mok.Receipt) []mok.Receipt {
		return forget(old, before, func(a mok.Answer) bool {
			kept := slices.Contains([]mok.Outcome{mok.Enrolled, mok.Done, mok.Unknown, mok.NotAsked, mok.Withdrawn}, a.Outcome)
			unread := a.Outcome == mok.Unknown && slices.Contains(taken, a.Receipt.Kind) && a.Receipt.Boot != "" && a.Receipt.Boot == before.Boot
			return slices.Contains(kinds, a.Receipt.Kind) && (!kept || unread || passed(a, before))
		})
	})
}

// forget takes out the receipts whose answers are such.
func forget(receipts []mok.Receipt, before mok.Course, such func(mok.Answer) bool) []mok.Receipt {
	for _, a := range before.Answers() {
		if !such(a) {
			continue
		}
		var sums [][sha256.Size]byte
		if a.Asked != nil {
			sums = append(sums, a.Asked.SHA256)
		}
		receipts = mok.Forget(receipts, a.Receipt.Kind, sums)
	}
	return receipts
}

// passed: a request about MokManager's own password from an earlier boot, of which nobody will ever know more.
func passed(a mok.Answer, c mok.Course) bool {
	return a.Receipt.Kind == mok.Password && a.Outcome == mok.Unknown && a.Receipt.Boot != "" && c.Boot != "" && a.Receipt.Boot != c.Boot
}

// kindWord is a kind as `kkeys cancel` takes it.
func kindWord(k mok.Kind) string { return strings.ReplaceAll(k.String(), " ", "-") }

// kindsOf reads kinds of requests as `kkeys pending` writes them; a space may be a dash.
func kindsOf(words []string) (kinds []mok.Kind, err error) {
	var names []string
	for _, k := range mok.Kinds() {
		names = append(names, kindWord(k))
	}
	var unknown []error
	for _, word := range words {
		at := slices.Index(names, strings.ReplaceAll(strings.ToLower(word), " ", "-"))
		if at < 0 {
			unknown = append(unknown, usage("%q is no kind of request: %s", word, strings.Join(names, ", ")))
			continue
		}
		kinds = append(kinds, mok.Kind(at))
	}
	return kinds, errors.Join(several(unknown))
}
