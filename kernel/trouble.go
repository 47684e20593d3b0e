package kernel

import (
	"regexp"
	"strings"
)

// Trouble is what a line of the kernel log, or of a program that loads modules, says about modules and the keys for them.
type Trouble struct {
	Kind    Kind
	Module  string // its name, where the line has it
	Program string // that loaded it, where the line has it
	Subject string // certificate, symbol, hash, version magic: what the line is about
	Errno   Errno  // as the line gives it, or as the words for it; empty where it has none
}

// Kind is a kind of message.
type Kind string

// The kinds. In brackets is where the kernel prints them.
const (
	SaidUnsigned    Kind = "unsigned-rejected"   // Loading of unsigned module is rejected [kernel/module/signing.c, module_sig_check]
	SaidKey         Kind = "key-rejected"        // Loading of module with unavailable key is rejected [the same]
	SaidCrypto      Kind = "crypto-rejected"     // Loading of module with unsupported crypto is rejected [the same]
	SaidRejected    Kind = "rejected"            // the same sentence with another reason
	SaidLockdown    Kind = "lockdown"            // [security/lockdown/lockdown.c, lockdown_is_locked_down; rate-limited]
	SaidTaint       Kind = "verification-failed" // [kernel/module/main.c, load_module; once a boot]
	SaidUntrusted   Kind = "pkcs7-not-trusted"   // [certs/system_keyring.c, verify_pkcs7_message_sig]
	SaidCodeSigning Kind = "not-code-signing"    // SUSE's kernels [crypto/asymmetric_keys/pkcs7_trust.c]
	SaidBlacklisted Kind = "blacklisted"         // Module hash … is blacklisted [kernel/module/signing.c, of Debian and SUSE]
	SaidForbidden   Kind = "module-blacklisted"  // Module … is blacklisted, by module_blacklist= [kernel/module/main.c, load_module]
	SaidRevoked     Kind = "certificate-revoked" // Cert … is blacklisted [crypto/asymmetric_keys/x509_public_key.c, x509_get_sig_params]
	SaidTrailer     Kind = "trailer"             // the twelve bytes before the line of text [kernel/module_signature.c, mod_check_sig]
	SaidVermagic    Kind = "version-magic"       // [kernel/module/main.c, check_modinfo]
	SaidSymbol      Kind = "unknown-symbol"      // [kernel/module/main.c, resolve_symbol_wait, check_version]
	SaidELF         Kind = "invalid-elf"         // [kernel/module/main.c, elf_validity_check]
	SaidUnpacking   Kind = "unpacking-failed"    // [kernel/module/decompress.c]
	SaidCertificate Kind = "certificate-refused" // [certs/system_keyring.c, security/integrity/digsig.c, security/integrity/platform_certs/load_uefi.c]
	SaidLoaded      Kind = "certificate-loaded"  // [the same]
	SaidIMA         Kind = "ima"                 // [security/integrity/ima/ima_main.c, ima_load_data]
	SaidLockedDown  Kind = "locked-down"         // Kernel is locked down from … [security/lockdown/lockdown.c]
	SaidNotInserted Kind = "not-inserted"        // what modprobe, insmod and systemd-modules-load say
	SaidNotFound    Kind = "not-found"           // the same, where there is no such module
)

// pattern is how one kind of line looks; what its groups mean is said by their names.
type pattern struct {
	kind Kind
	is   *regexp.Regexp
}

const name = `(?P<module>[A-Za-z0-9_.-]{1,64})`

