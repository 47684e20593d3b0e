package certs_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"kkeys/internal/certtest"
)

// specimen is a certificate that ParseDER takes; the kernel may refuse it.
type specimen struct {
	name string
	der  []byte
}

type named struct {
	name  string
	names certtest.Names
}

// oddNames are subjects whose kernel name is easily got wrong.
func oddNames() []named {
	type list = certtest.Name
	cn, o, ou, email := certtest.CN, certtest.O, certtest.OU, certtest.Email
	long := func(n int) string { return strings.Repeat("0123456789", n/10+1)[:n] }
	all := []named{
		{"cn", list{cn("Foo")}},
		{"o", list{o("Acme")}},
		{"email", list{email("a@b.c")}},
		{"ou only", list{ou("unit")}},
		{"o cn", list{o("Acme"), cn("Module key")}},
		{"cn o", list{cn("Module key"), o("Acme")}},
		{"o is prefix", list{o("Acme"), cn("Acme Module key")}},
		{"o equals cn", list{o("Acme"), cn("Acme")}},
		{"seven bytes", list{o("Fedora Project"), cn("Fedora kernel signing key")}},
		{"six bytes", list{o("abcdefX"), cn("abcdefY")}},
		{"seven and short", list{o("abcdefgh"), cn("abcdefg")}},
		{"cn six, o seven", list{o("abcdefg"), cn("abcdef")}},
		{"cn shorter", list{o("Acme Corp"), cn("Acme")}},
		{"case", list{o("ACME"), cn("Acme key")}},
		{"two cn", list{cn("First"), cn("Second")}},
		{"two o", list{o("One"), o("Two"), cn("x")}},
		{"two cn, last empty", list{cn("First"), cn("")}},
		{"cn empty, o", list{o("Org"), cn("")}},
		{"all empty", list{o(""), cn(""), email("")}},
		{"o email", list{o("Org"), email("a@b.c")}},
		{"cn email", list{email("a@b.c"), cn("Name")}},
		{"two email", list{email("a@b.c"), email("d@e.f")}},
		{"newline", list{cn("x\n3fffffff I------     1 perm 1f0b0000     0     0 keyring   .machine: 1")}},
		{"semicolon", list{cn("Evil; Corp"), o(";;;;")}},
		{"colon", list{cn("a: b: cafe"), o(": ")}},
		{"escape", list{cn("\x1b[2J\x07\r")}},
		{"nul inside", list{cn("before\x00after"), o("Org")}},
		{"nul in o", list{cn("Name"), o("Or\x00g")}},
		{"nul first", list{cn("\x00after")}},
		{"bmp", list{cn("\x00F\x00o\x00o").As(certtest.BMPString)}},
		{"bmp greek", list{cn("\x03\xb1\x03\xb2\x00a").As(certtest.BMPString)}},
		{"universal", list{cn("\x00\x00\x00F").As(certtest.UniversalString)}},
		{"teletex", list{cn("M\xfcller").As(certtest.TeletexString)}},
		{"printable", list{cn("Plain").As(certtest.PrintableString)}},
		{"utf8", list{cn("Ключ 鍵"), o("Ärzte")}},
		{"bad utf8", list{cn("\xff\xfe\x80")}},
		{"one rdn", certtest.Multi{{cn("Second"), o("Acme"), ou("u")}}},
		{"one rdn, two cn", certtest.Multi{{cn("A"), cn("B")}, {o("C")}}},
		{"cn as a SEQUENCE", list{{OID: "2.5.4.3", Tag: 0x30, Value: "\x0c\x01x"}}},
		{"spaces", list{cn(" a "), o(" ")}},
		{"escapes", list{cn(`a,b+c"d\e<f>g;h=i`), o("#x")}},
	}
	for _, n := range []int{1, 127, 128, 254, 255, 256, 257, 260, 511, 512, 513, 1000} {
		all = append(all, named{fmt.Sprint("cn ", n), list{cn(long(n))}}, named{fmt.Sprint("o cn ", n), list{o("Acme"), cn(long(n))}},
			named{fmt.Sprint("o ", n, " cn"), list{o(long(n)), cn("0123456")}}, named{fmt.Sprint("email ", n), list{email(long(n))}})
	}
	return all
}

