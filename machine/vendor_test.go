package machine

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

func vendorFixture(t testing.TB) []byte {
	der, err := os.ReadFile("../testdata/certs/debian-ca.der")
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func vendorLists(t testing.TB, lists ...efivars.SignatureList) []byte {
	data, err := efivars.EncodeSignatureLists(lists)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseVendor(t *testing.T) {
	der := vendorFixture(t)
	hash := efivars.SignatureList{Type: efivars.SHA256, Signatures: []efivars.Signature{{Data: make([]byte, 32)}}}
	lists := vendorLists(t, efivars.X509List(efivars.Shim, der), hash, efivars.X509List(efivars.Shim, []byte("any")))
	section := machinetest.VendorSection
	patched := func(at int, value byte) []byte {
		b := section(der, []byte("x"))
		b[at] = value
		return b
	}
	for name, c := range map[string]struct {
		section []byte
		want    [][]byte
		err     error
	}{
		"certificate":         {section(der, nil), [][]byte{der}, nil},
		"and revocations":     {section(der, []byte("forbidden")), [][]byte{der}, nil},
		"padding after it":    {append(section(der, nil), make([]byte, 100)...), [][]byte{der}, nil},
		"lists":               {section(lists, nil), [][]byte{der, []byte("any")}, nil},
		"none":                {section(nil, nil), nil, nil},
		"damaged list":        {section(lists[:len(lists)-1], nil), nil, efivars.ErrCorrupt},
		"short":               {make([]byte, 15), nil, errVendor},
		"empty":               {nil, nil, errVendor},
		"too long":            {section(der, nil)[:16+len(der)-1], nil, errVendor},
		"inside the header":   {patched(8, 12), nil, errVendor},
		"far away":            {patched(11, 0xff), nil, errVendor},
		"revocations outside": {patched(7, 0xff), nil, errVendor},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := parseVendor(machinetest.Shim(c.section))
			if !errors.Is(err, c.err) || !slices.EqualFunc(got, c.want, bytes.Equal) {
				t.Errorf("%d parts, %v", len(got), err)
			}
			if err != nil && got != nil {
				t.Error("something beside an error")
			}
		})
	}
	for name, program := range map[string][]byte{"MokManager": machinetest.Program(0x8664, ".text"), "text": []byte("text"), "nothing": nil} {
		if got, _, err := parseVendor(program); got != nil || !errors.Is(err, errNoShim) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestVendorCertificates(t *testing.T) {
	shim := func(cn string) []byte { return machinetest.Shim(machinetest.VendorSection(named(t, cn), nil)) }
	for name, c := range map[string]struct {
		change func(*machinetest.Machine)
		found  []string
		unseen string // the source
		err    error
	}{
		"the one that booted": {change: func(m *machinetest.Machine) { m.ESP(`\EFI\other\shimx64.efi`, shim("other")) }, found: []string{"vendor debian"}},
		"another boots next": {change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\other\shimx64.efi`, shim("other"))
			m.BootEntry(2, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\other\shimx64.efi`))
			m.Set(efivars.BootOrder, 7, []byte{2, 0})
		}, found: []string{"vendor debian"}},
		"booted through another loader": {change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\BOOT\BOOTX64.EFI`, machinetest.Program(0x8664, ".text"))
			m.ESP(`\EFI\other\ShimX64.EFI`, shim("other"))
			m.BootEntry(1, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\BOOT\BOOTX64.EFI`))
		}, found: []string{"vendor debian", "vendor other"}},
		"no entry any more":   {change: func(m *machinetest.Machine) { m.Set(efivars.BootEntry(1), 7, nil) }, found: []string{"vendor debian"}},
		"what booted is gone": {change: func(m *machinetest.Machine) { m.Remove("boot/efi/EFI/debian/shimx64.efi") }, unseen: "shim's own certificates", err: fs.ErrNotExist},
		"ESP not mounted":     {change: func(m *machinetest.Machine) { m.Write("proc/self/mountinfo", "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n") }, unseen: "shim's own certificates", err: errNotMounted},
		"damaged":             {change: func(m *machinetest.Machine) { m.ESP(`\EFI\debian\shimx64.efi`, machinetest.Shim(nil)) }, unseen: "/boot/efi/EFI/debian/shimx64.efi", err: errVendor},
		"damaged, and another lies beside it": {change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\debian\shimx64.efi`, machinetest.Shim(nil))
			m.ESP(`\EFI\other\shimx64.efi`, shim("other"))
		}, unseen: "/boot/efi/EFI/debian/shimx64.efi", err: errVendor},
		"no certificate": {change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\other\shimx64.efi`, shim("other"))
			m.ESP(`\EFI\debian\shimx64.efi`, machinetest.Shim(machinetest.VendorSection(append([]byte{0x30, 0x82}, "x"...), nil)))
		}, unseen: "/boot/efi/EFI/debian/shimx64.efi", err: certs.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			made := machinetest.Installed(t)
			made.ESP(`\EFI\debian\shimx64.efi`, shim("debian"))
			c.change(made)
			found, unseen := in(t, made).VendorCertificates()
			if !slices.Equal(wheres(found), c.found) {
				t.Errorf("found %q", wheres(found))
			}
			if c.unseen == "" && len(unseen) > 0 || c.unseen != "" && (len(unseen) != 1 || unseen[0].Source != c.unseen || !errors.Is(unseen[0].Err, c.err)) {
				t.Errorf("not seen: %v", unseen)
			}
		})
	}
}

