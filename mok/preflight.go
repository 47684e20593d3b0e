package mok

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"

	"kkeys/efivars"
	"kkeys/evidence"
)

// BootChain is what the firmware will start at the next boot, as far as whoever fills it in could see. MokManager is
// looked for beside the shim that starts, not where another one lies.
type BootChain struct {
	// Loader is the path of that program as seen from here, as in /boot/efi/EFI/debian/shimx64.efi. For messages.
	Loader string
	// IsShim: that program is shim.
	IsShim evidence.Reading
	// Manager is the path of the MokManager that shim will look for, seen in the same way. For messages.
	Manager string
	// HasManager: it is there.
	HasManager evidence.Reading
	// Err is what kept IsShim or HasManager from being known; nil where they are.
	Err error
	// Programs are what shim then starts, for wishes that could keep it from that.
	Programs []Program
}

// Program is an EFI program.
type Program struct {
	Path string // as seen from here
	// Signers are the certificates in its signatures, in DER.
	Signers [][]byte
	// Digest is its SHA-256 as Authenticode computes it.
	Digest []byte
}

// by tells whether shim could start the program because of this certificate or hash.
func (p Program) by(one efivars.SignatureList) bool {
	data := one.Signatures[0].Data
	if one.Type != efivars.X509 {
		return one.Type == efivars.SHA256 && bytes.Equal(data, p.Digest)
	}
	issuer, issuerErr := x509.ParseCertificate(data)
	return slices.ContainsFunc(p.Signers, func(der []byte) bool {
		if bytes.Equal(der, data) {
			return true
		}
		signer, err := x509.ParseCertificate(der)
		return err == nil && issuerErr == nil && bytes.Equal(signer.RawIssuer, issuer.RawSubject) &&
			issuer.CheckSignature(signer.SignatureAlgorithm, signer.RawTBSCertificate, signer.Signature) == nil
	})
}

// Facts is all that staging is judged by.
type Facts struct {
	State   State
	Pending Pending
	// Allowed and Forbidden are the firmware's db and dbx.
	Allowed, Forbidden List
	// Space is the firmware's storage; SpaceErr says why it could not be asked.
	Space    efivars.Space
	SpaceErr error
	Boot     BootChain
	Vendor   Vendor
}

// Vendor is what is built into the shim that started this system. shim puts it in front of its lists, and MokManager cannot remove it.
type Vendor struct {
	// Allowed certificates, in DER, and Forbidden signatures.
	Allowed   [][]byte
	Forbidden []efivars.SignatureList
	// Err says why they are not known, or not all of them; nil when they are.
	Err error
}

// ReadFacts gathers the facts from the variables and the table below the root; the boot chain and what is built into shim come
// from the caller. Meanwhile no other run of kkeys writes, if that can be had.
func ReadFacts(store efivars.Store, root fs.FS, boot BootChain, vendor Vendor) Facts {
	if unlock, err := exclusive(store); err == nil {
		defer unlock()
	}
	f := Facts{State: ReadState(store, root), Pending: ReadPending(store), Boot: boot, Vendor: vendor}
	f.Allowed, f.Forbidden = ReadFirmwareList(store, efivars.DB), ReadFirmwareList(store, efivars.DBX)
	f.Space, f.SpaceErr = store.Space()
	return f
}

// Limits in bytes.
const (
	// reserve is EFI_MIN_RESERVE: what the kernel on x86 keeps free, and what any firmware should keep.
	reserve = 5120
	// VariableMax: no firmware is known to store more in one variable than about 32 KiB.
	VariableMax = 30 << 10
	// variableSoft: some firmware stores no more than 8 KiB.
	variableSoft = 8 << 10
	// listOverhead is what MokManager needs besides the keys.
	listOverhead = 64
	// derLow is the least size of a certificate that shim uses: it wants 30 82 and two bytes of length (shim.c,
	// verify_x509), and DER has that form only for 256 bytes and more.
	derLow = 4 + 256
)

// Preflight finds every reason not to stage the wish, each once; no reasons is a nil error. It reads nothing and writes nothing. The error is
// a *Refusal.
func (f Facts) Preflight(w Wish) error {
	r := &Refusal{}
	if err := f.unsupported(); err != nil { // then nothing else can be seen either
		r.add(ErrCannotTell, err, "%v", err)
	} else {
		f.checkBoot(r)
		f.checkPending(r, w.Kind)
	}
	switch w.Kind {
	case Enroll, Delete, Block, Unblock:
		f.checkSubjects(r, w)
	case Reset, ResetBlocked:
		f.checkReset(r, w.Kind)
	case Validation, UseDB, TrustList:
		f.checkSwitch(r, w)
		if w.Kind == UseDB && !w.On {
			f.checkWithoutDB(r)
		}
	}
	if w.Timeout != nil {
		if _, err := TimeoutData(*w.Timeout); err != nil {
			r.add(ErrTimeout, nil, "%d", *w.Timeout)
		}
	}
	f.checkSizes(r, w)
	if len(r.Reasons) == 0 {
		return nil
	}
	return r
}

