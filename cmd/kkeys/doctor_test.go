package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/modsig"
)

// moduleELF is an object file that says of itself what a module does, and has nothing else.
func moduleELF(t *testing.T, arch elf.Machine, info ...string) []byte {
	t.Helper()
	modinfo := []byte(strings.Join(info, "\x00") + "\x00")
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	const header, section = 64, 64
	var out bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	at := uint64(header + len(modinfo) + len(names))
	write := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	write(elf.Header64{Ident: ident, Type: uint16(elf.ET_REL), Machine: uint16(arch), Version: 1, Shoff: at, Ehsize: header, Shentsize: section, Shnum: 3, Shstrndx: 2})
	out.Write(modinfo)
	out.Write(names)
	write(elf.Section64{})
	write(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Off: header, Size: uint64(len(modinfo)), Addralign: 1})
	write(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: header + uint64(len(modinfo)), Size: uint64(len(names)), Addralign: 1})
	return out.Bytes()
}

// bench makes modules for the recorded machines, with the keys of their certificates.
type bench struct {
	t       *testing.T
	machine string // its name begins with the kernel's
}

// release is that of the machine's kernel.
func (b bench) release() string {
	if strings.HasPrefix(b.machine, "6.12") {
		return release612
	}
	return release61
}

const (
	release61  = "6.1.0-56-cloud-amd64"
	release612 = "6.12.117+deb12-cloud-amd64"
)

func (b bench) plain() []byte {
	return moduleELF(b.t, elf.EM_X86_64, "name=driver", "vermagic="+b.release()+" SMP preempt mod_unload modversions ", "license=GPL")
}

func (b bench) signed(module []byte, spec certtest.Spec, hash string) []byte {
	b.t.Helper()
	made := certtest.Make(b.t, spec)
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		b.t.Fatal(err)
	}
	module, err = modsig.Sign(module, made.Key, c, hash, false)
	if err != nil {
		b.t.Fatal(err)
	}
	return module
}

func (b bench) packed(module []byte, how modsig.Packing) []byte {
	b.t.Helper()
	packed, err := modsig.Pack(module, how)
	if err != nil {
		b.t.Fatal(err)
	}
	return packed
}

