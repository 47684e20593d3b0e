//go:build lab

package main

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/modsig"
)

// These are the machines of TestLabDeceptions. A keyring keeps up to sixteen keys in one node, and of those that fit the kernel takes the one that
// was added last; with more keys the order is a hash's, other in every boot. So no machine enrols more than fourteen.

// mine is the key of the certificates asked about, theirs the one that is put in its way.
var mine, theirs = certtest.RSA(2048, 81), certtest.RSA(2048, 82)

// change alters a certificate before it is made.
type change func(*certtest.Spec)

// without leaves the authority key identifier out: the kernel then looks for the issuer by name.
func without(s *certtest.Spec) { s.AKI = nil }

// called gives the subject another name than the issuer's, so that the listing of keyrings shows that one.
func called(cn string) change {
	return func(s *certtest.Spec) { s.Issuer, s.Subject = s.Subject, certtest.Name{certtest.CN("lab: " + cn)} }
}

// points makes the authority key identifier point there; empty and 0: not by that.
func points(id, cn string, serial byte) change {
	return func(s *certtest.Spec) {
		s.AKI = &certtest.AKI{}
		if id != "" {
			s.AKI.KeyID = []byte(id)
		}
		if serial != 0 {
			s.AKI.Issuer, s.AKI.Serial = certtest.Name{certtest.CN("lab: " + cn)}, []byte{serial}
		}
	}
}

// issuedBy is a certificate that ca signed, whatever issuer it names.
func issuedBy(ca *certtest.Cert) change {
	return func(s *certtest.Spec) {
		if s.Issuer == nil {
			s.Issuer = s.Subject
		}
		s.Signer, s.AKI = ca, &certtest.AKI{KeyID: ca.Spec.SKID}
	}
}

// certificate makes one with this issuer, who is its subject too, serial number and, if not empty, key id.
func certificate(t *testing.T, cn string, serial byte, id string, s certtest.Spec, changes ...change) *certtest.Cert {
	t.Helper()
	s.Subject, s.Serial = certtest.Name{certtest.CN("lab: " + cn)}, []byte{serial}
	if id != "" {
		s.SKID, s.AKI = []byte(id), &certtest.AKI{KeyID: []byte(id)}
	}
	for _, c := range changes {
		c(&s)
	}
	return certtest.Make(t, s)
}

func authority(t *testing.T) *certtest.Cert {
	t.Helper()
	return certificate(t, "authority", 1, "id of authority", certtest.Spec{Key: certtest.RSA(2048, 83)})
}

// twoKeys: the kernel verifies the certificate with one key when it is asked for its issuer, and finds another under its issuer and serial number.
func twoKeys(t *testing.T) arrangement {
	my, their := certtest.Spec{Key: mine}, certtest.Spec{Key: theirs}
	a := arrangement{name: "two keys", stages: []stage{{name: "enrolled", keys: true}, unfound}}
	var all []trick
	for _, g := range []struct {
		name            string
		named, verifier *certtest.Cert
		asked           *certtest.Cert
	}{
		{"keyid", certificate(t, "keyid", 2, "id keyid", their), certificate(t, "keyid2", 1, "id keyid", my), certificate(t, "keyid", 2, "id keyid", my)},
		{"dn", certificate(t, "dn", 2, "", their), certificate(t, "dn", 1, "", my), certificate(t, "dn", 2, "", my)},
		{"dn-skid", certificate(t, "dn-skid", 2, "id dn", their), certificate(t, "dn-skid", 1, "id dn2", my), certificate(t, "dn-skid", 2, "id dn", my, without)},
		{"both", certificate(t, "both", 2, "id both", their), certificate(t, "both2", 1, "id both", my), certificate(t, "both", 2, "id both", my, points("id both", "both2", 1))},
		{"serial", certificate(t, "serial", 2, "", their), certificate(t, "serial2", 1, "", my), certificate(t, "serial", 2, "", my, points("", "serial2", 1))},
		{"away", certificate(t, "away", 2, "id away", their), certificate(t, "away2", 1, "id away2", my), certificate(t, "away", 2, "id away", my, points("id away2", "", 0))},
	} {
		a.mok = append(a.mok, g.named, g.verifier)
		all = append(all, trick{name: g.name, made: g.asked}, trick{name: g.name + "-named", made: g.named}, trick{name: g.name + "-verifier", made: g.verifier})
		if g.name == "keyid" {
			all = append(all, trick{name: g.name + "-k", made: g.asked, keyID: true}, trick{name: g.name + "-named-k", made: g.named, keyID: true})
		}
	}
	own := certificate(t, "shadowed", 2, "id shadowed", my, without)
	shadow := certificate(t, "shadowed", 2, "id shadowed", their, called("shadow"))
	a.mok = append(a.mok, own, shadow)
	all = append(all, trick{name: "shadowed", made: own}, trick{name: "shadow", made: shadow}, trick{name: "shadowed-k", made: own, keyID: true})
	a.tricks = func(*testing.T, lab.Kernel) []trick { return all }
	return a
}

