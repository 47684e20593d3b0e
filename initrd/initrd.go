// Package initrd reads the files out of an initramfs image, the way the kernel does it: modules that are loaded before the
// root file system is there come from it, and they may be others than those in /lib/modules.
//
// The kernel object is what the boot loader hands over as initrd (/boot/initrd.img-RELEASE; root may be needed to read it):
// cpio archives ("newc", or "crc" since Linux 5.19), each plain or in a compressed stream, one after the other with zeros between; on
// x86 a plain one with microcode usually stands first (init/initramfs.c unpack_to_rootfs,
// Documentation/driver-api/early-userspace/buffer-format.rst). Later files replace earlier ones of the same name.
//
// Bytes in, files out; no file of this machine, no clock, no system call. What cannot be known here: which image the boot
// loader takes, the archive built into the kernel itself, and which compressions that kernel was built with.
package initrd

import (
	"errors"
	"fmt"
	"io"
)

const (
	// MaxUnpacked is a limit for Walk, in bytes, that leaves room above any image seen so far.
	MaxUnpacked = 4 << 30
	// MaxName is the longest name and the longest target of a symbolic link, in bytes: PATH_MAX of the kernel.
	MaxName = 4096
	// MaxEntries is how many entries an image may have.
	MaxEntries = 1 << 20
	// MaxLinks is how many names of files with several names are remembered until the archive ends, for they take memory.
	MaxLinks = 1 << 14
)

// Outcomes of Walk, each as an *Error.
var (
	// ErrDamaged: the image is cut short or broken. The kernel may have unpacked what comes before.
	ErrDamaged = errors.New("damaged initramfs")
	// ErrUnsupported: a compression, or a kind of it, that is not read here or that the kernel refuses.
	ErrUnsupported = errors.New("initramfs of an unsupported kind")
	// ErrTooLarge: the image is beyond a limit, or reading it would take too much memory.
	ErrTooLarge = errors.New("initramfs too large")
)

// Error says what is wrong, and where.
type Error struct {
	// Segment counts the archives and the compressed streams from 1; it is 0 before the first.
	Segment int
	// Packing is the compression of the segment, "none" for a plain archive, empty before the first.
	Packing string
	// Offset is in bytes from the start of the image. A decoder may have read on since what it complains of.
	Offset int64
	// Inside is in bytes from the start of what the compressed stream unpacks to; -1 where nothing was unpacked yet.
	Inside int64
	// What is wrong.
	What string

	outcome, cause error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%v: ", e.outcome)
	if e.Segment > 0 {
		text += fmt.Sprintf("segment %d (%s) ", e.Segment, e.Packing)
	}
	text += fmt.Sprintf("at offset %d", e.Offset)
	if e.Inside >= 0 {
		text += fmt.Sprintf(", %d bytes into its content", e.Inside)
	}
	text += ": " + e.What
	if e.cause != nil {
		text += fmt.Sprintf(": %v", e.cause)
	}
	return text
}

// Unwrap gives the outcome, and the decoder's error if there is one.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.outcome}
	}
	return []error{e.outcome, e.cause}
}

// File is an entry of an archive: a regular file, a directory, a symbolic link, a device.
type File struct {
	// Name is relative to the root of the initramfs and clean: it has no "..", no leading or trailing slash, and is "." for the
	// root. It may hold any byte but zero: whoever shows it takes care of control characters.
	Name string
	// Links are other names of this regular file, as clean as Name, whose entries came before its content.
	Links []string
	// LinkTo is the Name that a regular file without content of its own had when its content came; else empty.
	LinkTo string
	// Mode is st_mode: type and permissions (S_IFMT is 0170000), as the archive has it.
	Mode uint32
	// Size of Content in bytes.
	Size int64
	// Content of a regular file, empty for others. It can be read until the function it was given to returns.
	Content io.Reader
	// Target of a symbolic link as it is written: not clean, not resolved.
	Target string
	// Segment is where the file was found, as in Error.
	Segment int
}

