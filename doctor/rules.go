package doctor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/modsig"
	"kkeys/trust"
)

func one(f Finding) []Finding { return []Finding{f} }

// loadingOff: kernel.modules_disabled stays 1 until the next boot.
func loadingOff(f Facts) []Finding {
	gate := f.gate(trust.GateLoading)
	if gate.Result != trust.Fail {
		return nil
	}
	return one(Finding{ID: "loading-disabled", Certainty: Proven, Concerns: You, Cause: "loading of modules is switched off until the next boot", Evidence: seen(gate),
		Ways: by(Remedy{Do: Reboot}), Reference: "Documentation/admin-guide/sysctl/kernel.rst, modules_disabled"})
}

// appraisal: IMA looks at the file when finit_module reads it, before the signature in it counts.
func appraisal(f Facts) []Finding {
	lines := f.said(kernel.SaidIMA)
	gate := f.gate(trust.GateIMA)
	switch {
	case len(lines) > 0:
		return one(Finding{ID: "ima", Certainty: Likely, Concerns: You, Cause: "IMA refuses a module that does not come as a file which it has appraised", Evidence: quote(lines), Reference: imaReference})
	case gate.Result == trust.Fail || f.Failure == "EACCES" && gate.Result != trust.Pass && gate.Result != trust.NotApplicable:
		return one(Finding{ID: "ima", Certainty: Possible, Concerns: You, Cause: "IMA appraises modules on this machine: the file needs a signature of its own (security.ima)", Evidence: seen(gate),
			Reference: imaReference})
	}
	return nil
}

const imaReference = "Documentation/ABI/testing/ima_policy, func=MODULE_CHECK"

// kernelFolder are the paths of the modules in a kernel's own package.
var kernelFolder = regexp.MustCompile(`^/(?:usr/)?lib/modules/([^/]+)/kernel/`)

// ofKernel tells whether the module is one of the running kernel's own package: by what it says or, where it says nothing, by where it lies.
func (f Facts) ofKernel() bool {
	if f.Info != nil {
		return f.Info.InTree && f.Info.MadeFor() == f.Kernel.Release && len(f.Builds) == 0
	}
	path := kernelFolder.FindStringSubmatch(f.Path)
	return path != nil && path[1] == f.Kernel.Release && len(f.Builds) == 0
}

// packing: somebody must unpack the file, and it must be whole.
func packing(f Facts) []Finding {
	if f.Module == nil || f.Packing == modsig.Plain {
		return nil
	}
	m := f.Module
	lines := quote(f.said(kernel.SaidUnpacking))
	found := func(id, cause string, certainty Certainty, remedy Action, what ...string) []Finding {
		return one(Finding{ID: id, Certainty: certainty, Concerns: Builder, Cause: cause, Evidence: what, Ways: by(Remedy{Do: remedy, Path: f.Path}), Reference: "kernel/module/decompress.c"})
	}
	whole := Rebuild // what brings a whole file
	if f.ofKernel() {
		whole = Reinstall
	}
	switch {
	case m.SignedOutside:
		return nil // see signature
	case errors.Is(m.Err, modsig.ErrDamaged):
		return found("damaged", "the compressed file is damaged", Proven, whole, append(lines, m.Err.Error())...)
	case errors.Is(m.Err, modsig.ErrFilter):
		return found("xz-filter", "it was compressed with a filter that the kernel does not read in modules", Likely, Repack, append(lines, m.Err.Error())...)
	case errors.Is(m.Err, modsig.ErrTooLarge):
		return found("too-large", "it is larger than any module", Likely, whole, append(lines, m.Err.Error())...)
	case m.Trailing > 0:
		return found("trailing", fmt.Sprintf("%d bytes stand behind the compressed module", m.Trailing), Likely, whole, lines...)
	case f.Packing == modsig.XZ && m.Unpacks == "xz" && m.Check != "crc32" && m.Check != "none":
		certainty := Possible // an older kmod unpacks it itself
		if len(lines) > 0 || f.Failure == "EINVAL" {
			certainty = Likely
		}
		return found("xz-check", "it was compressed with the check "+m.Check+", which the kernel's own decompressor does not read (it wants crc32)", certainty, Repack, append(lines, "/sys/module/compression: xz")...)
	case m.Unpacks != f.Packing.String() && m.Kmod.Answer == evidence.No:
		return found("not-unpacked", "neither the kernel nor kmod here unpacks "+f.Packing.String(), Likely, Repack, append(lines, m.Kmod.Evidence)...)
	}
	return nil
}

