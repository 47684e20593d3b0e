package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

// statusMachine is a healthy machine with all that status reads.
func statusMachine(t *testing.T) (*machine.Machine, *machinetest.Machine) {
	t.Helper()
	made := machinetest.Installed(t)
	made.Enrolled(certtest.SelfSignedWith(t, "mine", certtest.RSA(2048, 11)).DER)
	list, _ := made.Get(mok.Variable("MokListRT"))
	made.Write(efivars.TableDir+"/MokListRT", string(list))
	made.Write(efivars.TableDir+"/MokListTrustedRT", "\x01")
	for path, text := range map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0-56-amd64\n", "proc/sys/kernel/tainted": "0\n", "proc/sys/kernel/modules_disabled": "0\n",
		"etc/os-release": "ID=debian\n", "sys/module/module/parameters/sig_enforce": "Y\n", "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
		"proc/crypto": procCrypto,
	} {
		made.Write(path, text)
	}
	m, err := machine.Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	debian, _ := debian(t)
	m.Keyrings = debian.Keyrings
	return m, made
}

func TestStatus(t *testing.T) {
	m, _ := statusMachine(t)
	got := runOn(t, m, "status")
	for _, line := range []string{
		"kernel 6.1.0-56-amd64", "distribution debian", "EFI yes", "Secure Boot yes", "setup mode no", "booted through shim yes", "shim's validation off no",
		"MOK list trusted yes", "keys in shim's list 1", "pending none", "module signatures enforced", "sig_enforce yes", "lockdown integrity", "modules disabled no",
		"tainted 0", "hashes sha256", "keyrings consulted .builtin_trusted_keys, .secondary_trusted_keys, .machine",
	} {
		if !strings.Contains(squeeze(got.out), "\n"+line+"\n") && !strings.HasPrefix(squeeze(got.out), line+"\n") {
			t.Errorf("no line %q in\n%s", line, got.out)
		}
	}
	if got.code != exitYes || strings.Contains(got.out, "finding") {
		t.Errorf("exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

func TestStatusFindings(t *testing.T) {
	for id, change := range map[string]func(*machine.Machine, *machinetest.Machine){
		"shim-validation-off": func(_ *machine.Machine, made *machinetest.Machine) {
			made.Write(efivars.TableDir+"/MokSBStateRT", "\x01")
		},
		"mok-list-corrupt": func(_ *machine.Machine, made *machinetest.Machine) {
			made.Set(mok.Variable("MokListRT"), 6, []byte("cut"))
			made.Write(efivars.TableDir+"/MokListRT", "cut")
		},
		"left-over-password": func(_ *machine.Machine, made *machinetest.Machine) {
			made.Set(mok.Variable("MokDelAuth"), 7, make([]byte, 172))
		},
		"reset-pending": func(_ *machine.Machine, made *machinetest.Machine) {
			made.Set(mok.Variable("MokAuth"), 7, make([]byte, 172))
		},
		"pending-corrupt": func(_ *machine.Machine, made *machinetest.Machine) { made.Set(mok.Variable("MokSB"), 7, []byte{1}) },
		"keyring-cut": func(m *machine.Machine, _ *machinetest.Machine) {
			keyring.Named(m.Keyrings.(scripted).rings, keyring.Secondary).Rings = nil
		},
	} {
		m, made := statusMachine(t)
		change(m, made)
		got := runOn(t, m, "status", "--json")
		if err := validate("status", []byte(got.out)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if got.code != exitNo || !strings.Contains(got.out, `"id": "`+id+`"`) {
			t.Errorf("%s: exit code %d\n%s", id, got.code, got.out)
		}
	}
}

// What could not be seen is 3, and is named; a machine without EFI has nothing to see there.
func TestStatusUnseen(t *testing.T) {
	m, _ := statusMachine(t)
	m.Keyrings = scripted{err: keyring.ErrNotVisible}
	if got := runOn(t, m, "status"); got.code != exitUnsure || !strings.Contains(got.err, "not seen: keyrings") {
		t.Errorf("without keyrings: exit code %d, %s", got.code, got.err)
	}
	m, _ = statusMachine(t)
	m.Files = fstest.MapFS{}
	got := runOn(t, m, "status", "--json")
	if got.code != exitUnsure || !strings.Contains(got.out, "/proc/crypto") {
		t.Errorf("without files: exit code %d\n%s", got.code, got.out)
	}
	if err := validate("status", []byte(got.out)); err != nil {
		t.Error(err)
	}
	if got := runOn(t, m, "status", "extra"); got.code != exitUsage {
		t.Errorf("with an argument: exit code %d", got.code)
	}
}
