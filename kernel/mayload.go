package kernel

import (
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"kkeys/evidence"
)

// capSysModule is the bit of CAP_SYS_MODULE (include/uapi/linux/capability.h).
const capSysModule = 16

// MayLoad tells whether this process, and those like it, could load modules, as far as it can be told without trying: in the first user namespace,
// with CAP_SYS_MODULE (kernel/module/main.c, may_init_module). It is asked of root; who is not root may have tried as root. Unknown with evidence
// is a filter of system calls, of which nobody but the filter knows what it refuses. From /proc/self/status and /proc/self/uid_map.
func MayLoad(root fs.FS) evidence.Reading {
	const source = "/proc/self/status"
	status, err := fs.ReadFile(root, source[1:])
	if err != nil {
		return evidence.Reading{Evidence: "", Source: source}
	}
	fields := map[string][]string{}
	for line := range bytes.Lines(status) {
		key, value, _ := strings.Cut(string(line), ":")
		fields[key] = strings.Fields(value)
	}
	first := func(key string) string {
		if len(fields[key]) == 0 {
			return ""
		}
		return fields[key][0]
	}
	if uids := fields["Uid"]; len(uids) < 2 || uids[1] != "0" { // real, effective, saved, of files
		return evidence.Reading{Source: source}
	}
	if users, err := fs.ReadFile(root, "proc/self/uid_map"); err == nil {
		if words := strings.Fields(string(users)); len(words) != 3 || words[0] != "0" || words[1] != "0" || words[2] != "4294967295" {
			return evidence.Reading{Answer: evidence.No, Evidence: "root of a user namespace only, as in a container", Source: "/proc/self/uid_map"}
		}
	}
	capabilities, err := strconv.ParseUint(first("CapEff"), 16, 64)
	switch {
	case err != nil:
		return evidence.Reading{Source: source}
	case capabilities>>capSysModule&1 == 0:
		return evidence.Reading{Answer: evidence.No, Evidence: fmt.Sprintf("root without CAP_SYS_MODULE (CapEff %016x), as in a container", capabilities), Source: source}
	case first("Seccomp") == "2": // SECCOMP_MODE_FILTER
		return evidence.Reading{Evidence: "a seccomp filter is on this process, as in a container", Source: source}
	}
	return evidence.Reading{Answer: evidence.Yes, Evidence: "root with CAP_SYS_MODULE", Source: source}
}
