// Package machinetest makes root folders of machines for tests: the files that kkeys reads on an installed system which was booted
// through shim, in a directory of plain files.
package machinetest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"kkeys/efivars"
	"kkeys/mok"
)

// Partition is the GUID of the EFI system partition of every machine made here.
const Partition = "7c3b5a1e-0d2f-4c6b-9a8e-112233445566"

// Machine is a root folder under construction.
type Machine struct {
	T   testing.TB
	Dir string
}

// Installed makes a machine with shim and MokManager on its EFI system partition, one boot entry "debian" for it, Secure Boot on, and an
// empty MokListRT.
func Installed(t testing.TB) *Machine {
	m := Empty(t)
	m.ESP(`\EFI\debian\shimx64.efi`, Shim(VendorSection(nil, nil)))
	m.ESP(`\EFI\debian\mmx64.efi`, Program(0x8664, ".text"))
	m.ESP(`\EFI\debian\grubx64.efi`, Program(0x8664, ".text"))
	m.Write("proc/self/mountinfo", "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n30 21 8:1 / /boot/efi rw,relatime shared:1 - vfat /dev/sda1 rw\n")
	m.Link("dev/disk/by-partuuid/"+Partition, "../../sda1")
	m.Set(efivars.SecureBoot, 6, []byte{1})
	m.Set(efivars.SetupMode, 6, []byte{0})
	m.BootEntry(1, 1, Disk(Partition), File(`\EFI\debian\shimx64.efi`))
	m.Set(efivars.BootOrder, 7, []byte{1, 0})
	m.Set(efivars.BootCurrent, 6, []byte{1, 0})
	m.Set(mok.Variable("MokListRT"), 6, placeholder(t))
	m.Set(mok.Variable("MokListXRT"), 6, placeholder(t))
	return m
}

// Empty makes a machine with a place for EFI variables and nothing else.
func Empty(t testing.TB) *Machine {
	m := &Machine{T: t, Dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(m.Dir, efivars.DefaultDir), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// placeholder is what shim writes for an empty list: one SHA-256 of zeros.
func placeholder(t testing.TB) []byte {
	data, err := efivars.EncodeSignatureLists([]efivars.SignatureList{{Type: efivars.SHA256, Signatures: []efivars.Signature{{Owner: efivars.Shim, Data: make([]byte, 32)}}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Write makes a file below the root.
func (m *Machine) Write(path, content string) {
	m.T.Helper()
	full := filepath.Join(m.Dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.T.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		m.T.Fatal(err)
	}
}

// Link makes a symbolic link below the root.
func (m *Machine) Link(path, target string) {
	m.T.Helper()
	full := filepath.Join(m.Dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.T.Fatal(err)
	}
	if err := os.Symlink(target, full); err != nil {
		m.T.Fatal(err)
	}
}

// Remove takes a file away.
func (m *Machine) Remove(path string) {
	m.T.Helper()
	if err := os.Remove(filepath.Join(m.Dir, filepath.FromSlash(path))); err != nil {
		m.T.Fatal(err)
	}
}

// ESP puts a file on the EFI system partition, its path with backslashes.
func (m *Machine) ESP(path string, content []byte) {
	m.T.Helper()
	m.Write("boot/efi"+strings.ReplaceAll(path, `\`, "/"), string(content))
}

// Set writes an EFI variable as a file; nil data removes it.
func (m *Machine) Set(name efivars.Name, attributes uint32, data []byte) {
	m.T.Helper()
	path := efivars.DefaultDir + "/" + name.String()
	if data == nil {
		m.Remove(path)
		return
	}
	m.Write(path, string(binary.LittleEndian.AppendUint32(nil, attributes))+string(data))
}

// Get reads an EFI variable's data; ok is false when there is none.
func (m *Machine) Get(name efivars.Name) (data []byte, ok bool) {
	m.T.Helper()
	content, err := os.ReadFile(filepath.Join(m.Dir, efivars.DefaultDir, name.String()))
	if os.IsNotExist(err) {
		return nil, false
	} else if err != nil {
		m.T.Fatal(err)
	}
	return content[4:], true
}

// Enrolled makes MokListRT hold these certificates.
func (m *Machine) Enrolled(ders ...[]byte) {
	m.T.Helper()
	var lists []efivars.SignatureList
	for _, der := range ders {
		lists = append(lists, efivars.X509List(efivars.Shim, der))
	}
	data, err := efivars.EncodeSignatureLists(lists)
	if err != nil {
		m.T.Fatal(err)
	}
	m.Set(mok.Variable("MokListRT"), 6, data)
}

// BootEntry writes Boot#### with the nodes given; attributes 1 is active.
func (m *Machine) BootEntry(number uint16, attributes uint32, nodes ...[]byte) {
	m.T.Helper()
	var path []byte
	for _, node := range nodes {
		path = append(path, node...)
	}
	path = append(path, 0x7f, 0xff, 4, 0)
	entry := binary.LittleEndian.AppendUint32(nil, attributes)
	entry = binary.LittleEndian.AppendUint16(entry, uint16(len(path)))
	entry = append(entry, utf16Text("debian")...)
	m.Set(efivars.BootEntry(number), 7, append(entry, path...))
}

// Disk is the device path node of a GPT partition (UEFI 2.10 section 10.3.5.1).
func Disk(partition string) []byte {
	guid, _ := efivars.ParseGUID(partition) // a wrong one in a test gives the zero GUID, which no machine here has
	data := make([]byte, 38)
	binary.LittleEndian.PutUint32(data[0:], 1)
	binary.LittleEndian.PutUint64(data[4:], 2048)
	binary.LittleEndian.PutUint64(data[12:], 204800)
	binary.LittleEndian.PutUint32(data[20:], guid.Data1)
	binary.LittleEndian.PutUint16(data[24:], guid.Data2)
	binary.LittleEndian.PutUint16(data[26:], guid.Data3)
	copy(data[28:], guid.Data4[:])
	data[36], data[37] = 2, 2
	return Node(4, 1, data)
}

// File is the device path node of a program's path.
func File(path string) []byte { return Node(4, 4, utf16Text(path)) }

// Node is any device path node.
func Node(kind, sub byte, data []byte) []byte {
	size := binary.LittleEndian.AppendUint16(nil, uint16(4+len(data)))
	return append(append([]byte{kind, sub}, size...), data...)
}

func utf16Text(s string) []byte {
	var b []byte
	for _, unit := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}