// twoNames: under the certificate's issuer and serial number the kernel finds its key as another certificate's, and another key under its key id.
func twoNames(t *testing.T) arrangement {
	my, their := certtest.Spec{Key: mine}, certtest.Spec{Key: theirs}
	a := arrangement{name: "two names", stages: []stage{{name: "enrolled", keys: true}, unfound}}
	var all []trick
	for _, g := range []struct {
		name         string
		byID, byName *certtest.Cert
		idDB, nameDB bool
	}{
		{"seen", certificate(t, "seen1", 1, "id seen", their), certificate(t, "seen", 2, "id seen2", my), false, false},
		{"hidden", certificate(t, "hidden1", 1, "id hidden", their), certificate(t, "hidden", 2, "id hidden2", my, called("hidden2")), false, false},
		{"id-in-db", certificate(t, "id-in-db1", 1, "id id-in-db", their), certificate(t, "id-in-db", 2, "id2", my, called("id-in-db2")), true, false},
		{"name-in-db", certificate(t, "name-in-db1", 1, "id name-in-db", their), certificate(t, "name-in-db", 2, "id3", my, called("name-in-db2")), false, true},
		{"both-in-db", certificate(t, "both-in-db1", 1, "id both-in-db", their), certificate(t, "both-in-db", 2, "id4", my, called("both-in-db2")), true, true},
	} {
		for _, c := range []struct {
			made *certtest.Cert
			db   bool
		}{{g.byID, g.idDB}, {g.byName, g.nameDB}} {
			if c.db {
				a.db = append(a.db, c.made)
			} else {
				a.mok = append(a.mok, c.made)
			}
		}
		asked := certificate(t, g.name, 2, "id "+g.name, my)
		all = append(all, trick{name: g.name, made: asked}, trick{name: g.name + "-k", made: asked, keyID: true},
			trick{name: g.name + "-by-id", made: g.byID}, trick{name: g.name + "-by-name", made: g.byName})
	}

	// The kernel's id is the serial number with the issuer behind it, and does not tell where the one ends.
	glue := func(cn string) (one, two certtest.Names, serial []byte) {
		front, back := certtest.Name{certtest.CN("lab: glue")}, certtest.Name{certtest.CN("lab: " + cn)}
		return certtest.Raw(append(bytes.Clone(front.Content()), back.Content()...)), back, append([]byte{1}, front.Content()...)
	}
	glued := func(cn, id string, s certtest.Spec, long bool, changes ...change) *certtest.Cert {
		one, two, serial := glue(cn)
		return certificate(t, cn, 1, id, s, append(changes, func(s *certtest.Spec) {
			if s.Issuer = one; long {
				s.Issuer, s.Serial = two, serial
			}
		})...)
	}
	present, shadowed := glued("glued", "id glued2", my, false, called("glued2")), glued("glued3", "id glued3", my, true, without)
	shadow := glued("glued3", "id glued3", their, false, called("glued4"))
	a.mok = append(a.mok, present, shadowed, shadow)
	all = append(all, trick{name: "glued", made: glued("glued", "id glued", my, true)}, trick{name: "glued-bare", made: glued("glued", "", my, true)},
		trick{name: "glued-other-key", made: glued("glued", "id glued", their, true)}, trick{name: "glued-shadowed", made: shadowed}, trick{name: "glued-shadow", made: shadow})
	a.tricks = func(*testing.T, lab.Kernel) []trick { return all }
	return a
}

