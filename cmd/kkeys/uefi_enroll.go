package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/printable"
	"kkeys/machine"
	"kkeys/mok"
)

type uefiEnrollDocument struct {
	envelope
	Variable  string            `json:"variable"`
	Requests  []requestDocument `json:"requests"`
	SetupMode *bool             `json:"setup_mode"`
	Size      int               `json:"size"`   // of the variable afterwards, in bytes
	Output    *string           `json:"output"` // the file that was written
	Written   bool              `json:"written"`
	Warnings  []string          `json:"warnings"`
}

// Reasons not to change the firmware's own lists.
var (
	errListed    = errors.New("already in the list")
	errMicrosoft = errors.New("this machine's firmware has Microsoft's keys")
	errSigner    = errors.New("the firmware would refuse the signature")
	errUpdate    = errors.New("the firmware refused the update")
	errWeak      = fmt.Errorf("%w: PK and KEK are there to sign with, and nothing here signs with another key than RSA of at least %d bits", mok.ErrRefused, signerBits)
)

func (s *session) uefiEnroll() *cli.Command {
	return &cli.Command{
		Name:      "enroll",
		Usage:     "add certificates to the firmware's own db, with the owner's key",
		ArgsUsage: "CERT…",
		Description: "Makes a signed update of db (or KEK, or PK) that holds what is there and the certificates. It is shown only, unless --output\n" +
			"names a file for it or --write is given. What the firmware takes: in setup mode any update, but PK must be signed by itself;\n" +
			"else db by a key of KEK, KEK and PK by PK. A wrong db can stop the next boot: docs/uefi.md.",
		UsageText: "   kkeys uefi enroll --key KEK.key --cert KEK.pem db.der\n   kkeys uefi enroll --key KEK.key --cert KEK.pem db.der --output db.auth\n   sudo kkeys uefi enroll --key KEK.key --cert KEK.pem db.der --write",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "sign with the private key in `FILE` (PEM, RSA)"},
			&cli.StringFlag{Name: "cert", Usage: "its certificate, in `FILE`"},
			&cli.StringFlag{Name: "to", Usage: "the `VARIABLE`: db, KEK or PK", Value: "db"},
			&cli.StringFlag{Name: "output", Usage: "write the signed update into the new file `FILE`, - for standard output, for the firmware's menu or efi-updatevar"},
			&cli.BoolFlag{Name: "write", Usage: "write the variable of this machine (root)", DisableDefaultText: true},
			&cli.BoolFlag{Name: "with-microsoft-keys", Usage: "also on a machine that has Microsoft's keys", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			document := &uefiEnrollDocument{Requests: []requestDocument{}, Warnings: []string{}}
			err := s.runUEFIEnroll(c, document)
			if own := func(r requestDocument) bool { return r.Why != nil }; err != nil && slices.ContainsFunc(document.Requests, own) {
				refuse(document.Requests, errSubject)
			} else if err != nil {
				refuse(document.Requests, err)
			}
			return s.finish(document, &document.envelope, exitYes, err)
		},
	}
}

func (s *session) runUEFIEnroll(c *cli.Context, document *uefiEnrollDocument) error {
	at := slices.IndexFunc(firmwareNames[:3], func(n efivars.Name) bool { return strings.EqualFold(n.Name, c.String("to")) })
	switch {
	case c.NArg() == 0:
		return usage("no certificate named")
	case at < 0:
		return usage("--to %q: db, KEK or PK", c.String("to"))
	case !c.IsSet("key") || !c.IsSet("cert"):
		return usage("--key and --cert are needed: the firmware takes no update without a signature")
	}
	if c.String("output") == "-" && (s.json || s.quiet) {
		return usage("--output - writes the update to standard output, and nothing else can stand there")
	}
	target := firmwareNames[at]
	document.Variable = target.Name
	if target == efivars.PK && c.NArg() > 1 {
		return usage("PK holds one certificate")
	}
	added, err := s.updateSubjects(c.Args().Slice(), document)
	if err != nil {
		return err
	}
	key, signer, err := signingKey(c.String("key"), c.String("cert"))
	if err != nil {
		return err
	}
	if err := s.look(); err != nil {
		return err
	}
	if c.Bool("write") {
		unlock, err := s.lockToWrite()
		if err != nil {
			return err
		}
		defer unlock()
	}
	content, err := s.updated(c, target, added, signer, document)
	if err != nil {
		return err
	}
	update, err := efivars.NewUpdate(target, content, time.Now(), key, signer.X509)
	if err != nil {
		return err
	}
	return s.deliver(c, target, update, document)
}

