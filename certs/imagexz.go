package certs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzMagic begins an xz stream (The .xz File Format 1.2.1, section 2.1.1.1).
const xzMagic = "\xfd7zXZ\x00"

// Filters (section 5.3) that are read here. The build packs x86 kernels with the one for x86 code before LZMA2 (scripts/xz_wrap.sh),
// which the lzma module does not know; so the container is read here and only LZMA2 is left to that.
const (
	filterX86   = 0x04
	filterLZMA2 = 0x21
)

// Faults of an xz stream.
var (
	errXZHeader  = errors.New("damaged header")
	errXZCheck   = errors.New("its check does not fit what came out of it")
	errXZPadding = errors.New("damaged padding")
)

// xzReader unpacks one xz stream. Each block is verified with the stream's check; the index and the footer after them repeat what the
// blocks have told, and are not read.
type xzReader struct {
	r      *counter
	window uint64
	check  byte // kind, section 2.1.1.2
	block  io.Reader
	sum    hash.Hash // nil for no check
	done   bool
}

// counter counts the bytes taken, since blocks are padded to four.
type counter struct {
	*bufio.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte keeps the lzma module from reading ahead.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// openXZ reads the stream header.
func openXZ(r io.Reader, window uint64) (io.ReadCloser, error) {
	x := &xzReader{r: &counter{Reader: bufio.NewReader(r)}, window: window}
	var header [12]byte
	if _, err := io.ReadFull(x.r, header[:]); err != nil {
		return nil, noEOF(err)
	}
	if string(header[:6]) != xzMagic || header[6] != 0 || crc32.ChecksumIEEE(header[6:8]) != binary.LittleEndian.Uint32(header[8:]) {
		return nil, errXZHeader
	}
	x.check = header[7]
	if _, err := newSum(x.check); err != nil {
		return nil, err
	}
	return io.NopCloser(x), nil
}

// newSum makes the check of a kind; nil for none.
func newSum(kind byte) (hash.Hash, error) {
	switch kind {
	case 0:
		return nil, nil
	case 1:
		return crc32.NewIEEE(), nil
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA)), nil
	case 10:
		return sha256.New(), nil
	}
	return nil, fmt.Errorf("%w: xz with a check of kind %d", ErrCompression, kind)
}

func (x *xzReader) Read(p []byte) (int, error) {
	for !x.done {
		if x.block == nil {
			if err := x.begin(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if err == io.EOF {
			err = x.end()
			x.block = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// begin reads a block header (section 3.1), or finds the index instead.
func (x *xzReader) begin() error {
	size, err := x.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if size == 0 {
		x.done = true
		return nil
	}
	header := make([]byte, (int(size)+1)*4)
	header[0] = size
	if _, err := io.ReadFull(x.r, header[1:]); err != nil {
		return noEOF(err)
	}
	body := header[:len(header)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(header[len(body):]) {
		return errXZHeader
	}
	dictionary, x86, err := parseFilters(body[1:])
	if err != nil {
		return err
	}
	if dictionary > x.window {
		return fmt.Errorf("%w: its dictionary is of %d bytes", ErrImageTooLarge, dictionary)
	}
	x.r.n = 0
	x.block, err = lzma.Reader2Config{DictCap: int(max(dictionary, lzma.MinDictCap))}.NewReader2(x.r)
	if err != nil {
		return err
	}
	if x86 {
		x.block = newX86Code(x.block)
	}
	x.sum, err = newSum(x.check)
	return err
}

// parseFilters reads the block header after its size: flags, sizes if they are there, and the chain of filters.
func parseFilters(body []byte) (dictionary uint64, x86 bool, err error) {
	flags := body[0]
	r := bytes.NewReader(body[1:])
	if flags&0x3c != 0 {
		return 0, false, errXZHeader
	}
	for _, present := range []byte{0x40, 0x80} { // packed size, unpacked size; the block's check makes them superfluous
		if flags&present != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return 0, false, errXZHeader
			}
		}
	}
	last := int(flags & 3)
	for i := 0; i <= last; i++ {
		id, err1 := binary.ReadUvarint(r)
		size, err2 := binary.ReadUvarint(r)
		if err1 != nil || err2 != nil || size > uint64(r.Len()) {
			return 0, false, errXZHeader
		}
		properties := make([]byte, size)
		r.Read(properties) // of a reader in memory that has them
		switch {
		case id == filterLZMA2 && i == last && size == 1 && properties[0] <= 40:
			dictionary = dictionarySize(properties[0])
		case id == filterX86 && i == 0 && last == 1 && size == 0: // no start offset, as the kernel demands (lib/xz/xz_dec_bcj.c)
			x86 = true
		default:
			return 0, false, fmt.Errorf("%w: xz with filter %#x (%x) as number %d of %d", ErrCompression, id, properties, i+1, last+1)
		}
	}
	for r.Len() > 0 {
		if b, _ := r.ReadByte(); b != 0 {
			return 0, false, errXZPadding
		}
	}
	return dictionary, x86, nil
}

// dictionarySize is that of the LZMA2 filter's one byte (section 5.3.1): 4 KiB, 6 KiB, 8 KiB, 12 KiB, and so on up to 4 GiB - 1.
func dictionarySize(b byte) uint64 {
	if b == 40 {
		return 1<<32 - 1
	}
	return uint64(2|b&1) << (b/2 + 11)
}

// end reads what follows the packed bytes of a block: padding and the check.
func (x *xzReader) end() error {
	for x.r.n%4 != 0 {
		if b, err := x.r.ReadByte(); err != nil {
			return noEOF(err)
		} else if b != 0 {
			return errXZPadding
		}
	}
	if x.sum == nil {
		return nil
	}
	stored := make([]byte, x.sum.Size())
	if _, err := io.ReadFull(x.r, stored); err != nil {
		return noEOF(err)
	}
	sum := x.sum.Sum(nil)
	if x.check != 10 { // the two CRCs are stored little-endian, hash gives them big-endian
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	if !bytes.Equal(stored, sum) {
		return errXZCheck
	}
	return nil
}