// strangeKeys: keys that are written otherwise, or that verify what another has signed; certificates that the kernel refuses.
func strangeKeys(t *testing.T) arrangement {
	my, their := certtest.Spec{Key: mine}, certtest.Spec{Key: theirs}
	ca := authority(t)
	long := certificate(t, "otherwise", 2, "id otherwise2", certtest.Spec{Key: mine, PublicKey: longExponent(mine)})
	padded := certificate(t, "padded", 2, "id padded2", certtest.Spec{Key: mine, PublicKey: paddedModulus(mine)})
	curve := certificate(t, "two points", 2, "id two points", certtest.Spec{Key: certtest.ECDSA(t, elliptic.P256())})
	point := certificate(t, "two points", 2, "id two points", certtest.Spec{Key: certtest.Double(t, curve)}, issuedBy(ca))
	first, last := certificate(t, "replaced", 1, "id replaced", my), certificate(t, "replaced", 2, "id replaced", their)
	twin := certificate(t, "twin", 2, "id twin", my)
	refused := func(change change) *certtest.Cert { return certificate(t, "twin", 2, "id twin", my, change) }
	otherwise, unpadded := certificate(t, "otherwise", 2, "id otherwise", my), certificate(t, "padded", 2, "id padded", my)
	all := []trick{
		{name: "otherwise", made: otherwise}, {name: "otherwise-enrolled", made: long, names: otherwise},
		{name: "padded", made: unpadded}, {name: "padded-enrolled", made: padded, names: unpadded},
		{name: "two-points", made: curve}, {name: "two-points-enrolled", made: point},
		{name: "replaced", made: first}, {name: "replacing", made: last},
		{name: "twin", made: twin}, {name: "sha512", made: twin, hash: "sha512"}, {name: "authority", made: ca},
		{name: "broken", names: twin, made: refused(func(s *certtest.Spec) { s.Break = true })},
		{name: "sha3-256", names: twin, made: refused(func(s *certtest.Spec) { s.Hash = "sha3-256" })},
		{name: "odd-date", names: twin, made: refused(func(s *certtest.Spec) { s.NotBefore = certtest.Generalized("20240101000000Z") })},
		{name: "long-id", names: twin, made: refused(func(s *certtest.Spec) { s.SKID = []byte(strings.Repeat("x", 130)) })},
	}
	return arrangement{
		name: "strange keys", mok: []*certtest.Cert{long, padded, ca, point, first, last, twin}, stages: []stage{{name: "enrolled", keys: true}, unfound},
		tricks: func(*testing.T, lab.Kernel) []trick { return all },
	}
}

// sha3 is the module with which a kernel before 6.7 has SHA-3, and yet does not read it in signatures.
const (
	sha3      = "sha3_generic.ko"
	loadsSHA3 = "! test -f /srv/" + sha3 + " || insmod /srv/" + sha3
)

