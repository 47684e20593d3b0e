package machine

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/pem"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

// Nothing secret gets into a snapshot, wherever it stands: a password, its hash, a private key.
func TestSnapshotHoldsNoSecret(t *testing.T) {
	const password = "lab-Pass.1"
	wide := utf16.Encode([]rune(password))
	clearText := make([]byte, 40)
	clearText[4] = byte(len(wide))
	for i, unit := range wide {
		binary.LittleEndian.PutUint16(clearText[8+2*i:], unit)
	}
	auth, err := mok.NewAuth(password)
	if err != nil {
		t.Fatal(err)
	}
	record, err := auth.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("mine")}})
	key := c.KeyPEM(t)
	block, _ := pem.Decode(key)
	legacy := bytes.Repeat([]byte("legacyhash123456"), 2)
	secrets := map[string][]byte{
		"password": []byte(password), "password in UTF-16": clearText[8 : 8+2*len(wide)], "its hash": auth.Hash, "its salt": auth.Salt,
		"legacy hash": legacy, "private key": block.Bytes[len(block.Bytes)-300:], "private key in PEM": key[len(key)-300 : len(key)-100], "BEGIN": []byte("PRIVATE KEY-----"),
		"machine-id": []byte("0123456789abcdef0123456789abcdef"), "host name": []byte("secrethost"), "PIN": []byte("4711"),
	}

	made, _ := laden(t)
	for name, data := range map[string][]byte{
		"MokAuth": record, "MokDelAuth": record, "MokXAuth": legacy, "MokXDelAuth": record, "MokPW": record,
		"MokSB": clearText, "MokDB": clearText, "MokListTrustedNew": clearText, "MokPWStore": record,
	} {
		made.Set(mok.Variable(name), 7, data)
	}
	entry := append([]byte{1, 0, 0, 0, 8 + 4, 0, 'x', 0, 0, 0, 3, 24, 8, 0, '4', '7', '1', '1', 0x7f, 0xff, 4, 0}, password...)
	made.Set(efivars.BootEntry(7), 7, entry)
	for name, text := range map[string]string{
		"etc/hostname": "secrethost\n", "etc/machine-id": "0123456789abcdef0123456789abcdef\n", "proc/sys/kernel/hostname": "secrethost\n",
		"proc/cmdline":           "root=/dev/x rd.luks.key=" + password + " module.sig_enforce=1 lockdown=integrity ima_policy=\"tcb x\" -- efi=" + password + "\n",
		"boot/config-" + release: "CONFIG_MODULE_SIG=y\nCONFIG_CMDLINE=\"key=" + password + " efi=debug\"\nCONFIG_DEFAULT_HOSTNAME=\"secrethost\"\nCONFIG_MODULE_SIG_KEY=\"pkcs11:token=x?pin-value=4711\"\n",
		"proc/self/mountinfo": "30 21 8:1 / /boot/efi rw shared:1 - vfat /dev/sda1 rw\n" +
			"31 21 0:9 / /mnt rw - cifs //secrethost/share rw\n32 21 8:9 / / rw - ext4 /dev/mapper/secrethost-root rw\n",
		"etc/dkms/framework.conf": "# " + password + "\nmok_signing_key=\"pkcs11:x?pin-value=4711\"\nmok_certificate=/srv/keys/told.der\nsign=" + password + "\n",
		"etc/os-release":          "ID=debian\n",
	} {
		made.Write(name, text)
	}
	both := string(c.PEM()) + string(key)
	for _, name := range []string{
		"var/lib/shim-signed/mok/MOK.priv", "var/lib/dkms/mok.key", "etc/pki/akmods/private/x.priv", "root/MOK.priv", "root/MOK.key", "root/module-signing/x.key",
		"var/lib/sbctl/keys/db/db.key", "usr/src/linux/certs/signing_key.pem", "lib/modules/" + release + "/build/certs/signing_key.pem",
		// Where a certificate should be:
		"var/lib/sbctl/keys/db/db.pem", "etc/pki/akmods/certs/x.der", "etc/uefi/certs/x.crt", "root/MOK.der", "root/module-signing/x.der", "var/lib/dkms/mok.pub",
		"lib/modules/keys/x.x509", "proc/crypto", "sys/firmware/efi/mok-variables/MokSBStateRT", "boot/efi/EFI/debian/mmx64.efi",
	} {
		made.Write(name, both)
	}
	made.Write("root/MOK.crt", password+"\n"+string(c.PEM())+password)
	made.Set(mok.Variable("SbatLevelRT"), 6, []byte(both))

	noted := &opens{}
	m := opened(t, made)
	noted.FS, m.Files = m.Files, noted
	copied, r, plain := recordedAs(t, m)
	for what, secret := range secrets {
		if len(secret) == 0 || bytes.Contains(plain, secret) {
			t.Errorf("the snapshot holds the %s", what)
		}
	}
	for _, e := range r.sorted() {
		if unpacked, err := gzip.NewReader(bytes.NewReader(e.data)); err == nil {
			text, err := io.ReadAll(unpacked)
			if err != nil || bytes.Contains(text, []byte(password)) {
				t.Errorf("%s, unpacked: %v", e.path, err)
			}
		}
	}
	for _, name := range noted.names {
		if base := filepath.Base(name); strings.HasSuffix(base, ".priv") || strings.HasSuffix(base, ".key") || base == "signing_key.pem" {
			t.Errorf("%s was opened", name)
		}
	}
	// The requests are told as they are all the same.
	want, got := mok.ReadPending(opened(t, made).Variables), mok.ReadPending(copied.Variables)
	if len(got.Requests) != len(want.Requests) || len(want.Requests) < 6 || !reflect.DeepEqual(got.Orphans, want.Orphans) {
		t.Fatalf("pending %+v\nwant %+v", got, want)
	}
	for i, w := range want.Requests {
		g := got.Requests[i]
		if g.Kind != w.Kind || g.Wish != w.Wish || g.Auth != w.Auth || (g.Err == nil) != (w.Err == nil) {
			t.Errorf("request %+v, want %+v", g, w)
		}
	}
	line, err := fs.ReadFile(copied.Files, "proc/cmdline")
	if err != nil || string(line) != "module.sig_enforce=1 lockdown=integrity ima_policy=\"tcb x\"\n" {
		t.Errorf("command line %q, %v", line, err)
	}
	config, err := fs.ReadFile(copied.Files, "boot/config-"+release)
	if want := "CONFIG_MODULE_SIG=y\nCONFIG_CMDLINE=\"efi=debug\"\nCONFIG_DEFAULT_HOSTNAME=\"\"\nCONFIG_MODULE_SIG_KEY=\"pkcs11:\"\n"; err != nil || string(config) != want {
		t.Errorf("configuration %q, %v, want %q", config, err, want)
	}
}

