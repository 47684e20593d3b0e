package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
	"kkeys/mok"
)

// The gates in here explain how a key gets from the firmware and from shim into a keyring, or why it does not. They decide nothing: whether the
// key is there, the kernel says itself. Sources: security/integrity/platform_certs/load_uefi.c and machine_keyring.c.

// storedIn tells whether exactly this certificate was found in a store.
func (f Facts) storedIn(where string) bool {
	return slices.ContainsFunc(f.Stored, func(s Stored) bool {
		return s.Where == where && slices.Equal(s.Certificate.Raw, f.Certificate.Raw)
	})
}

// otherWay says why a key's way over shim does not matter, and where that was seen; empty where it does: for a key out of MokListRT, and for one
// that is nowhere, since that is where it can be enrolled.
func (f Facts) otherWay(found location) (why, source string) {
	itself := []string{keyring.Builtin, keyring.System, keyring.Secondary}
	if f.RingsErr != nil {
		itself = itself[:2] // for an ordinary user .secondary stands for all that it links
	}
	switch {
	case found.at != nil && slices.Contains(itself, found.at.ring):
		return "its key is in " + found.at.ring + ", which needs none of that", found.gate.Source
	case f.Firmware == nil:
		return "there are no EFI variables: no key comes from the firmware or from shim", "efivars"
	case !f.Firmware.Enrolled.Has(f.Certificate.Raw) && f.storedIn("db") && f.loadsDB():
		return "it is in the firmware's db, which the kernel loads into .platform", "efivars/db"
	}
	return "", ""
}

// loadsDB: keys of the firmware's db get into .platform (load_uefi.c, load_uefi_certs), and that is of use for modules, as far as is known.
func (f Facts) loadsDB() bool {
	return f.Firmware.IgnoreDB.Answer != evidence.Yes && f.Kernel.Built("LOAD_UEFI_KEYS").Answer != evidence.No &&
		f.Platform.Answer != evidence.No && f.Kernel.Distribution.Expect().Platform != evidence.No
}

// overShim gives the gates of a key's way over shim; none of them matters to one that comes another way.
func (f Facts) overShim(found location) []Gate {
	why, source := f.otherWay(found)
	var gates []Gate
	for _, g := range []struct {
		name string
		gate func(Facts) Gate
	}{
		{GateEnrolled, enrolledGate}, {GateSecureBoot, secureBootGate}, {GateShim, shimGate}, {GateTrustList, trustListGate}, {GateMachine, machineGate}, {GateAuthority, authorityGate},
	} {
		if why == "" {
			gates = append(gates, g.gate(f))
		} else {
			gates = append(gates, Gate{Name: g.name, Result: NotApplicable, Evidence: why, Source: source})
		}
	}
	return gates
}

// The gates from here to authorityGate are asked only where there are EFI variables.

// enrolledGate tells whether shim has the certificate, or what became of the request.
func enrolledGate(f Facts) Gate {
	course := mok.Course{Receipts: f.Receipts, Unread: f.ReceiptsErr, State: *f.Firmware, Pending: f.Pending, Boot: f.Kernel.BootID}
	fate := course.Fate(f.Certificate.Raw)
	gate := Gate{Name: GateEnrolled, Result: Fail, Evidence: fate.Evidence, Source: fate.Source}
	switch fate.Outcome {
	case mok.Enrolled:
		gate.Result = Pass
		if f.storedIn("vendor") {
			gate.Evidence = "it is shim's own, built in by its vendor"
		}
	case mok.Unknown:
		gate.Result = ResultUnknown
	case mok.Waiting, mok.WaitingStill:
		gate.Mend = MendConfirm
	case mok.Interrupted, mok.Unconfirmable:
		gate.Mend = MendCancel
	default:
		gate.Mend, gate.Met = f.enroll(), fate.Outcome == mok.Declined
	}
	if gate.Source == "" {
		gate.Source = "efivars"
	}
	return gate
}

