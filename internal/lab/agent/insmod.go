//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// Of finit_module(2): its number on x86-64, the only lab there is, and the flag that has the kernel unpack the module itself
// (include/uapi/linux/module.h, since Linux 5.17).
const (
	finitModule    = 313
	compressedFile = 4
)

// insmod loads a compressed module as newer kmods do, which leave it to the kernel to unpack it, and speaks as they do.
func insmod(path string) int {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err == nil {
		var none byte
		_, _, errno := syscall.Syscall(finitModule, uintptr(fd), uintptr(unsafe.Pointer(&none)), compressedFile)
		if errno == 0 {
			return 0
		}
		err = errno
	}
	text := err.Error()
	fmt.Fprintf(os.Stderr, "insmod: ERROR: could not insert module %s: %s\n", path, strings.ToUpper(text[:1])+text[1:])
	return 1
}
