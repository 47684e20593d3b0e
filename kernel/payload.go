package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// Payload is a kernel module that no kernel can load: what a load probe hands to init_module, followed by a signature or by nothing.
// Only [NewPayload] makes one, so that a [Prober] can never be given a module that loads.
//
// It has the shape of a module (an ELF object of this architecture with the sections that a loader looks for), because Linux 4.19 to
// 5.11 reads the ELF header and the names of the sections before it looks at the signature (kernel/module.c, load_module). One section
// lies beyond the end of the file. Every version finds that after the signature check: elf_validity_check since 5.12,
// rewrite_section_headers before; both answer ENOEXEC, before anything of the module is kept.
type Payload struct {
	image []byte
	name  string
}

// Bytes is the image, without a signature. The caller must not change it.
func (p *Payload) Bytes() []byte { return p.image }

// Name is the module's name, "kkeys_probe_" and 32 random hex digits: no other module's, so that no blacklisted hash and no loaded
// module can answer for it.
func (p *Payload) Name() string { return p.name }

// ErrArchitecture: no payload can be made for the architecture that this program was built for.
var ErrArchitecture = errors.New("no load probe for this architecture")

// NewPayload makes a payload for the architecture of this program, with 16 bytes of random. A program of another architecture than the
// kernel's (386 on amd64) makes one that Linux 4.19 to 5.11 refuses before the signature, which the controls show. Errors are
// [ErrArchitecture] and those of random.
func NewPayload(random io.Reader) (*Payload, error) { return newPayload(runtime.GOARCH, random) }

// architecture is what differs between the ELF files of two architectures.
type architecture struct {
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder
}

var architectures = map[string]architecture{
	"386":      {elf.EM_386, elf.ELFCLASS32, binary.LittleEndian},
	"amd64":    {elf.EM_X86_64, elf.ELFCLASS64, binary.LittleEndian},
	"arm":      {elf.EM_ARM, elf.ELFCLASS32, binary.LittleEndian},
	"arm64":    {elf.EM_AARCH64, elf.ELFCLASS64, binary.LittleEndian},
	"loong64":  {elf.EM_LOONGARCH, elf.ELFCLASS64, binary.LittleEndian},
	"mips":     {elf.EM_MIPS, elf.ELFCLASS32, binary.BigEndian},
	"mipsle":   {elf.EM_MIPS, elf.ELFCLASS32, binary.LittleEndian},
	"mips64":   {elf.EM_MIPS, elf.ELFCLASS64, binary.BigEndian},
	"mips64le": {elf.EM_MIPS, elf.ELFCLASS64, binary.LittleEndian},
	"ppc64":    {elf.EM_PPC64, elf.ELFCLASS64, binary.BigEndian},
	"ppc64le":  {elf.EM_PPC64, elf.ELFCLASS64, binary.LittleEndian},
	"riscv64":  {elf.EM_RISCV, elf.ELFCLASS64, binary.LittleEndian},
	"s390x":    {elf.EM_S390, elf.ELFCLASS64, binary.BigEndian},
}

// beyond is the offset and the size of the section that no file of ours reaches; offset and size together fit 32 bits.
const (
	beyond     = 0x40000000
	beyondSize = 64
)

// thisModuleSize is the size of .gnu.linkonce.this_module, larger than struct module of any version, so that what looks into it
// before the signature stays inside the file.
const thisModuleSize = 4096

// section is one of the payload's sections; data nil is one that lies beyond the file.
type section struct {
	name  string
	kind  elf.SectionType
	flags elf.SectionFlag
	link  uint32
	data  []byte
}

