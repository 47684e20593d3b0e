// Package machine gathers facts from one machine: the live one, or the files of one below a directory.
package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
)

// Machine is where facts come from.
type Machine struct {
	// Files is the root folder: proc, sys, boot, etc, lib.
	Files fs.FS
	// Keyrings are those of the running kernel, or recorded ones.
	Keyrings keyring.Source
	// Prober makes load probes; nil where there is no running kernel to ask.
	Prober kernel.Prober
	// Variables are the EFI variables; one without them has a store that says why ([efivars.Absent]).
	Variables efivars.Store

	// Recorded is when a recorded machine was, to the second; zero for others.
	Recorded time.Time

	// probed is what load probes showed when a recorded machine was recorded; nil for others.
	probed *probed

	state func() (*os.Root, error) // opens var/lib for writing; nil for a recorded machine
}

// Live is the running system. It opens nothing that fails: what is not there shows when it is read.
func Live() *Machine {
	return &Machine{Files: os.DirFS("/"), Keyrings: keyring.Live{}, Prober: kernel.Live{}, Variables: variables("/"), state: liveState}
}

// Directory is the machine whose root folder is dir: a chroot, an image, or a test's. Links that lead out of dir are not followed.
// Keyrings belong to a running kernel and not to files, so there are none; and where dir shows the firmware of the machine that kkeys
// runs on, there are no variables either: a folder given by name must never lead a write there. Errors are those of opening a folder.
func Directory(dir string) (*Machine, error) {
	// Before it is opened: a pipe would keep its reader waiting.
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: errNotDir}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	m := &Machine{
		Files:    root.FS(),
		Keyrings: keyring.Recorded{Err: fmt.Errorf("%w: files below %s hold no keyrings", keyring.ErrNotRecorded, dir)},
		state:    func() (*os.Root, error) { return stateBelow(root) },
	}
	store := variables(dir)
	opened, found := store.(*efivars.Dir)
	switch _, err := root.Stat(efivars.DefaultDir); {
	case found && opened.Live():
		store = efivars.Absent(fmt.Errorf("%w: %s is the firmware of this machine, not of %s", efivars.ErrNotSupported, opened.Path(), dir))
	case found && err != nil:
		store = efivars.Absent(fmt.Errorf("%w: %w", efivars.ErrNotSupported, err))
	}
	m.Variables = store
	return m, nil
}

// efiDir is there when EFI has started the machine (drivers/firmware/efi/efi.c, efisubsys_init), whether or not efivarfs is mounted.
const efiDir = "sys/firmware/efi"

// variables opens the EFI variables below a root folder.
func variables(root string) efivars.Store {
	dir := filepath.Join(root, efivars.DefaultDir)
	store, err := efivars.Open(dir)
	if err == nil {
		return store
	}
	if _, serr := os.Stat(filepath.Join(root, efiDir)); serr == nil && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w on %s", efivars.ErrNotMounted, dir)
	}
	return efivars.Absent(err)
}

// EFI tells whether EFI has started the machine, also where its variables cannot be seen. Unknown where that could not be seen: without /sys, or where
// /sys/firmware is empty, as containers have it; a kernel has the tables of any firmware there.
func (m *Machine) EFI() evidence.Answer {
	_, err := fs.Stat(m.Files, efiDir)
	if err == nil {
		return evidence.Yes
	}
	_, lerr := m.Variables.List()
	if !errors.Is(lerr, efivars.ErrNotSupported) { // a recording has no empty folders
		return evidence.Yes
	}
	folder := path.Dir(efiDir)
	if m.state == nil { // a recording has nothing of other firmware
		folder = path.Dir(folder)
	}
	entries, rerr := fs.ReadDir(m.Files, folder)
	if errors.Is(lerr, ErrEFIUnseen) || !errors.Is(err, fs.ErrNotExist) || rerr != nil || len(entries) == 0 {
		return evidence.Unknown
	}
	return evidence.No
}

// Prove makes the load probes for a question; see [Prove]. A recorded machine gives what such probes showed when it was recorded.
// [kernel.ErrNotRecorded] where the question was not asked then, or there is no running kernel to ask.
func (m *Machine) Prove(q Question) (*kernel.Probes, error) {
	switch {
	case m.probed != nil:
		return m.probed.answer(q)
	case m.Prober == nil:
		return nil, kernel.ErrNotRecorded
	}
	return Prove(m.Prober, m.Files, q)
}

// Kernel reads what the kernel enforces on modules.
func (m *Machine) Kernel() kernel.Status { return kernel.Read(m.Files) }
