package certs

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/mikelolasagasti/xz"
)

// xzMagic begins an xz stream (The .xz File Format 1.2.1, section 2.1.1.1).
const xzMagic = "\xfd7zXZ\x00"

// openXZ reads one xz stream with whatever filters it has: the build packs x86 kernels with the one for x86 code (scripts/xz_wrap.sh).
func openXZ(r io.Reader, window uint64) (io.ReadCloser, error) {
	x, err := xz.NewReader(r, uint32(min(window, math.MaxUint32)))
	if err != nil {
		return nil, xzError(err)
	}
	x.Multistream(false)
	return io.NopCloser(xzReader{x}), nil
}

type xzReader struct{ *xz.Reader }

func (x xzReader) Read(p []byte) (int, error) {
	n, err := x.Reader.Read(p)
	return n, xzError(err)
}

// xzError finds the outcome that an error of the library's means.
func xzError(err error) error {
	switch {
	case errors.Is(err, xz.ErrMemlimit):
		return fmt.Errorf("%w: %w", ErrImageTooLarge, err)
	case errors.Is(err, xz.ErrOptions), errors.Is(err, xz.ErrUnsupportedCheck):
		return fmt.Errorf("%w: %w", ErrCompression, err)
	}
	return err
}
