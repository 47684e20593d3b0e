package efivars_test

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
)

var vendor = efivars.GUID{Data1: 0x12345678, Data2: 0x9abc, Data3: 0xdef0, Data4: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}

func plain(t *testing.T) (*efivars.Dir, string) {
	t.Helper()
	dir := t.TempDir()
	d, err := efivars.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Live() {
		t.Fatal("a plain directory passes for efivarfs")
	}
	return d, dir
}

func writeRaw(t *testing.T, dir string, n efivars.Name, content string) string {
	t.Helper()
	b, err := hex.DecodeString(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, n.String())
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContractMemory(t *testing.T) {
	m := efivarstest.NewMemory()
	m.Seed(efivars.SecureBoot, efivars.BootService|efivars.Runtime, []byte{1})
	efivarstest.Contract(t, m, efivarstest.Traits{Vendor: vendor, Limited: true, Volatile: &efivars.SecureBoot})
}

func TestContractPlain(t *testing.T) {
	d, dir := plain(t)
	writeRaw(t, dir, efivars.SecureBoot, "0600000001")
	efivarstest.Contract(t, d, efivarstest.Traits{Vendor: vendor, Volatile: &efivars.SecureBoot})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files left behind: %v, %v", entries, err)
	}
}

func TestMemoryIsFirmwareLike(t *testing.T) {
	m := efivarstest.NewMemory()
	n := efivars.Name{Vendor: vendor, Name: "N"}
	a := efivarstest.KeyAttributes
	m.Capacity = m.Reserve + 1000
	if err := m.Set(n, a, make([]byte, 2000)); !errors.Is(err, efivars.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full: %v", err)
	}
	for effect, want := range map[efivarstest.Effect]struct {
		ok     bool
		length int
	}{
		efivarstest.Refused: {false, 2}, efivarstest.Applied: {false, 4},
		efivarstest.Lie: {true, 2}, efivarstest.Truncated: {true, 2},
	} {
		m := efivarstest.NewMemory()
		m.Seed(n, a, []byte("ab"))
		m.Fault = &efivarstest.Fault{At: 1, Effect: effect}
		err := m.Set(n, a, []byte("wxyz"))
		if (err == nil) != want.ok {
			t.Errorf("effect %d: %v", effect, err)
		}
		if _, data, err := m.Get(n); err != nil || len(data) != want.length {
			t.Errorf("effect %d: holds %q, %v", effect, data, err)
		}
	}
}

func TestOpen(t *testing.T) {
	if _, err := efivars.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, efivars.ErrNotSupported) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := efivars.Open(file); !errors.Is(err, efivars.ErrNotSupported) {
		t.Errorf("a file: %v", err)
	}
	reason := errors.New("reason")
	s := efivars.Absent(reason)
	_, _, gerr := s.Get(efivars.PK)
	_, lerr := s.List()
	_, serr := s.Space()
	for _, err := range []error{gerr, lerr, serr, s.Set(efivars.PK, 7, []byte{1}), s.Delete(efivars.PK)} {
		if err != reason {
			t.Errorf("absent store: %v", err)
		}
	}
}

