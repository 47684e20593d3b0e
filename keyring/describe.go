package keyring

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseDescription decodes the text of KEYCTL_DESCRIBE, `type;uid;gid;perm;description`: ids decimal, permissions eight hex
// digits, the description free text that may hold semicolons and newlines itself (security/keys/keyctl.c, keyctl_describe_key,
// format "%s;%d;%d;%08x;%s"). Serial stays 0: the text does not hold it.
func ParseDescription(text string) (Key, error) {
	fields := strings.SplitN(text, ";", 5)
	if len(fields) != 5 {
		return Key{}, fmt.Errorf("key description: %d of 5 fields at offset %d: the kernel writes type;uid;gid;perm;description", len(fields), len(text))
	}
	offset := len(fields[0]) + 1
	if fields[0] == "" {
		return Key{}, fmt.Errorf("key description: empty type at offset 0")
	}
	ids := [2]int{}
	for i, name := range []string{"uid", "gid"} {
		field := fields[i+1]
		id, err := strconv.ParseInt(field, 10, 32)
		// The kernel prints %d: one form only, so anything else did not come from it.
		if err != nil || strconv.FormatInt(id, 10) != field {
			return Key{}, fmt.Errorf("key description: %s %q at offset %d is no decimal number of 32 bits", name, field, offset)
		}
		ids[i] = int(id)
		offset += len(field) + 1
	}
	perm, err := strconv.ParseUint(fields[3], 16, 32)
	if err != nil || fmt.Sprintf("%08x", perm) != fields[3] {
		return Key{}, fmt.Errorf("key description: permissions %q at offset %d are not 8 lower-case hex digits", fields[3], offset)
	}
	if i := strings.IndexByte(fields[4], 0); i >= 0 {
		return Key{}, fmt.Errorf("key description: NUL at offset %d: the kernel ends a description there", offset+9+i)
	}
	return Key{Type: fields[0], UID: ids[0], GID: ids[1], Permissions: uint32(perm), Description: fields[4]}, nil
}

// Text is the inverse of [ParseDescription].
func (k Key) Text() string {
	return fmt.Sprintf("%s;%d;%d;%08x;%s", k.Type, k.UID, k.GID, k.Permissions, k.Description)
}
