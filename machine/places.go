package machine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kkeys/certs"
)

// place is where a tool or a habit keeps a key for modules.
type place struct {
	pattern string // below the root, for path.Match
	owner   string
	private bool // a private key: looked for, never opened
	// guess: the name does not say that a certificate is there, or nobody says that the name is used so. What cannot be read, or is
	// something else, is then passed over; but not that a private key may be where permission is missing.
	guess bool
}

const (
	shimSigned  = "Debian and Ubuntu, package shim-signed"
	dkms        = "DKMS"
	akmods      = "akmods"
	kernelBuild = "a kernel built here"
	sbctl       = "sbctl"
	dracut      = "dracut, module modsign"
	refind      = "rEFInd"
	byHand      = "made by hand"
)

var places = []place{
	{pattern: "var/lib/shim-signed/mok/MOK.der", owner: shimSigned},
	{pattern: "var/lib/shim-signed/mok/MOK.priv", owner: shimSigned, private: true},
	{pattern: "var/lib/dkms/mok.pub", owner: dkms},
	{pattern: "var/lib/dkms/mok.key", owner: dkms, private: true},
	{pattern: "etc/pki/akmods/certs/*.der", owner: akmods},
	{pattern: "etc/pki/akmods/private/*.priv", owner: akmods, private: true},
	{pattern: "etc/uefi/certs/*.crt", owner: "packages of SUSE"},
	{pattern: "var/lib/sbctl/keys/*/*.pem", owner: sbctl},
	{pattern: "var/lib/sbctl/keys/*/*.key", owner: sbctl, private: true},
	{pattern: "usr/share/secureboot/keys/*/*.pem", owner: sbctl}, // before it moved to /var/lib
	{pattern: "usr/share/secureboot/keys/*/*.key", owner: sbctl, private: true},
	// refind-install --localkeys makes these; its folder beside the loader has keys of others too.
	{pattern: "etc/refind.d/keys/refind_local.cer", owner: refind},
	{pattern: "etc/refind.d/keys/refind_local.crt", owner: refind},
	{pattern: "etc/refind.d/keys/refind_local.key", owner: refind, private: true},
	// signing_key.pem holds the private key, then the certificate (certs/Makefile).
	{pattern: "lib/modules/*/build/certs/signing_key.x509", owner: kernelBuild},
	{pattern: "lib/modules/*/build/certs/signing_key.pem", owner: kernelBuild, private: true},
	{pattern: "usr/src/*/certs/signing_key.x509", owner: kernelBuild},
	{pattern: "usr/src/*/certs/signing_key.pem", owner: kernelBuild, private: true},
	{pattern: "lib/modules/keys/*.x509", owner: dracut, guess: true},
	{pattern: "lib/modules/keys/*.der", owner: dracut, guess: true},
	{pattern: "lib/modules/keys/*.crt", owner: dracut, guess: true},
	{pattern: "lib/modules/keys/*.cer", owner: dracut, guess: true},
	{pattern: "root/module-signing/*.der", owner: byHand, guess: true},
	{pattern: "root/module-signing/*.crt", owner: byHand, guess: true},
	{pattern: "root/module-signing/*.x509", owner: byHand, guess: true},
	{pattern: "root/module-signing/*.priv", owner: byHand, private: true, guess: true},
	{pattern: "root/module-signing/*.key", owner: byHand, private: true, guess: true},
	{pattern: "root/MOK.der", owner: byHand, guess: true},
	{pattern: "root/MOK.crt", owner: byHand, guess: true},
	{pattern: "root/MOK.priv", owner: byHand, private: true, guess: true},
	{pattern: "root/MOK.key", owner: byHand, private: true, guess: true},
}

// fileCertificates gives the certificates at the places above and at those that DKMS was told.
func (m *Machine) fileCertificates() (found []Found, unseen []NotSeen) {
	m.eachFile(false, &unseen, func(file string, p place) error {
		data, err := m.read(file, fileMax)
		if err != nil {
			return err
		}
		all, err := certs.Decode(data)
		if err != nil {
			return err
		}
		for _, c := range all {
			found = append(found, Found{c, "file:/" + file})
		}
		return nil
	})
	return found, unseen
}

