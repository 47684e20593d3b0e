package machine

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestTree(t *testing.T) {
	m, entries := small()
	whole := append([]entry{{path: "dev/name", kind: fs.ModeSymlink, link: "../etc/name"}}, entries[1:]...)
	files, err := newTree(whole, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "etc/name", "usr/lib/empty", "etc/closed", "dev/name"); err != nil {
		t.Error(err)
	}
	if files, err = newTree(entries, m); err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(files, "lib/empty"); err != nil || len(data) != 0 {
		t.Errorf("through an absolute link: %q, %v", data, err)
	}
	if target, err := fs.ReadLink(files, "dev/disk/sda1"); err != nil || target != "../sda1" {
		t.Errorf("link: %q, %v", target, err)
	}
	if _, err := files.Open("dev/disk/sda1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to what was not recorded: %v", err)
	}
	if _, err := files.Open("etc/secret"); !errors.Is(err, fs.ErrPermission) || err.Error() != "open etc/secret: permission denied" {
		t.Errorf("what could not be read: %v", err)
	}
	if _, err := files.Stat("etc/secret"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("what could not be read, Stat: %v", err)
	}
	if _, err := files.ReadDir("etc/closed"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that could not be listed: %v", err)
	}
	if _, err := files.Stat("etc/closed/x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("below a folder that could not be listed: %v", err)
	}
	if info, err := files.Stat("etc/closed"); err != nil || !info.IsDir() {
		t.Errorf("that folder: %v, %v", info, err)
	}
	if info, err := files.Stat("sys/hidden"); err != nil || info.Size() != 5 {
		t.Errorf("what hides its content: %v, %v", info, err)
	}
	if info, err := files.Stat("root/MOK.priv"); err != nil || info.Mode() != 0o600 {
		t.Errorf("a private key: %v, %v", info, err)
	}
	if _, err := files.ReadFile("root/MOK.priv"); !errors.Is(err, ErrLeftOut) {
		t.Errorf("a private key's content: %v", err)
	}
	for name, want := range map[string]error{"../etc": fs.ErrInvalid, "etc/none": fs.ErrNotExist, "etc/name/x": errNotDir} {
		if _, err := files.Open(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	loop, err := newTree([]entry{{path: "a", kind: fs.ModeSymlink, link: "b/../a"}, {path: "b", kind: fs.ModeDir}}, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loop.Open("a"); !errors.Is(err, errLoop) {
		t.Errorf("a circle: %v", err)
	}
	up, err := newTree([]entry{{path: "a", kind: fs.ModeSymlink, link: "../../../etc/name"}, {path: "etc/name", data: []byte("inside")}}, manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := up.ReadFile("a"); err != nil || string(data) != "inside" {
		t.Errorf("a link that leads up and up ends at the root: %q, %v", data, err)
	}
}