// seen is a gate's evidence with where it stands.
func seen(g trust.Gate) []string {
	if g.Evidence == "" {
		return nil
	}
	if g.Source == "" {
		return []string{g.Evidence}
	}
	return []string{g.Evidence + " (" + g.Source + ")"}
}

// spoken: where there is no file to look at, the errno and the log are all there is. EKEYREJECTED has a notice where the signature is missing or
// cannot be checked, and none where it is wrong (kernel/module/signing.c, module_sig_check).
func spoken(f Facts) []Finding {
	if lines := f.said(kernel.SaidTaint); f.Module == nil && len(lines) > 0 {
		return one(Finding{ID: "unsigned", Certainty: Likely, Concerns: Builder, Cause: "it is not signed, or not by a key that the kernel trusts", Evidence: quote(lines), Reference: "kernel/module/main.c, load_module"})
	}
	if f.Module != nil || f.Failure != "EKEYREJECTED" && f.Failure != "EPERM" {
		return nil
	}
	finding := Finding{Certainty: Likely, Concerns: Builder, Reference: "kernel/module/signing.c, module_sig_check"}
	type refusal struct {
		id, cause string
		kind      kernel.Kind
	}
	table := []refusal{
		{"unsigned", "it is not signed", kernel.SaidUnsigned},
		{"unknown-key", "the key that signed it is not one that the kernel trusts", kernel.SaidKey},
		{"hash-missing", "the kernel has no hash, or no algorithm for the key, at hand with which the signature was made", kernel.SaidCrypto},
		{"unsigned", "it is not signed, or not by a key that the kernel trusts, and lockdown refuses such modules", kernel.SaidLockdown},
	}
	var last refusal
	kinds := map[kernel.Kind]bool{}
	for _, s := range f.Said {
		for _, r := range table {
			if s.Kind == r.kind && (s.Module == "" || f.Is(s.Module)) && (f.Failure == "EPERM") == (r.kind == kernel.SaidLockdown) {
				last, kinds[r.kind] = r, true
			}
		}
	}
	if len(kinds) > 0 {
		finding.ID, finding.Cause, finding.Evidence = last.id, last.cause, quote(f.said(last.kind))
		if len(kinds) > 1 { // the notices name no module
			finding.Certainty = Possible
		}
		return one(finding)
	}
	if f.Failure == "EKEYREJECTED" && f.LogRead {
		finding.ID, finding.Certainty = "wrong-signature", Possible
		finding.Cause = "its signature is wrong: the module was changed after it was signed, or another key has the name of the one that signed it"
		finding.Evidence = []string{"the log has no notice that a module was rejected, as it has where the signature is missing or its key is not known"}
		return one(finding)
	}
	return nil
}

// hash: the kernel must have the hash of the signature before it is asked.
func hash(f Facts) []Finding {
	if f.Module == nil || f.Module.Err != nil || f.Hash == "" {
		return nil
	}
	said := f.said(kernel.SaidCrypto)
	gate := f.gate(trust.GateHash)
	finding := Finding{ID: "hash-missing", Concerns: You, Cause: "the kernel has no " + f.Hash + " at hand, with which the signature was made", Evidence: append(quote(said), seen(gate)...),
		Reference: "kernel/module/signing.c: unsupported crypto (ENOPKG)"}
	if kernel.ReadInSignatures(f.Kernel.Release, f.Hash) {
		finding.Ways = by(Remedy{Do: LoadHash, Hash: f.Hash})
	}
	switch {
	case f.Module.Hash.Answer == evidence.Yes && len(said) > 0 && f.Verdict != nil && f.Verdict.Value != trust.Trusted && f.gate(trust.GateKey).Result != trust.Fail:
		// It has the hash: then it is the key that it cannot verify with.
		finding = Finding{ID: "key-unsupported", Certainty: Possible, Concerns: You, Cause: "the kernel has no algorithm at hand for the key that signed it", Evidence: quote(said),
			Reference: finding.Reference}
		if f.Kernel.Built("CRYPTO_ECDSA").Answer != evidence.No { // the one that may have to be loaded
			finding.Ways = by(Remedy{Do: LoadKeys})
		}
		if f.Failure == "EKEYREJECTED" || f.Failure == "ENOPKG" {
			finding.Certainty = Likely
		}
	case f.Module.Hash.Answer == evidence.Yes:
		return nil
	case len(said) > 0, f.Module.Hash.Answer == evidence.No, f.Failure == "EKEYREJECTED" && f.found():
		finding.Certainty = Likely
	case f.Failure == "": // the verdict has the doubt
		return nil
	default:
		finding.Certainty = Possible
	}
	return one(f.resigned(finding))
}

