package initrd

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// frame passes one compressed stream on to a decoder and ends with it. The decoders of xz and zstd go on to the next stream
// and take what follows for a damaged one, and they take the memory that a header asks for; both stand in
// headers that can be read as they pass.
type frame struct {
	image  *input
	head   []byte // of what was read, to pass on
	pass   int64  // bytes to pass on after that
	passed int64  // bytes of the stream read so far, with pass
	next   func() error
	err    error
}

func (f *frame) Read(p []byte) (int, error) {
	for len(p) > 0 && f.err == nil && len(f.head) == 0 && f.pass == 0 {
		if f.next == nil {
			f.err = io.EOF
			break
		}
		f.err = f.next()
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case len(f.head) > 0:
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	case f.err != nil:
		return 0, f.err
	}
	n, err := f.image.Read(p[:min(int64(len(p)), f.pass)])
	f.pass -= int64(n)
	if err != nil {
		f.err = whole(err)
	}
	return n, f.err
}

// truth is what went wrong first.
func (f *frame) truth(err error) error {
	if f.err != nil && f.err != io.EOF {
		return f.err
	}
	return whole(err)
}

// take reads n bytes, looks at them and passes them on.
func (f *frame) take(n int) ([]byte, error) {
	data := make([]byte, n)
	if _, err := io.ReadFull(f.image, data); err != nil {
		return nil, whole(err)
	}
	f.head = append(f.head, data...)
	f.passed += int64(n)
	return data, nil
}

// over passes n bytes on.
func (f *frame) over(n int64) {
	f.pass = n
	f.passed += n
}

// xzFrame knows the container of xz (file format 1.2.1) and LZMA2's chunks (lib/xz/xz_dec_lzma2.c).
type xzFrame struct {
	*frame
	check   int
	left    int64 // that all dictionaries may be large: each block makes a new one
	records uint64
}

// start reads the stream header. The kernel refuses all checks but none and CRC32 (lib/xz/xz_dec_stream.c dec_stream_header).
func (x *xzFrame) start() error {
	header, err := x.take(12)
	if err != nil {
		return err
	}
	switch header[7] {
	case 0:
	case 1:
		x.check = 4
	default:
		return &refusal{ErrUnsupported, fmt.Sprintf("an xz stream with check %d: the kernel takes none (0) or CRC32 (1)", header[7])}
	}
	x.next = x.block
	return nil
}

func (x *xzFrame) block() error {
	size, err := x.take(1)
	if err != nil {
		return err
	}
	if size[0] == 0 {
		x.records, err = x.number()
		x.next = x.index
		return err
	}
	header, err := x.take(int(size[0])*4 + 3)
	if err != nil {
		return err
	}
	flags, rest := header[0], header[1:]
	for _, present := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&present != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return fmt.Errorf("no multibyte integer in an xz block header")
			}
			rest = rest[n:]
		}
	}
	if len(rest) < 3 {
		return fmt.Errorf("xz block header cut short")
	}
	if flags&3 != 0 || rest[0] != 0x21 {
		return &refusal{ErrUnsupported, fmt.Sprintf("%d xz filters, the first is %#x: only LZMA2 (0x21) alone is read here", flags&3+1, rest[0])}
	}
	if rest[1] != 1 || rest[2] > 40 {
		return fmt.Errorf("no LZMA2 properties: %#x", rest[1:3])
	}
	dictionary := (2 | int64(rest[2]&1)) << (rest[2]/2 + 11)
	if x.left -= dictionary; dictionary > maxWindow || x.left < 0 {
		return &refusal{ErrTooLarge, fmt.Sprintf("an xz dictionary of %d bytes", dictionary)}
	}
	x.next = x.chunk
	return nil
}

func (x *xzFrame) chunk() error {
	control, err := x.take(1)
	if err != nil {
		return err
	}
	size, more := 2, int64(1) // the sizes are written one too low
	switch c := control[0]; {
	case c == 0:
		x.over(-x.passed&3 + int64(x.check))
		x.next = x.block
		return nil
	case c >= 0x80: // compressed: low bits of the size unpacked, size packed, from 0xc0 on a byte of properties
		size = 4
		if c >= 0xc0 {
			more++
		}
	case c > 2:
		return fmt.Errorf("LZMA2 chunk of kind %#x", c)
	}
	sizes, err := x.take(size)
	if err != nil {
		return err
	}
	x.over(int64(binary.BigEndian.Uint16(sizes[size-2:])) + more)
	return nil
}

// number reads a multibyte integer.
func (x *xzFrame) number() (n uint64, err error) {
	for shift := 0; shift < 63; shift += 7 {
		b, err := x.take(1)
		if err != nil {
			return 0, err
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no multibyte integer in an xz index")
}

// index reads a record, or what follows the last: padding, checksum, footer.
func (x *xzFrame) index() error {
	if x.records > 0 {
		x.records--
		for range 2 {
			if _, err := x.number(); err != nil {
				return err
			}
		}
		return nil
	}
	x.over(-x.passed&3 + 4 + 12)
	x.next = nil
	return nil
}

// zstdFrame knows the frame of RFC 8878, 3.1.1.
type zstdFrame struct {
	*frame
	checksum bool
}

func (z *zstdFrame) start() error {
	var header zstd.Header
	if err := header.Decode(z.image.peek(zstd.HeaderMaxSize)); err != nil {
		return whole(err)
	}
	window := header.WindowSize
	if header.SingleSegment { // the whole content is the window
		window = header.FrameContentSize
	}
	if window > maxWindow {
		return &refusal{ErrTooLarge, fmt.Sprintf("a zstd window of %d bytes", window)}
	}
	if header.Skippable {
		return fmt.Errorf("a skippable zstd frame")
	}
	z.checksum = header.HasCheckSum
	z.next = z.block
	_, err := z.take(header.HeaderSize)
	return err
}

func (z *zstdFrame) block() error {
	b, err := z.take(3)
	if err != nil {
		return err
	}
	block := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	size := int64(block >> 3)
	switch block >> 1 & 3 {
	case 1: // one byte, repeated
		size = 1
	case 3:
		return fmt.Errorf("a zstd block of the reserved type")
	}
	if block&1 != 0 {
		z.next = nil
		if z.checksum {
			size += 4
		}
	}
	z.over(size)
	return nil
}
