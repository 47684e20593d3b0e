package machine_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kkeys/efivars"
	"kkeys/machine"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

const receiptsFile = "var/lib/kkeys/receipts.json"

// asking is a receipt for a certificate, which is a text here.
func asking(text string) mok.Receipt {
	return mok.NewReceipt(mok.Wish{}, time.Date(2026, 7, 29, 12, 0, 0, 0, time.UTC), "", mok.NewAsked([]byte(text), "", text, ""))
}

// add keeps one more receipt.
func add(m *machine.Machine, text string) error {
	return m.KeepReceipts(func(old []mok.Receipt) []mok.Receipt { return append(old, asking(text)) })
}

func directory(t *testing.T, dir string) *machine.Machine {
	t.Helper()
	m, err := machine.Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// contents are all files below a folder, by path, with their modes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		all[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReceipts(t *testing.T) {
	made := machinetest.Empty(t)
	m := directory(t, made.Dir)
	if got, err := m.Receipts(); err != nil || len(got) != 0 {
		t.Errorf("no file: %v, %v", got, err)
	}
	before := contents(t, made.Dir)
	if err := m.KeepReceipts(func(old []mok.Receipt) []mok.Receipt { return old }); err != nil || !reflect.DeepEqual(contents(t, made.Dir), before) {
		t.Errorf("something was written where nothing changed, %v", err)
	}
	for i, text := range []string{"one", "two", "three"} {
		if err := add(m, text); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Receipts(); err != nil || len(got) != i+1 || !reflect.DeepEqual(got[i], asking(text)) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if err := m.KeepReceipts(func(old []mok.Receipt) []mok.Receipt {
		return mok.Forget(old, mok.Enroll, [][sha256.Size]byte{sha256.Sum256([]byte("two"))})
	}); err != nil {
		t.Error(err)
	}
	if got, err := m.Receipts(); err != nil || !reflect.DeepEqual(got, []mok.Receipt{asking("one"), asking("three")}) {
		t.Errorf("%+v, %v", got, err)
	}
	for path, mode := range map[string]fs.FileMode{receiptsFile: 0o644, "var/lib/kkeys": fs.ModeDir | 0o755} {
		if info, err := os.Stat(filepath.Join(made.Dir, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(made.Dir, "var/lib/kkeys")); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := m.KeepReceipts(func([]mok.Receipt) []mok.Receipt { return nil }); err != nil {
		t.Error(err)
	}
	if got, err := m.Receipts(); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Only so many are kept, the newest.
func TestReceiptsAreBounded(t *testing.T) {
	m := directory(t, machinetest.Empty(t).Dir)
	for range 2 {
		if err := m.KeepReceipts(func(old []mok.Receipt) []mok.Receipt {
			return append(old, slices.Repeat([]mok.Receipt{asking("old")}, mok.ReceiptsMax)...)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(m, "new"); err != nil {
		t.Fatal(err)
	}
	got, err := m.Receipts()
	if err != nil || len(got) != mok.ReceiptsMax || !reflect.DeepEqual(got[mok.ReceiptsMax-1], asking("new")) {
		t.Errorf("%d receipts, %v", len(got), err)
	}
}

// Whatever stands in the way, it stays as it was, nothing is written elsewhere, and nothing is left behind.
func TestReceiptsInTheWay(t *testing.T) {
	outside := t.TempDir()
	good, err := mok.EncodeReceipts([]mok.Receipt{asking("good")})
	if err != nil {
		t.Fatal(err)
	}
	for why, test := range map[string]struct {
		prepare func(*machinetest.Machine)
		reads   bool // can receipts be read all the same
		is      error
	}{
		"damaged":          {func(m *machinetest.Machine) { m.Write(receiptsFile, string(good[:50])) }, false, efivars.ErrCorrupt},
		"empty":            {func(m *machinetest.Machine) { m.Write(receiptsFile, "") }, false, efivars.ErrCorrupt},
		"of a newer kkeys": {func(m *machinetest.Machine) { m.Write(receiptsFile, `{"format": 2}`) }, false, efivars.ErrCorrupt},
		"too large": {func(m *machinetest.Machine) {
			m.Write(receiptsFile, string(good)+strings.Repeat(" ", mok.ReceiptsSize))
		}, false, nil},
		"a folder":          {func(m *machinetest.Machine) { m.Write(receiptsFile+"/x", "") }, false, fs.ErrInvalid},
		"a link to nothing": {func(m *machinetest.Machine) { m.Link(receiptsFile, "nothing") }, true, fs.ErrInvalid},
		"a link within": {func(m *machinetest.Machine) {
			m.Write("etc/own", string(good))
			m.Link(receiptsFile, "../../../etc/own")
		}, true, fs.ErrInvalid},
		"a link out":                   {func(m *machinetest.Machine) { m.Link(receiptsFile, filepath.Join(outside, "x")) }, false, nil},
		"the folder a link out":        {func(m *machinetest.Machine) { m.Link("var/lib/kkeys", outside) }, false, nil},
		"the folder above a link":      {func(m *machinetest.Machine) { m.Link("var", outside) }, false, nil},
		"a link up and out":            {func(m *machinetest.Machine) { m.Link("var/lib/kkeys", "../../../.."+outside) }, false, nil},
		"the folder a file":            {func(m *machinetest.Machine) { m.Write("var/lib/kkeys", "") }, false, nil},
		"the folder above, a file":     {func(m *machinetest.Machine) { m.Write("var", "") }, false, nil},
		"the folder a link to nothing": {func(m *machinetest.Machine) { m.Link("var/lib/kkeys", "nowhere") }, true, nil},
	} {
		made := machinetest.Empty(t)
		test.prepare(made)
		before := contents(t, made.Dir)
		m := directory(t, made.Dir)
		if _, err := m.Receipts(); (err == nil) != test.reads {
			t.Errorf("%s: read: %v", why, err)
		}
		err := add(m, "one")
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), "receipts") {
			t.Errorf("%s: written: %v, want %v", why, err, test.is)
		}
		if after := contents(t, made.Dir); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: it was\n%v\nand is\n%v", why, before, after)
		}
	}
	if left := contents(t, outside); len(left) != 1 {
		t.Errorf("written outside: %v", left)
	}
}

// A link that stays below the root may lead to the folder.
func TestReceiptsFolderElsewhere(t *testing.T) {
	made := machinetest.Empty(t)
	made.Write("var/lib/other/x", "")
	made.Link("var/lib/kkeys", "other")
	m := directory(t, made.Dir)
	if err := add(m, "one"); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Receipts(); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// Nothing is written to a recorded machine, or to one that is only made of parts.
func TestReceiptsOfARecordedMachine(t *testing.T) {
	made := machinetest.Installed(t)
	if err := add(directory(t, made.Dir), "one"); err != nil {
		t.Fatal(err)
	}
	recording, err := directory(t, made.Dir).Record(machine.Recorder{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "recorded")
	if err := recording.Save(file, false); err != nil {
		t.Fatal(err)
	}
	recorded, err := machine.Snapshot(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*machine.Machine{recorded, {Files: os.DirFS(made.Dir), Variables: efivars.Absent(efivars.ErrNotSupported)}} {
		if err := add(m, "two"); !errors.Is(err, machine.ErrRecorded) {
			t.Error(err)
		}
		if got, err := m.Receipts(); err != nil || !reflect.DeepEqual(got, []mok.Receipt{asking("one")}) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// Runs beside one another lose no receipt, and whoever reads meanwhile sees a whole file.
func TestReceiptsTogether(t *testing.T) {
	made := machinetest.Empty(t)
	m := directory(t, made.Dir)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	readers.Go(func() {
		for last := 0; ; {
			got, err := m.Receipts()
			if err != nil || len(got) < last {
				t.Errorf("%d receipts after %d, %v", len(got), last, err)
			}
			last = len(got)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range 8 {
		writers.Go(func() {
			other, err := machine.Directory(made.Dir)
			if err != nil {
				t.Error(err)
				return
			}
			for range 5 {
				if err := add(other, strings.Repeat("x", i+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if got, err := m.Receipts(); err != nil || len(got) != 40 {
		t.Errorf("%d receipts, %v", len(got), err)
	}
}

// Whoever keeps the variables keeps the receipts.
func TestReceiptsWait(t *testing.T) {
	m := directory(t, machinetest.Empty(t).Dir)
	m.Variables = busy{m.Variables}
	if err := add(m, "one"); !errors.Is(err, efivars.ErrBusy) {
		t.Error(err)
	}
	if got, err := m.Receipts(); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

type busy struct{ efivars.Store }

func (busy) Lock() (func(), error) { return nil, efivars.ErrBusy }

// The form is that of the file in package mok.
func TestReceiptsFileIsWhole(t *testing.T) {
	made := machinetest.Empty(t)
	if err := add(directory(t, made.Dir), "one"); err != nil {
		t.Fatal(err)
	}
	want, err := mok.EncodeReceipts([]mok.Receipt{asking("one")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(made.Dir, receiptsFile)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s, %v", got, err)
	}
}
