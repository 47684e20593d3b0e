package lab

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"kkeys/internal/lab/gpt"
)

// Partition is the GUID of the EFI System Partition on every lab machine, as /dev/disk/by-partuuid has it.
const Partition = "6b6b6579-7300-4c61-8000-000000000001"

const (
	diskID      = "6b6b6579-7300-4c61-8000-000000000000"
	diskSize    = 160 << 20
	diskSectors = diskSize / gpt.Sector
)

// boot are the files of an installed Debian on the EFI System Partition, from the packages: Debian's own folder, and the
// folder for machines that have no boot entry, where shim finds fallback, which makes the entry from BOOTX64.CSV.
var boot = []struct{ on, from string }{
	{"/EFI/debian/shimx64.efi", shim},
	{"/EFI/debian/mmx64.efi", mokManager},
	{"/EFI/debian/fbx64.efi", "/usr/lib/shim/fbx64.efi.signed"},
	{"/EFI/debian/grubx64.efi", "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"},
	{"/EFI/debian/BOOTX64.CSV", "/usr/lib/shim/BOOTX64.CSV"},
	{"/EFI/BOOT/BOOTX64.EFI", shim},
	{"/EFI/BOOT/fbx64.efi", "/usr/lib/shim/fbx64.efi.signed"},
	{"/EFI/BOOT/mmx64.efi", mokManager},
}

const mokManager = "/usr/lib/shim/mmx64.efi.signed"

// disk writes a disk image: a partition table and one EFI System Partition with the boot files and these others, given as
// name on the partition and path on this machine; they take the place of boot files of the same name.
func (p *Parts) disk(ctx context.Context, image string, withoutMokManager bool, others map[string]string) error {
	file, err := os.Create(image)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(diskSize); err != nil {
		return err
	}
	id, err := gpt.Parse(diskID)
	if err != nil {
		return err
	}
	partition, err := gpt.Parse(Partition)
	if err != nil {
		return err
	}
	if err := gpt.Write(file, diskSectors, id, partition); err != nil {
		return err
	}
	esp := &filesystem{p, fmt.Sprintf("%s@@%d", image, gpt.First*gpt.Sector), nil}
	sectors := fmt.Sprint(gpt.Last(diskSectors) - gpt.First + 1)
	if err := esp.run(ctx, "mformat", "-F", "-c", "2", "-T", sectors, "-H", fmt.Sprint(gpt.First), "-h", "255", "-s", "63", "::"); err != nil {
		return err
	}
	for _, f := range boot {
		if _, replaced := others[f.on]; replaced || withoutMokManager && f.from == mokManager {
			continue
		}
		if err := esp.copy(ctx, p.path(f.from), f.on); err != nil {
			return err
		}
	}
	for on, from := range others {
		if err := esp.copy(ctx, from, on); err != nil {
			return err
		}
	}
	return nil
}

// filesystem is a FAT file system in an image, written by mtools.
type filesystem struct {
	parts   *Parts
	image   string
	folders []string
}

func (f *filesystem) run(ctx context.Context, command string, args ...string) error {
	cmd := f.parts.tool(ctx, "/usr/bin/mtools", append([]string{"-c", command, "-i", f.image}, args...)...)
	cmd.Env = append(cmd.Env, "MTOOLSRC="+filepath.Join(f.parts.Folder, "none"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

func (f *filesystem) copy(ctx context.Context, from, on string) error {
	if err := f.makeFolder(ctx, path.Dir(on)); err != nil {
		return err
	}
	return f.run(ctx, "mcopy", from, "::"+on)
}

func (f *filesystem) makeFolder(ctx context.Context, name string) error {
	if name == "/" || slices.Contains(f.folders, name) {
		return nil
	}
	if err := f.makeFolder(ctx, path.Dir(name)); err != nil {
		return err
	}
	f.folders = append(f.folders, name)
	return f.run(ctx, "mmd", "::"+name)
}