// opens is a root folder that notes what was opened.
type opens struct {
	through
	names []string
}

func (o *opens) Open(name string) (fs.File, error) {
	o.names = append(o.names, name)
	return o.FS.Open(name)
}

// through is a root folder with all that one can do.
type through struct{ fs.FS }

func (f through) ReadLink(name string) (string, error)   { return fs.ReadLink(f.FS, name) }
func (f through) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(f.FS, name) }
func (f through) Stat(name string) (fs.FileInfo, error)  { return fs.Stat(f.FS, name) }

// What is blanked keeps what decides: its size, and whether it asks for something or for nothing.
func TestBlank(t *testing.T) {
	for _, c := range []struct {
		size  int
		first byte
	}{{172, 0}, {172, 7}, {32, 0}, {32, 1}, {1, 9}, {0, 0}, {500, 3}} {
		data := make([]byte, c.size)
		if c.size > 0 {
			data[c.size-1] = c.first
		}
		got := blankAuth(data)
		if len(got) != c.size || (len(bytes.Trim(got, "\x00")) == 0) != (c.first == 0) || c.first != 0 && bytes.Contains(got, []byte{c.first}) {
			t.Errorf("%d bytes with a %d: %x", c.size, c.first, got)
		}
	}
	auth, err := mok.NewAuth("password")
	if err != nil {
		t.Fatal(err)
	}
	record, err := auth.Encode()
	if err != nil {
		t.Fatal(err)
	}
	blank, err := mok.ParseAuth(blankAuth(record))
	if err != nil || blank.Method != auth.Method || blank.Rounds != auth.Rounds || len(bytes.Trim(append(blank.Hash, blank.Salt...), "\x00")) > 0 {
		t.Errorf("%+v, %v", blank, err)
	}
	if got := blankSwitch([]byte{1, 2, 3}); !bytes.Equal(got, make([]byte, 3)) {
		t.Errorf("a switch of 3 bytes: %x", got)
	}
}

