package trust

import (
	"crypto/elliptic"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/keyring/keyringtest"
)

// That a key verifies the certificate proves nothing where another key that does so was found under its names: it may be that one.
func TestDoubled(t *testing.T) {
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Key: certtest.ECDSA(t, elliptic.P256())}
	made := certtest.Make(t, spec)
	c := parse(t, made)
	ca := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, Key: certtest.RSA(2048, 5)})
	spec.Signer, spec.Key = ca, certtest.Double(t, made)
	double := parse(t, certtest.Make(t, spec))
	if verifies, err := c.SignedBy(double); err != nil || !verifies || c.SameKey(double) {
		t.Fatalf("not another key that verifies the certificate: %t, %v", verifies, err)
	}
	rings := populate(debian(), c, at(nil, machine))
	finds := answers(c, rings, at(mismatch, machine))
	base := Facts{Certificate: c, Rings: rings, Kernel: healthy(), Hash: registered, Algorithms: kernel.Algorithms{"ecdsa-nist-p256": true}, Inquiry: answers(c, rings, at(nil, machine)),
		Witnesses: map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: finds, certs.ByKeyID: finds, certs.ByAllIDs: finds}}
	ring := vouched{keyring.BySecondary: nil}
	named := answers(c, nil, vouched{keyring.BySecondary: mismatch})
	user := base
	user.Rings, user.RingsErr, user.Inquiry = nil, keyring.ErrNotVisible, answers(c, nil, ring)
	user.Witnesses = map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: named, certs.ByKeyID: named, certs.ByAllIDs: named}
	for name, f := range map[string]Facts{"root": base, "ordinary user": user} {
		if v := Judge(f); v.Value != Trusted {
			t.Errorf("%s: %s\n%s", name, v.Value, show(v))
		}
		f.Namesakes = NamesakesOf(c, []Stored{{c, "mok"}, {double, "mok"}})
		if len(f.Namesakes) != 1 {
			t.Fatalf("%d namesakes", len(f.Namesakes))
		}
		if v := Judge(f); v.Value != Unknown || !strings.Contains(find(v, GatePresent).Evidence, "cannot tell the two apart") {
			t.Errorf("%s, and its double: %s\n%s", name, v.Value, show(v))
		}
	}
}

// A key that verifies what another certificate's key signed itself need not be that one: it can have been made for it.
func TestDoubledNamesake(t *testing.T) {
	me := certtest.Name{certtest.CN("me")}
	other := certtest.Make(t, certtest.Spec{Subject: me, SKID: []byte("n"), Key: certtest.ECDSA(t, elliptic.P256())})
	double := certtest.Double(t, other)
	c := parse(t, certtest.Make(t, certtest.Spec{Subject: me, SKID: []byte("c"), Key: double}))
	ca := certtest.Make(t, certtest.Spec{Subject: me, Key: certtest.RSA(2048, 5)})
	k := keyringtest.New()
	k.Put(keyring.Machine, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("other")}, Issuer: me, SKID: []byte("n"), Key: double, Signer: ca}).DER)
	a := arrangement{Kernel: k, stored: []Stored{{parse(t, other), "file:/x"}}}
	f := a.facts(t, c, true)
	f.Signed, f.Algorithms = true, kernel.Algorithms{"ecdsa-nist-p256": true}
	if v := Judge(f); v.Value != Unknown || !a.Accepts(c, certs.ByIssuerAndSerial, false) {
		t.Errorf("%s\n%s", v.Value, show(v))
	}
}