// forbidden: the module itself is on a list.
func forbidden(f Facts) []Finding {
	lines := f.said(kernel.SaidBlacklisted)
	if f.Module != nil { // others' lines
		sum := hex.EncodeToString(f.Module.SHA256[:])
		lines = slices.DeleteFunc(lines, func(s Said) bool { return s.Subject != sum })
	} else if f.Failure != "EKEYREJECTED" {
		lines = nil
	}
	if (f.Module == nil || !f.Module.Blacklisted()) && len(lines) == 0 {
		return nil
	}
	return one(Finding{ID: "blacklisted", Certainty: Likely, Concerns: Builder, Cause: "the module's own hash is on the kernel's blacklist",
		Evidence: append(seen(f.gate(trust.GateModuleHash)), quote(lines)...), Ways: by(Remedy{Do: Rebuild}), Reference: "kernel/module/signing.c of Debian and SUSE"})
}

// madeForAnother is no question of signatures, and said so: the kernel looks at it after the signature.
func madeForAnother(f Facts) []Finding {
	lines := slices.DeleteFunc(f.said(kernel.SaidVermagic), func(s Said) bool { // a line may be about another build of the module, or of another boot
		release, _, _ := strings.Cut(s.Wanted, " ")
		return f.Info != nil && s.Subject != f.Info.Vermagic || f.Kernel.Release != "" && release != f.Kernel.Release
	})
	structs := slices.DeleteFunc(f.said(kernel.SaidStruct), func(s Said) bool { return s.Module == "" })
	switch {
	case f.Info == nil && f.InfoErr != nil:
		return one(Finding{ID: "no-module", Certainty: Proven, Concerns: Builder, Cause: "it is no kernel module: this is not about signatures", Evidence: []string{f.InfoErr.Error()}, Ways: by(Remedy{Do: Rebuild})})
	case f.Info == nil && len(lines)+len(structs) == 0:
		return nil
	case f.Info == nil: // no file to look at
		return one(Finding{ID: "made-for-another-kernel", Certainty: Likely, Concerns: Builder, Cause: "it was built for a kernel with other options, or for another kernel: this is not about signatures",
			Ways: by(Remedy{Do: Rebuild}), Evidence: append(quote(lines), quote(structs)...), Reference: "kernel/module/main.c, check_modinfo"})
	}
	finding := Finding{ID: "made-for-another-kernel", Concerns: Builder, Ways: by(Remedy{Do: Rebuild}), Evidence: quote(lines), Reference: "kernel/module/main.c, check_modinfo"}
	made := f.Info.MadeFor()
	other := made != "" && f.Kernel.Release != "" && made != f.Kernel.Release
	// With versions of symbols the kernel does not compare the release (same_magic, kernel/module/version.c).
	versions := strings.Contains(f.Info.Vermagic, " modversions")
	switch {
	case f.Processor != "" && f.Info.Machine.String() != f.Processor:
		finding.ID, finding.Certainty = "other-processor", Proven
		finding.Cause = fmt.Sprintf("it was built for another processor (%v): this is not about signatures", f.Info.Machine)
		return one(finding)
	case len(lines) > 0, other && !versions:
		finding.Certainty = Proven
	case other && f.Failure == "ENOEXEC", len(structs) > 0:
		finding.Certainty, finding.Evidence = Likely, quote(structs)
	case other:
		finding.Certainty, finding.Harmless, finding.Ways = Proven, true, nil
		finding.Cause = fmt.Sprintf("it was built for kernel %s, and %s is running: where symbols have versions that alone keeps nothing from loading", made, f.Kernel.Release)
		finding.Evidence = []string{"version magic " + f.Info.Vermagic}
		return one(finding)
	default:
		return nil
	}
	finding.Cause = "it was built for a kernel with other options: this is not about signatures"
	if other {
		finding.Cause = fmt.Sprintf("it was built for kernel %s, and %s is running: this is not about signatures", made, f.Kernel.Release)
	}
	finding.Evidence = append(finding.Evidence, "version magic "+f.Info.Vermagic)
	return one(finding)
}

