package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kkeys/efivars"
)

// Outcomes of looking for a program on an EFI system partition.
var (
	errNoPartition = errors.New("there is no such partition")
	errNotMounted  = errors.New("the EFI system partition is not mounted")
)

// mountPoint gives the folder, relative to the root, on which a GPT partition is mounted.
func (m *Machine) mountPoint(partition efivars.GUID) (string, error) {
	link := "dev/disk/by-partuuid/" + partition.String()
	if _, err := fs.Stat(m.Files, "dev/disk/by-partuuid"); err != nil {
		return "", fmt.Errorf("partitions cannot be told apart: %w", err)
	}
	target, err := fs.ReadLink(m.Files, link)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s", errNoPartition, partition)
	} else if err != nil {
		return "", err
	}
	mounts, err := m.mounts()
	if err != nil {
		return "", err
	}
	for _, mount := range mounts {
		if mount.source == "/dev/"+path.Base(target) {
			return mount.dir, nil
		}
	}
	return "", fmt.Errorf("%w: /%s", errNotMounted, link)
}

// onlyWith gives the folder of the one mounted FAT file system that has the file.
func (m *Machine) onlyWith(file string) (string, error) {
	mounts, err := m.mounts()
	if err != nil {
		return "", err
	}
	var dirs []string
	for _, mount := range mounts {
		if mount.kind != "vfat" {
			continue
		}
		if _, err := m.find(mount.dir, file); err == nil {
			dirs = append(dirs, mount.dir)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	switch len(dirs) {
	case 0:
		return "", fmt.Errorf("%w: no mounted FAT file system has %s", errNotMounted, file)
	case 1:
		return dirs[0], nil
	}
	return "", fmt.Errorf("%d mounted FAT file systems have %s: /%s", len(dirs), file, strings.Join(dirs, ", /"))
}

// mount is a file system's whole tree, mounted.
type mount struct {
	source string // a device as a rule
	dir    string // relative to the root; "." for the root itself
	kind   string // "vfat"
}

// mounts reads /proc/self/mountinfo.
func (m *Machine) mounts() ([]mount, error) {
	file, err := m.open("proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseMounts(io.LimitReader(file, mountsMax))
}

// mountsMax bounds the text in bytes; a machine with ten thousand containers has a few MiB.
const mountsMax = 64 << 20

// parseMounts reads the text of mountinfo (proc(5)): `id parent major:minor root mountpoint options fields… - type source superoptions`,
// with blanks, tabs, newlines and backslashes as octal escapes. Lines of another shape, and mounts of a part of a tree, are passed over.
func parseMounts(r io.Reader) ([]mount, error) {
	var mounts []mount
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 2 || left[3] != "/" || !strings.HasPrefix(left[4], "/") {
			continue
		}
		dir := path.Clean(strings.TrimLeft(unescapeOctal(left[4]), "/"))
		if fs.ValidPath(dir) {
			mounts = append(mounts, mount{source: unescapeOctal(right[1]), dir: dir, kind: right[0]})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	return mounts, nil
}

var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescapeOctal(s string) string { return octal.Replace(s) }

// find walks a path of the firmware's, with backslashes, below dir. FAT does not tell capitals from small letters, whatever the file
// system on which a copy of it lies. The result is a path below the root.
func (m *Machine) find(dir, file string) (string, error) {
	for _, part := range strings.FieldsFunc(file, func(r rune) bool { return r == '\\' || r == '/' }) {
		names, err := m.names(dir)
		if err != nil {
			return "", err
		}
		at := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, part) })
		if at < 0 {
			return "", fmt.Errorf("/%s has no %s: %w", dir, part, fs.ErrNotExist)
		}
		dir = path.Join(dir, names[at])
	}
	return dir, nil
}
