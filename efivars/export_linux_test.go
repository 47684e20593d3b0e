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

// Publish gives a file the mode that efivarfs gives to variables at boot.
func Publish(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	relock, err := unlock(f)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return relock()
}
