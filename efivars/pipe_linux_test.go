package efivars_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kkeys/efivars"
)

// A pipe to which nobody writes is neither a variable nor a table nor an entry of one, and none is opened.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	in := func(path string) string { return filepath.Join(dir, path) }
	entry, variable := in(efivars.TableDir+"/MokListRT"), in(efivars.DefaultDir+"/"+efivars.DB.String())
	noTable, noStore := in("other/"+efivars.TableDir), in("other/"+efivars.DefaultDir)
	for _, path := range []string{entry, variable, noTable, noStore} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, folder := range []string{dir, in("other")} {
			root, err := os.OpenRoot(folder)
			if err != nil {
				t.Error(err)
				return
			}
			defer root.Close()
			names, terr := efivars.TableEntries(root.FS())
			_, err = efivars.ReadTable(root.FS(), "MokListRT")
			if folder == dir && (terr != nil || len(names) != 1 || !errors.Is(err, efivars.ErrMalformed)) {
				t.Errorf("an entry: %v, %v, %v", names, terr, err)
			} else if folder != dir && (!errors.Is(terr, efivars.ErrMalformed) || err == nil) {
				t.Errorf("a table: %v, %v", terr, err)
			}
		}
		store, err := efivars.Open(filepath.Dir(variable))
		if err != nil {
			t.Error(err)
			return
		}
		if _, _, err := store.Get(efivars.DB); !errors.Is(err, efivars.ErrMalformed) {
			t.Errorf("Get: %v", err)
		}
		if err := store.Set(efivars.DB, efivars.NonVolatile|efivars.BootService|efivars.Runtime, []byte{1}); !errors.Is(err, efivars.ErrMalformed) {
			t.Errorf("Set: %v", err)
		}
		if err := store.Delete(efivars.DB); !errors.Is(err, efivars.ErrMalformed) {
			t.Errorf("Delete: %v", err)
		}
		if names, err := store.List(); err != nil || len(names) > 0 {
			t.Errorf("List: %v, %v", names, err)
		}
		if s, err := efivars.Open(noStore); s != nil || !errors.Is(err, efivars.ErrNotSupported) {
			t.Errorf("Open: %v, %v", s, err)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("a pipe keeps its reader waiting")
	}
}