func newPayload(arch string, random io.Reader) (*Payload, error) {
	a, ok := architectures[arch]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrArchitecture, arch)
	}
	var unique [16]byte
	if _, err := io.ReadFull(random, unique[:]); err != nil {
		return nil, fmt.Errorf("name of the load probe: %w", err)
	}
	name := "kkeys_probe_" + hex.EncodeToString(unique[:])
	// The version magic is no kernel's: one more reason not to load.
	information := "name=" + name + "\x00license=GPL\x00vermagic=kkeys load probe\x00"
	symbol := make([]byte, elf.Sym64Size)
	if a.class == elf.ELFCLASS32 {
		symbol = symbol[:elf.Sym32Size]
	}
	image, err := a.object([]section{
		{name: ".shstrtab", kind: elf.SHT_STRTAB}, // its text is made of the names
		{name: ".symtab", kind: elf.SHT_SYMTAB, link: 3, data: symbol},
		{name: ".strtab", kind: elf.SHT_STRTAB, data: []byte{0}},
		{name: ".gnu.linkonce.this_module", kind: elf.SHT_PROGBITS, flags: elf.SHF_WRITE | elf.SHF_ALLOC, data: make([]byte, thisModuleSize)},
		{name: ".modinfo", kind: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC, data: []byte(information)},
		{name: ".kkeys", kind: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC},
	})
	if err != nil {
		return nil, err
	}
	return &Payload{image, name}, nil
}

// object lays out header, contents and section headers. The first section must be that of the names.
func (a architecture) object(sections []section) ([]byte, error) {
	names := []byte{0}
	starts := make([]uint32, len(sections))
	for i, s := range sections {
		starts[i] = uint32(len(names))
		names = append(append(names, s.name...), 0)
	}
	sections[0].data = names

	headerSize := binary.Size(elf.Header64{})
	if a.class == elf.ELFCLASS32 {
		headerSize = binary.Size(elf.Header32{})
	}
	content := make([]byte, headerSize)
	headers := []elf.Section64{{}} // the null section
	for i, s := range sections {
		content = append(content, make([]byte, -len(content)&7)...)
		h := elf.Section64{Name: starts[i], Type: uint32(s.kind), Flags: uint64(s.flags), Off: uint64(len(content)), Size: uint64(len(s.data)), Link: s.link, Addralign: 8}
		if s.data == nil {
			h.Off, h.Size = beyond, beyondSize
		}
		if s.kind == elf.SHT_SYMTAB {
			h.Entsize, h.Info = uint64(len(s.data)), 1
		}
		headers, content = append(headers, h), append(content, s.data...)
	}
	content = append(content, make([]byte, -len(content)&7)...)

	var file bytes.Buffer
	write := func(part any) error { return binary.Write(&file, a.order, part) }
	if err := write(a.header(len(content), len(headers))); err != nil {
		return nil, err
	}
	file.Write(content[headerSize:])
	for _, h := range headers {
		if err := write(a.sectionHeader(h)); err != nil {
			return nil, err
		}
	}
	return file.Bytes(), nil
}

// header is the ELF header of a relocatable object with its section headers at an offset.
func (a architecture) header(offset, count int) any {
	data := elf.ELFDATA2LSB
	if a.order == binary.ByteOrder(binary.BigEndian) {
		data = elf.ELFDATA2MSB
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(a.class), byte(data), byte(elf.EV_CURRENT)}
	if a.class == elf.ELFCLASS32 {
		return elf.Header32{Ident: ident, Type: uint16(elf.ET_REL), Machine: uint16(a.machine), Version: uint32(elf.EV_CURRENT), Shoff: uint32(offset),
			Ehsize: uint16(binary.Size(elf.Header32{})), Shentsize: uint16(binary.Size(elf.Section32{})), Shnum: uint16(count), Shstrndx: 1}
	}
	return elf.Header64{Ident: ident, Type: uint16(elf.ET_REL), Machine: uint16(a.machine), Version: uint32(elf.EV_CURRENT), Shoff: uint64(offset),
		Ehsize: uint16(binary.Size(elf.Header64{})), Shentsize: uint16(binary.Size(elf.Section64{})), Shnum: uint16(count), Shstrndx: 1}
}

// sectionHeader narrows a header where the class wants it.
func (a architecture) sectionHeader(h elf.Section64) any {
	if a.class == elf.ELFCLASS64 {
		return h
	}
	return elf.Section32{Name: h.Name, Type: h.Type, Flags: uint32(h.Flags), Off: uint32(h.Off), Size: uint32(h.Size), Link: h.Link, Info: h.Info,
		Addralign: uint32(h.Addralign), Entsize: uint32(h.Entsize)}
}
