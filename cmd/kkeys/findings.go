package main

import (
	"fmt"
	"slices"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/mok"
	"kkeys/trust"
)

// findingDoc is something that somebody must see to, under a stable id.
type findingDoc struct {
	ID      string  `json:"id"`
	Message string  `json:"message"`
	Fix     *string `json:"fix"`
}

func finding(id, message, fix string) findingDoc { return findingDoc{id, message, known(fix)} }

// requestFindings are those about shim's lists and what waits for MokManager.
func (s *session) requestFindings(c mok.Course, answers []answerDocument) (found []findingDoc) {
	find := func(id, message, fix string) { found = append(found, finding(id, message, fix)) }
	broken := "; what stands after the break is invisible, and only MokManager's reset cures it, which erases "
	if err := c.State.Enrolled.Err; err != nil {
		find("mok-list-corrupt", "shim's list of keys is corrupt"+broken+"every enrolled key: "+err.Error(), "sudo kkeys mok reset")
	}
	if err := c.State.Blocked.Err; err != nil {
		find("blocklist-corrupt", "shim's blocklist is corrupt"+broken+"what was added to it: "+err.Error(), "sudo kkeys mok blocklist reset")
	}
	for _, orphan := range c.Pending.Orphans {
		find("left-over-password", orphan+" is staged without a request", fixes[trust.MendCancel])
	}
	for _, r := range c.Pending.Requests {
		wanted := slices.ContainsFunc(answers, func(a answerDocument) bool { return a.Kind == r.Kind.String() && a.Outcome == answered[mok.Waiting] })
		told := slices.ContainsFunc(answers, func(a answerDocument) bool {
			return a.Kind == r.Kind.String() && a.Outcome == answered[mok.Unconfirmable]
		})
		switch {
		case (r.Kind == mok.Reset || r.Kind == mok.ResetBlocked) && !wanted:
			find("reset-pending", r.Variable+" alone asks MokManager to erase the whole list", fixes[trust.MendCancel])
		case r.Err != nil:
			find("pending-corrupt", r.Err.Error(), fixes[trust.MendCancel])
		case r.Auth.Answer == evidence.No && !told:
			find("pending-without-password", r.Variable+": its password is "+r.Auth.Evidence, fixes[trust.MendCancel])
		}
	}
	if err := c.Pending.TimeoutErr; err != nil {
		find("timeout-damaged", "what MokManager is to wait is damaged: "+err.Error(), "sudo kkeys mok timeout default")
	}
	if len(c.Pending.Requests) > 0 {
		found = append(found, s.bootFindings(c.Pending)...)
	}
	return found
}

// bootFindings tell what became of the way to MokManager since a request was staged, by whatever program.
func (s *session) bootFindings(p mok.Pending) (found []findingDoc) {
	chain, _ := s.machine.NextBoot()
	switch {
	case chain.IsShim.Answer == evidence.No:
		found = append(found, finding("other-loader-first", fmt.Sprintf("a request is pending, and the next boot does not go through shim: %s", chain.Loader), "efibootmgr -v"))
	case chain.HasManager.Answer == evidence.No:
		found = append(found, finding("mok-manager-missing",
			fmt.Sprintf("a request is pending, and shim cannot start MokManager (%s: %s): the machine will not get past shim", chain.Manager, chain.HasManager.Evidence), fixes[trust.MendCancel]))
	}
	if p.Trap() {
		found = append(found, finding("timeout-trap", fmt.Sprintf("MokManager is to wait %d seconds, with which a key pressed too early loses the request", *p.Timeout), "sudo kkeys mok timeout default"))
	}
	return found
}

// troubled are the outcomes that somebody must see to, and the findings that they make.
var troubled = map[string]string{
	answered[mok.WaitingStill]: "request-still-waiting", answered[mok.Unconfirmable]: "request-not-confirmable", answered[mok.Declined]: "request-not-confirmed",
	answered[mok.Interrupted]: "request-interrupted", answerNotLoaded: answerNotLoaded,
}

// answerFindings are those about requests.
func answerFindings(answers []answerDocument) (found []findingDoc) {
	for _, a := range answers {
		id, bad := troubled[a.Outcome]
		if !bad {
			continue
		}
		what := a.Kind
		if a.Wish != nil {
			what = *a.Wish
		}
		if a.Subject != nil {
			what += " " + *a.Subject
		}
		found = append(found, findingDoc{id, fmt.Sprintf("%s: %s", what, a.Why), a.Fix})
	}
	return found
}

// statusFindings are those that need keyrings and kernel together.
func statusFindings(document *statusDocument, rings []keyring.Ring, status kernel.Status) {
	for _, name := range []string{keyring.Builtin, keyring.Machine} {
		ring := keyring.Named(rings, name)
		if ring == nil || len(ring.Keys) == 0 || keyring.Named(rings, keyring.Secondary) == nil {
			continue
		}
		if r := trust.Consulted(rings, status, name); r.Answer == evidence.No && status.Signatures.Answer != evidence.No {
			document.Findings = append(document.Findings, finding("keyring-cut", r.Evidence+": its keys do not count until the next boot", fixes[trust.MendReboot]))
		}
	}
}
