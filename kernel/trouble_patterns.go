package kernel

import (
	"regexp"
)

// pattern is how one kind of line looks; what its groups mean is said by their names. Each needs one of the marks.
type pattern struct {
	kind Kind
	is   *regexp.Regexp
}

const (
	name = `(?P<module>[A-Za-z0-9_.-]{1,64})`
	// tool is modprobe or insmod, behind another program that passed its words on: a shell, sudo, or under journald any with its process's number.
	tool = `^(?:-?(?:ba|da|z|k)?sh: (?:line \d+: )?|sudo: |[\w.-]+\[\d+\]: )*?(?:(?:modprobe|insmod)(?:\[\d+\])?: )`
	// kmod says also where in its source it is: `../libkmod/libkmod-module.c:990 command_do() `.
	source = `(?:\S+\.c:\d+ \w+(?:\(\))?:? )?`
)

var patterns = []pattern{
	{SaidUnsigned, regexp.MustCompile(`^(?:module: )?Loading of unsigned module is rejected$`)},
	{SaidKey, regexp.MustCompile(`^(?:module: )?Loading of module with unavailable key is rejected$`)},
	{SaidCrypto, regexp.MustCompile(`^(?:module: )?Loading of module with unsupported crypto is rejected$`)},
	{SaidRejected, regexp.MustCompile(`^(?:module: )?Loading of (?P<subject>.{1,80}) is rejected$`)},
	{SaidLockdown, regexp.MustCompile(`^Lockdown: (?:.{1,16}: )?(?:unsigned module loading|Loading of un(?:signed|trusted) modules?) is restricted; ` +
		`see (?:man kernel_lockdown\.7|https://wiki\.debian\.org/SecureBoot)$`)},
	{SaidTaint, regexp.MustCompile(`^` + name + `: module verification failed: signature and/or required key missing - tainting kernel$`)},
	{SaidUntrusted, regexp.MustCompile(`^(?:PKCS7: )?PKCS#7 signature (?:is )?not signed with a trusted key$`)},
	{SaidCodeSigning, regexp.MustCompile(`^PKCS7: sinfo \d+: The signer (?P<subject>[0-9a-f]+) key is not CodeSigning$`)},
	{SaidBlacklisted, regexp.MustCompile(`^(?:module: )?Module hash (?P<subject>[0-9a-f]+) is blacklisted$`)},
	{SaidForbidden, regexp.MustCompile(`^(?:module: )?Module ` + name + ` is blacklisted$`)},
	{SaidRevoked, regexp.MustCompile(`^(?:X\.509: )?Cert (?P<subject>[0-9a-f]+) is blacklisted$`)},
	{SaidTrailer, regexp.MustCompile(`^(?:module: )?(?:` + name + `: )?(?:PKCS#7 signature info has unexpected non-zero params|not signed with expected PKCS#7 message)$`)},
	{SaidFormat, regexp.MustCompile(`^PKCS7: (?P<subject>Invalid module sig \((?:not pkcs7-data|has authattrs)\)|` +
		`Only support pkcs7_signedData type|Unsupported Sign(?:edData|erInfo) version|SignedData-SignerInfo version mismatch|` +
		`Unsupported data type \d+|Data already supplied|Inconsistently supplied authAttrs)$`)},
	{SaidFormat, regexp.MustCompile(`^PKCS7: (?P<subject>Sig \d+: (?:No messageDigest|X\.509 algo and PKCS#7 sig algo don't match|X\.509 chain contains .{1,40})|` +
		`Missing required AuthAttr|Repeated/multivalue AuthAttrs not permitted)$`)},
	{SaidFormat, regexp.MustCompile(`^(?P<subject>PKCS#7 signature with non-detached data)$`)},
	{SaidAlgorithm, regexp.MustCompile(`^(?:PKCS7: )?(?P<subject>Unsupported (?:pkey|digest) algo: \d+)$`)},
	{SaidAlgorithm, regexp.MustCompile(`^PKCS7: (?P<subject>Unknown OID: \[\d+\] [0-9.]+)$`)},
	{SaidVermagic, regexp.MustCompile(`^` + name + `: version magic '(?P<subject>[^']*)' should be '(?P<wanted>[^']*)'$`)},
	{SaidStruct, regexp.MustCompile(`^(?:module: )?(?:module (?:` + name + `|\(missing \.modinfo section or name field\)): )?` +
		`\.gnu\.linkonce\.this_module section size must match the kernel's built struct module size at run time$`)},
	{SaidSymbol, regexp.MustCompile(`^` + name + `: Unknown symbol (?P<subject>\S+)(?: \(err (?P<errno>-?\d+)\))?$`)},
	{SaidSymbol, regexp.MustCompile(`^` + name + `: disagrees about version of symbol (?P<subject>\S+)$`)},
	{SaidNoVersion, regexp.MustCompile(`^` + name + `: no symbol version for (?P<subject>\S+)$`)},
	{SaidNamespace, regexp.MustCompile(`^` + name + `: module uses symbol \((?P<subject>[^)\s]+)\) from namespace (?P<wanted>\S+), but does not import it\.$`)},
	{SaidNamespace, regexp.MustCompile(`^(?:(?:ERROR|WARNING): modpost: )?module ` + name + ` uses symbol (?P<subject>\S+) from namespace (?P<wanted>\S+), but does not import it\.$`)},
	{SaidDuplicate, regexp.MustCompile(`^` + name + `: exports duplicate symbol (?P<subject>\S+) \(owned by (?P<owner>[^)]+)\)$`)},
	{SaidELF, regexp.MustCompile(`^(?:module: )?(?:` + name + `: )?(?P<subject>Invalid ELF (?:header|section) .*|Invalid (?:module )?architecture in ELF header: \d+)$`)},
	{SaidELF, regexp.MustCompile(`^(?:module: )?(?:module ` + name + `: )?(?P<subject>\.gnu\.linkonce\.this_module ` +
		`(?:section must have a size set|must occupy memory during process execution|must be writable))$`)},
	{SaidUnpacking, regexp.MustCompile(`^(?:module: )?(?P<subject>(?:not an? \S+ compressed module|decompression (?:failed|of the module failed).*|failed to initialize decompressor.*))$`)},
	{SaidCertificate, regexp.MustCompile(`^(?:integrity: )?Problem loading (?:in-kernel )?X\.509 certificate \(?(?P<errno>-\d+)\)?$`)},
	{SaidCertificate, regexp.MustCompile(`^(?:integrity: )?Couldn't parse (?P<subject>db|dbx|MokListRT|mokx|MokListXRT) signatures(?: from EFI MOKvar config table)?: (?P<errno>-\d+)$`)},
	{SaidIMA, regexp.MustCompile(`^(?:ima: )?impossible to appraise a module without a file descriptor\..*$`)},
	{SaidNotInserted, regexp.MustCompile(tool + `?(?:ERROR|FATAL): ` + source + `could not insert (?:module )?'?(?P<module>[^' :]+)'?: (?P<errno>.+)$`)},
	{SaidNotFound, regexp.MustCompile(tool + `?(?:ERROR|FATAL): could not load module (?P<module>[^:]+): (?P<errno>.+)$`)},
	{SaidNotFound, regexp.MustCompile(tool + `?(?:ERROR|FATAL): Module (?P<module>\S+) not found(?: in directory \S+)?\.?$`)},
	{SaidInstall, regexp.MustCompile(tool + `?(?:libkmod: )?(?:ERROR|FATAL|WARNING):? ` + source +
		`Error running install command (?:'(?P<subject>[^']*)' )?for (?:module )?(?P<module>[^ :]+)(?:: retcode \d+)?$`)},
	{SaidNotInserted, regexp.MustCompile(tool + `?(?:ERROR|FATAL|WARNING): Error inserting (?P<module>\S+) \([^)]*\): (?P<errno>.+)$`)}, // module-init-tools'
	{SaidNotInserted, regexp.MustCompile(tool + `error inserting '(?P<module>[^']+)': -1 (?P<errno>.+)$`)},                              // the same
	{SaidNotInserted, regexp.MustCompile(tool + `can't (?:insert|load module) '?(?P<module>[^' :]+)'?(?: \([^)]*\))?: (?P<errno>.+)$`)}, // busybox's
	{SaidNotInserted, regexp.MustCompile(`^systemd-modules-load\[\d+\]: Failed to insert (?:module )?'(?P<module>[^']+)': (?P<errno>.+)$`)},
	{SaidNotFound, regexp.MustCompile(`^systemd-modules-load\[\d+\]: Failed to find module '(?P<module>[^']+)'$`)},
}

