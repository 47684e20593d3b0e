package modsig

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Magic is the text that ends a signed module (include/linux/module_signature.h MODULE_SIG_STRING).
const Magic = "~Module signature appended~\n"

// infoSize is the size of struct module_signature: algo, hash, id_type, signer_len, key_id_len, three bytes of padding,
// and the length of the message in big endian.
const infoSize = 12

// idPKCS7 is PKEY_ID_PKCS7, the one id_type since Linux 4.3. 0 is PGP, 1 X.509.
const idPKCS7 = 2

// UnsignedError says how a module is not signed. Its Unwrap gives ErrUnsigned.
type UnsignedError struct {
	// Magic is the offset at which Magic stands last in the module, -1 if nowhere.
	Magic int
	// Appended tells that the module up to there has a well-formed trailer, so that it was signed and something was
	// appended afterwards; After is how many bytes. Otherwise the text stands in the module by chance, or is its data.
	Appended bool
	After    int
}

func (e *UnsignedError) Error() string {
	switch {
	case e.Appended:
		return fmt.Sprintf("%v any more: %d bytes were appended to it after its signature, which ends at offset %d",
			ErrUnsigned, e.After, e.Magic+len(Magic))
	case e.Magic >= 0:
		return fmt.Sprintf("%v: the text that ends a signature stands at offset %d only, with no signature before it", ErrUnsigned, e.Magic)
	}
	return ErrUnsigned.Error()
}

// Unwrap gives ErrUnsigned.
func (e *UnsignedError) Unwrap() error { return ErrUnsigned }

// Split takes the outermost signature off a module: what was signed, and the CMS message for Decode. Append puts them
// together again to the same bytes. The results share memory with module.
//
// Errors: *UnsignedError (ErrUnsigned), *SyntaxError (ErrMalformed), ErrKind. The checks are those of mod_verify_sig and
// mod_check_sig in their order, and a message of no bytes, which the kernel refuses a step later.
func Split(module []byte) (payload, message []byte, err error) {
	signed, ok := bytes.CutSuffix(module, []byte(Magic))
	if !ok || len(signed) == 0 {
		return nil, nil, unsigned(module)
	}
	if len(signed) <= infoSize {
		return nil, nil, malformed(0, "trailer", "%d bytes before the text at the end, %d and a module are needed", len(signed), infoSize)
	}
	at := len(signed) - infoSize
	info := signed[at:]
	size := binary.BigEndian.Uint32(info[8:])
	if uint64(size) >= uint64(at) {
		return nil, nil, malformed(at+8, "sig_len", "the signature claims %d bytes, %d are before it", size, at)
	}
	if info[2] != idPKCS7 {
		return nil, nil, fmt.Errorf("%w: id_type at offset %d is %d, PKCS#7 is %d", ErrKind, at+2, info[2], idPKCS7)
	}
	for i, field := range [8]string{"algo", "hash", "", "signer_len", "key_id_len", "padding", "padding", "padding"} {
		if field != "" && info[i] != 0 {
			return nil, nil, malformed(at+i, field, "%d, must be 0", info[i])
		}
	}
	if size == 0 {
		return nil, nil, malformed(at+8, "sig_len", "the signature has no bytes")
	}
	start := at - int(size)
	return module[:start:start], module[start:at:at], nil
}

func malformed(offset int, what, format string, args ...any) error {
	return &SyntaxError{Offset: offset, What: what, Why: fmt.Sprintf(format, args...), outcome: ErrMalformed}
}

// unsigned looks for a signature that is not at the end.
func unsigned(module []byte) *UnsignedError {
	e := &UnsignedError{Magic: bytes.LastIndex(module, []byte(Magic))}
	if e.Magic < 0 {
		return e
	}
	end := e.Magic + len(Magic)
	if end < len(module) {
		_, _, err := Split(module[:end])
		e.Appended, e.After = err == nil, len(module)-end
	}
	return e
}

// Append puts a message after a module, as scripts/sign-file does; a signature that is there already stays, below the new
// one. The error is ErrInvalid for an empty module or message, which no kernel takes, and for a message beyond 32 bits.
func Append(payload, message []byte) ([]byte, error) {
	switch {
	case len(payload) == 0:
		return nil, fmt.Errorf("%w: the module is empty", ErrInvalid)
	case len(message) == 0 || uint64(len(message)) > math.MaxUint32:
		return nil, fmt.Errorf("%w: a message of %d bytes", ErrInvalid, len(message))
	}
	module := make([]byte, 0, len(payload)+len(message)+infoSize+len(Magic))
	module = append(append(module, payload...), message...)
	module = append(module, 0, 0, idPKCS7, 0, 0, 0, 0, 0)
	module = binary.BigEndian.AppendUint32(module, uint32(len(message)))
	return append(module, Magic...), nil
}

// Strip takes all signatures off a module, nested ones too, and tells how many there were; none is no error. The result
// shares memory with module. Errors: ErrMalformed, ErrKind for a trailer that does not say where the payload ends; nothing
// is stripped then.
func Strip(module []byte) (payload []byte, signatures int, err error) {
	for payload = module; ; signatures++ {
		inner, _, err := Split(payload)
		switch {
		case errors.Is(err, ErrUnsigned):
			return payload, signatures, nil
		case err != nil && signatures > 0:
			return nil, 0, fmt.Errorf("below the outer signature: %w", err)
		case err != nil:
			return nil, 0, err
		}
		payload = inner
	}
}
