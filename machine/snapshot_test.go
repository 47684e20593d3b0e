package machine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

func recorder() Recorder {
	return Recorder{Version: "test", Time: time.Unix(1e9, 5), Questions: func(rings []keyring.Ring) []keyring.Restriction {
		all := []keyring.Restriction{keyring.BySecondary}
		for _, r := range rings {
			all = append(all, keyring.ByRing(r.Serial))
		}
		return all
	}}
}

// recordedAs saves a machine and opens it again; plain is the archive without its compression.
func recordedAs(t *testing.T, m *Machine) (copied *Machine, r *Recording, plain []byte) {
	t.Helper()
	r, err := m.Record(recorder())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := r.Save(path, false); err != nil {
		t.Fatal(err)
	}
	if copied, err = Snapshot(path); err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	if plain, err = unpack.DecodeAll(packed, nil); err != nil {
		t.Fatal(err)
	}
	return copied, r, plain
}

func opened(t *testing.T, made *machinetest.Machine) *Machine {
	t.Helper()
	m, err := Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// laden is an installed machine with something at every place that is recorded, and certificates of these names.
func laden(t *testing.T) (made *machinetest.Machine, named map[string]*certtest.Cert) {
	t.Helper()
	named = map[string]*certtest.Cert{}
	for i, name := range []string{"mok", "db", "staged", "shim-signed", "dkms", "told", "builtin", "bundle"} {
		named[name] = certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN(name)}, SKID: []byte{byte(i + 1)}})
	}
	made = machinetest.Installed(t)
	made.Enrolled(named["mok"].DER)
	made.Set(efivars.DB, 7, signatureList(t, named["db"].DER))
	made.Set(mok.Variable("MokNew"), 7, signatureList(t, named["staged"].DER))
	for name, text := range map[string]string{
		"proc/sys/kernel/osrelease": release + "\n", "proc/sys/kernel/arch": "x86_64\n", "proc/sys/kernel/tainted": "0\n",
		"proc/sys/kernel/modules_disabled": "0\n", "sys/module/module/parameters/sig_enforce": "Y\n", "sys/module/kernel/x": "",
		"sys/kernel/security/lockdown": "none [integrity] confidentiality\n", "sys/class/tpm/tpm0/x": "",
		"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "proc/crypto": "name : sha256\n",
		"proc/cmdline": "quiet ima_policy=tcb\n", "proc/sys/crypto/fips_enabled": "1\n", "proc/sys/kernel/random/boot_id": "47879069-1bab-4eb9-a53c-ad3ed88c336a\n",
		"proc/kallsyms": "ffffffff81234567 A fixed_percpu_data\nffffffff82345678 T set_machine_trusted_keys\nffffffff8345678a t somebody\n",
		"sys/kernel/security/integrity/ima/policy": "measure func=FILE_CHECK uid=1000 \nappraise func=MODULE_CHECK appraise_type=imasig \n",
		"var/lib/kkeys/receipts.json":              "{\"receipts\": []}\n",
		"boot/config-" + release:                   "CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_KEY=\"certs/signing_key.pem\"\n",
		"var/lib/shim-signed/mok/MOK.der":          string(named["shim-signed"].DER),
		"var/lib/dkms/mok.pub":                     string(named["dkms"].PEM()),
		"etc/dkms/framework.conf":                  "# a comment\nmok_certificate=/srv/keys/told.der\n",
		"srv/keys/told.der":                        string(named["told"].DER),
		"root/MOK.crt":                             "no certificate, and this place is a guess",
		"sys/firmware/efi/mok-variables/.marker":   "x",
	} {
		made.Write(name, text)
	}
	made.Remove("sys/firmware/efi/mok-variables/.marker")
	made.Write("sys/firmware/efi/mok-variables/MokListTrustedRT", "\x01")
	made.Write("sys/firmware/efi/mok-variables/MokListRT", string(signatureList(t, named["mok"].DER)))
	made.Write("boot/vmlinuz-"+release, string(gzipped(t, append([]byte("a kernel "), named["builtin"].DER...))))
	return made, named
}

func signatureList(t *testing.T, der []byte) []byte {
	t.Helper()
	data, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, der)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// same holds all that is read of one machine against the other.
