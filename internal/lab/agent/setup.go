//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"kkeys/internal/lab/gpt"
	"kkeys/internal/lab/wire"
)

// esp is where Debian mounts the EFI System Partition.
const esp = "/boot/efi"

type mount struct{ source, target, kind, options string }

// early is what has to be there before the job can be reported on.
var early = []mount{
	{"proc", "/proc", "proc", ""},
	{"sysfs", "/sys", "sysfs", ""},
	{"devtmpfs", "/dev", "devtmpfs", ""},
	{"tmpfs", "/run", "tmpfs", "mode=755"},
	{"tmpfs", "/tmp", "tmpfs", "mode=1777"},
}

// late is what needs modules.
var late = []mount{
	{"securityfs", "/sys/kernel/security", "securityfs", ""},
	{"efivarfs", "/sys/firmware/efi/efivars", "efivarfs", ""},
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		const flags = syscall.MS_NOSUID | syscall.MS_NOEXEC
		harden := uintptr(flags)
		if m.kind == "tmpfs" {
			harden = syscall.MS_NOSUID
		}
		if err := syscall.Mount(m.source, m.target, m.kind, harden, m.options); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

func readJob() (*wire.Job, error) {
	text, err := os.ReadFile(wire.JobPath)
	if err != nil {
		return nil, err
	}
	var job wire.Job
	if err := json.Unmarshal(text, &job); err != nil {
		return nil, fmt.Errorf("%s: %w", wire.JobPath, err)
	}
	return &job, nil
}

// setUp makes the guest an ordinary machine.
func setUp(job *wire.Job) error {
	if out, err := exec.Command("/bin/busybox", "--install", "-s").CombinedOutput(); err != nil {
		return fmt.Errorf("installing busybox: %w: %s", err, out)
	}
	if err := mountAll(late); err != nil {
		return err
	}
	device, err := partition(job.Partition)
	if err != nil {
		return err
	}
	if err := mountAll([]mount{{device, esp, "vfat", "umask=0077"}}); err != nil {
		return err
	}
	if out, err := exec.Command("/bin/busybox", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("setting the loopback up: %w: %s", err, out)
	}
	return nil
}

// load loads a module from a file.
func load(path string) error {
	image, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parameters := []byte{0}
	_, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)),
		uintptr(unsafe.Pointer(&parameters[0])))
	if errno != 0 {
		return fmt.Errorf("loading %s: %w", path, errno)
	}
	return nil
}

// partition waits for the partition with this GUID, makes its /dev/disk/by-partuuid link and returns its device.
func partition(guid string) (string, error) {
	const links = "/dev/disk/by-partuuid"
	if err := os.MkdirAll(links, 0o755); err != nil {
		return "", err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		numbers, err := filepath.Glob("/sys/class/block/*/partition")
		if err != nil {
			return "", err
		}
		for _, path := range numbers {
			if got, err := partitionGUID(path); err != nil {
				return "", err
			} else if got.String() == guid {
				device := filepath.Base(filepath.Dir(path))
				return "/dev/" + device, os.Symlink("../../"+device, filepath.Join(links, guid))
			}
		}
	}
	return "", fmt.Errorf("no partition has the GUID %s", guid)
}

// partitionGUID reads what the partition table says of the partition with this sysfs attribute "partition". Its folder in
// /sys/devices lies in that of its disk.
func partitionGUID(attribute string) (gpt.GUID, error) {
	text, err := os.ReadFile(attribute)
	if err != nil {
		return gpt.GUID{}, err
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return gpt.GUID{}, fmt.Errorf("%s: %w", attribute, err)
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(attribute))
	if err != nil {
		return gpt.GUID{}, err
	}
	disk, err := os.Open("/dev/" + filepath.Base(filepath.Dir(real)))
	if err != nil {
		return gpt.GUID{}, err
	}
	defer disk.Close()
	return gpt.Partition(disk, number)
}
