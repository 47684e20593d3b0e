package certs_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

func block(label string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: content})
}

func join(parts ...any) []byte {
	var all []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			all = append(all, p...)
		case []byte:
			all = append(all, p...)
		}
	}
	return all
}

func TestDecode(t *testing.T) {
	one, two := certtest.Make(t, certtest.Spec{}), certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("\n-----BEGIN CERTIFICATE-----\n")}})
	crlf := bytes.ReplaceAll(one.PEM(), []byte("\n"), []byte("\r\n"))
	for name, c := range map[string]struct {
		data []byte
		want [][]byte
	}{
		"der":               {one.DER, [][]byte{one.DER}},
		"der with PEM text": {two.DER, [][]byte{two.DER}},
		"pem":               {one.PEM(), [][]byte{one.DER}},
		"two":               {join(one.PEM(), two.PEM()), [][]byte{one.DER, two.DER}},
		"the same twice":    {join(one.PEM(), one.PEM()), [][]byte{one.DER, one.DER}},
		"text around":       {join("0 text\n----- ruler -----\n -----BEGIN X-----\n", one.PEM(), "\nbetween\n", two.PEM(), "after"), [][]byte{one.DER, two.DER}},
		"crlf":              {crlf, [][]byte{one.DER}},
		"bom":               {join("\xef\xbb\xbf", one.PEM()), [][]byte{one.DER}},
		"no last newline":   {bytes.TrimSpace(one.PEM()), [][]byte{one.DER}},
		"MZ in the text":    {join("MZ is no program\n", one.PEM()), [][]byte{one.DER}},
	} {
		got, err := certs.Decode(c.data)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
			continue
		}
		for i := range got {
			if !bytes.Equal(got[i].Raw, c.want[i]) {
				t.Errorf("%s: certificate %d is another one", name, i)
			}
		}
	}
}