// A reduced EFI program says the same of itself, as far as that is asked; shim and MokManager are whole.
func TestReduceProgram(t *testing.T) {
	code := bytes.Repeat([]byte("code"), 1000)
	for _, c := range []struct {
		name    string
		content []byte
		whole   bool
	}{
		{"shimx64.efi", append(machinetest.Program(0x8664, ".text", ".vendor_cert"), code...), true},
		{"BOOTX64.EFI", append(machinetest.Program(0xaa64, ".vendor_"), code...), true},
		{"MMx64.efi", append(machinetest.Program(0x8664, ".text"), code...), true},
		{"grubx64.efi", append(machinetest.Program(0x8664, ".text", ".a_long_name"), code...), false},
		{"grubia32.efi", append(machinetest.Program(0x14c, ".text"), code...), false},
		{"mm", []byte("MZ"), true},
		{"grub", []byte("no"), true},
		{"empty", nil, true},
		{"mm", bytes.Repeat(code, 100), false},
	} {
		reduced, err := bootProgram(c.name).reduce(bytes.NewReader(c.content))
		if err != nil || bytes.Equal(reduced, c.content) != c.whole {
			t.Errorf("%s: %d bytes became %d, %v", c.name, len(c.content), len(reduced), err)
		}
		a, aerr := parseLoader(c.content)
		b, berr := parseLoader(reduced)
		if a.arch != b.arch || a.shim != b.shim || (aerr == nil) != (berr == nil) {
			t.Errorf("%s: %+v, %v became %+v, %v", c.name, a, aerr, b, berr)
		}
		if aerr == nil && !c.whole && (len(reduced) != len(c.content) || bytes.Contains(reduced, code[:8])) {
			t.Errorf("%s: its code was kept", c.name)
		}
	}
}

func TestReduceBootEntry(t *testing.T) {
	made := machinetest.Empty(t)
	made.BootEntry(1, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\x.efi`))
	plain, _ := made.Get(efivars.BootEntry(1))
	if got := reduceBootEntry(plain); !bytes.Equal(got, plain) {
		t.Errorf("%x became %x", plain, got)
	}
	if got := reduceBootEntry(append(bytes.Clone(plain), "cryptkey=secret"...)); !bytes.Equal(got, plain) {
		t.Errorf("with data: %x", got)
	}
	made.BootEntry(1, 1, machinetest.Node(3, 11, make([]byte, 33)), machinetest.Node(3, 24, []byte("https://me:secret@host/")))
	network, _ := made.Get(efivars.BootEntry(1))
	got := reduceBootEntry(network)
	o, err := efivars.ParseLoadOption(got)
	if err != nil || o.Kind() != efivars.KindHTTP || bytes.Contains(got, []byte("secret")) {
		t.Errorf("%s: %x, %v", o.Kind(), got, err)
	}
	for n := range plain {
		if _, err := efivars.ParseLoadOption(reduceBootEntry(plain[:n])); err == nil {
			if _, err := efivars.ParseLoadOption(plain[:n]); err != nil {
				t.Errorf("cut at %d: what could not be read can be", n)
			}
		}
	}
}

// Of the loaded modules names and taints are kept, no sizes, users and addresses.
func TestReduceModules(t *testing.T) {
	got, err := reduceModules(strings.NewReader("nvidia 56823808 1 nvidia_modeset, Live 0xffffffffc1200000 (POE)\next4 12345 1 - Live 0xffffffffc0000000\n"))
	if want := "nvidia 0 0 - Live 0x0 (POE)\next4 0 0 - Live 0x0\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if got, err := reduceModules(strings.NewReader("no modules\n")); err == nil || got != nil {
		t.Errorf("%q", got)
	}
}
