package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/printable"
	"kkeys/mok"
)

// shimList is one of shim's two lists.
type shimList struct {
	of   func(mok.State, mok.Vendor) (mok.List, []efivars.SignatureList)
	word string // mokutil's, with which the names of exported files begin
	name string // shim's
}

var (
	trustedList = shimList{mokList, "MOK", "MokListRT"}
	blockedList = shimList{mokListX, "MOKX", "MokListXRT"}
)

func mokList(s mok.State, v mok.Vendor) (mok.List, []efivars.SignatureList) {
	var own []efivars.SignatureList
	for _, der := range v.Allowed {
		own = append(own, efivars.X509List(efivars.Shim, der))
	}
	return s.Enrolled, own
}

func mokListX(s mok.State, v mok.Vendor) (mok.List, []efivars.SignatureList) {
	return s.Blocked, v.Forbidden
}

type mokListDocument struct {
	envelope
	Source  *string       `json:"source"` // null: the list was not seen
	Entries []listedEntry `json:"entries"`
}

// listedEntry is one signature of a list of shim's.
type listedEntry struct {
	Type        string         `json:"type"` // "x509", or the GUID of the signature type
	Certificate *certs.Details `json:"certificate"`
	SHA256      *string        `json:"sha256"` // of what should be a certificate and is none
	Hash        *string        `json:"hash"`
	Vendor      *bool          `json:"vendor"` // built into shim; null: not known
}

func (s *session) listCommand(does string, list shimList) *cli.Command {
	return &cli.Command{Name: "list", Usage: does, Description: "Shows the list that shim left at boot, and which of it is built into shim and cannot be deleted.\nExit code 1: nothing is in it.",
		Action: func(c *cli.Context) error {
			document := &mokListDocument{Entries: []listedEntry{}}
			if c.NArg() > 0 {
				return s.finish(document, &document.envelope, exitYes, usage("%s takes no arguments", s.command))
			}
			code, err := s.runMokList(document, list)
			return s.finish(document, &document.envelope, code, err)
		}}
}

func (s *session) runMokList(document *mokListDocument, of shimList) (int, error) {
	list, own, err := s.readList(&document.envelope, of)
	if err != nil {
		return exitYes, err
	}
	document.Source = &list.Source
	known := !slices.ContainsFunc(document.NotSeen, func(n notSeen) bool { return n.Source == builtIn })
	for _, l := range list.Lists {
		for _, signature := range l.Signatures {
			document.Entries = append(document.Entries, listed(l.Type, signature.Data, own, known))
		}
	}
	hashes := 0
	for _, e := range document.Entries {
		where := map[bool]string{true: "built into shim", false: "enrolled"}
		whose := "perhaps built into shim"
		if e.Vendor != nil {
			whose = where[*e.Vendor]
		}
		switch {
		case e.Certificate != nil:
			s.say("%s, key id %s, SHA-256 %s (%s)", printable.Text(e.Certificate.Subject), e.Certificate.KeyID, e.Certificate.SHA256, whose)
		case e.Vendor != nil && *e.Vendor:
			hashes++
		case e.Hash != nil:
			s.say("%s: %s (%s)", typeWord(e.Type), *e.Hash, whose)
		default:
			s.say("what should be a certificate and is none, SHA-256 %s (%s)", *e.SHA256, whose)
		}
	}
	if hashes > 0 {
		s.say("%s built into shim", count(hashes, "hash", "hashes"))
	}
	switch {
	case list.Err != nil:
		return exitYes, failed("%w", list.Err)
	case len(document.Entries) == 0:
		s.say("nothing is in it")
		return exitNo, nil
	}
	return exitYes, nil
}

// typeWord names a signature type that is no certificate's; one that is not known stays the GUID that it is.
func typeWord(guid string) string {
	for _, t := range []struct {
		guid efivars.GUID
		word string
	}{
		{efivars.SHA1, "SHA-1"}, {efivars.SHA224, "SHA-224"}, {efivars.SHA256, "SHA-256"}, {efivars.SHA384, "SHA-384"}, {efivars.SHA512, "SHA-512"},
		{efivars.X509SHA256, "SHA-256 of a certificate, and a time"}, {efivars.X509SHA384, "SHA-384 of a certificate, and a time"},
		{efivars.X509SHA512, "SHA-512 of a certificate, and a time"},
	} {
		if t.guid.String() == guid {
			return t.word
		}
	}
	return guid
}

