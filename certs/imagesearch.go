package certs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// windowSize is how much of a kernel is looked at at a time; it must hold the largest certificate.
const windowSize = 1 << 20

// searchPlain searches what need not be unpacked.
func searchPlain(r io.Reader, limit bounds) ([]*Certificate, error) {
	found, err := search(&bounded{r: r, left: limit.unpacked}, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnpack, err)
	}
	return found, nil
}

// search finds certificates in a stream of anything. One begins with a SEQUENCE whose length takes two bytes, as the kernel itself
// demands of its list (certs/common.c load_certificate_list), and goes on with the SEQUENCE of its signed part; what then parses as a
// whole is one. A random match of all that ParseDER checks does not happen.
func search(r io.Reader, limit bounds) ([]*Certificate, error) {
	var found []*Certificate
	known := map[string]bool{}
	for window := bufio.NewReaderSize(r, windowSize); ; {
		data, err := window.Peek(windowSize)
		if err != nil && err != io.EOF {
			return nil, err
		}
		// A certificate that begins before this is in the window with all its bytes.
		end := len(data) - MaxSize
		if err == io.EOF {
			end = len(data)
		}
		at := 0
		for at < end {
			next := bytes.Index(data[at:end], []byte{0x30, 0x82})
			if next < 0 {
				at = end - 1 // the last byte may be the first of the two
				break
			}
			at += next
			c := certificateAt(data[at:])
			if c == nil {
				at++
				continue
			}
			at += len(c.Raw)
			if !known[string(c.Raw)] {
				if len(found) == limit.found {
					return nil, fmt.Errorf("%w: more than %d certificates", ErrImageTooLarge, limit.found)
				}
				known[string(c.Raw)] = true
				found = append(found, c)
				if limit.enough != nil && limit.enough(found) {
					return nil, errEnough
				}
			}
		}
		if err == io.EOF {
			return found, nil
		}
		if _, err := window.Discard(at); err != nil {
			return nil, err
		}
	}
}

// certificateAt reads the certificate that data begins with; nil if it begins with anything else.
func certificateAt(data []byte) *Certificate {
	if len(data) < 8 || data[4] != 0x30 || data[5] != 0x81 && data[5] != 0x82 {
		return nil
	}
	size := 4 + int(binary.BigEndian.Uint16(data[2:]))
	if size > len(data) {
		return nil
	}
	// Nothing is copied for what only begins like one: there may be millions in an image that was made to keep its reader busy.
	if _, err := walk(data[:size]); err != nil {
		return nil
	}
	c, err := ParseDER(data[:size])
	if err != nil {
		return nil
	}
	return c
}

// bounded counts what is read and fails when there is more than a bound.
type bounded struct {
	r    io.Reader
	left int64
	read int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if int64(n) > b.left {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrImageTooLarge, b.read+b.left)
	}
	b.left -= int64(n)
	b.read += int64(n)
	return n, err
}
