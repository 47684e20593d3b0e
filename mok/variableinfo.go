package mok

import (
	"strconv"
	"strings"

	"kkeys/efivars"
)

// VariableInfo is what the firmware told shim about its storage (table entry VariableInfo, shim 16.1): numbers in bytes by
// the names that shim gives them, such as "bs_rt_max_var_sz". Empty: not known.
type VariableInfo map[string]uint64

// ParseVariableInfo reads lines of name, colon and hexadecimal number, up to a NUL: shim 16.1 leaves memory that it did
// not initialise after it, and ends lines with CR CR LF.
func ParseVariableInfo(b []byte) (VariableInfo, error) {
	info := VariableInfo{}
	at := 0
	lines, _, _ := strings.Cut(string(b), "\x00")
	for line := range strings.SplitAfterSeq(lines, "\n") {
		text := strings.Trim(line, " \t\r\n")
		if text != "" {
			name, number, _ := strings.Cut(text, ":")
			n, err := strconv.ParseUint(strings.TrimSpace(number), 0, 64)
			if err != nil || name == "" {
				return nil, &efivars.CorruptError{What: "VariableInfo", Offset: at, Clean: at, Why: "not a name, a colon and a number"}
			}
			info[name] = n
		}
		at += len(line)
	}
	return info, nil
}

// listLimit is the largest MokList that the firmware stores, and whether it is known. shim's labels bs_rt and bs_nv are
// exchanged: the one named bs_rt has the numbers for non-volatile variables with boot access only, which MokList is. shim writes 0 where the
// firmware did not answer (QueryVariableInfo failed), which is no limit.
func (v VariableInfo) listLimit() (int, bool) {
	n, ok := v["bs_rt_max_var_sz"]
	if !ok || n == 0 || n > 1<<30 {
		return 0, false
	}
	return int(n), true
}
