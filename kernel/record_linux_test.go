package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Every name that an answer of init_module can get here is one that a record may have.
func TestEveryErrnoIsKnown(t *testing.T) {
	named := 0
	for n := range 4096 {
		name := unix.ErrnoName(unix.Errno(n))
		if name == "" {
			continue
		}
		if named++; !knownErrno(name) {
			t.Errorf("%s is missing", name)
		}
	}
	if named < 100 {
		t.Errorf("only %d errnos have names", named)
	}
}
