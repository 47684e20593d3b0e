package kernel

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// AttemptRecord is an [Attempt] in the form that encoding/json writes and reads. Of the kernel log it has the lines about refused modules alone, see
// [Record.Notice]; the others are other programs' affair.
type AttemptRecord struct {
	Errno       string   `json:"errno"` // the name of the errno, "errno" and a number, or "loaded"
	Log         []string `json:"log"`   // messages
	LogProblem  string   `json:"log_problem,omitempty"`
	TaintBefore *uint64  `json:"taint_before"`
	TaintAfter  *uint64  `json:"taint_after"`
}

// wordLoaded stands for [Loaded], so that a word that is missing means nothing.
const wordLoaded = "loaded"

// Record gives the form for writing.
func (a *Attempt) Record() AttemptRecord {
	r := AttemptRecord{Errno: string(a.Errno), Log: []string{}, LogProblem: a.LogProblem, TaintBefore: a.TaintBefore, TaintAfter: a.TaintAfter}
	if a.Errno == Loaded {
		r.Errno = wordLoaded
	}
	for _, line := range a.Log {
		if _, ok := line.Notice(); ok {
			r.Log = append(r.Log, line.Message)
		}
	}
	return r
}

// Attempt reads what Record wrote. An error says which part is not of that form.
func (r AttemptRecord) Attempt() (*Attempt, error) {
	a := &Attempt{Errno: Errno(r.Errno), LogProblem: r.LogProblem, TaintBefore: r.TaintBefore, TaintAfter: r.TaintAfter}
	switch {
	case r.Errno == wordLoaded:
		a.Errno = Loaded
	case !knownErrno(r.Errno):
		return nil, fmt.Errorf("errno %.80q is unknown", r.Errno)
	}
	for _, message := range r.Log {
		line := Record{Message: message}
		if _, ok := line.Notice(); !ok || len(message) > recordMax || strings.ContainsAny(message, "\n\x00") {
			return nil, fmt.Errorf("log line %.80q is not one about a refused module", message)
		}
		a.Log = append(a.Log, line)
	}
	return a, nil
}

// errnos are the names that Linux has for them on any architecture (include/uapi/asm-generic/errno-base.h, errno.h; arch/*/include/uapi/asm/errno.h), and
// x/sys/unix.
var errnos = strings.Fields(`
	E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EADV EAFNOSUPPORT EAGAIN EALREADY EBADE EBADF EBADFD EBADMSG EBADR EBADRQC EBADSLT EBFONT EBUSY ECANCELED
	ECHILD ECHRNG ECOMM ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDEADLOCK EDESTADDRREQ EDOM EDOTDOT EDQUOT EEXIST EFAULT EFBIG EFSCORRUPTED EFTYPE EHOSTDOWN
	EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINIT EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR EISNAM EKEYEXPIRED EKEYREJECTED EKEYREVOKED EL2HLT EL2NSYNC
	EL3HLT EL3RST ELIBACC ELIBBAD ELIBEXEC ELIBMAX ELIBSCN ELNRNG ELOOP EMEDIUMTYPE EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENAVAIL ENETDOWN
	ENETRESET ENETUNREACH ENFILE ENOANO ENOBUFS ENOCSI ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOLCK ENOLINK ENOMEDIUM ENOMEM ENOMSG ENONET ENOPKG
	ENOPROTOOPT ENOSPC ENOSR ENOSTR ENOSYS ENOTBLK ENOTCONN ENOTDIR ENOTEMPTY ENOTNAM ENOTRECOVERABLE ENOTSOCK ENOTSUP ENOTTY ENOTUNIQ ENXIO EOPNOTSUPP
	EOVERFLOW EOWNERDEAD EPERM EPFNOSUPPORT EPIPE EPROCLIM EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMCHG EREMDEV EREMOTE EREMOTEIO ERESTART ERREMOTE ERFKILL EROFS ESHUTDOWN
	ESOCKTNOSUPPORT ESPIPE ESRCH ESRMNT ESTALE ESTRPIPE ETIME ETIMEDOUT ETOOMANYREFS ETXTBSY EUCLEAN EUNATCH EUSERS EWOULDBLOCK EXDEV EXFULL`)

// numbered is an errno without a name; the kernel has none above 4095 (include/linux/err.h, MAX_ERRNO).
var numbered = regexp.MustCompile(`^errno ([1-9][0-9]{0,3})$`)

func knownErrno(name string) bool {
	if match := numbered.FindStringSubmatch(name); match != nil {
		n, err := strconv.Atoi(match[1])
		return err == nil && n <= 4095
	}
	return slices.Contains(errnos, name)
}