// builtIn is the source of what is built into shim.
const builtIn = "shim's own program"

// readList reads one of the lists and what of it is built into shim. A list that was not seen is an error.
func (s *session) readList(e *envelope, of shimList) (mok.List, []efivars.SignatureList, error) {
	state, vendor := mok.ReadState(s.machine.Variables, s.machine.Files), s.machine.Vendor()
	list, own := of.of(state, vendor)
	if !list.Seen() {
		if s.look() == nil {
			for _, gap := range state.NotSeen {
				e.missing(gap.Source, gap.Err)
			}
		}
		return list, nil, s.unseenList(state, of.name)
	}
	if vendor.Err != nil {
		e.missing(builtIn, vendor.Err)
	}
	return list, own, nil
}

func listed(kind efivars.GUID, data []byte, own []efivars.SignatureList, known bool) listedEntry {
	key := describeSignature(kind, data)
	e := listedEntry{Type: key.Type, Certificate: key.Certificate, Hash: key.Hash}
	if e.Certificate == nil && kind == efivars.X509 {
		hash := sum(data)
		e.SHA256 = &hash
	}
	vendor := false
	for _, l := range own {
		vendor = vendor || l.Type == kind && slices.ContainsFunc(l.Signatures, func(s efivars.Signature) bool { return bytes.Equal(s.Data, data) })
	}
	if vendor || known {
		e.Vendor = &vendor
	}
	return e
}

type exportDocument struct {
	envelope
	Files []string `json:"files"`
}

func (s *session) exportCommand(list shimList) *cli.Command {
	return &cli.Command{Name: "export", Usage: "write the certificates of the list into files", ArgsUsage: "[FOLDER]",
		Description: "Writes " + list.word + "-0001.der and so on, into the working directory if no other folder is named. No file is overwritten: when one is in the\nway, nothing is written. Exit code 1: no certificate is in the list, or a file was in the way.",
		Action: func(c *cli.Context) error {
			document := &exportDocument{Files: []string{}}
			code, err := s.runExport(c, document, list)
			return s.finish(document, &document.envelope, code, err)
		}}
}

func (s *session) runExport(c *cli.Context, document *exportDocument, of shimList) (int, error) {
	if c.NArg() > 1 {
		return exitYes, usage("one folder is enough")
	}
	folder := "."
	if c.NArg() == 1 {
		folder = c.Args().First()
	}
	list, _, err := s.readList(&document.envelope, of)
	if err != nil {
		return exitYes, err
	}
	var files []fileToBe
	for i, der := range list.Certificates() {
		files = append(files, fileToBe{filepath.Join(folder, fmt.Sprintf("%s-%04d.der", of.word, i+1)), der, 0o644})
	}
	if err := newFiles(files...); err != nil {
		return exitYes, err
	}
	for _, f := range files {
		document.Files = append(document.Files, f.path)
		s.say("%s", printable.Text(f.path))
	}
	switch {
	case list.Err != nil:
		return exitYes, failed("%w", list.Err)
	case len(files) == 0:
		s.say("no certificate is in it")
		return exitNo, nil
	}
	return exitYes, nil
}

type testDocument struct {
	envelope
	Subjects []testedDocument `json:"subjects"`
}

type testedDocument struct {
	Path        string         `json:"path"`
	Enrolled    bool           `json:"enrolled"`
	Blocked     *bool          `json:"blocked"` // by shim's blocklist or dbx
	Pending     *bool          `json:"pending"`
	Certificate *certs.Details `json:"certificate"`
}

func (s *session) testCommand() *cli.Command {
	return &cli.Command{Name: "test", Usage: "is this certificate in shim's list", ArgsUsage: "CERT…",
		Description: "Exit code 0: every one is enrolled, to the byte, and not blocked; 1: one is not. Whether the kernel trusts it for modules is another\nquestion: `kkeys trusted`.",
		Action: func(c *cli.Context) error {
			document := &testDocument{Subjects: []testedDocument{}}
			code, err := s.runTest(c.Args().Slice(), document)
			return s.finish(document, &document.envelope, code, err)
		}}
}

