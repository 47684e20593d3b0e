package machinetest

import (
	"crypto"
	_ "crypto/sha1"   // for signatures that shim does not look at
	_ "crypto/sha256" // for all others
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// Section is a section of an EFI program. Names of more than 8 bytes stand in the string table, as in shim.
type Section struct {
	Name    string
	Content []byte
}

// Where the parts of an image stand. Behind the sections come the names in the string table.
const (
	optionalHeader = 64 + 4 + 20 // where it begins
	// Checksum is the offset of the field CheckSum, which no signature covers.
	Checksum = optionalHeader + 64
	// Headers is where the headers end and the first section begins.
	Headers = 1024
)

// Program is an EFI program of this PE machine type, signed over SHA-256, with these sections. Only .text has something in it.
func Program(machine uint16, sections ...string) []byte {
	var all []Section
	for _, name := range sections {
		s := Section{Name: name}
		if name == ".text" {
			s.Content = []byte("the machine code")
		}
		all = append(all, s)
	}
	return Signed(Image(machine, all...), crypto.SHA256)
}

// Image is an EFI program without signatures; PE32 for 32-bit machines, PE32+ for others.
func Image(machine uint16, sections ...Section) []byte {
	le := binary.LittleEndian
	size, magic, count := 240, uint16(0x20b), 108
	if machine == 0x14c || machine == 0x1c4 {
		size, magic, count = 224, 0x10b, 92
	}
	b := make([]byte, Headers)
	copy(b, "MZ")
	le.PutUint32(b[60:], 64)
	copy(b[64:], "PE\x00\x00")
	le.PutUint16(b[68:], machine)
	le.PutUint16(b[70:], uint16(len(sections)))
	le.PutUint16(b[84:], uint16(size))
	o := b[optionalHeader:]
	le.PutUint16(o, magic)
	le.PutUint32(o[60:], Headers)
	le.PutUint32(o[count:], 16)

	names := []byte{0, 0, 0, 0} // the string table begins with its own size
	for i, s := range sections {
		header := b[optionalHeader+size+40*i:][:40]
		if len(s.Name) > 8 {
			copy(header, fmt.Sprintf("/%d", len(names)))
			names = append(append(names, s.Name...), 0)
		} else {
			copy(header, s.Name)
		}
		if len(s.Content) > 0 {
			le.PutUint32(header[8:], uint32(len(s.Content)))
			le.PutUint32(header[16:], uint32(len(s.Content)))
			le.PutUint32(header[20:], uint32(len(b)))
			b = append(b, s.Content...)
		}
	}
	le.PutUint32(names, uint32(len(names)))
	le.PutUint32(b[76:], uint32(len(b))) // symbols, none, and behind them the names
	b = append(b, names...)
	return append(b, make([]byte, -len(b)&7)...)
}

// Signed puts an attribute certificate table behind an image: for each hash an element that has the form of an Authenticode signature and
// holds the image's digest. There is no key, and nothing that a key made.
func Signed(image []byte, hashes ...crypto.Hash) []byte {
	var table []byte
	for _, hash := range hashes {
		table = append(table, Signature(hash, Digest(image, hash))...)
	}
	return withTable(image, table)
}

// SignedBy is an image with one signature over SHA-256 in which these certificates are, in DER.
func SignedBy(image []byte, ders ...[]byte) []byte {
	return withTable(image, Signature(crypto.SHA256, Digest(image, crypto.SHA256), ders...))
}

func withTable(image, table []byte) []byte {
	entry := certificates(image)
	b := append([]byte(nil), image...)
	binary.LittleEndian.PutUint32(b[entry:], uint32(len(image)))
	binary.LittleEndian.PutUint32(b[entry+4:], uint32(len(table)))
	return append(b, table...)
}

// certificates is the offset of the data directory of the certificate table.
func certificates(image []byte) int {
	if image[optionalHeader+1] == 1 { // PE32
		return optionalHeader + 96 + 4*8
	}
	return optionalHeader + 112 + 4*8
}

// Digest is the Authenticode digest of an image that [Image] made: it has no gaps, so that all of it is hashed but the checksum and the
// data directory of the certificate table.
func Digest(image []byte, hash crypto.Hash) []byte {
	h, entry := hash.New(), certificates(image)
	h.Write(image[:Checksum])
	h.Write(image[Checksum+4 : entry])
	h.Write(image[entry+8:])
	return h.Sum(nil)
}

// Signature is an element of the attribute certificate table: PKCS#7 SignedData over this digest, with these certificates.
func Signature(hash crypto.Hash, digest []byte, ders ...[]byte) []byte {
	algorithm := map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA1: {1, 3, 14, 3, 2, 26}, crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1}}[hash]
	type b = *cryptobyte.Builder
	sequence, explicit := tag.SEQUENCE, tag.Tag(0).ContextSpecific().Constructed()
	indirect := func(c b) {
		c.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4})
		c.AddASN1(explicit, func(c b) {
			c.AddASN1(sequence, func(c b) {
				c.AddASN1(sequence, func(c b) { c.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}) })
				c.AddASN1(sequence, func(c b) {
					c.AddASN1(sequence, func(c b) { c.AddASN1ObjectIdentifier(algorithm); c.AddASN1NULL() })
					c.AddASN1OctetString(digest)
				})
			})
		})
	}
	var c cryptobyte.Builder
	c.AddASN1(sequence, func(c b) {
		c.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2})
		c.AddASN1(explicit, func(c b) {
			c.AddASN1(sequence, func(c b) {
				c.AddASN1Int64(1)
				c.AddASN1(tag.SET, func(c b) {})
				c.AddASN1(sequence, indirect)
				if len(ders) > 0 {
					c.AddASN1(explicit, func(c b) { c.AddBytes(slices.Concat(ders...)) })
				}
				c.AddASN1(tag.SET, func(c b) { c.AddASN1(sequence, func(c b) { c.AddASN1Int64(1) }) })
			})
		})
	})
	der, _ := c.Bytes() // fails for a hash that has no number above, and then there is no signature
	return Certificate(2, der)
}

// Certificate is an element of the attribute certificate table (WIN_CERTIFICATE) of any type, padded to a multiple of 8 bytes.
func Certificate(kind uint16, content []byte) []byte {
	e := binary.LittleEndian.AppendUint32(nil, uint32(8+len(content)))
	e = binary.LittleEndian.AppendUint16(e, 0x200)
	e = append(binary.LittleEndian.AppendUint16(e, kind), content...)
	return append(e, make([]byte, -len(e)&7)...)
}