func (f Facts) checkBoot(r *Refusal) {
	switch shim := f.State.Shim; shim.Answer {
	case evidence.No:
		r.add(ErrNotShim, nil, "%s", shim.Evidence)
	case evidence.Unknown:
		r.add(ErrCannotTell, nil, "whether this system was booted through shim: %s", why(shim))
	}
	switch b := f.Boot; {
	case b.IsShim.Answer == evidence.No:
		r.add(ErrOtherLoader, nil, "%s%s", b.Loader, because(b.IsShim))
	case b.IsShim.Answer == evidence.Unknown:
		r.add(ErrCannotTell, b.Err, "whether the next boot goes through shim: %s", why(b.IsShim))
	case b.HasManager.Answer == evidence.No:
		r.add(ErrMokManagerMissing, nil, "%s%s", b.Manager, because(b.HasManager))
	case b.HasManager.Answer == evidence.Unknown:
		r.add(ErrCannotTell, b.Err, "whether MokManager is beside shim: %s", why(b.HasManager))
	}
}

// unsupported is the error that says that no EFI variable can be seen at all, or nil.
func (f Facts) unsupported() error {
	for _, gap := range f.Pending.NotSeen {
		if errors.Is(gap.Err, efivars.ErrNotSupported) || errors.Is(gap.Err, efivars.ErrNotMounted) {
			return gap.Err
		}
	}
	return nil
}

func why(f evidence.Reading) string {
	if f.Evidence == "" {
		return "not looked for"
	}
	return f.Evidence
}

func because(f evidence.Reading) string {
	if f.Evidence == "" {
		return ""
	}
	return " (" + f.Evidence + ")"
}

func (f Facts) checkPending(r *Refusal, k Kind) {
	for _, gap := range f.Pending.NotSeen {
		if gap.Source != "efivars/"+Timeout.Name {
			r.add(ErrCannotTell, gap.Err, "what is pending: %s", gap)
		}
	}
	for _, name := range f.Pending.Orphans {
		r.add(ErrOrphanAuth, nil, "%s", name)
	}
	for _, q := range f.Pending.Requests {
		switch {
		case q.Kind == k && !k.listed():
			r.add(ErrAlreadyPending, nil, "%s", q.Variable)
		case q.Kind == Reset || q.Kind == ResetBlocked:
			r.add(ErrOrphanAuth, nil, "%s alone, which MokManager offers as %q", q.Variable, menu[q.Kind])
		case q.Kind != k:
			r.add(ErrOtherPending, nil, "%s (%s)", q.Kind, q.Variable)
		case q.Err != nil:
			r.add(ErrCorruptPending, q.Err, "%v", q.Err)
		case q.Auth.Answer == evidence.No:
			r.add(ErrOrphanRequest, nil, "%s; %s %s", q.Variable, kindNames[k].auth, q.Auth.Evidence)
		}
	}
}

func (f Facts) checkSizes(r *Refusal, w Wish) {
	pending, _ := f.Pending.Request(w.Kind)
	request := len(pending.raw) + len(w.data())
	// shim's list has the vendor's entries too, which are not in the variable: this errs on the safe side by a certificate or two.
	list, name := request, kindNames[w.Kind].request
	switch w.Kind {
	case Enroll:
		list, name = request+f.State.Enrolled.Size+listOverhead, "MokList"
	case Block:
		list, name = request+f.State.Blocked.Size+listOverhead, "MokListX"
	}
	if limit, ok := f.State.Variables.listLimit(); ok {
		if list > limit {
			r.add(ErrTooLarge, nil, "%s would have up to %d bytes, the firmware stores %d", name, list, limit)
		}
	} else if list > VariableMax {
		r.add(ErrTooLarge, nil, "%s would have up to %d bytes, more than %d is known to fail", name, list, VariableMax)
	}
	if need := uint64(request + AuthSize + 4); f.Space.Known() && f.Space.Free < need+reserve {
		r.add(ErrNoSpace, nil, "%d bytes are free; %d are needed and %d must stay free", f.Space.Free, need, reserve)
	}
}