// enroll is the way out where it leads somewhere: shim is there to ask, the kernel takes the certificate, and it would not take the place of
// another key.
func (f Facts) enroll() Mend {
	if f.Firmware.Shim.Answer == evidence.No || f.Inquiry != nil && f.Inquiry.Refused != nil || len(f.sameName()) > 0 {
		return ""
	}
	return MendEnroll
}

// secureBootGate: since 5.17 (92ad19559ea9) the kernel takes keys from shim only when it finds Secure Boot on, and finds nothing when it was
// built without a way to see it (arch_ima_get_secureboot; since 7.1, and in stable kernels, arch_get_secureboot). It believes shim that
// its validation is off (drivers/firmware/efi/libstub/secureboot.c, efi_get_secureboot).
func secureBootGate(f Facts) Gate {
	gate := fromReading(GateSecureBoot, f.Firmware.SecureBoot)
	if before(f.Kernel.Release, 5, 17) == evidence.Yes && f.hasMachine().Answer != evidence.Yes {
		// Distributions took the change into older kernels together with .machine.
		gate.Result, gate.Evidence, gate.Source = NotApplicable, "Linux "+f.Kernel.Release+": kernels before 5.17 take keys from shim without Secure Boot, unless the distribution changed that", osRelease
		return gate
	}
	blind := f.Kernel.Built("IMA_SECURE_AND_OR_TRUSTED_BOOT").Answer == evidence.No && f.Kernel.Built("HAVE_ARCH_GET_SECUREBOOT").Answer == evidence.No
	switch {
	case f.Firmware.SecureBoot.Answer == evidence.No:
		gate.Evidence, gate.Mend = "Secure Boot is off: the kernel takes no key from shim", MendSecureBoot
	case f.Firmware.SecureBoot.Answer != evidence.Yes:
	case f.Firmware.ValidationDisabled.Answer == evidence.Yes:
		gate.Result, gate.Source, gate.Mend = Fail, f.Firmware.ValidationDisabled.Source, MendValidation
		gate.Evidence = "Secure Boot is on, but shim's validation is off: the kernel then counts Secure Boot as off, and takes no key from shim"
	case blind:
		gate.Result, gate.Source = Fail, f.Kernel.ConfigPath
		gate.Evidence = "Secure Boot is on, but this kernel was built without a way to see that (CONFIG_IMA_SECURE_AND_OR_TRUSTED_BOOT), so it takes no key from shim"
	default:
		gate.Evidence = "Secure Boot is on"
	}
	return gate
}

// shimGate: only shim hands MokList to the kernel.
func shimGate(f Facts) Gate {
	gate := fromReading(GateShim, f.Firmware.Shim)
	switch f.Firmware.Shim.Answer {
	case evidence.Yes:
		gate.Evidence = "booted through shim"
	case evidence.No:
		gate.Evidence = "not booted through shim, so there is nobody to hand keys of the machine's owner to the kernel (" + gate.Evidence + ")"
	}
	return gate
}

// trustListGate: keys of MokListRT go to .machine only when shim says that they may be trusted (machine_keyring.c, imputed_trust_enabled), else
// to .platform.
func trustListGate(f Facts) Gate {
	gate := fromReading(GateTrustList, f.Firmware.Trusted)
	switch {
	case f.hasMachine().Answer == evidence.No:
		gate.Result, gate.Evidence = NotApplicable, "this kernel has no .machine, and keys of shim go to .platform"
	case f.Firmware.Trusted.Answer == evidence.Yes:
		gate.Evidence = "shim tells the kernel to trust its list (MokListTrustedRT)"
	case f.Firmware.Trusted.Answer == evidence.No && f.Kernel.Distribution.Expect().MachineAlways == evidence.Yes:
		gate.Result, gate.Forgeable = NotApplicable, otherKernel
		gate.Evidence, gate.Source = "shim does not tell the kernel to trust its list, but kernels of this distribution do not ask", osReleaseFile
	case f.Firmware.Trusted.Answer == evidence.No:
		gate.Evidence, gate.Mend = "shim does not tell the kernel to trust its list (no MokListTrustedRT): its keys go to .platform", MendTrustList
	}
	return gate
}

