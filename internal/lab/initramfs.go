package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"path"

	"kkeys/internal/lab/wire"
)

// tools are the guest's programs beside busybox.
var tools = []string{"/bin/busybox", "/bin/keyctl", "/bin/kmod", "/usr/bin/mokutil"}

// drivers are the modules that the guest needs to be an ordinary machine: EFI variables, the disk and its file
// system, the port to report on.
var drivers = []string{"efivarfs", "virtio_pci", "virtio_blk", "virtio_console", "vfat", "nls_cp437", "nls_ascii"}

// spare are modules that lie in the guest for tests to load, at their places below /lib/modules: a harmless driver and the
// hash without which signatures with SHA-512 are refused.
var spare = []string{"dummy", "sha512_generic"}

// initramfs writes the guest's whole system.
func (p *Parts) initramfs(w io.Writer, m Machine, agent []byte) error {
	a := archive{}
	a.add("/init", 0o755, agent)
	for _, name := range []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/etc", "/var/lib", "/run", "/proc", "/sys", "/dev"} {
		a.folder(name, 0o755)
	}
	a.folder("/root", 0o700)
	a.folder("/tmp", 0o1777)
	a.add("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n"))
	a.add("/etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	if err := p.addTools(a); err != nil {
		return err
	}
	order, err := p.addModules(a, m.Kernel)
	if err != nil {
		return err
	}
	for name, file := range m.Files {
		a.add(name, uint32(file.Mode.Perm()), file.Data)
	}
	job, err := json.Marshal(wire.Job{Modules: order, Partition: Partition, Commands: m.Commands})
	if err != nil {
		return err
	}
	a.add(wire.JobPath, 0o600, job)
	return a.write(w)
}

func (p *Parts) addTools(a archive) error {
	libraries, err := p.closure(tools[1:]...) // busybox is static
	if err != nil {
		return err
	}
	for _, name := range append(libraries, tools...) {
		data, err := p.read(name)
		if err != nil {
			return err
		}
		a.add(name, 0o755, data)
	}
	a.link("/lib64/"+path.Base(loader), loader)
	return nil
}

// addModules adds modules and the kernel's configuration and returns what has to be loaded, in order.
func (p *Parts) addModules(a archive, k Kernel) ([]string, error) {
	order, images, err := p.load(k, drivers)
	if err != nil {
		return nil, err
	}
	_, more, err := p.load(k, spare)
	if err != nil {
		return nil, err
	}
	for _, set := range []map[string][]byte{images, more} {
		for name, image := range set {
			a.add(name, 0o644, image)
		}
	}
	release, err := p.release(k)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"/boot/config-" + release, path.Join("/lib/modules", release, "modules.builtin")} {
		data, err := p.read(name)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", release, err)
		}
		a.add(name, 0o644, data)
	}
	return order, nil
}
