package mok

import (
	"encoding/binary"
	"fmt"

	"kkeys/efivars"
)

// Wish is what shall be asked of MokManager.
type Wish struct {
	Kind Kind
	// Certificates in DER, each parsed by the caller, and Hashes of 28, 32, 48 or 64 bytes (SHA-224 to SHA-512): for Enroll, Delete, Block and
	// Unblock, which take nothing that is not the same to the byte.
	Certificates, Hashes [][]byte
	// On is for Validation, UseDB and TrustList; see [State.Switch]. For Password it is to set one, else to clear it.
	On bool
	// Timeout is how many seconds MokManager shall wait for a key, -1 for ever, nil to leave it (10 seconds).
	Timeout *int32
}

// hashTypes are the types of signatures that hold a hash, by its length in bytes. MokManager refuses a whole request over one SHA-1.
var hashTypes = map[int]efivars.GUID{28: efivars.SHA224, 32: efivars.SHA256, 48: efivars.SHA384, 64: efivars.SHA512}

// lists are the signature lists of the request: one a certificate, since shim looks only at the first of each, and one a hash, so that each
// is an item of MokManager's.
func (w Wish) lists() []efivars.SignatureList {
	var lists []efivars.SignatureList
	for _, der := range w.Certificates {
		lists = append(lists, efivars.X509List(efivars.Shim, der))
	}
	for _, hash := range w.Hashes {
		lists = append(lists, efivars.SignatureList{Type: hashTypes[len(hash)], Signatures: []efivars.Signature{{Owner: efivars.Shim, Data: hash}}})
	}
	return lists
}

// data is what the request variable gets besides a password; for lists without what was pending.
func (w Wish) data() []byte {
	switch w.Kind {
	case Enroll, Delete, Block, Unblock:
		b, _ := efivars.EncodeSignatureLists(w.lists()) // each has one signature
		return b
	case Validation, UseDB, TrustList:
		state := uint32(0)
		if w.On != (w.Kind == TrustList) { // the trusted list has it the other way round: 0 is to trust
			state = 1
		}
		return binary.LittleEndian.AppendUint32(nil, state)
	case Password:
		if !w.On {
			return make([]byte, AuthSize) // MokManager clears its password then
		}
	}
	return nil
}

// words is the wish of a switch or about the password: "disable validation".
func (w Wish) words() string {
	on := 0
	if w.On {
		on = 1
	}
	return wishes[w.Kind][on]
}

// String is the wish in words, as in "enroll" or "disable validation".
func (w Wish) String() string {
	if words := w.words(); words != "" {
		return words
	}
	return w.Kind.String()
}

// wishes are the words for off and on.
var wishes = map[Kind][2]string{
	Validation: {"disable validation", "enable validation"},
	UseDB:      {"ignore db", "use db"},
	TrustList:  {"distrust list", "trust list"},
	Password:   {"clear password", "set password"},
}

// Form is what kind of password a plan wants.
type Form int

// The forms of a password.
const (
	NoSecret Form = iota // none is asked for
	Record               // an [Auth]
	Typed                // [Characters]
)

// Form is the password that goes with the wish.
func (w Wish) Form() Form {
	switch {
	case w.Kind == Validation || w.Kind == UseDB || w.Kind == TrustList:
		return Typed
	case w.Kind == Password && !w.On:
		return NoSecret
	}
	return Record
}

// Secret is the password that goes with a request: an [Auth] or [Characters].
type Secret interface {
	form() Form
	encode() ([]byte, error)
}

func (Auth) form() Form { return Record }

func (a Auth) encode() ([]byte, error) {
	if err := a.usable(); err != nil {
		return nil, err
	}
	return a.Encode()
}

// Characters is the password of a switch, which lies in the variable in clear: MokManager asks for three of its characters. Everybody may
// read it after the next boot when the request is still there.
type Characters string

// The least and the most characters of such a password. MokManager itself takes 16, which mokutil writes wrongly.
const (
	CharactersMin = 8
	CharactersMax = 15
)

func (Characters) form() Form { return Typed }

// encode gives length and 16 UTF-16 characters, filled up with zeros: 36 bytes.
func (c Characters) encode() ([]byte, error) {
	if err := CheckPassword(string(c)); err != nil {
		return nil, err
	}
	if len(c) < CharactersMin || len(c) > CharactersMax {
		return nil, fmt.Errorf("%w: %d characters, a switch wants %d to %d", ErrPassword, len(c), CharactersMin, CharactersMax)
	}
	b := make([]byte, switchSize-4)
	binary.LittleEndian.PutUint32(b, uint32(len(c)))
	for i := range len(c) {
		b[4+2*i] = c[i]
	}
	return b, nil
}
