package machine

import (
	"fmt"
	"strings"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/modsig"
	"kkeys/mok"
)

// Found is a certificate and where it stands. A keyring gives no certificate back, so the certificate of a key is looked for
// elsewhere and joined by its kernel name: a match, no proof.
type Found struct {
	Certificate *certs.Certificate
	Where       string // "mok", "vendor" (shim itself), "db", "kek", "kernel-image", or "file:" and an absolute path
}

// NotSeen is a source that could not be read.
type NotSeen struct {
	Source string
	Err    error
}

// Certificates gives those of shim's list (MokListRT), of shim itself, of the firmware's db and KEK, and of the files where tools keep the
// certificates of their signing keys. A machine without EFI has only the last, and that is no error; what is there and cannot be read is
// named. All of it is read in milliseconds; the certificates of the kernel's builtin keys take longer: [Machine.KernelCertificates].
func (m *Machine) Certificates() (found []Found, unseen []NotSeen) {
	gather := func(where, source string, ders [][]byte, err error) {
		if err != nil {
			unseen = append(unseen, NotSeen{source, err})
		}
		for i, der := range ders {
			c, err := certs.ParseDER(der)
			if err != nil {
				unseen = append(unseen, NotSeen{fmt.Sprintf("%s, certificate %d", source, i+1), err})
				continue
			}
			found = append(found, Found{c, where})
		}
	}
	also := func(more []Found, missed []NotSeen) {
		found, unseen = append(found, more...), append(unseen, missed...)
	}
	state := mok.ReadState(m.Variables, m.Files)
	gather("mok", "MokListRT", state.Enrolled.Certificates(), state.Enrolled.Err)
	also(m.VendorCertificates())
	for _, variable := range []efivars.Name{efivars.DB, efivars.KEK} {
		list := mok.ReadFirmwareList(m.Variables, variable)
		gather(strings.ToLower(variable.Name), variable.Name, list.Certificates(), list.Err)
	}
	also(m.fileCertificates())
	return found, unseen
}

// fileMax bounds a certificate file given by name, in bytes: a bundle of some thousand certificates.
const fileMax = 8 << 20

// CertificateFile reads the certificates of one file, DER or PEM. The path is the user's own, not one below the machine's root; every
// error names it.
func CertificateFile(path string) ([]*certs.Certificate, error) {
	data, err := readFile(path, fileMax)
	if err != nil {
		return nil, err
	}
	return DecodeCertificates(path, data)
}

// DecodeCertificates decodes what was read from a file; its errors name the path.
func DecodeCertificates(path string, data []byte) ([]*certs.Certificate, error) {
	if len(data) > fileMax {
		return nil, fmt.Errorf("%s: more than %d bytes", path, fileMax)
	}
	found, err := certs.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// ReadFile reads a file of the user's that may be a module: of at most [modsig.MaxModule] bytes.
func ReadFile(path string) ([]byte, error) { return readFile(path, modsig.MaxModule) }
