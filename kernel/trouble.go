package kernel

import (
	"math/bits"
	"strings"
)

// Trouble is what a line of the kernel log, or of a program that loads modules, says about modules and the keys for them.
type Trouble struct {
	Kind    Kind
	Module  string // its name, or the file's as it was given, where the line has it
	Subject string // certificate, symbol, hash, version magic, install command: what the line is about; of other kinds the sentence itself
	Wanted  string // what the kernel would have: of SaidVermagic its own version magic, of SaidNamespace the namespace to import
	Owner   string // of SaidDuplicate what has exported the symbol before: a module's name, or "kernel"
	Errno   Errno  // as the line gives it, or as the words for it; empty where it has none
}

// Kind is a kind of message.
type Kind string

// The kinds. In brackets is where the kernel, or the program, prints them.
const (
	SaidUnsigned    Kind = "unsigned-rejected"   // Loading of unsigned module is rejected [kernel/module/signing.c, module_sig_check]
	SaidKey         Kind = "key-rejected"        // Loading of module with unavailable key is rejected [the same]
	SaidCrypto      Kind = "crypto-rejected"     // Loading of module with unsupported crypto is rejected [the same]
	SaidRejected    Kind = "rejected"            // the same sentence with another reason
	SaidLockdown    Kind = "lockdown"            // [security/lockdown/lockdown.c, lockdown_is_locked_down; rate-limited; Debian's name a page of its wiki]
	SaidTaint       Kind = "verification-failed" // [kernel/module/main.c, load_module; once a boot]
	SaidUntrusted   Kind = "pkcs7-not-trusted"   // [certs/system_keyring.c, verify_pkcs7_message_sig]
	SaidCodeSigning Kind = "not-code-signing"    // SUSE's kernels [crypto/asymmetric_keys/pkcs7_trust.c]
	SaidBlacklisted Kind = "blacklisted"         // Module hash … is blacklisted [kernel/module/signing.c, of Debian and SUSE]
	SaidForbidden   Kind = "module-blacklisted"  // Module … is blacklisted, by module_blacklist= [kernel/module/main.c, load_module]
	SaidRevoked     Kind = "certificate-revoked" // Cert … is blacklisted [crypto/asymmetric_keys/x509_public_key.c, x509_get_sig_params]
	SaidTrailer     Kind = "trailer"             // the twelve bytes before the line of text [kernel/module_signature.c, mod_check_sig]
	SaidFormat      Kind = "signature-format"    // PKCS#7 of a form that modules may not have [crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_verify.c, certs/system_keyring.c]
	SaidAlgorithm   Kind = "signature-algorithm" // one, or an OID, that the kernel does not know [crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_sig_note_…_algo, pkcs7_note_OID]
	SaidVermagic    Kind = "version-magic"       // [kernel/module/main.c, check_modinfo]
	SaidStruct      Kind = "module-struct"       // struct module has another size: it is made for another kernel [kernel/module/main.c, elf_validity_check]
	SaidSymbol      Kind = "unknown-symbol"      // [kernel/module/main.c, simplify_symbols; kernel/module/version.c, check_version]
	SaidNoVersion   Kind = "no-symbol-version"   // a warning, once a boot; old kernels refused [kernel/module/version.c, check_version]
	SaidNamespace   Kind = "symbol-namespace"    // EINVAL, or by configuration a warning [kernel/module/main.c, verify_namespace_is_imported; scripts/mod/modpost.c]
	SaidDuplicate   Kind = "duplicate-symbol"    // ENOEXEC [kernel/module/main.c, verify_exported_symbols]
	SaidELF         Kind = "invalid-elf"         // [kernel/module/main.c, elf_validity_check]
	SaidUnpacking   Kind = "unpacking-failed"    // [kernel/module/decompress.c]
	SaidCertificate Kind = "certificate-refused" // [certs/system_keyring.c, security/integrity/digsig.c, security/integrity/platform_certs/load_uefi.c]
	SaidIMA         Kind = "ima"                 // [security/integrity/ima/ima_main.c, ima_load_data]

	// What programs that load say: kmod's modprobe and insmod [tools/modprobe.c, insmod.c], systemd-modules-load [src/shared/module-util.c, of old
	// src/modules-load/modules-load.c], and those of module-init-tools [modprobe.c, insmod.c] and busybox [modutils/].
	SaidNotInserted Kind = "not-inserted"           // or only the words of strerror, which name no module
	SaidNotFound    Kind = "not-found"              // there is no such module, or file
	SaidInstall     Kind = "install-command-failed" // the command of an install line of modprobe.d, in place of loading [kmod libkmod/libkmod-module.c, command_do]
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

// marks are pieces of text of which each line that a pattern knows has one: a cheap test before the patterns. They begin with letters that
// seldom meet; there are 32 at most.
var marks = []string{"jected", "Lockdown", "xpected", "key missing", "PKCS", "klisted", "gic '", "symbol", "ELF", ".gnu.", "compress", "X.509 cert",
	"Couldn't parse", "appraise a module", "modprobe", "insmod", "modules-load[", "FATAL: ", "ERROR", "WARNING: ", "Unsupported "}

// begins has at the first two letters of marks which of them begin so, as a number: bit 0 is the first.
var begins = func() (begins [1 << 16]uint32) {
	for i, mark := range marks {
		begins[int(mark[0])<<8|int(mark[1])] |= 1 << i
	}
	return begins
}()

// mayTell tells whether a pattern may know the message.
func mayTell(message string) bool {
	for i := 1; i < len(message); i++ {
		for these := begins[int(message[i-1])<<8|int(message[i])]; these != 0; these &= these - 1 {
			if strings.HasPrefix(message[i-1:], marks[bits.TrailingZeros32(these)]) {
				return true
			}
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
