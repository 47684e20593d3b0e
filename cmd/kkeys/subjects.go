package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kkeys/certs"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/mok"
)

// The subjects of what is staged: certificates from files, entries of shim's lists, and hashes.

// errSubject keeps one bad subject from staging the others.
var errSubject = errors.New("not staged because of another")

// each reads every argument, and stages none when one of them is bad.
func (r *staging) each(args []string, read func(arg string) (*certs.Certificate, string, error)) error {
	var failures []error
	for _, arg := range args {
		request := requestDocument{Path: arg, Action: "refused"}
		c, file, err := read(arg)
		if err != nil {
			why := err.Error()
			request.Why = &why
			failures = append(failures, err)
		} else {
			details := c.Details()
			request.Certificate, request.Action = &details, "would-stage"
			r.wish.Certificates = append(r.wish.Certificates, c.Raw)
			r.asked = append(r.asked, mok.NewAsked(c.Raw, details.KeyID, details.Subject, file))
		}
		r.document.Requests = append(r.document.Requests, request)
	}
	if len(failures) > 0 {
		r.refuseAll(errSubject)
	}
	return several(failures)
}

// fromFiles reads certificate files. Each must hold exactly one certificate: MokManager would store anything.
func (r *staging) fromFiles() error {
	if r.c.NArg() == 0 {
		found, err := r.choose()
		if err != nil {
			return err
		}
		path := strings.TrimPrefix(found.Where, "file:")
		r.warnUnfit(path, found.Certificate)
		return r.each([]string{path}, func(string) (*certs.Certificate, string, error) { return found.Certificate, path, nil })
	}
	return r.each(r.c.Args().Slice(), func(path string) (*certs.Certificate, string, error) {
		c, err := oneCertificate(path)
		if err != nil {
			return nil, "", err
		}
		if r.wish.Kind == mok.Enroll {
			r.warnUnfit(path, c)
		}
		return c, lasting(path), nil
	})
}

// lasting is the absolute path of a file that can be read again, empty for a pipe and for standard input.
func lasting(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	file, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	return file
}

// toBlock reads certificate files, and tells where blocking does not reach.
func (r *staging) toBlock() error {
	if r.c.NArg() == 0 {
		return usage("no certificate named")
	}
	if value, known := r.machine.Kernel().Config.Value("SYSTEM_REVOCATION_LIST"); !known || value != "y" {
		r.caution("this kernel (CONFIG_SYSTEM_REVOCATION_LIST is not set, or not known) goes on taking modules that a blocked key signed; shim refuses what it signed")
	}
	return r.fromFiles()
}

