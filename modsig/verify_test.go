package modsig_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/modsig"
)

// signed makes a signer of the payload with a key; change may spoil it.
func signed(t testing.TB, c *certtest.Cert, hash string, skid bool, change ...func(*modsig.Signer)) modsig.Signer {
	t.Helper()
	s := signerOver(t, payload, c, hash, skid)
	for _, f := range change {
		f(&s)
	}
	return s
}

func signerOver(t testing.TB, payload []byte, c *certtest.Cert, hash string, skid bool) modsig.Signer {
	t.Helper()
	module, err := modsig.Sign(payload, c.Key, parse(t, c.DER), hash, skid)
	if err != nil {
		t.Fatal(err)
	}
	_, message, err := modsig.Split(module)
	if err != nil {
		t.Fatal(err)
	}
	m, err := modsig.Decode(message)
	if err != nil {
		t.Fatal(err)
	}
	return m.Signers[0]
}

func broken(s *modsig.Signer) { s.Signature[20] ^= 1 }

// pair writes the two numbers of an ECDSA signature with so many zeros before each, and something behind them.
func pair(zeros int, behind []byte) func(*modsig.Signer) {
	return func(s *modsig.Signer) {
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(s.Signature, &rs); err != nil {
			panic(err)
		}
		var body []byte
		for _, n := range []*big.Int{rs.R, rs.S} {
			number := append(make([]byte, zeros), n.FillBytes(make([]byte, 32))...)
			body = append(append(body, 2, byte(len(number))), number...)
		}
		s.Signature = append(append([]byte{0x30, byte(len(body))}, body...), behind...)
	}
}