// strangeSignatures: a hash that is registered and not read in signatures, numbers that are not DER, and keys under a key id that is another's issuer
// and serial number.
func strangeSignatures(t *testing.T) arrangement {
	my, their := certtest.Spec{Key: mine}, certtest.Spec{Key: theirs}
	crossed := func(c *certtest.Cert) string {
		parsed, err := certs.ParseDER(c.DER)
		if err != nil {
			t.Fatal(err)
		}
		return string(parsed.ID0())
	}
	plain, behind, before := certificate(t, "plain", 2, "id plain", my), certificate(t, "behind", 2, "", my), certificate(t, "before", 2, "", my)
	behind2, before2 := certificate(t, "behind2", 7, crossed(behind), their), certificate(t, "before2", 7, crossed(before), their)
	curve, point := certificate(t, "curve", 2, "id curve", certtest.Spec{Key: certtest.ECDSA(t, elliptic.P256())}), certificate(t, "point", 2, "", certtest.Spec{Key: certtest.ECDSA(t, elliptic.P256())})
	double := certificate(t, "point", 9, crossed(point), certtest.Spec{Key: certtest.Double(t, point)}, issuedBy(authority(t)))
	return arrangement{
		name: "strange signatures", mok: []*certtest.Cert{plain, behind, behind2, before2, before, curve, double}, stages: []stage{{name: "SHA-3 loaded", change: loadsSHA3}},
		tricks: func(t *testing.T, kernel lab.Kernel) []trick {
			return []trick{
				{name: "plain", made: plain}, {name: "sha3-256", made: plain, hash: "sha3-256"}, {name: "behind", made: behind}, {name: "before", made: before},
				{name: "point", made: point}, {name: "double", made: double}, {name: "curve", made: curve}, {name: "no-der", made: curve, module: noDER(t, kernel, curve)},
			}
		},
	}
}

