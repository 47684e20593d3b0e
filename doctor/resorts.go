package doctor

import (
	"strings"

	"kkeys/evidence"
	"kkeys/kernel"
)

// Resort is a way around the check itself, for whoever has no other, and its price.
type Resort struct {
	Do    Action
	Price string
}

// LastResorts are what can be switched off on a machine so that modules load unsigned; the least first. Empty where signatures are not enforced.
func LastResorts(k kernel.Status, secureBoot, shim evidence.Answer) (all []Resort) {
	if k.Enforced.Answer == evidence.No {
		return nil
	}
	// The word only switches it on (kernel/module/signing.c, module_param_named with bool_enable_only), and a kernel may be built to enforce.
	if value, given := k.CommandLine.Last("module.sig_enforce"); given && !strings.ContainsAny(value[:min(1, len(value))], "0nN") && value != "off" && k.Built("MODULE_SIG_FORCE").Answer != evidence.Yes {
		all = append(all, Resort{EnforceOff, "take module.sig_enforce off the kernel's command line: every unsigned module loads then, where lockdown is off too"})
	}
	if k.Lockdown == "integrity" || k.Lockdown == "confidentiality" {
		all = append(all, Resort{LockdownLift, lifting(k.Config)})
	}
	if secureBoot == evidence.Yes && shim == evidence.Yes {
		all = append(all, Resort{ValidationOff, "shim then starts any boot loader and any kernel, and the kernel counts Secure Boot as off: keys that were enrolled no longer count either"})
	}
	if secureBoot == evidence.Yes {
		all = append(all, Resort{SecureBootOff, "the firmware then starts anything, also what somebody put there unseen; disks bound to the TPM ask for their recovery key; other systems on this machine may refuse to work"})
	}
	return all
}

// lifting tells whether a key lifts lockdown, of which old guides know (drivers/tty/sysrq.c with the patch that some distributions had).
func lifting(config kernel.Config) string {
	switch value, known := config.Value("ALLOW_LOCKDOWN_LIFT_BY_SYSRQ"); {
	case value == "y":
		return "SysRq x at the machine's own keyboard lifts lockdown until the next boot; whoever is root can then change the kernel"
	case known:
		return "lockdown: SysRq x, of which old guides tell, does nothing on this kernel, which is built without CONFIG_ALLOW_LOCKDOWN_LIFT_BY_SYSRQ"
	}
	return "lockdown: SysRq x at the machine's own keyboard lifts it until the next boot where the kernel has that, as most no longer have; whoever is root can then change the kernel"
}
