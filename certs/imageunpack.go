package certs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// packer is a way in which the kernel's build packs an image (init/Kconfig, "Kernel compression mode").
type packer struct {
	name  string
	magic string
	// open begins to unpack; nil if it cannot be done here. The reader is closed when done with.
	open func(r io.Reader, window uint64) (io.ReadCloser, error)
	// ownSize: the stream ends with its unpacked size by itself, and checks it.
	ownSize bool
}

var packers = []packer{
	{name: "gzip", magic: "\x1f\x8b", open: openGzip, ownSize: true},
	{name: "xz", magic: xzMagic, open: openXZ},
	{name: "zstd", magic: "\x28\xb5\x2f\xfd", open: openZstd},
	{name: "lz4", magic: "\x02\x21\x4c\x18", open: openLZ4}, // the legacy frame, which alone the kernel reads (lib/decompress_unlz4.c)
	{name: "bzip2", magic: "BZh"},
	{name: "lzma", magic: "\x5d\x00\x00"},
	{name: "lzo", magic: "\x89LZO"},
}

// packing knows a packed stream by its first bytes; nil if it is none.
func packing(head []byte) *packer {
	for i := range packers {
		if bytes.HasPrefix(head, []byte(packers[i].magic)) {
			return &packers[i]
		}
	}
	return nil
}

// unknownSize: there is no unpacked size after the packed stream.
const unknownSize = -1

// searchPacked unpacks a payload and searches it. length is that of the payload when it ends with the unpacked size, else unknownSize.
func searchPacked(payload io.Reader, length int64, limit bounds) ([]*Certificate, error) {
	r := bufio.NewReader(payload)
	head, err := r.Peek(8)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%w: %w", ErrUnpack, err)
	}
	p := packing(head)
	switch {
	case p == nil:
		return nil, fmt.Errorf("%w: its payload begins with %x", ErrCompression, head)
	case p.open == nil:
		return nil, fmt.Errorf("%w: %s", ErrCompression, p.name)
	}
	stream := io.Reader(r)
	sized := length != unknownSize && !p.ownSize
	if sized {
		stream = io.LimitReader(r, length-4)
	}
	found, size, err := searchStream(p, stream, limit)
	if err == nil {
		_, err = io.Copy(io.Discard, stream)
	}
	if err == nil && sized {
		err = checkSize(r, size)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnpack, p.name, noEOF(err))
	}
	return found, nil
}

// searchStream also tells how many bytes came out of the stream.
func searchStream(p *packer, stream io.Reader, limit bounds) ([]*Certificate, int64, error) {
	unpacked, err := p.open(stream, limit.window)
	if err != nil {
		return nil, 0, err
	}
	defer unpacked.Close()
	counted := &bounded{r: unpacked, left: limit.unpacked}
	found, err := search(counted, limit)
	return found, counted.read, err
}

// checkSize compares the size behind the stream.
func checkSize(r io.Reader, size int64) error {
	var appended [4]byte
	if _, err := io.ReadFull(r, appended[:]); err != nil {
		return err
	}
	if told := binary.LittleEndian.Uint32(appended[:]); int64(told) != size {
		return fmt.Errorf("%d bytes came out of it instead of %d", size, told)
	}
	return nil
}

func openGzip(r io.Reader, _ uint64) (io.ReadCloser, error) {
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	unpacked.Multistream(false)
	return unpacked, nil
}

// openZstd: one goroutine, since the search is quick beside it, and no more memory than the window.
func openZstd(r io.Reader, window uint64) (io.ReadCloser, error) {
	unpacked, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, err
	}
	return unpacked.IOReadCloser(), nil
}

// openLZ4: its blocks are of 8 MiB and know nothing of each other, so there is no window.
func openLZ4(r io.Reader, _ uint64) (io.ReadCloser, error) {
	return io.NopCloser(lz4.NewReader(r)), nil
}
