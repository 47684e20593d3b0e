package kernel

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// initModule gives the name of the errno. There is no error of its own but for a kernel without modules.
func initModule(image []byte) (Errno, error) {
	err := unix.InitModule(image, "")
	var errno unix.Errno
	switch {
	case err == nil:
		return Loaded, nil
	case errors.Is(err, unix.ENOSYS): // kernel/sys_ni.c: built without CONFIG_MODULES; or a container's filter
		return "", fmt.Errorf("%w: %w", ErrNoProbe, err)
	case !errors.As(err, &errno): // a NUL in the parameters, which are ours
		return "", fmt.Errorf("%w: %w", ErrNoProbe, err)
	}
	if name := unix.ErrnoName(errno); name != "" {
		return Errno(name), nil
	}
	return Errno(fmt.Sprintf("errno %d", int(errno))), nil
}

// kmsg is /dev/kmsg, read without blocking. Go's own files would wait where there is no record.
type kmsg int

// openLog opens the kernel log at its end, so that only what comes from now on is read (printk.c, devkmsg_llseek).
func openLog() (io.ReadCloser, error) {
	// EACCES, EPERM: no CAP_SYSLOG, where dmesg_restrict is 1. ENOENT: no devtmpfs here, or a kernel without CONFIG_PRINTK.
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/kmsg: %w", err)
	}
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil { // ESPIPE, EINVAL: something else stands under that name
		unix.Close(fd)
		return nil, fmt.Errorf("/dev/kmsg: end of the log: %w", err)
	}
	return kmsg(fd), nil
}

func (fd kmsg) Close() error { return unix.Close(int(fd)) }

func (fd kmsg) Read(buffer []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN): // devkmsg_read: nothing more to read
			return 0, errDrained
		case errors.Is(err, unix.EPIPE): // devkmsg_read: the record to read next was overwritten
			return 0, errLost
		case err != nil: // EINVAL: a record larger than the buffer
			return 0, err
		case n == 0:
			return 0, io.EOF // the log has no end: this is another file
		}
		return n, nil
	}
}

// wholeLog opens the kernel log at its beginning, which is the oldest record that is left.
func wholeLog() (io.ReadCloser, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/kmsg: %w", err)
	}
	return kmsg(fd), nil
}

// klogctl reads the log as dmesg did before there was /dev/kmsg (syslog(2), SYSLOG_ACTION_READ_ALL). EPERM: dmesg_restrict is 1.
func klogctl() (string, error) {
	const readAll, sizeBuffer = 3, 10
	size, err := unix.Klogctl(sizeBuffer, nil)
	if err != nil {
		return "", fmt.Errorf("klogctl: %w", err)
	}
	buffer := make([]byte, size)
	n, err := unix.Klogctl(readAll, buffer)
	if err != nil {
		return "", fmt.Errorf("klogctl: %w", err)
	}
	return string(buffer[:n]), nil
}
