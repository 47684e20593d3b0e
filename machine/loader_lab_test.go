//go:build lab

package machine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kkeys/evidence"
	"kkeys/internal/lab"
	"kkeys/machine/machinetest"
)

// The programs of an installed Debian are what was signed, and a byte of another value anywhere before their signatures is seen.
func TestLabLoaders(t *testing.T) {
	parts, err := lab.Find()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		shim bool
		flaw error
	}{
		"shim/shimx64.efi.signed": {true, nil}, "shim/mmx64.efi.signed": {false, nil}, "shim/fbx64.efi.signed": {false, nil},
		"grub/x86_64-efi-signed/grubx64.efi.signed": {false, nil},
		"shim/mmx64.efi": {false, errUnsigned}, "shim/shimx64.efi": {true, errUnsigned},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(parts.Folder, "root/usr/lib", name))
			if err != nil {
				t.Fatal(err)
			}
			program, err := parseLoader(data)
			if err != nil || program.arch != "x64" || program.shim != c.shim || !errors.Is(program.flaw, c.flaw) || (c.flaw == nil) != (program.flaw == nil) {
				t.Fatalf("%+v, %v", program, err)
			}
			if c.flaw != nil {
				return
			}
			const steps = 50 // over all of the file; none meets the checksum
			for step := range steps {
				at := 70 + step*(len(data)-25000)/steps
				if program, err := parseLoader(flip(data, at)); err == nil && !errors.Is(program.flaw, errDamaged) {
					t.Errorf("byte %d: %v", at, program.flaw)
				}
			}
			if program, err := parseLoader(data[:len(data)-1]); err != nil || !errors.Is(program.flaw, errDamaged) {
				t.Errorf("cut: %v, %v", err, program.flaw)
			}
		})
	}
}

// With Debian's own shim and MokManager the next boot is as it should be, and not when a byte of MokManager is another.
func TestLabNextBoot(t *testing.T) {
	parts, err := lab.Find()
	if err != nil {
		t.Fatal(err)
	}
	made := machinetest.Installed(t)
	programs := map[string][]byte{debianShim: nil, debianManager: nil}
	for path := range programs {
		data, err := os.ReadFile(filepath.Join(parts.Folder, "root/usr/lib/shim", path[len(`\EFI\debian\`):]+".signed"))
		if err != nil {
			t.Fatal(err)
		}
		programs[path] = data
		made.ESP(path, data)
	}
	if chain, _ := in(t, made).NextBoot(); chain.IsShim.Answer != evidence.Yes || chain.HasManager.Answer != evidence.Yes {
		t.Errorf("as installed: %+v", chain)
	}
	made.ESP(debianManager, flip(programs[debianManager], 400000))
	if chain, _ := in(t, made).NextBoot(); chain.IsShim.Answer != evidence.Yes || chain.HasManager.Answer != evidence.No {
		t.Errorf("MokManager damaged: %+v", chain)
	} else {
		t.Log(chain.HasManager.Evidence)
	}
	made.ESP(debianShim, flip(programs[debianShim], 400000))
	if chain, _ := in(t, made).NextBoot(); chain.IsShim.Answer != evidence.Unknown {
		t.Errorf("shim damaged: %+v", chain)
	}
}
