package modsig

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// MaxModule is a limit for Unpack, in bytes, that leaves room above any module seen so far.
const MaxModule = 256 << 20

// maxWindow bounds what a decoder may keep of its past output, in bytes. It is what kmod's zstd takes by default
// (ZSTD_WINDOWLOG_LIMIT_DEFAULT), and twice the dictionary of xz -9.
const maxWindow = 128 << 20

// Outcomes of Unpack.
var (
	// ErrDamaged: the compressed stream is cut short or broken.
	ErrDamaged = errors.New("damaged compressed module")
	// ErrFilter: an xz stream with filters that this program does not know; kmod reads it.
	ErrFilter = errors.New("unknown xz filter")
	// ErrTooLarge: the module is beyond the limit, or reading it would take too much memory.
	ErrTooLarge = errors.New("module too large")
)

// Packing is the compression around a module.
type Packing int

// The compressions that kmod and the kernel know. Content decides which it is, as in the kernel, not the file's name.
const (
	Plain Packing = iota
	Gzip
	XZ
	Zstd
)

// String gives "none", "gzip", "xz", "zstd", which but for the first is how /sys/module/compression says it.
func (p Packing) String() string { return [...]string{"none", "gzip", "xz", "zstd"}[p] }

// Unpacked is a module out of its compression.
type Unpacked struct {
	// Module is the content, the input itself when Packing is Plain.
	Module  []byte
	Packing Packing
	// Check is how an xz stream is protected: "none", "crc32", "crc64", "sha256"; empty for other packings. The kernel's own
	// decompressor refuses all but the first two (lib/xz/xz_dec_stream.c dec_stream_header); kmod takes any.
	Check string
	// Trailing is what follows the compressed stream (and, with xz, its padding), nil for Plain. It should be empty: the kernel ignores it, kmod may refuse
	// the file or, after another stream of the same kind, see a longer module. It shares memory with the input.
	Trailing []byte
}

// SignedOutside tells that a signature stands after the compressed stream: the file was signed after compression. Nothing
// ever looks at that one; only a signature in Module counts.
func (u *Unpacked) SignedOutside() bool { return bytes.HasSuffix(u.Trailing, []byte(Magic)) }

// PackingOf tells the packing by the first bytes, also of what cannot be unpacked.
func PackingOf(data []byte) Packing {
	for p, magic := range []string{Gzip: "\x1f\x8b", XZ: "\xfd7zXZ\x00", Zstd: "\x28\xb5\x2f\xfd"} {
		if magic != "" && bytes.HasPrefix(data, []byte(magic)) {
			return Packing(p)
		}
	}
	return Plain
}

// Unpack decompresses a module of any packing, into at most limit bytes; MaxModule is a good one. Of several compressed
// streams only the first is read, as the kernel does it.
//
// Errors: ErrDamaged; ErrFilter for xz filters other than LZMA2; ErrTooLarge, also for a window or dictionary above 128 MiB.
// A module that is not compressed is never an error.
func Unpack(data []byte, limit int) (*Unpacked, error) { return UnpackInto(nil, data, limit) }

// UnpackInto is Unpack into the memory of buffer, whatever its length, when that is large enough and the stream tells its size: for whoever
// unpacks many modules, one after the other.
func UnpackInto(buffer, data []byte, limit int) (*Unpacked, error) {
	unpack := map[Packing]func(buffer, data []byte, limit int) (*Unpacked, error){Gzip: gunzip, XZ: unxz, Zstd: unzstd}[PackingOf(data)]
	if unpack == nil {
		return &Unpacked{Module: data}, nil
	}
	return unpack(buffer, data, limit)
}

// damaged says at which offset of the file.
func damaged(p Packing, offset int, err error) error {
	return fmt.Errorf("%w: %v at offset %d: %w", ErrDamaged, p, offset, err)
}

// unknown is the size of a module that no header tells.
const unknown = -1

