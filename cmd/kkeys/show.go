package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/printable"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/trust"
)

type showDocument struct {
	envelope
	Subjects []shownDocument `json:"subjects"`
}

type shownDocument struct {
	Path         string             `json:"path"`
	Kind         string             `json:"kind"` // "certificate", "module", "signature-list", "kernel-image"
	Certificates []shownCertificate `json:"certificates"`
	Hashes       []hashDocument     `json:"hashes,omitempty"` // of a signature list
	Signer       *signerDocument    `json:"signer,omitempty"` // of a module
	Problem      string             `json:"problem,omitempty"`
}

// shownCertificate is a certificate, and where this machine has it.
type shownCertificate struct {
	certs.Details
	// Keyrings have an entry of its name and id, which is a match and no proof; null when they cannot be seen.
	Keyrings []string `json:"keyrings"`
	// FoundIn are the stores that hold this very certificate.
	FoundIn []string `json:"found_in"`

	certificate *certs.Certificate
}

type hashDocument struct {
	Type string `json:"type"` // GUID of the signature type
	Hash string `json:"hash"`
}

func (s *session) show() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "decode certificates, signed modules, EFI signature lists, kernel images",
		ArgsUsage: "FILE…",
		Description: "Tells what a file holds: certificates (DER, PEM, PKCS #7), the signature of a module (also compressed), the entries of an\nEFI signature list or of a file of efivarfs, the certificates in a kernel image. Nothing is verified: see `kkeys trusted`.\n\n" +
			"Each certificate is told with the stores of this machine that hold it, and the keyrings that have an entry of its name and id.",
		UsageText: "   kkeys show MOK.der driver.ko.xz /boot/vmlinuz /sys/firmware/efi/efivars/db-*",
		Action: func(c *cli.Context) error {
			document := &showDocument{Subjects: []shownDocument{}}
			return s.finish(document, &document.envelope, exitYes, s.runShow(c.Args().Slice(), document))
		},
	}
}

func (s *session) runShow(paths []string, document *showDocument) error {
	if len(paths) == 0 {
		return usage("no file named")
	}
	var failures []error
	here := s.here(document)
	for _, path := range paths {
		data, err := machine.ReadFile(path)
		var shown shownDocument
		if err == nil {
			shown, err = decode(data)
		}
		if err != nil {
			failures = append(failures, failed("%s: %w", path, err))
			continue
		}
		shown.Path = path
		for i := range shown.Certificates {
			here.join(&shown.Certificates[i])
		}
		document.Subjects = append(document.Subjects, shown)
		s.sayShown(shown)
	}
	return several(failures)
}

// here is what this machine has, for joining.
type here struct {
	rings  []keyring.Ring // nil: not seen
	stores []machine.Found
}

func (s *session) here(document *showDocument) here {
	rings, err := s.machine.Keyrings.Rings()
	if err != nil {
		document.missing("keyrings", explainRings(err))
	}
	stores, unseen := s.machine.Certificates()
	for _, n := range unseen {
		document.missing(n.Source, n.Err)
	}
	return here{rings, stores}
}

// join says where the machine has a certificate.
func (h here) join(c *shownCertificate) {
	c.FoundIn = []string{}
	for _, store := range h.stores {
		if bytes.Equal(store.Certificate.Raw, c.certificate.Raw) && !slices.Contains(c.FoundIn, store.Where) {
			c.FoundIn = append(c.FoundIn, store.Where)
		}
	}
	if h.rings == nil {
		return
	}
	c.Keyrings = []string{}
	for _, name := range trust.Listed {
		ring := keyring.Named(h.rings, name)
		if ring != nil && slices.ContainsFunc(ring.Keys, func(k keyring.Key) bool {
			return k.Type == keyring.TypeAsymmetric && c.certificate.MatchesName(k.Description)
		}) {
			c.Keyrings = append(c.Keyrings, name)
		}
	}
}