func TestVerify(t *testing.T) {
	mine, stranger := owner(t), certtest.SelfSignedWith(t, "stranger", certtest.RSA(2048, 2))
	// The same issuer, serial number and SKID as mine, and another key.
	twinSpec := mine.Spec
	twinSpec.Key = certtest.RSA(2048, 3)
	twin := certtest.Make(t, twinSpec)
	short := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("short")}, SKID: mine.Spec.SKID[16:]})
	ecdsa := certtest.SelfSignedWith(t, "ec", certtest.ECDSA(t, elliptic.P256()))
	unsigned := signed(t, ecdsa, "sha256", false, pair(0, nil))
	for unsigned.Signature[4] < 0x80 { // the first number needs a zero in DER
		unsigned = signed(t, ecdsa, "sha256", false, pair(0, nil))
	}
	otherEC := certtest.SelfSignedWith(t, "ec", certtest.ECDSA(t, elliptic.P256()))
	p224 := certtest.SelfSignedWith(t, "p224", certtest.ECDSA(t, elliptic.P224()))
	unknownCurve := bytes.Replace(p224.DER, []byte{0x2b, 0x81, 4, 0, 0x21}, []byte{0x2b, 0x81, 4, 0, 0x0a}, 1) // secp256k1

	a, b, c, k := parse(t, mine.DER), parse(t, stranger.DER), parse(t, twin.DER), parse(t, short.DER)
	type list = []*certs.Certificate
	for _, test := range []struct {
		what       string
		signers    []modsig.Signer
		candidates list
		outcome    modsig.Outcome
		signer     int
		key        *certs.Certificate
	}{
		{"serial", []modsig.Signer{signed(t, mine, "sha256", false)}, list{b, a}, modsig.Valid, 0, a},
		{"SKID", []modsig.Signer{signed(t, mine, "sha512", true)}, list{b, a}, modsig.Valid, 0, a},
		{"no candidates", []modsig.Signer{signed(t, mine, "sha256", false)}, nil, modsig.UnknownKey, 0, nil},
		{"others", []modsig.Signer{signed(t, mine, "sha256", false)}, list{b}, modsig.UnknownKey, 0, nil},
		{"end of the SKID", []modsig.Signer{signed(t, mine, "sha256", true)}, list{k}, modsig.UnknownKey, 0, nil},
		{"SKID of four bytes", []modsig.Signer{signed(t, mine, "sha256", true, func(s *modsig.Signer) { s.SKID = s.SKID[16:] })},
			list{a}, modsig.UnknownKey, 0, nil},
		{"empty SKID", []modsig.Signer{signed(t, mine, "sha256", true, func(s *modsig.Signer) { s.SKID = []byte{} })},
			list{parse(t, certtest.Make(t, certtest.Spec{}).DER)}, modsig.UnknownKey, 0, nil},
		{"serial number in place of the SKID", []modsig.Signer{signed(t, mine, "sha256", true, func(s *modsig.Signer) { s.SKID = a.ID0() })},
			list{a}, modsig.Valid, 0, a}, // the kernel compares with both ids of a key
		{"broken signature", []modsig.Signer{signed(t, mine, "sha256", false, broken)}, list{a}, modsig.Wrong, 0, a},
		{"same ids, other key", []modsig.Signer{signed(t, mine, "sha256", false)}, list{c}, modsig.Wrong, 0, c},
		{"same ids, both keys", []modsig.Signer{signed(t, mine, "sha256", false)}, list{c, a}, modsig.Valid, 0, a},
		{"another kind of key", []modsig.Signer{signed(t, mine, "sha256", false, func(s *modsig.Signer) { s.Algorithm = "ecdsa" })},
			list{a}, modsig.Wrong, 0, a},
		{"hash that cannot be computed", []modsig.Signer{signed(t, mine, "sha256", false, func(s *modsig.Signer) { s.Hash = "streebog256" })},
			list{a}, modsig.Unsupported, 0, nil},
		{"ECDSA", []modsig.Signer{signed(t, ecdsa, "sha256", false)}, list{a, parse(t, ecdsa.DER)}, modsig.Valid, 0, parse(t, ecdsa.DER)},
		{"ECDSA, broken", []modsig.Signer{signed(t, ecdsa, "sha256", false, broken)}, list{parse(t, ecdsa.DER)}, modsig.Wrong, 0, parse(t, ecdsa.DER)},
		{"ECDSA, no pair", []modsig.Signer{signed(t, ecdsa, "sha256", false, func(s *modsig.Signer) { s.Signature[0] = 0x31 })}, list{parse(t, ecdsa.DER)}, modsig.Wrong, 0, parse(t, ecdsa.DER)},
		{"ECDSA, numbers without a sign", []modsig.Signer{unsigned}, list{parse(t, ecdsa.DER)}, modsig.Unsupported, 0, nil},
		{"ECDSA, a zero more", []modsig.Signer{signed(t, ecdsa, "sha256", false, pair(2, nil))}, list{parse(t, ecdsa.DER)}, modsig.Unsupported, 0, nil},
		{"ECDSA, a byte behind", []modsig.Signer{signed(t, ecdsa, "sha256", false, pair(1, []byte{0}))}, list{parse(t, ecdsa.DER)}, modsig.Unsupported, 0, nil},
		{"ECDSA, longer length", []modsig.Signer{signed(t, ecdsa, "sha256", false, func(s *modsig.Signer) { s.Signature = slices.Insert(s.Signature, 1, 0x81) })}, list{parse(t, ecdsa.DER)}, modsig.Unsupported, 0, nil},
		{"ECDSA, not DER, and another that has its id", []modsig.Signer{unsigned}, list{parse(t, ecdsa.DER), parse(t, otherEC.DER)}, modsig.Unsupported, 0, nil},
		{"unknown curve", []modsig.Signer{signed(t, p224, "sha256", false)}, list{parse(t, unknownCurve)}, modsig.Unsupported, 0, nil},
		{"stranger and mine", []modsig.Signer{signed(t, stranger, "sha256", false), signed(t, mine, "sha1", false)}, list{a}, modsig.Valid, 1, a},
		{"mine and broken stranger", []modsig.Signer{signed(t, mine, "sha256", false), signed(t, stranger, "sha256", false, broken)},
			list{a}, modsig.Valid, 0, a},
		{"mine and broken known", []modsig.Signer{signed(t, mine, "sha256", false), signed(t, stranger, "sha256", false, broken)},
			list{a, b}, modsig.Wrong, 1, b},
		{"unknown and unsupported", []modsig.Signer{signed(t, mine, "sha256", false),
			signed(t, mine, "sha256", false, func(s *modsig.Signer) { s.Hash = "streebog512" })}, nil, modsig.Unsupported, 1, nil},
	} {
		t.Run(test.what, func(t *testing.T) {
			r := (&modsig.Message{Signers: test.signers}).Verify(payload, test.candidates)
			if r.Outcome != test.outcome || r.Signer != test.signer || len(r.Chain) > 0 {
				t.Errorf("%v of signer %d over %d, want %v of %d", r.Outcome, r.Signer, len(r.Chain), test.outcome, test.signer)
			}
			if (r.Key == nil) != (test.key == nil) || r.Key != nil && !bytes.Equal(r.Key.Raw, test.key.Raw) {
				t.Errorf("key %v", r.Key)
			}
			if errors.Is(r.Err, certs.ErrUnverifiable) != (r.Outcome == modsig.Unsupported) {
				t.Error(r.Err)
			}
			if tampered := (&modsig.Message{Signers: test.signers}).Verify(payload[1:], test.candidates); tampered.Outcome == modsig.Valid {
				t.Error("valid over another payload")
			}
		})
	}
}

