package certs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Outcomes of looking into a kernel image.
var (
	// ErrNotImage: the file is none of the kernel images that are known here.
	ErrNotImage = errors.New("not a known kind of kernel image")
	// ErrCompression: the image is packed in a way that cannot be unpacked here.
	ErrCompression = errors.New("unsupported compression")
	// ErrUnpack: the image is damaged or cut short, or could not be read to its end.
	ErrUnpack = errors.New("the kernel image cannot be unpacked")
	// ErrImageTooLarge: the image, or what is in it, goes beyond the bounds here.
	ErrImageTooLarge = errors.New("the kernel image is too large")
)

// bounds limit what an image may cost.
type bounds struct {
	unpacked int64                           // bytes searched
	window   uint64                          // bytes that a decompressor may look back, which it keeps in memory
	found    int                             // different certificates
	enough   func(found []*Certificate) bool // may end the search; nil: never
}

// imageBounds: a distribution's kernel unpacks to some 60 MiB and holds one to some ten certificates. The window of 128 MiB is that of
// the kernel's own `zstd --ultra -22` and `xz --lzma2=dict=128MiB` (scripts/Makefile.lib, scripts/xz_wrap.sh).
var imageBounds = bounds{unpacked: 256 << 20, window: 128 << 20, found: 1000}

// SearchImage gives the X.509 certificates in a kernel image, each once, in the order in which they stand there. It reads the image
// once, front to back, and keeps of what it unpacks no more than the decompressor's window.
//
// Known are x86's bzImage (Documentation/arch/x86/boot.rst, protocol 2.08 and later), the EFI zboot image of arm64, riscv and loongarch
// (drivers/firmware/efi/libstub/zboot-header.S), a plain ELF vmlinux, a plain arm64 or riscv Image, and the latter three packed whole.
// Payloads may be gzip, xz, zstd or lz4; ErrCompression names any other.
//
// The keys that the kernel trusts from its build lie in it one after the other (certs/system_certificates.S), but without its symbols
// their place is not known, so every byte is looked at. Hence a certificate found need not be a trusted one: the list of revoked ones
// (CONFIG_SYSTEM_REVOCATION_KEYS), those of the wireless regulatory database and those of self-tests lie in an image too. What it does
// tell is the certificate of a key that the kernel lists.
//
// Errors: ErrNotImage, ErrCompression, ErrUnpack, ErrImageTooLarge, and beside ErrUnpack that of the reader.
func SearchImage(image io.Reader) ([]*Certificate, error) { return searchImage(image, imageBounds) }

// SearchImageUntil is SearchImage for whoever may know before the end that the certificates found so far are enough: what comes after them is
// then neither unpacked nor checked. It asks at each certificate, and once more, with more false, where what comes after them cannot be read: an
// answer is worth waiting for only then.
func SearchImageUntil(image io.Reader, enough func(found []*Certificate, more bool) bool) ([]*Certificate, error) {
	limit := imageBounds
	var sofar []*Certificate
	limit.enough = func(found []*Certificate) bool {
		sofar = found
		return enough(found, true)
	}
	found, err := searchImage(image, limit)
	if errors.Is(err, errEnough) || err != nil && len(sofar) > 0 && enough(sofar, false) {
		return sofar, nil
	}
	return found, err
}

var errEnough = errors.New("enough was found")

// headSize is enough of an image to know it by, and for the program headers of a vmlinux.
const headSize = 4096

func searchImage(image io.Reader, limit bounds) ([]*Certificate, error) {
	r := bufio.NewReaderSize(image, headSize)
	head, err := r.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%w: %w", ErrUnpack, err)
	}
	switch {
	case isBzImage(head):
		return searchBzImage(r, head, limit)
	case isZboot(head):
		at, size := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
		if err := skip(r, int64(at)); err != nil {
			return nil, err
		}
		return searchPacked(&exactly{r, int64(size)}, unknownSize, limit)
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		end, err := loadedEnd(head)
		if err != nil {
			return nil, err
		}
		return searchPlain(&exactly{r, end}, limit)
	case isFlatImage(head):
		return searchPlain(r, limit)
	case packing(head) != nil:
		return searchPacked(r, unknownSize, limit)
	}
	return nil, ErrNotImage
}

// skip goes to where the payload begins, counted from the start of the image.
func skip(r *bufio.Reader, to int64) error {
	if _, err := io.CopyN(io.Discard, r, to); err != nil {
		return fmt.Errorf("%w: its payload is said to begin at byte %d: %w", ErrUnpack, to, noEOF(err))
	}
	return nil
}

