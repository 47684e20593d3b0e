package efivars

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/foxboron/go-uefi/efi/util"
)

// GUID is go-uefi's GUID without its methods: their byte form is that of the text, and the strings they accept are not
// checked. On the wire the first three fields are little-endian (UEFI 2.10 appendix A).
type GUID util.EFIGUID

// Vendors of variables.
var (
	// Shim is the vendor of every variable of shim and MokManager, and the owner of the signatures they stage.
	Shim = GUID{0x605dab50, 0xe046, 0x4300, [8]uint8{0xab, 0xb6, 0x3d, 0xd8, 0x10, 0xdd, 0x8b, 0x23}}
	// Global is EFI_GLOBAL_VARIABLE: PK, KEK, SecureBoot, SetupMode, BootOrder, Boot####.
	Global = GUID{0x8be4df61, 0x93ca, 0x11d2, [8]uint8{0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}}
	// Kkeys owns the signatures that kkeys puts into the firmware's lists, for which an owner means nothing.
	Kkeys = GUID{0x9a1c3f52, 0x7d0e, 0x4b86, [8]uint8{0xa5, 0x4e, 0x6b, 0x6b, 0x65, 0x79, 0x73, 0x01}}
	// ImageSecurity is EFI_IMAGE_SECURITY_DATABASE_GUID: db and dbx.
	ImageSecurity = GUID{0xd719b2cb, 0x3d3a, 0x4596, [8]uint8{0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}}
)

// Types of signatures, UEFI 2.10 section 32.4.1.
var (
	// X509 signatures are DER certificates.
	X509 = GUID{0xa5c059a1, 0x94e4, 0x4aa7, [8]uint8{0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}}
	// SHA1 to SHA512 signatures are digests.
	SHA1   = GUID{0x826ca512, 0xcf10, 0x4ac9, [8]uint8{0xb1, 0x87, 0xbe, 0x01, 0x49, 0x66, 0x31, 0xbd}}
	SHA224 = GUID{0x0b6e5233, 0xa65c, 0x44c9, [8]uint8{0x94, 0x07, 0xd9, 0xab, 0x83, 0xbf, 0xc8, 0xbd}}
	SHA256 = GUID{0xc1c41626, 0x504c, 0x4092, [8]uint8{0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28}}
	SHA384 = GUID{0xff3e5307, 0x9fd0, 0x48c9, [8]uint8{0x85, 0xf1, 0x8a, 0xd5, 0x6c, 0x70, 0x1e, 0x01}}
	SHA512 = GUID{0x093e0fae, 0xa6c4, 0x4f50, [8]uint8{0x9f, 0x1b, 0xd4, 0x1e, 0x2b, 0x89, 0xc1, 0x9a}}
	// X509SHA256 to X509SHA512 signatures are the digest of a certificate's to-be-signed part and a revocation time.
	X509SHA256 = GUID{0x3bd2a492, 0x96c0, 0x4079, [8]uint8{0xb4, 0x20, 0xfc, 0xf9, 0x8e, 0xf1, 0x03, 0xed}}
	X509SHA384 = GUID{0x7076876e, 0x80c2, 0x4ee6, [8]uint8{0xaa, 0xd2, 0x28, 0xb3, 0x49, 0xa6, 0x86, 0x5b}}
	X509SHA512 = GUID{0x446dbf63, 0x2502, 0x4cda, [8]uint8{0xbc, 0xfa, 0x24, 0x65, 0xd2, 0xb0, 0xfe, 0x9d}}
)

const guidSize = 16

var errGUID = errors.New("not a GUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in lower case")

// ParseGUID reads the 36 characters that String writes, and nothing else.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	if len(s) != 36 {
		return GUID{}, errGUID
	}
	b, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36])
	if err != nil {
		return GUID{}, errGUID
	}
	g.Data1 = binary.BigEndian.Uint32(b)
	g.Data2 = binary.BigEndian.Uint16(b[4:])
	g.Data3 = binary.BigEndian.Uint16(b[6:])
	copy(g.Data4[:], b[8:])
	if g.String() != s { // dashes and case
		return GUID{}, errGUID
	}
	return g, nil
}

// String is the text form in lower case, as the kernel prints it in efivarfs.
func (g GUID) String() string {
	return (*util.EFIGUID)(&g).Format()
}

// appendWire adds the 16 bytes as firmware has them.
func (g GUID) appendWire(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, g.Data1)
	b = binary.LittleEndian.AppendUint16(b, g.Data2)
	b = binary.LittleEndian.AppendUint16(b, g.Data3)
	return append(b, g.Data4[:]...)
}

// wireGUID reads the 16 bytes at the start of b, which must be there.
func wireGUID(b []byte) GUID {
	g := GUID{
		Data1: binary.LittleEndian.Uint32(b),
		Data2: binary.LittleEndian.Uint16(b[4:]),
		Data3: binary.LittleEndian.Uint16(b[6:]),
	}
	copy(g.Data4[:], b[8:guidSize])
	return g
}
