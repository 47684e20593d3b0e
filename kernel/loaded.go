package kernel

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// LoadedModule is a module that the kernel has loaded.
type LoadedModule struct {
	Name string
	// Taint has the letters of what it taints the kernel with: P proprietary, O from outside of the tree, F by force, E without a trusted signature
	// (kernel/module/main.c, module_flags_taint); empty for most.
	Taint string
}

const modulesFile = "proc/modules"

// modulesMax bounds /proc/modules in bytes: some ten thousand lines.
const modulesMax = 8 << 20

// ReadLoaded reads which modules are loaded. Errors are those of reading /proc/modules, which a kernel has that can load modules, and of [ParseLoaded].
func ReadLoaded(root fs.FS) ([]LoadedModule, error) {
	file, err := openRegular(root, modulesFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ParseLoaded(file)
}

// ParseLoaded reads the text of /proc/modules (kernel/module/procfs.c, m_show): name, size, references, users, state, address, and taint in
// parentheses where there is one, in which + and - stand for a module on its way in or out.
func ParseLoaded(r io.Reader) ([]LoadedModule, error) {
	limited := &io.LimitedReader{R: r, N: modulesMax + 1}
	lines := bufio.NewScanner(limited)
	loaded := []LoadedModule{}
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || len(fields) > 7 {
			return nil, fmt.Errorf("/%s: line %d: %d fields instead of 6 or 7", modulesFile, n, len(fields))
		}
		l := LoadedModule{Name: fields[0]}
		if len(fields) == 7 {
			inner, opened := strings.CutPrefix(fields[6], "(")
			inner, closed := strings.CutSuffix(inner, ")")
			if !opened || !closed {
				return nil, fmt.Errorf("/%s: line %d: %.40q is no taint", modulesFile, n, fields[6])
			}
			l.Taint = strings.Trim(inner, "+-")
		}
		loaded = append(loaded, l)
	}
	switch {
	case lines.Err() != nil:
		return nil, fmt.Errorf("/%s: %w", modulesFile, lines.Err())
	case limited.N == 0:
		return nil, fmt.Errorf("/%s: more than %d bytes", modulesFile, modulesMax)
	}
	return loaded, nil
}

// LoadedText gives the text that ParseLoaded reads, with nothing in it but names and taints.
func LoadedText(loaded []LoadedModule) string {
	var b strings.Builder
	for _, l := range loaded {
		fmt.Fprintf(&b, "%s 0 0 - Live 0x0", l.Name)
		if l.Taint != "" {
			fmt.Fprintf(&b, " (%s)", l.Taint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
