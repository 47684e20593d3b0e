package mok

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"kkeys/efivars"
	"kkeys/evidence"
)

// State is what shim left at boot for the operating system to read. Everything in it is as of that boot.
type State struct {
	// Shim: did shim start this system, or start what started it.
	Shim evidence.Reading
	// SecureBoot and SetupMode are the firmware's.
	SecureBoot, SetupMode evidence.Reading
	// ValidationDisabled: shim checks nothing (MokSBStateRT); Secure Boot of the firmware may still be on.
	ValidationDisabled evidence.Reading
	// IgnoreDB: shim and the kernel ignore the firmware's db (MokIgnoreDB).
	IgnoreDB evidence.Reading
	// Trusted: shim tells the kernel that it may trust MokList for modules: MokListTrustedRT is in the table, whatever its value, and there
	// alone the kernel looks (security/integrity/platform_certs/machine_keyring.c, uefi_check_trust_mok_keys, since 5.18). Every user
	// may list the table. shim before 15.6 makes the entry on request only; distributions patch the kernel's question out.
	Trusted evidence.Reading
	// Enrolled is MokListRT: shim's built-in keys and then MokList. Blocked is MokListXRT in the same way.
	Enrolled, Blocked List
	// Variables is shim's note of the firmware's limits, if there is one (shim 16.1).
	Variables VariableInfo
	// NotSeen are the sources that could not be read.
	NotSeen []Gap
	// Disagreements name entries whose copies in the table and in the variables differ.
	Disagreements []string
}

// List is one of shim's key lists.
type List struct {
	// Source is where it was read, as in "mok-variables/MokListRT"; empty if it was not seen at all.
	Source string
	// Lists without shim's placeholder for "empty", a SHA-256 of zeros.
	Lists []efivars.SignatureList
	// Size is the length of the encoded list in bytes.
	Size int
	// Err is a *efivars.CorruptError when the list is broken: Lists has what comes before the break, and neither kernel
	// nor mokutil sees what comes after. Only "Reset MOK" in MokManager cures it.
	Err error
}

// Seen reports whether the list was read.
func (l List) Seen() bool { return l.Source != "" }

// Certificates are the DER certificates in the list, in order.
func (l List) Certificates() [][]byte { return certificates(l.Lists) }

func certificates(lists []efivars.SignatureList) [][]byte {
	var ders [][]byte
	for _, l := range lists {
		if l.Type != efivars.X509 {
			continue
		}
		for _, s := range l.Signatures {
			ders = append(ders, s.Data)
		}
	}
	return ders
}

// ReadFirmwareList reads PK, KEK, db or dbx, or one of their defaults. One that is not there is empty and not seen; its Err also tells of one that
// could not be read.
func ReadFirmwareList(store efivars.Store, name efivars.Name) List {
	_, data, err := store.Get(name)
	if errors.Is(err, efivars.ErrNotFound) || errors.Is(err, efivars.ErrNotSupported) {
		return List{}
	}
	list := List{Source: "efivars/" + name.Name, Size: len(data), Err: err}
	if err == nil {
		list.Lists, list.Err = efivars.ParseSignatureLists(data)
	}
	return list
}

// Has reports whether exactly this certificate is in the list.
func (l List) Has(der []byte) bool { return contains(l.Certificates(), der) }

// HasHash reports whether the list names a certificate by a hash of its signed part, TBSCertificate (EFI_CERT_X509_SHA256 and its sisters: the
// hash, then the time of revocation; UEFI 2.10, 32.4.1).
func (l List) HasHash(tbs []byte) bool {
	sha256, sha384, sha512 := sha256.Sum256(tbs), sha512.Sum384(tbs), sha512.Sum512(tbs)
	sums := map[efivars.GUID][]byte{efivars.X509SHA256: sha256[:], efivars.X509SHA384: sha384[:], efivars.X509SHA512: sha512[:]}
	for _, list := range l.Lists {
		sum, known := sums[list.Type]
		for _, s := range list.Signatures {
			if known && bytes.HasPrefix(s.Data, sum) {
				return true
			}
		}
	}
	return false
}

func contains(ders [][]byte, der []byte) bool {
	for _, d := range ders {
		if bytes.Equal(d, der) {
			return true
		}
	}
	return false
}

// reader gathers a state; what it cannot read it notes once.
type reader struct {
	store efivars.Store
	root  fs.FS
	// tableErr tells why there is no table; nil if there is one.
	tableErr error
	state    *State
}

