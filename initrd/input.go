package initrd

import "io"

// unreadable is how many bytes can be given back to an input.
const unreadable = 8

// input is a buffered reader that knows its offset and reads no byte for a decoder that the decoder did not ask for: where a
// compressed stream ends, the next one starts. bufio.Reader gives only one byte back.
type input struct {
	r          io.Reader
	buffer     []byte
	start, end int
	offset     int64 // of buffer[start]
	err        error // of r, io.EOF included; the buffer may hold bytes from before
}

func newInput(r io.Reader) *input { return &input{r: r, buffer: make([]byte, 64<<10)} }

// fill reads once, and keeps what can be given back.
func (in *input) fill() {
	if in.err != nil {
		return
	}
	if keep := min(in.start, unreadable); keep < in.start {
		copy(in.buffer, in.buffer[in.start-keep:in.end])
		in.start, in.end = keep, in.end-in.start+keep
	}
	for range 100 {
		n, err := in.r.Read(in.buffer[in.end:])
		in.end += n
		if in.err = err; n > 0 || err != nil {
			return
		}
	}
	in.err = io.ErrNoProgress
}

// peek gives the next n bytes, or as many as there are.
func (in *input) peek(n int) []byte {
	for in.end-in.start < n && in.err == nil {
		in.fill()
	}
	return in.buffer[in.start:min(in.end, in.start+n)]
}

// skip leaves out n bytes that were peeked.
func (in *input) skip(n int) {
	in.start += n
	in.offset += int64(n)
}

// unread gives up to unreadable bytes back.
func (in *input) unread(n int) { in.skip(-n) }

func (in *input) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if in.start == in.end {
		if in.fill(); in.start == in.end {
			return 0, in.err
		}
	}
	n := copy(p, in.buffer[in.start:in.end])
	in.skip(n)
	return n, nil
}

// ReadByte is what keeps compress/flate and others from reading ahead.
func (in *input) ReadByte() (byte, error) {
	if in.start == in.end {
		if in.fill(); in.start == in.end {
			return 0, in.err
		}
	}
	b := in.buffer[in.start]
	in.skip(1)
	return b, nil
}