var patterns = []pattern{
	{SaidUnsigned, regexp.MustCompile(`^(?:module: )?Loading of unsigned module is rejected$`)},
	{SaidKey, regexp.MustCompile(`^(?:module: )?Loading of module with unavailable key is rejected$`)},
	{SaidCrypto, regexp.MustCompile(`^(?:module: )?Loading of module with unsupported crypto is rejected$`)},
	{SaidRejected, regexp.MustCompile(`^(?:module: )?Loading of (?P<subject>.{1,80}) is rejected$`)},
	{SaidLockdown, regexp.MustCompile(`^Lockdown: (?:(?P<program>.{1,16}): )?(?:unsigned module loading|Loading of unsigned modules?) is restricted; see man kernel_lockdown\.7$`)},
	{SaidTaint, regexp.MustCompile(`^` + name + `: module verification failed: signature and/or required key missing - tainting kernel$`)},
	{SaidUntrusted, regexp.MustCompile(`^(?:PKCS7: )?PKCS#7 signature (?:is )?not signed with a trusted key$`)},
	{SaidCodeSigning, regexp.MustCompile(`^PKCS7: sinfo \d+: The signer (?P<subject>[0-9a-f]+) key is not CodeSigning$`)},
	{SaidBlacklisted, regexp.MustCompile(`^(?:module: )?Module hash (?P<subject>[0-9a-f]+) is blacklisted$`)},
	{SaidForbidden, regexp.MustCompile(`^(?:module: )?Module ` + name + ` is blacklisted$`)},
	{SaidRevoked, regexp.MustCompile(`^(?:X\.509: )?Cert (?P<subject>[0-9a-f]+) is blacklisted$`)},
	{SaidTrailer, regexp.MustCompile(`^(?:module: )?(?:` + name + `: )?(?:PKCS#7 signature info has unexpected non-zero params|not signed with expected PKCS#7 message)$`)},
	{SaidVermagic, regexp.MustCompile(`^` + name + `: version magic '(?P<subject>[^']*)' should be '[^']*'$`)},
	{SaidSymbol, regexp.MustCompile(`^` + name + `: Unknown symbol (?P<subject>\S+) \(err (?P<errno>-\d+)\)$`)},
	{SaidSymbol, regexp.MustCompile(`^` + name + `: disagrees about version of symbol (?P<subject>\S+)$`)},
	{SaidELF, regexp.MustCompile(`^(?:module: )?(?:` + name + `: )?(?P<subject>Invalid ELF (?:header|section) .*)$`)},
	{SaidUnpacking, regexp.MustCompile(`^(?:module: )?(?P<subject>(?:not an? \S+ compressed module|decompression (?:failed|of the module failed).*|failed to initialize decompressor.*))$`)},
	{SaidCertificate, regexp.MustCompile(`^(?:integrity: )?Problem loading (?:in-kernel )?X\.509 certificate \(?(?P<errno>-\d+)\)?$`)},
	{SaidCertificate, regexp.MustCompile(`^(?:integrity: )?Couldn't parse (?P<subject>db|dbx|MokListRT|mokx|MokListXRT) signatures(?: from EFI MOKvar config table)?: (?P<errno>-\d+)$`)},
	{SaidLoaded, regexp.MustCompile(`^(?:integrity: )?Loaded X\.509 cert '(?P<subject>.*)'$`)},
	{SaidIMA, regexp.MustCompile(`^(?:ima: )?impossible to appraise a module without a file descriptor\..*$`)},
	{SaidLockedDown, regexp.MustCompile(`^Kernel is locked down from (?P<subject>.+); see man kernel_lockdown\.7$`)},
	{SaidNotInserted, regexp.MustCompile(`^(?:sudo: )?(?P<program>modprobe|insmod)(?:\[\d+\])?: (?:ERROR|FATAL): could not insert (?:module )?'?(?P<module>[^' :]+)'?: (?P<errno>.+)$`)},
	{SaidNotInserted, regexp.MustCompile(`^(?:.* )?(?P<program>systemd-modules-load)\[\d+\]: Failed to insert module '(?P<module>[^']+)': (?P<errno>.+)$`)},
	{SaidNotFound, regexp.MustCompile(`^(?:sudo: )?(?P<program>modprobe): (?:ERROR|FATAL): Module (?P<module>\S+) not found(?: in directory \S+)?\.?$`)},
	{SaidNotInserted, regexp.MustCompile(`^(?P<program>modprobe|insmod): can't (?:insert|load module) '?(?P<module>[^' :]+)'?(?: \([^)]*\))?: (?P<errno>.+)$`)}, // busybox's
}

// words are those of strerror for what loading a module gives, and of insmod, which has some of its own (kmod tools/insmod.c mod_strerror).
var words = map[string]Errno{
	"Key was rejected by service": "EKEYREJECTED", "Required key not available": "ENOKEY", "Operation not permitted": "EPERM", "Bad message": "EBADMSG",
	"Package not installed": "ENOPKG", "Exec format error": "ENOEXEC", "Invalid module format": "ENOEXEC", "Invalid argument": "EINVAL", "File exists": "EEXIST",
	"Unknown symbol in module": "ENOENT", "Unknown symbol in module, or unknown parameter (see dmesg)": "ENOENT", "No such file or directory": "ENOENT",
	"Permission denied": "EACCES", "Operation not supported": "EOPNOTSUPP", "Module is in use": "EBUSY", "Invalid parameters": "EINVAL", "Key has been revoked": "EKEYREVOKED",
	"No such device": "ENODEV", "Accessing a corrupted shared library": "ELIBBAD", "Cannot allocate memory": "ENOMEM",
}

// numbers are those of x86 and the generic table (include/uapi/asm-generic/errno.h).
var numbers = map[string]Errno{
	"-1": "EPERM", "-2": "ENOENT", "-8": "ENOEXEC", "-12": "ENOMEM", "-13": "EACCES", "-17": "EEXIST", "-22": "EINVAL", "-28": "ENOSPC", "-61": "ENODATA", "-65": "ENOPKG",
	"-74": "EBADMSG", "-80": "ELIBBAD", "-95": "EOPNOTSUPP", "-122": "EDQUOT", "-126": "ENOKEY", "-127": "EKEYEXPIRED", "-128": "EKEYREVOKED", "-129": "EKEYREJECTED",
}

// ReadTrouble recognises a message; ok is false for one that tells nothing here.
func ReadTrouble(message string) (t Trouble, ok bool) {
	for _, p := range patterns {
		groups := p.is.FindStringSubmatch(message)
		if groups == nil {
			continue
		}
		t.Kind = p.kind
		for i, name := range p.is.SubexpNames() {
			switch name {
			case "module":
				t.Module = groups[i]
			case "program":
				t.Program = groups[i]
			case "subject":
				t.Subject = groups[i]
			case "errno":
				if t.Errno = words[groups[i]]; t.Errno == "" {
					t.Errno = numbers[groups[i]]
				}
			}
		}
		return t, true
	}
	return Trouble{}, false
}

// ModuleName is a module's name out of a file's: without folder and endings, with underscores (kmod's path_to_modname).
func ModuleName(file string) string {
	file = file[strings.LastIndexByte(file, '/')+1:]
	file, _, _ = strings.Cut(file, ".")
	return strings.ReplaceAll(file, "-", "_")
}
