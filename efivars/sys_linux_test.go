package efivars

import (
	"os"
	"syscall"
	"unsafe"
)

// The flags of a file by plain system calls, so that the code under test is not its own witness. The request numbers are
// FS_IOC_GETFLAGS and FS_IOC_SETFLAGS with the size of a long, which every architecture of Linux but mips, powerpc,
// sparc and alpha encodes alike.
const (
	getFlags = 0x80006601 | unsafe.Sizeof(uintptr(0))<<16
	setFlags = 0x40006602 | unsafe.Sizeof(uintptr(0))<<16
)

func ioctl(f *os.File, request uintptr, flags *uint32) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(flags)))
	if errno != 0 {
		return errno
	}
	return nil
}

func locked(f *os.File) (bool, error) {
	var flags uint32
	err := ioctl(f, getFlags, &flags)
	return flags&0x10 != 0, err
}

func setLock(f *os.File) error {
	var flags uint32
	if err := ioctl(f, getFlags, &flags); err != nil {
		return err
	}
	flags |= 0x10
	return ioctl(f, setFlags, &flags)
}