// updateSubjects reads the certificates; one that cannot be read stops all.
func (s *session) updateSubjects(paths []string, document *uefiEnrollDocument) (added []*certs.Certificate, err error) {
	var failures []error
	for _, path := range paths {
		request := requestDocument{Path: path, Action: "would-add"}
		one, err := oneCertificate(path)
		if err == nil && slices.ContainsFunc(added, func(a *certs.Certificate) bool { return bytes.Equal(a.Raw, one.Raw) }) {
			err = coded(exitNo, "%s: %w", path, mok.ErrDuplicate)
		}
		if err != nil {
			why := err.Error()
			request.Action, request.Why = "refused", &why
			failures = append(failures, err)
		} else {
			details := one.Details()
			request.Certificate = &details
			added = append(added, one)
		}
		document.Requests = append(document.Requests, request)
	}
	return added, several(failures)
}

// signingKey reads a private key and its certificate.
func signingKey(keyPath, certPath string) (crypto.Signer, *certs.Certificate, error) {
	signer, err := oneCertificate(certPath)
	if err != nil {
		return nil, nil, err
	}
	if signer.X509 == nil {
		return nil, nil, failed("%s: %w", certPath, signer.X509Err)
	}
	key, err := privateKey(keyPath, nil)
	return key, signer, err
}

// updated gives the new content of the variable: what is there, then the certificates. It refuses what the firmware would not take, what would be
// of no use, and to change lists with Microsoft's keys unless that is named.
func (s *session) updated(c *cli.Context, target efivars.Name, added []*certs.Certificate, signer *certs.Certificate, document *uefiEnrollDocument) ([]byte, error) {
	lists := map[efivars.Name]mok.List{}
	for _, name := range firmwareNames[:4] {
		lists[name] = mok.ReadFirmwareList(s.machine.Variables, name)
		switch err := lists[name].Err; {
		case errors.Is(err, efivars.ErrDenied):
			return nil, unread(fmt.Errorf("%s: %w", name.Name, err))
		case err != nil:
			return nil, failed("%s: %w", name.Name, err)
		}
	}
	document.SetupMode = s.firmwareFlag(&document.envelope, efivars.SetupMode)
	if document.SetupMode == nil {
		return nil, fmt.Errorf("%w: whether the firmware is in setup mode", mok.ErrCannotTell)
	}
	var refused []error
	// EDK II's AuthService.c (ProcessVarWithKek) takes no PK for db, though UEFI would let it.
	signers := efivars.PK
	if target == efivars.DB {
		signers = efivars.KEK
	}
	if !*document.SetupMode && !lists[signers].Has(signer.Raw) {
		refused = append(refused, fmt.Errorf("%w: %s is not in %s", errSigner, c.String("cert"), signers.Name))
	}
	if *document.SetupMode && target == efivars.PK && !bytes.Equal(signer.Raw, added[0].Raw) {
		refused = append(refused, fmt.Errorf("%w: in setup mode a PK is signed by itself", errSigner))
	}
	if !c.Bool("with-microsoft-keys") {
		for _, name := range firmwareNames[:3] {
			if who := microsofts(lists[name]); who != "" {
				refused = append(refused, fmt.Errorf("%w (%s has %s): a mistake can keep what they vouch for from starting; --with-microsoft-keys goes on", errMicrosoft, name.Name, who))
				break
			}
		}
	}
	general := refused
	for i, one := range added {
		var err error
		switch {
		case target != efivars.DB && !signsUpdates(one):
			err = errWeak
		case lists[target].Has(one.Raw):
			err = errListed
		case lists[efivars.DBX].Forbids(efivars.X509List(efivars.Kkeys, one.Raw)):
			err = mok.ErrForbidden
		}
		if err != nil {
			why := err.Error()
			document.Requests[i].Action, document.Requests[i].Why = "refused", &why
			refused = append(refused, fmt.Errorf("%s: %w", document.Requests[i].Path, err))
		}
	}
	if len(refused) > 0 {
		refuseRest(document.Requests, general)
		return nil, several(refused)
	}
	content := lists[target].Lists
	if target == efivars.PK {
		content = nil // PK holds one
	}
	for _, one := range added {
		content = append(slices.Clip(content), efivars.X509List(efivars.Kkeys, one.Raw))
	}
	data, err := efivars.EncodeSignatureLists(content)
	if err != nil {
		return nil, err
	}
	document.Size = len(data)
	if len(data) > mok.VariableMax {
		return nil, fmt.Errorf("%w: %s would have %d bytes, more than %d is known to fail", mok.ErrTooLarge, target.Name, len(data), mok.VariableMax)
	}
	if space, err := s.machine.Variables.Space(); err == nil && space.Known() && space.Available < uint64(len(data)) {
		return nil, fmt.Errorf("%w: %d bytes are needed, %d can be written", mok.ErrNoSpace, len(data), space.Available)
	}
	if target == efivars.PK && len(lists[efivars.DB].Lists) == 0 {
		s.caution(&document.Warnings, "db is empty: with a PK the firmware leaves setup mode, and with Secure Boot on nothing starts")
	}
	return data, nil
}

// signsUpdates tells whether the firmware's lists can be signed with the certificate's key.
func signsUpdates(c *certs.Certificate) bool {
	if c.X509 == nil {
		return false
	}
	key, isRSA := c.X509.PublicKey.(*rsa.PublicKey)
	return isRSA && key.N.BitLen() >= signerBits
}

