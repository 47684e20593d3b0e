package efivars

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// What can go wrong with a variable. Every error of a Store wraps one of these and keeps the errno under it.
var (
	// ErrNotFound: there is no such variable.
	ErrNotFound = errors.New("no such EFI variable")
	// ErrReadOnly: the variables cannot be written: efivarfs is mounted read-only or the firmware protects the variable.
	ErrReadOnly = errors.New("EFI variables are read-only here")
	// ErrVolatile: the firmware takes writes of the running system and forgets them at the reboot (EBBR: variables in a file; U-Boot).
	ErrVolatile = errors.New("this firmware forgets what the running system writes into EFI variables")
	// ErrNoSpace: the firmware's storage is full, or the kernel keeps the rest back.
	ErrNoSpace = errors.New("no space left for EFI variables")
	// ErrDenied: no permission.
	ErrDenied = errors.New("no permission for EFI variables")
	// ErrInvalid: the firmware or the kernel refused the request as it is.
	ErrInvalid = errors.New("EFI variable refused as invalid")
	// ErrNotSupported: this system has no EFI variables.
	ErrNotSupported = errors.New("EFI variables are not available on this system")
	// ErrNotMounted: the system was started by EFI, and its variables cannot be seen: nobody has mounted efivarfs.
	ErrNotMounted = errors.New("efivarfs is not mounted")
	// ErrIO: the device failed, or something for which no other name fits.
	ErrIO = errors.New("EFI variable input/output error")
	// ErrBusy: another program is changing variables.
	ErrBusy = errors.New("another program is changing EFI variables")
	// ErrMalformed: the file is no variable: shorter than its attributes, no regular file, or beyond any sensible size.
	ErrMalformed = errors.New("not an EFI variable")
	// ErrUnavailable: the entry is there and cannot be read in full without CAP_SYS_ADMIN.
	ErrUnavailable = errors.New("cannot be read without privilege")
)

// meaning gives the sentinel of an error of the operating system. Sources: fs/efivarfs, and efi_status_to_err in
// drivers/firmware/efi/efi.c which translates the firmware's answer.
func meaning(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		if errors.Is(err, fs.ErrNotExist) {
			return ErrNotFound
		}
		return ErrIO
	}
	switch errno {
	case syscall.ENOENT: // no file; EFI_NOT_FOUND
		return ErrNotFound
	case syscall.EROFS: // mounted read-only; EFI_WRITE_PROTECTED
		return ErrReadOnly
	case syscall.ENOSPC: // EFI_OUT_OF_RESOURCES; the kernel's reserve of 5120 bytes on x86
		return ErrNoSpace
	case syscall.EACCES, // file mode; EFI_SECURITY_VIOLATION: the payload's signature was refused
		syscall.EPERM: // the immutable flag, no CAP_LINUX_IMMUTABLE, or a container
		return ErrDenied
	case syscall.EINVAL, // EFI_INVALID_PARAMETER and any status without an errno: attributes changed, unknown bits,
		// volatile variable, larger than the firmware's maximum; a file name that is none; unlink refused
		syscall.ENAMETOOLONG: // more than 255 bytes of file name
		return ErrInvalid
	case syscall.ENOSYS, // firmware without run-time services
		syscall.EOPNOTSUPP, // the same, since 6.x; no flags on this file system
		syscall.ENODEV:     // efivarfs cannot be mounted: not booted by EFI
		return ErrNotSupported
	}
	// EIO: EFI_DEVICE_ERROR, or attributes without data for a new variable. EINTR: EFI_ABORTED, or reads limited to
	// a hundred a second for a user who is not root. ENOMEM: no memory for the copy. EEXIST: created by another
	// program between two of our calls. EFAULT cannot come from a slice.
	return ErrIO
}

// failed says which operation on which variable failed and keeps the cause.
func failed(op string, n Name, err error) error {
	return fmt.Errorf("%s EFI variable %s: %w: %w", op, n.Name, meaning(err), err)
}

// CorruptError says where and why bytes are not what they should be. It wraps ErrCorrupt.
type CorruptError struct {
	// What was decoded, as in "EFI signature list".
	What string
	// Offset of the field that is wrong, in bytes from the start of the input.
	Offset int
	// Clean is how many bytes at the start of the input hold whole and valid elements; all after them is invisible to
	// whoever reads in order.
	Clean int
	// Why it is wrong.
	Why string
}

// ErrCorrupt is what errors.Is finds in every CorruptError.
var ErrCorrupt = errors.New("corrupt")

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt %s at offset %d: %s", e.What, e.Offset, e.Why)
}

// Unwrap gives ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
