package trust

import (
	"kkeys/certs"
	"kkeys/evidence"
)

// Barrier is the first gate that would keep a certificate from counting for modules though shim's list had it; its result is not-applicable where none
// is known to. A nil certificate is one still to be made, of the kind that the kernel wants. Where .platform counts, it is enough that shim hands the
// key over. The facts' own certificate is not looked at.
func Barrier(f Facts, c *certs.Certificate) Gate {
	if f.Firmware == nil {
		return Gate{Name: GateEnrolled, Result: Fail, Evidence: "there are no EFI variables: this machine has no shim that could keep a key", Source: "efivars"}
	}
	f.Certificate = c
	gates := []func(Facts) Gate{shimGate, secureBootGate}
	if f.PlatformCounts() != evidence.Yes {
		gates = append(gates, trustListGate, machineGate)
		if c != nil {
			gates = append(gates, authorityGate)
		} else if WantsAuthority(f) {
			gates = append(gates, vouchingGate)
		}
	}
	for _, gate := range gates {
		if g := gate(f); g.Result == Fail {
			return g
		}
	}
	return Gate{Result: NotApplicable}
}

// WantsAuthority tells whether only certificates of authorities count that shim's list has (CONFIG_INTEGRITY_CA_MACHINE_KEYRING).
func WantsAuthority(f Facts) bool {
	return f.PlatformCounts() != evidence.Yes && f.Kernel.Built("INTEGRITY_CA_MACHINE_KEYRING").Answer == evidence.Yes
}

// vouchingGate: what an authority in .machine vouches for must get into .secondary_trusted_keys, which some kernels leave to keys that are built in
// (CONFIG_SECONDARY_TRUSTED_KEYRING_SIGNED_BY_BUILTIN, Linux 6.7; certs/system_keyring.c, restrict_link_by_digsig_builtin_and_secondary).
func vouchingGate(f Facts) Gate {
	gate := Gate{Name: GateAuthority, Result: NotApplicable}
	if built := f.Kernel.Built("SECONDARY_TRUSTED_KEYRING_SIGNED_BY_BUILTIN"); built.Answer == evidence.Yes {
		gate.Result, gate.Source = Fail, built.Source
		gate.Evidence = "this kernel takes from shim only authorities, and into .secondary_trusted_keys only what a key built into it vouches for (" + built.Evidence + ")"
	}
	return gate
}

// PlatformCounts tells whether the kernel asks .platform for modules: as a probe has shown, or as the distribution is known to build it.
func (f Facts) PlatformCounts() evidence.Answer {
	if f.Platform.Answer != evidence.Unknown {
		return f.Platform.Answer
	}
	return f.Kernel.Distribution.Expect().Platform
}