// ReadState gathers what can be seen, from the variables and from the table below the root; it does not fail, but its
// facts may be unknown and NotSeen says why.
func ReadState(store efivars.Store, root fs.FS) State {
	s := State{}
	r := &reader{store: store, root: root, state: &s}
	entries, err := efivars.TableEntries(root)
	r.tableErr = err
	if r.tableErr != nil && !errors.Is(r.tableErr, efivars.ErrNotSupported) {
		r.gap(efivars.TableDir, r.tableErr)
	}
	s.Enrolled = r.list("MokListRT")
	s.Blocked = r.list("MokListXRT")
	s.Shim = r.shim()
	s.SecureBoot = r.firmwareFlag(efivars.SecureBoot)
	s.SetupMode = r.firmwareFlag(efivars.SetupMode)
	s.ValidationDisabled = r.mark("MokSBStateRT")
	s.IgnoreDB = r.mark("MokIgnoreDB")
	s.Trusted = r.trusted(entries)
	if b, err := r.table("VariableInfo"); err == nil {
		if s.Variables, err = ParseVariableInfo(b); err != nil {
			r.gap("mok-variables/VariableInfo", err)
		}
	}
	return s
}

func (r *reader) gap(source string, err error) {
	for _, g := range r.state.NotSeen {
		if g.Source == source {
			return
		}
	}
	r.state.NotSeen = append(r.state.NotSeen, Gap{source, err})
}

// table reads an entry.
func (r *reader) table(entry string) ([]byte, error) {
	if r.tableErr != nil {
		return nil, r.tableErr
	}
	return efivars.ReadTable(r.root, entry)
}

// mirror reads one of shim's variables. Only a volatile one is shim's work: anybody who is root can make the other sort,
// and shim removes those at the next boot.
func (r *reader) mirror(name string) ([]byte, error) {
	a, b, err := r.store.Get(Variable(name))
	if err == nil && a.Has(efivars.NonVolatile) {
		err = fmt.Errorf("%w: it has attributes %s and is not from shim", efivars.ErrMalformed, a)
	}
	if err != nil && !errors.Is(err, efivars.ErrNotFound) {
		r.gap("efivars/"+name, err)
	}
	return b, err
}

// shim looks for what only shim leaves.
func (r *reader) shim() evidence.Reading {
	if r.tableErr == nil {
		return evidence.Reading{Answer: evidence.Yes, Source: "mok-variables"}
	}
	var unread error
	for _, name := range []string{"MokListRT", "SbatLevelRT", "MokListXRT"} {
		_, err := r.mirror(name)
		switch {
		case err == nil:
			return evidence.Reading{Answer: evidence.Yes, Source: "efivars/" + name}
		case !errors.Is(err, efivars.ErrNotFound):
			unread = err
		}
	}
	switch {
	case errors.Is(unread, efivars.ErrNotSupported) && errors.Is(r.tableErr, efivars.ErrNotSupported):
		return evidence.Reading{Source: "efivars", Evidence: "there are no EFI variables and no MOK variable table"}
	case unread != nil:
		return evidence.Reading{Source: "efivars", Evidence: unread.Error()}
	case !errors.Is(r.tableErr, efivars.ErrNotSupported):
		return evidence.Reading{Source: "mok-variables", Evidence: r.tableErr.Error()}
	}
	return evidence.Reading{Answer: evidence.No, Source: "efivars", Evidence: "neither a MOK variable table nor MokListRT or SbatLevelRT"}
}

// mark answers whether shim left an entry with the single byte 1, such as MokSBStateRT.
func (r *reader) mark(name string) evidence.Reading {
	b, source, err := r.either(name)
	if errors.Is(err, efivars.ErrNotFound) {
		return r.absent(source)
	}
	return r.flag(source, b, err)
}

// trusted looks whether the table has the entry.
func (r *reader) trusted(entries []string) evidence.Reading {
	const name = "MokListTrustedRT"
	f := evidence.Reading{Source: "mok-variables/" + name}
	switch {
	case r.tableErr != nil:
		f.Evidence = "there is no MOK variable table to be seen, in which alone the kernel looks"
	case slices.Contains(entries, name):
		f.Answer = evidence.Yes
	default:
		f.Answer, f.Evidence = evidence.No, "absent"
	}
	return f
}

// either reads an entry of the table, whose word is final, and only when there is no table to be read the variable.
func (r *reader) either(name string) (b []byte, source string, err error) {
	b, err = r.table(name)
	if err == nil || errors.Is(err, efivars.ErrNotFound) {
		return b, "mok-variables/" + name, err
	}
	b, verr := r.mirror(name)
	if verr != nil && !errors.Is(err, efivars.ErrNotSupported) && !errors.Is(verr, efivars.ErrNotFound) {
		r.gap("mok-variables/"+name, err)
	}
	return b, "efivars/" + name, verr
}