func (s *session) runTest(paths []string, document *testDocument) (int, error) {
	if len(paths) == 0 {
		return exitYes, usage("no certificate named")
	}
	enrolled, _, err := s.readList(&document.envelope, trustedList)
	if err != nil {
		return exitYes, err
	}
	if enrolled.Err != nil {
		return exitYes, failed("%w", enrolled.Err)
	}
	look := s.lookForTest(&document.envelope)
	code := exitYes
	var failures []error
	for _, path := range paths {
		c, err := oneCertificate(path)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		details := c.Details()
		d := testedDocument{Path: path, Certificate: &details, Enrolled: enrolled.Has(c.Raw)}
		d.Blocked, d.Pending = look(c.Raw)
		words := []string{map[bool]string{true: "enrolled", false: "not enrolled"}[d.Enrolled]}
		for _, w := range []struct {
			word string
			is   *bool
		}{{"blocked", d.Blocked}, {"pending", d.Pending}} {
			switch {
			case w.is == nil:
				words = append(words, "not known whether "+w.word)
			case *w.is:
				words = append(words, w.word)
			}
		}
		switch {
		case !d.Enrolled, d.Blocked != nil && *d.Blocked:
			code = worse(code, exitNo)
		case d.Blocked == nil:
			code = worse(code, exitUnsure)
		}
		document.Subjects = append(document.Subjects, d)
		s.say("%s: %s", printable.Text(path), strings.Join(words, ", "))
	}
	return code, several(failures)
}

// lookForTest tells of certificates whether they are blocked and whether they are pending; nil where that was not seen.
func (s *session) lookForTest(e *envelope) func(der []byte) (blocked, pending *bool) {
	state, waiting := mok.ReadState(s.machine.Variables, s.machine.Files), mok.ReadPending(s.machine.Variables)
	dbx := mok.ReadFirmwareList(s.machine.Variables, efivars.DBX)
	unseen := false
	switch {
	case state.Blocked.Err != nil:
		e.missing(state.Blocked.Source, state.Blocked.Err)
	case !state.Blocked.Seen():
		unseen = true
		e.missing("MokListXRT", errors.New("shim's blocklist is not shown"))
	}
	if dbx.Err != nil {
		e.missing(dbx.Source, dbx.Err)
	}
	unseen = unseen || state.Blocked.Err != nil || dbx.Err != nil
	request, _ := waiting.Request(mok.Enroll)
	unread := request.Err != nil
	for _, gap := range waiting.NotSeen {
		if gap.Source == "efivars/"+mok.Variable("MokNew").Name {
			e.missing(gap.Source, gap.Err)
			unread = true
		}
	}
	return func(der []byte) (blocked, pending *bool) {
		one := efivars.X509List(efivars.Shim, der)
		if is := state.Blocked.Forbids(one) || dbx.Forbids(one); is || !unseen {
			blocked = &is
		}
		if is := slices.ContainsFunc(request.Certificates(), func(d []byte) bool { return bytes.Equal(d, der) }); is || !unread {
			pending = &is
		}
		return blocked, pending
	}
}

type sbatDocument struct {
	envelope
	Level []string `json:"level"` // lines of component, generation and, in the first, date
}

func (s *session) sbatList() *cli.Command {
	return &cli.Command{Name: "list", Usage: "the generations below which shim starts nothing", Description: "Shows SbatLevelRT, which shim left at boot.",
		Action: func(c *cli.Context) error {
			document := &sbatDocument{Level: []string{}}
			if c.NArg() > 0 {
				return s.finish(document, &document.envelope, exitYes, usage("%s takes no arguments", s.command))
			}
			data, err := efivars.ReadTable(s.machine.Files, "SbatLevelRT")
			if err != nil {
				_, data, err = s.machine.Variables.Get(mok.Variable("SbatLevelRT"))
				err = unread(err)
			}
			if errors.Is(err, efivars.ErrNotFound) {
				err = fmt.Errorf("%w: shim left no SbatLevelRT: it did not start this system, or is older than 15.3", mok.ErrCannotTell)
			}
			if err == nil {
				for line := range strings.FieldsSeq(strings.TrimRight(string(data), "\x00")) {
					document.Level = append(document.Level, line)
					s.say("%s", printable.Text(line))
				}
			}
			return s.finish(document, &document.envelope, exitYes, err)
		}}
}

// hexOf is a hash in a receipt: its name is itself.
func hexOf(a mok.Asked) (string, bool) {
	data, err := hex.DecodeString(a.Name)
	return a.Name, err == nil && a.KeyID == "" && len(data) > 0 && mok.NewAsked(data, "", "", "").SHA256 == a.SHA256
}
