package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// preparing keeps two machines from making the same variables.
var preparing sync.Mutex

// installed returns the EFI variables of a fresh installation: Microsoft's keys and Secure Boot when it is on, and a boot
// entry for Debian's shim. They are made once, in a folder for passing files, by a machine that boots with no entry: firmware starts shim from the folder
// for removable media, shim its fallback, and that makes the entry, as on a Debian whose entry got lost.
func (p *Parts) installed(ctx context.Context, secureBoot bool, folder string) ([]byte, error) {
	preparing.Lock()
	defer preparing.Unlock()
	name := "variables-off-"
	factory := "/usr/share/OVMF/OVMF_VARS_4M.fd"
	if secureBoot {
		name = "variables-on-"
		factory = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
	}
	sum := sha256.Sum256([]byte(strings.Join(p.Packages, "\n") + fmt.Sprint(boot) + Partition + diskID + halt))
	name = filepath.Join(p.Folder, name+hex.EncodeToString(sum[:8]))
	if variables, err := os.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
		return variables, err
	}
	h := hardware{secureBoot, filepath.Join(folder, "fresh-variables"), filepath.Join(folder, "fresh-disk")}
	variables, err := p.read(factory)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(h.variables, variables, 0o644); err != nil {
		return nil, err
	}
	if err := p.install(ctx, h, folder); err != nil {
		return nil, fmt.Errorf("preparing variables: %w", err)
	}
	if variables, err = os.ReadFile(h.variables); err != nil {
		return nil, err
	}
	whole := fmt.Sprintf("%s.%d", name, os.Getpid()) // other processes must not see half a file
	if err := os.WriteFile(whole, variables, 0o644); err != nil {
		return nil, err
	}
	return variables, os.Rename(whole, name)
}

// halt is a GRUB configuration that shows that the new entry works.
const halt = `terminal_output console
echo ` + reached + `
halt
`

const reached = "lab: GRUB reached"

func (p *Parts) install(ctx context.Context, h hardware, folder string) error {
	menu := filepath.Join(folder, "fresh-grub.cfg")
	if err := os.WriteFile(menu, []byte(halt), 0o644); err != nil {
		return err
	}
	if err := p.disk(ctx, h.disk, false, map[string]string{"/EFI/debian/grub.cfg": menu}); err != nil {
		return err
	}
	// Fallback resets the machine once when it has a TPM to measure the new entry; without one it starts the entry.
	s, err := p.power(ctx, h, nil)
	if err != nil {
		return err
	}
	if s.cause == nil && !strings.Contains(s.console.screen.text.String(), reached) {
		s.cause = errors.New("GRUB was not reached")
	}
	if s.cause != nil {
		return fmt.Errorf("%w; the last screen:\n%s", s.cause, s.console.Screen())
	}
	return nil
}