// One key can be found by the name of another kind than its own: its key id is the other's issuer and serial number.
func TestCrossed(t *testing.T) {
	me := certtest.Name{certtest.CN("me")}
	made := certtest.Make(t, certtest.Spec{Subject: me, Serial: []byte{1}, Key: certtest.ECDSA(t, elliptic.P256())})
	mine := parse(t, made)
	ca := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("ca")}, Key: certtest.RSA(2048, 5)})
	other := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("other")}, Serial: []byte{7}, SKID: mine.ID0(), Key: certtest.RSA(2048, 1)}))
	double := parse(t, certtest.Make(t, certtest.Spec{Subject: me, Serial: []byte{9}, SKID: mine.ID0(), Key: certtest.Double(t, made), Signer: ca}))
	for name, c := range map[string]struct {
		put      []*certs.Certificate
		accepted bool
	}{
		"behind another": {[]*certs.Certificate{other, mine}, false}, "before another": {[]*certs.Certificate{mine, other}, true},
		"its double alone": {[]*certs.Certificate{double}, false},
	} {
		k := keyringtest.New()
		a := arrangement{Kernel: k, stored: []Stored{{mine, "file:/x"}}}
		if name == "behind another" {
			k.Order = func(x, y keyring.Serial) int { return int(x - y) }
		}
		for _, p := range c.put {
			k.Put(keyring.Machine, p.Raw)
			a.stored = append(a.stored, Stored{p, "mok"})
		}
		if got := a.Accepts(mine, certs.ByIssuerAndSerial, false); got != c.accepted {
			t.Errorf("%s: the kernel accepts it: %t", name, got)
		}
		for _, root := range []bool{true, false} {
			f := a.facts(t, mine, root)
			f.Algorithms = kernel.Algorithms{"ecdsa-nist-p256": true}
			if v := Judge(f); v.Value != Unknown {
				t.Errorf("%s, root %t: %s\n%s", name, root, v.Value, show(v))
			}
		}
	}
}

// A keyring that is not looked into is searched by the kernel all the same, when one that counts links it: what it holds may come first.
func TestUnlisted(t *testing.T) {
	make := func(id string, key int) *certs.Certificate {
		return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, Serial: []byte{1}, SKID: []byte(id), Key: certtest.RSA(2048, key)}))
	}
	mine, anew := make("m", 0), make("n", 1)
	for _, in := range []string{keyring.Secondary, keyring.Machine, keyring.Platform} {
		for _, at := range []string{keyring.Machine, ".other"} {
			for _, sign := range []int{1, -1} {
				k := keyringtest.New()
				k.Order = func(x, y keyring.Serial) int { return sign * int(x-y) }
				k.Ring(".other")
				k.Link(".other", in)
				k.Put(at, mine.Raw)
				if at != ".other" {
					k.Put(".other", anew.Raw)
				}
				a := arrangement{Kernel: k}
				want := Unknown
				if in == keyring.Platform && at == keyring.Machine {
					want = Trusted // .platform is asked when nothing was found
				}
				f := a.facts(t, mine, true)
				f.Platform.Answer = evidence.Yes
				v := Judge(f)
				if accepted := a.Accepts(mine, certs.ByIssuerAndSerial, true); v.Value != want || want == Trusted && !accepted {
					t.Errorf("linked by %s, the key in %s, order %d: %s, accepted %t\n%s", in, at, sign, v.Value, accepted, show(v))
				}
			}
		}
	}
}

// Namesakes have another key, and one of the names by which the kernel finds keys.
func TestNamesakes(t *testing.T) {
	make := func(cn string, serial byte, id []byte, key int) *certs.Certificate {
		return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, Serial: []byte{serial}, SKID: id, Key: certtest.RSA(2048, key)}))
	}
	c := make("me", 1, []byte{1}, 0)
	for _, s := range []struct {
		what  string
		other *certs.Certificate
		want  bool
	}{
		{"itself", c, false}, {"renewed", make("me", 2, []byte{1}, 0), false}, {"made anew", make("me", 1, []byte{2}, 7), true},
		{"another with its key id", make("you", 9, []byte{1}, 7), true}, {"a stranger", make("you", 1, []byte{2}, 7), false},
		{"its issuer and serial number as key id", make("you", 9, c.ID0(), 7), true},
	} {
		if got := len(NamesakesOf(c, []Stored{{s.other, "db"}})) == 1; got != s.want {
			t.Errorf("%s: %t", s.what, got)
		}
	}
	you := make("you", 9, nil, 7)
	if mine := make("me", 1, you.ID0(), 0); len(NamesakesOf(mine, []Stored{{you, "db"}})) != 1 {
		t.Error("one whose issuer and serial number is its key id is no namesake")
	}
	if bare := make("me", 1, nil, 0); len(NamesakesOf(bare, []Stored{{make("you", 2, nil, 7), "db"}})) != 0 {
		t.Error("two without key id are namesakes")
	}
}
