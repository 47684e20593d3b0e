package kernel

import (
	"testing"
)

func TestReadTrouble(t *testing.T) {
	for _, c := range []struct {
		line string
		want Trouble
	}{
		{"Loading of unsigned module is rejected", Trouble{Kind: SaidUnsigned}},
		{"module: Loading of unsigned module is rejected", Trouble{Kind: SaidUnsigned}},
		{"Loading of module with unavailable key is rejected", Trouble{Kind: SaidKey}},
		{"Loading of module with unsupported crypto is rejected", Trouble{Kind: SaidCrypto}},
		{"Loading of module with a strange hat is rejected", Trouble{Kind: SaidRejected, Subject: "module with a strange hat"}},
		{"Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown, Program: "modprobe"}},
		{"Lockdown: Loading of unsigned modules is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown}},
		{"Lockdown: systemd-udevd: Loading of unsigned module is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown, Program: "systemd-udevd"}},
		{"wacom: module verification failed: signature and/or required key missing - tainting kernel", Trouble{Kind: SaidTaint, Module: "wacom"}},
		{"PKCS#7 signature not signed with a trusted key", Trouble{Kind: SaidUntrusted}},
		{"PKCS7: sinfo 1: The signer 0af1 key is not CodeSigning", Trouble{Kind: SaidCodeSigning, Subject: "0af1"}},
		{"Module hash 00ff is blacklisted", Trouble{Kind: SaidBlacklisted, Subject: "00ff"}},
		{"module: PKCS#7 signature info has unexpected non-zero params", Trouble{Kind: SaidTrailer}},
		{"dummy: not signed with expected PKCS#7 message", Trouble{Kind: SaidTrailer, Module: "dummy"}},
		{"nvidia: version magic '6.1.0-17-amd64 SMP preempt mod_unload modversions ' should be '6.1.0-18-amd64 SMP preempt mod_unload modversions '",
			Trouble{Kind: SaidVermagic, Module: "nvidia", Subject: "6.1.0-17-amd64 SMP preempt mod_unload modversions "}},
		{"zfs: Unknown symbol spl_kmem_alloc (err -2)", Trouble{Kind: SaidSymbol, Module: "zfs", Subject: "spl_kmem_alloc", Errno: "ENOENT"}},
		{"zfs: disagrees about version of symbol module_layout", Trouble{Kind: SaidSymbol, Module: "zfs", Subject: "module_layout"}},
		{"Invalid ELF header magic: != \x7fELF", Trouble{Kind: SaidELF, Subject: "Invalid ELF header magic: != \x7fELF"}},
		{"not an xz compressed module", Trouble{Kind: SaidUnpacking, Subject: "not an xz compressed module"}},
		{"integrity: Problem loading X.509 certificate -65", Trouble{Kind: SaidCertificate, Errno: "ENOPKG"}},
		{"Problem loading in-kernel X.509 certificate (-22)", Trouble{Kind: SaidCertificate, Errno: "EINVAL"}},
		{"integrity: Couldn't parse MokListRT signatures from EFI MOKvar config table: -74", Trouble{Kind: SaidCertificate, Subject: "MokListRT", Errno: "EBADMSG"}},
		{"Couldn't parse dbx signatures: -22", Trouble{Kind: SaidCertificate, Subject: "dbx", Errno: "EINVAL"}},
		{"X.509: Cert 00ff is blacklisted", Trouble{Kind: SaidRevoked, Subject: "00ff"}},
		{"Module nouveau is blacklisted", Trouble{Kind: SaidForbidden, Module: "nouveau"}},
		{"Nov 26 22:13:01 laptop systemd-modules-load[312]: Failed to insert module 'vboxdrv': Key was rejected by service",
			Trouble{Kind: SaidNotInserted, Program: "systemd-modules-load", Module: "vboxdrv", Errno: "EKEYREJECTED"}},
		{"modprobe: FATAL: Module wacom not found in directory /lib/modules/6.1.0-18-amd64", Trouble{Kind: SaidNotFound, Program: "modprobe", Module: "wacom"}},
		{"modprobe: FATAL: Module wacom not found.", Trouble{Kind: SaidNotFound, Program: "modprobe", Module: "wacom"}},
		{"integrity: Loaded X.509 cert 'Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1'", Trouble{Kind: SaidLoaded, Subject: "Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1"}},
		{"Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7", Trouble{Kind: SaidLockedDown, Subject: "EFI Secure Boot"}},
		{"modprobe: ERROR: could not insert 'v4l2loopback': Key was rejected by service", Trouble{Kind: SaidNotInserted, Program: "modprobe", Module: "v4l2loopback", Errno: "EKEYREJECTED"}},
		{"insmod: ERROR: could not insert module ./dummy.ko: Invalid module format", Trouble{Kind: SaidNotInserted, Program: "insmod", Module: "./dummy.ko", Errno: "ENOEXEC"}},
		{"insmod: can't insert '/srv/x.ko': Key was rejected by service", Trouble{Kind: SaidNotInserted, Program: "insmod", Module: "/srv/x.ko", Errno: "EKEYREJECTED"}},
		{"modprobe: can't load module x (kernel/x.ko.xz): Operation not permitted", Trouble{Kind: SaidNotInserted, Program: "modprobe", Module: "x", Errno: "EPERM"}},
		{"modprobe: FATAL: could not insert 'x': Required key not available", Trouble{Kind: SaidNotInserted, Program: "modprobe", Module: "x", Errno: "ENOKEY"}},
		{"modprobe: ERROR: could not insert 'x': Something new", Trouble{Kind: SaidNotInserted, Program: "modprobe", Module: "x"}},
	} {
		if got, ok := ReadTrouble(c.line); !ok || got != c.want {
			t.Errorf("%s\n%+v, want %+v", c.line, got, c.want)
		}
	}
	for _, line := range []string{"", "usb 1-1: new high-speed USB device", "dummy: loading out-of-tree module taints kernel.", "someone: Loading of unsigned module is rejected, he said"} {
		if got, ok := ReadTrouble(line); ok {
			t.Errorf("%q is %+v", line, got)
		}
	}
}

func TestParseLog(t *testing.T) {
	const message = "Loading of unsigned module is rejected"
	at := func(seconds float64) *float64 { return &seconds }
	for _, c := range []struct {
		line    string
		seconds *float64
	}{
		{message, nil},
		{"[    5.123456] " + message, at(5.123456)},
		{"[12345.000001] " + message, at(12345.000001)},
		{"<5>[    5.123456] " + message, at(5.123456)},
		{"kern  :notice: [    5.123456] " + message, at(5.123456)},
		{"kern  :notice: [    5.123456] [ T1234] " + message, at(5.123456)},
		{"[Thu Nov 26 22:13:01 2026] " + message, nil},
		{"2026-11-26T22:13:01,123456+00:00 " + message, nil},
		{"Nov 26 22:13:01 laptop kernel: " + message, nil},
		{"Nov 26 22:13:01 laptop kernel: [    5.123456] " + message, at(5.123456)},
		{"2026-11-26T22:13:01+0000 laptop kernel: " + message, nil},
		{"2026-11-26T22:13:01.123456+00:00 laptop kernel: [    5.5] " + message + "\r", at(5.5)},
	} {
		lines := ParseLog("\n" + c.line + "\n")
		if len(lines) != 1 || lines[0].Message != message || lines[0].Number != 2 || (lines[0].Seconds == nil) != (c.seconds == nil) || c.seconds != nil && *lines[0].Seconds != *c.seconds {
			t.Errorf("%q: %+v", c.line, lines)
		}
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add("[    5.1] Loading of unsigned module is rejected\nNov 26 22:13:01 h kernel: x: Unknown symbol y (err -2)\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range ParseLog(text) {
			ReadTrouble(line.Message)
		}
	})
}