// ids are key ids of all kinds.
func ids() map[string]certtest.Spec {
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7 + 1)
		}
		return b
	}
	skid, _ := hex.DecodeString("deadbeef000102030405060708090a0b0c0d0f10")
	return map[string]certtest.Spec{
		"skid 20":            {SKID: skid},
		"skid 1":             {SKID: fill(1)},
		"skid 4, aki":        {SKID: fill(4), AKI: &certtest.AKI{KeyID: fill(4)}},
		"skid 127":           {SKID: fill(127)},
		"skid 128":           {SKID: fill(128)},
		"skid 129":           {SKID: fill(129)},
		"skid 255":           {SKID: fill(255)},
		"skid 256":           {SKID: fill(256)},
		"skid 0":             {SKID: []byte{}},
		"serial 1234":        {Serial: []byte{0x12, 0x34}},
		"serial 0080":        {Serial: []byte{0, 0x80}},
		"serial 0":           {Serial: []byte{0}},
		"serial padded":      {Serial: []byte{0, 0, 1}},
		"serial negative":    {Serial: []byte{0xff, 0x01}},
		"serial empty":       {Serial: []byte{}},
		"serial 20":          {Serial: fill(20)},
		"serial 300":         {Serial: fill(300)},
		"serial 1, v1":       {Serial: []byte{1}, NoVersion: true},
		"serial 1, skid, v1": {Serial: []byte{1}, SKID: skid, NoVersion: true},
		"unique id":          {SKID: skid, Unique: []byte{1, 2, 3}},
	}
}

// specimens makes all certificates; they are the same in every run but for the ECDSA signatures.
func specimens(t testing.TB) []specimen {
	t.Helper()
	key := certtest.RSA(1024, 0)
	var all []specimen
	add := func(name string, s certtest.Spec) {
		if s.Key == nil {
			s.Key = key
		}
		all = append(all, specimen{name, certtest.Make(t, s).DER})
	}
	stranger := certtest.Name{certtest.O("Somebody Else"), certtest.CN("Issuer")}
	for i, n := range oddNames() {
		for id, s := range ids() {
			// Every name with a few ids, every id with a few names.
			if (i+len(id))%3 != 0 && id != "skid 20" && id != "serial 1234" {
				continue
			}
			s.Subject = n.names
			if s.AKI == nil && i%2 == 1 {
				s.Issuer = stranger
			}
			add("name "+n.name+", "+id, s)
		}
	}
	for i := range 200 {
		add(fmt.Sprint("random ", i), randomSpec(rand.New(rand.NewPCG(uint64(i), 2026))))
	}
	addTimes(add)
	addAuthorities(t, add)
	addExtensions(add)
	addAlgorithms(t, add)
	return all
}

// randomSpec is a certificate with a random subject and id.
func randomSpec(r *rand.Rand) certtest.Spec {
	oids := []string{"2.5.4.3", "2.5.4.3", "2.5.4.10", "2.5.4.10", "1.2.840.113549.1.9.1", "2.5.4.11", "2.5.4.6"}
	tags := []certtest.Attribute{certtest.CN(""), certtest.CN("").As(certtest.BMPString), certtest.CN("").As(certtest.TeletexString)}
	lengths := []int{0, 1, 2, 5, 6, 7, 8, 9, 20, 64, 254, 255, 256, 257, 258, 262, 263, 264, 300, 512, 519}
	var names certtest.Multi
	value := "Kernel module signing key "
	for range 1 + r.IntN(5) {
		var rdn []certtest.Attribute
		for range 1 + r.IntN(2) {
			length := lengths[r.IntN(len(lengths))]
			text := []byte(strings.Repeat(value, length/len(value)+1)[:length])
			for range r.IntN(3) {
				if length > 0 {
					text[r.IntN(length)] = byte(r.IntN(256))
				}
			}
			a := tags[r.IntN(len(tags))]
			a.OID, a.Value = oids[r.IntN(len(oids))], string(text)
			rdn = append(rdn, a)
		}
		names = append(names, rdn)
	}
	s := certtest.Spec{Subject: names, Serial: make([]byte, 1+r.IntN(20))}
	for i := range s.Serial {
		s.Serial[i] = byte(r.IntN(256)) * byte(r.IntN(3))
	}
	if r.IntN(2) == 0 {
		s.SKID = s.Serial
	}
	return s
}

