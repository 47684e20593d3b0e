package main

import (
	"fmt"
	"strings"

	"kkeys/mok"
)

// measured are the TPM's registers that a request changes once it is done: shim's table of variables (mok.c, mok_state_variable_data) has the
// flag for register 14 at MokList, MokListX, MokSBState and MokListTrusted, and that for register 7 at MokSBState. MokDBState and MokPWStore
// have neither.
var measured = map[mok.Kind]string{
	mok.Enroll: "register 14", mok.Delete: "register 14", mok.Block: "register 14", mok.Unblock: "register 14",
	mok.Reset: "register 14", mok.ResetBlocked: "register 14",
	mok.Validation: "registers 7 and 14", mok.TrustList: "register 14",
}

// measuredSBAT: shim measures SbatLevel as it does the firmware's own lists.
const measuredSBAT = "register 7"

// warnTPM tells what the machine around shim makes of a change to the TPM's registers; none where the text is empty.
func (s *session) warnTPM(warnings *[]string, registers string) {
	if registers == "" || !s.machine.HasTPM() {
		return
	}
	text := fmt.Sprintf("this changes TPM %s: ", registers)
	disks, err := s.machine.SealedDisks()
	switch {
	case err != nil:
		text += fmt.Sprintf("a disk whose key is bound to it will ask for its recovery key (/etc/crypttab: %v)", err)
	case len(disks) > 0:
		text += fmt.Sprintf("have the recovery key at hand for %s, which the TPM unlocks", strings.Join(disks, ", "))
	default:
		text += "a disk whose key is bound to it will ask for its recovery key"
	}
	s.caution(warnings, text)
}