// Certificates in the message: pkcs7_verify_sig_chain and pkcs7_validate_trust_one.
func TestVerifyChain(t *testing.T) {
	issue := func(cn string, n int, by *certtest.Cert, change ...func(*certtest.Spec)) *certtest.Cert {
		s := certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, Key: certtest.RSA(2048, n), Serial: []byte{byte(n)}, SKID: []byte(cn)}
		if by != nil {
			s.Signer, s.AKI = by, &certtest.AKI{KeyID: by.Spec.SKID}
		}
		for _, f := range change {
			f(&s)
		}
		return certtest.Make(t, s)
	}
	root := issue("root", 0, nil)
	middle := issue("middle", 1, root)
	leaf := issue("leaf", 2, middle)
	forged := issue("leaf", 2, middle, func(s *certtest.Spec) { s.Break = true })
	orphan := issue("leaf", 2, middle, func(s *certtest.Spec) { s.AKI = nil })
	bySerial := issue("leaf", 2, middle, func(s *certtest.Spec) {
		s.AKI = &certtest.AKI{Issuer: root.Spec.Subject, Serial: []byte{1}}
	})
	contrary := issue("leaf", 2, middle, func(s *certtest.Spec) {
		s.AKI = &certtest.AKI{Issuer: root.Spec.Subject, Serial: []byte{1}, KeyID: []byte("other")}
	})
	// Two that claim to have issued each other.
	loop := [2]*certtest.Cert{issue("a", 2, issue("b", 1, nil)), issue("b", 1, issue("a", 2, nil))}
	falseRoot := issue("root", 3, nil)

	type list = []*certtest.Cert
	for _, test := range []struct {
		what                 string
		signer               *certtest.Cert
		embedded, candidates list
		skid                 bool
		want                 string
	}{
		{"whole chain, root known", leaf, list{leaf, middle, root}, list{root}, false, "rsa sha256 serial, 3 certificates, valid by root over 2"},
		{"whole chain, all known", leaf, list{root, middle, leaf}, list{root, middle, leaf}, false, "rsa sha256 serial, 3 certificates, valid by leaf"},
		{"without root", leaf, list{leaf, middle}, list{root}, false, "rsa sha256 serial, 2 certificates, valid by root over 2"},
		{"only leaf, middle known", leaf, list{leaf}, list{root, middle}, false, "rsa sha256 serial, 1 certificates, valid by middle over 1"},
		{"only leaf, root known", leaf, list{leaf}, list{root}, false, "rsa sha256 serial, 1 certificates, unknown key"},
		{"leaf not in the message", leaf, list{middle}, list{middle, root}, false, "rsa sha256 serial, 1 certificates, unknown key"},
		{"leaf by SKID", leaf, list{leaf, middle}, list{root}, true, "rsa sha256 skid, 2 certificates, unknown key"}, // the kernel looks for serial numbers only
		{"leaf by SKID, known", leaf, list{leaf, middle}, list{leaf}, true, "rsa sha256 skid, 2 certificates, valid by leaf"},
		{"whole chain, none known", leaf, list{leaf, middle, root}, nil, false, "rsa sha256 serial, 3 certificates, unknown key"},
		{"forged leaf", forged, list{forged, middle}, list{middle}, false, "rsa sha256 serial, 2 certificates, wrong by middle over 1"},
		{"forged leaf, issuer known", forged, list{forged}, list{middle}, false, "rsa sha256 serial, 1 certificates, wrong by middle over 1"},
		{"forged leaf, itself known", forged, list{forged}, list{forged}, false, "rsa sha256 serial, 1 certificates, valid by leaf"},
		{"leaf without issuer's id", orphan, list{orphan, middle}, list{middle}, false, "rsa sha256 serial, 2 certificates, unknown key"},
		{"leaf with issuer's serial number", bySerial, list{bySerial, middle}, list{root}, false, "rsa sha256 serial, 2 certificates, valid by root over 2"},
		{"leaf with issuer's serial number, issuer known", bySerial, list{bySerial}, list{middle}, false, "rsa sha256 serial, 1 certificates, valid by middle over 1"},
		{"leaf with two ids of two issuers", contrary, list{contrary, middle}, list{root}, false, "rsa sha256 serial, 2 certificates, wrong by middle over 1"},
		{"leaf with two ids of two issuers, one known", contrary, list{contrary}, list{middle}, false, "rsa sha256 serial, 1 certificates, wrong by middle over 1"},
		{"loop", loop[0], list{loop[0], loop[1]}, list{root}, false, "rsa sha256 serial, 2 certificates, unknown key"},
		{"another root of the same ids", middle, list{middle, falseRoot}, list{root}, false, "rsa sha256 serial, 2 certificates, wrong by root over 1"},
		{"another certificate of the signer's ids", leaf, list{issue("leaf", 3, middle, func(s *certtest.Spec) { s.Serial = []byte{2} })}, list{leaf}, false,
			"rsa sha256 serial, 1 certificates, wrong by leaf"},
	} {
		t.Run(test.what, func(t *testing.T) {
			m := modsig.Message{Signers: []modsig.Signer{signed(t, test.signer, "sha256", test.skid)}}
			for _, c := range test.embedded {
				m.Certificates = append(m.Certificates, parse(t, c.DER))
			}
			var candidates []*certs.Certificate
			for _, c := range test.candidates {
				candidates = append(candidates, parse(t, c.DER))
			}
			der, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(t, der, payload, candidates); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestFlippedBits: no bit of a signed module can change without notice, but those that the kernel does not look at either.
func TestFlippedBits(t *testing.T) {
	for file, ignored := range map[string]int{
		"rsa-sha256.ko":     8 * (9 + 2), // what is in the set of digest algorithms, the parameters NULL
		"rsa-sha256-k.ko":   8 * (9 + 2),
		"ecdsa-sha256.ko":   8*9 + 3, // the set; which hash the algorithm's OID names
		"ecdsa-sha384-k.ko": 8*9 + 3,
	} {
		candidates := []*certs.Certificate{parse(t, owner(t).DER), parse(t, read(t, "ecdsa.der"))}
		module := read(t, file)
		missed := 0
		for bit := range len(module) * 8 {
			module[bit/8] ^= 1 << (bit % 8)
			if body, message, err := modsig.Split(module); err == nil {
				if m, err := modsig.Decode(message); err == nil && m.Verify(body, candidates).Outcome == modsig.Valid {
					missed++
				}
			}
			module[bit/8] ^= 1 << (bit % 8)
		}
		if missed > ignored || missed == 0 {
			t.Errorf("%s: %d changed bits not noticed, want no more than %d", file, missed, ignored)
		}
	}
}

func TestSign(t *testing.T) {
	mine, other := owner(t), certtest.SelfSignedWith(t, "other", certtest.RSA(2048, 1))
	for what, test := range map[string]struct {
		module []byte
		key    *certtest.Cert
		hash   string
	}{
		"another key's certificate": {payload, other, "sha256"},
		"unknown hash":              {payload, mine, "md5"},
		"hash that Go has not":      {payload, mine, "streebog256"},
		"empty module":              {nil, mine, "sha256"},
	} {
		if module, err := modsig.Sign(test.module, test.key.Key, parse(t, mine.DER), test.hash, false); module != nil || err == nil || name(t, err) != "invalid" {
			t.Errorf("%s: %v", what, err)
		}
	}
	once, err := modsig.Sign(payload, mine.Key, parse(t, mine.DER), "sha256", false)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := modsig.Sign(once, other.Key, parse(t, other.DER), "sha256", true)
	if err != nil {
		t.Fatal(err)
	}
	if plain, n, err := modsig.Strip(twice); err != nil || n != 2 || !bytes.Equal(plain, payload) {
		t.Errorf("%d, %v", n, err)
	}
	if inner, _, err := modsig.Split(twice); err != nil || !bytes.Equal(inner, once) {
		t.Error("the first signature is not below the second", err)
	}
}
