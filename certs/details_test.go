package certs_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// fixtures reads the certificates in testdata/certs.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../testdata/certs/*.der")
	if err != nil || len(paths) < 9 {
		t.Fatalf("fixtures in testdata/certs: %d, %v", len(paths), err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		der, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = der
	}
	return all
}

func parse(t testing.TB, der []byte) *certs.Certificate {
	t.Helper()
	c, err := certs.ParseDER(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// recorded is what openssl said of a fixture, line by line.
type recorded string

// field gives what follows a prefix on its line.
func (r recorded) field(prefix string) string {
	for _, line := range strings.Split(string(r), "\n") {
		if value, ok := strings.CutPrefix(line, prefix); ok {
			return value
		}
	}
	return ""
}

// below gives the line after the one that starts with a heading.
func (r recorded) below(heading string) string {
	_, rest, _ := strings.Cut(string(r), heading)
	_, rest, _ = strings.Cut(rest, "\n")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

var opensslUsages = strings.NewReplacer("Digital Signature", "digitalSignature", "Certificate Sign", "keyCertSign", "CRL Sign", "cRLSign",
	"Decipher Only", "decipherOnly", "Code Signing", "codeSigning", "1.3.6.1.4.1.2312.16.1.2", "moduleSigning", ", ", ",")

// TestDetails compares with OpenSSL's recorded reading of every fixture.
func TestDetails(t *testing.T) {
	text, err := os.ReadFile("../testdata/certs/openssl.txt")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, section := range strings.Split(string(text), "== ")[1:] {
		file, rest, _ := strings.Cut(section, "\n")
		der, ok := fixtures(t)[file]
		if !ok {
			t.Errorf("no fixture %s", file)
			continue
		}
		compared++
		t.Run(file, func(t *testing.T) { compareOpenSSL(t, parse(t, der).Details(), recorded(rest)) })
	}
	if compared != len(fixtures(t)) {
		t.Errorf("%d of %d fixtures are in openssl.txt", compared, len(fixtures(t)))
	}
}

func compareOpenSSL(t *testing.T, d certs.Details, r recorded) {
	same := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %q, openssl says %q", what, got, want)
		}
	}
	hexes := func(text string) string { return strings.ToLower(strings.ReplaceAll(text, ":", "")) }
	same("subject", d.Subject, r.field("subject="))
	same("issuer", d.Issuer, r.field("issuer="))
	same("serial", strings.TrimPrefix(d.Serial, "00"), hexes(r.field("serial=")))
	same("sha256", d.SHA256, hexes(r.field("sha256 Fingerprint=")))
	same("notBefore", d.NotBefore.Format("Jan _2 15:04:05 2006 GMT"), r.field("notBefore="))
	same("notAfter", d.NotAfter.Format("Jan _2 15:04:05 2006 GMT"), r.field("notAfter="))
	if skid := hexes(r.below("Subject Key Identifier")); skid != "" {
		same("key id", d.KeyID, skid)
	} else {
		same("key id", d.KeyID, d.Serial)
	}
	if got, want := *d.IsCA, strings.Contains(string(r), "CA:TRUE"); got != want {
		t.Errorf("is_ca is %t", got)
	}
	same("key usage", strings.Join(d.KeyUsage, ","), opensslUsages.Replace(r.below("X509v3 Key Usage")))
	same("extended key usage", strings.Join(d.ExtendedKeyUsage, ","), opensslUsages.Replace(r.below("X509v3 Extended Key Usage")))
	bits := regexp.MustCompile(`Public-Key: \((\d+) bit\)`).FindStringSubmatch(string(r))
	same("bits", fmtInt(d.KeyBits), bits[1])
	curve := ""
	if d.Curve != nil {
		curve = *d.Curve
	}
	same("curve", curve, r.field("NIST CURVE: "))
	algorithm := map[string]string{"rsa sha256": "sha256WithRSAEncryption", "rsa sha1": "sha1WithRSAEncryption", "ecdsa sha512": "ecdsa-with-SHA512"}
	same("algorithm", algorithm[d.Algorithm+" "+*d.SignatureHash], r.field("Signature Algorithm: "))
}

func fmtInt(n *int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// TestDetailsJSON fixes the names and nulls of the contract.
func TestDetailsJSON(t *testing.T) {
	ordinary := certtest.SelfSignedWith(t, "Acme key", certtest.RSA(2048, 0))
	odd := certtest.Make(t, certtest.Spec{
		Subject: certtest.Name{certtest.CN("\xffx\x1b"), certtest.O("a\xfe")}, Issuer: certtest.Name{certtest.OU("\x00")}, NotAfter: certtest.UTC("soon"), Serial: []byte{0, 0x80},
		PublicKey: []byte{0x30, 10, 0x30, 4, 6, 2, 0x2a, 3, 3, 2, 0, 1}, Algorithm: []byte{0x30, 4, 6, 2, 0x2a, 4},
		Extensions: []certtest.Extension{{OID: "2.5.29.19", Value: []byte{9}}, {OID: "2.5.29.15", Value: []byte{9}}, {OID: "2.5.29.37", Value: []byte{9}}},
	})
	for name, c := range map[string]struct {
		der  []byte
		want map[string]any
	}{
		"ordinary": {ordinary.DER, map[string]any{
			"subject": "CN=Acme key", "issuer": "CN=Acme key", "common_name": "Acme key", "algorithm": "rsa", "key_bits": 2048.0, "curve": nil,
			"signature_hash": "sha256", "not_before": "2024-01-01T00:00:00Z", "not_after": "2044-01-01T00:00:00Z", "is_ca": false,
			"key_usage": []any{"digitalSignature"}, "extended_key_usage": []any{"codeSigning"},
		}},
		"odd": {odd.DER, map[string]any{
			"subject": `O=a\FE,CN=\FFx` + "\x1b", "issuer": `OU=\00`, "common_name": "\ufffdx\x1b", "algorithm": "1.2.3", "key_bits": nil, "curve": nil,
			"signature_hash": nil, "not_before": "2024-01-01T00:00:00Z", "not_after": nil, "is_ca": nil, "key_usage": nil, "extended_key_usage": nil,
			"serial": "0080", "key_id": "0080", "kernel_name": "a\ufffd: \ufffdx\x1b: 0080",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(parse(t, c.der).Details())
			if err != nil || !utf8.Valid(text) {
				t.Fatalf("%q: %v", text, err)
			}
			var got map[string]any
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if len(got) != 16 {
				t.Errorf("%d fields", len(got))
			}
			for key, want := range c.want {
				value, present := got[key]
				if !present {
					t.Errorf("no %s", key)
				}
				if diff := cmp.Diff(want, value); diff != "" {
					t.Errorf("%s: %s", key, diff)
				}
			}
		})
	}
}

// TestDetailsWithoutX509 shows details of certificates that crypto/x509 refuses.
func TestDetailsWithoutX509(t *testing.T) {
	for name, s := range map[string]certtest.Spec{
		"negative serial": {Serial: []byte{0x80}}, "empty serial": {Serial: []byte{}},
		"inner and outer parameters differ": {OuterAlgorithm: []byte{0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11}},
		"two extensions of one kind":        {Extensions: []certtest.Extension{{OID: "1.2.3.4"}, {OID: "1.2.3.4"}}},
	} {
		c := parse(t, certtest.Make(t, s).DER)
		if c.X509 != nil || c.X509Err == nil {
			t.Errorf("%s: crypto/x509 takes it; choose another example", name)
		}
		d := c.Details()
		if d.Subject != "CN=test" || d.Algorithm != "rsa" || *d.KeyBits != 2048 || *d.SignatureHash != "sha256" || !d.NotBefore.Equal(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", name, d)
		}
		if c.Refusal() != nil {
			t.Errorf("%s: %v", name, c.Refusal())
		}
	}
}

// TestSignatureHash: the hash stands in the algorithm, in the parameters of RSASSA-PSS, or nowhere.
func TestSignatureHash(t *testing.T) {
	hexed := func(text string) []byte {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, c := range []struct {
		why, algorithm, want string
		hashless             bool
	}{
		{"sha256WithRSA", "300d06092a864886f70d01010b0500", "sha256", false},
		{"OIW's sha1WithRSA", "300906052b0e03021d0500", "sha1", false},
		{"PSS, SHA-1 by default", "300d06092a864886f70d01010a3000", "sha1", false},
		{"PSS with a length of salt alone", "301206092a864886f70d01010a3005a203020120", "sha1", false},
		{"PSS, SHA-256", "301e06092a864886f70d01010a3011a00f300d06096086480165030402010500", "sha256", false},
		{"PSS, SHA-1 named", "301a06092a864886f70d01010a300da00b300906052b0e03021a0500", "sha1", false},
		{"PSS, SHA-512/256", "301e06092a864886f70d01010a3011a00f300d06096086480165030402060500", "", false},
		{"PSS without parameters", "300b06092a864886f70d01010a", "", false},
		{"Ed25519", "300506032b6570", "", true},
		{"nobody's", "300406022a03", "", false},
	} {
		d := parse(t, certtest.Make(t, certtest.Spec{Algorithm: hexed(c.algorithm)}).DER).Details()
		got := ""
		if d.SignatureHash != nil {
			got = *d.SignatureHash
		}
		if got != c.want || d.Hashless != c.hashless {
			t.Errorf("%s: %q, %v", c.why, got, d.Hashless)
		}
	}
}