// ToolCertificates gives the certificates that a distribution's tools made on this machine for keys to be enrolled in shim. Unlike others they
// are there to be enrolled; what cannot be read is left out.
func (m *Machine) ToolCertificates() (found []Found) {
	all, _ := m.fileCertificates()
	return slices.DeleteFunc(all, func(f Found) bool {
		return !slices.ContainsFunc(places, func(p place) bool {
			fits, _ := path.Match("file:/"+p.pattern, f.Where)
			return fits && slices.Contains([]string{shimSigned, dkms, akmods, refind}, p.owner)
		}) && !m.isToldDKMS(f.Where)
	})
}

// isToldDKMS: DKMS was told to keep its certificate there.
func (m *Machine) isToldDKMS(where string) bool {
	told, _ := m.toldDKMS()
	return slices.ContainsFunc(told, func(p place) bool { return !p.private && "file:/"+p.pattern == where })
}

// KeyFile is the place of a private key. Nothing but its name, its permissions and its owner was looked at.
type KeyFile struct {
	Path  string // absolute
	Owner string // the tool that keeps it there: "DKMS"
	Mode  fs.FileMode
	UID   *uint32 // of the file's owner; nil where that is not known, as in a recording
}

// KeyFiles gives the private keys for signing modules at the places where tools keep them. None is opened.
func (m *Machine) KeyFiles() (keys []KeyFile, unseen []NotSeen) {
	m.eachFile(true, &unseen, func(file string, p place) error {
		info, err := fs.Stat(m.Files, file)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		keys = append(keys, KeyFile{Path: "/" + file, Owner: p.owner, Mode: info.Mode(), UID: uid(info)})
		return nil
	})
	return keys, unseen
}

// eachFile calls what for each path that the places give, once. What is not there is no news.
func (m *Machine) eachFile(private bool, unseen *[]NotSeen, what func(file string, p place) error) {
	known := map[string]bool{}
	told, err := m.toldDKMS()
	miss := func(source string, guess bool, err error) {
		if guess && !(private && errors.Is(err, fs.ErrPermission)) {
			return
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			*unseen = append(*unseen, NotSeen{source, err})
		}
	}
	miss("/"+dkmsFile, false, err)
	for _, p := range slices.Concat(places, told) {
		if p.private != private {
			continue
		}
		files, err := m.expand(p.pattern)
		miss("/"+p.pattern, p.guess, err)
		for _, file := range files {
			if !known[file] {
				known[file] = true
				miss("/"+file, p.guess, what(file, p))
			}
		}
	}
}

// dkmsFile and the files of the folder beside it, whose name has .d at the end, are read by DKMS as shell text.
const dkmsFile = "etc/dkms/framework.conf"

// toldDKMS gives the places that DKMS was told (dkms(8): mok_certificate, mok_signing_key). The error names a file that cannot be read or
// a value that only a shell could work out.
func (m *Machine) toldDKMS() (told []place, err error) {
	more, err := m.expand(dkmsFile + ".d/*.conf")
	for _, file := range append([]string{dkmsFile}, more...) {
		text, e := m.read(file, 1<<20)
		if errors.Is(e, fs.ErrNotExist) {
			continue
		}
		var here []place
		if e == nil {
			here, e = parseDKMS(text)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("/%s: %w", file, e))
		}
		told = append(told, here...)
	}
	return told, err
}

// errNotPlain: kkeys runs no shell over another tool's settings.
var errNotPlain = errors.New("no plain absolute path")

// parseDKMS reads the two settings, `name=value` or `name="value"`. The places come beside an error too, which is for the others.
func parseDKMS(text []byte) (told []place, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		private := name == "mok_signing_key"
		if !private && name != "mok_certificate" {
			continue
		}
		value = unquote(value)
		switch {
		case value == "" || private && strings.HasPrefix(value, "pkcs11:"): // in a token and not in a file
		case !path.IsAbs(value) || strings.ContainsAny(value, "$`\"'\\*?[ \t") || path.Clean(value) == "/" || !fs.ValidPath(path.Clean(value)[1:]):
			err = errors.Join(err, fmt.Errorf("%s is %w", name, errNotPlain))
		default:
			told = append(told, place{pattern: path.Clean(value)[1:], owner: dkms, private: private})
		}
	}
	return told, errors.Join(err, lines.Err())
}

// unquote takes the value out of its quotes and cuts a comment after it.
func unquote(value string) string {
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		if inner, _, closed := strings.Cut(value[1:], value[:1]); closed {
			return inner
		}
		return value
	}
	value, _, _ = strings.Cut(value, " #")
	return strings.TrimSpace(value)
}
