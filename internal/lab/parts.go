package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNoParts says that the cache folder does not hold the machine's parts, or holds those of another list.
var ErrNoParts = errors.New("the lab's parts are missing; fetch them with: make lab")

// Wanted are the Debian packages that the machine is made of. Their dependencies come with them, so that the programs
// among them run with their own libraries on any system.
var Wanted = []string{
	"qemu-system-x86", "ovmf",
	"shim-signed", "shim-helpers-amd64-signed", "grub-efi-amd64-signed",
	"linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64",
	"busybox-static", "keyutils", "mokutil", "openssl", "kmod", // for the guest
	"linux-image-amd64", "linux-image-6.12-amd64", // no machine boots them: their modules are verified
	"linux-kbuild-6.1", "mtools", // for the host: sign-file, the ESP
	"dkms", "linux-headers-cloud-amd64", "softhsm2", "opensc", // for the host: a module built and signed, a key in a token
	"prometheus", "prometheus-node-exporter", "ansible-core", "openssh-server", "monitoring-plugins-basic", "systemd", "util-linux", "libc-bin", "sudo", // contrib
}

// Parts is the unpacked set of packages.
type Parts struct {
	Folder   string   // below the cache folder
	Packages []string // "package version", sorted
}

// Folder is the cache folder: $KKEYS_LAB, else kkeys/lab in the user's cache folder.
func Folder() (string, error) {
	if folder := os.Getenv("KKEYS_LAB"); folder != "" {
		return filepath.Abs(folder)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder (set KKEYS_LAB): %w", err)
	}
	return filepath.Join(cache, "kkeys", "lab"), nil
}

// Find returns the parts in the cache folder. The error is ErrNoParts when they have to be fetched.
func Find() (*Parts, error) {
	folder, err := Folder()
	if err != nil {
		return nil, err
	}
	folder = filepath.Join(folder, "parts")
	stamp, err := os.ReadFile(filepath.Join(folder, "packages"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", folder, ErrNoParts)
	}
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(stamp)), "\n")
	if lines[0] != heading() {
		return nil, fmt.Errorf("%s was filled for another list of packages: %w", folder, ErrNoParts)
	}
	return &Parts{Folder: folder, Packages: lines[1:]}, nil
}

// Stamp declares a folder complete: it writes the list of packages that Find asks for.
func Stamp(folder string, packages []string) error {
	slices.Sort(packages)
	text := heading() + "\n" + strings.Join(packages, "\n") + "\n"
	return os.WriteFile(filepath.Join(folder, "packages"), []byte(text), 0o644)
}

func heading() string { return "# " + strings.Join(Wanted, " ") }

// path is where a file of the packages lies; name is absolute, as in the package.
func (p *Parts) path(name string) string { return filepath.Join(p.Folder, "root", name) }

// read reads a file of the packages.
func (p *Parts) read(name string) ([]byte, error) { return os.ReadFile(p.path(name)) }
