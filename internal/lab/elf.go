package lab

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
)

// closure returns the shared libraries that programs of the packages need, the loader included: absolute names as in the
// packages, each once, sorted.
func (p *Parts) closure(programs ...string) ([]string, error) {
	found := []string{loader}
	for todo := programs; len(todo) > 0; todo = todo[1:] {
		needed, err := p.needed(todo[0])
		if err != nil {
			return nil, err
		}
		for _, name := range needed {
			library, err := p.library(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", todo[0], err)
			}
			if !slices.Contains(found, library) {
				found, todo = append(found, library), append(todo, library)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

func (p *Parts) needed(name string) ([]string, error) {
	file, err := elf.Open(p.path(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	names, err := file.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return names, nil
}

// library finds a library by the name that programs ask for.
func (p *Parts) library(name string) (string, error) {
	for _, folder := range libraries {
		library := path.Join(folder, name)
		_, err := os.Stat(p.path(library))
		if err == nil {
			return library, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("library %s is in no package of the lab", name)
}
