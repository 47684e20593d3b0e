package machine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/pe"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// What can be wrong with the signatures of an EFI program.
var (
	errUnsigned    = errors.New("it is not signed")
	errOtherDigest = errors.New("it is signed, but not with SHA-256, the only digest that shim compares")
	errDamaged     = errors.New("it is damaged")
	errNotJudged   = errors.New("whether it is damaged cannot be told")
)

// checkSignatures compares a program with what was signed: nil when it has signatures and all of those over a SHA-256 digest are over its
// own, else one of the four errors above. It asks of the layout what shim does (pe.c, generate_hash; verify.c, verify_buffer_authenticode).
// shim makes do with one signature that fits; here one that does not fit is damage, as nobody can tell from here which of them it trusts.
//
// That is all: neither the signature itself nor who made it is checked, so it is not known whether shim trusts the signer (its vendor
// certificate, db, MokList) or has revoked the program (dbx, SBAT). A program whose digest stands in db or MokList needs no signature at all;
// that is not looked for either.
func checkSignatures(program *pe.File, data []byte) error {
	l, err := measure(program, data)
	if err != nil {
		return err
	}
	table := data[l.table:]
	switch {
	case len(table) == 0:
		return errUnsigned
	case len(bytes.Trim(table, "\x00")) == 0:
		return fmt.Errorf("%w: its signatures are all zeros (a snapshot keeps no more than the headers)", errNotJudged)
	}
	digests, err := signedDigests(table, l.table)
	if err != nil {
		return err
	}
	if len(digests) == 0 {
		return errUnsigned
	}
	digests = slices.DeleteFunc(digests, func(d signedDigest) bool { return !d.algorithm.Equal(oidSHA256) })
	if len(digests) == 0 {
		return errOtherDigest
	}
	own := l.digest()
	for _, d := range digests {
		if !bytes.Equal(d.digest, own) {
			return fmt.Errorf("%w: its SHA-256 digest is %.4x…, and %.4x… was signed", errDamaged, own, d.digest)
		}
	}
	return nil
}

// layout is how the bytes of a program are laid out, as far as its digest goes ("Windows Authenticode Portable Executable Signature
// Format", calculating the PE image hash). The numbers are offsets.
type layout struct {
	data            []byte
	checksum, entry uint64   // two fields of the headers that are not hashed: CheckSum, and where the certificate table is
	headers         uint64   // their end
	sections        [][]byte // in the order of the file
	rest            uint64   // where the sections would end if there were no gaps: shim and the kernel hash from there to the table
	table           uint64   // the certificate table; the end of the file when there is none
}

func (l layout) digest() []byte {
	h := sha256.New()
	h.Write(l.data[:l.checksum])
	h.Write(l.data[l.checksum+4 : l.entry])
	h.Write(l.data[l.entry+8 : l.headers])
	for _, s := range l.sections {
		h.Write(s)
	}
	h.Write(l.data[l.rest:l.table])
	return h.Sum(nil)
}

// Places in the headers (PE/COFF specification: optional header, data directories).
const (
	fileHeader     = 4 + 20 // with the signature before it
	checksumOffset = 64     // in the optional header
	entrySize      = 8      // of a data directory
	directories    = 16     // the most that shim takes
	sectionHeader  = 40
)

func damaged(offset uint64, format string, args ...any) error {
	return fmt.Errorf("%w: %s at offset %d", errDamaged, fmt.Sprintf(format, args...), offset)
}

// measure finds the parts of a program. What shim would refuse whether Secure Boot is on or not is an errDamaged.
func measure(program *pe.File, data []byte) (layout, error) {
	size := uint64(len(data))
	if size < 64 || !bytes.HasPrefix(data, []byte("MZ")) {
		return layout{}, damaged(0, "no DOS header")
	}
	optional := uint64(binary.LittleEndian.Uint32(data[60:])) + fileHeader
	l := layout{data: data, checksum: optional + checksumOffset}
	var count uint32
	var table pe.DataDirectory
	switch o := program.OptionalHeader.(type) {
	case *pe.OptionalHeader64:
		l.entry, l.headers, count, table = optional+112, uint64(o.SizeOfHeaders), o.NumberOfRvaAndSizes, o.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	case *pe.OptionalHeader32:
		l.entry, l.headers, count, table = optional+96, uint64(o.SizeOfHeaders), o.NumberOfRvaAndSizes, o.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	default:
		return layout{}, damaged(optional, "no optional header")
	}
	l.entry += entrySize * pe.IMAGE_DIRECTORY_ENTRY_SECURITY
	if count <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY || count > directories {
		return layout{}, damaged(optional, "%d data directories", count)
	}
	end := optional + uint64(program.SizeOfOptionalHeader) + sectionHeader*uint64(program.NumberOfSections)
	if l.headers < max(end, l.entry+entrySize) || l.headers > size {
		return layout{}, damaged(optional, "%d bytes of headers, which end at %d, in a file of %d bytes", l.headers, end, size)
	}
	if err := l.addSections(program.Sections); err != nil {
		return layout{}, err
	}
	l.table = uint64(table.VirtualAddress)
	switch tableSize := uint64(table.Size); {
	case l.table > size:
		return layout{}, damaged(l.entry, "certificates at %d in a file of %d bytes", l.table, size)
	case tableSize == 0:
		l.table = size
	case l.table < l.rest || l.table+tableSize != size:
		return layout{}, damaged(l.entry, "%d bytes of certificates at %d, which are not the end of a file of %d bytes with %d bytes before", tableSize, l.table, size, l.rest)
	}
	return l, nil
}