func TestPlainFiles(t *testing.T) {
	d, dir := plain(t)
	n := efivars.Name{Vendor: vendor, Name: "N"}
	for content, want := range map[string]error{
		"":           efivars.ErrNotFound, // ghost
		"07":         efivars.ErrMalformed,
		"070000":     efivars.ErrMalformed,
		"07000000":   nil,
		"0700000001": nil,
	} {
		writeRaw(t, dir, n, content)
		if _, data, err := d.Get(n); !errors.Is(err, want) || err == nil && len(data) != len(content)/2-4 {
			t.Errorf("%q: %x, %v", content, data, err)
		}
	}
	path := writeRaw(t, dir, n, "")
	if names, err := d.List(); err != nil || len(names) != 0 {
		t.Errorf("a ghost is listed: %v, %v", names, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Get(n); !errors.Is(err, efivars.ErrMalformed) {
		t.Errorf("a directory: %v", err)
	}
	if err := d.Set(n, 7, []byte{1}); !errors.Is(err, efivars.ErrMalformed) {
		t.Errorf("write over a directory: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Get(n); !errors.Is(err, efivars.ErrMalformed) {
		t.Errorf("a link: %v", err)
	}
	big := efivars.Name{Vendor: vendor, Name: "Big"}
	if err := os.Truncate(writeRaw(t, dir, big, "07000000"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Get(big); !errors.Is(err, efivars.ErrMalformed) {
		t.Errorf("a file of 1 TiB: %v", err)
	}
}

func TestPlainMode(t *testing.T) {
	d, dir := plain(t)
	n := efivars.Name{Vendor: vendor, Name: "Secret"}
	if err := d.Set(n, 7, []byte{1}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, n.String()))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestTable(t *testing.T) {
	file := func(data string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(data), Mode: 0o400} }
	root := fstest.MapFS{
		efivars.TableDir + "/MokListRT": file("keys"),
		efivars.TableDir + "/Empty":     file(""),
		efivars.TableDir + "/Dir/x":     file("x"),
	}
	if b, err := efivars.ReadTable(root, "MokListRT"); err != nil || string(b) != "keys" {
		t.Errorf("%q, %v", b, err)
	}
	for entry, want := range map[string]error{
		"Missing": efivars.ErrNotFound, "Empty": efivars.ErrUnavailable, "Dir": efivars.ErrMalformed,
		"": efivars.ErrInvalid, ".": efivars.ErrInvalid, "..": efivars.ErrInvalid, "../efivars": efivars.ErrInvalid,
	} {
		if _, err := efivars.ReadTable(root, entry); !errors.Is(err, want) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	if names, err := efivars.TableEntries(root); err != nil || strings.Join(names, " ") != "Dir Empty MokListRT" {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := efivars.ReadTable(fstest.MapFS{}, "MokListRT"); !errors.Is(err, efivars.ErrNotSupported) {
		t.Errorf("no table: %v", err)
	}
	if _, err := efivars.TableEntries(fstest.MapFS{}); !errors.Is(err, efivars.ErrNotSupported) {
		t.Errorf("no table: %v", err)
	}
	if _, err := efivars.ReadTable(failing{fs.ErrPermission}, "MokListRT"); !errors.Is(err, efivars.ErrDenied) {
		t.Errorf("not root: %v", err)
	}
	if _, err := efivars.ReadTable(short{root}, "MokListRT"); !errors.Is(err, efivars.ErrUnavailable) {
		t.Errorf("end of file without CAP_SYS_ADMIN: %v", err)
	}
}

// failing opens nothing.
type failing struct{ err error }

func (f failing) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
}

// short has files with a size and no content, as the kernel shows the table without CAP_SYS_ADMIN.
type short struct{ fs.FS }

type shortFile struct{ fs.File }

func (s short) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	return shortFile{f}, err
}

func (shortFile) Read([]byte) (int, error) { return 0, errEnd }

var errEnd = func() error { _, err := strings.NewReader("").Read(make([]byte, 1)); return err }()

func TestErrno(t *testing.T) {
	for number, want := range map[syscall.Errno]error{
		syscall.ENOENT: efivars.ErrNotFound, syscall.EROFS: efivars.ErrReadOnly, syscall.ENOSPC: efivars.ErrNoSpace,
		syscall.EACCES: efivars.ErrDenied, syscall.EPERM: efivars.ErrDenied, syscall.EINVAL: efivars.ErrInvalid,
		syscall.ENAMETOOLONG: efivars.ErrInvalid, syscall.ENOSYS: efivars.ErrNotSupported, syscall.EIO: efivars.ErrIO,
		syscall.EINTR: efivars.ErrIO, syscall.EOPNOTSUPP: efivars.ErrNotSupported,
	} {
		err := efivars.Failed("write", efivars.PK, &fs.PathError{Op: "write", Path: "PK", Err: number})
		if !errors.Is(err, want) || !errors.Is(err, number) {
			t.Errorf("%v: %v", number, err)
		}
	}
}
