package kernel

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Record is one record of the kernel log, as a read of /dev/kmsg gives it (Documentation/ABI/testing/dev-kmsg; Linux 3.5).
type Record struct {
	Level        int    // 0 to 7
	Facility     int    // 0 is the kernel; what a process writes is never 0 (kernel/printk/printk.c, devkmsg_write)
	Sequence     uint64 // grows by one a record
	Microseconds uint64 // since boot
	Flags        string // '-', or of a piece of a line 'c', '+'
	Extra        string // more fields, with commas between them: "caller=T1"; most often empty
	Message      string // one line; bytes outside printable ASCII as \x and two hex digits
	Properties   string // the lines after it as they stand: each a space, KEY=value and a newline; most often empty
}

// recordMax bounds a record, in bytes: CONSOLE_EXT_LOG_MAX (include/linux/console.h, 8192), to which the kernel cuts what it gives.
const recordMax = 8192

// ParseRecord reads one record whole: `level,sequence,microseconds,flags[,more];message`, a newline, and its properties.
func ParseRecord(data []byte) (*Record, error) {
	if len(data) > recordMax {
		return nil, fmt.Errorf("kernel log record: %d bytes, at most %d", len(data), recordMax)
	}
	head, rest, ok := bytes.Cut(data, []byte(";"))
	if !ok {
		return nil, fmt.Errorf("kernel log record: no semicolon in %d bytes", len(data))
	}
	message, properties, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("kernel log record: offset %d: a message without newline", len(head)+1)
	}
	if err := checkProperties(properties, len(data)-len(properties)); err != nil {
		return nil, err
	}
	fields := strings.SplitN(string(head), ",", 5)
	if len(fields) < 4 {
		return nil, fmt.Errorf("kernel log record: offset 0: %d fields before the semicolon, at least 4", len(fields))
	}
	var numbers [3]uint64
	for i, name := range []string{"level", "sequence number", "time"} {
		n, err := strconv.ParseUint(fields[i], 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != fields[i] {
			return nil, fmt.Errorf("kernel log record: the %s %q is no number", name, fields[i])
		}
		numbers[i] = n
	}
	if numbers[0] > 0xffff {
		return nil, fmt.Errorf("kernel log record: level and facility %d", numbers[0])
	}
	r := &Record{Level: int(numbers[0] & 7), Facility: int(numbers[0] >> 3), Sequence: numbers[1], Microseconds: numbers[2], Flags: fields[3],
		Message: string(message), Properties: string(properties)}
	if len(fields) == 5 {
		if r.Extra = fields[4]; r.Extra == "" {
			return nil, fmt.Errorf("kernel log record: offset %d: an empty field", len(head))
		}
	}
	return r, nil
}

// checkProperties: each line begins with a space and ends with a newline.
func checkProperties(lines []byte, offset int) error {
	for len(lines) > 0 {
		line, rest, ok := bytes.Cut(lines, []byte("\n"))
		if !ok || len(line) == 0 || line[0] != ' ' {
			return fmt.Errorf("kernel log record: offset %d: no property line", offset)
		}
		offset, lines = offset+len(line)+1, rest
	}
	return nil
}

// Notice is a kind of log line that tells why a module was refused.
type Notice string

// The first three are printed by kernel/module/signing.c, module_sig_check, only when signatures are enforced; all name no module.
const (
	NoticeUnsigned Notice = "unsigned module"           // no signature was seen
	NoticeKey      Notice = "unavailable key"           // no keyring consulted has the signer's id
	NoticeCrypto   Notice = "unsupported crypto"        // a hash or an algorithm that this kernel cannot use; the key was not looked for
	NoticeOther    Notice = "rejected otherwise"        // the same sentence with another reason
	NoticeLockdown Notice = "lockdown"                  // security/lockdown/lockdown.c; rate-limited, so that its absence means nothing
	NoticeELF      Notice = "invalid ELF"               // kernel/module/main.c, elf_validity_check: behind the signature since 5.12
	NoticeTaint    Notice = "module verification fails" // permissive: once a boot, when a module without a trusted signature loads
)

// Enforces tells whether the notice is one of those that go with EKEYREJECTED.
func (n Notice) Enforces() bool {
	return n == NoticeUnsigned || n == NoticeKey || n == NoticeCrypto || n == NoticeOther
}

// Notice recognises the record; ok is false for any other line. Only the kernel's own records count: a process can write a line of the
// same text into the log, but not as the kernel's.
func (r *Record) Notice() (n Notice, ok bool) {
	if r.Facility != 0 {
		return "", false
	}
	if reason, ok := strings.CutPrefix(r.Message, "Loading of "); ok {
		if reason, ok = strings.CutSuffix(reason, " is rejected"); ok {
			return rejection(reason), true
		}
	}
	switch {
	case strings.HasPrefix(r.Message, "Lockdown: ") && strings.Contains(r.Message, ": unsigned module loading is restricted"):
		return NoticeLockdown, true
	case strings.HasPrefix(r.Message, "Invalid ELF "):
		return NoticeELF, true
	case strings.HasSuffix(r.Message, "module verification failed: signature and/or required key missing - tainting kernel"):
		return NoticeTaint, true
	}
	return "", false
}

func rejection(reason string) Notice {
	switch reason {
	case "unsigned module":
		return NoticeUnsigned
	case "module with unavailable key":
		return NoticeKey
	case "module with unsupported crypto":
		return NoticeCrypto
	}
	return NoticeOther
}