// signerBits is the least size of a key for updates that firmware is known to take.
const signerBits = 2048

// microsofts names the first of Microsoft's certificates in a list; empty when there is none.
func microsofts(list mok.List) string {
	for _, der := range list.Certificates() {
		if c, err := certs.ParseDER(der); err == nil {
			if subject := c.Details().Subject; strings.Contains(subject, "Microsoft Corporation") {
				return subject
			}
		}
	}
	return ""
}

// deliver shows the update, and writes it where that was asked for.
func (s *session) deliver(c *cli.Context, target efivars.Name, update efivars.Update, document *uefiEnrollDocument) error {
	bytesOf, path, say := update.Encode(), c.String("output"), s.say
	switch {
	case !c.IsSet("output"):
	case path == "-":
		document.Output = &path
		_, _ = s.out.Write(bytesOf)   // run looks at what could not be written
		say = func(string, ...any) {} // nothing else may stand there
	default:
		if err := newFile(path, bytesOf); err != nil {
			return wordDevice(path, err)
		}
		document.Output = &path
		say("%s: a signed update of %s, %d bytes", printable.Text(path), target.Name, len(bytesOf))
	}
	before := mok.ReadFirmwareList(s.machine.Variables, target)
	if c.Bool("write") {
		if err := s.writeUpdate(target, update); err != nil {
			return err
		}
		document.Written = true
		for i := range document.Requests {
			document.Requests[i].Action = "added"
		}
	}
	for _, r := range document.Requests {
		say("%s: %s: %s, key id %s", printable.Text(r.Path), becomes(target, before, document.Written), printable.Text(r.Certificate.Subject), r.Certificate.KeyID)
	}
	say("%s: %d bytes, signed by %s", target.Name, document.Size, printable.Text(c.String("cert")))
	if !document.Written && document.Output == nil {
		say("nothing was written: --write writes the variable, --output FILE the signed update")
	}
	return nil
}

// becomes says what a certificate is to the list, which it joins; only PK holds one, and the new one takes the place of the old.
func becomes(target efivars.Name, before mok.List, written bool) string {
	switch old := before.Certificates(); {
	case target != efivars.PK && written:
		return "is now in " + target.Name
	case target != efivars.PK:
		return "would be added to " + target.Name
	case len(old) == 0 && written:
		return "is now PK"
	case len(old) == 0:
		return "would become PK"
	case written:
		return fmt.Sprintf("is now PK, in the place of %s", nameOf(old[0]))
	default:
		return fmt.Sprintf("would replace %s as PK", nameOf(old[0]))
	}
}

// nameOf is a certificate's subject for people.
func nameOf(der []byte) string {
	c, err := certs.ParseDER(der)
	if err != nil {
		return "what is there"
	}
	return printable.Text(c.Details().Subject)
}

// wordDevice tells a path that exists, but is no file, apart from one that a new file would overwrite.
func wordDevice(path string, err error) error {
	if info, lerr := os.Lstat(path); errors.Is(err, machine.ErrExists) && lerr == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: it is there and is no regular file, while --output makes a new one; - is standard output (%w)", path, err)
	}
	return err
}

// lockToWrite keeps other writers away while the list is read, extended and written; it refuses where no firmware would look at the signature.
func (s *session) lockToWrite() (unlock func(), err error) {
	if dir, ok := s.machine.Variables.(*efivars.Dir); ok && !dir.Live() {
		return nil, failed("--write: %s are plain files, and only firmware can check a signature", dir.Path())
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if l, ok := s.machine.Variables.(efivars.Locker); ok {
		return l.Lock()
	}
	return func() {}, nil
}

// writeUpdate writes the variable and looks at what the firmware made of it.
func (s *session) writeUpdate(target efivars.Name, update efivars.Update) error {
	// The whole content, and not an addition: some firmware fails at those, or only claims success.
	err := s.machine.Variables.Set(target, efivars.AuthenticatedAttributes, update.Encode())
	_, got, gerr := s.machine.Variables.Get(target)
	switch {
	case err != nil && gerr == nil && bytes.Equal(got, update.Content):
		return failed("%s holds the new content, though the firmware reported: %w", target.Name, err)
	case errors.Is(err, efivars.ErrDenied):
		return fmt.Errorf("%w: %s was not changed; it takes no signature that it does not trust, and none whose time (%s, by this machine's clock) is not later than the last: %w",
			errUpdate, target.Name, update.Time.Format(time.DateTime+" UTC"), err)
	case err != nil:
		return failed("%s was not changed: %w", target.Name, err)
	case gerr != nil:
		return failed("%s was written and cannot be read back: %w", target.Name, gerr)
	case !bytes.Equal(got, update.Content):
		return fmt.Errorf("%w: %s", mok.ErrNotStored, target.Name)
	}
	// The next update must have a later time, and that is in whole seconds.
	time.Sleep(time.Until(update.Time.Add(time.Second)))
	return nil
}
