package certs_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// TestKernelName holds descriptions that were seen on kernels 6.1, 6.12 and 6.18.
func TestKernelName(t *testing.T) {
	type list = certtest.Name
	cn, o := certtest.CN, certtest.O
	skid, _ := hex.DecodeString("deadbeef000102030405060708090a0b0c0d0f10")
	const id = ": deadbeef000102030405060708090a0b0c0d0f10"
	for _, c := range []struct {
		subject list
		want    string
	}{
		{list{cn("Foo")}, "Foo" + id},
		{list{o("Acme"), cn("Module key")}, "Acme: Module key" + id},
		{list{o("Acme"), cn("Acme Module key")}, "Acme Module key" + id},
		{list{o("Fedora Project"), cn("Fedora kernel signing key")}, "Fedora kernel signing key" + id},
		{list{o("Acme Corp"), cn("Acme")}, "Acme Corp: Acme" + id},
		{list{o("ACME"), cn("Acme key")}, "ACME: Acme key" + id},
		{list{cn("First"), cn("Second")}, "Second" + id},
		{list{o("Org"), certtest.Email("a@b.c")}, "Org" + id},
		{list{certtest.Email("a@b.c")}, "a@b.c" + id},
		{list{certtest.OU("unit")}, id},
		{list{cn("\x00F\x00o").As(certtest.BMPString)}, id},
		{list{cn("be\x00fore"), o("Org")}, "Org: be" + id},
		{list{cn("a\nb; c")}, "a\nb; c" + id},
		{list{cn(strings.Repeat("x", 255))}, strings.Repeat("x", 255) + id},
		{list{cn(strings.Repeat("x", 256))}, id},
		{list{cn("1234" + strings.Repeat("x", 256))}, "1234" + id},
	} {
		got := parse(t, certtest.Make(t, certtest.Spec{Subject: c.subject, SKID: skid}).DER).KernelName()
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.subject, got, c.want)
		}
	}
	for _, c := range []struct {
		serial []byte
		want   string
	}{
		{[]byte{0x12, 0x34}, "NoSkid: 1234"}, {[]byte{0, 0x80}, "NoSkid: 0080"}, {[]byte{0}, "NoSkid: 00"}, {[]byte{}, "NoSkid: "},
	} {
		got := parse(t, certtest.Make(t, certtest.Spec{Subject: list{cn("NoSkid")}, Serial: c.serial}).DER).KernelName()
		if got != c.want {
			t.Errorf("serial %x: %q, want %q", c.serial, got, c.want)
		}
	}
	long := bytes.Repeat([]byte{7}, 128)
	if got, want := parse(t, certtest.Make(t, certtest.Spec{SKID: long}).DER).KernelName(), "test: 80"+hex.EncodeToString(long); got != want {
		t.Errorf("SKID of 128 bytes: %q, want %q", got, want)
	}
}

