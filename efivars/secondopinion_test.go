package efivars_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/foxboron/go-uefi/efi/attributes"
	"github.com/foxboron/go-uefi/efi/signature"
	"github.com/foxboron/go-uefi/efi/util"

	"kkeys/efivars"
)

// go-uefi, which is sound for valid lists of certificates and SHA-256 digests, must write and read the same bytes.
func TestSecondOpinionLists(t *testing.T) {
	owner := util.EFIGUID(efivars.Shim)
	der := bytes.Repeat([]byte{0x30, 0x82}, 600)
	theirs := signature.NewSignatureDatabase()
	if err := theirs.Append(signature.CERT_X509_GUID, owner, der); err != nil {
		t.Fatal(err)
	}
	ours := []efivars.SignatureList{efivars.X509List(efivars.Shim, der), {Type: efivars.SHA256}}
	for i := range 3 {
		sum := sha256.Sum256([]byte{byte(i)})
		if err := theirs.Append(signature.CERT_SHA256_GUID, owner, sum[:]); err != nil {
			t.Fatal(err)
		}
		ours[1].Signatures = append(ours[1].Signatures, efivars.Signature{Owner: efivars.Shim, Data: sum[:]})
	}
	b := listBytes(t, ours...)
	if !bytes.Equal(b, theirs.Bytes()) {
		t.Fatalf("ours   %x\ntheirs %x", b, theirs.Bytes())
	}
	read, err := signature.ReadSignatureDatabase(bytes.NewReader(b))
	if err != nil || len(read) != 2 || len(read[1].Signatures) != 3 || !bytes.Equal(read[0].Signatures[0].Data, der) {
		t.Errorf("they read %d lists, %v", len(read), err)
	}
	lists, err := efivars.ParseSignatureLists(theirs.Bytes())
	if err != nil || len(lists) != 2 || len(lists[1].Signatures) != 3 {
		t.Errorf("we read %d lists, %v", len(lists), err)
	}
}

func TestSecondOpinionVocabulary(t *testing.T) {
	for ours, theirs := range map[efivars.GUID]util.EFIGUID{
		efivars.Global: attributes.EFI_GLOBAL_VARIABLE, efivars.ImageSecurity: attributes.EFI_IMAGE_SECURITY_DATABASE_GUID,
		efivars.X509: signature.CERT_X509_GUID, efivars.SHA1: signature.CERT_SHA1_GUID,
		efivars.SHA224: signature.CERT_SHA224_GUID, efivars.SHA256: signature.CERT_SHA256_GUID,
		efivars.SHA384: signature.CERT_SHA384_GUID, efivars.SHA512: signature.CERT_SHA512_GUID,
		efivars.X509SHA256: signature.CERT_X509_SHA256_GUID,
	} {
		if ours != efivars.GUID(theirs) || ours.String() != theirs.Format() {
			t.Errorf("%s is not %s", ours, theirs.Format())
		}
	}
	for ours, theirs := range map[efivars.Attributes]attributes.Attributes{
		efivars.NonVolatile:   attributes.EFI_VARIABLE_NON_VOLATILE,
		efivars.BootService:   attributes.EFI_VARIABLE_BOOTSERVICE_ACCESS,
		efivars.Runtime:       attributes.EFI_VARIABLE_RUNTIME_ACCESS,
		efivars.HardwareError: attributes.EFI_VARIABLE_HARDWARE_ERROR_RECORD,
		efivars.AuthWrite:     attributes.EFI_VARIABLE_AUTHENTICATED_WRITE_ACCESS,
		efivars.TimeAuthWrite: attributes.EFI_VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS,
		efivars.AppendWrite:   attributes.EFI_VARIABLE_APPEND_WRITE,
	} {
		if uint32(ours) != uint32(theirs) {
			t.Errorf("%s is not %#x", ours, theirs)
		}
	}
}