func same(t *testing.T, a, b *Machine) {
	t.Helper()
	equal := func(what string, x, y any) {
		t.Helper()
		if !reflect.DeepEqual(x, y) {
			t.Errorf("%s: of the machine\n%+v\nof its snapshot\n%+v", what, x, y)
		}
	}
	kernelA, kernelB := a.Kernel(), b.Kernel()
	kernelA.CommandLine = kept(kernelA.CommandLine) // the rest is not recorded
	equal("kernel", kernelA, kernelB)
	chainA, passedA := a.NextBoot()
	chainB, passedB := b.NextBoot()
	equal("what hides the next boot", fmt.Sprint(chainA.Err), fmt.Sprint(chainB.Err)) // the same words; an error is another each time
	equal("whether that is for others to see", errors.Is(chainA.Err, fs.ErrPermission), errors.Is(chainB.Err, fs.ErrPermission))
	chainA.Err, chainB.Err = nil, nil
	equal("next boot", chainA, chainB)
	equal("passed", passedA, passedB)
	equal("TPM", a.HasTPM(), b.HasTPM())
	foundA, unseenA := a.Certificates()
	foundB, unseenB := b.Certificates()
	equal("certificates", foundA, foundB)
	equal("certificates not seen", sayings(unseenA), sayings(unseenB))
	foundA, unseenA = a.KernelCertificates()
	foundB, unseenB = b.KernelCertificates()
	equal("builtin certificates", foundA, foundB)
	equal("builtin certificates not seen", sayings(unseenA), sayings(unseenB))
	keysA, unseenA := a.KeyFiles()
	keysB, unseenB := b.KeyFiles()
	for i := range keysA {
		keysA[i].UID = nil // is not recorded
	}
	equal("private keys not seen", sayings(unseenA), sayings(unseenB))
	equal("private keys", keysA, keysB)
	// Errors are compared by their words.
	equal("state", fmt.Sprintf("%+v", mok.ReadState(a.Variables, a.Files)), fmt.Sprintf("%+v", mok.ReadState(b.Variables, b.Files)))
	equal("pending", fmt.Sprintf("%+v", mok.ReadPending(a.Variables).NotSeen), fmt.Sprintf("%+v", mok.ReadPending(b.Variables).NotSeen))
}

func sayings(unseen []NotSeen) (all []string) {
	for _, n := range unseen {
		all = append(all, n.Source+": "+n.Err.Error())
	}
	return all
}

func TestSnapshot(t *testing.T) {
	made, named := laden(t)
	m := opened(t, made)
	copied, r, _ := recordedAs(t, m)
	same(t, m, copied)
	found, _ := copied.Certificates()
	builtin, _ := copied.KernelCertificates()
	for name, c := range named {
		there := name == "staged" || name == "bundle" // of the request, and not on the machine
		for _, f := range append(found, builtin...) {
			there = there || bytes.Equal(f.Certificate.Raw, c.DER)
		}
		if !there {
			t.Errorf("the certificate %s is not found in the snapshot", name)
		}
	}
	if r.Inquiries() != 6 { // all but staged and bundle
		t.Errorf("%d certificates were asked about", r.Inquiries())
	}
	if r.Release() != release || !r.Time().Equal(time.Unix(1e9, 0)) || r.Time().Location() != time.UTC {
		t.Errorf("release %s, time %s", r.Release(), r.Time())
	}
	pending := mok.ReadPending(copied.Variables)
	if len(pending.Requests) != 1 || len(pending.Requests[0].Lists) != 1 {
		t.Errorf("pending: %+v", pending)
	}
	if got := sayings(r.NotSeen()); len(got) != 2 || !strings.HasPrefix(got[0]+got[1], "keyrings: a recorded machine") {
		t.Errorf("not seen: %q", got)
	}
	if got := strings.Join(r.LeftOut(), " "); got != "/root/MOK.crt" {
		t.Errorf("left out: %s", got)
	}
	for _, k := range r.Files() {
		if k.Why == "" {
			t.Errorf("%s is recorded without a reason", k.Path)
		}
	}
	// A machine recorded twice is the same machine.
	again, _, _ := recordedAs(t, copied)
	same(t, m, again)
}

