package modsig_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kkeys/modsig"
)

// replace finds a file and replaces it.
func replace(path string, content []byte) error {
	file, err := modsig.Find(path)
	if err != nil {
		return err
	}
	return file.Replace(content)
}

// Replace changes the content and nothing else, also through a link; what fails leaves all as it was.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "x.ko"), filepath.Join(dir, "link.ko")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2020, 2, 2, 2, 2, 2, 123456789, time.UTC)
	extended := syscall.Setxattr(path, "user.kkeys", []byte("value"), 0) == nil
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chtimes(path, when, when), os.Symlink("x.ko", link)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(link, []byte("the new one")); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if was.Mode != is.Mode || was.Uid != is.Uid || was.Gid != is.Gid || !after.ModTime().Equal(when) || was.Ino == is.Ino {
		t.Errorf("%+v became %+v", was, is)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "the new one" {
		t.Errorf("%q, %v", content, err)
	}
	if target, err := os.Readlink(link); err != nil || target != "x.ko" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	value := make([]byte, 16)
	if n, err := syscall.Getxattr(path, "user.kkeys", value); extended && (err != nil || string(value[:n]) != "value") {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}

	file, err := modsig.Find(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another one"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Read(); !errors.Is(err, modsig.ErrChanged) {
		t.Errorf("a file that changed before it was read: %v", err)
	}
	if err := file.Replace([]byte("too late")); !errors.Is(err, modsig.ErrChanged) {
		t.Errorf("a file that changed: %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "another one" {
		t.Errorf("it holds %q, %v", content, err)
	}
	if err := replace(path, []byte("the new one")); err != nil {
		t.Fatal(err)
	}

	if err := replace(dir, nil); !errors.Is(err, modsig.ErrNotRegular) {
		t.Errorf("a folder: %v", err)
	}
	if err := replace(filepath.Join(dir, "nowhere.ko"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	// No more than a page may be written.
	var limit, old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit = old
	limit.Cur = 4096
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err = replace(path, bytes.Repeat([]byte("x"), 10000))
	if serr := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); serr != nil {
		t.Fatal(serr)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("a full disk: %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "the new one" {
		t.Errorf("after a full disk %q, %v", content, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
