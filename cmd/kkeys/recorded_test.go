package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/trust"
)

const machines = "../../testdata/machines"

// hidden is a machine's root folder without the files whose paths hold a word.
type hidden struct {
	fs.FS
	word string
}

func (h hidden) Open(name string) (fs.File, error) {
	if strings.Contains(name, h.word) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return h.FS.Open(name)
}

func (h hidden) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(h.FS, name)
	return slices.DeleteFunc(entries, func(d fs.DirEntry) bool { return strings.Contains(name+"/"+d.Name(), h.word) }), err
}

// with puts files over a machine's own.
func with(files map[string]string) func(*machine.Machine) {
	return func(m *machine.Machine) {
		over := fstest.MapFS{}
		for path, text := range files {
			over[path] = &fstest.MapFile{Data: []byte(text)}
		}
		m.Files = union{over, m.Files}
	}
}

// option adds a line to the kernel's configuration.
func option(release, line string) func(*machine.Machine) {
	return func(m *machine.Machine) {
		path := "boot/config-" + release
		text, err := fs.ReadFile(m.Files, path)
		if err != nil {
			panic(err)
		}
		with(map[string]string{path: string(text) + line + "\n"})(m)
	}
}

// cut takes the links out of .secondary_trusted_keys.
func cut(m *machine.Machine) {
	recorded := m.Keyrings.(keyring.Recorded)
	recorded.Found = slices.Clone(recorded.Found)
	keyring.Named(recorded.Found, keyring.Secondary).Rings = nil
	m.Keyrings = recorded
}

// blacklisted puts a hash on .blacklist.
func blacklisted(hash string) func(*machine.Machine) {
	return func(m *machine.Machine) {
		recorded := m.Keyrings.(keyring.Recorded)
		recorded.Found = slices.Clone(recorded.Found)
		ring := keyring.Named(recorded.Found, keyring.Blacklist)
		ring.Keys = append(slices.Clone(ring.Keys), keyring.Key{Serial: 1, Type: keyring.TypeBlacklist, Description: hash})
		m.Keyrings = recorded
	}
}

// unsign takes what tells that modules are checked.
func unsign(m *machine.Machine) {
	m.Files = hidden{m.Files, "parameters/sig_enforce"}
	with(map[string]string{"boot/config-6.1.0-56-cloud-amd64": "CONFIG_SMP=y\n"})(m)
}

