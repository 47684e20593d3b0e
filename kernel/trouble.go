package kernel

import (
	"strings"
)

// Trouble is what a line of the kernel log, or of a program that loads modules, says about modules and the keys for them.
type Trouble struct {
	Kind    Kind
	Module  string // its name, or the file's as it was given, where the line has it
	Program string // that loaded it, where the line has it
	Subject string // certificate, symbol, hash, version magic, install command: what the line is about; of other kinds the sentence itself
	Wanted  string // what the kernel would have: of SaidVermagic its own version magic, of SaidNamespace the namespace to import
	Owner   string // of SaidDuplicate what has exported the symbol before: a module's name, or "kernel"
	Errno   Errno  // as the line gives it, or as the words for it; empty where it has none
}

// Kind is a kind of message.
type Kind string

// The kinds. In brackets is where the kernel, or the program, prints them.
const (
	SaidUnsigned    Kind = "unsigned-rejected"      // Loading of unsigned module is rejected [kernel/module/signing.c, module_sig_check]
	SaidKey         Kind = "key-rejected"           // Loading of module with unavailable key is rejected [the same]
	SaidCrypto      Kind = "crypto-rejected"        // Loading of module with unsupported crypto is rejected [the same]
	SaidRejected    Kind = "rejected"               // the same sentence with another reason
	SaidLockdown    Kind = "lockdown"               // [security/lockdown/lockdown.c, lockdown_is_locked_down; rate-limited; Debian's name a page of its wiki]
	SaidTaint       Kind = "verification-failed"    // [kernel/module/main.c, load_module; once a boot]
	SaidUntrusted   Kind = "pkcs7-not-trusted"      // [certs/system_keyring.c, verify_pkcs7_message_sig]
	SaidCodeSigning Kind = "not-code-signing"       // SUSE's kernels [crypto/asymmetric_keys/pkcs7_trust.c]
	SaidBlacklisted Kind = "blacklisted"            // Module hash … is blacklisted [kernel/module/signing.c, of Debian and SUSE]
	SaidForbidden   Kind = "module-blacklisted"     // Module … is blacklisted, by module_blacklist= [kernel/module/main.c, load_module]
	SaidRevoked     Kind = "certificate-revoked"    // Cert … is blacklisted [crypto/asymmetric_keys/x509_public_key.c, x509_get_sig_params]
	SaidTrailer     Kind = "trailer"                // the twelve bytes before the line of text [kernel/module_signature.c, mod_check_sig]
	SaidFormat      Kind = "signature-format"       // a PKCS#7 message of a form that modules may not have, which is the Subject [crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_verify.c; certs/system_keyring.c]
	SaidAlgorithm   Kind = "signature-algorithm"    // an algorithm, or an OID, in a PKCS#7 message that the kernel does not know [crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_sig_note_pkey_algo, pkcs7_sig_note_digest_algo, pkcs7_note_OID]
	SaidVermagic    Kind = "version-magic"          // [kernel/module/main.c, check_modinfo]
	SaidStruct      Kind = "module-struct"          // struct module of another size: made for another kernel, or configuration [kernel/module/main.c, elf_validity_check]
	SaidSymbol      Kind = "unknown-symbol"         // [kernel/module/main.c, simplify_symbols; kernel/module/version.c, check_version]
	SaidNoVersion   Kind = "no-symbol-version"      // [kernel/module/version.c, check_version]: a warning, once a boot; old kernels refused such a module
	SaidNamespace   Kind = "symbol-namespace"       // [kernel/module/main.c, verify_namespace_is_imported; scripts/mod/modpost.c]: a warning with MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS, else EINVAL
	SaidDuplicate   Kind = "duplicate-symbol"       // [kernel/module/main.c, verify_exported_symbols]: ENOEXEC
	SaidELF         Kind = "invalid-elf"            // [kernel/module/main.c, elf_validity_check]
	SaidUnpacking   Kind = "unpacking-failed"       // [kernel/module/decompress.c]
	SaidCertificate Kind = "certificate-refused"    // [certs/system_keyring.c, security/integrity/digsig.c, security/integrity/platform_certs/load_uefi.c]
	SaidIMA         Kind = "ima"                    // [security/integrity/ima/ima_main.c, ima_load_data]
	SaidNotInserted Kind = "not-inserted"           // what modprobe, insmod and systemd-modules-load say [kmod tools/modprobe.c, insmod.c; systemd src/shared/module-util.c, before 2018 src/modules-load/modules-load.c; module-init-tools modprobe.c, insmod.c; busybox], or only the words of strerror
	SaidNotFound    Kind = "not-found"              // the same, where there is no such module or file
	SaidInstall     Kind = "install-command-failed" // modprobe ran the command of an install line, the Subject, in place of loading [kmod libkmod/libkmod-module.c, command_do; module-init-tools modprobe.c]
)

// ReadTrouble recognises a message, with or without a head that Lines drops; ok is false for one that tells nothing here, and for one of more
// than 4 KiB.
func ReadTrouble(message string) (t Trouble, ok bool) {
	if len(message) > longestLine {
		return Trouble{}, false
	}
	if errno, ok := words[message]; ok {
		return Trouble{Kind: SaidNotInserted, Errno: errno}, true
	}
	if !mayTell(message) {
		return Trouble{}, false
	}
	message = withoutHead(message)
	for _, p := range patterns {
		groups := p.is.FindStringSubmatch(message)
		if groups == nil {
			continue
		}
		t.Kind = p.kind
		for i, name := range p.is.SubexpNames() {
			t.set(name, groups[i])
		}
		return t, true
	}
	return Trouble{}, false
}

// set keeps what a group of a pattern holds.
func (t *Trouble) set(name, value string) {
	switch name {
	case "module":
		t.Module = value
	case "program":
		t.Program = value
	case "subject":
		t.Subject = value
	case "wanted":
		t.Wanted = value
	case "owner":
		t.Owner = value
	case "errno":
		if t.Errno = words[value]; t.Errno == "" {
			t.Errno = numbers[value]
		}
	}
}

// marks are words of which each line that a pattern knows has one: a cheap test before the patterns.
var marks = []string{"jected", "stricted", "verification failed", "PKCS", "blacklisted", "version magic", "symbol", "ELF", "linkonce", "compress", "X.509 cert",
	"Couldn't parse", "appraise a module", "modprobe: ", "modprobe[", "insmod: ", "insmod[", "modules-load", "FATAL: ", "ERROR: ", "WARNING: Error ", "nsupported ", "ERROR "}

// mayTell tells whether a pattern may know the message.
func mayTell(message string) bool {
	for _, mark := range marks {
		if strings.Contains(message, mark) {
			return true
		}
	}
	return false
}

// ModuleName is a module's name out of a file's: without folder and endings, with underscores (kmod's path_to_modname).
func ModuleName(file string) string {
	file = file[strings.LastIndexByte(file, '/')+1:]
	file, _, _ = strings.Cut(file, ".")
	return strings.ReplaceAll(file, "-", "_")
}
