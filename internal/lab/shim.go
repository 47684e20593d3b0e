package lab

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/foxboron/go-uefi/authenticode"
)

// shim is Debian's, signed by Microsoft.
const shim = "/usr/lib/shim/shimx64.efi.signed"

// Shim makes another vendor's shim of Debian's: with this certificate built in, and signed with this key of the firmware's
// db. All certificates are DER. What Debian's shim starts is signed by Debian's CA, which must then be in db, too. That
// Debian's list of forbidden programs is still built in does no harm.
func Shim(t testing.TB, vendor []byte, key crypto.Signer, certificate []byte) []byte {
	t.Helper()
	program, err := found(t).read(shim)
	if err == nil {
		program, err = reshim(program, vendor, key, certificate)
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func reshim(program, vendor []byte, key crypto.Signer, certificate []byte) ([]byte, error) {
	signer, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	if program, err = unsigned(program); err != nil {
		return nil, err
	}
	if err := setVendor(program, vendor); err != nil {
		return nil, err
	}
	binary, err := authenticode.Parse(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	if _, err := binary.Sign(key, signer); err != nil {
		return nil, err
	}
	return binary.Bytes(), nil
}

// unsigned gives a copy of a 64-bit program without its signatures, which are at its end, and with the checksum 0, which
// says that there is none.
func unsigned(program []byte) ([]byte, error) {
	const checksum, directory = 64, 112 + 8*pe.IMAGE_DIRECTORY_ENTRY_SECURITY // in the optional header
	if len(program) < 64 {
		return nil, errors.New("no EFI program")
	}
	optional := int(binary.LittleEndian.Uint32(program[60:])) + 4 + 20
	if len(program) < optional+directory+8 {
		return nil, errors.New("no EFI program")
	}
	program = bytes.Clone(program)
	entry := program[optional+directory:][:8]
	table, size := int(binary.LittleEndian.Uint32(entry)), int(binary.LittleEndian.Uint32(entry[4:]))
	if size == 0 || table+size != len(program) {
		return nil, fmt.Errorf("%d bytes of signatures at %d of %d", size, table, len(program))
	}
	clear(entry)
	clear(program[optional+checksum:][:4])
	return program[:table], nil
}

// setVendor replaces the certificate in the section .vendor_cert (shim's cert.S): the sizes of what is allowed and of what
// is forbidden, where each begins, then what is allowed and what is forbidden.
func setVendor(program, vendor []byte) error {
	file, err := pe.NewFile(bytes.NewReader(program))
	if err != nil {
		return err
	}
	defer file.Close()
	section := file.Section(".vendor_cert")
	if section == nil {
		return errors.New("the program is no shim: it has no section .vendor_cert")
	}
	content := program[section.Offset:][:section.Size]
	at, end := binary.LittleEndian.Uint32(content[8:]), binary.LittleEndian.Uint32(content[12:])
	if at > end || int64(end) > int64(len(content)) || len(vendor) > int(end-at) {
		return fmt.Errorf("a certificate of %d bytes does not fit between %d and %d", len(vendor), at, end)
	}
	binary.LittleEndian.PutUint32(content, uint32(len(vendor)))
	clear(content[at:end])
	copy(content[at:], vendor)
	return nil
}