// xzCRC64 compresses as xz does where nobody tells it better.
func xzCRC64(t *testing.T, data []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := xz.WriterConfig{CheckSum: xz.CRC64}.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// noVariables is a machine without EFI.
type noVariables struct{ efivars.Store }

func (noVariables) Get(efivars.Name) (efivars.Attributes, []byte, error) {
	return 0, nil, efivars.ErrNotSupported
}
func (noVariables) List() ([]efivars.Name, error) { return nil, efivars.ErrNotSupported }
func (noVariables) Space() (efivars.Space, error) { return efivars.Space{}, efivars.ErrNotSupported }

// TestDoctor: recorded machines, modules made for them, and what their logs would say; each with the cause that is to be named first, how certain, and
// what the first way out has in it.
func TestDoctor(t *testing.T) {
	mine := func(t *testing.T) certtest.Spec {
		return certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 60)).Spec
	}
	foreign := func(t *testing.T) certtest.Spec {
		return certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 61)).Spec
	}
	twin := func(t *testing.T) certtest.Spec {
		spec := mine(t)
		spec.Key = certtest.RSA(2048, 62)
		return spec
	}
	stranger := func(*testing.T) certtest.Spec {
		return certtest.Spec{Subject: certtest.Name{certtest.CN("nowhere")}, SKID: []byte{8}, Key: certtest.RSA(2048, 32)}
	}
	const (
		unsignedNotice = "[   12.5] Loading of unsigned module is rejected\n"
		keyNotice      = "[   12.5] Loading of module with unavailable key is rejected\n"
		cryptoNotice   = "[   12.5] Loading of module with unsupported crypto is rejected\n"
		lockdownNotice = "[   12.5] Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7\n"
		taintNotice    = "[   12.5] driver: module verification failed: signature and/or required key missing - tainting kernel\n"
		rejected       = "modprobe: ERROR: could not insert 'driver': Key was rejected by service"
	)
	signedByMine := func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }
	withoutIt := func(m *machine.Machine, other string) { // shim has the key, and no keyring
		o, err := machine.Snapshot(filepath.Join(machines, other+".kks"))
		if err != nil {
			t.Fatal(err)
		}
		m.Keyrings = o.Keyrings
	}
	for _, c := range []struct {
		why, machine string
		module       func(b bench) []byte
		file         string // driver.ko
		log, err     string
		id           string // empty: nothing is found
		certainty    string
		fix          string
		change       func(*machine.Machine)
	}{
		{"all is well", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", "", "", "", "", "", nil},
		{"not signed", "6.1-enrolled", bench.plain, "", unsignedNotice, rejected, "unsigned", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"not signed, no log", "6.12-enrolled", bench.plain, "", "", rejected, "unsigned", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"not signed, lockdown", "6.1-lockdown", bench.plain, "", lockdownNotice, "modprobe: ERROR: could not insert 'driver': Operation not permitted", "unsigned", "proven", "systemctl reboot --firmware-setup; sudo kkeys enroll /var/lib/shim-signed/mok/MOK.der; reboot; sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"not signed, permissive", "6.1-off", bench.plain, "", taintNotice, "", "unsigned", "proven", "", nil},
		{"one of the kernel's own, stripped", "6.1-enrolled", func(b bench) []byte {
			return moduleELF(b.t, elf.EM_X86_64, "name=driver", "intree=Y", "vermagic="+b.release()+" SMP ")
		}, "", unsignedNotice, rejected, "stripped", "likely", "sudo apt-get install --reinstall linux-image-6.1.0-56-cloud-amd64; sudo modprobe driver", nil},
		{"another key on this disk", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), foreign(b.t), "sha256") }, "", keyNotice, rejected, "unknown-key", "proven", "sudo kkeys enroll /var/lib/dkms/mok.pub; reboot; sudo insmod driver.ko", nil},
		{"a stranger's", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), stranger(b.t), "sha256") }, "", keyNotice, rejected, "unknown-key", "likely", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"declined", "6.1-declined", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", keyNotice, rejected, "request-declined", "proven", "sudo kkeys enroll /var/lib/shim-signed/mok/MOK.der; reboot; sudo insmod driver.ko", nil},
		{"declined, 6.12", "6.12-declined", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", keyNotice, rejected, "request-declined", "proven", "sudo kkeys enroll /var/lib/shim-signed/mok/MOK.der; reboot; sudo insmod driver.ko", nil},
		{"waiting for the boot", "6.1-pending", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", keyNotice, rejected, "request-waiting", "proven", "reboot; sudo insmod driver.ko", nil},
		{"sha512 is not loaded", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha512") }, "", cryptoNotice, rejected, "hash-missing", "likely", "sudo modprobe crypto-sha512; sudo insmod driver.ko", nil},
		{"sha512 is not loaded, no log", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha512") }, "", "", rejected, "hash-missing", "likely", "sudo modprobe crypto-sha512; sudo insmod driver.ko", nil},
		{"tampered", "6.1-enrolled", func(b bench) []byte {
			module := b.signed(b.plain(), mine(b.t), "sha256")
			module[70] ^= 1
			return module
		}, "", "", rejected, "wrong-signature", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"a twin of the enrolled key", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), twin(b.t), "sha256") }, "", "", rejected, "same-name", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"another kernel's", "6.1-enrolled", func(b bench) []byte {
			return b.signed(moduleELF(b.t, elf.EM_X86_64, "name=driver", "vermagic=6.1.0-17-amd64 SMP "), mine(b.t), "sha256")
		}, "", "driver: version magic '6.1.0-17-amd64 SMP ' should be '6.1.0-56-cloud-amd64 SMP '\n", "modprobe: ERROR: could not insert 'driver': Exec format error", "made-for-another-kernel", "proven", "make -C /lib/modules/6.1.0-56-cloud-amd64/build M=$PWD modules", nil},
		{"another processor's", "6.1-enrolled", func(b bench) []byte {
			return b.signed(moduleELF(b.t, elf.EM_AARCH64, "name=driver", "vermagic="+b.release()+" SMP "), mine(b.t), "sha256")
		}, "", "", "", "other-processor", "proven", "make -C /lib/modules/6.1.0-56-cloud-amd64/build M=$PWD modules", nil},
		{"signed after it was compressed", "6.12-enrolled", func(b bench) []byte { return b.signed(b.packed(b.plain(), modsig.XZ), mine(b.t), "sha256") }, "driver.ko.xz", "", "", "signed-outside", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko.xz; sudo insmod driver.ko.xz", nil},
		{"appended to", "6.1-enrolled", func(b bench) []byte { return append(b.signed(b.plain(), mine(b.t), "sha256"), "\n"...) }, "", unsignedNotice, rejected, "appended", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"a symbol", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", "driver: Unknown symbol other_call (err -2)\n", "", "symbols", "likely", "make -C /lib/modules/6.1.0-56-cloud-amd64/build M=$PWD modules", nil},
		{"the hash of another on the blacklist", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", "Module hash 00ff is blacklisted\n", rejected, "errno", "possible", "", nil},
		{"IMA", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", "ima: impossible to appraise a module without a file descriptor. sig_enforce kernel parameter might help\n", "", "ima", "likely", "", nil},
		{"no module at all", "6.1-enrolled", func(b bench) []byte { return []byte("\x7fELF, and no more than that") }, "", "", "modprobe: ERROR: could not insert 'driver': Exec format error", "no-module", "proven", "make -C /lib/modules/6.1.0-56-cloud-amd64/build M=$PWD modules", nil},
		{"Secure Boot is off and signatures are enforced", "6.1-sig-enforce", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", keyNotice, rejected, "unknown-key", "proven", "systemctl reboot --firmware-setup; sudo kkeys enroll /var/lib/shim-signed/mok/MOK.der; reboot; sudo insmod driver.ko", nil},
		{"an own vendor's machine", "6.1-own-keys", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha256") }, "", keyNotice, rejected, "unknown-key", "proven", "sudo kkeys enroll /var/lib/shim-signed/mok/MOK.der; reboot; sudo insmod driver.ko", nil},
		{"loading is switched off", "6.1-enrolled", signedByMine, "", "", "modprobe: ERROR: could not insert 'driver': Operation not permitted", "loading-disabled", "proven", "reboot; sudo insmod driver.ko",
			with(map[string]string{"proc/sys/kernel/modules_disabled": "1\n"})},
		{"the module's hash is on .blacklist", "6.1-enrolled", signedByMine, "", "", rejected, "blacklisted", "likely", "make -C /lib/modules/6.1.0-56-cloud-amd64/build M=$PWD modules", func(m *machine.Machine) {
			sum := sha256.Sum256(signedByMine(bench{t, "6.1-enrolled"}))
			blacklisted("bin:" + hex.EncodeToString(sum[:]))(m)
		}},
		{"a keyring was cut off", "6.12-enrolled", signedByMine, "", keyNotice, rejected, "keyring-cut", "likely", "reboot; sudo insmod driver.ko", cut},
		{"the list is not trusted", "6.1-enrolled", signedByMine, "", keyNotice, rejected, "list-not-trusted", "proven", "sudo kkeys mok trust on; reboot; sudo insmod driver.ko", func(m *machine.Machine) {
			with(map[string]string{"etc/os-release": "ID=arch\n"})(m)
			m.Files = hidden{m.Files, "MokListTrustedRT"}
			withoutIt(m, "6.1-declined")
		}},
		{"the list is not trusted, and .platform counts", "6.1-enrolled", signedByMine, "", keyNotice, rejected, "enrolled-not-loaded", "proven", "reboot; sudo insmod driver.ko", func(m *machine.Machine) {
			with(map[string]string{"etc/os-release": "ID=fedora\n"})(m)
			m.Files = hidden{m.Files, "MokListTrustedRT"}
			withoutIt(m, "6.1-declined")
		}},
		{"only authorities", "6.12-enrolled", signedByMine, "", keyNotice, rejected, "no-authority", "proven", "sudo kkeys generate --profile ca --key /root/MOK.priv --cert /root/MOK.der --root-key /root/MOK-root.priv --root-cert /root/MOK-root.x509; sudo kkeys enroll /root/MOK-root.x509; reboot; sudo sh -c \"keyctl padd asymmetric '' %:.secondary_trusted_keys < /root/MOK.der\"; sudo kkeys sign --key /root/MOK.priv --cert /root/MOK.der driver.ko; sudo insmod driver.ko", func(m *machine.Machine) {
			option(release612, "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y")(m)
			with(map[string]string{"etc/os-release": "ID=arch\n"})(m)
			withoutIt(m, "6.12-declined")
		}},
		{"CRC64 where the kernel unpacks", "6.12-enrolled", func(b bench) []byte { return xzCRC64(b.t, signedByMine(b)) }, "driver.ko.xz", "", "insmod: ERROR: could not insert module driver.ko.xz: Invalid argument", "xz-check", "likely", "sudo unxz driver.ko.xz; sudo insmod driver.ko",
			with(map[string]string{"sys/module/compression": "xz\n"})},
		{"damaged", "6.12-enrolled", func(b bench) []byte {
			packed := b.packed(signedByMine(b), modsig.XZ)
			packed[len(packed)/2] ^= 1
			return packed
		}, "driver.ko.xz", "", "", "damaged", "proven", "make -C /lib/modules/6.12.117+deb12-cloud-amd64/build M=$PWD modules", nil},
		{"cut short", "6.12-enrolled", func(b bench) []byte { packed := b.packed(signedByMine(b), modsig.Zstd); return packed[:len(packed)-9] }, "driver.ko.zst", "", "", "damaged", "proven",
			"make -C /lib/modules/6.12.117+deb12-cloud-amd64/build M=$PWD modules", nil},
		{"junk behind", "6.12-enrolled", func(b bench) []byte { return append(b.packed(signedByMine(b), modsig.XZ), "junk"...) }, "driver.ko.xz", "", "", "trailing", "likely",
			"make -C /lib/modules/6.12.117+deb12-cloud-amd64/build M=$PWD modules", nil},
		{"a file of another name", "6.1-enrolled", signedByMine, "renamed.ko", "", "insmod: ERROR: could not insert module ./renamed.ko: Key was rejected by service", "errno", "possible", "", nil},
		{"codeSigning of another", "6.12-enrolled", signedByMine, "", "PKCS7: sinfo 1: The signer 0011 key is not CodeSigning\n", "", "", "", "", nil},
		{"no EFI and enforced", "6.1-sig-enforce", bench.plain, "", unsignedNotice, rejected, "unsigned", "proven", "", func(m *machine.Machine) { m.Files, m.Variables = hidden{m.Files, "sys/firmware/efi"}, noVariables{} }},
		{"a kernel that cannot see Secure Boot", "6.12-enrolled", signedByMine, "", keyNotice, rejected, "secure-boot-off", "proven", "", func(m *machine.Machine) {
			option(release612, "CONFIG_IMA_SECURE_AND_OR_TRUSTED_BOOT=n\nCONFIG_HAVE_ARCH_GET_SECUREBOOT=n")(m)
			withoutIt(m, "6.12-declined")
		}},
		{"an authority is wanted, and only what is built in may vouch", "6.12-enrolled", signedByMine, "", keyNotice, rejected, "no-authority", "proven", "", func(m *machine.Machine) {
			option(release612, "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\nCONFIG_SECONDARY_TRUSTED_KEYRING_SIGNED_BY_BUILTIN=y")(m)
			with(map[string]string{"etc/os-release": "ID=arch\n"})(m)
			withoutIt(m, "6.12-declined")
		}},
		{"one of the kernel's own, tampered", "6.1-enrolled", func(b bench) []byte {
			module := b.signed(moduleELF(b.t, elf.EM_X86_64, "license=GPL", "name=driver", "intree=Y", "vermagic="+b.release()+" SMP "), mine(b.t), "sha256")
			module[70] ^= 1
			return module
		}, "", "", rejected, "wrong-signature", "proven", "sudo apt-get install --reinstall linux-image-6.1.0-56-cloud-amd64; sudo modprobe driver", nil},
		{"sha3 where no kernel of the release reads it", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), mine(b.t), "sha3-256") }, "", cryptoNotice, rejected, "hash-missing", "likely",
			"sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"another boot's", "6.1-enrolled", signedByMine, "", "driver: Unknown symbol other_call (err -2)\n-- Boot 0123456789abcdef0123456789abcdef --\nLinux version 6.1.0\n", "", "", "", "", nil},
		{"any program's words", "6.1-enrolled", signedByMine, "", "Permission denied\nNo such file or directory\n", "", "", "", "", nil},
		{"an earlier attempt's symbols", "6.1-enrolled", signedByMine, "", "driver: Unknown symbol other_call (err -2)\n", rejected, "errno", "possible", "", nil},
		{"notices about others", "6.1-enrolled", signedByMine, "", unsignedNotice, "", "others-refused", "possible", "", nil},
		{"a signature in no form", "6.1-enrolled", func(b bench) []byte {
			payload, message, err := modsig.Split(signedByMine(b))
			if err != nil {
				b.t.Fatal(err)
			}
			message[0] ^= 1
			module, err := modsig.Append(bytes.Clone(payload), message)
			if err != nil {
				b.t.Fatal(err)
			}
			return module
		}, "", "", "modprobe: ERROR: could not insert 'driver': Bad message", "malformed-signature", "proven", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"a signature of another kind", "6.1-enrolled", func(b bench) []byte {
			module := signedByMine(b)
			module[len(module)-len(modsig.Magic)-12+2] = 1 // PKEY_ID_X509 (include/linux/module_signature.h)
			return module
		}, "", "", "", "unsupported-signature", "likely", "sudo kkeys sign --key /var/lib/shim-signed/mok/MOK.priv --cert /var/lib/shim-signed/mok/MOK.der driver.ko; sudo insmod driver.ko", nil},
		{"no .machine", "6.12-enrolled", signedByMine, "", keyNotice, rejected, "no-machine-keyring", "proven", "", func(m *machine.Machine) {
			option(release612, "CONFIG_INTEGRITY_MACHINE_KEYRING=n")(m)
			with(map[string]string{"etc/os-release": "ID=arch\n"})(m)
			withoutIt(m, "6.12-declined")
			recorded := m.Keyrings.(keyring.Recorded)
			recorded.Found = slices.DeleteFunc(slices.Clone(recorded.Found), func(r keyring.Ring) bool { return r.Name() == keyring.Machine })
			m.Keyrings = recorded
		}},
		{"not packed for anybody here", "6.1-enrolled", func(b bench) []byte { return b.packed(signedByMine(b), modsig.Gzip) }, "driver.ko.gz", "", "", "not-unpacked", "likely", "sudo gunzip driver.ko.gz; sudo insmod driver.ko", nil},
		{"the keyrings were not seen", "6.1-enrolled", signedByMine, "", "", "", "", "", "", func(m *machine.Machine) { m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible} }},
		{"the keyrings were not seen, a stranger's", "6.1-enrolled", func(b bench) []byte { return b.signed(b.plain(), stranger(b.t), "sha256") }, "", "", "", "", "", "",
			func(m *machine.Machine) { m.Keyrings = keyring.Recorded{Err: keyring.ErrNotVisible} }},
		{"no memory", "6.1-enrolled", signedByMine, "", "", "modprobe: ERROR: could not insert 'driver': Cannot allocate memory", "errno", "possible", "", nil},
		{"words that nobody knows", "6.1-enrolled", signedByMine, "", "", "modprobe: ERROR: could not insert 'driver': Something new", "errno", "possible", "", nil},
		{"the error of another", "6.1-enrolled", signedByMine, "", "", "modprobe: ERROR: could not insert 'other': Key was rejected by service", "", "", "", nil},
		{"a kernel that looks at no signatures", "6.1-off", func(b bench) []byte {
			module := signedByMine(b)
			module[70] ^= 1
			return module
		}, "", "", "", "", "", "", unsign},
		{"SUSE wants codeSigning", "6.12-enrolled", signedByMine, "", "PKCS7: sinfo 1: The signer 24a6bf key is not CodeSigning\n", rejected, "not-code-signing", "likely", "sudo kkeys generate --key /root/MOK.priv --cert /root/MOK.der; sudo kkeys enroll /root/MOK.der; reboot; sudo kkeys sign --key /root/MOK.priv --cert /root/MOK.der driver.ko; sudo insmod driver.ko", option(release612, "CONFIG_CHECK_CODESIGN_EKU=y")},
	} {
		t.Run(c.why, func(t *testing.T) {
			m, err := machine.Snapshot(filepath.Join(machines, c.machine+".kks"))
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(m)
			}
			dir := t.TempDir()
			file := filepath.Join(dir, "driver.ko")
			if c.file != "" {
				file = filepath.Join(dir, c.file)
			}
			log := filepath.Join(dir, "log")
			for path, data := range map[string][]byte{file: c.module(bench{t, c.machine}), log: []byte(c.log)} {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"doctor", file, "--log", log, "--json"}
			if c.err != "" {
				args = append(args, "--error", c.err)
			}
			got := runOn(t, m, args...)
			if err := validate("doctor", []byte(got.out)); err != nil {
				t.Error(err)
			}
			var document doctorDocument
			if err := json.Unmarshal([]byte(got.out), &document); err != nil || len(document.Subjects) != 1 {
				t.Fatalf("%v\n%s%s", err, got.out, got.err)
			}
			findings := document.Subjects[0].Findings
			if c.id == "" {
				if len(findings) > 0 || got.code == exitNo || (got.code == exitUnsure) != (document.Subjects[0].Doubt != nil || len(document.NotSeen) > 0) {
					t.Errorf("exit code %d, %+v", got.code, findings)
				}
				return
			}
			if len(findings) == 0 || findings[0].ID != c.id || findings[0].Certainty != c.certainty || got.code != exitNo {
				t.Fatalf("want %s %s, exit code %d\n%s%s", c.certainty, c.id, got.code, got.out, got.err)
			}
			first := ""
			if fixes := findings[0].Fixes; len(fixes) > 0 {
				first = strings.ReplaceAll(strings.Join(fixes[0].Commands, "; "), dir+"/", "")
			}
			if first != c.fix {
				t.Errorf("the fix is %q, want %q", first, c.fix)
			}
		})
	}
}
