package main

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/internal/printable"
	"kkeys/mok"
)

type pendingDocument struct {
	envelope
	Requests       []pendingRequest `json:"requests"`
	Orphans        []string         `json:"orphaned_passwords"`
	TimeoutSeconds *int32           `json:"timeout_seconds"`
	Answers        []answerDocument `json:"answers"`
	Findings       []findingDoc     `json:"findings"`
}

type pendingRequest struct {
	Kind     string       `json:"kind"`
	Variable string       `json:"variable"`
	Wish     *string      `json:"wish"`
	Keys     []pendingKey `json:"keys"`
	Password *bool        `json:"password"` // is it there and of a right size; null where it does not apply or could not be read
	Problem  *string      `json:"problem"`
}

type pendingKey struct {
	Type        string         `json:"type"` // "x509", or the GUID of the signature type
	Certificate *certs.Details `json:"certificate"`
	Hash        *string        `json:"hash"`
}

func (s *session) pending() *cli.Command {
	return &cli.Command{
		Name:  "pending",
		Usage: "what is staged for MokManager",
		Description: "Shows the requests that MokManager will offer at the next boot, and what became of those that kkeys staged before.\n" +
			"Exit code 0: something is staged; 1: nothing is.",
		Action: func(c *cli.Context) error {
			document := &pendingDocument{Requests: []pendingRequest{}, Orphans: []string{}, Answers: []answerDocument{}, Findings: []findingDoc{}}
			code, err := s.runPending(c, document)
			return s.finish(document, &document.envelope, code, err)
		},
	}
}

func (s *session) runPending(c *cli.Context, document *pendingDocument) (int, error) {
	if c.NArg() > 0 {
		return exitYes, usage("pending takes no arguments")
	}
	course := s.course(&document.envelope)
	pending := course.Pending
	if err := s.look(); codeOf(err) == exitUnsure { // one reason, not one for each variable
		return exitYes, err
	}
	for _, gap := range pending.NotSeen {
		document.missing(gap.Source, gap.Err)
	}
	for _, r := range pending.Requests {
		document.Requests = append(document.Requests, describeRequest(r))
	}
	document.Orphans = append(document.Orphans, pending.Orphans...)
	document.TimeoutSeconds = pending.Timeout
	for _, r := range document.Requests {
		s.sayRequest(r)
	}
	for _, orphan := range pending.Orphans {
		s.say("%s: a left-over password without a request; `sudo kkeys cancel` removes it", orphan)
	}
	if pending.Timeout != nil {
		s.say("MokManager waits %d seconds for a key (-1: for ever)", *pending.Timeout)
	}
	document.Answers = s.answers(course)
	s.sayAnswers(slices.DeleteFunc(slices.Clone(document.Answers), func(a answerDocument) bool { return a.Outcome == answered[mok.Waiting] }))
	document.Findings = append(document.Findings, s.requestFindings(course, document.Answers)...)
	s.sayFindings(document.Findings)
	switch {
	case len(pending.Requests)+len(pending.Orphans) > 0:
		return exitYes, nil
	case len(pending.NotSeen) > 0:
		return exitUnsure, nil
	}
	s.say("nothing is pending")
	return exitNo, nil
}

func describeRequest(r mok.Request) pendingRequest {
	d := pendingRequest{Kind: r.Kind.String(), Variable: r.Variable, Keys: []pendingKey{}}
	if r.Wish != "" {
		d.Wish = &r.Wish
	}
	switch r.Auth.Answer {
	case evidence.Yes, evidence.No:
		there := r.Auth.Answer == evidence.Yes
		d.Password = &there
	}
	var problems []string
	if r.Err != nil {
		problems = append(problems, r.Err.Error())
	}
	if r.Auth.Evidence != "" {
		problems = append(problems, "password: "+r.Auth.Evidence)
	}
	if len(problems) > 0 {
		text := strings.Join(problems, "; ")
		d.Problem = &text
	}
	for _, list := range r.Lists {
		for _, signature := range list.Signatures {
			d.Keys = append(d.Keys, describeSignature(list.Type, signature.Data))
		}
	}
	return d
}

func describeSignature(kind efivars.GUID, data []byte) pendingKey {
	if kind == efivars.X509 {
		key := pendingKey{Type: "x509"}
		if c, err := certs.ParseDER(data); err == nil {
			details := c.Details()
			key.Certificate = &details
		}
		return key
	}
	hash := hex.EncodeToString(data)
	return pendingKey{Type: kind.String(), Hash: &hash}
}

func (s *session) sayRequest(r pendingRequest) {
	line := fmt.Sprintf("%s (%s)", r.Kind, r.Variable)
	if r.Wish != nil && *r.Wish != r.Kind {
		line += ": " + *r.Wish
	}
	s.say("%s", line)
	for i, key := range r.Keys {
		switch {
		case key.Certificate != nil:
			s.say("  key %d: %s, key id %s", i, printable.Text(key.Certificate.Subject), key.Certificate.KeyID)
		case key.Hash != nil:
			s.say("  key %d: hash %s", i, *key.Hash)
		default:
			s.say("  key %d: no certificate", i)
		}
	}
	if r.Problem != nil {
		s.say("  problem: %s", printable.Text(*r.Problem))
	}
}
