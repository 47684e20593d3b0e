package mok

import (
	"encoding/binary"
	"fmt"

	"kkeys/efivars"
)

// Setting is a variable that shim or what comes with it reads without asking anybody.
type Setting struct {
	Variable efivars.Name
	// Once: shim deletes it when it has read it; the others stay.
	Once bool
}

// The settings (shim's shim.c, mok.c, sbat.c, fallback.c).
var (
	// Verbose makes shim and MokManager tell what they do: one byte, 1.
	Verbose = Setting{Variable("SHIM_VERBOSE"), false}
	// FallbackVerbose and FallbackNoReboot are for fallback.efi, which makes boot entries: one byte, 1.
	FallbackVerbose  = Setting{Variable("FALLBACK_VERBOSE"), false}
	FallbackNoReboot = Setting{Variable("FB_NO_REBOOT"), false}
	// MokTimeout is [Timeout].
	MokTimeout = Setting{Timeout, true}
	// SbatPolicy and SSPPolicy say which revocations shim applies at its next start: of loaders by generation, and of Windows' boot manager.
	SbatPolicy = Setting{Variable("SbatPolicy"), true}
	SSPPolicy  = Setting{Variable("SSPPolicy"), true}
)

// Policies are the values of SbatPolicy and SSPPolicy. Delete is only obeyed without Secure Boot.
var Policies = map[string]byte{"latest": 1, "automatic": 2, "previous": 2, "delete": 3}

// Change writes a setting, or deletes it where there is no data. It tells whether anything changed. Errors are those of the store, and
// ErrNotStored; what was there stays when the write is refused.
func (s Setting) Change(store efivars.Store, data []byte) (changed bool, err error) {
	unlock, err := exclusive(store)
	if err != nil {
		return false, err
	}
	defer unlock()
	before, err := read(store, s.Variable)
	if err != nil {
		return false, err
	}
	after := value{len(data) > 0, 0, data}
	if after.there {
		after.attributes = Attributes
	}
	if before.there == after.there && string(before.data) == string(data) {
		return false, nil
	}
	if err := put(store, s.Variable, after); err != nil {
		return false, fmt.Errorf("%s: %w", s.Variable.Name, err)
	}
	return true, nil
}

// TimeoutData is what MokTimeout holds for so many seconds; ErrTimeout for those that are a trap.
func TimeoutData(seconds int32) ([]byte, error) {
	if (Pending{Timeout: &seconds}).Trap() {
		return nil, fmt.Errorf("%w: %d", ErrTimeout, seconds)
	}
	return binary.LittleEndian.AppendUint32(nil, uint32(seconds)), nil
}
