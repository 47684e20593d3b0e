package mok

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"kkeys/evidence"
)

// Answer is what became of one thing that kkeys asked for.
type Answer struct {
	Receipt Receipt
	// Asked is the certificate or hash of the receipt that it is about, nil for kinds that are about none.
	Asked *Asked
	Fate
}

// Answers tells what became of everything that kkeys asked for, the newest first. What was asked for again, or the other way round, or
// overtaken by a reset, is left out.
func (c Course) Answers() []Answer {
	type subject struct {
		about Kind
		sum   [sha256.Size]byte
	}
	seen := map[subject]bool{}
	var answers []Answer
	for i := len(c.Receipts) - 1; i >= 0; i-- {
		r := c.Receipts[i]
		if !r.Kind.listed() {
			if !seen[subject{about: r.Kind}] {
				seen[subject{about: r.Kind}] = true
				answers = append(answers, Answer{r, nil, c.other(r, nil)})
			}
			continue
		}
		list, reset := Enroll, Reset
		if r.Kind == Block || r.Kind == Unblock {
			list, reset = Block, ResetBlocked
		}
		for j := range r.Certificates {
			a := &r.Certificates[j]
			if seen[subject{about: reset}] || seen[subject{list, a.SHA256}] {
				continue
			}
			seen[subject{list, a.SHA256}] = true
			if r.Kind == Enroll {
				answers = append(answers, Answer{r, a, c.enrolling(a.SHA256).fate()})
			} else {
				answers = append(answers, Answer{r, a, c.other(r, a)})
			}
		}
	}
	return answers
}

// other is the fate of a receipt that is not about enrolling.
func (c Course) other(r Receipt, a *Asked) Fate {
	request, there := c.Pending.Request(r.Kind)
	if a != nil {
		there = there && holds(request.Lists, a.SHA256)
	} else if r.Wish != "" {
		there = there && request.Wish == r.Wish
	}
	known := r.Boot != "" && c.Boot != ""
	asked := "kkeys asked for it " + r.when()
	if there {
		f := Fate{Outcome: Waiting, Source: "efivars/" + request.Variable, Evidence: asked + ": confirm it in MokManager at the next boot"}
		switch {
		case r.Kind.listed() && request.Auth.Answer == evidence.No:
			f.Outcome, f.Evidence = Unconfirmable, asked+", but its password is missing or damaged: take the request back and ask again"
		case known && r.Boot != c.Boot:
			f.Outcome = WaitingStill
			f.Evidence = asked + ", in an earlier boot, and MokManager has not run since: the system was started without shim, or by kexec; or another program asked again"
			if r.Kind.resets() { // a password alone, which MokManager deletes only when it ends
				f.Evidence += "; or MokManager was cut short"
			}
		}
		return f
	}
	done, source := c.done(r, a)
	if done.Answer == evidence.Yes {
		return Fate{Done, "as kkeys asked " + r.when(), source}
	}
	f := Fate{Source: ReceiptsFile}
	auth, left := kindNames[r.Kind].auth, false
	means := "the request is gone, and its password is left"
	if reset, shared := resets[r.Kind]; shared { // a password that means something alone
		_, left = c.Pending.Request(reset)
		means += ", which means: erase the whole list"
	} else {
		left = slices.Contains(c.Pending.Orphans, auth)
	}
	switch {
	case done.Answer == evidence.Unknown:
		return Fate{Evidence: "cannot be told: " + done.Evidence + "; " + asked}
	case !known:
		f.Evidence = "cannot be told: " + asked + ", and whether the system was booted since is not known; it is not so, and not pending"
	case r.Boot == c.Boot:
		f.Outcome, f.Evidence = Withdrawn, asked+", in this boot, and it is no longer pending: another program took the request back"
	case left:
		f.Outcome, f.Source = Interrupted, "efivars/"+auth
		f.Evidence = asked + ", in an earlier boot; MokManager was cut short: " + means
	default:
		f.Outcome = Declined
		f.Evidence = asked + ", in an earlier boot, and it is neither so nor pending: it was declined, nobody pressed a key in time, the password was " +
			"wrong, MokManager was cut short (the power failed), the firmware could not store it, or it was undone again; which of these, nothing remembers"
	}
	return f
}

// since tells whether a certificate was asked for again after the newest reset of its list: it was gone then.
func (c Course) since(reset Kind, a Asked) bool {
	for _, r := range slices.Backward(c.Receipts) {
		if r.Kind == reset {
			return false
		}
		adds := r.Kind == Enroll && reset == Reset || r.Kind == Block && reset == ResetBlocked
		if adds && slices.ContainsFunc(r.Certificates, func(b Asked) bool { return b.SHA256 == a.SHA256 }) {
			return true
		}
	}
	return false
}

// done tells whether it is so, and where that was seen.
func (c Course) done(r Receipt, a *Asked) (evidence.Reading, string) {
	switch r.Kind {
	case Validation, UseDB, TrustList:
		now := c.State.Switch(r.Kind)
		if now.Answer != evidence.Unknown && (now.Answer == evidence.Yes) != (r.Wish == wishes[r.Kind][1]) {
			return evidence.Reading{Answer: evidence.No}, now.Source
		} else if now.Answer != evidence.Unknown {
			return evidence.Reading{Answer: evidence.Yes}, now.Source
		}
		return evidence.Reading{Evidence: why(now)}, ""
	case Password:
		if unread := c.unread(kindNames[Password].request); unread != "" {
			return evidence.Reading{Evidence: unread}, ""
		}
		return evidence.Reading{Evidence: "whether MokManager has a password cannot be seen from the operating system"}, ""
	}
	if gap := c.gap(r.Kind); gap != "" {
		return evidence.Reading{Evidence: gap}, ""
	}
	list := c.State.Enrolled
	if r.Kind == Block || r.Kind == Unblock || r.Kind == ResetBlocked {
		list = c.State.Blocked
	}
	so := false
	switch r.Kind {
	case Delete, Unblock:
		so = !holds(list.Lists, a.SHA256)
	case Block:
		so = holds(list.Lists, a.SHA256)
	case Reset, ResetBlocked:
		gone := 0
		for _, a := range r.Certificates {
			if !holds(list.Lists, a.SHA256) || c.since(r.Kind, a) {
				gone++
			}
		}
		if gone > 0 && gone < len(r.Certificates) {
			return evidence.Reading{Evidence: fmt.Sprintf("of %d entries that were to be erased %d are gone", len(r.Certificates), gone)}, ""
		}
		so = gone == len(r.Certificates) // none: it was asked for because the list was damaged, and now it is whole
	}
	if so {
		return evidence.Reading{Answer: evidence.Yes}, list.Source
	}
	return evidence.Reading{Answer: evidence.No}, list.Source
}
