package efivars

import "os"

// Locked reports whether a file has the immutable flag.
func Locked(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return locked(f)
}

// Lock sets the immutable flag.
func Lock(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return setLock(f)
}

// LivePlain treats plain files as efivarfs.
func LivePlain(dir string) *Dir { return &Dir{path: dir, live: true} }
