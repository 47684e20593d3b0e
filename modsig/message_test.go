package modsig_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/modsig"
)

// el writes an element.
func el(tag byte, parts ...string) string {
	var b cryptobyte.Builder
	b.AddASN1(asn1.Tag(tag&^0x20), func(b *cryptobyte.Builder) { b.AddBytes([]byte(strings.Join(parts, ""))) })
	der := b.BytesOrPanic()
	der[0] = tag
	return string(der)
}

func unhex(text string) string {
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Parts of a message, by which a sound one is made and each can be replaced.
var sound = map[string]string{
	"type":     el(6, unhex("2a864886f70d010702")),
	"version":  el(2, "\x01"),
	"digests":  el(0x31, el(0x30, oid("608648016503040201"))),
	"content":  el(0x30, el(6, unhex("2a864886f70d010701"))),
	"certs":    "",
	"crls":     "",
	"sversion": el(2, "\x01"),
	"sid":      el(0x30, el(0x30, rdn), el(2, "\x00\x80")),
	"digest":   el(0x30, oid("608648016503040201")),
	"attrs":    "",
	"alg":      el(0x30, oid("2a864886f70d010101"), el(5)),
	"sig":      el(4, "signature"),
	"unsigned": "",
	"more":     "",
	"after":    "",
	"signers":  "\x31", // the tag
}

var rdn = el(0x31, el(0x30, el(6, "\x55\x04\x03"), el(12, "CA")))

func oid(content string) string { return el(6, unhex(content)) }

// build makes a message with some parts replaced: "name", value, "name", value …
func build(replaced ...string) []byte {
	p := map[string]string{}
	for name, part := range sound {
		p[name] = part
	}
	for i := 0; i < len(replaced); i += 2 {
		if _, known := p[replaced[i]]; !known {
			panic(replaced[i])
		}
		p[replaced[i]] = replaced[i+1]
	}
	signer := el(0x30, p["sversion"], p["sid"], p["digest"], p["attrs"], p["alg"], p["sig"], p["unsigned"])
	data := el(0x30, p["version"], p["digests"], p["content"], p["certs"], p["crls"], el(p["signers"][0], signer, p["more"]))
	return []byte(el(0x30, p["type"], el(0xa0, data)) + p["after"])
}

// messages are what the kernel's parser makes of odd messages; "" is one that it takes.
func messages(t testing.TB) []struct {
	what, outcome string
	message       []byte
} {
	skid := []string{"version", el(2, "\x03"), "sversion", el(2, "\x03"), "sid", el(0x80, "id")}
	good := string(certtest.Make(t, certtest.Spec{}).DER)
	dated := string(certtest.Make(t, certtest.Spec{NotAfter: certtest.UTC("x")}).DER)
	edwards := string(certtest.Make(t, certtest.Spec{Key: certtest.Ed25519(1)}).DER)
	type row = struct {
		what, outcome string
		message       []byte
	}
	return []row{
		{"sound", "", build()},
		{"SKID", "", build(skid...)},
		{"signed attributes", "attributes", build("attrs", el(0xa0, attribute("03", oid("2a864886f70d010701")), attribute("04", el(4, "digest"))))},
		{"other attributes", "", build("unsigned", el(0xa1, attribute("05", el(2, "\x01"), el(5))))},
		{"no other attributes", "malformed", build("unsigned", el(0xa1))},
		{"other attributes that are none", "malformed", build("unsigned", el(0xa1, "x"))},
		{"other attribute without value", "malformed", build("unsigned", el(0xa1, attribute("05")))},
		{"content", "attached", build("content", el(0x30, oid("2a864886f70d010701"), el(0xa0, el(4, "text"))))},
		{"Authenticode", "malformed", build("content", el(0x30, oid("2b060104018237020104")))},
		{"enveloped data", "malformed", build("type", oid("2a864886f70d010703"))},
		{"SignedData version 2", "malformed", build("version", el(2, "\x02"))},
		{"SignedData version of two bytes", "malformed", build("version", el(2, "\x00\x01"))},
		{"SignerInfo version 2", "malformed", build("sversion", el(2, "\x02"))},
		{"versions 3 and 1", "malformed", build("version", el(2, "\x03"))},
		{"versions 1 and 3", "malformed", build("sversion", el(2, "\x03"), "sid", el(0x80, "id"))},
		{"version 1 with SKID", "malformed", build("sid", el(0x80, "id"))},
		{"version 3 without SKID", "malformed", build("version", el(2, "\x03"), "sversion", el(2, "\x03"))},
		{"empty issuer", "malformed", build("sid", el(0x30, el(0x30), el(2, "\x01")))},
		{"empty RDN", "malformed", build("sid", el(0x30, el(0x30, el(0x31)), el(2, "\x01")))},
		{"attribute without value", "malformed", build("sid", el(0x30, el(0x30, el(0x31, el(0x30, oid("550403")))), el(2, "\x01")))},
		{"attribute with two values", "malformed", build("sid", el(0x30, el(0x30, el(0x31, el(0x30, oid("550403"), el(12), el(12)))), el(2, "\x01")))},
		{"no serial number", "malformed", build("sid", el(0x30, el(0x30, rdn)))},
		{"no digest algorithms", "malformed", build("digests", el(0x31))},
		{"other digest algorithms", "", build("digests", el(0x31, el(0x30, oid("2a0304"), el(5))))},
		{"empty OID", "unsupported", build("digest", el(0x30, el(6)))},
		{"OID that ends early", "unsupported", build("digest", el(0x30, el(6, "\x81")))},
		{"MD5", "unsupported", build("digest", el(0x30, oid("2a864886f70d0205"), el(5)))},
		{"SHA3-224", "unsupported", build("digest", el(0x30, oid("608648016503040207")))},
		{"SHA3-512", "", build("digest", el(0x30, oid("60864801650304020a")))},
		{"digest with parameters", "", build("digest", el(0x30, oid("608648016503040201"), el(5)))},
		{"digest with two parameters", "malformed", build("digest", el(0x30, oid("608648016503040201"), el(5), el(5)))},
		{"sha256WithRSAEncryption", "unsupported", build("alg", el(0x30, oid("2a864886f70d01010b"), el(5)))},
		{"Ed25519", "unsupported", build("alg", el(0x30, oid("2b6570")))},
		{"ECDSA with SHA-512 over SHA-256", "", build("alg", el(0x30, oid("2a8648ce3d040304")))},
		{"ML-DSA-65", "", build("alg", el(0x30, oid("608648016503040312")))},
		{"GOST", "", build("alg", el(0x30, oid("2a85030701010101")), "digest", el(0x30, oid("2a85030701010202")))},
		{"RSA without parameters", "", build("alg", el(0x30, oid("2a864886f70d010101")))},
		{"empty signature", "", build("sig", el(4))},
		{"signature as bits", "malformed", build("sig", el(3, "\x00x"))},
		{"no signature", "malformed", build("sig", "")},
		{"something after the signature", "malformed", build("unsigned", el(4, "x"))},
		{"second signer unsupported", "unsupported", build("more", string(signerOf(build("alg", el(0x30, oid("2b6570"))))))},
		{"second signer is none", "malformed", build("more", el(5))},
		{"a certificate", "", build("certs", el(0xa0, good))},
		{"no certificates", "", build("certs", el(0xa0))},
		{"no certificate among certificates", "malformed", build("certs", el(0xa0, good, el(0xa0, "x")))},
		{"certificate with a length of two bytes where one does", "not DER", build("certs", el(0xa0, "\x30\x82\x00\x02\x05\x00"))},
		{"certificate that is none of ours", "not DER", build("certs", el(0xa0, el(0x30, "x")))},
		{"signers as a sequence", "not DER", build("signers", "\x30")},
		{"digest algorithms as a sequence", "not DER", build("digests", el(0x30, el(0x30, oid("608648016503040201"))))},
		{"certificates as a sequence", "not DER", build("certs", el(0xa2, good))},
		{"signed attributes as a sequence", "not DER", build("attrs", el(0xa2, el(0x30)))},
		{"length of three bytes", "malformed", append([]byte("\x30\x83\x00"), build()[2:]...)},
		{"length of two bytes where one does", "not DER", build("digest", "\x30\x82\x00\x0b"+oid("608648016503040201"))},
		{"certificate that no kernel takes", "malformed", build("certs", el(0xa0, dated))},
		{"certificate with an unknown algorithm", "unsupported", build("certs", el(0xa0, edwards))},
		{"revocation lists", "malformed", build("crls", el(0xa1, el(0x30)))},
		{"bytes after the message", "", build("after", "x")},
		{"indefinite length", "not DER", append([]byte{0x30, 0x80}, build()...)},
		{"text", "malformed", []byte("text")},
		{"nothing", "malformed", nil},
		{"64 KiB", "malformed", build("sig", el(4, strings.Repeat("x", modsig.MaxMessage)))},
	}
}

// attribute is one of PKCS #9, by the last byte of its OID.
func attribute(number string, values ...string) string {
	return el(0x30, oid("2a864886f70d0109"+number), el(0x31, values...))
}

// signerOf cuts the SignerInfo out of a message made by build.
func signerOf(message []byte) []byte {
	at := bytes.LastIndex(message, []byte(sound["sversion"]+sound["sid"]))
	return []byte(el(0x30, string(message[at:])))
}

func TestDecode(t *testing.T) {
	for _, test := range messages(t) {
		t.Run(test.what, func(t *testing.T) {
			m, err := modsig.Decode(test.message)
			if (err != nil) != (test.outcome != "") || err != nil && name(t, err) != test.outcome {
				t.Fatalf("%v, want %q", err, test.outcome)
			}
			if (m != nil) != (err == nil) {
				t.Error("a message beside an error")
			}
			var e *modsig.SyntaxError
			if err != nil && (!errors.As(err, &e) || e.Offset < 0 || e.Offset > len(test.message)) {
				t.Errorf("no offset: %v", err)
			}
		})
	}
}

// A message that was cut short is refused, and so is one with a byte more in it.
func TestDecodeCut(t *testing.T) {
	whole := build("certs", el(0xa0, string(certtest.Make(t, certtest.Spec{}).DER)))
	if _, err := modsig.Decode(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if _, err := modsig.Decode(whole[:i]); err == nil {
			t.Errorf("cut at %d", i)
		}
		inSignature := i >= len(whole)-len("signature") // a byte there pushes the last one behind the message
		if _, err := modsig.Decode(join(whole[:i], []byte{0}, whole[i:])); err == nil && !inSignature {
			t.Errorf("a byte more at %d", i)
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestDecodeSigner(t *testing.T) {
	m, err := modsig.Decode(build())
	if err != nil {
		t.Fatal(err)
	}
	s := m.Signers[0]
	if string(s.Issuer) != rdn || string(s.Serial) != "\x00\x80" || s.SKID != nil || string(s.ID()) != "\x00\x80"+rdn ||
		s.Hash != "sha256" || s.Algorithm != "rsa" || string(s.Signature) != "signature" {
		t.Errorf("%+v", s)
	}
	if m, err = modsig.Decode(build("version", el(2, "\x03"), "sversion", el(2, "\x03"), "sid", el(0x80, "id"))); err != nil {
		t.Fatal(err)
	}
	if s = m.Signers[0]; s.Issuer != nil || s.Serial != nil || string(s.SKID) != "id" || string(s.ID()) != "id" {
		t.Errorf("%+v", s)
	}
}

// The name of the algorithm stands beside its number.
func TestUnsupportedNames(t *testing.T) {
	for message, text := range map[string]string{
		string(build("alg", el(0x30, oid("2a864886f70d01010b")))): "1.2.840.113549.1.1.11 (sha256WithRSAEncryption)",
		string(build("alg", el(0x30, oid("2b6570")))):             "1.3.101.112 (Ed25519)",
		string(read(t, "cms-pss.der")):                            "1.2.840.113549.1.1.10 (RSASSA-PSS)",
		string(build("digest", el(0x30, oid("2a0304")))):          "1.2.3.4",
	} {
		if _, err := modsig.Decode([]byte(message)); !errors.Is(err, modsig.ErrUnsupported) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v lacks %s", err, text)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	serial := modsig.Signer{Issuer: []byte(rdn), Serial: []byte{1}, Hash: "sha256", Algorithm: "rsa", Signature: []byte("x")}
	skid := modsig.Signer{SKID: []byte("id"), Hash: "sha256", Algorithm: "ecdsa", Signature: []byte("x")}
	with := func(change func(*modsig.Signer)) modsig.Signer {
		s := serial
		change(&s)
		return s
	}
	for what, signers := range map[string][]modsig.Signer{
		"none":       nil,
		"mixed":      {serial, skid},
		"hash":       {with(func(s *modsig.Signer) { s.Hash = "md5" })},
		"algorithm":  {with(func(s *modsig.Signer) { s.Algorithm = "dsa" })},
		"ECDSA hash": {with(func(s *modsig.Signer) { s.Hash, s.Algorithm = "streebog256", "ecdsa" })},
		"size":       {with(func(s *modsig.Signer) { s.Signature = make([]byte, modsig.MaxMessage) })},
	} {
		if der, err := (&modsig.Message{Signers: signers}).Encode(); der != nil || err == nil || name(t, err) != "invalid" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSignerFor(t *testing.T) {
	mine := parse(t, owner(t).DER)
	bare := parse(t, certtest.Make(t, certtest.Spec{Serial: []byte{0, 0x80}}).DER)
	for i, s := range []modsig.Signer{signerFor(t, mine, false), signerFor(t, mine, true), signerFor(t, bare, false)} {
		want := [][]byte{mine.ID0(), mine.ID1(), bare.ID0()}[i]
		if !bytes.Equal(s.ID(), want) || s.Hash != "sha256" || s.Algorithm != "rsa" || s.Signature != nil {
			t.Errorf("%d: %+v", i, s)
		}
	}
	edwards := parse(t, certtest.Make(t, certtest.Spec{Key: certtest.Ed25519(1)}).DER)
	for what, test := range map[string]struct {
		c    *certs.Certificate
		hash string
		skid bool
	}{"no SKID": {bare, "sha256", true}, "hash": {mine, "md5", false}, "key": {edwards, "sha256", false}} {
		if _, err := modsig.SignerFor(test.c, test.hash, test.skid); err == nil || name(t, err) != "invalid" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func signerFor(t testing.TB, c *certs.Certificate, skid bool) modsig.Signer {
	t.Helper()
	s, err := modsig.SignerFor(c, "sha256", skid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzDecode: never a panic, no message beside an error; what Encode can write is read back as the same.
func FuzzDecode(f *testing.F) {
	for _, m := range messages(f) {
		if len(m.message) < 4096 {
			f.Add(m.message)
		}
	}
	for _, file := range []string{"cms-chain.der", "cms-two.der", "cms-attributes.der", "cms-pss.der", "cms-content.der", "cms-keyid.der"} {
		f.Add(read(f, file))
	}
	mine := parse(f, owner(f).DER)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := modsig.Decode(data)
		if err != nil {
			if m != nil {
				t.Fatal("a message beside an error")
			}
			name(t, err)
			return
		}
		if r := m.Verify(payload, append(m.Certificates, mine)); r.Outcome.String() == "none" || r.Signer >= len(m.Signers) {
			t.Fatalf("%+v", r)
		}
		der, err := m.Encode()
		if err != nil {
			return // an algorithm that is only read
		}
		again, err := modsig.Decode(der)
		if err != nil || len(again.Signers) != len(m.Signers) || len(again.Certificates) != len(m.Certificates) {
			t.Fatalf("%v: %x", err, der)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(second, der) {
			t.Fatalf("%v: %x, then %x", err, der, second)
		}
	})
}

// What is neither signed nor looked at by the kernel is noticed when it is changed, and not when programs differ in it.
func TestUsual(t *testing.T) {
	message := &modsig.Message{Signers: []modsig.Signer{{SKID: []byte{1, 2, 3, 4}, Hash: "sha256", Algorithm: "rsa", Signature: make([]byte, 256)}}}
	text, err := message.Encode()
	if err != nil {
		t.Fatal(err)
	}
	odd := 0
	for at := range text {
		changed := bytes.Clone(text)
		changed[at] ^= 1
		m, err := modsig.Decode(changed)
		switch {
		case err != nil:
			continue
		case reflect.DeepEqual(m.Signers, message.Signers) && m.Usual(changed):
			t.Errorf("byte %d was changed, and nothing is noticed", at)
		case !m.Usual(changed):
			odd++
		}
	}
	if m, err := modsig.Decode(text); err != nil || !m.Usual(text) || odd == 0 {
		t.Errorf("%v, %d changes noticed", err, odd)
	}
}
