package mok

import (
	"errors"
	"fmt"
	"io/fs"

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
}

// Facts is all that staging is judged by.
type Facts struct {
	State   State
	Pending Pending
	// Space is the firmware's storage; SpaceErr says why it could not be asked.
	Space    efivars.Space
	SpaceErr error
	Boot     BootChain
}

// ReadFacts gathers the facts from the variables and the table below the root; the boot chain comes from the caller.
func ReadFacts(store efivars.Store, root fs.FS, boot BootChain) Facts {
	f := Facts{State: ReadState(store, root), Pending: ReadPending(store), Boot: boot}
	f.Space, f.SpaceErr = store.Space()
	return f
}

// Enrolment is a wish to add keys to MokList.
type Enrolment struct {
	// Certificates in DER, each parsed by the caller.
	Certificates [][]byte
	// Timeout is how many seconds MokManager shall wait for a key, -1 for ever, nil to leave it (10 seconds).
	Timeout *int32
}

// Limits in bytes.
const (
	// reserve is EFI_MIN_RESERVE: what the kernel on x86 keeps free, and what any firmware should keep.
	reserve = 5120
	// variableHard: no firmware is known to store more in one variable than about 32 KiB.
	variableHard = 30 << 10
	// variableSoft: some firmware stores no more than 8 KiB.
	variableSoft = 8 << 10
	// listOverhead is what MokManager needs besides the keys.
	listOverhead = 64
	// derLow is the least size of a certificate that shim uses: it wants 30 82 and two bytes of length (shim.c,
	// verify_x509), and DER has that form only for 256 bytes and more.
	derLow = 4 + 256
)

// Preflight finds every reason not to stage the enrolment, each once; no reasons is a nil error. It reads nothing and
// writes nothing. The error is a *Refusal.
func (f Facts) Preflight(e Enrolment) error {
	r := &Refusal{}
	if err := f.unsupported(); err != nil { // then nothing else can be seen either
		r.add(ErrCannotTell, err, "%v", err)
	} else {
		f.checkBoot(r)
		f.checkPending(r)
	}
	f.checkCertificates(r, e.Certificates)
	if e.Timeout != nil && *e.Timeout != -1 && *e.Timeout <= 0 {
		r.add(ErrTimeout, nil, "%d", *e.Timeout)
	}
	f.checkSizes(r, e)
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
		r.add(ErrCannotTell, nil, "whether the next boot goes through shim: %s", why(b.IsShim))
	case b.HasManager.Answer == evidence.No:
		r.add(ErrMokManagerMissing, nil, "%s%s", b.Manager, because(b.HasManager))
	case b.HasManager.Answer == evidence.Unknown:
		r.add(ErrCannotTell, nil, "whether MokManager is beside shim: %s", why(b.HasManager))
	}
}

// unsupported is the error that says that there are no EFI variables at all, or nil.
func (f Facts) unsupported() error {
	for _, gap := range f.Pending.NotSeen {
		if errors.Is(gap.Err, efivars.ErrNotSupported) {
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

func (f Facts) checkPending(r *Refusal) {
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
		case q.Kind == Reset || q.Kind == ResetBlocked:
			r.add(ErrOrphanAuth, nil, "%s alone, which MokManager offers as %q", q.Variable, "Reset MOK")
		case q.Kind != Enroll:
			r.add(ErrOtherPending, nil, "%s (%s)", q.Kind, q.Variable)
		case q.Err != nil:
			r.add(ErrCorruptPending, q.Err, "%v", q.Err)
		case q.Auth.Answer == evidence.No:
			r.add(ErrOrphanRequest, nil, "%s; %s %s", q.Variable, kindNames[Enroll].auth, q.Auth.Evidence)
		}
	}
}

func (f Facts) checkCertificates(r *Refusal, ders [][]byte) {
	if len(ders) == 0 {
		r.add(ErrNothing, nil, "no certificate")
	}
	enrolled, blocked := f.State.Enrolled, f.State.Blocked
	switch {
	case enrolled.Err != nil:
		r.add(ErrCorruptList, enrolled.Err, "%v", enrolled.Err)
	case blocked.Err != nil:
		r.add(ErrCorruptList, blocked.Err, "shim's blocklist: %v", blocked.Err)
	case !enrolled.Seen() && f.State.Shim.Answer == evidence.Yes:
		r.add(ErrCannotTell, nil, "which keys are enrolled: MokListRT was not seen")
	}
	pending, _ := f.Pending.Request(Enroll)
	for i, der := range ders {
		if why := notDER(der); why != "" {
			r.about(i, ErrNotDER, "%s", why)
			continue
		}
		switch {
		case contains(ders[:i], der):
			r.about(i, ErrDuplicate, "")
		case enrolled.Has(der):
			r.about(i, ErrAlreadyEnrolled, "in %s", enrolled.Source)
		case contains(pending.Certificates(), der):
			r.about(i, ErrAlreadyPending, "in %s", pending.Variable)
		}
		if blocked.Has(der) {
			r.about(i, ErrBlocked, "in %s", blocked.Source)
		}
	}
}

// notDER says why shim would not use these bytes, which MokManager does not check.
func notDER(der []byte) string {
	switch {
	case len(der) < derLow:
		return fmt.Sprintf("%d bytes, shim uses none under %d", len(der), derLow)
	case der[0] != 0x30 || der[1] != 0x82:
		return "it does not begin with 30 82"
	}
	if size := 4 + (int(der[2])<<8 | int(der[3])); size != len(der) {
		return fmt.Sprintf("its header says %d bytes, there are %d", size, len(der))
	}
	return ""
}

func (f Facts) checkSizes(r *Refusal, e Enrolment) {
	pending, _ := f.Pending.Request(Enroll)
	request := len(pending.raw)
	for _, der := range e.Certificates {
		request += efivars.X509List(efivars.Shim, der).Size()
	}
	// MokListRT has the vendor's keys too, which are not in MokList: this errs on the safe side by a certificate or two.
	list := f.State.Enrolled.Size + request + listOverhead
	if limit, ok := f.State.Variables.listLimit(); ok {
		if list > limit {
			r.add(ErrTooLarge, nil, "MokList would have up to %d bytes, the firmware stores %d", list, limit)
		}
	} else if list > variableHard {
		r.add(ErrTooLarge, nil, "MokList would have up to %d bytes, more than %d is known to fail", list, variableHard)
	}
	if need := uint64(request + AuthSize + 4); f.Space.Known() && f.Space.Free < need+reserve {
		r.add(ErrNoSpace, nil, "%d bytes are free; %d are needed and %d must stay free", f.Space.Free, need, reserve)
	}
}