// flag is the answer of one byte, 0 or 1.
func (r *reader) flag(source string, b []byte, err error) evidence.Reading {
	if err == nil && (len(b) != 1 || b[0] > 1) {
		err = fmt.Errorf("%w: %d bytes instead of a single 0 or 1", efivars.ErrMalformed, len(b))
	}
	if err != nil {
		r.gap(source, err)
		return evidence.Reading{Source: source, Evidence: err.Error()}
	}
	return evidence.Reading{Answer: [...]evidence.Answer{evidence.No, evidence.Yes}[b[0]], Source: source}
}

// absent means no, if shim was there to leave the entry.
func (r *reader) absent(source string) evidence.Reading {
	if shim := r.state.Shim; shim.Answer != evidence.Yes {
		return evidence.Reading{Source: source, Evidence: "absent, and shim was not seen"}
	}
	return evidence.Reading{Answer: evidence.No, Source: source, Evidence: "absent"}
}

// firmwareFlag reads a variable of the firmware.
func (r *reader) firmwareFlag(n efivars.Name) evidence.Reading {
	_, b, err := r.store.Get(n)
	return r.flag("efivars/"+n.Name, b, err)
}

// chunks is more parts of one list than any shim makes.
const chunks = 1000

// list reads a key list from the table, else from the variables, and compares the two where both are there.
func (r *reader) list(name string) List {
	table, terr := r.table(name)
	parts, verr := r.parts(name)
	var fromTable, fromParts List
	if terr == nil {
		fromTable = decode("mok-variables/"+name, [][]byte{table})
	}
	if verr == nil {
		fromParts = decode("efivars/"+name, parts)
	}
	switch {
	case terr != nil:
		if verr != nil && !errors.Is(terr, efivars.ErrNotFound) && !errors.Is(terr, efivars.ErrNotSupported) {
			r.gap("mok-variables/"+name, terr)
		}
		return fromParts
	case verr == nil && !sameSignatures(fromTable.Lists, fromParts.Lists):
		r.state.Disagreements = append(r.state.Disagreements, name)
	}
	// The kernel takes the variable when the table's copy does not parse (load_uefi.c, load_moklist_certs).
	if fromTable.Err != nil && fromParts.Seen() && fromParts.Err == nil {
		r.gap(fromTable.Source, fromTable.Err)
		return fromParts
	}
	return fromTable
}

// parts reads name, name1, name2 and so on up to the first that is not there: shim splits a list that is too large for
// one variable, and each part is whole lists of its own.
func (r *reader) parts(name string) ([][]byte, error) {
	first, err := r.mirror(name)
	if err != nil {
		return nil, err
	}
	parts := [][]byte{first}
	for i := 1; i < chunks; i++ {
		part, err := r.mirror(name + strconv.Itoa(i))
		if errors.Is(err, efivars.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// decode parses each part on its own and stops at the first break.
func decode(source string, parts [][]byte) List {
	l := List{Source: source}
	for i, part := range parts {
		l.Size += len(part)
		lists, err := efivars.ParseSignatureLists(part)
		var corrupt *efivars.CorruptError
		if errors.As(err, &corrupt) {
			l.Err = fmt.Errorf("%s part %d: %w", source, i, err)
			lists, _ = efivars.ParseSignatureLists(part[:corrupt.Clean])
		}
		for _, list := range lists {
			if !placeholder(list) {
				l.Lists = append(l.Lists, list)
			}
		}
		if l.Err != nil {
			break
		}
	}
	return l
}

// placeholder is what shim writes for an empty list: one SHA-256 of 32 zero bytes.
func placeholder(l efivars.SignatureList) bool {
	return l.Type == efivars.SHA256 && len(l.Signatures) == 1 &&
		bytes.Equal(l.Signatures[0].Data, make([]byte, 32))
}

// sameSignatures compares signatures one by one, however they are divided into lists.
func sameSignatures(a, b []efivars.SignatureList) bool {
	flat := func(lists []efivars.SignatureList) (out []efivars.SignatureList) {
		for _, l := range lists {
			for _, s := range l.Signatures {
				out = append(out, efivars.SignatureList{Type: l.Type, Signatures: []efivars.Signature{s}})
			}
		}
		return out
	}
	fa, fb := flat(a), flat(b)
	if len(fa) != len(fb) {
		return false
	}
	for i := range fa {
		x, y := fa[i].Signatures[0], fb[i].Signatures[0]
		if fa[i].Type != fb[i].Type || x.Owner != y.Owner || !bytes.Equal(x.Data, y.Data) {
			return false
		}
	}
	return true
}