// noEOF: an end of the input is never expected where this is used.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// exactly gives so many bytes; fewer are an error, also where a packed stream would not miss them.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	if e.left -= int64(n); e.left > 0 {
		err = noEOF(err)
	}
	return n, err
}

// Offsets in the real-mode header of a bzImage (Documentation/arch/x86/boot.rst).
const (
	x86SetupSects    = 0x1f1 // u8, sectors of 512 bytes; 0 means 4
	x86BootFlag      = 0x1fe // u16, 0xaa55
	x86Magic         = 0x202 // "HdrS"
	x86Version       = 0x206 // u16
	x86PayloadOffset = 0x248 // u32, from the start of the protected-mode code; since protocol 2.08, Linux 2.6.26
	x86PayloadLength = 0x24c // u32
	x86HeaderEnd     = 0x250
)

func isBzImage(head []byte) bool {
	return len(head) >= x86HeaderEnd && bytes.HasPrefix(head[x86Magic:], []byte("HdrS")) &&
		binary.LittleEndian.Uint16(head[x86BootFlag:]) == 0xaa55
}

// searchBzImage: the payload ends with the size of the unpacked kernel in four bytes, which gzip has in its own trailer and which the
// build appends to the others (scripts/Makefile.lib size_append). The unpacked size must be that one.
func searchBzImage(r *bufio.Reader, head []byte, limit bounds) ([]*Certificate, error) {
	if version := binary.LittleEndian.Uint16(head[x86Version:]); version < 0x208 {
		return nil, fmt.Errorf("%w: boot protocol %#x, older than 2.08, does not tell where its payload is", ErrNotImage, version)
	}
	sectors := int64(head[x86SetupSects])
	if sectors == 0 {
		sectors = 4
	}
	at := (sectors+1)*512 + int64(binary.LittleEndian.Uint32(head[x86PayloadOffset:]))
	length := int64(binary.LittleEndian.Uint32(head[x86PayloadLength:]))
	if err := skip(r, at); err != nil {
		return nil, err
	}
	return searchPacked(&exactly{r, length}, length, limit)
}

// isZboot: a DOS header with the image type "zimg" after it; then offset and length of the payload, without an appended size.
func isZboot(head []byte) bool {
	return len(head) >= 0x40 && bytes.HasPrefix(head, []byte("MZ\x00\x00zimg"))
}

// isFlatImage knows the Image of arm64 and riscv by the magic number at byte 56 (Documentation/arch/arm64/booting.rst,
// Documentation/arch/riscv/boot-image-header.rst).
func isFlatImage(head []byte) bool {
	return len(head) >= 64 && (string(head[56:60]) == "ARM\x64" || string(head[56:60]) == "RSC\x05")
}

// loadedEnd is where the last part of an ELF program ends that is loaded into memory: the certificates are in such a part, and debug
// information, which may be ten times as large, comes after them.
func loadedEnd(head []byte) (int64, error) {
	malformed := func(why string) (int64, error) {
		return 0, fmt.Errorf("%w: an ELF file %s", ErrNotImage, why)
	}
	if len(head) < 64 {
		return malformed("without a whole header")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] == 2 { // ELFDATA2MSB, as on s390x
		order = binary.BigEndian
	}
	wide := head[4] == 2 // ELFCLASS64
	word := func(b []byte) uint64 {
		if wide {
			return order.Uint64(b)
		}
		return uint64(order.Uint32(b))
	}
	table, sizes, entry, offset, length := 28, 42, 32, 4, 16 // e_phoff, e_phentsize, sizeof(Elf32_Phdr), p_offset, p_filesz
	if wide {
		table, sizes, entry, offset, length = 32, 54, 56, 8, 32
	}
	start, count := word(head[table:]), int(order.Uint16(head[sizes+2:]))
	if int(order.Uint16(head[sizes:])) != entry || start > headSize || int(start)+count*entry > len(head) {
		return malformed("with its program headers in an unusual place")
	}
	end := uint64(0)
	for i := range count {
		header := head[int(start)+i*entry:]
		if order.Uint32(header) != 1 { // PT_LOAD
			continue
		}
		from, size := word(header[offset:]), word(header[length:])
		if from+size < from || from+size > 1<<62 {
			return malformed("with a part beyond all bounds")
		}
		end = max(end, from+size)
	}
	if end == 0 {
		return malformed("that is no program, perhaps a module")
	}
	return int64(end), nil
}
