package kernel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"kkeys/evidence"
)

// Prober asks the kernel to load a payload and tells how it refuses.
type Prober interface {
	// Probe hands the payload, followed by a trailer (an appended signature, or nothing), to init_module once. The kernel's refusal is
	// the answer and not an error. On failure [ErrNoProbe]: then nothing was asked.
	Probe(payload *Payload, trailer []byte) (*Attempt, error)
}

// ErrNoProbe: this system has no init_module, so there is nothing to ask.
var ErrNoProbe = errors.New("no kernel here that can be asked to load a module")

// Errno is how the kernel refused: the name of the errno, since its number differs between architectures. One without a name is "errno"
// and the number.
type Errno string

// The answers of init_module that have a meaning for a probe (kernel/module/main.c, load_module; signing.c, module_sig_check).
const (
	// Loaded: the kernel took it. A payload cannot be taken, so this is a defect of kernel or payload.
	Loaded Errno = ""
	// ENOEXEC: refused as an object: the signature was accepted, or none is asked for; Linux 4.19 to 5.11 may not have looked at it.
	ENOEXEC Errno = "ENOEXEC"
	// EKEYREJECTED: a key of that id was found and the signature is not its, or signatures are enforced and this one is missing or not known.
	EKEYREJECTED Errno = "EKEYREJECTED"
	// EPERM: lockdown refuses a module without a trusted signature; or before all that: no CAP_SYS_MODULE, modules_disabled, a security
	// module, a container's filter.
	EPERM Errno = "EPERM"
	// EACCES: a security module refuses (SELinux module_load, IMA appraisal).
	EACCES Errno = "EACCES"
	// EBADMSG: the signature's frame or its PKCS#7 is broken, on every kernel and in every mode.
	EBADMSG Errno = "EBADMSG"
)

// Attempt is one init_module and what was seen around it.
type Attempt struct {
	Errno Errno
	// Log are the records of the kernel log that appeared meanwhile, oldest first; other processes' among them.
	Log []Record
	// LogProblem says why the log cannot be relied on: no permission (CAP_SYSLOG, where dmesg_restrict is 1), no /dev/kmsg, records
	// overwritten. Empty: Log is all there was.
	LogProblem string
	// TaintBefore and TaintAfter are /proc/sys/kernel/tainted; nil when it cannot be read.
	TaintBefore, TaintAfter *uint64
}

// Notices are the lines about refused modules, in the order of the log.
func (a *Attempt) Notices() []Notice {
	var all []Notice
	for i := range a.Log {
		if n, ok := a.Log[i].Notice(); ok {
			all = append(all, n)
		}
	}
	return all
}

// Tainted tells whether the kernel's taint changed meanwhile; Unknown when it could not be read.
func (a *Attempt) Tainted() evidence.Answer {
	switch {
	case a.TaintBefore == nil || a.TaintAfter == nil:
		return evidence.Unknown
	case *a.TaintBefore != *a.TaintAfter:
		return evidence.Yes
	}
	return evidence.No
}

// Live is the running kernel. Probing it needs CAP_SYS_MODULE, and reading its log CAP_SYSLOG unless dmesg_restrict is 0. Each probe
// may leave one line in the kernel log and a record in the audit log; it leaves no module and no taint.
type Live struct{}

var _ Prober = Live{}

// Probe asks the running kernel. The log is read right after the answer, without waiting: the kernel writes its reason before it answers.
func (Live) Probe(payload *Payload, trailer []byte) (*Attempt, error) {
	image := make([]byte, 0, len(payload.image)+len(trailer))
	image = append(append(image, payload.image...), trailer...)

	a := &Attempt{}
	log, logErr := openLog()
	a.TaintBefore = readTaint()
	refused, err := initModule(image)
	a.TaintAfter = readTaint()
	if logErr == nil {
		defer log.Close()
		a.Log, logErr = readLog(log)
	}
	if err != nil {
		return nil, err
	}
	a.Errno = refused
	if logErr != nil {
		a.LogProblem = logErr.Error()
	}
	return a, nil
}

// What reading the log can meet.
var (
	// errLost: records were overwritten before they were read (EPIPE); the next read gives the oldest that is left.
	errLost = errors.New("records of the kernel log were lost")
	// errDrained: no record is left (EAGAIN).
	errDrained = errors.New("end of the kernel log")
)

// logMax bounds how many records are read after one probe.
const logMax = 4096

// readLog reads records, one a read, until none is left. What it gives beside an error is what it read until then.
func readLog(log io.Reader) ([]Record, error) {
	var records []Record
	var lost error
	buffer := make([]byte, recordMax)
	for range logMax {
		n, err := log.Read(buffer)
		switch {
		case errors.Is(err, errDrained):
			return records, lost
		case errors.Is(err, errLost):
			lost = err
			continue
		case err != nil:
			return records, fmt.Errorf("read /dev/kmsg: %w", err)
		}
		r, err := ParseRecord(buffer[:n])
		if err != nil {
			return records, err
		}
		records = append(records, *r)
	}
	return records, fmt.Errorf("%w: more than %d came in during one probe", errLost, logMax)
}

// readTaint reads the bits of add_taint (kernel/panic.c); nil when they cannot be read.
func readTaint() *uint64 {
	line, err := readLine(os.DirFS("/"), "proc/sys/kernel/tainted")
	if err != nil {
		return nil
	}
	bits, err := strconv.ParseUint(line, 10, 64)
	if err != nil {
		return nil
	}
	return &bits
}

// ErrNotRecorded: a recorded machine answers no question that was not asked of it.
var ErrNotRecorded = errors.New("a recorded machine cannot be asked to load a module")

// Probes are the attempts made for one key, with one payload. All with a message name the same hash and the same signature algorithm, so that a
// hash or an algorithm that the kernel lacks meets each of them alike. Nil is one that was not made.
type Probes struct {
	// Control has no signature: what this kernel does with modules that have none.
	Control *Attempt
	// Broken has a trailer whose signature would be larger than the file, which is EBADMSG on every kernel and in every mode: so the call
	// reached the signature check (no security module or missing capability stood before it), and that check comes before the payload's own refusal.
	Broken *Attempt
	// Stranger has random signature bytes and names a key by random issuer and serial number; StrangerSKID by a random SKID. No kernel has
	// such a key: what an id that is nowhere is answered.
	Stranger, StrangerSKID *Attempt
	// Keyless has random signature bytes too and names the key asked about by issuer and serial number, as sign-file does;
	// KeylessSKID by its SKID, as sign-file -k does.
	Keyless, KeylessSKID *Attempt
	// Signed has a signature of the private key asked about, and names it by issuer and serial number.
	Signed *Attempt
	// Hash tells whether the hash of all these messages was registered after the last of them.
	Hash evidence.Reading
}
