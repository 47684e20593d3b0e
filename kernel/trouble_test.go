package kernel

import (
	"strings"
	"testing"
)

func TestReadTrouble(t *testing.T) {
	seen := make([]bool, len(patterns))
	for _, c := range []struct {
		line string
		want Trouble
	}{
		{"Loading of unsigned module is rejected", Trouble{Kind: SaidUnsigned}},
		{"module: Loading of unsigned module is rejected", Trouble{Kind: SaidUnsigned}},
		{"Loading of module with unavailable key is rejected", Trouble{Kind: SaidKey}},
		{"Loading of module with unsupported crypto is rejected", Trouble{Kind: SaidCrypto}},
		{"Loading of module with a strange hat is rejected", Trouble{Kind: SaidRejected, Subject: "module with a strange hat"}},
		{"Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown}},
		{"Lockdown: Loading of unsigned modules is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown}},
		{"Lockdown: systemd-udevd: Loading of unsigned module is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown}},
		{"wacom: module verification failed: signature and/or required key missing - tainting kernel", Trouble{Kind: SaidTaint, Module: "wacom"}},
		{"PKCS#7 signature not signed with a trusted key", Trouble{Kind: SaidUntrusted}},
		{"PKCS7: sinfo 1: The signer 0af1 key is not CodeSigning", Trouble{Kind: SaidCodeSigning, Subject: "0af1"}},
		{"Module hash 00ff is blacklisted", Trouble{Kind: SaidBlacklisted, Subject: "00ff"}},
		{"module: PKCS#7 signature info has unexpected non-zero params", Trouble{Kind: SaidTrailer}},
		{"dummy: not signed with expected PKCS#7 message", Trouble{Kind: SaidTrailer, Module: "dummy"}},
		{"nvidia: version magic '6.1.0-17-amd64 SMP preempt mod_unload modversions ' should be '6.1.0-18-amd64 SMP preempt mod_unload modversions '",
			Trouble{Kind: SaidVermagic, Module: "nvidia", Subject: "6.1.0-17-amd64 SMP preempt mod_unload modversions ", Wanted: "6.1.0-18-amd64 SMP preempt mod_unload modversions "}},
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
			Trouble{Kind: SaidNotInserted, Module: "vboxdrv", Errno: "EKEYREJECTED"}},
		{"modprobe: FATAL: Module wacom not found in directory /lib/modules/6.1.0-18-amd64", Trouble{Kind: SaidNotFound, Module: "wacom"}},
		{"modprobe: FATAL: Module wacom not found.", Trouble{Kind: SaidNotFound, Module: "wacom"}},
		{"modprobe: ERROR: could not insert 'v4l2loopback': Key was rejected by service", Trouble{Kind: SaidNotInserted, Module: "v4l2loopback", Errno: "EKEYREJECTED"}},
		{"insmod: ERROR: could not insert module ./dummy.ko: Invalid module format", Trouble{Kind: SaidNotInserted, Module: "./dummy.ko", Errno: "ENOEXEC"}},
		{"insmod: can't insert '/srv/x.ko': Key was rejected by service", Trouble{Kind: SaidNotInserted, Module: "/srv/x.ko", Errno: "EKEYREJECTED"}},
		{"modprobe: can't load module x (kernel/x.ko.xz): Operation not permitted", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EPERM"}},
		{"modprobe: FATAL: could not insert 'x': Required key not available", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "ENOKEY"}},
		{"modprobe: ERROR: could not insert 'x': Something new", Trouble{Kind: SaidNotInserted, Module: "x"}},
		{"module: Loading of module with a strange hat is rejected", Trouble{Kind: SaidRejected, Subject: "module with a strange hat"}},
		{"Lockdown: modprobe: unsigned module loading is restricted; see https://wiki.debian.org/SecureBoot", Trouble{Kind: SaidLockdown}},
		{"Lockdown: modprobe: Loading of untrusted modules is restricted; see man kernel_lockdown.7", Trouble{Kind: SaidLockdown}},
		{"PKCS7: Invalid module sig (has authattrs)", Trouble{Kind: SaidFormat, Subject: "Invalid module sig (has authattrs)"}},
		{"PKCS7: Invalid module sig (not pkcs7-data)", Trouble{Kind: SaidFormat, Subject: "Invalid module sig (not pkcs7-data)"}},
		{"PKCS7: Only support pkcs7_signedData type", Trouble{Kind: SaidFormat, Subject: "Only support pkcs7_signedData type"}},
		{"PKCS7: Unsupported SignedData version", Trouble{Kind: SaidFormat, Subject: "Unsupported SignedData version"}},
		{"PKCS7: Unsupported SignerInfo version", Trouble{Kind: SaidFormat, Subject: "Unsupported SignerInfo version"}},
		{"PKCS7: SignedData-SignerInfo version mismatch", Trouble{Kind: SaidFormat, Subject: "SignedData-SignerInfo version mismatch"}},
		{"PKCS7: Unsupported data type 40", Trouble{Kind: SaidFormat, Subject: "Unsupported data type 40"}},
		{"PKCS7: Data already supplied", Trouble{Kind: SaidFormat, Subject: "Data already supplied"}},
		{"PKCS7: Inconsistently supplied authAttrs", Trouble{Kind: SaidFormat, Subject: "Inconsistently supplied authAttrs"}},
		{"PKCS7: Missing required AuthAttr", Trouble{Kind: SaidFormat, Subject: "Missing required AuthAttr"}},
		{"PKCS7: Repeated/multivalue AuthAttrs not permitted", Trouble{Kind: SaidFormat, Subject: "Repeated/multivalue AuthAttrs not permitted"}},
		{"PKCS7: Sig 1: X.509 algo and PKCS#7 sig algo don't match", Trouble{Kind: SaidFormat, Subject: "Sig 1: X.509 algo and PKCS#7 sig algo don't match"}},
		{"PKCS7: Sig 1: X.509 chain contains auth-skid nonmatch (1->2)", Trouble{Kind: SaidFormat, Subject: "Sig 1: X.509 chain contains auth-skid nonmatch (1->2)"}},
		{"PKCS#7 signature with non-detached data", Trouble{Kind: SaidFormat, Subject: "PKCS#7 signature with non-detached data"}},
		{"Unsupported pkey algo: 5", Trouble{Kind: SaidAlgorithm, Subject: "Unsupported pkey algo: 5"}},
		{"PKCS7: Unsupported pkey algo: 5", Trouble{Kind: SaidAlgorithm, Subject: "Unsupported pkey algo: 5"}},
		{"Unsupported digest algo: 119", Trouble{Kind: SaidAlgorithm, Subject: "Unsupported digest algo: 119"}},
		{"PKCS7: Unknown OID: [33] 2.16.840.1.101.3.4.2.8", Trouble{Kind: SaidAlgorithm, Subject: "Unknown OID: [33] 2.16.840.1.101.3.4.2.8"}},
		{"module aipu: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time", Trouble{Kind: SaidStruct, Module: "aipu"}},
		{".gnu.linkonce.this_module section size must match the kernel's built struct module size at run time", Trouble{Kind: SaidStruct}},
		{"module (missing .modinfo section or name field): .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time", Trouble{Kind: SaidStruct}},
		{"module aipu: .gnu.linkonce.this_module must be writable", Trouble{Kind: SaidELF, Module: "aipu", Subject: ".gnu.linkonce.this_module must be writable"}},
		{"Invalid architecture in ELF header: 183", Trouble{Kind: SaidELF, Subject: "Invalid architecture in ELF header: 183"}},
		{"vboxnetflt: Unknown symbol RTSemEventCreate", Trouble{Kind: SaidSymbol, Module: "vboxnetflt", Subject: "RTSemEventCreate"}},
		{"demo: no symbol version for module_layout", Trouble{Kind: SaidNoVersion, Module: "demo", Subject: "module_layout"}},
		{"intr: module uses symbol (cdx_enable_msi) from namespace CDX_BUS, but does not import it.", Trouble{Kind: SaidNamespace, Module: "intr", Subject: "cdx_enable_msi", Wanted: "CDX_BUS"}},
		{"module intr uses symbol cdx_enable_msi from namespace CDX_BUS, but does not import it.", Trouble{Kind: SaidNamespace, Module: "intr", Subject: "cdx_enable_msi", Wanted: "CDX_BUS"}},
		{"ERROR: modpost: module intr uses symbol cdx_enable_msi from namespace CDX_BUS, but does not import it.", Trouble{Kind: SaidNamespace, Module: "intr", Subject: "cdx_enable_msi", Wanted: "CDX_BUS"}},
		{"core_lkm: exports duplicate symbol llkd_sysinfo2 (owned by min_sysinfo)", Trouble{Kind: SaidDuplicate, Module: "core_lkm", Subject: "llkd_sysinfo2", Owner: "min_sysinfo"}},
		{"bcmdhd: exports duplicate symbol bcmsdh_cfg_read (owned by kernel)", Trouble{Kind: SaidDuplicate, Module: "bcmdhd", Subject: "bcmsdh_cfg_read", Owner: "kernel"}},
		{"systemd-modules-load[312]: Failed to insert 'vboxdrv': Required key not available", Trouble{Kind: SaidNotInserted, Module: "vboxdrv", Errno: "ENOKEY"}},
		{"Nov 26 22:13:01 laptop modprobe[9]: modprobe: ERROR: could not insert 'x': Key was rejected by service", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EKEYREJECTED"}},
		{"Nov 26 22:13:01 laptop modprobe[9]: ERROR: could not insert 'x': Key was rejected by service", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EKEYREJECTED"}},
		{"Nov 26 22:13:01 laptop modprobe[9]: FATAL: Module x not found in directory /lib/modules/6.1.0-18-amd64", Trouble{Kind: SaidNotFound, Module: "x"}},
		{"sh[77]: modprobe: ERROR: could not insert 'x': Key was rejected by service", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EKEYREJECTED"}},
		{"systemd-modules-load[312]: Failed to find module 'lp'", Trouble{Kind: SaidNotFound, Module: "lp"}},
		{"modprobe: ERROR: Error running install command '/bin/false' for module x: retcode 1", Trouble{Kind: SaidInstall, Module: "x", Subject: "/bin/false"}},
		{"modprobe: ERROR: ../libkmod/libkmod-module.c:1084 command_do() Error running install command '/bin/false' for module dummy: retcode 1",
			Trouble{Kind: SaidInstall, Module: "dummy", Subject: "/bin/false"}},
		{"modprobe: ERROR: ../libkmod/libkmod-module.c:977 command_do() Error running install command for wl", Trouble{Kind: SaidInstall, Module: "wl"}},
		{"libkmod: ERROR ../libkmod/libkmod-module.c:925 command_do: Error running install command for rtl8192cu", Trouble{Kind: SaidInstall, Module: "rtl8192cu"}},
		{"FATAL: Error running install command for nvidia", Trouble{Kind: SaidInstall, Module: "nvidia"}},
		{"insmod: ERROR: could not load module x.ko: No such file or directory", Trouble{Kind: SaidNotFound, Module: "x.ko", Errno: "ENOENT"}},
		{"FATAL: Error inserting wl (/lib/modules/3.5.0-21-generic/updates/dkms/wl.ko): Required key not available", Trouble{Kind: SaidNotInserted, Module: "wl", Errno: "ENOKEY"}},
		{"WARNING: Error inserting snd_pcm (/lib/modules/2.6.31/snd-pcm.ko): Unknown symbol in module, or unknown parameter (see dmesg)", Trouble{Kind: SaidNotInserted, Module: "snd_pcm", Errno: "ENOENT"}},
		{"FATAL: Module qlogicfc not found.", Trouble{Kind: SaidNotFound, Module: "qlogicfc"}},
		{"insmod: error inserting './x.ko': -1 Required key not available", Trouble{Kind: SaidNotInserted, Module: "./x.ko", Errno: "ENOKEY"}},
		{"ERROR: could not insert 'rtl8192cu': Unknown symbol in module, or unknown parameter (see dmesg)", Trouble{Kind: SaidNotInserted, Module: "rtl8192cu", Errno: "ENOENT"}},
		{"modprobe: ERROR: could not insert 'x': Module already in kernel", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EEXIST"}},
		{"modprobe: can't load module libcrc32c (kernel/lib/libcrc32c.ko.xz): unknown symbol in module, or unknown parameter", Trouble{Kind: SaidNotInserted, Module: "libcrc32c", Errno: "ENOENT"}},
		{"bash: modprobe: ERROR: could not insert 'x': Operation not permitted", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EPERM"}},
		{"sudo: modprobe: ERROR: could not insert 'x': Operation not permitted", Trouble{Kind: SaidNotInserted, Module: "x", Errno: "EPERM"}},
		{"bash: line 1: insmod: ERROR: could not insert module x.ko: Bad message", Trouble{Kind: SaidNotInserted, Module: "x.ko", Errno: "EBADMSG"}},
		{"ima: impossible to appraise a module without a file descriptor. sig_enforce kernel parameter might help", Trouble{Kind: SaidIMA}},
		{"Key was rejected by service", Trouble{Kind: SaidNotInserted, Errno: "EKEYREJECTED"}},
		{"Required key not available", Trouble{Kind: SaidNotInserted, Errno: "ENOKEY"}},
	} {
		if got, ok := ReadTrouble(c.line); !ok || got != c.want {
			t.Errorf("%s\n%+v, want %+v", c.line, got, c.want)
		}
		for i, p := range patterns {
			seen[i] = seen[i] || p.is.MatchString(withoutHead(c.line))
		}
	}
	for i, p := range patterns {
		if !seen[i] {
			t.Errorf("no line for %s", p.is)
		}
	}
	if len(marks) > 32 {
		t.Errorf("%d marks", len(marks))
	}
	for _, line := range []string{
		"", "usb 1-1: new high-speed USB device", "dummy: loading out-of-tree module taints kernel.", "someone: Loading of unsigned module is rejected, he said",
		"someone: Loading of unsigned module is rejected", "audit: why is \"Loading of unsigned module is rejected\" here", "Nov 26 22:13:01 laptop irc[7]: Loading of unsigned module is rejected",
		"he asked about PKCS7: Invalid module sig (has authattrs)", "PKCS7: Invalid firmware sig (not pkcs7-data)", "PKCS7: Waived invalid module sig (has authattrs)",
		"the log has Unsupported pkey algo: 5", "Unsupported pkey algo: 5, it says", "PKCS7: Unknown OID: [33] of somebody", "X.509: Unknown OID: [33] 2.5.4.3",
		"irc: PKCS#7 signature with non-detached data", "Lockdown: modprobe: unsigned module loading is restricted; see https://example.org/SecureBoot",
		"Lockdown: modprobe: unsafe module parameters is restricted; see man kernel_lockdown.7", "Lockdown: Hibernation is restricted; see https://wiki.debian.org/SecureBoot",
		"systemd-modules-load[312]: Inserted module 'lp'", "systemd-modules-load: Failed to insert 'x': Required key not available",
		"irc[7]: he said systemd-modules-load[312]: Failed to insert 'x': Required key not available", "see modprobe: ERROR: could not insert 'x': Key was rejected by service",
		"the words modprobe: ERROR: Error running install command '/bin/false' for module x: retcode 1", "modprobe: ERROR: Error running remove command for x",
		"I saw FATAL: Error inserting x (/lib/x.ko): Required key not available", "FATAL: Error inserting x: Required key not available",
		"error inserting './x.ko': -1 Required key not available", "rm: error inserting './x.ko': -1 Required key not available",
		"sudo: someone : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/sbin/modprobe x", "bash: modprobe: command not found", "sudo: modprobe: command not found",
		"Key was rejected by service, it says", "he got Key was rejected by service", "key was rejected by service",
		"a b: no symbol version for y", "x: no symbol version for y z", "x: no extended symbol version for y", "x: exports duplicate symbol y",
		"he said x: exports duplicate symbol y (owned by z)", "intr: module uses symbol (a) from namespace B", "the module intr uses symbol a from namespace B, but does not import it.",
		"why .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
		".gnu.linkonce.this_module section size must match the kernel's built struct module size", "x: version magic 'a' should be 'b', it says", "see x: version magic 'a' should be 'b'",
		"Kernel is locked down from EFI Secure Boot; see man kernel_lockdown.7", "integrity: Loaded X.509 cert 'Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1'",
		"Loading of unsigned module is rejected" + strings.Repeat(" ", longestLine),
	} {
		if got, ok := ReadTrouble(line); ok {
			t.Errorf("%q is %+v", line, got)
		}
	}
}