// symbols: what the module calls is not there, or another version of it.
func symbols(f Facts) []Finding {
	if !slices.Contains([]kernel.Errno{"", "ENOENT", "EINVAL", "ENOEXEC"}, f.Failure) { // lines of an earlier attempt
		return nil
	}
	if lines := f.said(kernel.SaidDuplicate); len(lines) > 0 {
		found := Finding{ID: "duplicate-symbol", Certainty: Likely, Concerns: You, Evidence: quote(lines), Reference: "kernel/module/main.c, verify_exported_symbols",
			Cause: "it exports what " + lines[0].Owner + " exports already, another driver for the same: this is not about signatures"}
		if lines[0].Owner != "kernel" {
			found.Ways = by(Remedy{Do: Unload, Modules: []string{lines[0].Owner}})
		}
		return one(found)
	}
	lines := f.said(kernel.SaidSymbol, kernel.SaidNamespace)
	if len(lines) == 0 {
		return nil
	}
	ways := by(Remedy{Do: Rebuild})
	if f.Info != nil && len(f.Info.Depends) > 0 && !f.Searched { // insmod loads nothing else, as modprobe does
		ways = append(by(Remedy{Do: LoadFirst, Modules: f.Info.Depends}), ways...)
	}
	return one(Finding{ID: "symbols", Certainty: Likely, Concerns: Builder, Cause: "it calls what this kernel and the modules that are loaded do not have: this is not about signatures", Evidence: quote(lines),
		Ways: ways, Reference: "depmod(8); kernel/module/main.c, resolve_symbol"})
}

// unnamed: notices name no module. Where this one has nothing that they could mean, they may mean its copy elsewhere, or another module.
func unnamed(f Facts) []Finding {
	lines := f.said(kernel.SaidUnsigned, kernel.SaidKey, kernel.SaidCrypto)
	if len(lines) == 0 || f.Module == nil || f.Verdict == nil || f.Verdict.Value != trust.Trusted {
		return nil
	}
	return one(Finding{ID: "others-refused", Certainty: Possible, Concerns: You, Cause: "the log has refusals that name no module, and nothing of this one fits them: they may be about another module, or about a copy of this one in an initramfs",
		Evidence: quote(lines), Reference: "kernel/module/signing.c, module_sig_check"})
}

// bareErrno is the finding that has nothing but an errno.
const bareErrno = "errno"

// unexplained says what an errno alone allows, where nothing else explains it.
func unexplained(f Facts) []Finding {
	failures := f.said(kernel.SaidNotInserted)
	if f.Failure == "" && len(failures) == 0 {
		return nil
	}
	causes := map[kernel.Errno]string{
		"EKEYREJECTED": "the kernel refused the signature: with a notice in the log because it is missing or its key is not trusted, without one because it is wrong",
		"ENOKEY":       "kernels before 5.4 say this of a module that is not signed, or not by a key that they trust",
		"EPERM":        "lockdown refuses unsigned modules, or this process may load none",
		"EBADMSG":      "what stands at the module's end is no signature in a form that the kernel reads",
		"ENOPKG":       "kernels before 5.4 say this of a hash or key that they cannot verify with",
		"ENOEXEC":      "the file is no module for this kernel: this is not about signatures",
		"EINVAL":       "a parameter, or the compression, is not to the kernel's taste: this is not about signatures",
		"ENOENT":       "a symbol or a parameter is not known: this is not about signatures",
		"EEXIST":       "it is loaded already",
		"ENODEV":       "it was loaded and found nothing to do: this is not about signatures",
	}
	cause, known := causes[f.Failure]
	switch {
	case f.Failure == "":
		cause = "it was not loaded, with words that are not known here"
	case !known:
		cause = string(f.Failure) + ": nothing that is known of signatures"
	default:
		cause = string(f.Failure) + ": " + cause
	}
	return one(Finding{ID: bareErrno, Certainty: Possible, Concerns: You, Cause: cause, Reference: "kernel/module/main.c",
		Evidence: append(quote(failures), quote(f.said(kernel.SaidFormat, kernel.SaidAlgorithm, kernel.SaidELF, kernel.SaidRejected, kernel.SaidTrailer))...)})
}
