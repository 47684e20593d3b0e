package machine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

func TestCertificates(t *testing.T) {
	first, second := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("one")}}), certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("two")}})
	made := machinetest.Installed(t)
	made.Enrolled(first.DER, []byte("no certificate at all"))
	db, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, second.DER)})
	if err != nil {
		t.Fatal(err)
	}
	made.Set(efivars.DB, 7, db)
	m, err := Directory(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	found, unseen := m.Certificates()
	if len(found) != 2 || found[0].Where != "mok" || found[1].Where != "db" ||
		!bytes.Equal(found[0].Certificate.Raw, first.DER) || !bytes.Equal(found[1].Certificate.Raw, second.DER) {
		t.Errorf("found %+v", found)
	}
	if len(unseen) != 1 || unseen[0].Source != "MokListRT, certificate 2" || !errors.Is(unseen[0].Err, certs.ErrMalformed) {
		t.Errorf("not seen: %v", unseen)
	}

	// A list that is cut is named, and what stands before the break still counts.
	list, _ := made.Get(mok.Variable("MokListRT"))
	made.Set(mok.Variable("MokListRT"), 6, list[:len(list)-5])
	made.Set(efivars.DB, 7, db[:40])
	found, unseen = m.Certificates()
	if len(found) != 1 || len(unseen) != 2 || !errors.Is(unseen[0].Err, efivars.ErrCorrupt) || !errors.Is(unseen[1].Err, efivars.ErrCorrupt) {
		t.Errorf("of cut lists: found %d, not seen %v", len(found), unseen)
	}
}

func TestCertificatesWithoutEFI(t *testing.T) {
	m, err := Directory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if found, unseen := m.Certificates(); len(found)+len(unseen) != 0 {
		t.Errorf("without EFI: found %v, not seen %v", found, unseen)
	}
	if s := m.Kernel(); s.Release != "" || s.Signatures.Evidence == "" {
		t.Errorf("kernel of an empty folder: %+v", s)
	}
}

func TestCertificateFile(t *testing.T) {
	dir := t.TempDir()
	der := certtest.Make(t, certtest.Spec{}).DER
	for name, content := range map[string][]byte{"good": der, "bad": der[:50], "huge": make([]byte, fileMax+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := CertificateFile(filepath.Join(dir, "good")); err != nil || len(found) != 1 {
		t.Errorf("good: %v, %v", found, err)
	}
	for _, name := range []string{"bad", "huge", "missing", "."} {
		if found, err := CertificateFile(filepath.Join(dir, name)); err == nil || found != nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, %v, want an error that names the file", name, found, err)
		}
	}
}
