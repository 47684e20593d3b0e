package keyring

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// procKeysMax bounds what is read of /proc/keys. A line is at most a page or so, and root's quota alone is a million keys: a text
// beyond this was not written for people to read, and the search stops with an error rather than half an answer.
const procKeysMax = 64 << 20

// ParseProcKeys reads the text of /proc/keys and gives the serial numbers of all lines that look like a keyring
// (security/keys/proc.c, proc_keys_show: `serial flags usage timeout perm uid gid type description`). They are candidates, no
// more: any user can forge such a line, so each must be described before it is believed. Lines of another shape (the tail of a
// description with a newline in it) are passed over. Each serial is given once, in the order of the text.
func ParseProcKeys(r io.Reader) ([]Serial, error) {
	limited := &io.LimitedReader{R: r, N: procKeysMax + 1}
	lines := bufio.NewScanner(limited)
	// A description may be as long as a page; a certificate's name is shorter, but a forged line need not be.
	lines.Buffer(make([]byte, 0, 4096), 1<<20)
	var serials []Serial
	seen := map[Serial]bool{}
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 9 || string(fields[7]) != TypeKeyring || len(fields[0]) != 8 {
			continue
		}
		n, err := strconv.ParseUint(string(fields[0]), 16, 31)
		if serial := Serial(n); err == nil && n > 0 && !seen[serial] {
			seen[serial] = true
			serials = append(serials, serial)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("/proc/keys: %w", err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("/proc/keys: more than %d bytes", procKeysMax)
	}
	return serials, nil
}
