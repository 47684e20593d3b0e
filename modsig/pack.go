package modsig

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// ErrPacking: Pack was asked for a compression that it does not know.
var ErrPacking = errors.New("unknown module compression")

const (
	// xzDictionary is what scripts/Makefile.modinst asks of xz, in bytes. The kernel allocates what a file asks for
	// (kernel/module/decompress.c module_xz_decompress, XZ_DYNALLOC), so that a larger one only costs memory at loading.
	xzDictionary = 1 << 20
	// zstdWindow is what every decoder has to support (RFC 8878, 3.1.1.1.2), in bytes, and no less than zstd's own default.
	// The kernel reads windows up to 128 MiB (lib/zstd, ZSTD_MAXWINDOWSIZE_DEFAULT) and allocates them.
	zstdWindow = 8 << 20
)

// Pack compresses a module so that the kernel itself can load it, not only kmod: kernel/module/decompress.c is narrower than
// the tools in three ways. The result is one stream and the same for the same module: no name, no time. Plain gives the module
// itself.
//
//   - gzip: of a header's optional fields only a file name is skipped (module_gzip_header_len); here there are none.
//   - xz: any check but none and CRC32 is refused (lib/xz/xz_dec_stream.c dec_stream_header); here CRC32 and LZMA2 alone.
//   - zstd: one frame, and a window out of its header (module_zstd_decompress); here with the module's size and a checksum,
//     which lib/zstd verifies.
//
// Errors: ErrPacking.
func Pack(module []byte, how Packing) ([]byte, error) {
	var packed bytes.Buffer
	var encoder io.WriteCloser
	var err error
	switch how {
	case Plain:
		return module, nil
	case Gzip:
		encoder, err = gzip.NewWriterLevel(&packed, gzip.BestCompression)
	case XZ:
		encoder, err = xz.WriterConfig{DictCap: xzDictionary, CheckSum: xz.CRC32}.NewWriter(&packed)
	case Zstd:
		return packZstd(module)
	default:
		return nil, fmt.Errorf("%w: number %d", ErrPacking, int(how))
	}
	if err != nil {
		return nil, err
	}
	if _, err := encoder.Write(module); err != nil {
		return nil, err
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// packZstd takes the module in one piece, for only then its size is in the header. Where the content fits into the window it
// is the window ("single segment"), as zstd does with a file: a small module then costs the kernel little memory.
func packZstd(module []byte) ([]byte, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(true),
		zstd.WithSingleSegment(len(module) <= zstdWindow), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, err
	}
	packed := encoder.EncodeAll(module, nil)
	return packed, encoder.Close()
}
