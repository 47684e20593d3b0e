package lab

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Kinds of files in an archive, stat(2)'s st_mode.
const (
	kindFolder = 0o040000
	kindFile   = 0o100000
	kindLink   = 0o120000
)

// archive is a set of files for an initramfs. Names are absolute; the folders above a file need not be added.
type archive map[string]archived

// archived is one file: its kind and permissions, and its content or, for a link, the target.
type archived struct {
	mode uint32
	data []byte
}

func (a archive) add(name string, permissions uint32, data []byte) {
	a[path.Clean(name)] = archived{kindFile | permissions, data}
}

func (a archive) link(name, target string) {
	a[path.Clean(name)] = archived{kindLink | 0o777, []byte(target)}
}

func (a archive) folder(name string, permissions uint32) {
	a[path.Clean(name)] = archived{mode: kindFolder | permissions}
}

// write writes the archive in cpio's "newc" format (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
func (a archive) write(w io.Writer) error {
	all := archive{}
	for name, file := range a {
		all[name] = file
		for above := path.Dir(name); above != "/"; above = path.Dir(above) {
			if _, given := a[above]; !given {
				all.folder(above, 0o755)
			}
		}
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // a folder comes before what is in it
	for i, name := range names {
		if err := writeEntry(w, i+1, strings.TrimPrefix(name, "/"), all[name]); err != nil {
			return err
		}
	}
	return writeEntry(w, 0, "TRAILER!!!", archived{})
}

// writeEntry writes a header of 13 numbers of eight hexadecimal digits, the name and the data, each padded to four bytes.
func writeEntry(w io.Writer, number int, name string, file archived) error {
	fields := []int{number, int(file.mode), 0, 0, 1, 0, len(file.data), 0, 0, 0, 0, len(name) + 1, 0}
	var head strings.Builder
	head.WriteString("070701")
	for _, field := range fields {
		fmt.Fprintf(&head, "%08X", field)
	}
	head.WriteString(name + "\x00" + padding(head.Len()+len(name)+1))
	if _, err := io.WriteString(w, head.String()); err != nil {
		return err
	}
	if _, err := w.Write(file.data); err != nil {
		return err
	}
	_, err := io.WriteString(w, padding(len(file.data)))
	return err
}

func padding(length int) string { return "\x00\x00\x00"[:-length&3] }