// Every gate, on machines that were recorded in the lab; some are then changed in one thing, since the lab has only Debian's kernels.
func TestGatesOfRecordedMachines(t *testing.T) {
	dir := t.TempDir()
	spec := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec
	module, made := signedModule(t, spec, false)
	if enrolled, err := os.ReadFile(filepath.Join(machines, "mine.der")); err != nil || !slices.Equal(enrolled, made.DER) {
		t.Fatalf("the module is not signed with the enrolled key: %v", err)
	}
	strange, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("nowhere")}, SKID: []byte{8}, Key: certtest.RSA(2048, 32)}, false)
	for name, data := range map[string][]byte{"mine.ko": module, "strange.ko": strange, "mine.ko.gz": gzipped(t, module), "changed.ko": append([]byte("\x7fELF"), module...)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const r61, r612 = "6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"
	authorities := option(r612, "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y")
	seen := map[string]bool{}
	for _, c := range []struct {
		machine, file string
		change        func(*machine.Machine)
		gate          string
		result        trust.Result
		fix, says     string
	}{
		{"6.1-enrolled", "mine.ko", nil, trust.GateModule, trust.Pass, "", "verifies with CN=lab: mine"},
		{"6.1-enrolled", "changed.ko", nil, trust.GateModule, trust.Fail, "", "changed after signing"},
		{"6.12-enrolled", "strange.ko", nil, trust.GateModule, trust.ResultUnknown, "", "no certificate found on this machine"},
		{"6.1-enrolled", "mine.ko", nil, trust.GateCompression, trust.NotApplicable, "", "not compressed"},
		{"6.1-enrolled", "mine.ko.gz", nil, trust.GateCompression, trust.ResultUnknown, "gunzip -k", "built without libz.so"},
		{"6.1-enrolled", "mine.ko.gz", with(map[string]string{"sys/module/compression": "gzip\n"}), trust.GateCompression, trust.Pass, "", "unpacks it itself"},
		{"6.12-enrolled", "mine.ko", nil, trust.GateModuleHash, trust.Pass, "", "not on .blacklist"},
		{"6.12-enrolled", "mine.ko", nil, trust.GateHash, trust.Pass, "", "sha256 is registered"},
		{"6.1-enrolled", "mine.ko", with(map[string]string{"proc/crypto": strings.ReplaceAll(procCrypto, "sha256", "sha1")}), trust.GateHash, trust.ResultUnknown, "sudo modprobe crypto-sha256", "not loaded"},
		{"6.1-enrolled", "mine.der", nil, trust.GateSignatures, trust.Pass, "", "sig_enforce is there"},
		{"6.1-enrolled", "mine.der", unsign, trust.GateSignatures, trust.Fail, "", "CONFIG_MODULE_SIG is not set"},
		{"6.12-enrolled", "mine.der", nil, trust.GateCertificate, trust.Pass, "", "as lab: mine: 24a6bf"},
		{"6.12-enrolled", "../certs/odd-p521.der", nil, trust.GateCertificate, trust.ResultUnknown, "", "a recorded machine cannot be asked"},
		{"6.1-enrolled", "mine.der", nil, trust.GateKey, trust.Pass, "", "verified a signature"},
		{"6.1-enrolled", "../certs/odd-p521.der", nil, trust.GateKey, trust.Fail, "", "without ECDSA"},
		{"6.12-enrolled", "../certs/odd-p521.der", nil, trust.GateKey, trust.Pass, "", "ecdsa-nist-p521 is registered"},
		{"6.1-enrolled", "mine.der", nil, trust.GatePresent, trust.Pass, "", "with the same key in .machine"},
		{"6.1-enrolled", "foreign.der", nil, trust.GatePresent, trust.Fail, "", "asked about each"},
		{"6.12-enrolled", "same-name.der", nil, trust.GatePresent, trust.Fail, "", "it is another key"},
		{"6.12-enrolled", "mine.der", nil, trust.GateSigner, trust.Pass, "", "by issuer and serial number"},
		{"6.12-own-keys", "own-vendor.der", nil, trust.GateConsulted, trust.Pass, "", ".machine is linked"},
		{"6.12-own-keys", "own-db.der", nil, trust.GateConsulted, trust.ResultUnknown, "sudo kkeys trusted --prove", "kernels of debian are known to ask it"},
		{"6.1-own-keys", "--prove own-db.der", nil, trust.GateConsulted, trust.Pass, "", "only in .platform"},
		{"6.12-enrolled", "foreign.der", nil, trust.GateConsulted, trust.NotApplicable, "", "checked against .builtin_trusted_keys, .secondary_trusted_keys, .machine"},
		{"6.12-enrolled", "mine.der", nil, trust.GateRevocation, trust.Pass, "", "115 hashes"},
		{"6.12-enrolled", "mine.der", nil, trust.GateCodeSigning, trust.NotApplicable, "", "no extended key usage"},
		{"6.12-enrolled", "mine.der", option(r612, "CONFIG_CHECK_CODESIGN_EKU=y"), trust.GateCodeSigning, trust.Pass, "", "it has"},
		{"6.1-enrolled", "../certs/microsoft-uefi-ca-2011.der", option(r61, "CONFIG_CHECK_CODESIGN_EKU=y"), trust.GateCodeSigning, trust.Fail, "", "only from signers"},
		{"6.12-enrolled", "--prove mine.der", nil, trust.GateProbe, trust.ResultUnknown, "", "cannot tell whether it is this very key"},
		{"6.12-enrolled", "--prove foreign.der", nil, trust.GateProbe, trust.Fail, "", "no keyring that is consulted has its id"},
		{"6.1-off", "--prove mine.der", nil, trust.GateProbe, trust.Fail, "", "load all the same"},
		{"6.12-lockdown", "--prove mine.der", nil, trust.GateProbe, trust.Fail, "", "lockdown refuses"},
		{"6.12-sig-enforce", "--prove mine.der", nil, trust.GateProbe, trust.Fail, "", "modules signed with it are refused"},
		{"6.1-enrolled", "mine.der", nil, trust.GateEnrolled, trust.Pass, "", "as kkeys asked"},
		{"6.1-pending", "mine.der", nil, trust.GateEnrolled, trust.Fail, "reboot", "confirm it in MokManager"},
		{"6.12-declined", "mine.der", nil, trust.GateEnrolled, trust.Fail, "sudo kkeys enroll", "declined"},
		{"6.1-off", "foreign.der", nil, trust.GateEnrolled, trust.Fail, "sudo kkeys enroll", "neither enrolled nor pending"},
		{"6.12-enrolled", "same-name.der", nil, trust.GateEnrolled, trust.Fail, "", "neither enrolled nor pending"},
		{"6.12-own-keys", "own-vendor.der", nil, trust.GateEnrolled, trust.Pass, "", "shim's own"},
		{"6.12-own-keys", "own-db.der", nil, trust.GateEnrolled, trust.NotApplicable, "", "the firmware's db"},
		{"6.12-enrolled", "foreign.der", nil, trust.GateSecureBoot, trust.Pass, "", "is on"},
		{"6.12-off", "mine.der", nil, trust.GateSecureBoot, trust.Fail, "systemctl reboot --firmware-setup", "is off"},
		{"6.12-enrolled", "mine.der", option(r612, "CONFIG_IMA_SECURE_AND_OR_TRUSTED_BOOT=n\nCONFIG_HAVE_ARCH_GET_SECUREBOOT=n"), trust.GateSecureBoot, trust.Fail, "", "without a way to see"},
		{"6.1-off", "mine.der", nil, trust.GateShim, trust.Pass, "", "through shim"},
		{"6.1-enrolled", "mine.der", nil, trust.GateTrustList, trust.Pass, "", "MokListTrustedRT"},
		{"6.1-enrolled", "mine.der", func(m *machine.Machine) { m.Files = hidden{m.Files, "MokListTrustedRT"} }, trust.GateTrustList, trust.NotApplicable, "", "kernels of this distribution do not ask"},
		{"6.1-enrolled", "mine.der", func(m *machine.Machine) {
			with(map[string]string{"etc/os-release": "ID=fedora\n"})(m)
			m.Files = hidden{m.Files, "MokListTrustedRT"}
		}, trust.GateTrustList, trust.Fail, "sudo kkeys mok trust on", "go to .platform"},
		{"6.12-enrolled", "mine.der", nil, trust.GateMachine, trust.Pass, "", ".machine is linked"},
		{"6.12-enrolled", "foreign.der", cut, trust.GateMachine, trust.Fail, "reboot", "not linked"},
		{"6.12-enrolled", "mine.der", nil, trust.GateAuthority, trust.NotApplicable, "", "is not set"},
		{"6.12-enrolled", "mine.der", authorities, trust.GateAuthority, trust.Fail, "", "no authority"},
		{"6.12-enrolled", "../certs/debian-ca.der", authorities, trust.GateAuthority, trust.Pass, "", "may sign certificates"},
		{"6.12-enrolled", "mine.der", nil, trust.GateForbidden, trust.Pass, "", "neither dbx nor MokListX"},
		{"6.12-enrolled", "mine.der", nil, trust.GateSameName, trust.Pass, "", "no certificate with its name"},
		{"6.12-enrolled", "same-name.der", nil, trust.GateSameName, trust.Fail, "", "(mok)"},
		{"6.1-enrolled", "mine.der", nil, trust.GateLinks, trust.Pass, "", "links .builtin_trusted_keys and .machine"},
		{"6.1-enrolled", "mine.der", cut, trust.GateLinks, trust.Fail, "reboot", "until the next boot"},
		{"6.1-enrolled", "mine.der", nil, trust.GateValidity, trust.Pass, "", "2044-01-01"},
		{"6.1-enrolled", "../certs/microsoft-uefi-ca-2011.der", nil, trust.GateValidity, trust.Pass, "", "it expired on 2026-06-27; the kernel looks at no dates"},
		{"6.1-enrolled", "mine.der", nil, trust.GateEnforcement, trust.Pass, "", "sig_enforce is Y"},
		{"6.12-sig-enforce", "mine.der", nil, trust.GateEnforcement, trust.Pass, "", "sig_enforce is Y"},
		{"6.12-lockdown", "mine.der", nil, trust.GateEnforcement, trust.Pass, "", "lockdown is integrity"},
		{"6.1-off", "mine.der", nil, trust.GateEnforcement, trust.NotApplicable, "", "load and taint the kernel"},
		{"6.1-off", "mine.der", nil, trust.GateIMA, trust.NotApplicable, "", "does not appraise modules"},
		{"6.1-off", "mine.der", with(map[string]string{"proc/cmdline": "ima_policy=secure_boot\n"}), trust.GateIMA, trust.ResultUnknown, "", "ima_policy=secure_boot"},
		{"6.1-off", "mine.der", nil, trust.GateLoading, trust.Pass, "", "may be loaded"},
		{"6.1-off", "mine.der", with(map[string]string{"proc/sys/kernel/modules_disabled": "1\n"}), trust.GateLoading, trust.Fail, "reboot", "no module loads"},
	} {
		m, err := machine.Snapshot(filepath.Join(machines, c.machine+".kks"))
		if err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			c.change(m)
		}
		args := []string{"trusted", "--json"}
		for _, word := range strings.Fields(c.file) {
			switch {
			case strings.Contains(word, ".ko"):
				word = filepath.Join(dir, word)
			case strings.HasSuffix(word, ".der"):
				word = filepath.Join(machines, word)
			}
			args = append(args, word)
		}
		got := runOn(t, m, args...)
		var document trustedDocument
		if err := validate("trusted", []byte(got.out)); err != nil {
			t.Errorf("%s, %s: %v", c.machine, c.file, err)
		}
		if err := json.Unmarshal([]byte(got.out), &document); err != nil || len(document.Subjects) != 1 {
			t.Fatalf("%s, %s: %v\n%s%s", c.machine, c.file, err, got.out, got.err)
		}
		var gate gateDocument
		for _, g := range document.Subjects[0].Gates {
			if seen[g.Gate] = seen[g.Gate] || g.Gate == c.gate; g.Gate == c.gate {
				gate = g
			}
		}
		fix := ""
		if gate.Fix != nil {
			fix = *gate.Fix
		}
		if gate.Result != c.result || !strings.Contains(gate.Evidence, c.says) || (fix == "") != (c.fix == "") || !strings.HasPrefix(fix, c.fix) {
			t.Errorf("%s, %s: gate %s is %s, fix %q: %s; want %s, %q, something with %q", c.machine, c.file, c.gate, gate.Result, fix, gate.Evidence, c.result, c.fix, c.says)
		}
	}
	for gate, tested := range seen {
		if !tested {
			t.Errorf("gate %s was seen and has no row", gate)
		}
	}
}

