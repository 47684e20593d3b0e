package kernel

import (
	"fmt"
	"strings"
	"testing"
)

// encode writes a record as the kernel does (printk.c, info_print_ext_header and msg_print_ext_body).
func (r *Record) encode() string {
	extra := ""
	if r.Extra != "" {
		extra = "," + r.Extra
	}
	return fmt.Sprintf("%d,%d,%d,%s%s;%s\n%s", r.Facility<<3|r.Level, r.Sequence, r.Microseconds, r.Flags, extra, r.Message, r.Properties)
}

// records are as /dev/kmsg gave them, of a Debian 6.1 and of kernels with more in a record.
var records = []string{
	"5,412,8123456,-;Loading of unsigned module is rejected\n",
	"5,413,8123999,-;Loading of module with unavailable key is rejected\n",
	"5,414,8124999,-;Loading of module with unsupported crypto is rejected\n",
	"5,415,8125000,-,caller=T88;Lockdown: kkeys: unsigned module loading is restricted; see man kernel_lockdown.7\n",
	"3,416,8125001,-;Invalid ELF section in module (section 6 type 1)\n",
	"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n DEVICE=+net:lo\n",
	"30,340,5690716,c;udevd[80]: starting version 181\\x0a\n",
	"14,341,5690717,-;\n",
}

func TestParseRecord(t *testing.T) {
	for _, text := range records {
		r, err := ParseRecord([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := r.encode(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	r, err := ParseRecord([]byte(records[5]))
	if err != nil || r.Level != 6 || r.Facility != 0 || r.Sequence != 339 || r.Microseconds != 5140900 || r.Message != "NET: Registered protocol family 10" ||
		r.Properties != " SUBSYSTEM=net\n DEVICE=+net:lo\n" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := ParseRecord([]byte(records[3])); err != nil || r.Extra != "caller=T88" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no semicolon": "5,1,2,-\n", "no newline": "5,1,2,-;x", "three fields": "5,1,2;x\n", "no level": ",1,2,-;x\n", "a sign": "+5,1,2,-;x\n",
		"leading zero": "05,1,2,-;x\n", "huge": "5,99999999999999999999,2,-;x\n", "level of no facility": "99999,1,2,-;x\n", "empty extra": "5,1,2,-,;x\n",
		"a second line": "5,1,2,-;x\ny\n", "an empty property": "5,1,2,-;x\n\n", "a cut property": "5,1,2,-;x\n A=b", "too long": "5,1,2,-;" + strings.Repeat("x", recordMax) + "\n",
	} {
		if r, err := ParseRecord([]byte(text)); err == nil || r != nil {
			t.Errorf("%s: %+v, %v, want an error alone", name, r, err)
		}
	}
}

func TestNotice(t *testing.T) {
	for message, want := range map[string]Notice{
		"Loading of unsigned module is rejected":                                                              NoticeUnsigned,
		"Loading of module with unavailable key is rejected":                                                  NoticeKey,
		"Loading of module with unsupported crypto is rejected":                                               NoticeCrypto,
		"Loading of module with a reason of tomorrow is rejected":                                             NoticeOther,
		"Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7":                  NoticeLockdown,
		"Invalid ELF header magic: != \\x7fELF":                                                               NoticeELF,
		"Invalid ELF section in module (section 6 type 1)":                                                    NoticeELF,
		"dummy: module verification failed: signature and/or required key missing - tainting kernel":          NoticeTaint,
		"Lockdown: swapper/0: hibernation is restricted; see man kernel_lockdown.7":                           "",
		"usb 1-1: Loading of unsigned module is rejected":                                                     "",
		"Loading of unsigned module is rejected, or so they say":                                              "",
		"Loading compiled-in X.509 certificates":                                                              "",
		"integrity: Loaded X.509 cert 'Loading of unsigned module is rejected: 010203'":                       "",
		"Lockdown: unsigned module loading is a matter of taste":                                              "",
		"module: PKCS#7 signature info has unexpected non-zero params":                                        "",
		"dummy: module verification failed: signature and/or required key missing - tainting kernel, perhaps": "",
	} {
		got, ok := (&Record{Level: 5, Message: message}).Notice()
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", message, got, ok, want)
		}
		// The same line from a process (facility LOG_USER).
		if got, ok := (&Record{Level: 5, Facility: 1, Message: message}).Notice(); ok {
			t.Errorf("%q written by a process passes for %q", message, got)
		}
	}
	for n, want := range map[Notice]bool{NoticeUnsigned: true, NoticeKey: true, NoticeCrypto: true, NoticeOther: true, NoticeLockdown: false, NoticeELF: false, NoticeTaint: false} {
		if n.Enforces() != want {
			t.Errorf("%s enforces: %v", n, !want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	if len(records) < 8 {
		f.Fatal("seeds are gone")
	}
	for _, text := range records {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(data)
		if (r == nil) == (err == nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if r == nil {
			return
		}
		if got := r.encode(); got != string(data) {
			t.Errorf("%q became %q", data, got)
		}
		r.Notice()
	})
}
