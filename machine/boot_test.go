package machine

import (
	"crypto"
	"os"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/machine/machinetest"
)

const (
	debianShim    = `\EFI\debian\shimx64.efi`
	debianManager = `\EFI\debian\mmx64.efi`
)

func TestNextBoot(t *testing.T) {
	const other = "00000000-1111-2222-3333-444444444444"
	network := machinetest.Node(3, 11, make([]byte, 33))
	for _, c := range []struct {
		name          string
		change        func(*machinetest.Machine)
		shim, manager evidence.Answer
		path          string // of the manager
		why           string // of the first that is not yes
		passed        string
	}{
		{name: "installed", change: func(*machinetest.Machine) {}, shim: evidence.Yes, manager: evidence.Yes, path: "/boot/efi/EFI/debian/mmx64.efi"},
		{name: "no MokManager", change: func(m *machinetest.Machine) { m.Remove("boot/efi/EFI/debian/mmx64.efi") }, shim: evidence.Yes, manager: evidence.No, why: "every boot"},
		{name: "MokManager in other letters", change: func(m *machinetest.Machine) {
			m.Remove("boot/efi/EFI/debian/mmx64.efi")
			m.ESP(`\EFI\debian\MMX64.EFI`, machinetest.Program(0x8664, ".text"))
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "MokManager only beside another shim", change: func(m *machinetest.Machine) {
			m.Remove("boot/efi/EFI/debian/mmx64.efi")
			m.ESP(`\EFI\BOOT\mmx64.efi`, machinetest.Program(0x8664, ".text"))
		}, shim: evidence.Yes, manager: evidence.No},
		{name: "MokManager for another machine", change: func(m *machinetest.Machine) { m.ESP(`\EFI\debian\mmx64.efi`, machinetest.Program(0x14c, ".text")) }, shim: evidence.Yes, manager: evidence.No, why: "no MokManager"},
		{name: "shim in place of MokManager", change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\debian\mmx64.efi`, machinetest.Program(0x8664, ".vendor_cert"))
		}, shim: evidence.Yes, manager: evidence.No, why: "no MokManager"},
		{name: "MokManager is no program", change: func(m *machinetest.Machine) { m.ESP(`\EFI\debian\mmx64.efi`, []byte("no")) }, shim: evidence.Yes, manager: evidence.No},
		{name: "MokManager is empty", change: func(m *machinetest.Machine) { m.ESP(`\EFI\debian\mmx64.efi`, nil) }, shim: evidence.Yes, manager: evidence.No},
		{name: "MokManager is damaged", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, flip(machinetest.Program(amd64, ".text"), machinetest.Headers))
		}, shim: evidence.Yes, manager: evidence.No, path: "/boot/efi/EFI/debian/mmx64.efi", why: "it is damaged: its SHA-256 digest is"},
		{name: "MokManager is damaged and Secure Boot off", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, flip(machinetest.Program(amd64, ".text"), machinetest.Headers))
			m.Set(efivars.SecureBoot, 6, []byte{0})
		}, shim: evidence.Yes, manager: evidence.No, why: "with Secure Boot on shim would refuse it"},
		{name: "MokManager is cut", change: func(m *machinetest.Machine) {
			program := machinetest.Program(amd64, ".text")
			m.ESP(debianManager, program[:len(program)-8])
		}, shim: evidence.Yes, manager: evidence.No, why: "it is damaged"},
		{name: "MokManager's checksum is another", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, flip(machinetest.Program(amd64, ".text"), machinetest.Checksum))
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "MokManager is not signed", change: func(m *machinetest.Machine) { m.ESP(debianManager, specimen(amd64)) },
			shim: evidence.Yes, manager: evidence.No, why: "it is not signed; with Secure Boot on shim would refuse it"},
		{name: "MokManager is not signed and Secure Boot off", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, specimen(amd64))
			m.Set(efivars.SecureBoot, 6, []byte{0})
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "MokManager is not signed and firmware knows no Secure Boot", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, specimen(amd64))
			m.Set(efivars.SecureBoot, 6, nil)
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "MokManager is not signed and SecureBoot unreadable", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, specimen(amd64))
			m.Set(efivars.SecureBoot, 6, []byte{1, 1})
		}, shim: evidence.Yes, why: "cannot be told: "},
		{name: "MokManager is signed with SHA-1", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, machinetest.Signed(specimen(amd64), crypto.SHA1))
		}, shim: evidence.Yes, manager: evidence.No, why: "SHA-256, the only digest that shim compares"},
		{name: "MokManager's signature is all zeros", change: func(m *machinetest.Machine) {
			m.ESP(debianManager, seals()["all signatures zero"].program)
		}, shim: evidence.Yes, why: "cannot be told: its signatures are all zeros"},
		{name: "shim is damaged", change: func(m *machinetest.Machine) {
			m.ESP(debianShim, flip(machinetest.Program(amd64, ".vendor_cert"), machinetest.Headers))
		}, why: "Boot0001 debian starts the shim /boot/efi/EFI/debian/shimx64.efi: it is damaged"},
		{name: "shim is not signed", change: func(m *machinetest.Machine) {
			m.ESP(debianShim, machinetest.Image(amd64, machinetest.Section{Name: ".vendor_cert"}))
		}, why: "it is not signed; with Secure Boot on the firmware would refuse it"},
		{name: "shim is not signed and Secure Boot off", change: func(m *machinetest.Machine) {
			m.ESP(debianShim, machinetest.Image(amd64, machinetest.Section{Name: ".vendor_cert"}))
			m.Set(efivars.SecureBoot, 6, []byte{0})
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "another loader first, damaged", change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\systemd\systemd-bootx64.efi`, flip(machinetest.Program(amd64, ".text"), machinetest.Headers))
			m.BootEntry(1, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\systemd\systemd-bootx64.efi`))
		}, shim: evidence.No, why: "another loader"},
		{name: "32-bit shim", change: func(m *machinetest.Machine) {
			m.ESP(debianShim, machinetest.Program(0x14c, ".vendor_cert"))
			m.ESP(`\EFI\debian\mmia32.efi`, machinetest.Program(0x14c, ".text"))
		}, shim: evidence.Yes, manager: evidence.Yes, path: "/boot/efi/EFI/debian/mmia32.efi"},
		{name: "section name cut to 8 bytes", change: func(m *machinetest.Machine) { m.ESP(debianShim, machinetest.Program(0x8664, ".vendor_")) }, shim: evidence.Yes, manager: evidence.Yes},
		{name: "another loader first", change: func(m *machinetest.Machine) {
			m.ESP(`\EFI\systemd\systemd-bootx64.efi`, machinetest.Program(0x8664, ".text"))
			m.BootEntry(2, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\systemd\systemd-bootx64.efi`))
			m.Set(efivars.BootOrder, 7, []byte{2, 0, 1, 0})
		}, shim: evidence.No, why: "another loader"},
		{name: "another loader next, once", change: func(m *machinetest.Machine) {
			m.BootEntry(3, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\debian\grubx64.efi`))
			m.Set(efivars.BootNext, 7, []byte{3, 0})
		}, shim: evidence.No, why: "another loader"},
		{name: "an inactive entry next, once", change: func(m *machinetest.Machine) {
			m.BootEntry(3, 0, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\debian\grubx64.efi`))
			m.Set(efivars.BootNext, 7, []byte{3, 0})
		}, shim: evidence.No, why: "another loader"},
		{name: "fallback path of a 32-bit firmware", change: func(m *machinetest.Machine) {
			m.Write("proc/sys/kernel/arch", "x86_64\n")
			m.Write("sys/firmware/efi/fw_platform_size", "32\n")
			m.BootEntry(1, 1, machinetest.Disk(machinetest.Partition))
			m.ESP(`\EFI\BOOT\BOOTX64.EFI`, machinetest.Program(0x8664, ".text"))
			m.ESP(`\EFI\BOOT\BOOTIA32.EFI`, machinetest.Program(0x14c, ".vendor_cert"))
			m.ESP(`\EFI\BOOT\mmia32.efi`, machinetest.Program(0x14c, ".text"))
		}, shim: evidence.Yes, manager: evidence.Yes, path: "/boot/efi/EFI/BOOT/mmia32.efi"},
		{name: "fallback path of another architecture", change: func(m *machinetest.Machine) {
			m.Write("proc/sys/kernel/arch", "aarch64\n")
			m.BootEntry(1, 1, machinetest.Disk(machinetest.Partition))
			m.ESP(`\EFI\BOOT\BOOTAA64.EFI`, machinetest.Program(0xaa64, ".vendor_cert"))
			m.ESP(`\EFI\BOOT\mmaa64.efi`, machinetest.Program(0xaa64, ".text"))
		}, shim: evidence.Yes, manager: evidence.Yes, path: "/boot/efi/EFI/BOOT/mmaa64.efi"},
		{name: "two file systems with the fallback path", change: func(m *machinetest.Machine) {
			m.BootEntry(1, 1, machinetest.Node(2, 1, make([]byte, 8)), machinetest.Node(1, 1, []byte{0, 3}))
			m.ESP(`\EFI\BOOT\BOOTX64.EFI`, machinetest.Program(0x8664, ".vendor_cert"))
			m.Write("mnt/EFI/BOOT/BOOTX64.EFI", string(machinetest.Program(0x8664, ".text")))
			m.Write("proc/self/mountinfo", "30 21 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n31 21 8:17 / /mnt rw - vfat /dev/sdb1 rw\n")
		}, why: "2 mounted FAT file systems"},
		{name: "the fallback path on another kind of file system", change: func(m *machinetest.Machine) {
			m.BootEntry(1, 1, machinetest.Node(2, 1, make([]byte, 8)), machinetest.Node(1, 1, []byte{0, 3}))
			m.ESP(`\EFI\BOOT\BOOTX64.EFI`, machinetest.Program(0x8664, ".vendor_cert"))
			m.Write("proc/self/mountinfo", "30 21 8:1 / /boot/efi rw - ext4 /dev/sda1 rw\n")
		}, why: "no mounted FAT file system"},
		{name: "boot next cannot be read", change: func(m *machinetest.Machine) { m.Set(efivars.BootNext, 7, make([]byte, 5<<20)) }, why: "BootNext"},
		{name: "an inactive entry first", change: func(m *machinetest.Machine) {
			m.BootEntry(2, 0, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\debian\grubx64.efi`))
			m.Set(efivars.BootOrder, 7, []byte{2, 0, 1, 0})
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "the firmware's menu first", change: func(m *machinetest.Machine) {
			m.BootEntry(2, 0x109, machinetest.Node(4, 7, make([]byte, 16)), machinetest.Node(4, 6, make([]byte, 16)))
			m.Set(efivars.BootOrder, 7, []byte{2, 0, 1, 0})
		}, shim: evidence.Yes, manager: evidence.Yes},
		{name: "network first", change: func(m *machinetest.Machine) {
			m.BootEntry(2, 1, network)
			m.Set(efivars.BootOrder, 7, []byte{2, 0, 1, 0})
		}, shim: evidence.Yes, manager: evidence.Yes, passed: "PXE"},
		{name: "a partition that is gone first", change: func(m *machinetest.Machine) {
			m.BootEntry(2, 1, machinetest.Disk(other), machinetest.File(`\EFI\x.efi`))
			m.Set(efivars.BootOrder, 7, []byte{2, 0, 1, 0})
		}, shim: evidence.Yes, manager: evidence.Yes, passed: "no such partition"},
		{name: "a file that is gone first", change: func(m *machinetest.Machine) {
			m.BootEntry(2, 1, machinetest.Disk(machinetest.Partition), machinetest.File(`\EFI\gone\x.efi`))
			m.Set(efivars.BootOrder, 7, []byte{2, 0, 1, 0})
		}, shim: evidence.Yes, manager: evidence.Yes, passed: "has no gone"},
		{name: "a number without an entry first", change: func(m *machinetest.Machine) { m.Set(efivars.BootOrder, 7, []byte{9, 0, 1, 0}) }, shim: evidence.Yes, manager: evidence.Yes},
		{name: "fallback path of the partition", change: func(m *machinetest.Machine) {
			m.BootEntry(1, 1, machinetest.Disk(machinetest.Partition))
			m.ESP(`\EFI\BOOT\BOOTX64.EFI`, machinetest.Program(0x8664, ".vendor_cert"))
		}, shim: evidence.Yes, manager: evidence.No},
		{name: "fallback path of a disc that this boot went through", change: func(m *machinetest.Machine) {
			m.BootEntry(1, 1, machinetest.Node(2, 1, make([]byte, 8)), machinetest.Node(1, 1, []byte{0, 3}))
			m.ESP(`\EFI\BOOT\BOOTX64.EFI`, machinetest.Program(0x8664, ".vendor_cert"))
			m.ESP(`\EFI\BOOT\mmx64.efi`, machinetest.Program(0x8664, ".text"))
		}, shim: evidence.Yes, manager: evidence.Yes, path: "/boot/efi/EFI/BOOT/mmx64.efi"},
		{name: "a disc that this boot did not go through", change: func(m *machinetest.Machine) {
			m.BootEntry(1, 1, machinetest.Node(2, 1, make([]byte, 8)), machinetest.Node(1, 1, []byte{0, 3}))
			m.Set(efivars.BootCurrent, 6, []byte{7, 0})
		}, why: "no boot entry"},
		{name: "not mounted", change: func(m *machinetest.Machine) { m.Write("proc/self/mountinfo", "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n") }, why: "not mounted"},
		{name: "partitions cannot be told apart", change: func(m *machinetest.Machine) {
			m.Remove("dev/disk/by-partuuid/" + machinetest.Partition)
			m.Remove("dev/disk/by-partuuid")
		}, why: "cannot be told apart"},
		{name: "shim is no program", change: func(m *machinetest.Machine) { m.ESP(debianShim, []byte("MZ")) }, why: "no EFI program"},
		{name: "shim is cut", change: func(m *machinetest.Machine) { m.ESP(debianShim, machinetest.Program(0x8664, ".vendor_cert")[:90]) }, why: "no EFI program"},
		{name: "shim for an unknown machine", change: func(m *machinetest.Machine) { m.ESP(debianShim, machinetest.Program(0x1234, ".vendor_cert")) }, why: "unrecognized"},
		{name: "no boot order", change: func(m *machinetest.Machine) { m.Set(efivars.BootOrder, 7, nil) }, why: "no boot entry"},
		{name: "boot order of half a number", change: func(m *machinetest.Machine) { m.Set(efivars.BootOrder, 7, []byte{1, 0, 2}) }, why: "half a number"},
		{name: "boot next of another size", change: func(m *machinetest.Machine) { m.Set(efivars.BootNext, 7, []byte{1}) }, why: "1 bytes instead of 2"},
		{name: "a boot entry that is cut", change: func(m *machinetest.Machine) { m.Set(efivars.BootEntry(1), 7, []byte{1, 0, 0, 0, 90, 0, 65, 0, 0, 0}) }, why: "corrupt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := machinetest.Installed(t)
			c.change(made)
			m, err := Directory(made.Dir)
			if err != nil {
				t.Fatal(err)
			}
			chain, passed := m.NextBoot()
			if chain.IsShim.Answer != c.shim || chain.HasManager.Answer != c.manager {
				t.Errorf("shim %v (%s), manager %v (%s)", chain.IsShim.Answer, chain.IsShim.Evidence, chain.HasManager.Answer, chain.HasManager.Evidence)
			}
			if c.path != "" && chain.Manager != c.path {
				t.Errorf("manager %s, want %s", chain.Manager, c.path)
			}
			if why := chain.IsShim.Evidence + chain.HasManager.Evidence; !strings.Contains(why, c.why) || (c.why == "" && c.manager == evidence.Yes && why != "") {
				t.Errorf("says %q, want %q", why, c.why)
			}
			if got := strings.Join(passed, "; "); !strings.Contains(got, c.passed) || (c.passed == "" && got != "" && c.shim == evidence.Yes) {
				t.Errorf("passed %q, want %q", got, c.passed)
			}
		})
	}
}

// A folder given by name must not lead to the running machine's files or firmware.
func TestDirectoryDoesNotEscape(t *testing.T) {
	made := machinetest.Empty(t)
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/secret", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(made.Dir + "/sys"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(outside+"/firmware/efi/efivars", 0o755); err != nil {
		t.Fatal(err)
	}
	made.Link("sys", outside)
	m, err := Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Files.Open("sys/secret"); err == nil {
		t.Error("a link led out of the folder")
	}
	if err := m.Variables.Set(efivars.BootNext, 7, []byte{1, 0}); err == nil {
		t.Error("a write was led out of the folder")
	}
	if entries, _ := os.ReadDir(outside + "/firmware/efi/efivars"); len(entries) != 0 {
		t.Errorf("written outside: %v", entries)
	}
	if _, err := Directory(made.Dir + "/none"); err == nil {
		t.Error("a folder that is not there was opened")
	}
}
