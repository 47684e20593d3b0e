package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
	"kkeys/mok"
)

// forbiddenGate looks in the firmware's and shim's lists of what is forbidden. The kernel makes revoked keys of the certificates there only with
// CONFIG_SYSTEM_REVOCATION_LIST (5.13; certs/blacklist.c, security/integrity/platform_certs/keyring_handler.c), and of the hashes of
// certificates something that matches nothing: it takes the time behind the hash for a part of it. Whether one of them stops this key,
// revocationGate decides.
func forbiddenGate(f Facts) Gate {
	gate := Gate{Name: GateForbidden, Result: Pass, Source: "efivars/dbx, MokListXRT"}
	if f.Firmware == nil {
		gate.Result, gate.Evidence = NotApplicable, "there are no EFI variables"
		return gate
	}
	var named, hashed, unread []string
	for _, l := range []struct {
		name string
		list mok.List
	}{{"dbx", f.DBX}, {"MokListXRT", f.Firmware.Blocked}} {
		switch {
		case l.name == "MokListXRT" && f.Firmware.SecureBoot.Answer == evidence.No: // the kernel does not read it then (load_uefi.c, load_uefi_certs)
		case l.list.Has(f.Certificate.Raw):
			named = append(named, l.name)
		case l.list.HasHash(f.Certificate.RawTBS):
			hashed = append(hashed, l.name)
		case l.list.Err != nil:
			unread = append(unread, l.name+": "+l.list.Err.Error())
		}
	}
	built := f.Kernel.Built("SYSTEM_REVOCATION_LIST")
	switch {
	case len(named) > 0 && built.Answer == evidence.No:
		gate.Evidence = fmt.Sprintf("it is in %s, but this kernel keeps no revoked certificates (%s)", strings.Join(named, " and "), built.Evidence)
	case len(named) > 0 && built.Answer == evidence.Yes:
		gate.Result, gate.Evidence = Fail, fmt.Sprintf("it is in %s, and this kernel keeps revoked certificates (%s)", strings.Join(named, " and "), built.Evidence)
	case len(named) > 0:
		gate.Result, gate.Evidence = ResultUnknown, fmt.Sprintf("it is in %s; whether this kernel keeps revoked certificates is not known: %s", strings.Join(named, " and "), built.Evidence)
	case len(unread) > 0:
		gate.Result, gate.Evidence = ResultUnknown, strings.Join(unread, "; ")
	case len(hashed) > 0:
		gate.Evidence = fmt.Sprintf("its hash is in %s, in a form of which Linux makes nothing", strings.Join(hashed, " and "))
	default:
		gate.Evidence = "neither dbx nor MokListX has it"
	}
	return gate
}

// listedHash gives the entry of .blacklist by which the kernel refuses the certificate (certs/blacklist.c, is_hash_blacklisted, kind tbs): a
// hash of its signed part, with the hash of its own signature, or SHA-256 since Linux 7.0. Empty when there is none to be seen.
func (f Facts) listedHash() string {
	ring := keyring.Named(f.Rings, keyring.Blacklist)
	if ring == nil {
		return ""
	}
	for _, name := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"} {
		if hash, ok := certs.Hash(name); ok {
			h := hash.New()
			h.Write(f.Certificate.RawTBS)
			if entry := "tbs:" + hex.EncodeToString(h.Sum(nil)); has(ring, entry) {
				return entry
			}
		}
	}
	return ""
}

func has(ring *keyring.Ring, entry string) bool {
	return slices.ContainsFunc(ring.Keys, func(k keyring.Key) bool { return k.Type == keyring.TypeBlacklist && k.Description == entry })
}

// Blacklisted tells whether the hash of the module as a whole is on .blacklist.
func (m Module) Blacklisted() bool {
	ring := keyring.Named(m.Rings, keyring.Blacklist)
	return ring != nil && has(ring, "bin:"+hex.EncodeToString(m.SHA256[:]))
}

// moduleHashGate: kernels of Debian and SUSE refuse a module whose hash is on .blacklist, signature and all (their patch
// mod_is_hash_blacklisted in kernel/module/signing.c).
func moduleHashGate(m Module) Gate {
	gate := Gate{Name: GateModuleHash, Result: NotApplicable, Source: listing}
	ring := keyring.Named(m.Rings, keyring.Blacklist)
	switch {
	case m.SHA256 == [sha256.Size]byte{}:
		gate.Result, gate.Evidence = ResultUnknown, "the module could not be read"
	case m.RingsErr != nil:
		gate.Result, gate.Evidence, gate.Mend = ResultUnknown, ".blacklist was not seen: "+m.RingsErr.Error(), asRoot(m.RingsErr)
	case ring == nil:
		gate.Evidence = "this kernel has no .blacklist"
	case m.Blacklisted():
		gate.Result, gate.Evidence = ResultUnknown, "its hash is on .blacklist: kernels of Debian and SUSE refuse it, others do not look"
	case ring.Unseen > 0:
		gate.Result, gate.Evidence = ResultUnknown, fmt.Sprintf("%d entries of .blacklist could not be seen", ring.Unseen)
	default:
		gate.Result, gate.Evidence = Pass, "its hash is not on .blacklist"
	}
	return gate
}
