package doctor

import (
	"fmt"
	"slices"
	"strings"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/trust"
)

// Build is a module that a tool builds on this machine out of its source.
type Build struct {
	Tool    string // "dkms", "akmods"
	Package string // as the tool names it: "nvidia/550.54.14", "nvidia-kmod"
	File    string // built for the running kernel; empty where it is not
}

// Block is a line, or a word of the kernel's command line, that keeps a module from being loaded.
type Block struct {
	Where string // file, or "/proc/cmdline"
	Text  string
	// ByItself: it only keeps it from being loaded for a device that is found; modprobe loads it by its name.
	ByItself bool
	// Kernel: the kernel itself refuses it, with EPERM.
	Kernel bool
	// Instead: modprobe runs a command in its place, which may load it or not.
	Instead bool
}

// Copy is another module of the name in an image that is loaded from before the root file system is there.
type Copy struct {
	Image, Entry string
	Unsigned     bool
}

// monolithic: a kernel without CONFIG_MODULES.
func monolithic(f Facts) []Finding {
	if f.Modular.Answer != evidence.No {
		return nil
	}
	return one(Finding{ID: "no-modules", Certainty: Proven, Concerns: Distribution, Cause: "this kernel loads no modules at all", Evidence: []string{f.Modular.Evidence},
		NoWay: "it takes a kernel that is built with CONFIG_MODULES", Reference: "kernel/module/Kconfig"})
}

// notFound: there is nothing to look at.
func notFound(f Facts) []Finding {
	if f.Path != "" {
		return nil
	}
	if f.Builtin {
		return one(Finding{ID: "builtin", Certainty: Proven, Concerns: Nobody, Cause: "it is part of the kernel itself: there is nothing to load",
			Evidence: []string{"modules.builtin of kernel " + f.Kernel.Release}})
	}
	if !f.Absent {
		return nil
	}
	absent := "no file of that name below /lib/modules/" + f.Kernel.Release
	if len(f.Builds) > 0 {
		build := f.Builds[0]
		finding := Finding{ID: "not-built", Certainty: Proven, Concerns: You, Cause: fmt.Sprintf("%s has its source, %s, and has not built it for kernel %s", build.Tool, build.Package, f.Kernel.Release),
			Evidence: []string{absent}, Ways: by(Remedy{Do: BuildModule, Path: build.Package, Tool: build.Tool})}
		if build.File != "" {
			finding.ID, finding.Cause = "not-installed", build.Tool+" has built it for this kernel, and has not installed it"
			finding.Evidence = append(finding.Evidence, build.File)
		}
		return one(finding)
	}
	return one(Finding{ID: "not-found", Certainty: Proven, Concerns: You, Cause: "kernel " + f.Kernel.Release + " has no module of that name", Evidence: []string{absent}})
}

// unlisted: modprobe goes by modules.dep, which depmod writes, and not by what lies there.
func unlisted(f Facts) []Finding {
	if !f.Searched || f.Path == "" {
		return nil
	}
	finding := Finding{ID: "depmod", Certainty: Proven, Concerns: You, Ways: by(Remedy{Do: Depmod}), Evidence: append([]string{f.Path}, f.Others...), Reference: "depmod(8)"}
	overriding := func(file string) bool { return strings.Contains(file, "/updates/") }
	switch {
	case f.Chosen == "" && !f.Unlisted:
		return nil
	case f.Chosen == "":
		finding.Cause = "modules.dep does not list it: modprobe does not find it"
	case f.Chosen != f.Path:
		finding.Cause = "modules.dep names " + f.Chosen + ", which is not there"
	case !overriding(f.Path) && slices.ContainsFunc(f.Others, overriding):
		finding.Certainty, finding.Cause = Likely, "modprobe takes "+f.Path+", and not the one in updates, which modules.dep does not know of"
	default:
		return nil
	}
	return one(finding)
}

// copies: what an initramfs holds is loaded first, whatever lies in /lib/modules.
func copies(f Facts) []Finding {
	var seen []string
	certainty := Possible
	for _, c := range f.Copies {
		text := c.Image + ": " + c.Entry + " has other bytes than " + f.Path
		if c.Unsigned {
			text += ", and is not signed"
			certainty = Likely
		}
		seen = append(seen, text)
	}
	if len(seen) == 0 {
		return nil
	}
	return one(Finding{ID: "image-differs", Certainty: certainty, Concerns: You, Cause: "the initramfs holds another copy of it, which is the one that is loaded while the machine starts",
		Evidence: seen, Ways: by(Remedy{Do: RenewImage}), Reference: "docs/signing.md"})
}

