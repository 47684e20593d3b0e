package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/foxboron/go-uefi/efi/signature"
	"github.com/foxboron/go-uefi/efi/util"
)

// Keys are the certificates, in DER, that a machine's owner has put into the firmware in place of Microsoft's. Without a PK the firmware is in
// setup mode, and with no keys at all that of a new board.
type Keys struct {
	PK, KEK []byte
	DB      [][]byte // what starts the machine must be signed by one of these: Debian's shim by Microsoft, or Shim
}

// owner is the SignatureOwner of the lab's keys.
var owner = util.EFIGUID{Data1: 0x6b6b6579, Data2: 0x7300, Data3: 0x4c61, Data4: [8]byte{0x80, 7: 2}}

// install puts the keys into EFI variables that have Microsoft's, and switches Secure Boot.
func (k *Keys) install(variables []byte, secureBoot bool) ([]byte, error) {
	s := store{bytes.Clone(variables)}
	for name, certificates := range map[string][][]byte{"PK": {k.PK}, "KEK": {k.KEK}, "db": k.DB} {
		if len(certificates) == 0 || certificates[0] == nil {
			if err := s.remove(name); err != nil {
				return nil, err
			}
			continue
		}
		database := signature.NewSignatureDatabase()
		for _, der := range certificates {
			if err := database.Append(signature.CERT_X509_GUID, owner, der); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := s.replace(name, database.Bytes()); err != nil {
			return nil, err
		}
	}
	on := []byte{0}
	if secureBoot {
		on = []byte{1}
	}
	return s.data, s.replace("SecureBootEnable", on)
}

// Rewrite gives EFI variables in which one that is there has other content, as after a fault of the firmware.
func Rewrite(variables []byte, name string, content []byte) ([]byte, error) {
	s := store{bytes.Clone(variables)}
	return s.data, s.replace(name, content)
}

// store is a file of EFI variables as OVMF keeps them: a firmware volume (UEFI PI specification, volume 3, section 3.2.1)
// with a variable store of the authenticated kind (EDK II: MdeModulePkg/Include/Guid/VariableFormat.h), to which variables
// are only ever added; one that is replaced stays, marked as deleted.
type store struct{ data []byte }

// Sizes and places, in bytes, in the headers of the store and of a variable.
const (
	volumeLength   = 48 // where the volume's header tells its own length
	storeSize      = 16
	storeHeader    = 28
	variableHeader = 60
	variableState  = 2
	nameSize       = 36
	dataSize       = 40
)

// States of a variable; each step clears one bit of flash.
const (
	added    = 0x3f
	deleting = 0x3d // added, and its successor may not be whole
	deleted  = 0x3c
)

// replace gives an existing variable other content; attributes, owner and time stay.
func (s store) replace(name string, content []byte) error {
	old, at, end, err := s.find(name)
	wide := encode(name)
	if err != nil {
		return err
	}
	if at+variableHeader+len(wide)+len(content) > end {
		return fmt.Errorf("there is no room for EFI variable %s", name)
	}
	next := s.data[at:]
	copy(next, s.data[old:old+variableHeader])
	next[variableState] = added
	binary.LittleEndian.PutUint32(next[dataSize:], uint32(len(content)))
	copy(next[variableHeader:], append(wide, content...))
	s.data[old+variableState] = deleted
	return nil
}

// remove deletes an existing variable.
func (s store) remove(name string) error {
	old, _, _, err := s.find(name)
	if err == nil {
		s.data[old+variableState] = deleted
	}
	return err
}

// encode gives a name as it stands in the store, with its NUL.
func encode(name string) (wide []byte) {
	for _, unit := range utf16.Encode([]rune(name + "\x00")) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	return wide
}

// find gives the place of a variable, the first free place, and the end of the store.
func (s store) find(name string) (old, at, end int, err error) {
	wide := encode(name)
	short := errors.New("the file of EFI variables is cut short")
	if len(s.data) < volumeLength+2 {
		return 0, 0, 0, short
	}
	at = int(binary.LittleEndian.Uint16(s.data[volumeLength:]))
	if len(s.data) < at+storeHeader {
		return 0, 0, 0, short
	}
	end = at + int(binary.LittleEndian.Uint32(s.data[at+storeSize:]))
	if len(s.data) < end {
		return 0, 0, 0, short
	}
	for at += storeHeader; at+variableHeader <= end && binary.LittleEndian.Uint16(s.data[at:]) == 0x55aa; {
		header := s.data[at : at+variableHeader]
		names, size := int(binary.LittleEndian.Uint32(header[nameSize:])), int(binary.LittleEndian.Uint32(header[dataSize:]))
		state := header[variableState]
		if (state == added || state == deleting) && bytes.HasPrefix(s.data[at+variableHeader:], wide) {
			old = at
		}
		at = (at + variableHeader + names + size + 3) &^ 3
	}
	if old == 0 {
		return 0, 0, 0, fmt.Errorf("EFI variable %s is not there", name)
	}
	return old, at, end, nil
}
