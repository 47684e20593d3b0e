package machine

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	text := "21 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n" +
		"30 21 8:1 / /boot/efi rw shared:2 master:3 - vfat /dev/sda1 rw,utf8\n" +
		"31 21 8:3 / /mnt/a\\040b\\134c rw - vfat /dev/disk\\040x rw\n" +
		"32 21 8:2 /sub /bind rw - ext4 /dev/sda2 rw\n" + // a part of a tree
		"33 21 8:4 / relative rw - vfat /dev/sda4 rw\n" +
		"34 21 8:4 / /../up rw - vfat /dev/sda4 rw\n" +
		"short line\n\n - \n"
	got, err := parseMounts(strings.NewReader(text))
	want := []mount{{"/dev/sda2", ".", "ext4"}, {"/dev/sda1", "boot/efi", "vfat"}, {"/dev/disk x", `mnt/a b\c`, "vfat"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("mounts %q, %v, want %q", got, err, want)
	}
	if got, err := parseMounts(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil || got != nil {
		t.Errorf("a line of 1 MiB: %v, %v, want an error alone", got, err)
	}
}

func FuzzMounts(f *testing.F) {
	f.Add("30 21 8:1 / /boot/efi rw shared:2 - vfat /dev/sda1 rw")
	f.Add("1 1 1 / /\\040 a - b c")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMounts(strings.NewReader(text))
		if err != nil && mounts != nil {
			t.Error("mounts beside an error")
		}
		for _, m := range mounts {
			if !fs.ValidPath(m.dir) {
				t.Errorf("%q is no path below the root", m.dir)
			}
		}
	})
}
