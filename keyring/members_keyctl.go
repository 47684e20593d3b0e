//go:build linux && (386 || amd64 || arm)

package keyring

import (
	"fmt"

	"github.com/jsipprell/keyctl"
)

// members reads what a keyring links to through the keyctl library, which knows the system call's number on these three
// architectures only; on the others [readMembers] stands in, and a test holds the two against each other. The library's Info
// splits a description at every semicolon, so it is asked about keyrings whose own name has been checked, never about a key.
func members(ring Serial) ([]Serial, error) {
	id, err := (&keyctl.Reference{Id: int32(ring)}).Get()
	if err != nil {
		return nil, err
	}
	opened, ok := id.(keyctl.Keyring)
	if !ok {
		return nil, fmt.Errorf("key %s is no keyring", ring)
	}
	references, err := keyctl.ListKeyring(opened)
	if err != nil {
		return nil, err
	}
	serials := make([]Serial, len(references))
	for i, r := range references {
		serials[i] = Serial(r.Id)
	}
	return serials, nil
}