// TestDecodeRefuses has everything that people give by mistake, and what the message must say.
func TestDecodeRefuses(t *testing.T) {
	cert := certtest.SelfSigned(t, "x")
	pkcs1 := x509.MarshalPKCS1PrivateKey(certtest.RSA(2048, 0))
	ecKey, err := x509.MarshalECPrivateKey(certtest.ECDSA(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{}, cert.Key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	pkcs7 := []byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0}
	pkcs12 := []byte{0x30, 18, 2, 1, 3, 0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1, 0xa0, 0}
	encrypted := []byte{0x30, 8, 0x30, 4, 6, 2, 0x2a, 3, 4, 0}
	text := string(cert.PEM())
	for name, c := range map[string]struct {
		data []byte
		want error
		says string
	}{
		"empty":               {nil, certs.ErrEmpty, ""},
		"blank":               {[]byte(" \n"), certs.ErrEmpty, ""},
		"bom only":            {[]byte("\xef\xbb\xbf\n"), certs.ErrEmpty, ""},
		"text":                {[]byte("hello"), certs.ErrNotCertificate, "neither DER nor PEM"},
		"base64 only":         {[]byte(strings.Join(strings.Split(text, "\n")[1:5], "\n")), certs.ErrNotCertificate, "neither DER nor PEM"},
		"pkcs8 pem":           {cert.KeyPEM(t), certs.ErrPrivateKey, "give its certificate"},
		"pkcs8 der":           {cert.PKCS8(t), certs.ErrPrivateKey, ""},
		"pkcs1 pem":           {block("RSA PRIVATE KEY", pkcs1), certs.ErrPrivateKey, ""},
		"pkcs1 der":           {pkcs1, certs.ErrPrivateKey, ""},
		"sec1 der":            {ecKey, certs.ErrPrivateKey, ""},
		"encrypted pem":       {block("ENCRYPTED PRIVATE KEY", encrypted), certs.ErrPrivateKey, ""},
		"encrypted der":       {encrypted, certs.ErrPrivateKey, ""},
		"key and certificate": {join(cert.KeyPEM(t), text), certs.ErrPrivateKey, "line 1"},
		"certificate and key": {join(text, cert.KeyPEM(t)), certs.ErrPrivateKey, ""},
		"openssh private":     {block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00")), certs.ErrPrivateKey, "OpenSSH"},
		"openssh public":      {[]byte("ssh-ed25519 AAAA me@here\n"), certs.ErrNotCertificate, "OpenSSH"},
		"openssh public ec":   {[]byte("ecdsa-sha2-nistp256 AAAA"), certs.ErrNotCertificate, "OpenSSH"},
		"pkcs7 pem":           {block("PKCS7", pkcs7), certs.ErrNotCertificate, "PKCS#7"},
		"pkcs7 der":           {pkcs7, certs.ErrNotCertificate, "PKCS#7"},
		"pkcs12":              {pkcs12, certs.ErrNotCertificate, "PKCS#12"},
		"csr pem":             {block("CERTIFICATE REQUEST", csr), certs.ErrNotCertificate, "request"},
		"csr der":             {csr, certs.ErrNotCertificate, "request"},
		"public key pem":      {block("PUBLIC KEY", spki), certs.ErrNotCertificate, "PUBLIC KEY"},
		"public key der":      {spki, certs.ErrNotCertificate, "public key"},
		"trusted":             {block("TRUSTED CERTIFICATE", cert.DER), certs.ErrNotCertificate, "openssl x509"},
		"module":              {join("\x7fELF", cert.DER, "~Module signature appended~\n"), certs.ErrNotCertificate, "signed kernel module"},
		"elf":                 {join("\x7fELF\x02\n", text), certs.ErrNotCertificate, "ELF"},
		"pe":                  {join("MZ\x90\x00\n", text), certs.ErrNotCertificate, "PE file"},
		"trailing byte":       {join(cert.DER, "\n"), certs.ErrTrailing, "1 bytes follow"},
		"two der":             {join(cert.DER, cert.DER), certs.ErrTrailing, ""},
		"trailing in pem":     {block("CERTIFICATE", join(cert.DER, "\x00")), certs.ErrTrailing, "line 1"},
		"empty block":         {block("CERTIFICATE", nil), certs.ErrEmpty, "line 1"},
		"no END":              {[]byte(strings.Split(text, "-----END")[0]), certs.ErrMalformed, "without its END"},
		"two BEGIN":           {[]byte(strings.Split(text, "-----END")[0] + text), certs.ErrMalformed, "without its END"},
		"END alone":           {join(text, "-----END CERTIFICATE-----\n"), certs.ErrMalformed, "BEGIN line belongs"},
		"other END":           {[]byte(strings.Replace(text, "END CERTIFICATE", "END X", 1)), certs.ErrMalformed, "without its END"},
		"BEGIN cut":           {[]byte("-----BEGIN CERT"), certs.ErrMalformed, "BEGIN line"},
		"bad base64":          {[]byte(strings.Replace(text, "MII", "M*I", 1)), certs.ErrMalformed, "base64"},
		"second one bad":      {join(text, strings.Replace(text, "MII", "M*I", 1)), certs.ErrMalformed, "line 20"},
		"cut inside":          {block("CERTIFICATE", cert.DER[:50]), certs.ErrMalformed, "offset 0"},
		"large der":           {append([]byte{0x30, 0x83, 1, 0, 0}, make([]byte, 65536)...), certs.ErrTooLarge, "65541 bytes"},
		"large pem":           {block("CERTIFICATE", append([]byte{0x30, 0x83, 1, 0, 0}, make([]byte, 65536)...)), certs.ErrTooLarge, ""},
		"huge pem":            {block("CERTIFICATE", make([]byte, 1<<20)), certs.ErrTooLarge, ""},
	} {
		got, err := certs.Decode(c.data)
		if got != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d certificates, %v; want %v and %q", name, len(got), err, c.want, c.says)
		}
	}
}

// TestMaxSize takes the largest certificate and refuses the next.
func TestMaxSize(t *testing.T) {
	pad := func(n int) []byte {
		return certtest.Make(t, certtest.Spec{Extensions: []certtest.Extension{{OID: "1.2.3", Value: make([]byte, n)}}}).DER
	}
	room := certs.MaxSize - len(pad(60000)) + 60000
	if der := pad(room); len(der) != certs.MaxSize || parse(t, der).X509 == nil {
		t.Errorf("%d bytes", len(der))
	}
	if _, err := certs.ParseDER(pad(room + 1)); !errors.Is(err, certs.ErrTooLarge) {
		t.Error(err)
	}
}

// TestHostile damages a certificate that has every part; each time there is an error with an offset inside, and no certificate.
func TestHostile(t *testing.T) {
	for _, der := range wholeOnes(t) {
		for n := range der {
			refused(t, der[:n])
		}
		// Every length in turn: huge, indefinite, padded, and every tag in its multi-byte form.
		for at := 1; at < len(der); at++ {
			for _, with := range [][]byte{{0x84, 0xff, 0xff, 0xff, 0xff}, {0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x80}, {0xff}, {0x1f, 0xff, 0xff}} {
				damaged := append(append(bytes.Clone(der[:at]), with...), der[at:]...)
				c, err := certs.ParseDER(damaged)
				if (c == nil) == (err == nil) {
					t.Errorf("%x: %v and %v", damaged, c, err)
				}
			}
		}
	}
	nested := bytes.Repeat([]byte{0x30, 0x80}, 30000)
	refused(t, nested)
	var deep []byte
	for n := 0; n < 60000; n = len(deep) {
		deep = append([]byte{0x30, 0x82, byte(n >> 8), byte(n)}, deep...)
	}
	refused(t, deep)
}

// wholeOnes have every part between them, and are short.
func wholeOnes(t testing.TB) [][]byte {
	t.Helper()
	key := certtest.RSA(512, 0)
	return [][]byte{
		certtest.SelfSignedWith(t, "Whole", key).DER,
		certtest.Make(t, certtest.Spec{Key: key, Unique: []byte{1}, SKID: []byte{1}, AKI: &certtest.AKI{Issuer: certtest.Name{certtest.CN("x")}, Serial: []byte{1}}}).DER,
	}
}

// refused checks the promises about errors.
func refused(t *testing.T, data []byte) {
	t.Helper()
	c, err := certs.ParseDER(data)
	if c != nil || err == nil {
		t.Fatalf("%x is a certificate", data)
	}
	var syntax *certs.SyntaxError
	if len(data) == 0 {
		if !errors.Is(err, certs.ErrEmpty) {
			t.Fatal(err)
		}
		return
	}
	if !errors.As(err, &syntax) || !errors.Is(err, certs.ErrMalformed) || syntax.Offset < 0 || syntax.Offset > len(data) || syntax.What == "" || syntax.Why == "" {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
}
