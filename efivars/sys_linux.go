package efivars

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the only one with system calls of Linux.

type fileSystemKind int

const (
	fileSystemPlain fileSystemKind = iota
	fileSystemEfivarfs
	fileSystemSysfs
)

// fileSystem tells efivarfs (magic 0xde5e81e4) and sysfs from others.
func fileSystem(dir string) (fileSystemKind, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	switch uint32(st.Type) { // the field is signed and of another width on some architectures
	case unix.EFIVARFS_MAGIC:
		return fileSystemEfivarfs, nil
	case unix.SYSFS_MAGIC:
		return fileSystemSysfs, nil
	}
	return fileSystemPlain, nil
}

// space asks efivarfs, whose block is one byte (fs/efivarfs/super.c, since 6.7; before that all counts are zero).
func space(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, err
	}
	if st.Blocks == 0 {
		return Space{}, nil
	}
	size := uint64(st.Bsize)
	return Space{Total: st.Blocks * size, Free: st.Bfree * size, Available: st.Bavail * size}, nil
}

// writeOnce is one write(2), never repeated: os.File would go on after a short write and try again after EINTR, which
// here is the firmware's EFI_ABORTED.
func writeOnce(f *os.File, b []byte) (int, error) {
	return unix.Write(int(f.Fd()), b)
}

// Reads of a user who is not root are limited to a hundred a second; one over that sleeps 50 ms in the kernel and fails
// with EINTR (fs/efivarfs/file.c, efivarfs_file_read).
const (
	readTries = 200
	readPause = 10 * time.Millisecond
)

func readOnce(f *os.File, b []byte) (int, error) {
	for try := 1; ; try++ {
		n, err := unix.Read(int(f.Fd()), b)
		if err == unix.EINTR && try < readTries {
			time.Sleep(readPause)
			continue
		}
		if err == nil && n == 0 {
			return 0, io.EOF
		}
		return n, err
	}
}

// immutable is FS_IMMUTABLE_FL of include/uapi/linux/fs.h.
const immutable = 0x10

// unlock clears the immutable flag, which needs CAP_LINUX_IMMUTABLE, and returns what puts it back. Without the flag
// both do nothing.
func unlock(f *os.File) (lock func() error, err error) {
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return nil, err
	}
	if flags&immutable == 0 {
		return func() error { return nil }, nil
	}
	set := func(flags uint32) error {
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
	}
	if err := set(flags &^ immutable); err != nil {
		return nil, err
	}
	return func() error { return set(flags) }, nil
}

// access asks whether files may be made in a folder: EACCES for want of permission, EROFS on a read-only mount.
func access(dir string) error { return unix.Access(dir, unix.W_OK) }

// lockTries times readPause is how long a lock is waited for.
const lockTries = 500

// lock takes the lock of flock(2) on an open folder; closing it gives the lock back. EWOULDBLOCK: another program has it.
func lock(f *os.File) error {
	for try := 1; ; try++ {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return err
		}
		if try == lockTries {
			return ErrBusy
		}
		time.Sleep(readPause)
	}
}
