// Command fetch fills the lab's cache: it downloads the Debian packages that the Secure Boot machine is made of and unpacks
// them below one folder. It is what `make lab` runs.
//
// Nothing is installed and no root is needed: apt gets lists, archives and an empty package database of its own inside the
// cache, so the same packages come whatever the system has installed and however old its lists are. The system lends its
// sources, keys and proxy settings only. They must be those of Debian 12 on amd64. A run that was interrupted is run again; a
// run that finds the cache complete does nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"kkeys/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	folder, err := lab.Folder()
	if err != nil {
		return err
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed to fetch the lab's parts: %w", tool, err)
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(folder, "lock"))
	if err != nil {
		return err
	}
	defer unlock()

	parts, err := lab.Find()
	if err == nil {
		fmt.Printf("lab: complete in %s (%d packages)\n", folder, len(parts.Packages))
		return nil
	}
	if !errors.Is(err, lab.ErrNoParts) {
		return err
	}
	return fill(ctx, folder)
}

// lock takes the cache for this process; a second fetch waits for the first and then finds its work done.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}

// fill downloads and unpacks into a work folder and moves the result to its place at the very end. Archives that an
// interrupted run left there are used again.
func fill(ctx context.Context, folder string) error {
	work := filepath.Join(folder, "work")
	fresh := filepath.Join(work, "parts")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	tmp := filepath.Join(work, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", tmp); err != nil { // Debian's programs use it; /tmp may be closed to an ordinary user
		return err
	}
	apt, err := newApt(filepath.Join(work, "apt"))
	if err != nil {
		return err
	}
	fmt.Println("lab: reading Debian's package lists (private to", folder+")")
	if err := apt.run(ctx, "update"); err != nil {
		return err
	}
	if err := apt.run(ctx, "autoclean"); err != nil { // what an earlier run left and Debian has replaced since
		return err
	}
	fmt.Println("lab: downloading the machine's parts, about 460 MB:", strings.Join(lab.Wanted, " "))
	if err := apt.run(ctx, append([]string{"--yes", "--download-only", "--no-install-recommends", "install"}, lab.Wanted...)...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(apt.archives, "*.deb"))
	if err != nil {
		return err
	}
	fmt.Printf("lab: unpacking %d packages, about 1.7 GB, into %s\n", len(archives), folder)
	names, err := unpack(ctx, archives, filepath.Join(fresh, "root"))
	if err != nil {
		return err
	}
	if err := lab.Stamp(fresh, names); err != nil {
		return err
	}
	place := filepath.Join(folder, "parts")
	if err := os.RemoveAll(place); err != nil {
		return err
	}
	if err := os.Rename(fresh, place); err != nil {
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	fmt.Printf("lab: done, %s holds the lab's parts\n", folder)
	return nil
}
