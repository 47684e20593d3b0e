package efivars

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"
	"unicode/utf16"
)

// Update is what is written to PK, KEK, db or dbx: an EFI_VARIABLE_AUTHENTICATION_2 (UEFI 2.10 section 8.2.2) and the new content, as in files
// that end in .auth. The firmware keeps the content and the time.
type Update struct {
	// Time is UTC in whole seconds. The firmware refuses one that is not later than that of the content it has.
	Time time.Time
	// Signature is a PKCS #7 SignedData in DER, without the ContentInfo around it, over what Signed gives.
	Signature []byte
	// Content is the whole new content.
	Content []byte
}

// AuthenticatedAttributes are those of PK, KEK, db and dbx.
const AuthenticatedAttributes = NonVolatile | BootService | Runtime | TimeAuthWrite

// Sizes in bytes and numbers of the header.
const (
	timeSize        = 16
	certificateHead = 24     // WIN_CERTIFICATE_UEFI_GUID without its data
	revision        = 0x0200 // of WIN_CERTIFICATE
	typeGUID        = 0x0ef1 // WIN_CERT_TYPE_EFI_GUID
)

// certTypePKCS7 is EFI_CERT_TYPE_PKCS7_GUID.
var certTypePKCS7 = GUID{0x4aafd29d, 0x68df, 0x49ee, [8]uint8{0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7}}

// ErrSigner: the key or its certificate cannot sign an update.
var ErrSigner = errors.New("cannot sign an update of EFI variables")

// Signed is what the signature of an update is over: the variable's name in UTF-16 without a NUL, its vendor, its attributes, the time and the
// content, one after the other.
func (u Update) Signed(n Name, a Attributes) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(n.Name)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	b = n.Vendor.appendWire(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(a))
	b = appendTime(b, u.Time)
	return append(b, u.Content...)
}

// appendTime writes an EFI_TIME; but for the six numbers all must be zero.
func appendTime(b []byte, t time.Time) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(t.Year()))
	b = append(b, byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0)
	return append(b, make([]byte, 8)...)
}

// Encode gives the bytes of the update.
func (u Update) Encode() []byte {
	b := appendTime(nil, u.Time)
	b = binary.LittleEndian.AppendUint32(b, uint32(certificateHead+len(u.Signature)))
	b = binary.LittleEndian.AppendUint16(b, revision)
	b = binary.LittleEndian.AppendUint16(b, typeGUID)
	b = certTypePKCS7.appendWire(b)
	return append(append(b, u.Signature...), u.Content...)
}

// ParseUpdate decodes an update. What it accepts encodes to the same bytes; its error is a *CorruptError. The result shares memory with b.
func ParseUpdate(b []byte) (Update, error) {
	bad := func(at int, format string, args ...any) (Update, error) {
		return Update{}, &CorruptError{What: "signed update", Offset: at, Why: fmt.Sprintf(format, args...)}
	}
	if len(b) < timeSize+certificateHead {
		return bad(0, "%d bytes, less than its header of %d", len(b), timeSize+certificateHead)
	}
	year := int(binary.LittleEndian.Uint16(b))
	t := time.Date(year, time.Month(b[2]), int(b[3]), int(b[4]), int(b[5]), int(b[6]), 0, time.UTC)
	if year > 9999 || !bytes.Equal(appendTime(nil, t), b[:timeSize]) {
		return bad(0, "no time in UTC and whole seconds")
	}
	size := int64(binary.LittleEndian.Uint32(b[timeSize:]))
	switch {
	case size < certificateHead || size > int64(len(b)-timeSize):
		return bad(timeSize, "the signature claims %d bytes, %d are left", size, len(b)-timeSize)
	case binary.LittleEndian.Uint16(b[timeSize+4:]) != revision || binary.LittleEndian.Uint16(b[timeSize+6:]) != typeGUID:
		return bad(timeSize+4, "no WIN_CERTIFICATE_UEFI_GUID")
	case wireGUID(b[timeSize+8:]) != certTypePKCS7:
		return bad(timeSize+8, "the signature is no PKCS #7")
	}
	end := timeSize + int(size)
	return Update{Time: t, Signature: b[timeSize+certificateHead : end : end], Content: b[end:]}, nil
}

// The parts of a SignedData (RFC 2315 section 9) as the firmware wants it: SHA-256, one RSA signature, no attributes, no content.
type (
	signedData struct {
		Version          int
		DigestAlgorithms []algorithmID `asn1:"set"`
		Content          contentInfo
		Certificates     asn1.RawValue
		Signers          []signerInfo `asn1:"set"`
	}
	contentInfo struct{ Type asn1.ObjectIdentifier }
	algorithmID struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue
	}
	signerInfo struct {
		Version   int
		By        issuerAndSerial
		Digest    algorithmID
		Algorithm algorithmID
		Signature []byte
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
)

var (
	oidData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

// NewUpdate signs new content for a variable, with the RSA key of the certificate. A zero content empties the variable. ErrSigner when the key
// is not the certificate's, or no RSA key of 2048 bits and more, which is all that firmware is known to take.
func NewUpdate(n Name, content []byte, now time.Time, key crypto.Signer, certificate *x509.Certificate) (Update, error) {
	public, isRSA := key.Public().(*rsa.PublicKey)
	switch {
	case !isRSA || public.N.BitLen() < 2048:
		return Update{}, fmt.Errorf("%w: the key is no RSA key of 2048 bits or more", ErrSigner)
	case !public.Equal(certificate.PublicKey):
		return Update{}, fmt.Errorf("%w: the key is not that of the certificate", ErrSigner)
	}
	u := Update{Time: now.UTC().Truncate(time.Second), Content: content}
	digest := sha256.Sum256(u.Signed(n, AuthenticatedAttributes))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return Update{}, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	sha := algorithmID{oidSHA256, asn1.NullRawValue}
	u.Signature, err = asn1.Marshal(signedData{
		Version:          1,
		DigestAlgorithms: []algorithmID{sha},
		Content:          contentInfo{oidData},
		Certificates:     asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certificate.Raw},
		Signers: []signerInfo{{
			1, issuerAndSerial{asn1.RawValue{FullBytes: certificate.RawIssuer}, certificate.SerialNumber}, sha, algorithmID{oidRSA, asn1.NullRawValue}, signature,
		}},
	})
	if err != nil {
		return Update{}, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	return u, nil
}
