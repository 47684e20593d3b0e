package mok

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"kkeys/efivars"
	"kkeys/evidence"
)

// Outcome is what became of a request.
type Outcome int

// The outcomes. Unknown is the zero value, so that what nobody looked at is not taken for an answer.
const (
	// Unknown: shim's lists, the requests or the receipts could not be read, or the boot is not known where it matters.
	Unknown Outcome = iota
	// NotAsked: neither enrolled nor pending, and kkeys did not ask for it.
	NotAsked
	// Enrolled: in MokListRT, whoever asked for it.
	Enrolled
	// Done: what was asked for besides enrolling is so: deleted, blocked, switched.
	Done
	// Waiting: in MokNew; MokManager will offer it at the next boot. Asked for in this boot, or by another program.
	Waiting
	// WaitingStill: in MokNew since an earlier boot, so that the system was started since without MokManager.
	WaitingStill
	// Unconfirmable: in MokNew, but its password is missing or damaged: MokManager will not enroll it.
	Unconfirmable
	// Declined: asked for in an earlier boot, and neither pending nor enrolled.
	Declined
	// Interrupted: like Declined, but the request's password is still there: MokManager was cut short. What is left means: erase all keys.
	Interrupted
	// Withdrawn: asked for in this very boot, and neither pending nor enrolled.
	Withdrawn
)

// String is the outcome in words, as in "not asked for" or "still waiting".
func (o Outcome) String() string {
	return [...]string{"unknown", "not asked for", "enrolled", "done", "waiting", "still waiting", "not confirmable", "not confirmed", "interrupted", "withdrawn"}[o]
}

// Fate is an outcome with what it rests on.
type Fate struct {
	Outcome Outcome
	// Evidence is what was seen and what it means, in a sentence without a full stop.
	Evidence string
	// Source is where it was seen: "mok-variables/MokListRT", "efivars/MokNew", or [ReceiptsFile]; empty when nothing could be.
	Source string
}

// ReceiptsFile is where receipts are kept, on every machine.
const ReceiptsFile = "/var/lib/kkeys/receipts.json"

// Course is what fates are drawn from: the receipts, the oldest first, what shim left at boot, what waits for MokManager, and the boot_id of
// the running kernel.
type Course struct {
	Receipts []Receipt
	// Unread says why the receipts are not known, nil when they are.
	Unread  error
	State   State
	Pending Pending
	// Boot is empty when it is not known.
	Boot string
}

// Fate tells what became of a certificate, given as DER, as far as enrolling it goes. Of the receipts about it the last counts. Receipts can
// be forged by root alone, as can the requests.
func (c Course) Fate(der []byte) Fate { return c.enrolling(sha256.Sum256(der)).fate() }

func (c Course) enrolling(sum [sha256.Size]byte) enrolling {
	e := enrolling{Course: c, sum: sum}
	e.asked, e.overtaken = newest(c.Receipts, sum)
	return e
}

// newest finds the last receipt about a certificate: asked when that was to enroll it, overtaken when it was to delete it, or all keys.
func newest(receipts []Receipt, sum [sha256.Size]byte) (asked, overtaken *Receipt) {
	for i := len(receipts) - 1; i >= 0; i-- {
		r := &receipts[i]
		names := slices.ContainsFunc(r.Certificates, func(a Asked) bool { return a.SHA256 == sum })
		switch {
		case r.Kind == Enroll && names:
			return r, nil
		case r.Kind == Reset || r.Kind == Delete && names:
			return nil, r
		}
	}
	return nil, nil
}

// enrolling is the course of one certificate into MokList.
type enrolling struct {
	Course
	sum              [sha256.Size]byte
	asked, overtaken *Receipt
}

// holds tells whether lists have the certificate or hash with this sum.
func holds(lists []efivars.SignatureList, sum [sha256.Size]byte) bool {
	for _, l := range lists {
		for _, s := range l.Signatures {
			if sha256.Sum256(s.Data) == sum {
				return true
			}
		}
	}
	return false
}

func (c enrolling) fate() Fate {
	if holds(c.State.Enrolled.Lists, c.sum) {
		return Fate{Outcome: Enrolled, Source: c.State.Enrolled.Source, Evidence: "enrolled" + c.byWhom() + c.endangered()}
	}
	request, there := c.Pending.Request(Enroll)
	if there && holds(request.Lists, c.sum) {
		return c.waiting(request)
	}
	if gap := c.gap(Enroll); gap != "" {
		return Fate{Evidence: "cannot be told: " + gap + c.toldBy()}
	}
	return c.gone()
}

// byWhom tells whether kkeys asked for what is enrolled.
func (c enrolling) byWhom() string {
	switch {
	case c.asked != nil:
		return ", as kkeys asked " + c.asked.when()
	case c.overtaken != nil:
		return fmt.Sprintf("; kkeys asked %s to %s", c.overtaken.when(), removal(c.overtaken.Kind))
	case c.Unread != nil:
		return "; whether kkeys asked for it is not known: " + c.Unread.Error()
	}
	return "; kkeys has no receipt for it: it is shim's own, or another program asked for it, or the receipt is gone"
}

// endangered tells of a pending request that would take an enrolled certificate away.
func (c enrolling) endangered() string {
	if r, there := c.Pending.Request(Delete); there && holds(r.Lists, c.sum) {
		return "; a request to delete it waits for MokManager"
	}
	if _, there := c.Pending.Request(Reset); there {
		return "; a request to erase all keys of MokList waits for MokManager"
	}
	return ""
}

