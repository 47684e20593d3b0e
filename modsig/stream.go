package modsig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
)

// The decoders tell neither where a stream ends nor how much memory it asks for before they take it. Both stand in
// headers that can be walked over without decoding anything.

var errCut = errors.New("cut short")

// xzStream is what is known of an xz stream before it is decoded.
type xzStream struct {
	size    int    // of the stream in bytes, without what follows it
	content int64  // size of what it decodes to
	check   string // as in Unpacked
}

// xzChecks are the checks that are in use, by their number in the stream header (xz file format 1.2.1, 2.1.1.2).
var xzChecks = map[byte]struct {
	name string
	size int
}{0: {"none", 0}, 1: {"crc32", 4}, 4: {"crc64", 8}, 10: {"sha256", 32}}

// walker stands in a compressed file.
type walker struct {
	packing Packing
	data    []byte
	at      int
}

func (w *walker) bad(format string, args ...any) error {
	return damaged(w.packing, w.at, fmt.Errorf(format, args...))
}

// take gives the next n bytes.
func (w *walker) take(n int) ([]byte, error) {
	if n > len(w.data)-w.at {
		return nil, damaged(w.packing, w.at, errCut)
	}
	w.at += n
	return w.data[w.at-n : w.at], nil
}

// skip leaves n bytes out.
func (w *walker) skip(n int) error {
	_, err := w.take(n)
	return err
}

// octet gives the next byte.
func (w *walker) octet() (byte, error) {
	b, err := w.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// number reads a multibyte integer (xz file format 1.2.1, 1.2), seven bits a byte, the lowest first.
func (w *walker) number() (uint64, error) {
	n, size := binary.Uvarint(w.data[w.at:])
	if size <= 0 || size > 9 {
		return 0, w.bad("no multibyte integer")
	}
	w.at += size
	return n, nil
}

// walkXZ finds the end of the first stream, and refuses dictionaries that are out of proportion to a module of limit bytes:
// they are allocated block after block, before any content.
func walkXZ(data []byte, limit int) (xzStream, error) {
	w := walker{XZ, data, 0}
	header, err := w.take(12)
	if err != nil {
		return xzStream{}, err
	}
	check, known := xzChecks[header[7]]
	if header[6] != 0 || !known {
		return xzStream{}, damaged(XZ, 6, fmt.Errorf("unknown check %#x", header[6:8]))
	}
	for dictionaries := uint64(0); ; {
		size, err := w.octet()
		if err != nil {
			return xzStream{}, err
		}
		if size == 0 { // not the size of a block's header but the index
			content, err := w.index()
			return xzStream{w.at, content, check.name}, err
		}
		dictionary, err := w.blockHeader(size)
		if err != nil {
			return xzStream{}, err
		}
		// xz -T makes blocks of three dictionaries, so that an honest file stays far below this.
		if dictionaries += dictionary; dictionary > maxWindow || dictionaries > maxWindow+uint64(limit) {
			return xzStream{}, fmt.Errorf("%w: an xz dictionary of %d bytes at offset %d", ErrTooLarge, dictionary, w.at)
		}
		if err := w.lzma2(); err != nil {
			return xzStream{}, err
		}
		if err := w.skip((4-w.at%4)%4 + check.size); err != nil {
			return xzStream{}, err
		}
	}
}

// blockHeader reads the header after its size and gives the dictionary's size in bytes. The one filter is LZMA2.
func (w *walker) blockHeader(size byte) (dictionary uint64, err error) {
	start := w.at
	content, err := w.take((int(size)+1)*4 - 1)
	if err != nil {
		return 0, err
	}
	h := walker{XZ, w.data[:start+len(content)], start}
	flags, err := h.octet()
	if err != nil {
		return 0, err
	}
	for _, present := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&present != 0 {
			if _, err := h.number(); err != nil {
				return 0, err
			}
		}
	}
	id, err := h.number()
	if err != nil {
		return 0, err
	}
	if flags&3 != 0 || id != 0x21 {
		return 0, fmt.Errorf("%w: %d filters, the first is %#x: only LZMA2 (0x21) alone is known here", ErrFilter, flags&3+1, id)
	}
	properties, err := h.take(2) // their size, 1, and the dictionary's
	if err != nil {
		return 0, err
	}
	bits := uint64(properties[1])
	if properties[0] != 1 || bits > 40 {
		return 0, h.bad("no LZMA2 properties: %#x", properties)
	}
	return (2 | bits&1) << (bits/2 + 11), nil
}

// lzma2 skips the chunks of a block (the kernel's lib/xz/xz_dec_lzma2.c tells their form).
func (w *walker) lzma2() error {
	for {
		control, err := w.octet()
		if err != nil {
			return err
		}
		var size []byte
		switch {
		case control == 0:
			return nil
		case control >= 0x80: // compressed: low bits of the size unpacked, size packed, from 0xc0 on a byte of properties
			if size, err = w.take(4); err == nil && control >= 0xc0 {
				err = w.skip(1)
			}
		case control <= 2: // not compressed
			size, err = w.take(2)
		default:
			return w.bad("LZMA2 chunk of kind %#x", control)
		}
		if err != nil {
			return err
		}
		if err := w.skip(int(binary.BigEndian.Uint16(size[len(size)-2:])) + 1); err != nil {
			return err
		}
	}
}

// index reads the index after its first byte, and skips the footer, with which the stream ends. It gives the size of all blocks, decoded.
func (w *walker) index() (content int64, err error) {
	records, err := w.number()
	if err != nil {
		return 0, err
	}
	for ; records > 0; records-- {
		if _, err := w.number(); err != nil { // size of the block
			return 0, err
		}
		size, err := w.number()
		if err != nil {
			return 0, err
		}
		if content += int64(size); size > math.MaxInt64 || content < 0 {
			return 0, w.bad("blocks of more than %d bytes", int64(math.MaxInt64))
		}
	}
	const checksum, footer = 4, 12
	return content, w.skip((4-w.at%4)%4 + checksum + footer)
}

// walkZstd finds the end of the first frame (RFC 8878 3.1.1), and the size of its content, where that is told.
func walkZstd(data []byte) (size int, content int64, err error) {
	var header zstd.Header
	if err := header.Decode(data); err != nil {
		return 0, 0, damaged(Zstd, 0, err)
	}
	window := header.WindowSize
	if header.SingleSegment { // the whole content is the window
		window = header.FrameContentSize
	}
	if window > maxWindow {
		return 0, 0, fmt.Errorf("%w: a zstd window of %d bytes", ErrTooLarge, window)
	}
	w := walker{Zstd, data, header.HeaderSize}
	for last := false; !last; {
		b, err := w.take(3)
		if err != nil {
			return 0, 0, err
		}
		block := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		last = block&1 != 0
		packed := int(block >> 3)
		switch block >> 1 & 3 {
		case 1: // one byte, repeated
			packed = 1
		case 3:
			return 0, 0, w.bad("reserved block type")
		}
		if err := w.skip(packed); err != nil {
			return 0, 0, err
		}
	}
	if header.HasCheckSum {
		err = w.skip(4)
	}
	content = unknown
	if header.HasFCS {
		content = int64(min(header.FrameContentSize, math.MaxInt64))
	}
	return w.at, content, err
}