// TestFixtureNames holds the names that kernels print in their log for real certificates.
func TestFixtureNames(t *testing.T) {
	for file, want := range map[string]string{
		"debian-ca.der":                  "Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1",
		"debian-ovmf-pk.der":             "Debian UEFI Secure Boot (PK/KEK key): 8809eb9ffa7d2d5ddb3067a7afb9898ea3ee0273",
		"microsoft-driver-publisher.der": "Microsoft Windows UEFI Driver Publisher: 01a8fb40f7653c39356755e3e5381a3dee91b65d",
		"microsoft-uefi-ca-2011.der":     "Microsoft Corporation UEFI CA 2011: 13adbf4309bd82709c8cd54f316ed522988a1bd4",
		"microsoft-uefi-ca-2023.der":     "Microsoft UEFI CA 2023: 81aa6b3244c935bce0d6628af39827421e32497d",
		"microsoft-windows-pca-2011.der": "Microsoft Windows Production PCA 2011: a92902398e16c49778cd90f99e4f9ae17c55af53",
		"snakeoil-ovmf-pk.der":           "SnakeOil: 63b8d5ee5df87b9a2f08dde4dba1e606c854dadb",
		"odd-names.der":                  "M\xfcller: Ключ: 01020304",
		"odd-p521.der":                   "test: 7f",
	} {
		if got := parse(t, fixtures(t)[file]).KernelName(); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestParseKernelName(t *testing.T) {
	for _, c := range []struct {
		description, name, id string
		ok                    bool
	}{
		{"Foo: 0102", "Foo", "0102", true},
		{": 00", "", "00", true},
		{"a: b: cafe: 0080", "a: b: cafe", "0080", true},
		{"Foo: 010", "", "", false},
		{"Foo: ", "", "", false},
		{"Foo: AB", "", "", false},
		{"Foo:ab", "", "", false},
		{"Foo: ab ", "", "", false},
		{"Foo: ab: X509.rsa ab []", "", "", false},
		{"", "", "", false},
		{"ab", "", "", false},
	} {
		name, id, ok := certs.ParseKernelName(c.description)
		if name != c.name || hex.EncodeToString(id) != c.id || ok != c.ok {
			t.Errorf("%q: %q %x %t", c.description, name, id, ok)
		}
	}
}

func TestMatches(t *testing.T) {
	c := parse(t, certtest.Make(t, certtest.Spec{SKID: []byte{0xca, 0xfe}}).DER)
	for _, m := range []struct {
		description string
		name, id    bool
	}{
		{"test: cafe", true, true}, {"other: cafe", false, true}, {"test: 00cafe", false, false}, {"test: fe", false, false}, {"test", false, false}, {"", false, false},
	} {
		if c.MatchesName(m.description) != m.name || c.MatchesKeyID(m.description) != m.id {
			t.Errorf("%q: name %t, id %t", m.description, !m.name, !m.id)
		}
	}
	if empty := parse(t, certtest.Make(t, certtest.Spec{Serial: []byte{}}).DER); empty.MatchesKeyID("test: ") || !empty.MatchesName("test: ") {
		t.Error("an empty id must match by name only")
	}
}

func TestIdentity(t *testing.T) {
	ca := certtest.Name{certtest.CN("CA")}
	c := parse(t, certtest.Make(t, certtest.Spec{
		Serial: []byte{0, 0x99}, Issuer: ca, SKID: []byte{1, 2}, AKI: &certtest.AKI{KeyID: []byte{3}, Issuer: ca, Serial: []byte{0, 4}},
	}).DER)
	for what, pair := range map[string][2][]byte{
		"serial": {c.Serial, {0, 0x99}}, "issuer": {c.Issuer, ca.Content()}, "subject": {c.Subject, certtest.Name{certtest.CN("test")}.Content()},
		"skid": {c.SubjectKeyID, {1, 2}}, "key id": {c.KeyID(), {1, 2}}, "id0": {c.ID0(), append([]byte{0, 0x99}, ca.Content()...)},
		"id1": {c.ID1(), {1, 2}}, "id2": {c.ID2(), c.Subject}, "aki id": {c.Authority.KeyID, {3}}, "aki issuer": {c.Authority.Issuer, ca.Content()},
		"aki serial": {c.Authority.Serial, {0, 4}},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s is %x, want %x", what, pair[0], pair[1])
		}
	}
	if c.X509 == nil || c.X509Err != nil || !bytes.Equal(c.X509.RawTBSCertificate, c.RawTBS) {
		t.Errorf("crypto/x509: %v", c.X509Err)
	}
	bare := parse(t, certtest.Make(t, certtest.Spec{AKI: &certtest.AKI{Serial: []byte{4}}}).DER)
	if bare.SubjectKeyID != nil || bare.Authority.KeyID != nil || bare.Authority.Issuer != nil || bare.Authority.Serial != nil {
		t.Errorf("absent parts: %+v", bare.Authority)
	}
}

func TestSelfSigned(t *testing.T) {
	same := certtest.Name{certtest.CN("Same")}
	twin := &certtest.Cert{Key: certtest.RSA(2048, 1), Spec: certtest.Spec{Subject: same}}
	a, b := []byte{1, 2}, []byte{3, 4}
	pss := []byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 0}
	for name, c := range map[string]struct {
		spec    certtest.Spec
		want    bool
		unknown bool
	}{
		"rsa":                       {certtest.Spec{}, true, false},
		"rsa sha1":                  {certtest.Spec{Hash: "sha1"}, true, false},
		"rsa sha3-512":              {certtest.Spec{Hash: "sha3-512"}, true, false},
		"rsa 512":                   {certtest.Spec{Key: certtest.RSA(512, 0)}, true, false},
		"rsa 4096":                  {certtest.Spec{Key: certtest.RSA(4096, 0), Hash: "sha512"}, true, false},
		"p256 sha1":                 {certtest.Spec{Key: certtest.ECDSA(t, elliptic.P256()), Hash: "sha1"}, true, false},
		"p384":                      {certtest.Spec{Key: certtest.ECDSA(t, elliptic.P384()), Hash: "sha384"}, true, false},
		"p521":                      {certtest.Spec{Key: certtest.ECDSA(t, elliptic.P521()), Hash: "sha512"}, true, false},
		"ed25519":                   {certtest.Spec{Key: certtest.Ed25519(1)}, true, false},
		"aki itself":                {certtest.Spec{SKID: a, AKI: &certtest.AKI{KeyID: a}}, true, false},
		"broken":                    {certtest.Spec{Break: true}, false, false},
		"broken sha1":               {certtest.Spec{Break: true, Hash: "sha1"}, false, false},
		"broken p256":               {certtest.Spec{Break: true, Key: certtest.ECDSA(t, elliptic.P256())}, false, false},
		"broken ed25519":            {certtest.Spec{Break: true, Key: certtest.Ed25519(1)}, false, false},
		"same name, another key":    {certtest.Spec{Subject: same, Signer: twin}, false, false},
		"another issuer":            {certtest.Spec{Issuer: same}, false, false},
		"aki elsewhere":             {certtest.Spec{SKID: a, AKI: &certtest.AKI{KeyID: b}}, false, false},
		"aki contradictory":         {certtest.Spec{SKID: a, AKI: &certtest.AKI{KeyID: a, Issuer: same, Serial: []byte{9}}}, false, false},
		"algorithms differ":         {certtest.Spec{OuterAlgorithm: pss}, false, false},
		"rsa key, ecdsa algorithm":  {certtest.Spec{Algorithm: []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}}, false, false},
		"no signature":              {certtest.Spec{Signature: []byte{}}, false, false},
		"pss":                       {certtest.Spec{Algorithm: pss}, false, true},
		"unknown algorithm":         {certtest.Spec{Algorithm: []byte{0x30, 4, 6, 2, 0x2a, 3}}, false, true},
		"unknown, another issuer":   {certtest.Spec{Algorithm: []byte{0x30, 4, 6, 2, 0x2a, 3}, Issuer: same}, false, false},
		"p192":                      {certtest.Spec{PublicKey: p192(), Algorithm: []byte{0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}}, false, true},
		"unreadable aki":            {certtest.Spec{Extensions: []certtest.Extension{{OID: "2.5.29.35", Value: []byte{0x10, 0}}}}, false, true},
		"huge exponent, huge key":   {certtest.Spec{PublicKey: hugeRSA(2048, 2048)}, false, true},
		"zero modulus":              {certtest.Spec{PublicKey: hugeRSA(0, 1)}, false, false},
		"huge exponent, 2048 bits":  {certtest.Spec{PublicKey: hugeRSA(256, 256)}, false, false},
		"rsa with a leading minus":  {certtest.Spec{PublicKey: minusRSA()}, true, false},
		"serial negative, sha3-256": {certtest.Spec{Serial: []byte{0x80}, Hash: "sha3-256"}, true, false},
	} {
		got, err := parse(t, certtest.Make(t, c.spec).DER).SelfSigned()
		if got != c.want || errors.Is(err, certs.ErrUnverifiable) != c.unknown {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	for file, der := range fixtures(t) {
		got, err := parse(t, der).SelfSigned()
		if want := !strings.HasPrefix(file, "microsoft"); got != want || err != nil {
			t.Errorf("%s: %t, %v", file, got, err)
		}
	}
}

func p192() []byte {
	return append([]byte{0x30, 73, 0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1, 3, 50, 0, 4}, make([]byte, 48)...)
}

// rsaKey is a subjectPublicKeyInfo with these octets for modulus and exponent.
func rsaKey(n, e []byte) []byte {
	var key, b cryptobyte.Builder
	key.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(n) })
		b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(e) })
	})
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0})
		b.AddASN1BitString(key.BytesOrPanic())
	})
	return b.BytesOrPanic()
}

