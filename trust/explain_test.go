package trust

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/mok"
)

func yes() evidence.Reading {
	return evidence.Reading{Answer: evidence.Yes, Source: "efivars/X"}
}

func no() evidence.Reading {
	return evidence.Reading{Answer: evidence.No, Source: "efivars/X"}
}

// oldKernel has no .machine.
func oldKernel(f *Facts) {
	f.Kernel.Config["INTEGRITY_MACHINE_KEYRING"] = "n"
	f.Rings = append(f.Rings[:2:2], f.Rings[3:]...)
	gone(f)
}

// listOf is shim's list of these certificates.
func listOf(ders ...[]byte) mok.List {
	list := mok.List{Source: "mok-variables/MokListRT"}
	for _, der := range ders {
		list.Lists = append(list.Lists, efivars.SignatureList{Type: efivars.X509, Signatures: []efivars.Signature{{Data: der}}})
	}
	return list
}

// shimmed is what a healthy machine that was booted through shim knows of a certificate, which is enrolled.
func shimmed(c *certs.Certificate) Facts {
	f := Facts{Certificate: c, Rings: put(debian(), keyring.Machine, keyring.TypeAsymmetric, c.KernelName()), Kernel: healthy(), Today: "2026-11-23"}
	f.Kernel.ModulesDisabled, f.Kernel.ConfigPath, f.Kernel.BootID = evidence.No, "/boot/config-6.1.0", boot
	f.Kernel.Signatures.Source, f.Kernel.Enforced.Source = "/sys/module/module/parameters/sig_enforce", "/sys/module/module/parameters/sig_enforce"
	for _, option := range []string{"INTEGRITY_MACHINE_KEYRING", "IMA_SECURE_AND_OR_TRUSTED_BOOT", "LOAD_UEFI_KEYS"} {
		f.Kernel.Config[option] = "y"
	}
	f.Kernel.IMA = evidence.Reading{Answer: evidence.No, Evidence: "no rule", Source: "/proc/cmdline"}
	f.Firmware = &mok.State{Shim: yes(), SecureBoot: yes(), SetupMode: no(), ValidationDisabled: no(), Trusted: yes(), Enrolled: listOf(c.Raw)}
	f.Stored = []Stored{{c, "mok"}}
	f.Hash = registered
	f.Inquiry = answers(c, f.Rings, at(nil, machine))
	f.Witnesses = map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: answers(c, f.Rings, at(mismatch, machine)), certs.ByAllIDs: answers(c, f.Rings, at(mismatch, machine))}
	return f
}

const boot, earlier = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"

// asked is the receipt of an enrolment asked for in a boot.
func asked(f *Facts, when string) {
	f.Firmware.Enrolled = listOf()
	f.Receipts = []mok.Receipt{mok.NewReceipt(mok.Wish{}, time.Unix(1e9, 0), when, mok.NewAsked(f.Certificate.Raw, "", "", ""))}
}

