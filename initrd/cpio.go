package initrd

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"path"
)

// headerSize is that of a newc header: a magic of six digits and thirteen numbers of eight.
const headerSize = 6 + 13*8

// header is what is needed of it (init/initramfs.c parse_header).
type header struct {
	key      linkKey
	mode     uint32
	links    uint32
	size     int64
	nameSize int64
	summed   bool // the sum of the content's bytes is known
	sum      uint32
}

// linkKey is the same for all names of a file (init/initramfs.c find_link).
type linkKey struct{ inode, major, minor uint32 }

// archives reads plain archives, to the end of what a compressed stream holds, or to the trailer or other content of the image.
func (w *walk) archives(in *input) error {
	for {
		if in.offset%4 != 0 {
			return w.fail(ErrDamaged, "an archive or an entry not at a multiple of four bytes")
		}
		if err := w.entry(in); err != nil {
			return err
		}
		if err := w.zeros(in); err != nil {
			return err
		}
		switch next := in.peek(1); {
		case len(next) == 0:
			if in.err != io.EOF {
				return w.fail(ErrDamaged, "not readable")
			}
			return w.flush()
		case in.offset%4 != 0:
			return w.fail(ErrDamaged, "padding that is no multiple of four bytes")
		case w.inner == nil && (w.ended || next[0] != '0'):
			return w.flush()
		case next[0] != '0':
			return w.fail(ErrDamaged, fmt.Sprintf("%q after an entry", next))
		}
	}
}

// zeros skips the padding between entries.
func (w *walk) zeros(in *input) error {
	for {
		next := in.peek(1)
		if len(next) == 0 || next[0] != 0 {
			return nil
		}
		n := 1
		for ; in.start+n < in.end && in.buffer[in.start+n] == 0; n++ {
		}
		if err := w.charge(int64(n)); err != nil {
			return err
		}
		in.skip(n)
	}
}

// charge takes n bytes off the limit, before they are read.
func (w *walk) charge(n int64) error {
	if n > w.left {
		return w.fail(ErrTooLarge, fmt.Sprintf("%d bytes more go beyond the limit", n))
	}
	w.left -= n
	return nil
}

// look gives the next n bytes, which were charged, without leaving them behind: an error is then where they start.
func (w *walk) look(in *input, n int64, what string) ([]byte, error) {
	data := in.peek(int(n))
	if int64(len(data)) < n {
		return nil, w.fail(ErrDamaged, "cut short in "+what)
	}
	return data, nil
}

// entry reads one and hands it over.
func (w *walk) entry(in *input) error {
	if w.entries++; w.entries > MaxEntries {
		return w.fail(ErrTooLarge, fmt.Sprintf("more than %d entries", MaxEntries))
	}
	w.ended = false
	h, err := w.header(in)
	if err != nil {
		return err
	}
	// The name is padded so that the content starts at a multiple of four (N_ALIGN), and the content likewise.
	padded := (headerSize+h.nameSize+3)&^3 - headerSize
	if err := w.charge(padded + (h.size+3)&^3); err != nil {
		return err
	}
	field, err := w.look(in, padded, "a name")
	if err != nil {
		return err
	}
	if field[h.nameSize-1] != 0 {
		return w.fail(ErrDamaged, "a name that does not end with a zero")
	}
	before, _, _ := bytes.Cut(field, []byte{0}) // the rest is padding: gen_init_cpio aligns content with it
	name := string(before)
	in.skip(len(field))
	if name == "TRAILER!!!" {
		w.ended = true
		if err := w.flush(); err != nil {
			return err
		}
		return w.drain(&content{w: w, in: in, left: h.size})
	}
	return w.hand(in, h, clean(name))
}

// clean makes a name relative to the root, from which ".." does not lead out.
func clean(name string) string {
	if name := path.Clean("/" + name)[1:]; name != "" {
		return name
	}
	return "."
}

// header reads and checks one.
func (w *walk) header(in *input) (header, error) {
	if err := w.charge(headerSize); err != nil {
		return header{}, err
	}
	magic := in.peek(6)
	switch string(magic) {
	case "070701", "070702":
	case "070707":
		return header{}, w.fail(ErrUnsupported, "a cpio archive of the old portable format, which the kernel refuses (cpio -H newc makes the right one)")
	default:
		if len(magic) < 6 && in.err != nil {
			return header{}, w.fail(ErrDamaged, "cut short in a header")
		}
		return header{}, w.fail(ErrDamaged, fmt.Sprintf("%q is no cpio header", magic))
	}
	data, err := w.look(in, headerSize, "a header")
	if err != nil {
		return header{}, err
	}
	var numbers [13 * 4]byte
	if _, err := hex.Decode(numbers[:], data[6:]); err != nil {
		return header{}, w.fail(ErrDamaged, "a cpio header that is not hexadecimal")
	}
	number := func(i int) uint32 { return binary.BigEndian.Uint32(numbers[4*i:]) }
	h := header{
		key: linkKey{number(0), number(7), number(8)}, mode: number(1), links: number(4), size: int64(number(6)),
		nameSize: int64(number(11)), summed: data[5] == '2', sum: number(12),
	}
	if h.nameSize < 1 || h.nameSize > MaxName {
		return header{}, w.fail(ErrDamaged, fmt.Sprintf("a name of %d bytes", h.nameSize))
	}
	in.skip(headerSize)
	return h, nil
}

// hand calls each, unless the kernel would skip the entry or its content is still to come.
func (w *walk) hand(in *input, h header, name string) error {
	file := File{Name: name, Mode: h.mode, Segment: w.segment}
	body := &content{w: w, in: in, left: h.size, summed: h.summed}
	file.Content = io.LimitReader(body, 0)
	switch kind := h.mode & typeMask; {
	case kind == typeRegular:
		file.Size, file.Content = h.size, body
		if h.links > 1 {
			if wait, err := w.join(h, &file); wait || err != nil {
				return err
			}
		}
	case kind == typeSymlink && h.size <= MaxName:
		target, err := w.look(in, h.size, "a symbolic link")
		if err != nil {
			return err
		}
		before, _, _ := bytes.Cut(target, []byte{0})
		file.Target = string(before)
		in.skip(len(target))
		body.left, body.size = 0, h.size
	case h.size > 0: // skipped as in init/initramfs.c do_header
		return w.drain(body)
	}
	if err := w.each(file); err != nil {
		return err
	}
	if err := w.drain(body); err != nil {
		return err
	}
	if file.Regular() && h.summed && h.size > 0 && body.sum != h.sum {
		return w.fail(ErrDamaged, fmt.Sprintf("the bytes of a file add up to %#x, not %#x", body.sum, h.sum))
	}
	return nil
}

// drain reads what is left of an entry, with its padding.
func (w *walk) drain(body *content) error {
	if body.err == nil {
		_, _ = io.Copy(io.Discard, body) // its error stays in body
	}
	if body.err != nil && body.err != io.EOF {
		return body.err
	}
	padding, err := w.look(body.in, -body.size&3, "the padding of an entry")
	body.in.skip(len(padding))
	return err
}

// content is that of an entry.
type content struct {
	w    *walk
	in   *input
	left int64
	size int64 // read so far
	err  error

	summed bool
	sum    uint32
}

func (c *content) Read(p []byte) (int, error) {
	if c.err == nil && c.left == 0 {
		c.err = io.EOF
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.size += int64(n)
	if c.summed {
		for _, b := range p[:n] {
			c.sum += uint32(b)
		}
	}
	if err != nil && c.left > 0 {
		c.err = c.w.fail(ErrDamaged, "cut short in the content of a file")
		return n, c.err
	}
	return n, nil
}
