package efivars

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Signature is one EFI_SIGNATURE_DATA: a certificate, a digest, or what else the list's type says.
type Signature struct {
	// Owner is whoever put it there; shim does not look at it.
	Owner GUID
	Data  []byte
}

// SignatureList is one EFI_SIGNATURE_LIST, UEFI 2.10 section 32.4.1. All its signatures have the same size, so a list of
// certificates holds one as a rule.
type SignatureList struct {
	Type GUID
	// Header is empty for every type that is defined today, and kept for others.
	Header     []byte
	Signatures []Signature
}

// listHeader is the fixed part: type, size of the list, of its header, and of one signature.
const listHeader = guidSize + 3*4

// X509List is a list with one certificate, as shim and the kernel want it.
func X509List(owner GUID, der []byte) SignatureList {
	return SignatureList{Type: X509, Signatures: []Signature{{Owner: owner, Data: der}}}
}

// ParseSignatureLists decodes lists that follow one another without a gap, as in db, MokNew or MokListRT. Any type is
// kept. The rules are the kernel's (security/integrity/platform_certs/efi_parser.c,
// parse_efi_signature_list): at least one
// signature a list, sizes that add up, nothing left over. On error it returns nothing and a *CorruptError whose Clean is
// the offset where the broken list starts. No bytes are no lists. The result shares memory with b.
func ParseSignatureLists(b []byte) ([]SignatureList, error) {
	var lists []SignatureList
	for at := 0; at < len(b); {
		list, size, err := parseList(b[at:])
		if err != nil {
			err.Offset += at
			err.Clean = at
			return nil, err
		}
		lists = append(lists, list)
		at += size
	}
	return lists, nil
}

func parseList(b []byte) (SignatureList, int, *CorruptError) {
	bad := func(at int, format string, args ...any) (SignatureList, int, *CorruptError) {
		return SignatureList{}, 0, &CorruptError{What: "EFI signature list", Offset: at, Why: fmt.Sprintf(format, args...)}
	}
	if len(b) < listHeader {
		return bad(0, "%d bytes are left, a list needs %d and a signature", len(b), listHeader)
	}
	// 64 bits, so that no sum of two sizes can wrap.
	size := int64(binary.LittleEndian.Uint32(b[16:]))
	header := int64(binary.LittleEndian.Uint32(b[20:]))
	each := int64(binary.LittleEndian.Uint32(b[24:]))
	body := size - listHeader - header
	switch {
	case size > int64(len(b)):
		return bad(16, "the list claims %d bytes, %d are left", size, len(b))
	case size < listHeader:
		return bad(16, "the list claims %d bytes, less than its own header", size)
	case body < 0:
		return bad(20, "the type's header claims %d bytes of a list of %d", header, size)
	case each < guidSize:
		return bad(24, "a signature of %d bytes has no room for its owner", each)
	case body < each:
		return bad(24, "a signature of %d bytes does not fit %d bytes of signatures", each, body)
	case body%each != 0:
		return bad(24, "%d bytes of signatures are not a multiple of %d", body, each)
	}
	list := SignatureList{Type: wireGUID(b), Signatures: make([]Signature, 0, body/each)}
	if header > 0 {
		list.Header = b[listHeader : listHeader+header : listHeader+header]
	}
	for at := listHeader + header; at < size; at += each {
		list.Signatures = append(list.Signatures, Signature{
			Owner: wireGUID(b[at:]),
			Data:  b[at+guidSize : at+each : at+each],
		})
	}
	return list, int(size), nil
}

// Size is the length of the encoded list in bytes.
func (l SignatureList) Size() int {
	n := listHeader + len(l.Header)
	for _, s := range l.Signatures {
		n += guidSize + len(s.Data)
	}
	return n
}

// EncodeSignatureLists writes lists one after another. What ParseSignatureLists accepted gives the same bytes again. A
// list without signatures, with signatures of different sizes, or beyond 32 bits is refused.
func EncodeSignatureLists(lists []SignatureList) ([]byte, error) {
	var b []byte
	for i, l := range lists {
		if len(l.Signatures) == 0 {
			return nil, fmt.Errorf("%w: signature list %d has no signature", ErrInvalid, i)
		}
		each := guidSize + len(l.Signatures[0].Data)
		for _, s := range l.Signatures {
			if guidSize+len(s.Data) != each {
				return nil, fmt.Errorf("%w: signature list %d has signatures of different sizes", ErrInvalid, i)
			}
		}
		if uint64(l.Size()) > math.MaxUint32 {
			return nil, fmt.Errorf("%w: signature list %d has more than 4 GiB", ErrInvalid, i)
		}
		b = l.Type.appendWire(b)
		b = binary.LittleEndian.AppendUint32(b, uint32(l.Size()))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(l.Header)))
		b = binary.LittleEndian.AppendUint32(b, uint32(each))
		b = append(b, l.Header...)
		for _, s := range l.Signatures {
			b = append(s.Owner.appendWire(b), s.Data...)
		}
	}
	return b, nil
}