// words are those of strerror for what loading a module gives, and of modprobe, insmod and busybox, which have some of their own (kmod tools/insmod.c,
// mod_strerror, tools/modprobe.c, insmod_insert; busybox modutils/modutils.c, moderror).
var words = map[string]Errno{
	"Key was rejected by service": "EKEYREJECTED", "Required key not available": "ENOKEY", "Operation not permitted": "EPERM", "Bad message": "EBADMSG",
	"Package not installed": "ENOPKG", "Exec format error": "ENOEXEC", "Invalid module format": "ENOEXEC", "Invalid argument": "EINVAL", "File exists": "EEXIST",
	"Unknown symbol in module": "ENOENT", "Unknown symbol in module, or unknown parameter (see dmesg)": "ENOENT", "No such file or directory": "ENOENT",
	"Permission denied": "EACCES", "Operation not supported": "EOPNOTSUPP", "Module is in use": "EBUSY", "Invalid parameters": "EINVAL", "Key has been revoked": "EKEYREVOKED",
	"No such device": "ENODEV", "Accessing a corrupted shared library": "ELIBBAD", "Cannot allocate memory": "ENOMEM",
	"Module already in kernel": "EEXIST", "Unknown symbol in module, or unknown parameter": "ENOENT", "Key has expired": "EKEYEXPIRED",
	"invalid module format": "ENOEXEC", "unknown symbol in module, or unknown parameter": "ENOENT",
}

// numbers are those of x86 and the generic table (include/uapi/asm-generic/errno.h).
var numbers = map[string]Errno{
	"-1": "EPERM", "-2": "ENOENT", "-8": "ENOEXEC", "-12": "ENOMEM", "-13": "EACCES", "-17": "EEXIST", "-22": "EINVAL", "-28": "ENOSPC", "-61": "ENODATA", "-65": "ENOPKG",
	"-74": "EBADMSG", "-80": "ELIBBAD", "-95": "EOPNOTSUPP", "-122": "EDQUOT", "-126": "ENOKEY", "-127": "EKEYEXPIRED", "-128": "EKEYREVOKED", "-129": "EKEYREJECTED",
}