// hasMachine tells whether the kernel was built with .machine (CONFIG_INTEGRITY_MACHINE_KEYRING, since 5.18).
func (f Facts) hasMachine() evidence.Reading {
	r := f.Kernel.Built("INTEGRITY_MACHINE_KEYRING")
	switch {
	case keyring.Named(f.Rings, keyring.Machine) != nil:
		return evidence.Reading{Answer: evidence.Yes, Evidence: "this kernel has .machine", Source: links}
	case f.RingsErr == nil && r.Answer == evidence.Yes:
		return evidence.Reading{Evidence: r.Evidence + ", but there is no .machine to be seen", Source: links}
	case f.RingsErr == nil:
		return evidence.Reading{Answer: evidence.No, Evidence: "this kernel has no .machine: keys of shim go to .platform", Source: links}
	case r.Answer == evidence.No:
		r.Evidence += ": keys of shim go to .platform"
	}
	return r
}

// machineGate: .machine is compiled in, and .secondary links it, which the kernel does only where it trusts shim's list (security/integrity/digsig.c,
// __integrity_init_keyring; certs/system_keyring.c, set_machine_trusted_keys).
func machineGate(f Facts) Gate {
	gate := fromReading(GateMachine, f.hasMachine())
	ring := keyring.Named(f.Rings, keyring.Machine)
	if f.RingsErr != nil || ring == nil {
		return gate
	}
	linked := Consulted(f.Rings, f.Kernel, keyring.Machine)
	gate = fromReading(GateMachine, linked)
	switch {
	case linked.Answer == evidence.No && empty(ring):
		gate.Evidence += ", and empty: the kernel links it only where shim tells it to trust its list"
	case linked.Answer == evidence.No:
		gate.Mend = MendReboot
	}
	return gate
}

func empty(ring *keyring.Ring) bool { return len(ring.Keys) == 0 && ring.Unseen == 0 }

// authorityGate: CONFIG_INTEGRITY_CA_MACHINE_KEYRING (6.4) lets only certificates of authorities into .machine: basicConstraints CA and keyUsage
// keyCertSign; with …_MAX none that may also sign data (crypto/asymmetric_keys/restrict.c, restrict_link_by_ca).
func authorityGate(f Facts) Gate {
	option := f.Kernel.Built("INTEGRITY_CA_MACHINE_KEYRING")
	gate := Gate{Name: GateAuthority, Source: option.Source}
	if option.Answer == evidence.No {
		gate.Result, gate.Evidence = NotApplicable, "this kernel wants no authorities in .machine ("+option.Evidence+")"
		return gate
	}
	if f.hasMachine().Answer == evidence.No {
		gate.Result, gate.Evidence = NotApplicable, "this kernel has no .machine"
		return gate
	}
	most := f.Kernel.Built("INTEGRITY_CA_MACHINE_KEYRING_MAX")
	d := f.Certificate.Details()
	var lacks string
	sure := option.Answer == evidence.Yes
	switch {
	case d.IsCA == nil || !*d.IsCA:
		lacks = "it is no authority (basicConstraints CA:TRUE)"
	case !slices.Contains(d.KeyUsage, "keyCertSign"):
		lacks = "its key may not sign certificates (keyUsage keyCertSign)"
	case slices.Contains(d.KeyUsage, "digitalSignature") && most.Answer != evidence.No:
		lacks = "its key may sign data (keyUsage digitalSignature)"
		sure = sure && most.Answer == evidence.Yes
	default:
		gate.Result, gate.Evidence = Pass, "it is an authority whose key may sign certificates, as .machine may want"
		return gate
	}
	if sure {
		gate.Result, gate.Evidence = Fail, lacks+", which this kernel wants of certificates in .machine ("+option.Evidence+"): it goes to .platform"
		return gate
	}
	gate.Result, gate.Evidence = ResultUnknown, lacks+", which some kernels want of certificates in .machine; "+option.Evidence
	return gate
}