// Regular tells whether the entry is a regular file.
func (f *File) Regular() bool { return f.Mode&typeMask == typeRegular }

// The types in st_mode (include/uapi/linux/stat.h).
const (
	typeMask    = 0o170000
	typeRegular = 0o100000
	typeSymlink = 0o120000
)

// walk is the state of Walk.
type walk struct {
	image   *input
	each    func(File) error
	left    int64 // of the limit
	entries int
	segment int
	packing string
	inner   *input // what the compressed stream unpacks to, nil in a plain archive
	ended   bool   // the last entry was a trailer
	links   links
}

// Walk calls each for every entry of an image, in its order, until each returns an error, which Walk returns as it is. The
// files and what stands around them may have limit bytes in all; MaxUnpacked is a good one. Memory does not grow with the image.
//
// It is as strict as the kernel, and in one case stricter: the last archive needs its trailer, without which
// an image that was cut short between two files would pass. What the kernel skips is skipped: the content of what is no regular
// file, and overlong symbolic links.
//
// Errors: *Error; what r returned.
func Walk(r io.Reader, limit int64, each func(File) error) error {
	w := &walk{image: newInput(r), each: each, left: min(limit, 1<<50)}
	for {
		w.inner = nil
		head := w.image.peek(2)
		switch {
		case len(head) == 0:
			return w.end()
		case head[0] == 0:
			w.image.skip(1)
			continue
		}
		w.segment++
		var err error
		if head[0] == '0' {
			w.packing = "none"
			err = w.archives(w.image)
		} else {
			err = w.unpack(head)
		}
		if err != nil {
			return err
		}
	}
}

// end is where the image ends.
func (w *walk) end() error {
	switch {
	case w.image.err != io.EOF:
		return w.fail(ErrDamaged, "unreadable")
	case w.segment == 0:
		return w.fail(ErrDamaged, "no archive in it")
	case !w.ended:
		return w.fail(ErrDamaged, "the last archive has no trailer")
	}
	return nil
}

// unpack reads the archives in a compressed stream.
func (w *walk) unpack(head []byte) error {
	p, known := packingOf(head)
	if !known {
		w.packing = "unknown"
		return w.fail(ErrDamaged, fmt.Sprintf("%q is neither a cpio header nor a known compression", head))
	}
	w.packing = p.name
	if p.open == nil {
		return w.fail(ErrUnsupported, p.name+" is not read here")
	}
	decoder, err := p.open(w.image, w.left)
	if err != nil {
		return w.failed("not readable", err)
	}
	defer decoder.Close()
	w.inner = newInput(decoder)
	if err := w.zeros(w.inner); err != nil {
		return err
	}
	if len(w.inner.peek(1)) > 0 {
		return w.archives(w.inner)
	}
	if w.inner.err != io.EOF {
		return w.fail(ErrDamaged, "not readable")
	}
	return nil
}

// fail makes an error for here. If a reader has failed, that is the cause.
func (w *walk) fail(outcome error, what string) error {
	if w.image.err != nil && w.image.err != io.EOF {
		return fmt.Errorf("reading an initramfs at offset %d: %w", w.image.offset, w.image.err)
	}
	e := &Error{Segment: w.segment, Packing: w.packing, Offset: w.image.offset, Inside: -1, What: what, outcome: outcome}
	if w.inner != nil {
		e.Inside = w.inner.offset
		if w.inner.err != nil && w.inner.err != io.EOF {
			e.cause = w.inner.err
			e.outcome = outcomeOf(w.inner.err)
		}
	}
	return e
}

// failed is fail with a decoder's error.
func (w *walk) failed(what string, cause error) error {
	err := w.fail(outcomeOf(cause), what)
	if e, ok := err.(*Error); ok {
		e.cause = cause
	}
	return err
}

// refusal is a decoder's error that is no damage.
type refusal struct {
	outcome error
	what    string
}

func (r *refusal) Error() string { return r.what }

func outcomeOf(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r.outcome
	}
	return ErrDamaged
}