// decode tells what the bytes are by how they begin, and decodes them.
func decode(data []byte) (shownDocument, error) {
	if machine.IsModule(data) && !isVmlinux(data) {
		module := machine.ReadModule(data, nil)
		d := shownDocument{Kind: "module", Certificates: []shownCertificate{}, Signer: describeSigner(module.Signer)}
		if module.Err != nil {
			d.Problem = module.Err.Error()
		}
		return d, nil
	}
	if bytes.HasPrefix(data, []byte("MZ")) || isVmlinux(data) {
		found, err := certs.SearchImage(bytes.NewReader(data))
		return certificates("kernel-image", found), err
	}
	found, err := certs.Decode(data)
	if err == nil {
		return certificates("certificate", found), nil
	}
	if found, err := certs.ParsePKCS7(data); err == nil {
		return certificates("certificate", found), nil
	}
	// A file of efivarfs has four bytes of attributes before the list.
	for _, skip := range []int{0, 4} {
		if len(data) > skip+16 {
			if lists, lerr := efivars.ParseSignatureLists(data[skip:]); lerr == nil {
				return signatureLists(lists), nil
			}
		}
	}
	return shownDocument{}, err
}

// isVmlinux tells an ELF program, as vmlinux is, from a relocatable object, as a module is (e_type, 1: ET_REL).
func isVmlinux(data []byte) bool {
	if len(data) < 18 || !bytes.HasPrefix(data, []byte("\x7fELF")) {
		return false
	}
	kind := binary.LittleEndian.Uint16(data[16:])
	if data[5] == 2 { // EI_DATA: most significant byte first
		kind = binary.BigEndian.Uint16(data[16:])
	}
	return kind == 2 || kind == 3
}

func certificates(kind string, found []*certs.Certificate) shownDocument {
	d := shownDocument{Kind: kind, Certificates: []shownCertificate{}}
	for _, c := range found {
		d.Certificates = append(d.Certificates, shownCertificate{Details: c.Details(), certificate: c})
	}
	return d
}

func signatureLists(lists []efivars.SignatureList) shownDocument {
	d := shownDocument{Kind: "signature-list", Certificates: []shownCertificate{}}
	var broken []error
	for _, list := range lists {
		for _, signature := range list.Signatures {
			if list.Type != efivars.X509 {
				d.Hashes = append(d.Hashes, hashDocument{list.Type.String(), hex.EncodeToString(signature.Data)})
				continue
			}
			c, err := certs.ParseDER(signature.Data)
			if err != nil {
				broken = append(broken, err)
				continue
			}
			d.Certificates = append(d.Certificates, shownCertificate{Details: c.Details(), certificate: c})
		}
	}
	if err := errors.Join(broken...); err != nil {
		d.Problem = err.Error()
	}
	return d
}

func (s *session) sayShown(d shownDocument) {
	s.say("%s: %s", printable.Text(d.Path), d.Kind)
	if d.Signer != nil {
		s.say("  signed with %s and %s by %s", d.Signer.Algorithm, d.Signer.Hash, printable.Text(d.Signer.String()))
	}
	for _, c := range d.Certificates {
		s.say("  subject      %s", printable.Text(c.Subject))
		s.say("    issuer     %s", printable.Text(c.Issuer))
		s.say("    serial     %s", c.Serial)
		s.say("    key id     %s", c.KeyID)
		s.say("    sha256     %s", c.SHA256)
		s.say("    algorithm  %s, signed with %s", algorithm(c.Details), text(c.SignatureHash))
		s.say("    valid      %s to %s", orUnknown(date(c.NotBefore)), orUnknown(date(c.NotAfter)))
		s.say("    usage      %s; %s; CA: %s", orNone(c.KeyUsage), orNone(c.ExtendedKeyUsage), yesNo(c.IsCA))
		s.say("    kernel     %s", printable.Text(c.KernelName))
		s.say("    found in   %s", printable.Text(orNone(c.FoundIn)))
		s.say("    keyrings   %s (by name and id: no proof)", orNone(c.Keyrings))
	}
	for _, h := range d.Hashes {
		s.say("  hash %s (%s)", h.Hash, h.Type)
	}
	if d.Problem != "" {
		s.say("  problem: %s", printable.Text(d.Problem))
	}
}

func orUnknown(s string) string {
	if s == "" {
		return notKnown
	}
	return s
}