func removal(k Kind) string {
	if k == Reset {
		return "erase all keys of MokList"
	}
	return "delete it"
}

// waiting: it is in MokNew. Since when, only receipt and boot_id tell.
func (c enrolling) waiting(r Request) Fate {
	f := Fate{Outcome: Waiting, Source: "efivars/" + r.Variable}
	next := ": confirm it in MokManager at the next boot"
	switch {
	case c.asked == nil && c.Unread != nil:
		f.Evidence = "it is pending; whether kkeys asked for it is not known (" + c.Unread.Error() + ")"
	case c.asked == nil:
		f.Evidence = "another program asked for it, or the receipt is gone"
	case c.Boot == "" || c.asked.Boot == "":
		f.Evidence = "kkeys asked for it " + c.asked.when() + ", in which boot is not known"
	case c.asked.Boot == c.Boot:
		f.Evidence = "kkeys asked for it " + c.asked.when() + ", in this boot"
	default:
		f.Outcome, next = WaitingStill, ""
		f.Evidence = "kkeys asked for it " + c.asked.when() + ", in an earlier boot, and MokManager has not run since: the system was started without " +
			"shim, or by kexec; or another program asked again"
	}
	if r.Auth.Answer == evidence.No {
		f.Outcome, next = Unconfirmable, "; but its password is missing or damaged, and MokManager will not enroll it: take the request back and ask again"
	}
	f.Evidence += next
	return f
}

// gap is why it cannot be said that something is neither in the list that a kind is about nor pending; empty when it can.
func (c Course) gap(k Kind) string {
	var gaps []string
	if unread := c.unread(kindNames[k].request); unread != "" {
		gaps = append(gaps, "what waits for MokManager could not be read: "+unread)
	}
	if r, _ := c.Pending.Request(k); r.Err != nil {
		gaps = append(gaps, "the pending request is damaged: "+r.Err.Error())
	}
	l, list := c.State.Enrolled, "MokList"
	if k == Block || k == Unblock || k == ResetBlocked {
		l, list = c.State.Blocked, "MokListX"
	}
	switch {
	case !l.Seen() && c.State.Shim.Answer == evidence.No:
		gaps = append(gaps, "this system was not booted through shim, and without it "+list+" is not shown")
	case !l.Seen():
		gaps = append(gaps, list+"RT could not be read")
	case l.Err != nil:
		gaps = append(gaps, list+" is damaged, and what comes after the damage is not shown: "+l.Err.Error())
	}
	return strings.Join(gaps, "; ")
}

// unread tells why a request variable could not be read; empty when it was.
func (c Course) unread(name string) string {
	for _, g := range c.Pending.NotSeen {
		if g.Source == "efivars/"+name {
			return g.String()
		}
	}
	return ""
}

// toldBy adds the receipt to a fate that cannot be told.
func (c enrolling) toldBy() string {
	if c.asked == nil {
		return ""
	}
	return "; kkeys asked for it " + c.asked.when()
}

// gone: it is neither enrolled nor pending.
func (c enrolling) gone() Fate {
	f := Fate{Source: ReceiptsFile}
	_, left := c.Pending.Request(Reset)
	switch {
	case c.asked == nil && c.overtaken != nil:
		f.Outcome = NotAsked
		f.Evidence = fmt.Sprintf("neither enrolled nor pending; the last that kkeys asked for, %s, was to %s", c.overtaken.when(), removal(c.overtaken.Kind))
	case c.asked == nil && c.Unread != nil:
		f.Evidence = "neither enrolled nor pending; whether it was asked for cannot be told: " + c.Unread.Error()
	case c.asked == nil:
		f.Outcome, f.Evidence = NotAsked, "neither enrolled nor pending, and kkeys has no receipt of asking for it"
	case c.Boot == "" || c.asked.Boot == "":
		f.Evidence = "cannot be told: kkeys asked for it " + c.asked.when() + ", and whether the system was booted since is not known; it is neither enrolled nor pending"
	case c.asked.Boot == c.Boot:
		f.Outcome = Withdrawn
		f.Evidence = "kkeys asked for it " + c.asked.when() + ", in this boot, and it is no longer pending: another program took the request back; " +
			"or MokManager had it while the system was hibernated" + c.endangered()
	case left:
		f.Outcome = Interrupted
		f.Evidence = "kkeys asked for it " + c.asked.when() + ", in an earlier boot; MokManager was cut short, as when the power fails, or another program " +
			"asked to erase all keys: the request is gone, and the password that is left means erase all keys of MokList"
		f.Source = "efivars/" + kindNames[Reset].auth
	default:
		f.Outcome = Declined
		f.Evidence = "kkeys asked for it " + c.asked.when() + ", in an earlier boot, and it is neither enrolled nor pending: it was declined, nobody pressed a " +
			"key in time, the password was wrong, MokManager was cut short (the power failed) and its \"" + menu[Reset] + "\" was passed over at the boot after that, " +
			"the firmware could not store it, or it was enrolled and deleted again; which of these, nothing remembers"
		if unread := c.unread(kindNames[Reset].auth); unread != "" {
			f.Evidence += "; whether its password is left could not be read: " + unread
		}
	}
	return f
}

// when is the time of a receipt in a sentence.
func (r Receipt) when() string { return r.Time.Format("on 2006-01-02 at 15:04 UTC") }
