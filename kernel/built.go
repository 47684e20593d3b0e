package kernel

import (
	"fmt"

	"kkeys/evidence"
)

// only are symbols that exist only where an option is compiled in: each stands in a file or between #ifdefs of that option, and what takes its
// place without the option is an inline function (certs/system_keyring.c, certs/blacklist.c, security/integrity/platform_certs/machine_keyring.c,
// include/linux/secure_boot.h) or, in kernels older than the option's name, a weak one.
var only = map[string][]string{
	"HAVE_ARCH_GET_SECUREBOOT":  {"arch_get_secureboot"},
	"INTEGRITY_MACHINE_KEYRING": {"set_machine_trusted_keys", "imputed_trust_enabled", "trust_moklist"},
	"SYSTEM_REVOCATION_LIST":    {"is_key_on_revocation_list"},
}

// Built tells whether CONFIG_<option> is compiled into this kernel, or into a module of it (y or m). The configuration says so; where there is
// none, a symbol can prove a yes, and nothing proves a no.
func (s Status) Built(option string) evidence.Reading {
	switch value, known := s.Config.Value(option); {
	case known && (value == "y" || value == "m"):
		return evidence.Reading{Answer: evidence.Yes, Evidence: "CONFIG_" + option + "=" + value, Source: s.ConfigPath}
	case known && value == "n":
		return evidence.Reading{Answer: evidence.No, Evidence: "CONFIG_" + option + " is not set", Source: s.ConfigPath}
	case known:
		return evidence.Reading{Evidence: fmt.Sprintf("CONFIG_%s=%s is neither on nor off", option, value), Source: s.ConfigPath}
	}
	for _, name := range only[option] {
		if s.Symbols[name] {
			return evidence.Reading{Answer: evidence.Yes, Evidence: "the kernel has " + name + ", which is only there with CONFIG_" + option, Source: "/" + symbolFile}
		}
	}
	none := evidence.Reading{Evidence: "no kernel configuration was found", Source: "/" + symbolFile}
	switch {
	case s.Symbols == nil:
		none.Source = configPlaces
	case len(only[option]) > 0:
		none.Evidence += "; a symbol that is missing proves nothing"
	}
	return none
}