// blocked: modprobe, or the kernel, does not even try. All lines of a kind must go.
func blocked(f Facts) (all []Finding) {
	for _, b := range f.Blocks {
		finding := Finding{ID: "blocked", Certainty: Proven, Concerns: You, Cause: "modprobe is told not to load it", Evidence: []string{b.Where + ": " + b.Text},
			Ways: by(Remedy{Do: Unblock, Path: b.Where, Text: b.Text}), Reference: "modprobe.d(5)"}
		switch {
		case b.Kernel:
			finding.ID, finding.Cause, finding.Reference = "forbidden-at-boot", "the kernel was told at boot to refuse it: this is not about signatures", "Documentation/admin-guide/kernel-parameters.txt, module_blacklist"
		case b.Instead:
			finding.ID, finding.Certainty, finding.Cause = "run-instead", Possible, "modprobe runs a command in its place, and nothing shows that it loads the module"
		case b.ByItself:
			finding.ID, finding.Cause = "not-by-itself", "it is not loaded by itself when its device is found; modprobe loads it by its name"
			finding.Certainty = Possible
			if f.Failure == "" {
				finding.Certainty = Likely
			}
		}
		if i := slices.IndexFunc(all, func(a Finding) bool { return a.ID == finding.ID }); i >= 0 {
			all[i].Evidence = append(all[i].Evidence, finding.Evidence...)
			all[i].Ways[0] = append(all[i].Ways[0], finding.Ways[0]...)
			continue
		}
		all = append(all, finding)
	}
	lines := slices.DeleteFunc(f.said(kernel.SaidInstall), func(s Said) bool { return !nothing[s.Subject] }) // other commands load it in the end
	if len(lines) > 0 && len(all) == 0 {
		all = append(all, Finding{ID: "blocked", Certainty: Likely, Concerns: You, Cause: "modprobe is told to run a command in its place, which failed", Evidence: quote(lines), Reference: "modprobe.d(5)"})
	}
	if lines := f.said(kernel.SaidForbidden); len(lines) > 0 && len(all) == 0 {
		all = append(all, Finding{ID: "forbidden-at-boot", Certainty: Likely, Concerns: You, Cause: "the kernel was told at boot to refuse it: this is not about signatures", Evidence: quote(lines),
			Reference: "Documentation/admin-guide/kernel-parameters.txt, module_blacklist"})
	}
	return all
}

// nothing are the commands that people give to modprobe in place of a module.
var nothing = map[string]bool{"/bin/false": true, "/bin/true": true, "/usr/bin/false": true, "/usr/bin/true": true}

// incapable: before anything else the kernel asks whether the caller may load modules (may_init_module, kernel/module/main.c).
func incapable(f Facts) []Finding {
	finding := Finding{ID: "no-capability", Certainty: Possible, Concerns: You, Cause: "a process like this one may load no module at all", Evidence: []string{f.Capable.Evidence},
		NoWay: "by hand: load it outside of the container, on the machine itself", Reference: "capabilities(7), CAP_SYS_MODULE"}
	switch {
	case f.Capable.Answer == evidence.No && f.Failure == "EPERM":
		finding.Certainty = Likely
	case f.Capable.Answer == evidence.No:
	case f.Capable.Answer == evidence.Unknown && f.Capable.Evidence != "" && f.Failure == "EPERM" && len(f.said(kernel.SaidLockdown, kernel.SaidForbidden)) == 0:
		finding.Cause = "a filter of system calls may keep a process like this one from loading modules"
	default:
		return nil
	}
	return one(finding)
}

// harmless is what people take for a cause, and is none.
func harmless(f Facts) []Finding {
	gate := f.gate(trust.GateValidity)
	if !strings.HasPrefix(gate.Evidence, "it expired") {
		return nil
	}
	return one(Finding{ID: "expired", Certainty: Proven, Concerns: Nobody, Harmless: true, Cause: "the certificate that signed it has expired, which keeps nothing from loading", Evidence: seen(gate),
		Reference: "crypto/asymmetric_keys/x509_cert_parser.c: no kernel looks at the dates"})
}