// Every change of the machine that makes another answer makes the same other answer in its snapshot.
func TestSnapshotOfOthers(t *testing.T) {
	for name, change := range map[string]func(*machinetest.Machine){
		"nothing":          func(made *machinetest.Machine) { made.Dir = t.TempDir() },
		"no configuration": func(made *machinetest.Machine) { made.Remove("boot/config-" + release) },
		"symbols are not a table": func(made *machinetest.Machine) {
			made.Remove("boot/config-" + release)
			made.Write("proc/kallsyms", "no table\n")
		},
		"configuration in the build tree": func(made *machinetest.Machine) {
			made.Remove("boot/config-" + release)
			made.Write("lib/modules/"+release+"/build/.config", "CONFIG_MODULE_SIG=y\nCONFIG_IMA_APPRAISE=y\n")
		},
		"IMA appraises": func(made *machinetest.Machine) {
			made.Write("boot/config-"+release, "CONFIG_MODULE_SIG=y\nCONFIG_IMA_APPRAISE=y\n")
		},
		"IMA chosen at boot": func(made *machinetest.Machine) {
			made.Remove("sys/kernel/security/integrity/ima/policy")
			made.Write("boot/config-"+release, "CONFIG_MODULE_SIG=y\nCONFIG_IMA_APPRAISE=y\n")
			made.Write("proc/cmdline", "root=/dev/sda ima_policy=\"tcb secure_boot\" ima-appraise=log\n")
		},
		"no command line": func(made *machinetest.Machine) { made.Remove("proc/cmdline") },
		"no FIPS":         func(made *machinetest.Machine) { made.Remove("proc/sys/crypto/fips_enabled") },
		"no EFI":          func(made *machinetest.Machine) { mustRemoveAll(t, made.Dir+"/sys/firmware") },
		"no MokManager":   func(made *machinetest.Machine) { made.Remove("boot/efi/EFI/debian/mmx64.efi") },
		"another loader": func(made *machinetest.Machine) {
			made.ESP(`\EFI\debian\shimx64.efi`, machinetest.Program(0x8664, ".text"))
		},
		"shim is no program": func(made *machinetest.Machine) { made.ESP(`\EFI\debian\shimx64.efi`, []byte("no")) },
		"shim is a folder": func(made *machinetest.Machine) {
			made.Remove("boot/efi/EFI/debian/shimx64.efi")
			made.Write("boot/efi/EFI/debian/shimx64.efi/x", "")
		},
		"no partition": func(made *machinetest.Machine) { made.Remove("dev/disk/by-partuuid/" + machinetest.Partition) },
		"not mounted": func(made *machinetest.Machine) {
			made.Write("proc/self/mountinfo", "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n")
		},
		"corrupt boot entry": func(made *machinetest.Machine) {
			made.Set(efivars.BootEntry(1), 7, []byte{1, 0, 0, 0, 90, 0, 65, 0, 0, 0})
		},
		"corrupt list": func(made *machinetest.Machine) {
			made.Set(mok.Variable("MokListRT"), 6, []byte("no list at all, but long enough"))
		},
		"variable is malformed": func(made *machinetest.Machine) { made.Write(efivars.DefaultDir+"/"+efivars.DB.String(), "ab") },
		"variable never stored": func(made *machinetest.Machine) { made.Write(efivars.DefaultDir+"/"+efivars.DB.String(), "") },
		"kernel image is none":  func(made *machinetest.Machine) { made.Write("boot/vmlinuz-"+release, "no kernel") },
		"kernel image is empty": func(made *machinetest.Machine) {
			made.Write("boot/vmlinuz-"+release, string(gzipped(t, []byte("no certificate"))))
		},
		"certificate is none": func(made *machinetest.Machine) { made.Write("var/lib/dkms/mok.pub", "ssh-rsa AAAA") },
		"DKMS says what only a shell knows": func(made *machinetest.Machine) {
			made.Write("etc/dkms/framework.conf.d/x.conf", "mok_certificate=$HOME/x\nother=1\n")
		},
		"private keys": func(made *machinetest.Machine) {
			made.Write("var/lib/shim-signed/mok/MOK.priv", "not looked into")
			made.Write("etc/pki/akmods/private/x.priv", "not looked into")
			if err := os.Chmod(made.Dir+"/etc/pki/akmods/private/x.priv", 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"build tree by an absolute link": func(made *machinetest.Machine) {
			der := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("built")}}).DER
			made.Write("usr/src/linux-1/certs/signing_key.x509", string(der))
			made.Link("lib/modules/"+release+"/build", "/usr/src/linux-1")
		},
		"link to nowhere": func(made *machinetest.Machine) { made.Link("lib/modules/"+release+"/build", "/home/me/linux") },
	} {
		t.Run(name, func(t *testing.T) {
			made, _ := laden(t)
			change(made)
			m := opened(t, made)
			copied, _, plain := recordedAs(t, m)
			same(t, m, copied)
			if bytes.Contains(plain, []byte("/home/me")) {
				t.Error("a link that leads to nothing recorded tells of somebody's folder")
			}
		})
	}
}