// drain reads a decoder to its end: size bytes, when they are known before; rest is where it reads from, for the offset of an error. No more memory is
// taken than the module has bytes, and no more than limit for one that has more.
func drain(p Packing, decoder io.Reader, size int64, limit int, buffer []byte, rest *bytes.Reader) ([]byte, error) {
	if size > int64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, limit)
	}
	bad := func(err error) error { return damaged(p, int(rest.Size())-rest.Len(), err) }
	if size != unknown {
		if int64(cap(buffer)) < size {
			buffer = make([]byte, size)
		}
		module := buffer[:size]
		if _, err := io.ReadFull(decoder, module); err != nil {
			return nil, bad(err)
		}
		switch n, err := io.ReadFull(decoder, make([]byte, 1)); {
		case n > 0:
			return nil, bad(fmt.Errorf("more than the %d bytes that its header tells", size))
		case err != io.EOF:
			return nil, bad(err)
		}
		return module, nil
	}
	pieces := [][]byte{nil}
	for total := 0; ; {
		last := &pieces[len(pieces)-1]
		if len(*last) == cap(*last) {
			pieces = append(pieces, make([]byte, 0, 1<<20))
			last = &pieces[len(pieces)-1]
		}
		n, err := decoder.Read((*last)[len(*last):cap(*last)])
		*last = (*last)[:len(*last)+n]
		switch total += n; {
		case total > limit:
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		case err == io.EOF:
			return bytes.Join(pieces, nil), nil
		case err != nil:
			return nil, bad(err)
		}
	}
}

func gunzip(buffer, data []byte, limit int) (*Unpacked, error) {
	input := bytes.NewReader(data)
	decoder, err := gzip.NewReader(input)
	if err != nil {
		return nil, damaged(Gzip, 0, err)
	}
	decoder.Multistream(false) // the decoder then reads no byte too many, for a bytes.Reader is an io.ByteReader
	module, err := drain(Gzip, decoder, unknown, limit, buffer, input)
	if err != nil {
		return nil, err
	}
	return &Unpacked{Module: module, Packing: Gzip, Trailing: data[len(data)-input.Len():]}, nil
}

// xzDecoders are used again: the dictionary of each is as large as most modules.
var xzDecoders sync.Pool

func unxz(buffer, data []byte, limit int) (*Unpacked, error) {
	stream, err := walkXZ(data, limit)
	if err != nil {
		return nil, err
	}
	input := bytes.NewReader(data[:stream.size])
	decoder, reused := xzDecoders.Get().(*xz.Reader)
	if reused {
		err = decoder.Reset(input)
	} else {
		decoder, err = xz.NewReader(input, maxWindow)
	}
	if err != nil {
		return nil, damaged(XZ, 0, err)
	}
	decoder.Multistream(false)
	defer xzDecoders.Put(decoder)
	module, err := drain(XZ, decoder, stream.content, limit, buffer, input)
	if err != nil {
		return nil, err
	}
	return &Unpacked{Module: module, Packing: XZ, Check: stream.check, Trailing: afterPadding(data[stream.size:])}, nil
}

// afterPadding leaves out an xz stream's padding (xz file format 1.2.1, 2.2).
func afterPadding(rest []byte) []byte {
	if len(rest)%4 == 0 && len(bytes.Trim(rest, "\x00")) == 0 {
		return nil
	}
	return rest
}

func unzstd(buffer, data []byte, limit int) (*Unpacked, error) {
	size, content, err := walkZstd(data)
	if err != nil {
		return nil, err
	}
	input := bytes.NewReader(data[:size])
	decoder, err := zstd.NewReader(input, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, damaged(Zstd, 0, err)
	}
	defer decoder.Close()
	module, err := drain(Zstd, decoder, content, limit, buffer, input)
	if err != nil {
		return nil, err
	}
	return &Unpacked{Module: module, Packing: Zstd, Trailing: data[size:]}, nil
}
