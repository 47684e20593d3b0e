package initrd

import (
	"fmt"
	"strings"
)

// links are the files with several names in the archive that is being read. cpio writes the content with the last name,
// gen_init_cpio with the first; the kernel takes it from any (init/initramfs.c maybe_link). They count until the trailer.
type links struct {
	files map[linkKey]*linked
	order []linkKey // for what never gets content
	names int
	text  int // bytes of all names
}

// maxText is what they may take, in bytes; real names are far below 256.
const maxText = MaxLinks * 256

type linked struct {
	first   string
	mode    uint32
	waiting []string // names before the content
	given   bool     // the content was
}

// join adds a name to its file. If the content is still to come, wait is true.
func (w *walk) join(h header, file *File) (wait bool, err error) {
	l := w.links.files[h.key]
	if l == nil || h.size == 0 {
		w.links.names++
		w.links.text += len(file.Name)
		if w.links.names > MaxLinks || w.links.text > maxText {
			return false, w.fail(ErrTooLarge, fmt.Sprintf("more than %d names, or %d bytes, of files with several names", MaxLinks, maxText))
		}
	}
	if l == nil {
		l = &linked{first: file.Name, mode: h.mode}
		if w.links.files == nil {
			w.links.files = map[linkKey]*linked{}
		}
		w.links.files[h.key] = l
		w.links.order = append(w.links.order, h.key)
	}
	switch {
	case h.size > 0:
		if !l.given {
			l.first = file.Name
		}
		l.given, file.Links, l.waiting = true, l.waiting, nil
	case l.given:
		file.LinkTo = l.first
	default:
		l.waiting = append(l.waiting, file.Name)
		return true, nil
	}
	return false, nil
}

// flush hands over the files that never got content, for they are empty, and forgets all.
func (w *walk) flush() error {
	known := w.links
	w.links = links{}
	for _, key := range known.order {
		l := known.files[key]
		if l.given {
			continue
		}
		err := w.each(File{
			Name: l.waiting[0], Links: l.waiting[1:], Mode: l.mode, Content: strings.NewReader(""), Segment: w.segment,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
