package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kkeys/efivars"
	"kkeys/kernel"
	"kkeys/machine/machinetest"
	"kkeys/modsig"
	"kkeys/mok"
)

// inTime fails the test when something keeps its reader waiting.
func inTime(t *testing.T, what string, read func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		read()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: it waits for ever", what)
	}
}

func pipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

// In place of each file and of each folder of a machine there is once a pipe to which nobody writes, and nothing waits for it.
func TestPipes(t *testing.T) {
	made, _ := laden(t)
	made.Write("sys/firmware/efi/fw_platform_size", "64\n")
	made.Write("sys/module/compression", "xz\n")
	made.Write("usr/bin/kmod", "liblzma.so")
	made.Write("usr/lib/os-release", "ID=debian\n")
	made.Write("etc/dkms/framework.conf.d/x.conf", "mok_signing_key=/srv/keys/told.priv\n")
	made.Write("srv/keys/told.priv", "not looked into")
	made.Write("var/lib/kkeys/receipts.json", "{\n  \"format\": 1,\n  \"receipts\": []\n}\n")
	var names []string
	err := fs.WalkDir(os.DirFS(made.Dir), ".", func(name string, d fs.DirEntry, err error) error {
		if name != "." && d.Type() != fs.ModeSymlink {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 80 {
		t.Fatalf("%d files and folders, %v", len(names), err)
	}
	aside := filepath.Join(t.TempDir(), "aside")
	for _, name := range names {
		full := filepath.Join(made.Dir, name)
		if err := os.Rename(full, aside); err != nil {
			t.Fatal(err)
		}
		pipe(t, full)
		inTime(t, name, func() { readEverything(t, made.Dir) })
		if err := errors.Join(os.Remove(full), os.Rename(aside, full)); err != nil {
			t.Fatal(err)
		}
	}
	// All of them were there to be read: without a pipe nothing is missing.
	m := opened(t, made)
	if receipts, err := m.Receipts(); err != nil || len(receipts) != 1 || m.Unpacks() != "xz" {
		t.Errorf("%d receipts, %v, modules unpacked %q", len(receipts), err, m.Unpacks())
	}
}

// readEverything asks a machine all that there is to ask of it, and writes to it what can be written.
func readEverything(t *testing.T, dir string) {
	m, err := Directory(dir)
	if err != nil {
		t.Error(err)
		return
	}
	m.Kernel()
	_, _ = kernel.ReadAlgorithms(m.Files)
	m.NextBoot()
	m.HasTPM()
	m.Unpacks()
	m.AllCertificates()
	m.VendorCertificates()
	m.KmodUnpacks(modsig.XZ)
	m.KeyFiles()
	mok.ReadFirmwareList(m.Variables, efivars.DB)
	mok.ReadState(m.Variables, m.Files)
	mok.ReadPending(m.Variables)
	_, _ = efivars.ReadTable(m.Files, "MokListRT")
	_ = m.Variables.Set(mok.Timeout, mok.Attributes, []byte{1, 0, 0, 0})
	_ = m.Variables.Delete(mok.Timeout)
	_ = m.KeepReceipts(func([]mok.Receipt) []mok.Receipt {
		return []mok.Receipt{mok.NewReceipt(mok.Wish{Kind: mok.Reset}, time.Unix(1e9, 0), "")}
	})
	copied, err := m.Record(recorder())
	if err == nil {
		err = encodeSnapshot(&bytes.Buffer{}, copied.manifest, copied.sorted())
	}
	if err != nil {
		t.Error(err)
	}
}

// A machine with a pipe in place of shim's table has no table, and its snapshot has none either.
func TestPipeForATable(t *testing.T) {
	made, _ := laden(t)
	mustRemoveAll(t, filepath.Join(made.Dir, efivars.TableDir))
	pipe(t, filepath.Join(made.Dir, efivars.TableDir))
	inTime(t, "recording", func() {
		m := opened(t, made)
		copied, _, _ := recordedAs(t, m)
		same(t, m, copied)
		if _, err := efivars.TableEntries(copied.Files); !errors.Is(err, efivars.ErrMalformed) {
			t.Errorf("%v", err)
		}
	})
}

func TestPipeForAMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root")
	pipe(t, path)
	inTime(t, "a pipe for a root", func() {
		if m, err := Directory(path); m != nil || err == nil || !strings.Contains(err.Error(), path+": not a directory") {
			t.Errorf("%v, %v", m, err)
		}
	})
}

// What the user names may be a pipe that ends, as the shell makes them, but neither a device nor without an end.
func TestNamedFiles(t *testing.T) {
	for _, device := range []string{"/dev/zero", "/dev/null", "/dev/tty", "/dev/full"} {
		inTime(t, device, func() {
			_, rerr := ReadFile(device)
			_, cerr := CertificateFile(device)
			_, serr := Snapshot(device)
			for _, err := range []error{rerr, cerr, serr} {
				if err == nil || !strings.Contains(err.Error(), device+": is a device") {
					t.Errorf("%s: %v", device, err)
				}
			}
		})
	}
	inTime(t, "process substitution", func() {
		r, w, err := os.Pipe()
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		go func() {
			defer w.Close()
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20)) // more than a pipe holds
		}()
		if data, err := ReadFile(fmt.Sprintf("/dev/fd/%d", r.Fd())); err != nil || len(data) != 1<<20 {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	})
	endless := filepath.Join(t.TempDir(), "endless")
	pipe(t, endless)
	inTime(t, "a pipe without an end", func() {
		go func() {
			w, err := os.OpenFile(endless, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for err == nil { // until nobody reads any more: EPIPE
				_, err = w.Write(make([]byte, 1<<16))
			}
		}()
		if data, err := CertificateFile(endless); data != nil || err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%d certificates, %v", len(data), err)
		}
	})
	made := machinetest.Empty(t)
	if _, err := ReadFile(made.Dir); err == nil {
		t.Error("a folder was read")
	}
}
