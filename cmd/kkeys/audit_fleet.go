package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"kkeys/audit"
	"kkeys/internal/printable"
	"kkeys/machine"
)

// snapshotSuffix is that of recorded machines.
const snapshotSuffix = ".kks"

// runFleet audits recorded machines side by side, and tells of each in the order of the files, as soon as those before it are told: no more are kept
// than are worked on.
func (s *session) runFleet(dir string, a auditing) error {
	files, err := s.recordedFiles(dir)
	if err != nil {
		document := newAuditDocument()
		return s.finishAudit(document, a, exitYes, err)
	}
	s.done = true
	type told struct {
		document *auditDocument
		code     int
	}
	workers := runtime.GOMAXPROCS(0)
	results := make(chan chan told, workers)
	go func() {
		defer close(results)
		for _, file := range files {
			result := make(chan told, 1)
			results <- result // waits while as many are worked on as there are processors
			go func() {
				document, code := s.auditRecording(file, a)
				result <- told{document, code}
			}()
		}
	}()
	s.fleetHeader(len(files))
	machines, worst := 0, exitYes
	for result := range results {
		r := <-result
		machines++
		worst = worse(worst, r.code)
		s.sayMachine(r.document, r.code)
	}
	if !s.json {
		s.say("%s", count(machines, "machine", "machines"))
	}
	s.code = worst
	return errFinished
}

var errNoRecordings = errors.New("no recorded machine")

// recordedFiles finds those in a folder, which may be a link, and below it; links to files are followed, others to folders not. Any other file is counted
// in a warning.
func (s *session) recordedFiles(dir string) (files []string, err error) {
	top, others := dir, 0
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		top = strings.TrimRight(dir, "/") + "/" // lstat(2) then looks behind the link
	}
	err = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == top:
			return err
		case err != nil:
			files = append(files, path) // a folder that cannot be read is told of like a file
			return nil
		case entry.IsDir():
		case strings.HasSuffix(entry.Name(), snapshotSuffix):
			files = append(files, path)
		default:
			others++
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, failed("--snapshots: %w", err)
	case len(files) == 0:
		return nil, coded(exitUnsure, "--snapshots %s: %w: nothing in it ends in %s", dir, errNoRecordings, snapshotSuffix)
	case others > 0:
		s.warn(fmt.Sprintf("%s: not looked at, since the name does not end in %s: %s", dir, snapshotSuffix, count(others, "file", "files")))
	}
	return files, nil
}

// openRecorded opens one of them. A pipe would keep its reader waiting.
func openRecorded(path string) (*machine.Machine, error) {
	if err := machine.Regular(path); err != nil {
		return nil, err
	}
	return machine.Snapshot(path)
}

// auditRecording audits one machine. What is wrong with its file is in the document.
func (s *session) auditRecording(file string, a auditing) (*auditDocument, int) {
	document := newAuditDocument()
	document.Schema, document.File = "kkeys.audit/v1", &file
	m, err := openRecorded(file)
	if err != nil {
		err = failed("%w", err)
		document.Error = s.failure(err)
		return document, codeOf(err)
	}
	own := &session{streams: s.streams, machine: m, command: s.command, quiet: true, elsewhere: true, recording: true}
	own.auditInto(document, a)
	document.Recorded = &m.Recorded
	document.Host = known(strings.TrimSuffix(filepath.Base(file), snapshotSuffix))
	code := document.code()
	document.OK = code == exitYes
	document.facts, document.report = audit.Facts{}, audit.Report{} // its line is all that is kept
	return document, code
}

const fleetRow = "%-8s  %8s  %5s  %7s  %5s  %7s  %-28s  %-10s  %s"

func (s *session) fleetHeader(n int) {
	if n > 0 {
		s.say(fleetRow, "RESULT", "CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN", "KERNEL", "RECORDED", "MACHINE")
	}
}

// sayMachine is one line about a machine.
func (s *session) sayMachine(d *auditDocument, code int) {
	if s.json && !s.quiet {
		if err := s.encodeLine(d); err != nil {
			s.warn(*d.File + ": " + err.Error())
		}
		return
	}
	if d.Error != nil {
		s.say(fleetRow, s.paint(red, "error   "), "-", "-", "-", "-", "-", "-", "-", printable.Text(*d.File))
		if !s.quiet {
			fmt.Fprintf(s.err, "kkeys: error: %s\n", printable.Text(d.Error.Message))
		}
		return
	}
	word := map[int]string{exitYes: "ok", exitNo: "findings", exitUnsure: "unknown"}[code]
	color := map[int]string{exitYes: green, exitNo: red, exitUnsure: yellow}[code]
	n := func(severity audit.Severity) string { return fmt.Sprint(d.Findings[string(severity)]) }
	s.say(fleetRow, s.paint(color, fmt.Sprintf("%-8s", word)), n(audit.Critical), n(audit.High), n(audit.Medium), n(audit.Low), fmt.Sprint(d.Summary["unknown"]),
		printable.Text(text(d.Kernel)), d.Recorded.Format(time.DateOnly), printable.Text(*d.File))
}
