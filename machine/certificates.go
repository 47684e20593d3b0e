package machine

import (
	"errors"
	"fmt"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/mok"
)

// Found is a certificate and where it stands. A keyring gives no certificate back, so the certificate of a key is looked for
// elsewhere and joined by its kernel name: a match, no proof.
type Found struct {
	Certificate *certs.Certificate
	Where       string // "mok", "db", or "file:" and a path
}

// NotSeen is a source that could not be read.
type NotSeen struct {
	Source string
	Err    error
}

// Certificates gives those of shim's list (MokListRT) and of the firmware's db. A machine without EFI has none, and that is no
// error; what is there and cannot be read is named.
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
	state := mok.ReadState(m.Variables, m.Files)
	gather("mok", "MokListRT", state.Enrolled.Certificates(), state.Enrolled.Err)

	_, data, err := m.Variables.Get(efivars.DB)
	if errors.Is(err, efivars.ErrNotFound) || errors.Is(err, efivars.ErrNotSupported) {
		return found, unseen
	}
	var db mok.List
	if err == nil {
		db.Lists, err = efivars.ParseSignatureLists(data)
	}
	gather("db", "db", db.Certificates(), err)
	return found, unseen
}

// fileMax bounds a certificate file given by name, in bytes: a bundle of some thousand certificates.
const fileMax = 8 << 20

// CertificateFile reads the certificates of one file, DER or PEM. The path is the user's own, not one below the machine's root; every
// error names it.
func CertificateFile(path string) ([]*certs.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	found, err := certs.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}
