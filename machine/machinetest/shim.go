package machinetest

import (
	"crypto"
	"encoding/binary"
)

// VendorSection is the content of shim's section .vendor_cert: what is allowed, one DER certificate or signature lists, and what is
// forbidden.
func VendorSection(allowed, forbidden []byte) []byte {
	const header = 16
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(allowed)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(forbidden)))
	b = binary.LittleEndian.AppendUint32(b, header)
	b = binary.LittleEndian.AppendUint32(b, uint32(header+len(allowed)))
	return append(append(b, allowed...), forbidden...)
}

// Shim is the least that is shim, signed, with this content in its section .vendor_cert.
func Shim(vendor []byte) []byte {
	return Signed(Image(0x8664, Section{".text", []byte("the machine code")}, Section{".vendor_cert", vendor}), crypto.SHA256)
}
