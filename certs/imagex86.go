package certs

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// x86Code undoes xz's filter for x86 code (The .xz File Format 1.2.1, section 5.3.2). To make calls of one function look alike, the
// packer replaced the relative target behind the opcodes E8 and E9 (call, jmp) by the absolute one, if the target's highest byte was 00
// or FF. Anything with such bytes is changed, certificates too.
type x86Code struct {
	r        io.Reader
	data     []byte // room for bytes that were read
	from, to int    // data[from:to] was read and not yet given away
	done     int    // data[from:done] is finished
	position uint32 // of data[0] in the block
	// doubtful tells for the three bytes before, the nearest in bit 0, whether it is an opcode whose target was left alone.
	doubtful uint8
	err      error // of r, kept until all is given away
}

func newX86Code(r io.Reader) *x86Code { return &x86Code{r: r, data: make([]byte, 64<<10)} }

func (x *x86Code) Read(p []byte) (int, error) {
	for x.from == x.done {
		if x.err != nil {
			if x.from == x.to || x.err != io.EOF {
				return 0, x.err
			}
			x.done = x.to // the last four bytes have no room for a target
			break
		}
		x.fill()
	}
	n := copy(p, x.data[x.from:x.done])
	x.from += n
	return n, nil
}

// fill moves what is left to the front, reads more, and finishes all but the last four bytes.
func (x *x86Code) fill() {
	x.position += uint32(x.from)
	x.to = copy(x.data, x.data[x.from:x.to])
	x.from, x.done = 0, 0
	var n int
	n, x.err = x.r.Read(x.data[x.to:])
	x.to += n
	for x.done+4 < x.to {
		x.done += x.step(x.done)
	}
}

// step finishes the byte at i, and the four after it if they were a target; it tells how many.
func (x *x86Code) step(i int) int {
	opcode := x.data[i]&^1 == 0xe8
	if opcode && x.convertible(i) {
		x.convert(i)
		x.doubtful = 0
		return 5
	}
	x.doubtful = x.doubtful << 1 & 7
	if opcode {
		x.doubtful |= 1
	}
	return 1
}

// convertible: the highest byte is 00 or FF, and no opcode shortly before may have had this one in its own target.
func (x *x86Code) convertible(i int) bool {
	if before := bits.Len8(x.doubtful); before > 0 && (bits.OnesCount8(x.doubtful) > 1 || isSign(x.data[i+4-before])) {
		return false
	}
	return isSign(x.data[i+4])
}

func isSign(b byte) bool { return b == 0 || b == 0xff }

// convert makes the target relative again. After a doubtful opcode the packer took care that the byte by which the target is judged (see
// convertible) did not become 00 or FF: it converted a second time, with the lower bits turned over.
func (x *x86Code) convert(i int) {
	field := x.data[i+1 : i+5]
	here := x.position + uint32(i) + 5
	target := binary.LittleEndian.Uint32(field) - here
	if before := bits.Len8(x.doubtful); before > 0 && isSign(byte(target>>(24-8*before))) {
		target = (target ^ (1<<(32-8*before) - 1)) - here
	}
	// 25 bits are a number with a sign.
	binary.LittleEndian.PutUint32(field, uint32(int32(target<<7)>>7))
}