// addTimes: x509_decode_time.
func addTimes(add func(string, certtest.Spec)) {
	for _, text := range []string{
		"700101000000Z", "691231235959Z", "500101000000Z", "491231235959Z", "240229120000Z", "230229120000Z", "000229000000Z",
		"241301000000Z", "240001000000Z", "240100000000Z", "240132000000Z", "240431000000Z", "240101240000Z", "240101240001Z",
		"240101250000Z", "240101006000Z", "240101000060Z", "240101000061Z", "2401010000Z", "240101000000+0000", "240101000000z",
		"24010100000 Z", "2401010000:0Z", "", "Z",
	} {
		add(fmt.Sprintf("utc %q", text), certtest.Spec{NotBefore: certtest.UTC(text)})
		add(fmt.Sprintf("utc until %q", text), certtest.Spec{NotAfter: certtest.UTC(text), SKID: []byte{1}})
	}
	for _, text := range []string{
		"20500101000000Z", "20491231235959Z", "19500101000000Z", "19491231235959Z", "19700101000000Z", "20300101000000Z",
		"99991231235959Z", "21000229000000Z", "24000229000000Z", "00000101000000Z", "20500101000000.5Z", "205001010000Z",
	} {
		add(fmt.Sprintf("generalized %q", text), certtest.Spec{NotAfter: certtest.Generalized(text)})
	}
}

// addAuthorities: x509_check_for_self_signed and the AKI.
func addAuthorities(t testing.TB, add func(string, certtest.Spec)) {
	self, other := certtest.Name{certtest.CN("Self")}, certtest.Name{certtest.CN("Other")}
	a, b := []byte{1, 2, 3, 4}, []byte{5, 6, 7, 8}
	serial, wrong := []byte{0, 0x99}, []byte{0x77}
	akis := map[string]*certtest.AKI{
		"none": nil, "empty": {}, "self id": {KeyID: a}, "other id": {KeyID: b}, "empty id": {KeyID: []byte{}},
		"self serial": {Issuer: self, Serial: serial}, "other serial": {Issuer: self, Serial: wrong},
		"other issuer": {Issuer: other, Serial: serial}, "issuer alone": {Issuer: self}, "serial alone": {Serial: wrong},
		"both": {KeyID: a, Issuer: self, Serial: serial}, "id self, serial other": {KeyID: a, Issuer: self, Serial: wrong},
		"id other, serial self": {KeyID: b, Issuer: self, Serial: serial}, "both other": {KeyID: b, Issuer: other, Serial: wrong},
		"id self, issuer alone": {KeyID: a, Issuer: other}, "empty issuer": {KeyID: a, Issuer: certtest.Name{}, Serial: serial},
	}
	key := certtest.RSA(1024, 0)
	twin := &certtest.Cert{Key: certtest.RSA(1024, 1), Spec: certtest.Spec{Subject: self}}
	for name, aki := range akis {
		for _, skid := range [][]byte{a, nil} {
			s := certtest.Spec{Subject: self, Serial: serial, SKID: skid, AKI: aki, Key: key}
			add(fmt.Sprintf("aki %s, skid %x", name, skid), s)
			s.Break = true
			add(fmt.Sprintf("aki %s, skid %x, broken", name, skid), s)
			s.Break, s.Signer = false, twin
			add(fmt.Sprintf("aki %s, skid %x, by another key", name, skid), s)
			s.Signer, s.Issuer = nil, other
			add(fmt.Sprintf("aki %s, skid %x, issued", name, skid), s)
		}
	}
	raw := func(value ...byte) []certtest.Extension {
		return []certtest.Extension{{OID: "2.5.29.35", Value: value}}
	}
	for name, value := range map[string][]byte{
		"empty": {}, "no sequence": {4, 0}, "trailing": {0x30, 2, 0x80, 0, 9}, "junk inside": {0x30, 2, 0x85, 0},
		"order": {0x30, 4, 0x82, 0, 0x80, 0}, "cut": {0x30, 5, 0x80, 4, 1}, "empty names": {0x30, 2, 0xa1, 0},
		"dns name": {0x30, 5, 0xa1, 3, 0x82, 1, 'x'}, "two ids": {0x30, 4, 0x80, 0, 0x80, 0}, "one byte": {0x30},
		"other name": {0x30, 4, 0xa1, 2, 0xa0, 0}, "id constructed": {0x30, 2, 0xa0, 0}, "unknown name": {0x30, 4, 0xa1, 2, 0x89, 0},
	} {
		add("aki raw "+name, certtest.Spec{Subject: self, Key: key, Extensions: raw(value...)})
	}
	add("two akis", certtest.Spec{Subject: self, Key: key, SKID: a, AKI: &certtest.AKI{KeyID: a}, Extensions: raw(0x30, 3, 0x80, 1, 9)})
}