// pending makes an enrolment of these certificates wait for MokManager.
func pending(t *testing.T, f *Facts) {
	store := efivarstest.NewMemory()
	data, err := efivars.EncodeSignatureLists([]efivars.SignatureList{{Type: efivars.X509, Signatures: []efivars.Signature{{Owner: efivars.Shim, Data: f.Certificate.Raw}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"MokNew": data, "MokAuth": make([]byte, mok.AuthSize)} {
		if err := store.Set(mok.Variable(name), mok.Attributes, data); err != nil {
			t.Fatal(err)
		}
	}
	f.Pending = mok.ReadPending(store)
}

// gone takes the key out of every keyring, and leaves another in .machine.
func gone(f *Facts) {
	none := answers(f.Certificate, f.Rings, nil)
	f.Inquiry, f.Witnesses = none, map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: none, certs.ByKeyID: none, certs.ByAllIDs: none}
	if ring := keyring.Named(f.Rings, keyring.Machine); ring != nil {
		ring.Keys = []keyring.Key{{Serial: 99, Type: keyring.TypeAsymmetric, Description: "another: 99"}}
	}
}

// inBuiltin has the key in .builtin_trusted_keys.
func inBuiltin(f *Facts) {
	given := at(nil, builtin)
	f.Inquiry = answers(f.Certificate, populate(f.Rings, f.Certificate, given), given)
}

func TestExplanations(t *testing.T) {
	ca := func(t *testing.T, usage ...byte) *certs.Certificate {
		return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("ca")}, SKID: []byte{1}, Extensions: []certtest.Extension{
			{OID: "2.5.29.19", Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}, {OID: "2.5.29.15", Value: append([]byte{3, byte(len(usage) + 1), 0}, usage...)},
		}}))
	}
	const certSign, both = 0x04, 0x84 // keyCertSign, and digitalSignature with it
	authority := func(f *Facts) { f.Kernel.Config["INTEGRITY_CA_MACHINE_KEYRING"] = "y" }
	most := func(f *Facts) { authority(f); f.Kernel.Config["INTEGRITY_CA_MACHINE_KEYRING_MAX"] = "y" }
	config := func(f *Facts) { f.Kernel.Config = nil }
	rsa := func(bits int) *certs.Certificate {
		signer := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("ca")}, SKID: []byte{9}})
		return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("leaf")}, Signer: signer, Key: certtest.RSA(bits, 7)}))
	}
	expired := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("old")}, NotBefore: certtest.UTC("100101000000Z"), NotAfter: certtest.UTC("110101000000Z")}))
	ecdsa := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("leaf")}, Signer: certtest.SelfSigned(t, "ca"), Key: certtest.ECDSA(t, elliptic.P256())}))
	p224 := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("leaf")}, Signer: certtest.SelfSigned(t, "ca"), Key: certtest.ECDSA(t, elliptic.P224())}))
	other := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Key: certtest.RSA(2048, 17)}))
	blacklist := func(f *Facts) {
		sum := sha256.Sum256(f.Certificate.RawTBS)
		f.Rings = put(f.Rings, keyring.Blacklist, keyring.TypeBlacklist, "tbs:"+hex.EncodeToString(sum[:]))
		f.Inquiry.Refused = keyring.ErrRejected
	}
	for _, c := range []struct {
		name   string
		cert   *certs.Certificate // nil: self-signed
		change func(*Facts)
		gate   string
		result Result
		mend   Mend
		says   string
	}{
		{"Secure Boot on", nil, nil, GateSecureBoot, Pass, "", "is on"},
		{"Secure Boot off", nil, func(f *Facts) { f.Firmware.SecureBoot = no() }, GateSecureBoot, Fail, MendSecureBoot, "no key from shim"},
		{"Secure Boot off before 5.17", nil, func(f *Facts) { f.Firmware.SecureBoot, f.Kernel.Release = no(), "5.16.20"; oldKernel(f) }, GateSecureBoot, NotApplicable, "", "before 5.17"},
		{"Secure Boot off, 5.17", nil, func(f *Facts) { f.Firmware.SecureBoot, f.Kernel.Release = no(), "5.17.0"; oldKernel(f) }, GateSecureBoot, Fail, MendSecureBoot, "no key from shim"},
		{"shim's validation off before 5.17", nil, func(f *Facts) { f.Firmware.ValidationDisabled, f.Kernel.Release = yes(), "5.10.0"; oldKernel(f) }, GateSecureBoot, NotApplicable, "", "before 5.17"},
		{"Secure Boot off before 5.17, with .machine", nil, func(f *Facts) { f.Firmware.SecureBoot, f.Kernel.Release = no(), "5.14.0-427.el9" }, GateSecureBoot, Fail, MendSecureBoot, "no key from shim"},
		{"Secure Boot not known", nil, func(f *Facts) { f.Firmware.SecureBoot = evidence.Reading{Evidence: "denied", Source: "efivars/X"} }, GateSecureBoot, ResultUnknown, "", "denied"},
		{"shim's validation off", nil, func(f *Facts) { f.Firmware.ValidationDisabled = yes() }, GateSecureBoot, Fail, MendValidation, "validation is off"},
		{"a kernel that cannot see it", nil, func(f *Facts) { delete(f.Kernel.Config, "IMA_SECURE_AND_OR_TRUSTED_BOOT") }, GateSecureBoot, Fail, "", "without a way to see"},
		{"a kernel that sees it otherwise", nil, func(f *Facts) {
			delete(f.Kernel.Config, "IMA_SECURE_AND_OR_TRUSTED_BOOT")
			f.Kernel.Config["HAVE_ARCH_GET_SECUREBOOT"] = "y"
		}, GateSecureBoot, Pass, "", "is on"},
		{"no EFI", nil, func(f *Facts) { f.Firmware = nil }, GateSecureBoot, NotApplicable, "", "no EFI variables"},
		{"in db only", nil, func(f *Facts) { f.Firmware.Enrolled = listOf(); f.Stored[0].Where = "db" }, GateShim, NotApplicable, "", "db"},
		{"in db only, which is ignored", nil, func(f *Facts) {
			gone(f)
			f.Firmware.Enrolled, f.Stored[0].Where, f.Firmware.IgnoreDB = listOf(), "db", yes()
		}, GateShim, Pass, "", "through shim"},
		{"in db only, which is not loaded", nil, func(f *Facts) {
			gone(f)
			f.Firmware.Enrolled, f.Stored[0].Where, f.Kernel.Config["LOAD_UEFI_KEYS"] = listOf(), "db", "n"
		}, GateShim, Pass, "", "through shim"},
		{"in db only, which does not count", nil, func(f *Facts) {
			gone(f)
			f.Firmware.Enrolled, f.Stored[0].Where, f.Kernel.Distribution.ID = listOf(), "db", "arch"
		}, GateEnrolled, Fail, MendEnroll, "neither enrolled"},
		{"in db only, and .platform was asked in vain", nil, func(f *Facts) {
			gone(f)
			f.Firmware.Enrolled, f.Stored[0].Where, f.Platform.Answer = listOf(), "db", evidence.No
		}, GateEnrolled, Fail, MendEnroll, "neither enrolled"},
		{"in db and enrolled", nil, func(f *Facts) { f.Stored = append(f.Stored, Stored{f.Certificate, "db"}) }, GateShim, Pass, "", "through shim"},
		{"builtin", nil, inBuiltin, GateShim, NotApplicable, "", "needs none of that"},
		{"through shim", nil, nil, GateShim, Pass, "", "through shim"},
		{"not through shim", nil, func(f *Facts) { f.Firmware.Shim = no() }, GateShim, Fail, "", "nobody"},
		{"list trusted", nil, nil, GateTrustList, Pass, "", "MokListTrustedRT"},
		{"list not trusted", nil, func(f *Facts) { f.Firmware.Trusted = no() }, GateTrustList, Fail, MendTrustList, "go to .platform"},
		{"list not trusted, Debian", nil, func(f *Facts) { f.Firmware.Trusted, f.Kernel.Distribution.ID = no(), "debian" }, GateTrustList, NotApplicable, "", "do not ask"},
		{"list not trusted, no .machine", nil, func(f *Facts) {
			f.Firmware.Trusted, f.Kernel.Config["INTEGRITY_MACHINE_KEYRING"] = no(), "n"
			f.Rings = append(f.Rings[:2:2], f.Rings[3:]...)
			gone(f)
		}, GateTrustList, NotApplicable, "", "no .machine"},
		{"list's trust not known", nil, func(f *Facts) { f.Firmware.Trusted = evidence.Reading{Evidence: "denied", Source: "efivars/X"} }, GateTrustList, ResultUnknown, "", "denied"},
		{".machine linked", nil, nil, GateMachine, Pass, "", "is linked"},
		{".machine not linked", nil, func(f *Facts) {
			f.Rings[1].Rings = f.Rings[1].Rings[:1]
			finds := answers(f.Certificate, f.Rings, vouched{keyring.ByRing(machine): mismatch})
			f.Inquiry = answers(f.Certificate, f.Rings, vouched{keyring.ByRing(machine): nil})
			f.Witnesses = map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: finds, certs.ByKeyID: finds, certs.ByAllIDs: finds}
		}, GateMachine, Fail, MendReboot, "not linked"},
		{".machine empty and not linked", nil, func(f *Facts) {
			gone(f)
			f.Rings[2].Keys, f.Rings[1].Rings = nil, f.Rings[1].Rings[:1]
		}, GateMachine, Fail, "", "and empty"},
		{".machine empty, links", nil, func(f *Facts) {
			gone(f)
			f.Rings[2].Keys, f.Rings[1].Rings = nil, f.Rings[1].Rings[:1]
		}, GateLinks, Pass, "", "links .builtin_trusted_keys"},
		{".machine should be there", nil, func(f *Facts) { f.Rings = append(f.Rings[:2:2], f.Rings[3:]...); gone(f) }, GateMachine, ResultUnknown, "", "no .machine to be seen"},
		{".machine not built", nil, func(f *Facts) {
			f.Rings, f.RingsErr, f.Kernel.Config["INTEGRITY_MACHINE_KEYRING"] = nil, keyring.ErrNotVisible, "n"
		}, GateMachine, Fail, "", "go to .platform"},
		{".machine not there", nil, func(f *Facts) { f.Rings, f.Kernel.Config = append(f.Rings[:2:2], f.Rings[3:]...), nil; gone(f) }, GateMachine, Fail, "", "has no .machine"},
		{".machine built, rings not seen", nil, func(f *Facts) { f.Rings, f.RingsErr = nil, keyring.ErrNotVisible }, GateMachine, Pass, "", "CONFIG_INTEGRITY_MACHINE_KEYRING=y"},
		{".machine not known", nil, func(f *Facts) { f.Rings, f.RingsErr, f.Kernel.Config = nil, keyring.ErrNotVisible, nil }, GateMachine, ResultUnknown, "", "no kernel configuration"},
		{"authorities not wanted", nil, nil, GateAuthority, NotApplicable, "", "not set"},
		{"no authority", nil, authority, GateAuthority, Fail, "", "no authority"},
		{"authority that may not sign certificates", ca(t, 0x80), authority, GateAuthority, Fail, "", "keyCertSign"},
		{"authority", ca(t, certSign), most, GateAuthority, Pass, "", "may sign certificates"},
		{"authority that may sign data too", ca(t, both), most, GateAuthority, Fail, "", "digitalSignature"},
		{"authority that may sign data too, allowed", ca(t, both), authority, GateAuthority, Pass, "", "may sign certificates"},
		{"authority wanted, no .machine", nil, func(f *Facts) {
			authority(f)
			f.Rings = append(f.Rings[:2:2], f.Rings[3:]...)
			f.Kernel.Config["INTEGRITY_MACHINE_KEYRING"] = "n"
			gone(f)
		}, GateAuthority, NotApplicable, "", "no .machine"},
		{"no authority, rule not known", nil, config, GateAuthority, ResultUnknown, "", "some kernels"},
		{"authority, rule not known", ca(t, certSign), config, GateAuthority, Pass, "", ""},
		{"links whole", nil, nil, GateLinks, Pass, "", "links .builtin_trusted_keys and .machine"},
		{"builtin cut", nil, func(f *Facts) { f.Rings[1].Rings = f.Rings[1].Rings[1:] }, GateLinks, Fail, MendReboot, ".builtin_trusted_keys is not linked"},
		{"a link not seen", nil, func(f *Facts) { f.Rings[1].Rings, f.Rings[1].Unseen = nil, 1 }, GateLinks, ResultUnknown, "", "could not be seen"},
		{"links not seen", nil, func(f *Facts) { f.Rings, f.RingsErr = nil, keyring.ErrNotVisible }, GateLinks, ResultUnknown, MendRoot, "root only"},
		{"no secondary", nil, func(f *Facts) { f.Rings = f.Rings[:1] }, GateLinks, NotApplicable, "", "no .secondary"},
		{"RSA of a size that kernels take", rsa(2048), gone, GateKey, Pass, "", "rsa 2048"},
		{"RSA of a size that no kernel takes", rsa(2560), gone, GateKey, Fail, "", "2560 bits"},
		{"RSA too small for FIPS", rsa(1024), func(f *Facts) { gone(f); f.Kernel.FIPS = evidence.Yes }, GateKey, Fail, "", "FIPS"},
		{"RSA large enough for FIPS", rsa(2048), func(f *Facts) { gone(f); f.Kernel.FIPS = evidence.Yes }, GateKey, Pass, "", "rsa 2048"},
		{"RSA 2048 of a size that the kernel took against expectation", nil, func(f *Facts) {
			c := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Key: certtest.RSA(2560, 7)}))
			*f = shimmed(c)
		}, GateKey, Pass, "", "verified a signature"},
		{"nothing helps a key that no kernel takes", rsa(2560), func(f *Facts) { gone(f); f.Firmware.Enrolled, f.Firmware.SecureBoot = listOf(), no() }, GateSecureBoot, Fail, "", "is off"},
		{"nothing helps a certificate without the usage that is asked for", nil, func(f *Facts) {
			gone(f)
			f.Firmware.Enrolled, f.Firmware.SecureBoot, f.Kernel.Config["CHECK_CODESIGN_EKU"] = listOf(), no(), "y"
		}, GateSecureBoot, Fail, "", "is off"},
		{"ECDSA registered", ecdsa, func(f *Facts) { gone(f); f.Algorithms = kernel.Algorithms{"ecdsa-nist-p256": true} }, GateKey, Pass, "", "registered"},
		{"ECDSA not built", ecdsa, gone, GateKey, Fail, "", "built without ECDSA"},
		{"ECDSA as a module", ecdsa, func(f *Facts) { gone(f); f.Kernel.Config["CRYPTO_ECDSA"] = "m" }, GateKey, ResultUnknown, MendKeyAlgorithm, "not read"},
		{"a curve that no kernel knows", p224, gone, GateKey, Fail, "", "P-224"},
		{"proven by the kernel", nil, nil, GateKey, Pass, "", "verified a signature"},
		{"hash registered", nil, nil, GateHash, Pass, "", "registered"},
		{"hash not loaded", nil, func(f *Facts) { f.Hash = evidence.Reading{Evidence: "sha512 is not loaded", Source: "/proc/crypto"} }, GateHash, ResultUnknown, MendHash, "not loaded"},
		{"hash not read by this release", nil, func(f *Facts) { f.Hash = evidence.Reading{Evidence: "6.1 knows no SHA-3", Source: osRelease} }, GateHash, ResultUnknown, "", "knows no SHA-3"},
		{"valid", nil, nil, GateValidity, Pass, "", "looks at no dates"},
		{"expired", expired, nil, GateValidity, Pass, "", "expired on 2011-01-01"},
		{"not yet valid", expired, func(f *Facts) { f.Today = "2009-12-31" }, GateValidity, Pass, "", "not valid before 2010-01-01"},
		{"nobody says what day it is", expired, func(f *Facts) { f.Today = "" }, GateValidity, Pass, "", "valid until 2011-01-01"},
		{"IMA not", nil, nil, GateIMA, NotApplicable, "", "no rule"},
		{"IMA appraises", nil, func(f *Facts) {
			f.Kernel.IMA = evidence.Reading{Answer: evidence.Yes, Evidence: "a rule", Source: "/sys/x"}
		}, GateIMA, ResultUnknown, "", "a rule"},
		{"loading enabled", nil, nil, GateLoading, Pass, "", "may be loaded"},
		{"loading disabled", nil, func(f *Facts) { f.Kernel.ModulesDisabled = evidence.Yes }, GateLoading, Fail, MendReboot, "no module loads"},
		{"loading not known", nil, func(f *Facts) { f.Kernel.ModulesDisabled = evidence.Unknown }, GateLoading, ResultUnknown, "", "cannot be read"},
		{"no namesake", nil, nil, GateSameName, Pass, "", "no certificate with its name"},
		{"a namesake, and this one is there", nil, func(f *Facts) { f.Stored = append(f.Stored, Stored{other, "mok"}) }, GateSameName, Pass, "", "the kernel has this one"},
		{"a namesake took its place", nil, func(f *Facts) { gone(f); f.Stored = append(f.Stored, Stored{other, "db"}) }, GateSameName, Fail, "", "given last"},
		{"a namesake in a file only", nil, func(f *Facts) { gone(f); f.Stored = append(f.Stored, Stored{other, "file:/x"}) }, GateSameName, Pass, "", "no certificate with its name"},
		{"enrolled", nil, nil, GateEnrolled, Pass, "", "enrolled"},
		{"shim's own", nil, func(f *Facts) { f.Stored = append(f.Stored, Stored{f.Certificate, "vendor"}) }, GateEnrolled, Pass, "", "shim's own"},
		{"enrolment not needed", nil, inBuiltin, GateEnrolled, NotApplicable, "", "needs none"},
		{"nobody asked", nil, func(f *Facts) { gone(f); f.Firmware.Enrolled = listOf() }, GateEnrolled, Fail, MendEnroll, "neither enrolled nor pending"},
		{"nobody asked, and there is no shim", nil, func(f *Facts) { gone(f); f.Firmware.Enrolled, f.Firmware.Shim = listOf(), no() }, GateEnrolled, Fail, "", "neither enrolled nor pending"},
		{"nobody asked, and it would replace another key", nil, func(f *Facts) { gone(f); f.Firmware.Enrolled, f.Stored = listOf(), []Stored{{other, "mok"}} }, GateEnrolled, Fail, "", "neither enrolled nor pending"},
		{"nobody asked, and the kernel refuses it", nil, func(f *Facts) { f.Firmware.Enrolled, f.Inquiry.Refused = listOf(), keyring.ErrMalformed }, GateEnrolled, Fail, "", ""},
		{"who asked is not known", nil, func(f *Facts) { gone(f); f.Firmware.Enrolled, f.ReceiptsErr = listOf(), keyring.ErrMalformed }, GateEnrolled, ResultUnknown, "", "cannot be told"},
		{"pending", nil, func(f *Facts) { gone(f); asked(f, boot); pending(t, f) }, GateEnrolled, Fail, MendConfirm, "in this boot: confirm"},
		{"pending, its password damaged", nil, func(f *Facts) {
			gone(f)
			asked(f, boot)
			pending(t, f)
			f.Pending.Requests[0].Auth.Answer = evidence.No
		}, GateEnrolled, Fail, MendCancel, "take the request back"},
		{"pending since an earlier boot", nil, func(f *Facts) { gone(f); asked(f, earlier); pending(t, f) }, GateEnrolled, Fail, MendConfirm, "has not run since"},
		{"declined", nil, func(f *Facts) { gone(f); asked(f, earlier) }, GateEnrolled, Fail, MendEnroll, "declined"},
		{"taken back", nil, func(f *Facts) { gone(f); asked(f, boot) }, GateEnrolled, Fail, MendEnroll, "took the request back"},
		{"MokManager cut short", nil, func(f *Facts) {
			gone(f)
			asked(f, earlier)
			pending(t, f)
			f.Pending.Requests = []mok.Request{{Kind: mok.Reset, Variable: "MokAuth"}}
		}, GateEnrolled, Fail, MendCancel, "cut short"},
		{"shim's list not seen", nil, func(f *Facts) { gone(f); f.Firmware.Enrolled = mok.List{} }, GateEnrolled, ResultUnknown, "", "cannot be told"},
		{"in no list of what is forbidden", nil, nil, GateForbidden, Pass, "", "neither"},
		{"in dbx, and the kernel keeps it", nil, func(f *Facts) { f.DBX, f.Kernel.Config["SYSTEM_REVOCATION_LIST"] = listOf(f.Certificate.Raw), "y" }, GateForbidden, Fail, "", "it is in dbx"},
		{"in dbx, which the kernel does not keep", nil, func(f *Facts) { f.DBX = listOf(f.Certificate.Raw) }, GateForbidden, Pass, "", "keeps no revoked"},
		{"in both, and nobody knows", nil, func(f *Facts) {
			f.DBX, f.Firmware.Blocked, f.Kernel.Config = listOf(f.Certificate.Raw), listOf(f.Certificate.Raw), nil
		}, GateForbidden, ResultUnknown, "", "dbx and MokListXRT"},
		{"its hash is in dbx", nil, func(f *Facts) {
			sum := sha256.Sum256(f.Certificate.RawTBS)
			f.DBX.Lists = []efivars.SignatureList{{Type: efivars.X509SHA256, Signatures: []efivars.Signature{{Data: append(sum[:], make([]byte, 16)...)}}}}
		}, GateForbidden, Pass, "", "makes nothing"},
		{"another hash is in dbx", nil, func(f *Facts) {
			f.DBX.Lists = []efivars.SignatureList{{Type: efivars.X509SHA256, Signatures: []efivars.Signature{{Data: make([]byte, 48)}}}}
		}, GateForbidden, Pass, "", "neither"},
		{"in MokListX, Secure Boot on", nil, func(f *Facts) {
			f.Firmware.Blocked, f.Kernel.Config["SYSTEM_REVOCATION_LIST"] = listOf(f.Certificate.Raw), "y"
		}, GateForbidden, Fail, "", "MokListXRT"},
		{"in MokListX, Secure Boot off", nil, func(f *Facts) {
			f.Firmware.Blocked, f.Kernel.Config["SYSTEM_REVOCATION_LIST"], f.Firmware.SecureBoot = listOf(f.Certificate.Raw), "y", no()
		}, GateForbidden, Pass, "", "neither"},
		{"dbx not read", nil, func(f *Facts) { f.DBX.Err = efivars.ErrDenied }, GateForbidden, ResultUnknown, "", "dbx: "},
		{"hash of the certificate on .blacklist", nil, func(f *Facts) { gone(f); blacklist(f) }, GateCertificate, Fail, "", ".blacklist has tbs:"},
		{"hash of the certificate on .blacklist, its key may be there", nil, blacklist, GateCertificate, ResultUnknown, "", "may be there under its name"},
		{"hash of the certificate on .blacklist, keyrings not seen", nil, func(f *Facts) {
			blacklist(f)
			f.Rings, f.RingsErr = nil, keyring.ErrNotVisible
		}, GateCertificate, ResultUnknown, "", "may be there under its name"},
		{"refused for its form", nil, func(f *Facts) { gone(f); f.Inquiry.Refused = keyring.ErrMalformed }, GateCertificate, Fail, "", ""},
		{"no store seen", nil, func(f *Facts) { f.Stored = nil }, GateSameName, ResultUnknown, "", "no certificate was found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := c.cert
			if cert == nil {
				cert = selfSigned(t)
			}
			f := shimmed(cert)
			if c.change != nil {
				c.change(&f)
			}
			v := Judge(f)
			g := find(v, c.gate)
			if g.Result != c.result || g.Mend != c.mend || !strings.Contains(g.Evidence, c.says) {
				t.Errorf("%s: %s, mend %q: %q; want %s, %q, something with %q", c.gate, g.Result, g.Mend, g.Evidence, c.result, c.mend, c.says)
			}
			for _, g := range v.Gates {
				if g.Evidence == "" || g.Source == "" || g.Name == "" {
					t.Errorf("gate %s has no evidence or no source: %+v", g.Name, g)
				}
			}
		})
	}
}

