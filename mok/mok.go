// Package mok knows what shim keeps of the machine owner's keys and how to ask it for changes.
//
// shim, the first loader of most distributions under Secure Boot, keeps a list of keys (MokList) in variables that only
// exist before the operating system starts. What it has it mirrors to the operating system, read-only, at each boot:
// see [State]. What it shall change is asked for in other variables, which root writes and which shim's MokManager shows
// to whoever sits at the console at the next boot, asking for the password whose hash was left beside the request: see
// [Pending], [NewPlan], [Cancel]. Sources: shim's mok.c, MokManager.c, MokVars.txt; MokTimeout since 15.2, the trusted
// list since 15.5, the configuration table that the kernel shows as mok-variables since 15.3 and Linux 5.10.
//
// Reading the mirrors needs no privilege from efivarfs and CAP_SYS_ADMIN from the table; writing needs root. Not to be
// known from the running system: MokList itself, which of the mirrored keys shim's vendor built in, whether a MOK
// password is set, and whether a request that is gone was confirmed, declined or timed out.
package mok

import "kkeys/efivars"

// Kind is a kind of request.
type Kind int

// The ten requests that make shim start MokManager (mok.c, check_mok_request). Of the four passwords only MokAuth and
// MokXAuth do so alone, and then they mean: erase the whole list.
const (
	Enroll       Kind = iota // add keys to MokList
	Delete                   // remove keys from MokList
	Block                    // add to the blocklist, MokListX
	Unblock                  // remove from the blocklist
	Reset                    // erase MokList
	ResetBlocked             // erase MokListX
	Validation               // switch shim's validation off or on
	UseDB                    // ignore or use the firmware's db
	TrustList                // let the kernel trust MokList, or not
	Password                 // set or clear MokManager's own password
	kinds
)

// kindNames are the words for a kind and the variables it lives in.
var kindNames = [kinds]struct{ word, request, auth string }{
	Enroll:       {"enroll", "MokNew", "MokAuth"},
	Delete:       {"delete", "MokDel", "MokDelAuth"},
	Block:        {"block", "MokXNew", "MokXAuth"},
	Unblock:      {"unblock", "MokXDel", "MokXDelAuth"},
	Reset:        {"reset", "", "MokAuth"},
	ResetBlocked: {"reset blocklist", "", "MokXAuth"},
	Validation:   {"validation", "MokSB", ""},
	UseDB:        {"use db", "MokDB", ""},
	TrustList:    {"trust list", "MokListTrustedNew", ""},
	Password:     {"password", "MokPW", ""},
}

// resets is what a request turns into when only its password is left.
var resets = map[Kind]Kind{Enroll: Reset, Block: ResetBlocked}

// Kinds lists all kinds.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

func (k Kind) valid() bool { return k >= 0 && k < kinds }

// String is the kind in words, as in "enroll" or "reset blocklist".
func (k Kind) String() string {
	if !k.valid() {
		return "unknown kind of request"
	}
	return kindNames[k].word
}

// Variable names one of shim's variables.
func Variable(name string) efivars.Name {
	return efivars.Name{Vendor: efivars.Shim, Name: name}
}

// Timeout is the variable with the seconds that MokManager waits for a key: int32, -1 is for ever. It is used once, and
// not at all when MokManager has a password of its own, so that an old value can stay.
var Timeout = Variable("MokTimeout")

// Attributes of every request variable.
const Attributes = efivars.NonVolatile | efivars.BootService | efivars.Runtime

// Gap is a source that could not be read, and why; an error of package efivars.
type Gap struct {
	Source string
	Err    error
}

// String is the source and the reason.
func (g Gap) String() string { return g.Source + ": " + g.Err.Error() }
