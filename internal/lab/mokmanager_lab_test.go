//go:build lab

package lab_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"kkeys/internal/lab"
)

// signer is a key for modules: the private key as PEM, the certificate as DER.
type signer struct {
	key, certificate []byte
	private          *rsa.PrivateKey
}

func newSigner(t *testing.T, name string) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := sha1.Sum(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().Add(365 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		SubjectKeyId: id[:],
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), certificate, key}
}

const password = "lab Pass.123"

// stage stages a request with mokutil: "import" or "delete".
func stage(action string) lab.Command {
	return lab.Command{
		Argv:  []string{"sh", "-c", "mokutil --" + action + " mine.der"},
		Stdin: []byte(password + "\n" + password + "\n"),
	}
}

func mine(key signer) map[string]lab.File {
	return map[string]lab.File{"/root/mine.der": {Data: key.certificate, Mode: 0o644}}
}

// staged boots a fresh machine and stages the enrolment of a key.
func staged(t *testing.T, kernel lab.Kernel, key signer) *lab.Run {
	t.Helper()
	run := boot(t, lab.Machine{Kernel: kernel, Files: mine(key), Commands: []lab.Command{stage("import"), lab.Shell("mokutil --list-new")}})
	if run.Outputs[0].Code != 0 || len(run.Outputs[1].Stdout) == 0 {
		t.Fatal("mokutil staged nothing")
	}
	return run
}

const listMachine = "keyctl show %:.machine"

func TestEnroll(t *testing.T) {
	for _, kernel := range []lab.Kernel{lab.Kernel61, lab.Kernel612} {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			key, foreign := newSigner(t, "lab: enrolled"), newSigner(t, "lab: foreign")
			plain := lab.Strip(t, lab.Module(t, kernel, "dummy"))
			files := mine(key)
			files["/root/signed.ko"] = lab.File{Data: lab.SignFile(t, "sha256", key.key, key.certificate, plain), Mode: 0o644}
			files["/root/foreign.ko"] = lab.File{Data: lab.SignFile(t, "sha256", foreign.key, foreign.certificate, plain), Mode: 0o644}

			run := boot(t, lab.Machine{Kernel: kernel, Variables: staged(t, kernel, key).Variables, Firmware: lab.Enroll(1, password),
				Files: files, Commands: []lab.Command{lab.Shell(listMachine), lab.Shell("insmod foreign.ko"), lab.Shell("insmod signed.ko && rmmod dummy"), stage("delete")}})
			if run.Resets != 1 {
				t.Errorf("%d resets", run.Resets)
			}
			has(t, string(run.Outputs[0].Stdout), "asymmetric: lab: enrolled: ", "asymmetric: Debian Secure Boot CA: ")
			if run.Outputs[1].Code == 0 || run.Outputs[2].Code != 0 {
				t.Error("the foreign module must be refused and the enrolled one loaded")
			}
			has(t, run.Log(), "Loading of module with unavailable key is rejected")

			run = boot(t, lab.Machine{Kernel: kernel, Variables: run.Variables, Firmware: lab.Delete(1, password),
				Commands: []lab.Command{lab.Shell(listMachine)}})
			has(t, string(run.Outputs[0].Stdout), "asymmetric: Debian Secure Boot CA: ")
			hasNot(t, string(run.Outputs[0].Stdout), "lab: enrolled")
		})
	}
}

// TestNotEnrolled shows that the operating system comes up in the same power cycle with nothing enrolled, and that the request
// is gone.
func TestNotEnrolled(t *testing.T) {
	key := newSigner(t, "lab: not enrolled")
	request := staged(t, lab.Kernel61, key).Variables
	for name, firmware := range map[string]func(*lab.Console) error{
		"decline":        lab.Decline(),
		"time out":       lab.TimeOut(),
		"wrong password": lab.WrongPassword(1, "wrong"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := boot(t, lab.Machine{Variables: request, Firmware: firmware, Commands: []lab.Command{
				lab.Shell(listMachine), lab.Shell("ls " + variables)}})
			if run.Resets != 0 {
				t.Errorf("%d resets", run.Resets)
			}
			has(t, string(run.Outputs[0].Stdout), "asymmetric: Debian Secure Boot CA: ")
			hasNot(t, string(run.Outputs[0].Stdout), "not enrolled")
			has(t, string(run.Outputs[1].Stdout), "MokListRT")
			hasNot(t, string(run.Outputs[1].Stdout), "MokNew", "MokAuth")
		})
	}
	t.Run("unanswered", func(t *testing.T) {
		t.Parallel()
		_, err := lab.Machine{Variables: request}.Boot(t)
		if !errors.Is(err, lab.ErrMokManager) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		_, err := lab.Machine{Variables: request, WithoutMokManager: true}.Boot(t)
		if !errors.Is(err, lab.ErrRefused) || !strings.Contains(err.Error(), "import_mok_state") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("another number", func(t *testing.T) {
		t.Parallel()
		_, err := lab.Machine{Variables: request, Firmware: lab.Enroll(2, password)}.Boot(t)
		if err == nil || !strings.Contains(err.Error(), "lists 1 keys, not 2") {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestSignFile(t *testing.T) {
	key := newSigner(t, "lab")
	for _, kernel := range []lab.Kernel{lab.Kernel61, lab.Kernel612} {
		plain := lab.Strip(t, lab.Module(t, kernel, "dummy"))
		if signed := lab.SignFile(t, "sha512", key.key, key.certificate, plain); !bytes.Equal(lab.Strip(t, signed), plain) {
			t.Errorf("%s: stripping does not undo signing", kernel)
		}
	}
}