// What explains does not decide: whatever firmware and shim say, a key that the kernel has is trusted, and one that it has not is not.
func TestExplanationsDecideNothing(t *testing.T) {
	for name, change := range map[string]func(*Facts){
		"nothing":              func(*Facts) {},
		"no firmware":          func(f *Facts) { f.Firmware = nil },
		"Secure Boot off":      func(f *Facts) { f.Firmware.SecureBoot = no() },
		"no shim":              func(f *Facts) { f.Firmware.Shim = no() },
		"list not trusted":     func(f *Facts) { f.Firmware.Trusted = no() },
		"not enrolled":         func(f *Facts) { f.Firmware.Enrolled = listOf() },
		"loading disabled":     func(f *Facts) { f.Kernel.ModulesDisabled = evidence.Yes },
		"IMA":                  func(f *Facts) { f.Kernel.IMA.Answer = evidence.Yes },
		"authorities wanted":   func(f *Facts) { f.Kernel.Config["INTEGRITY_CA_MACHINE_KEYRING"] = "y" },
		"no store":             func(f *Facts) { f.Stored = nil },
		"nobody knows the day": func(f *Facts) { f.Today = "" },
	} {
		f := shimmed(selfSigned(t))
		change(&f)
		if v := Judge(f); v.Value != Trusted {
			t.Errorf("%s: %s\n%s", name, v.Value, show(v))
		}
		gone(&f)
		if v := Judge(f); v.Value != Untrusted {
			t.Errorf("%s, key gone: %s\n%s", name, v.Value, show(v))
		}
	}
}

// Who could make a source lie is said of each, but of what only the kernel answers.
func TestForgers(t *testing.T) {
	for source, who := range map[string]string{
		oracle: "", addKey: "", initModule: "", links: "", listing: "issuer", theCertificate: "certificate", theModule: "module",
		"efivars/SecureBoot": "root", "mok-variables/MokListRT": "shim", "/proc/crypto": "root", "/boot/config-6.1": "running kernel", stores: "root",
	} {
		if got := forger(source); (got == "") != (who == "") || !strings.Contains(got, who) {
			t.Errorf("%s: %q", source, got)
		}
	}
	for _, g := range Judge(shimmed(selfSigned(t))).Gates {
		if kernels := []string{oracle, addKey, initModule, links}; g.Forgeable == "" && !strings.Contains(strings.Join(kernels, "|"), g.Source) {
			t.Errorf("gate %s: nobody could forge %s", g.Name, g.Source)
		}
	}
}