func mustRemoveAll(t *testing.T, path string) {
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// Of the symbols what is looked for is kept, without addresses; of the IMA policy the rule about modules; the receipts whole.
func TestSnapshotReducesKernelSources(t *testing.T) {
	made, _ := laden(t)
	copied, r, plain := recordedAs(t, opened(t, made))
	for name, want := range map[string]string{
		"proc/kallsyms": "0000000000000000 T _text\n0000000000000000 T set_machine_trusted_keys\n",
		"sys/kernel/security/integrity/ima/policy": "appraise func=MODULE_CHECK appraise_type=imasig\n",
		"var/lib/kkeys/receipts.json":              "{\"receipts\": []}\n",
		"proc/cmdline":                             "ima_policy=tcb\n",
	} {
		if got, err := fs.ReadFile(copied.Files, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, gone := range []string{"ffffffff8", "somebody", "uid=1000", "quiet"} {
		if bytes.Contains(plain, []byte(gone)) {
			t.Errorf("the snapshot holds %q", gone)
		}
	}
	why := map[string]string{}
	for _, k := range r.Files() {
		why[k.Path] = k.Why
	}
	if why["/var/lib/kkeys/receipts.json"] != "what kkeys asked of MokManager, and in which boot" {
		t.Errorf("receipts: %q", why["/var/lib/kkeys/receipts.json"])
	}
}

// The names of variables that no command reads are kept, so that none of them looks as if it were not there.
func TestSnapshotVariables(t *testing.T) {
	made, _ := laden(t)
	other := efivars.Name{Vendor: efivars.Global, Name: "ConOut"}
	made.Set(other, 7, []byte("a device path"))
	copied, r, plain := recordedAs(t, opened(t, made))
	if _, _, err := copied.Variables.Get(other); !errors.Is(err, efivars.ErrUnavailable) || !errors.Is(err, ErrLeftOut) {
		t.Errorf("left out: %v", err)
	}
	names, err := copied.Variables.List()
	if want, werr := opened(t, made).Variables.List(); err != nil || werr != nil || !reflect.DeepEqual(names, want) {
		t.Errorf("names %v, %v, want %v", names, err, want)
	}
	if bytes.Contains(plain, []byte("a device path")) || !strings.Contains(strings.Join(r.LeftOut(), " "), "ConOut") {
		t.Errorf("left out: %v", r.LeftOut())
	}
	for what, err := range map[string]error{
		"Set": copied.Variables.Set(efivars.BootNext, 7, []byte{1, 0}), "Delete": copied.Variables.Delete(efivars.DB),
	} {
		if !errors.Is(err, efivars.ErrReadOnly) || !errors.Is(err, ErrRecorded) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []string{"", "Missing", "../up", "a/b"} {
		_, _, err := copied.Variables.Get(efivars.Name{Vendor: efivars.Global, Name: n})
		if want := map[bool]error{true: efivars.ErrInvalid, false: efivars.ErrNotFound}[strings.Contains(n, "/")]; !errors.Is(err, want) {
			t.Errorf("Get %q: %v, want %v", n, err, want)
		}
	}
}

// Every error of a store comes back as itself.
func TestSnapshotWords(t *testing.T) {
	for _, w := range words {
		is, bad := outcomeOf(w.is).err()
		if bad != nil || !errors.Is(is, w.is) || is.Error() != w.is.Error() {
			t.Errorf("%s became %v, %v", w.word, is, bad)
		}
	}
	failing := &Machine{Files: fstest.MapFS{}, Keyrings: keyring.Recorded{Err: keyring.ErrNotVisible}, Variables: efivars.Absent(efivars.ErrDenied)}
	copied, r, _ := recordedAs(t, failing)
	if _, err := copied.Variables.List(); !errors.Is(err, efivars.ErrDenied) {
		t.Errorf("variables: %v", err)
	}
	if _, err := copied.Keyrings.Rings(); !errors.Is(err, keyring.ErrNotVisible) {
		t.Errorf("keyrings: %v", err)
	}
	if len(r.NotSeen()) != 3 { // the release too
		t.Errorf("not seen: %v", r.NotSeen())
	}
}