func (l *layout) addSections(sections []*pe.Section) error {
	size := uint64(len(l.data))
	l.rest = l.headers
	inFile := slices.SortedStableFunc(slices.Values(sections), func(a, b *pe.Section) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, s := range inFile {
		from, length := uint64(s.Offset), uint64(s.Size)
		if length == 0 {
			continue
		}
		// Together they are no longer than the file, even if they overlap, so that a few bytes of headers cannot ask for gigabytes to be hashed.
		if from < l.headers || from+length > size || l.rest+length > size {
			return damaged(from, "section %q of %d bytes in a file of %d bytes", s.Name, length, size)
		}
		l.sections = append(l.sections, l.data[from:from+length])
		l.rest += length
	}
	return nil
}

// signedDigest is a digest that a signature is over.
type signedDigest struct {
	algorithm asn1.ObjectIdentifier
	digest    []byte
	// certificates come with the signature, in DER: the signer's, and perhaps some that vouch for it.
	certificates [][]byte
}

var (
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidIndirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4} // SPC_INDIRECT_DATA_OBJID
	oidSHA256       = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// signedDigests reads an attribute certificate table (UEFI 2.10 section 32.2.4, WIN_CERTIFICATE), which begins at this offset of the file:
// elements of 4 bytes length, 2 bytes revision, 2 bytes type and content, each at a multiple of 8. Types other than that of PKCS#7 are
// passed over, as shim does.
func signedDigests(table []byte, offset uint64) (digests []signedDigest, err error) {
	const head, signedDataType = 8, 2 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
	for at := uint64(0); at < uint64(len(table)); {
		rest := table[at:]
		if len(rest) < head {
			return nil, damaged(offset+at, "%d bytes where a certificate should begin", len(rest))
		}
		length := uint64(binary.LittleEndian.Uint32(rest))
		if length < head || length > uint64(len(rest)) {
			return nil, damaged(offset+at, "a certificate of %d bytes where %d are left", length, len(rest))
		}
		if binary.LittleEndian.Uint16(rest[6:]) == signedDataType {
			d, what := parseSigned(rest[head:length])
			if what != "" {
				return nil, damaged(offset+at, "a signature without readable %s", what)
			}
			digests = append(digests, d)
		}
		at += (length + 7) &^ 7
	}
	return digests, nil
}

// parseSigned reads the digest in a signature: PKCS#7 SignedData (RFC 2315 section 9.1) whose content is SpcIndirectDataContent. Bytes that
// follow it are padding. what names the part that cannot be read.
func parseSigned(der []byte) (d signedDigest, what string) {
	var outer, wrapped, signed, content, wrappedContent, certificates, signers cryptobyte.String
	var kind asn1.ObjectIdentifier
	in := cryptobyte.String(der)
	explicit := tag.Tag(0).ContextSpecific().Constructed()
	if !in.ReadASN1(&outer, tag.SEQUENCE) || !outer.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidSignedData) ||
		!outer.ReadASN1(&wrapped, explicit) || !outer.Empty() ||
		!wrapped.ReadASN1(&signed, tag.SEQUENCE) || !wrapped.Empty() ||
		!signed.SkipASN1(tag.INTEGER) || !signed.SkipASN1(tag.SET) || !signed.ReadASN1(&content, tag.SEQUENCE) ||
		!signed.ReadOptionalASN1(&certificates, nil, explicit) || !signed.SkipOptionalASN1(tag.Tag(1).ContextSpecific().Constructed()) ||
		!signed.ReadASN1(&signers, tag.SET) || signers.Empty() || !signed.Empty() {
		return signedDigest{}, "PKCS#7 SignedData"
	}
	var data, info, algorithm, digest cryptobyte.String
	if !content.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidIndirectData) ||
		!content.ReadASN1(&wrappedContent, explicit) || !content.Empty() ||
		!wrappedContent.ReadASN1(&data, tag.SEQUENCE) || !wrappedContent.Empty() ||
		!data.SkipASN1(tag.SEQUENCE) || !data.ReadASN1(&info, tag.SEQUENCE) || !data.Empty() ||
		!info.ReadASN1(&algorithm, tag.SEQUENCE) || !info.ReadASN1(&digest, tag.OCTET_STRING) || !info.Empty() ||
		!algorithm.ReadASN1ObjectIdentifier(&d.algorithm) {
		return signedDigest{}, "SpcIndirectDataContent"
	}
	d.digest = digest
	for !certificates.Empty() {
		var one cryptobyte.String
		if !certificates.ReadAnyASN1Element(&one, nil) {
			return signedDigest{}, "certificates"
		}
		d.certificates = append(d.certificates, one)
	}
	return d, ""
}
