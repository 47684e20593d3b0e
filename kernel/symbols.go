package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// SymbolNames are the functions of the kernel that are looked for, because their presence tells how it was built.
var SymbolNames = []string{
	"arch_get_secureboot", "imputed_trust_enabled", "is_key_on_revocation_list", "set_machine_trusted_keys", "trust_moklist",
}

// Symbols are those of [SymbolNames] that the kernel has. Nil: /proc/kallsyms was not read. One that is missing proves nothing: a compiler
// inlines functions, those of other files too where it optimizes at link time.
type Symbols map[string]bool

const symbolFile = "proc/kallsyms"

// ReadSymbols reads /proc/kallsyms below a root folder (CONFIG_KALLSYMS); every user may, for the names stand there also where the addresses
// are hidden. It takes tens of milliseconds, since the kernel writes the table for each reader anew.
func ReadSymbols(root fs.FS) (Symbols, error) {
	file, err := openRegular(root, symbolFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ParseSymbols(file)
}

// The bounds of the table, in bytes: real ones have some 10 MiB, and names at most 512 (include/linux/kallsyms.h, KSYM_NAME_LEN).
const (
	symbolsMax    = 128 << 20
	symbolLineMax = 4096
)

// ParseSymbols reads the text of /proc/kallsyms (kernel/kallsyms.c, s_show): lines of address, type, name, and of modules a tab and the module's
// name. The kernel's own stand first, so that reading ends with the first of a module. A weak definition does not count: it is what stands in for
// a function that was not compiled. A suffix of the compiler behind a dot does not change what the function is.
func ParseSymbols(r io.Reader) (Symbols, error) {
	wanted := map[string]bool{}
	for _, name := range SymbolNames {
		wanted[name] = true
	}
	limited := &io.LimitedReader{R: r, N: symbolsMax + 1}
	lines := bufio.NewReaderSize(limited, symbolLineMax)
	found := Symbols{}
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case limited.N <= 0:
			return nil, fmt.Errorf("/%s: more than %d bytes", symbolFile, symbolsMax)
		case errors.Is(err, io.EOF) && len(line) == 0 && number > 1:
			return found, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("/%s: line %d is cut", symbolFile, number)
		case err != nil: // bufio.ErrBufferFull: no line is that long
			return nil, fmt.Errorf("/%s: line %d: %w", symbolFile, number, err)
		}
		kind, name, module, ok := symbol(line[:len(line)-1])
		switch {
		case !ok:
			return nil, fmt.Errorf("/%s: line %d is no address, type and name", symbolFile, number)
		case module:
			return found, nil
		case kind != 'w' && kind != 'W' && wanted[string(name)]:
			found[string(name)] = true
		}
	}
}

// symbol divides a line: 8 or 16 hex digits, a blank, a letter, a blank, a name.
func symbol(line []byte) (kind byte, name []byte, module, ok bool) {
	at := bytes.IndexByte(line, ' ')
	if at != 8 && at != 16 || len(line) < at+4 || line[at+2] != ' ' || !isHex(line[:at]) {
		return 0, nil, false, false
	}
	name, _, module = bytes.Cut(line[at+3:], []byte("\t"))
	if i := bytes.IndexByte(name, '.'); i > 0 {
		name = name[:i]
	}
	return line[at+1], name, module, len(name) > 0
}

func isHex(digits []byte) bool { return len(bytes.Trim(digits, "0123456789abcdef")) == 0 }