// The vendor's key and the owner's stand in one list; shim tells them apart.
func TestVendorAndUser(t *testing.T) {
	vendor, user := named(t, "vendor"), named(t, "user")
	made := machinetest.Installed(t)
	made.ESP(`\EFI\debian\shimx64.efi`, machinetest.Shim(machinetest.VendorSection(vendor, nil)))
	made.Enrolled(vendor, user)
	made.Set(efivars.KEK, 7, vendorLists(t, efivars.X509List(efivars.Shim, named(t, "exchange"))))
	found, unseen := in(t, made).Certificates()
	if got := wheres(found); !slices.Equal(got, []string{"mok vendor", "mok user", "vendor vendor", "kek exchange"}) || len(unseen) > 0 {
		t.Errorf("found %q, not seen %v", got, unseen)
	}
	// Without shim's variables shim was not there, whatever lies on the disk.
	made.Set(mok.Variable("MokListRT"), 0, nil)
	made.Set(mok.Variable("MokListXRT"), 0, nil)
	if got, unseen := in(t, made).VendorCertificates(); len(got)+len(unseen) > 0 {
		t.Errorf("found %q, not seen %v", wheres(got), unseen)
	}
}

// What is built into shim, both ways; what of it cannot be decoded is said beside the rest.
func TestVendor(t *testing.T) {
	vendor, hash := named(t, "vendor"), efivars.SignatureList{Type: efivars.SHA256, Signatures: []efivars.Signature{{Data: bytes.Repeat([]byte{1}, 32)}}}
	made := machinetest.Installed(t)
	made.ESP(`\EFI\debian\shimx64.efi`, machinetest.Shim(machinetest.VendorSection(vendor, vendorLists(t, hash))))
	got := in(t, made).Vendor()
	if got.Err != nil || len(got.Allowed) != 1 || !bytes.Equal(got.Allowed[0], vendor) || len(got.Forbidden) != 1 || !bytes.Equal(got.Forbidden[0].Signatures[0].Data, hash.Signatures[0].Data) {
		t.Errorf("%+v", got)
	}
	made.ESP(`\EFI\debian\shimx64.efi`, machinetest.Shim(machinetest.VendorSection(vendor, []byte("no lists"))))
	if got := in(t, made).Vendor(); !errors.Is(got.Err, efivars.ErrCorrupt) || len(got.Allowed) != 1 {
		t.Errorf("%+v", got)
	}
	made.Remove("boot/efi/EFI/debian/shimx64.efi")
	if got := in(t, made).Vendor(); !errors.Is(got.Err, fs.ErrNotExist) {
		t.Errorf("%+v", got)
	}
}

// FuzzVendor: nothing beside an error, and what is given lies in the program.
func FuzzVendor(f *testing.F) {
	der := vendorFixture(f)
	seeds := [][]byte{
		machinetest.Shim(machinetest.VendorSection(der, []byte("forbidden"))),
		machinetest.Shim(machinetest.VendorSection(vendorLists(f, efivars.X509List(efivars.Shim, der)), nil)),
		machinetest.Shim(nil),
		machinetest.Program(0x8664, ".text"),
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ders, forbidden, err := parseVendor(data)
		if err != nil && (ders != nil || forbidden != nil) {
			t.Fatal("something beside an error")
		}
		for _, der := range ders {
			if !bytes.Contains(data, der) {
				t.Fatalf("%x is not in the program", der)
			}
		}
	})
}