// A hash on the blacklist is looked for in what was recorded.
func TestBlacklistedModule(t *testing.T) {
	module, _ := signedModule(t, certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec, false)
	path := filepath.Join(t.TempDir(), "mine.ko")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(module)
	for hash, want := range map[string]int{"bin:" + hex.EncodeToString(sum[:]): exitUnsure, "bin:" + strings.Repeat("00", 32): exitYes} {
		m, err := machine.Snapshot(filepath.Join(machines, "6.12-enrolled.kks"))
		if err != nil {
			t.Fatal(err)
		}
		blacklisted(hash)(m)
		if got := runOn(t, m, "trusted", path); got.code != want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", hash, got.code, want, got.out, got.err)
		}
	}
}

// show tells where a recorded machine has a certificate: the stores that hold it, and the keyrings with an entry of its name and id, which
// another key can have too.
func TestShowJoins(t *testing.T) {
	for file, want := range map[string]string{
		"mine.der":                      "found in mok, file:/var/lib/shim-signed/mok/MOK.der\nkeyrings .machine (by name and id: no proof)",
		"same-name.der":                 "found in file:/etc/uefi/certs/same-name.crt\nkeyrings .machine (by name and id: no proof)",
		"foreign.der":                   "found in file:/var/lib/dkms/mok.pub\nkeyrings none (by name and id: no proof)",
		"../certs/debian-ca.der":        "found in mok, vendor\nkeyrings .machine (by name and id: no proof)",
		"../certs/snakeoil-ovmf-pk.der": "found in none\nkeyrings none (by name and id: no proof)",
	} {
		for _, form := range []string{"--quiet=false", "--json"} {
			got := runOn(t, nil, "--snapshot", filepath.Join(machines, "6.12-enrolled.kks"), form, "show", filepath.Join(machines, file))
			if form == "--json" {
				if err := validate("show", []byte(got.out)); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			} else if got.code != exitYes || !strings.Contains(squeeze(got.out), want) {
				t.Errorf("%s: exit code %d, want %q\n%s%s", file, got.code, want, got.out, got.err)
			}
		}
	}
	if got := runOn(t, nil, "--root", t.TempDir(), "--json", "show", filepath.Join(machines, "mine.der")); got.code != exitYes || !strings.Contains(got.out, `"keyrings": null`) {
		t.Errorf("without keyrings: exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

// What is said of one subject does not depend on those before it.
func TestSubjectsStandAlone(t *testing.T) {
	dir := t.TempDir()
	module, _ := signedModule(t, certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec, false)
	strange, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("nowhere")}, SKID: []byte{8}, Key: certtest.RSA(2048, 32)}, false)
	unknownDigest := bytes.Replace(module, []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x01"), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x7f"), -1)
	paths := []string{filepath.Join(machines, "foreign.der"), filepath.Join(machines, "mine.der")}
	for name, data := range map[string][]byte{"mine.ko": module, "strange.ko": strange, "unsigned.ko": []byte("\x7fELF, and no more"), "carries.ko": carrying(t, module), "digest.ko": unknownDigest} {
		paths = append(paths, filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(paths ...string) []subjectDocument {
		got := runOn(t, nil, append([]string{"--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "trusted", "--prove", "--json"}, paths...)...)
		var document trustedDocument
		if err := json.Unmarshal([]byte(got.out), &document); err != nil || len(document.Subjects) != len(paths) {
			t.Fatalf("%v: %v\n%s%s", paths, err, got.out, got.err)
		}
		return document.Subjects
	}
	for _, first := range paths {
		for _, second := range paths {
			alone, after := ask(second)[0], ask(first, second)[1]
			if strings.HasSuffix(second, "carries.ko") && slices.ContainsFunc(alone.Gates, func(g gateDocument) bool { return g.Gate == trust.GateProbe }) {
				t.Error("a load probe for one of several signers, or beside carried certificates, which decide")
			}
			if !reflect.DeepEqual(alone, after) {
				t.Errorf("%s after %s: %+v\nalone: %+v", second, first, after, alone)
			}
		}
	}
}