// noDER is a module with an ECDSA signature whose numbers lack the zero that tells a positive one.
func noDER(t *testing.T, kernel lab.Kernel, c *certtest.Cert) []byte {
	t.Helper()
	for {
		payload, text, err := modsig.Split(lab.SignFile(t, "sha256", c.KeyPEM(t), c.DER, lab.Strip(t, lab.Module(t, kernel, "dummy"))))
		if err != nil {
			t.Fatal(err)
		}
		m, err := modsig.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		var pair struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(m.Signers[0].Signature, &pair); err != nil {
			t.Fatal(err)
		}
		if pair.R.BitLen() < 256 {
			continue // it needs none
		}
		numbers := append([]byte{0x30, 68, 2, 32}, pair.R.FillBytes(make([]byte, 32))...)
		m.Signers[0].Signature = append(append(numbers, 2, 32), pair.S.FillBytes(make([]byte, 32))...)
		if text, err = m.Encode(); err != nil {
			t.Fatal(err)
		}
		module, err := modsig.Append(payload, text)
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
}

// What root does at run time.
const (
	addsLater   = `keyctl padd asymmetric "" %:.secondary_trusted_keys < /srv/later-shadow.der > /tmp/later`
	liesLater   = dropsLater + ` && keyctl padd asymmetric "lab: liar: 00" %:.secondary_trusted_keys < /srv/later-shadow.der > /tmp/later`
	dropsLater  = `keyctl unlink $(cat /tmp/later) %:.secondary_trusted_keys`
	addsOthers  = `for of in later later-dn db builtin; do keyctl padd asymmetric "" %:.secondary_trusted_keys < /srv/$of-shadow.der || exit 1; done`
	cutsMachine = `keyctl unlink %:.machine %:.secondary_trusted_keys`
	// Permissions are those of the possessor, as which the kernel itself looks, of root, of its group, of the others.
	forOthers    = "setperm $key 0x0000003f"
	forPossessor = "setperm $key 0x08000000"
)

// adds is what root does to have a key in .secondary_trusted_keys and something done with it, which only who possesses the key may do.
func adds(name, then string) string {
	return `key=$(keyctl padd asymmetric "" @u < /srv/` + name + `.der) && keyctl link $key %:.secondary_trusted_keys && keyctl ` + then + ` && keyctl unlink $key @u`
}

// addedByRoot: root adds keys to .secondary_trusted_keys, which an enrolled authority has signed, under names of others.
func addedByRoot(t *testing.T) arrangement {
	my, their := certtest.Spec{Key: mine}, certtest.Spec{Key: theirs}
	ca, db := authority(t), ownKeys(t).db
	later, laterDN := certificate(t, "later", 2, "id later", my), certificate(t, "later dn", 2, "id later dn", my, without)
	settled := certificate(t, "settled", 2, "id settled", my)
	shadow, shadowDN := certificate(t, "later", 2, "id later", their, issuedBy(ca)), certificate(t, "later dn", 2, "id later dn", their, called("shadow dn"), issuedBy(ca))
	takes := func(s certtest.Spec) *certtest.Cert {
		s.Key, s.PublicKey, s.Extensions = theirs, nil, nil
		issuedBy(ca)(&s)
		return certtest.Make(t, s)
	}
	shadowDB := takes(db.Spec)
	all := []trick{
		{name: "later", made: later}, {name: "later-k", made: later, keyID: true}, {name: "later-shadow", made: shadow},
		{name: "later-dn", made: laterDN}, {name: "later-dn-shadow", made: shadowDN},
		{name: "db", made: db}, {name: "db-shadow", made: shadowDB}, {name: "settled", made: settled}, {name: "authority", made: ca},
	}
	return arrangement{
		name: "added by root", mok: []*certtest.Cert{ca, later, laterDN, settled},
		tricks: func(t *testing.T, kernel lab.Kernel) []trick {
			der := builtin(t, kernel)
			c, err := certs.ParseDER(der)
			if err != nil {
				t.Fatal(err)
			}
			shadow := takes(certtest.Spec{Subject: certtest.Raw(c.Subject), Issuer: certtest.Raw(c.Issuer), Serial: c.Serial, SKID: c.SubjectKeyID})
			return append([]trick{
				{name: "builtin", made: &certtest.Cert{DER: der}, module: lab.Module(t, kernel, "dummy")}, {name: "builtin-shadow", made: shadow},
			}, all...)
		},
		stages: []stage{
			{name: "enrolled", keys: true}, {name: "shadowed", change: addsLater}, {name: "shadow called otherwise", change: liesLater},
			{name: "shadow for others", change: dropsLater + " && " + adds("later-shadow", forOthers), above: true},
			{name: "shadow for the possessor", change: adds("later-shadow", forPossessor), above: true},
			{name: "shadow revoked", change: adds("later-shadow", "revoke $key")},
			{name: "more shadows", change: addsOthers, keys: true, above: true},
			{name: "moved", change: adds("settled", "describe $key") + " && " + cutsMachine},
			{name: "moved, for the possessor", change: adds("settled", forPossessor), above: true},
			{name: "moved, for others", change: adds("settled", forOthers), above: true},
		},
	}
}

// cutByRoot: root cuts .machine off, and then all, behind which the kernel finds what .platform has of the same names.
func cutByRoot(t *testing.T) arrangement {
	my, their := certtest.Spec{Key: mine}, certtest.Spec{Key: theirs}
	a := arrangement{name: "cut by root", stages: []stage{
		{name: "enrolled", keys: true}, {name: "cut", change: cutsMachine, keys: true}, {name: "cleared", change: "keyctl clear %:.secondary_trusted_keys"},
	}}
	var all []trick
	for _, g := range []struct {
		name    string
		mok, db *certtest.Cert
	}{
		{"same", certificate(t, "same", 2, "id same", my), certificate(t, "same", 2, "id same", my, called("same2"))},
		{"same-name", certificate(t, "same-name", 2, "id same-name", my), certificate(t, "same-name", 2, "id same-name2", my)},
		{"same-id", certificate(t, "same-id", 2, "id same-id", my), certificate(t, "same-id2", 1, "id same-id", my)},
		{"other-key", certificate(t, "other-key", 2, "id other-key", my), certificate(t, "other-key", 2, "id other-key", their)},
		{"other-key-bare", certificate(t, "other-key-bare", 2, "", my), certificate(t, "other-key-bare", 2, "", their)},
		{"other-key-behind", certificate(t, "behind", 2, "id behind", my, without), certificate(t, "behind", 2, "id behind", their, called("behind2"))},
	} {
		a.mok, a.db = append(a.mok, g.mok), append(a.db, g.db)
		all = append(all, trick{name: g.name, made: g.mok}, trick{name: g.name + "-db", made: g.db})
		if g.mok.Spec.SKID != nil {
			all = append(all, trick{name: g.name + "-k", made: g.mok, keyID: true})
		}
	}
	a.tricks = func(t *testing.T, kernel lab.Kernel) []trick {
		return append([]trick{{name: "builtin", made: &certtest.Cert{DER: builtin(t, kernel)}, module: lab.Module(t, kernel, "dummy")}}, all...)
	}
	return a
}
