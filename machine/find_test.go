package machine

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/machine/machinetest"
)

// image is a bzImage that is packed with gzip and holds these bytes.
func image(t *testing.T, content ...[]byte) string {
	t.Helper()
	var payload bytes.Buffer
	w := gzip.NewWriter(&payload)
	if _, err := w.Write(bytes.Join(content, []byte("code"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5*512)
	copy(b[0x1fe:], "\x55\xaa")
	copy(b[0x202:], "HdrS\x0f\x02")
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(payload.Len()))
	return string(append(b, payload.Bytes()...))
}

// in opens a machine that was made.
func in(t *testing.T, made *machinetest.Machine) *Machine {
	t.Helper()
	m, err := Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wheres are the places and names of what was found, "file:/x My key".
func wheres(found []Found) (all []string) {
	for _, f := range found {
		name, _, _ := certs.ParseKernelName(f.Certificate.KernelName())
		all = append(all, f.Where+" "+name)
	}
	return all
}

func named(t *testing.T, cn string) []byte {
	return certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, SKID: []byte(cn)}).DER
}

const release = "6.1.0-56-amd64"

func TestKernelCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*machinetest.Machine)
		found  []string
		unseen []string
	}{
		"in /boot": {
			func(m *machinetest.Machine) {
				m.Write("boot/vmlinuz-"+release, image(t, []byte("kernel"), named(t, "build"), named(t, "extra")))
				m.Write("boot/vmlinuz-6.1.0-55-amd64", image(t, named(t, "other")))
			},
			[]string{"kernel-image build", "kernel-image extra"}, nil,
		},
		"beside the modules, the other one damaged": {
			func(m *machinetest.Machine) {
				m.Write("boot/vmlinuz-"+release, "MZ")
				m.Write("lib/modules/"+release+"/vmlinuz", image(t, named(t, "build")))
			},
			[]string{"kernel-image build"}, nil,
		},
		"through an absolute link": {
			func(m *machinetest.Machine) {
				m.Write("usr/lib/kernel/vmlinuz", image(t, named(t, "build")))
				m.Link("boot/vmlinuz-"+release, "/usr/lib/kernel/vmlinuz")
			},
			[]string{"kernel-image build"}, nil,
		},
		"damaged": {
			func(m *machinetest.Machine) { m.Write("boot/vmlinuz-"+release, image(t, named(t, "build"))[:2600]) },
			nil, []string{"/boot/vmlinuz-" + release},
		},
		"a folder":      {func(m *machinetest.Machine) { m.Write("boot/vmlinuz-"+release+"/x", "") }, nil, []string{"/boot/vmlinuz-" + release}},
		"none":          {func(m *machinetest.Machine) {}, nil, []string{"kernel image"}},
		"no release":    {func(m *machinetest.Machine) { m.Remove("proc/sys/kernel/osrelease") }, nil, []string{"kernel image"}},
		"false release": {func(m *machinetest.Machine) { m.Write("proc/sys/kernel/osrelease", "../../etc\n") }, nil, []string{"kernel image"}},
	} {
		t.Run(name, func(t *testing.T) {
			made := machinetest.Installed(t)
			made.Write("proc/sys/kernel/osrelease", release+"\n")
			c.change(made)
			found, unseen := in(t, made).KernelCertificates()
			if !slices.Equal(wheres(found), c.found) {
				t.Errorf("found %q", wheres(found))
			}
			var sources []string
			for _, u := range unseen {
				sources = append(sources, u.Source)
			}
			if !slices.Equal(sources, c.unseen) {
				t.Errorf("not seen: %v", unseen)
			}
		})
	}
}

func TestNoImage(t *testing.T) {
	made := machinetest.Installed(t)
	made.Write("boot/vmlinuz-5", "")
	if _, err := in(t, made).ImageCertificates("/boot/vmlinuz-5"); !errors.Is(err, certs.ErrNotImage) {
		t.Errorf("an empty image: %v", err)
	}
	if _, err := in(t, made).ImageCertificates("/boot/vmlinuz-4"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no image: %v", err)
	}
}

// Links in a circle and links that lead out of the machine end somewhere.
func TestFollow(t *testing.T) {
	made := machinetest.Empty(t)
	made.Link("a/b", "/a/b")
	made.Link("up", "/../../etc/hostname")
	made.Link("lib/modules/6/build", "/usr/src/six")
	made.Write("usr/src/six/certs/x", "")
	m := in(t, made)
	for path, want := range map[string]string{"a/b": "a/b", "a/none": "a/none", "up": "etc/hostname", "lib/modules/6/build/certs/x": "usr/src/six/certs/x"} {
		if got := m.below(path); got != want {
			t.Errorf("%s leads to %s, want %s", path, got, want)
		}
		if !fs.ValidPath(m.below(path)) {
			t.Errorf("%s leads to no path", path)
		}
	}
	if paths, err := m.expand("a/*/x"); len(paths) > 1 || err == nil && len(paths) == 0 {
		t.Errorf("through a circle: %q, %v", paths, err)
	}
}

func TestReadBounds(t *testing.T) {
	made := machinetest.Empty(t)
	made.Write("file", strings.Repeat("x", 100))
	m := in(t, made)
	if data, err := m.read("file", 100); err != nil || len(data) != 100 {
		t.Errorf("100 bytes: %d, %v", len(data), err)
	}
	if data, err := m.read("file", 99); err == nil || data != nil {
		t.Errorf("one byte too many: %d, %v", len(data), err)
	}
}