// linksGate: what links .secondary had at boot, root can cut at run time, and nothing but a new boot brings them back.
func linksGate(f Facts) Gate {
	gate := Gate{Name: GateLinks, Source: links, Result: Pass}
	switch {
	case f.RingsErr != nil:
		gate.Result, gate.Evidence = ResultUnknown, "the keyrings were not seen: "+f.RingsErr.Error()
		gate.Mend = asRoot(f.RingsErr)
		return gate
	case keyring.Named(f.Rings, keyring.Secondary) == nil:
		gate.Result, gate.Evidence = NotApplicable, "this kernel has no .secondary_trusted_keys"
		return gate
	}
	var linked []string
	for _, name := range []string{keyring.Builtin, keyring.Machine} {
		ring := keyring.Named(f.Rings, name)
		if ring == nil || name == keyring.Machine && empty(ring) { // where .machine has nothing the kernel need not have linked it
			continue
		}
		switch r := Consulted(f.Rings, f.Kernel, name); r.Answer {
		case evidence.No:
			gate.Result, gate.Evidence, gate.Mend = Fail, r.Evidence+": its keys do not count until the next boot", MendReboot
			return gate
		case evidence.Unknown:
			gate.Result, gate.Evidence = ResultUnknown, r.Evidence
			return gate
		}
		linked = append(linked, name)
	}
	gate.Evidence = ".secondary_trusted_keys links " + strings.Join(linked, " and ")
	return gate
}

// sameNameGate: a keyring holds one key of a description, and a later one replaces it (security/keys/keyring.c, assoc_array): of two
// certificates with the same name and id the kernel logs both as loaded and keeps the last.
func sameNameGate(f Facts, found location) Gate {
	gate := Gate{Name: GateSameName, Result: Pass, Source: stores}
	others := f.sameName()
	where := strings.Join(others, ", ")
	switch {
	case len(others) == 0 && len(f.Stored) == 0:
		gate.Result, gate.Evidence = ResultUnknown, "no certificate was found that the kernel could have loaded"
	case len(others) == 0:
		gate.Evidence = "no certificate with its name and id, but another key, was found where the kernel loads from"
	case found.gate.Result == Pass:
		gate.Evidence = fmt.Sprintf("there is another key of its name and id (%s), but the kernel has this one", where)
	default:
		gate.Result = Fail
		gate.Evidence = fmt.Sprintf("there is another key of its name and id (%s): a keyring keeps only the one that it was given last", where)
	}
	return gate
}

// sameName gives the stores that hold another key of the certificate's name and id.
func (f Facts) sameName() (where []string) {
	for _, s := range f.Stored {
		if s.loaded() && s.Certificate.KernelName() == f.Certificate.KernelName() && !s.Certificate.SameKey(f.Certificate) && !slices.Contains(where, s.Where) {
			where = append(where, s.Where)
		}
	}
	return where
}

// Stored is a certificate that was found on the machine, and the store: "mok", "vendor", "db", "kek", "kernel-image", or "file:" and a path.
type Stored struct {
	Certificate *certs.Certificate
	Where       string
}

// loaded: the kernel makes keys of what is in this store.
func (s Stored) loaded() bool {
	return slices.Contains([]string{"mok", "vendor", "db", "kernel-image"}, s.Where)
}

// asRoot: only want of permission is mended by being root.
func asRoot(err error) Mend {
	if errors.Is(err, keyring.ErrNotVisible) {
		return MendRoot
	}
	return ""
}