// addExtensions: x509_process_extension.
func addExtensions(add func(string, certtest.Spec)) {
	for oid, values := range map[string][][]byte{
		"2.5.29.14": {{}, {4}, {4, 0}, {4, 1, 9}, {4, 2, 9}, {4, 1, 9, 9}, {5, 1, 9}, {4, 0x81, 1, 9}},
		"2.5.29.15": {{}, {3, 1, 0}, {3, 2, 7, 0x80}, {3, 2, 0, 0}, {3, 2, 8, 0x80}, {3, 3, 7, 0, 0x80}, {4, 2, 7, 0x80}, {3, 9, 7, 0x80}},
		"2.5.29.19": {{}, {0x30}, {0x30, 0}, {0x30, 3, 1, 1, 0xff}, {0x30, 3, 1, 1, 0}, {0x30, 3, 1, 1, 1}, {0x30, 3, 2, 1, 0},
			{0x30, 6, 1, 1, 0xff, 2, 1, 0}, {0x30, 4, 1, 2, 0xff, 0xff}, {0x30, 1, 1}, {0x30, 5}, {0x31, 0}},
		"2.5.29.37": {{}, {0x30, 0}, {9}},
		"1.2.3.4":   {{}, bytes.Repeat([]byte{0xff}, 300)},
	} {
		for _, v := range values {
			add(fmt.Sprintf("extension %s %.8x", oid, v), certtest.Spec{Extensions: []certtest.Extension{{OID: oid, Critical: true, Value: v}}})
		}
	}
	add("two skids", certtest.Spec{SKID: []byte{1}, Extensions: []certtest.Extension{{OID: "2.5.29.14", Value: []byte{4, 1, 2}}}})
	add("empty subject", certtest.Spec{Subject: certtest.Name{}, Issuer: certtest.Name{certtest.CN("x")}})
	add("empty issuer", certtest.Spec{Issuer: certtest.Name{}})
}

// addAlgorithms: x509_note_sig_algo, x509_extract_key_data and the drivers.
func addAlgorithms(t testing.TB, add func(string, certtest.Spec)) {
	other := certtest.Name{certtest.CN("Other")}
	for _, bits := range []int{512, 513, 768, 1023, 1024, 1025, 1536, 1600, 1985, 2000, 2040, 2041, 2047, 2048, 2560, 3072, 4096, 4160, 8192} {
		hash := "sha256"
		add(fmt.Sprint("rsa ", bits), certtest.Spec{Key: certtest.RSA(bits, 0), Hash: hash})
		add(fmt.Sprint("rsa ", bits, " issued"), certtest.Spec{Key: certtest.RSA(bits, 0), Hash: hash, Issuer: other})
	}
	for _, hash := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"} {
		for name, key := range map[string]certtest.Spec{
			"rsa":  {Key: certtest.RSA(1024, 0)},
			"p256": {Key: certtest.ECDSA(t, elliptic.P256())}, "p384": {Key: certtest.ECDSA(t, elliptic.P384())},
			"p521": {Key: certtest.ECDSA(t, elliptic.P521())}, "p224": {Key: certtest.ECDSA(t, elliptic.P224())},
		} {
			s := key
			s.Hash = hash
			add(name+" "+hash, s)
			s.Break = true
			add(name+" "+hash+" broken", s)
			s.Issuer = other
			add(name+" "+hash+" issued", s)
		}
	}
	ca := certtest.Make(t, certtest.Spec{Subject: other})
	ecca := certtest.Make(t, certtest.Spec{Subject: other, Key: certtest.ECDSA(t, elliptic.P256())})
	add("ed25519", certtest.Spec{Key: certtest.Ed25519(1)})
	add("ed25519 by rsa", certtest.Spec{Key: certtest.Ed25519(1), Signer: ca})
	add("p256 by rsa", certtest.Spec{Key: certtest.ECDSA(t, elliptic.P256()), Signer: ca})
	add("rsa by p256", certtest.Spec{Signer: ecca})
	add("rsa by p256, names equal", certtest.Spec{Signer: ecca, Subject: other})
	addRawAlgorithms(add)
}