// hugeRSA is a key with numbers of so many bytes.
func hugeRSA(n, e int) []byte {
	return rsaKey(append([]byte{0}, bytes.Repeat([]byte{0xff}, n)...), bytes.Repeat([]byte{0x7f}, e))
}

// minusRSA is certtest.RSA(2048, 0) without the zero before its modulus.
func minusRSA() []byte { return rsaKey(certtest.RSA(2048, 0).N.Bytes(), []byte{1, 0, 1}) }

// TestRefusal has a reason of each kind; the kernel's own answers are in TestKernel.
func TestRefusal(t *testing.T) {
	if err := parse(t, certtest.SelfSigned(t, "good").DER).Refusal(); err != nil {
		t.Errorf("an ordinary certificate: %v", err)
	}
	for name, c := range map[string]struct {
		spec certtest.Spec
		want string
	}{
		"subject": {certtest.Spec{Subject: certtest.Name{}, Issuer: certtest.Name{certtest.CN("x")}}, "its subject is empty (EBADMSG)"},
		"skid":    {certtest.Spec{SKID: make([]byte, 129)}, "subject key identifier"},
		"year":    {certtest.Spec{NotBefore: certtest.UTC("691231235959Z")}, "notBefore"},
		"rsa":     {certtest.Spec{Key: certtest.RSA(2560, 0)}, "takes 2560 bits"},
		"ed25519": {certtest.Spec{Key: certtest.Ed25519(1)}, "signature algorithm ed25519 is unknown"},
		"p224":    {certtest.Spec{Key: certtest.ECDSA(t, elliptic.P224())}, "curve P-224"},
		"broken":  {certtest.Spec{Break: true}, "its signature is wrong"},
	} {
		err := parse(t, certtest.Make(t, c.spec).DER).Refusal()
		var refusal *certs.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ec := parse(t, certtest.Make(t, certtest.Spec{Key: certtest.ECDSA(t, elliptic.P521()), Hash: "sha512"}).DER)
	if ec.Refusal() != nil || len(ec.Refusals()) < 2 {
		t.Errorf("P-521 is refused by some kernels only: %v", ec.Refusals())
	}
}
