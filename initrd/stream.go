package initrd

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// maxWindow bounds what a decoder may keep of its past output, in bytes: the most the kernel's zstd takes
// (lib/zstd, ZSTD_MAXWINDOWSIZE_DEFAULT), and twice the dictionary of xz -9.
const maxWindow = 128 << 20

// packing is a compression that the kernel knows by two bytes (lib/decompress.c compressed_formats). Its decoder reads from
// the image and stops where the stream ends; limit is how much may come out.
type packing struct {
	magic, name string
	open        func(image *input, limit int64) (io.ReadCloser, error)
}

var packings = []packing{
	{"\x1f\x8b", "gzip", openGzip},
	{"\x1f\x9e", "gzip of before 1993", nil},
	{"BZ", "bzip2", openBzip2},
	{"\x5d\x00", "lzma", openLZMA},
	{"\xfd7", "xz", openXZ},
	{"\x89L", "lzo", nil},
	{"\x02\x21", "lz4", openLZ4},
	{"\x28\xb5", "zstd", openZstd},
}

func packingOf(head []byte) (packing, bool) {
	for _, p := range packings {
		if bytes.HasPrefix(head, []byte(p.magic)) {
			return p, true
		}
	}
	return packing{}, false
}

func openGzip(image *input, _ int64) (io.ReadCloser, error) {
	decoder, err := gzip.NewReader(image)
	if err != nil {
		return nil, whole(err)
	}
	decoder.Multistream(false)
	return decoder, nil
}

func openLZMA(image *input, _ int64) (io.ReadCloser, error) {
	if head := image.peek(lzma.HeaderLen); len(head) == lzma.HeaderLen {
		if size := binary.LittleEndian.Uint32(head[1:]); size > maxWindow {
			return nil, &refusal{ErrTooLarge, fmt.Sprintf("a dictionary of %d bytes", size)}
		}
	}
	decoder, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(image)
	if err != nil {
		return nil, whole(err)
	}
	return io.NopCloser(decoder), nil
}

// framed reads a decoder that reads a frame. The frame's errors are the truth; the decoder may hide them.
type framed struct {
	decoder io.Reader
	frame   *frame
	close   func()
}

func (f *framed) Read(p []byte) (int, error) {
	n, err := f.decoder.Read(p)
	switch {
	case err == nil:
	case f.frame.err != nil && f.frame.err != io.EOF:
		err = f.frame.err
	case err == io.EOF && f.frame.err == nil: // the decoder did not look for more
		if rest, _ := io.Copy(io.Discard, f.frame); rest > 0 || f.frame.err != io.EOF {
			err = fmt.Errorf("the decoder stopped before the end of the stream")
		}
	}
	return n, err
}

func (f *framed) Close() error {
	f.close()
	return nil
}

func openXZ(image *input, limit int64) (io.ReadCloser, error) {
	frame := &frame{image: image}
	x := &xzFrame{frame: frame, left: maxWindow + limit}
	frame.next = x.start
	decoder, err := xz.ReaderConfig{DictCap: lzma.MinDictCap, SingleStream: true}.NewReader(frame)
	if err != nil {
		return nil, frame.truth(err)
	}
	return &framed{decoder, frame, func() {}}, nil
}

func openZstd(image *input, _ int64) (io.ReadCloser, error) {
	frame := &frame{image: image}
	frame.next = (&zstdFrame{frame: frame}).start
	decoder, err := zstd.NewReader(frame, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, frame.truth(err)
	}
	return &framed{decoder, frame, decoder.Close}, nil
}

// whole makes the end of the image an error: it is no end of a stream.
func whole(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bzip2Reader ends where the stream ends: Go's decoder wants another stream after it or nothing at all.
type bzip2Reader struct {
	decoder io.Reader
	source  *bzip2Source
}

// bzip2Source puts two zeros after the end of the image, so that a stream is always followed by two bytes that are no
// stream, and the decoder always ends with the same complaint, with these two bytes read.
type bzip2Source struct {
	image *input
	zeros int
}

func (s *bzip2Source) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

func (s *bzip2Source) ReadByte() (byte, error) {
	b, err := s.image.ReadByte()
	if err == io.EOF && s.zeros < 2 {
		s.zeros++
		return 0, nil
	}
	return b, err
}

func openBzip2(image *input, _ int64) (io.ReadCloser, error) {
	source := &bzip2Source{image: image}
	return io.NopCloser(&bzip2Reader{bzip2.NewReader(source), source}), nil
}

func (b *bzip2Reader) Read(p []byte) (int, error) {
	n, err := b.decoder.Read(p)
	// A test notices if the text changes.
	if err == bzip2.StructuralError("bad magic value in continuation file") {
		b.source.image.unread(2 - b.source.zeros)
		return n, io.EOF
	}
	return n, whole(err)
}

// lz4Reader reads the legacy format: a magic number, then chunks, each with its packed size before it (lib/decompress_unlz4.c).
// Neither the size of what they unpack to nor the end of the stream is written down: the stream ends with the image, or with
// a size of zero.
type lz4Reader struct {
	image        *input
	packed, text []byte
	rest         []byte // of text
}

const (
	lz4Magic = 0x184c2102
	lz4Chunk = 8 << 20 // what a chunk unpacks to at most
)

func openLZ4(image *input, _ int64) (io.ReadCloser, error) {
	if head := image.peek(4); len(head) < 4 || binary.LittleEndian.Uint32(head) != lz4Magic {
		return nil, fmt.Errorf("not the legacy format: %#x", head)
	}
	return io.NopCloser(&lz4Reader{image: image}), nil
}

func (l *lz4Reader) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if err := l.chunk(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// chunk unpacks one.
func (l *lz4Reader) chunk() error {
	head := l.image.peek(4)
	if len(head) < 4 {
		return io.EOF // of the image; what is left of it are zeros, or it is no image
	}
	size := binary.LittleEndian.Uint32(head)
	switch {
	case size == 0:
		return io.EOF
	case size == lz4Magic:
		l.image.skip(4)
		return nil
	case int64(size) > int64(lz4.CompressBlockBound(lz4Chunk)):
		return fmt.Errorf("a chunk of %d bytes", size)
	}
	l.image.skip(4)
	if l.packed == nil {
		l.packed, l.text = make([]byte, lz4.CompressBlockBound(lz4Chunk)), make([]byte, lz4Chunk)
	}
	if _, err := io.ReadFull(l.image, l.packed[:size]); err != nil {
		return whole(err)
	}
	n, err := lz4.UncompressBlock(l.packed[:size], l.text)
	if err != nil {
		return err
	}
	l.rest = l.text[:n]
	return nil
}
