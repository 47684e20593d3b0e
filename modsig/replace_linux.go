package modsig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// keepAttributes gives a file what another one has: owner, group, mode, extended attributes and times.
func keepAttributes(file *os.File, target string, info os.FileInfo) error {
	old, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no owner known", target)
	}
	var now syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &now); err != nil {
		return err
	}
	if now.Uid != old.Uid || now.Gid != old.Gid {
		if err := file.Chown(int(old.Uid), int(old.Gid)); err != nil {
			return fmt.Errorf("its owner cannot be kept: %w", err)
		}
	}
	if err := copyExtended(target, file.Name()); err != nil {
		return fmt.Errorf("its extended attributes cannot be kept: %w", err)
	}
	if err := syscall.Fchmod(int(file.Fd()), old.Mode&0o7777); err != nil { // after chown, which clears bits, and access control lists, which are bits too
		return err
	}
	return os.Chtimes(file.Name(), time.Unix(old.Atim.Unix()), info.ModTime())
}

// aboutContent are extended attributes with a digest or signature of what is in the file (security/integrity): the old one's are wrong for the new one.
var aboutContent = map[string]bool{"security.ima": true, "security.evm": true}

func copyExtended(from, to string) error {
	old, err := extended(from)
	if err != nil {
		return err
	}
	made, err := extended(to) // what the folder gave it: a label, a default access control list
	if err != nil {
		return err
	}
	for name := range made {
		if _, kept := old[name]; !kept && name != "security.selinux" && !aboutContent[name] {
			if err := syscall.Removexattr(to, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name, value := range old {
		if there, is := made[name]; aboutContent[name] || is && bytes.Equal(there, value) {
			continue // a label that is right already may not be set again
		}
		if err := syscall.Setxattr(to, name, value, 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// extended are a file's extended attributes; none where the file system has no such thing.
func extended(path string) (map[string][]byte, error) {
	names, err := grown(func(b []byte) (int, error) { return syscall.Listxattr(path, b) })
	if errors.Is(err, syscall.ENOTSUP) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, name := range strings.Split(string(bytes.TrimSuffix(names, []byte{0})), "\x00") {
		if name == "" {
			continue
		}
		if all[name], err = grown(func(b []byte) (int, error) { return syscall.Getxattr(path, name, b) }); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

// sameChange compares when the inode was changed.
func sameChange(a, b os.FileInfo) bool {
	one, ok1 := a.Sys().(*syscall.Stat_t)
	other, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && one.Ctim == other.Ctim
}

// grown calls with a buffer that is large enough.
func grown(call func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, err := call(b)
		if err == nil {
			return b[:n], nil
		}
		if !errors.Is(err, syscall.ERANGE) || size > 1<<20 {
			return nil, err
		}
	}
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems have nothing to sync there
		return err
	}
	return nil
}