func oneCertificate(path string) (*certs.Certificate, error) {
	found, err := machine.CertificateFile(path)
	switch {
	case err != nil && isDecoding(err):
		return nil, failed("not exactly one certificate: %w", err)
	case err != nil:
		return nil, failed("%w", err)
	case len(found) != 1:
		return nil, fmt.Errorf("%s: %w: it holds %d", path, errNotOne, len(found))
	}
	return found[0], nil
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
func (r *staging) warnUnfit(path string, c *certs.Certificate) {
	unfit := c.Refusal()
	if inquiry, err := r.machine.Keyrings.Ask(c.Raw); err == nil {
		unfit = inquiry.Refused
	}
	if unfit != nil {
		r.caution(fmt.Sprintf("%s: of no use for modules: %v", path, unfit))
	}
}

// choose finds the key that a tool has made for this machine, where no file is named, and asks which of them.
func (r *staging) choose() (found machine.Found, err error) {
	state := mok.ReadState(r.machine.Variables, r.machine.Files)
	var offered []machine.Found
	var paths, lines []string
	for _, found := range r.machine.ToolCertificates() {
		path := strings.TrimPrefix(found.Where, "file:")
		if state.Enrolled.Has(found.Certificate.Raw) || slices.Contains(paths, path) {
			continue
		}
		offered, paths = append(offered, found), append(paths, path)
		lines = append(lines, fmt.Sprintf("%d. %s: %s", len(paths), printable.Text(path), printable.Text(found.Certificate.Details().Subject)))
	}
	switch {
	case len(paths) == 0:
		return found, usage("no certificate named, and none that is not enrolled was found where dkms, akmods, shim-signed or rEFInd keep theirs")
	case r.elsewhere || r.prompt == nil:
		return found, usage("no certificate named; found on this machine: %s", strings.Join(paths, ", "))
	}
	answer, err := r.ask(fmt.Sprintf("Keys that tools have made on this machine and that are not enrolled:\n  %s\nWhich? [1-%d] ", strings.Join(lines, "\n  "), len(paths)), false)
	if err != nil {
		return found, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil || n < 1 || n > len(paths) {
		return found, coded(exitNo, "no key chosen; nothing was staged")
	}
	return offered[n-1], nil
}

// fromList takes certificates out of one of shim's lists, to the byte: by a file, a key id, or the beginning of a SHA-256.
func (r *staging) fromList() error {
	if r.c.NArg() == 0 {
		return usage("no certificate named: a file, a key id, or the SHA-256 of a certificate")
	}
	state, name := mok.ReadState(r.machine.Variables, r.machine.Files), "MokListRT"
	list, corrupt := state.Enrolled, mok.ErrCorruptList
	if r.wish.Kind == mok.Unblock {
		list, name, corrupt = state.Blocked, "MokListXRT", mok.ErrCorruptBlocklist
	}
	var listed []*certs.Certificate
	var others []string // SHA-256 of what stands there and is no certificate: MokManager stores anything
	for _, der := range list.Certificates() {
		c, err := certs.ParseDER(der)
		if err != nil {
			others = append(others, sum(der))
		} else if !slices.ContainsFunc(listed, func(l *certs.Certificate) bool { return bytes.Equal(l.Raw, der) }) {
			listed = append(listed, c)
		}
	}
	return r.each(r.c.Args().Slice(), func(arg string) (*certs.Certificate, string, error) {
		if id := strings.ToLower(strings.ReplaceAll(arg, ":", "")); len(id) >= idMin && strings.Trim(id, "0123456789abcdef") == "" {
			if _, err := os.Stat(arg); err != nil {
				err := r.toSearch(state, list, name, corrupt)
				var c *certs.Certificate
				if err == nil {
					c, err = byID(listed, others, id, name)
				}
				if err != nil {
					return nil, "", fmt.Errorf("%s: %w", arg, err)
				}
				return c, "", nil
			}
		}
		c, err := oneCertificate(arg)
		if err != nil {
			return nil, "", err
		}
		for _, l := range listed {
			if !bytes.Equal(l.Raw, c.Raw) && sameKey(l, c) && !list.Has(c.Raw) {
				details := l.Details()
				return nil, "", fmt.Errorf("%s: %w: %s has another certificate for the same key, with the SHA-256 %s", arg, mok.ErrNotListed, name, details.SHA256)
			}
		}
		return c, "", nil
	})
}

// sameKey tells two certificates for one key, as far as crypto/x509 can read both.
func sameKey(a, b *certs.Certificate) bool {
	return a.X509 != nil && b.X509 != nil && bytes.Equal(a.X509.RawSubjectPublicKeyInfo, b.X509.RawSubjectPublicKeyInfo)
}

// sum is a SHA-256, in hex.
func sum(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

// idMin is the least length of an id, in hex digits.
const idMin = 8

func byID(listed []*certs.Certificate, others []string, id, name string) (*certs.Certificate, error) {
	var found []*certs.Certificate
	for _, c := range listed {
		details := c.Details()
		if strings.HasPrefix(details.KeyID, id) || strings.HasPrefix(details.SHA256, id) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		if slices.ContainsFunc(others, func(sum string) bool { return strings.HasPrefix(sum, id) }) {
			return nil, fmt.Errorf("%w: what %s has there cannot be asked for alone; a reset takes it away, with the rest of the list", mok.ErrNotDER, name)
		}
		return nil, fmt.Errorf("%w: %s has no certificate with such a key id or SHA-256", mok.ErrNotListed, name)
	case 1:
		return found[0], nil
	}
	var sums []string
	for _, c := range found {
		sums = append(sums, c.Details().SHA256)
	}
	return nil, coded(exitNo, "%d certificates in %s fit; name one by its SHA-256: %s", len(found), name, strings.Join(sums, ", "))
}

// fromHex reads hashes: SHA-224, SHA-256, SHA-384 or SHA-512 of a program for the firmware, told apart by their length.
func (r *staging) fromHex() error {
	if r.c.NArg() == 0 {
		return usage("no hash named")
	}
	for _, arg := range r.c.Args().Slice() {
		hash, err := hex.DecodeString(arg)
		if err != nil || len(hash) != 28 && len(hash) != 32 && len(hash) != 48 && len(hash) != 64 {
			return usage("%q is no SHA-224, SHA-256, SHA-384 or SHA-512 in hex", arg)
		}
		text := hex.EncodeToString(hash)
		r.wish.Hashes = append(r.wish.Hashes, hash)
		r.asked = append(r.asked, mok.NewAsked(hash, "", text, ""))
		r.document.Requests = append(r.document.Requests, requestDocument{Path: arg, Action: "would-stage", Hash: &text})
	}
	return nil
}
