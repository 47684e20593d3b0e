//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"kkeys/internal/lab/wire"
)

// variables is where programs find the EFI variables.
const variables = "/sys/firmware/efi/efivars"

// run runs a command, or as much of it as there is time for before the power is to be cut.
func run(c wire.Command) (output *wire.Output, cut bool, err error) {
	if c.Cut || c.CutAfter == "" {
		if !c.Cut {
			output = execute(c)
		}
		return output, c.Cut, nil
	}
	w, err := newWatch(c.CutAfter)
	if err != nil {
		return nil, false, fmt.Errorf("watching %s: %w", c.CutAfter, err)
	}
	stopped, ended := make(chan error, 1), make(chan *wire.Output, 1)
	go func() { stopped <- w.untilChanged() }()
	go func() { ended <- execute(c) }()
	select {
	case err := <-stopped:
		return nil, err == nil, err
	case output := <-ended:
		changed, err := w.changed()
		if err == nil && !changed {
			err = fmt.Errorf("%q did not change %s: exit code %d %s\n%s%s", c.Argv, c.CutAfter, output.Code, output.Failure,
				output.Stdout, output.Stderr)
		}
		return nil, changed, err
	}
}

// watch knows what an EFI variable was. The kernel asks it before any file in efivarfs is opened (fanotify(7)).
type watch struct {
	name   string   // the variable's file
	aside  *os.Root // efivarfs by a mount of its own: what the kernel asks about are files of the other one
	before []byte
	kernel *os.File
}

func newWatch(name string) (*watch, error) {
	aside, err := mountAside()
	if err != nil {
		return nil, err
	}
	w := &watch{name: name, aside: aside}
	if w.before, err = w.read(); err != nil {
		return nil, err
	}
	const closeOnExec, permission = 1, 4 // FAN_CLOEXEC, FAN_CLASS_CONTENT
	fd, _, errno := syscall.Syscall(syscall.SYS_FANOTIFY_INIT, closeOnExec|permission, syscall.O_RDONLY, 0)
	if errno != 0 {
		return nil, fmt.Errorf("fanotify_init: %w", errno)
	}
	w.kernel = os.NewFile(fd, "fanotify")
	path, err := syscall.BytePtrFromString(variables)
	if err != nil {
		return nil, err
	}
	const add, openAsked, here = 1 | 0x10, 0x10000, -100 // FAN_MARK_ADD|FAN_MARK_MOUNT, FAN_OPEN_PERM, AT_FDCWD
	at := here
	_, _, errno = syscall.Syscall6(syscall.SYS_FANOTIFY_MARK, fd, add, openAsked, uintptr(at), uintptr(unsafe.Pointer(path)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("fanotify_mark: %w", errno)
	}
	return w, nil
}

// mountAside mounts efivarfs once more, where no program sees it.
func mountAside() (*os.Root, error) {
	const folder = "/lab/efivars"
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount(variables, folder, "", syscall.MS_BIND, ""); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	return root, syscall.Unmount(folder, syscall.MNT_DETACH)
}

// read gives the variable with its attributes. A file with nothing in it is one that is being created.
func (w *watch) read() ([]byte, error) {
	data, err := w.aside.ReadFile(w.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (w *watch) changed() (bool, error) {
	now, err := w.read()
	return !bytes.Equal(now, w.before), err
}

// untilChanged lets files be opened until the variable is found changed; the one that is to be opened then, and all after it,
// never are.
func (w *watch) untilChanged() error {
	const whole, descriptor, allow = 24, 16, 1 // size of fanotify_event_metadata, place of its fd, FAN_ALLOW
	events := make([]byte, 4096)
	for {
		n, err := w.kernel.Read(events)
		if err != nil {
			return fmt.Errorf("reading fanotify's events: %w", err)
		}
		for event := events[:n]; len(event) >= whole; event = event[binary.LittleEndian.Uint32(event):] {
			changed, err := w.changed()
			if err != nil || changed {
				return err
			}
			fd := binary.LittleEndian.Uint32(event[descriptor:])
			answer := binary.LittleEndian.AppendUint32(nil, fd)
			if _, err := w.kernel.Write(binary.LittleEndian.AppendUint32(answer, allow)); err != nil {
				return fmt.Errorf("answering fanotify: %w", err)
			}
			if err := syscall.Close(int(fd)); err != nil {
				return err
			}
		}
	}
}