// addRawAlgorithms are signature algorithms and keys that certtest cannot make.
func addRawAlgorithms(add func(string, certtest.Spec)) {
	seq := func(hexOID string, params ...byte) []byte {
		oid, _ := hex.DecodeString(hexOID)
		return append(append([]byte{0x30, byte(2 + len(oid) + len(params)), 6, byte(len(oid))}, oid...), params...)
	}
	other := certtest.Name{certtest.CN("Other")}
	sha256 := seq("2a864886f70d01010b", 5, 0)
	for name, a := range map[string][]byte{
		"md2": seq("2a864886f70d010102", 5, 0), "md5": seq("2a864886f70d010104", 5, 0), "pss": seq("2a864886f70d01010a", 0x30, 0),
		"no such": seq("2a0304"), "empty oid": {0x30, 2, 6, 0}, "sha256 without null": seq("2a864886f70d01010b"),
		"gost": seq("2a85030701010302"), "dsa": seq("2a8648ce380403"), "sha3-224": seq("60864801650304030d"), "sha256 odd parameters": seq("2a864886f70d01010b", 4, 1, 7),
	} {
		add("algorithm "+name, certtest.Spec{Algorithm: a})
		add("algorithm "+name+" issued", certtest.Spec{Algorithm: a, Issuer: other})
		add("outer algorithm "+name, certtest.Spec{OuterAlgorithm: a})
	}
	spki := func(algorithm []byte, bits ...byte) []byte {
		content := append(append(bytes.Clone(algorithm), 3, byte(len(bits))), bits...)
		return append([]byte{0x30, byte(len(content))}, content...)
	}
	point := append([]byte{0, 4}, make([]byte, 64)...)
	ec := "2a8648ce3d0201"
	for name, k := range map[string][]byte{
		"ec without curve": spki(seq(ec), point...), "ec null": spki(seq(ec, 5, 0), point...),
		"p192": spki(seq(ec, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1), point[:50]...), "secp256k1": spki(seq(ec, 6, 5, 0x2b, 0x81, 4, 0, 10), point...),
		"p256 bad point": spki(seq(ec, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7), point...), "p256 no bits": spki(seq(ec, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7)),
		"rsa garbage": spki(seq("2a864886f70d010101", 5, 0), 0, 1, 2, 3), "rsa unused bits": spki(seq("2a864886f70d010101", 5, 0), 1, 2),
		"rsa empty numbers": spki(seq("2a864886f70d010101", 5, 0), 0, 0x30, 4, 2, 0, 2, 0), "rsa zero": spki(seq("2a864886f70d010101", 5, 0), 0, 0x30, 6, 2, 1, 0, 2, 1, 3),
		"unknown": spki(seq("2a0304"), 0, 1), "pss": spki(seq("2a864886f70d01010a"), 0, 1), "gost": spki(seq("2a85030701010101", 5, 0), 0, 4, 0),
		"mldsa65": spki(seq("608648016503040312"), 0, 1), "dsa": spki(seq("2a8648ce380401"), 0, 2, 1, 1),
	} {
		add("key "+name, certtest.Spec{PublicKey: k, Algorithm: sha256})
		add("key "+name+" issued", certtest.Spec{PublicKey: k, Algorithm: sha256, Issuer: other})
		add("key "+name+" as ecdsa", certtest.Spec{PublicKey: k, Algorithm: seq("2a8648ce3d040302")})
	}
	add("signature empty", certtest.Spec{Signature: []byte{}})
	add("signature short", certtest.Spec{Signature: []byte{1, 2}})
	add("signature empty, issued", certtest.Spec{Signature: []byte{}, Issuer: other})
}
