package mok

import (
	"errors"
	"fmt"
	"strings"
)

// The two families of reasons not to stage: every Reason is in one of them.
var (
	// ErrRefused: it is known that staging would be useless or do harm.
	ErrRefused = errors.New("refused")
	// ErrCannotTell: something that must be known before staging could not be seen.
	ErrCannotTell = errors.New("cannot tell")
)

// Reasons to refuse.
var (
	// ErrNotShim: the system was not started through shim, so nobody would read the request.
	ErrNotShim = errors.New("this system was not booted through shim")
	// ErrOtherLoader: the program that the firmware starts next is not shim.
	ErrOtherLoader = errors.New("the next boot does not go through shim")
	// ErrMokManagerMissing: MokManager is not there, or damaged, and shim would stop the machine at every boot.
	ErrMokManagerMissing = errors.New("shim cannot start MokManager")
	// ErrOtherPending: a request of another kind is pending; of two kinds, one gets lost or turns into another.
	ErrOtherPending = errors.New("another kind of request is pending")
	// ErrOrphanAuth: a password without a request; MokManager offers to erase all keys, or a new request would take it over.
	ErrOrphanAuth = errors.New("a left-over password is staged without a request")
	// ErrOrphanRequest: a request without a usable password, left by a cancel or staging that was cut short.
	ErrOrphanRequest = errors.New("a left-over request is staged without a password")
	// ErrCorruptPending: the pending request cannot be decoded and nothing may be added to it.
	ErrCorruptPending = errors.New("the pending request is corrupt")
	// ErrCorruptList: the enrolled list is broken; whatever is enrolled after the break is invisible.
	ErrCorruptList = errors.New("the enrolled list is corrupt")
	// ErrCorruptBlocklist: the same of shim's blocklist; whether a key is blocked cannot be told.
	ErrCorruptBlocklist = errors.New("shim's blocklist is corrupt")
	// ErrAlreadyEnrolled: the certificate is in MokListRT.
	ErrAlreadyEnrolled = errors.New("already enrolled")
	// ErrAlreadyPending: the same is pending: the certificate in MokNew, a reset, a switch.
	ErrAlreadyPending = errors.New("already pending")
	// ErrBlocked: the certificate is in MokListXRT.
	ErrBlocked = errors.New("blocked by shim's blocklist")
	// ErrForbidden: the certificate is in dbx, as it is or by the hash of its signed part. Neither shim nor the kernel takes it.
	ErrForbidden = errors.New("forbidden by the firmware's dbx")
	// ErrDuplicate: the certificate was given twice.
	ErrDuplicate = errors.New("given twice")
	// ErrNotDER: not the form of a DER certificate that shim uses.
	ErrNotDER = errors.New("not a DER certificate that shim would use")
	// ErrNotHash: a hash that shim would never compare with anything.
	ErrNotHash = errors.New("not a hash that shim would use")
	// ErrTooLarge: larger than the firmware stores in one variable.
	ErrTooLarge = errors.New("too large for the firmware")
	// ErrNoSpace: the firmware's storage would be full.
	ErrNoSpace = errors.New("too little space left for EFI variables")
	// ErrTimeout: a timeout that is a trap: with 0 a key in the first second loses the request.
	ErrTimeout = errors.New("timeout must be -1 or more than 0")
	// ErrNothing: no certificate was given.
	ErrNothing = errors.New("nothing to ask for")
	// ErrNotListed: what shall be taken from a list is not in it; a certificate that was made again for the same key is another one.
	ErrNotListed = errors.New("not in the list")
	// ErrVendor: it is built into shim by its vendor.
	ErrVendor = errors.New("built into shim by its vendor")
	// ErrStarts: shim starts a program of this machine because of it (a key, a hash, the firmware's db), and would no longer.
	ErrStarts = errors.New("this machine starts with it")
	// ErrNoChange: it is so already, and MokManager would fail.
	ErrNoChange = errors.New("nothing would change")
)

// Reason is one reason not to stage. errors.Is finds Err, its family, and what Cause wraps.
type Reason struct {
	// Err is one of the sentinels above; ErrCannotTell itself when something could not be seen.
	Err error
	// Detail says what was seen.
	Detail string
	// Subject is the index of the certificate that it is about, or, counted on from the certificates, of the hash; -1 if it is about none.
	Subject int
	// Cause is an error under it, or nil.
	Cause error
}

func (r *Reason) Error() string {
	if r.Detail == "" {
		return r.Err.Error()
	}
	return r.Err.Error() + ": " + r.Detail
}

// Unwrap gives the sentinel, its family and the cause.
func (r *Reason) Unwrap() []error {
	errs := []error{r.Err}
	if r.Err != ErrCannotTell {
		errs = append(errs, ErrRefused)
	}
	if r.Cause != nil {
		errs = append(errs, r.Cause)
	}
	return errs
}

// Refusal is all reasons at once. errors.Is finds each; it is ErrRefused when one of them is, and ErrCannotTell when one
// of them is: a refusal for a known reason outweighs what could not be seen.
type Refusal struct{ Reasons []*Reason }

func (r *Refusal) Error() string {
	texts := make([]string, len(r.Reasons))
	for i, reason := range r.Reasons {
		texts[i] = reason.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the reasons.
func (r *Refusal) Unwrap() []error {
	errs := make([]error, len(r.Reasons))
	for i, reason := range r.Reasons {
		errs[i] = reason
	}
	return errs
}

// add notes a reason that is about none of them.
func (r *Refusal) add(err, cause error, format string, args ...any) {
	r.Reasons = append(r.Reasons, &Reason{Err: err, Detail: fmt.Sprintf(format, args...), Subject: -1, Cause: cause})
}

// about notes a reason about a certificate or hash.
func (r *Refusal) about(i int, err error, format string, args ...any) {
	r.Reasons = append(r.Reasons, &Reason{Err: err, Detail: fmt.Sprintf(format, args...), Subject: i})
}
