package efivars

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// TableDir is shim's MOK variable table as the kernel shows it (drivers/firmware/efi/mokvar-table.c, since 5.10): one
// file an entry, raw data without attributes, mode 0400. It cannot be written, and unlike a variable it is never split.
const TableDir = "sys/firmware/efi/mok-variables"

// ReadTable reads an entry of the table below a root. ErrNotSupported: no table, so no shim or an old kernel.
// ErrNotFound: no such entry. ErrDenied: not root. ErrUnavailable: the kernel gave fewer bytes than there are, as it does
// without CAP_SYS_ADMIN; that is never an empty entry, since shim makes none.
func ReadTable(root fs.FS, entry string) ([]byte, error) {
	b, err := readTable(root, entry)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Join(TableDir, entry), err)
	}
	return b, nil
}

func readTable(root fs.FS, entry string) ([]byte, error) {
	if entry == "." || path.Base(entry) != entry || !fs.ValidPath(entry) {
		return nil, fmt.Errorf("%w: no entry has this name", ErrInvalid)
	}
	// Before it is opened: below a folder given by name a pipe may lie in its place, and opening that would wait for ever.
	info, err := fs.Stat(root, path.Join(TableDir, entry))
	if err != nil {
		return nil, tableError(root, err)
	}
	if !info.Mode().IsRegular() || info.Size() > variableLimit {
		return nil, fmt.Errorf("%w: no regular file of at most %d bytes", ErrMalformed, variableLimit)
	}
	f, err := root.Open(path.Join(TableDir, entry))
	if err != nil {
		return nil, tableError(root, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, variableLimit+1))
	switch {
	case err != nil:
		return nil, tableError(root, err)
	case len(b) == 0 || int64(len(b)) < info.Size():
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrUnavailable, len(b), info.Size())
	case len(b) > variableLimit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMalformed, variableLimit)
	}
	return b, nil
}

// tableError tells a table without this entry from no table.
func tableError(root fs.FS, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", meaning(err), err)
	}
	if _, serr := fs.Stat(root, TableDir); errors.Is(serr, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return fmt.Errorf("%w: %w", ErrNotFound, err)
}

// TableEntries lists the table's entries. ErrNotSupported when there is no table; ErrMalformed when something else has its name.
func TableEntries(root fs.FS) ([]string, error) {
	if info, err := fs.Stat(root, TableDir); err == nil && !info.IsDir() { // before it is opened, as in readTable
		return nil, fmt.Errorf("list %s: %w: no folder", TableDir, ErrMalformed)
	}
	entries, err := fs.ReadDir(root, TableDir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", TableDir, tableError(root, err))
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
