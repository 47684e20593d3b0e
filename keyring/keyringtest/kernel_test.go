package keyringtest_test

import (
	"cmp"
	"errors"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/keyring/keyringtest"
)

// issue makes a self-signed certificate of one name.
func issue(t testing.TB, serial byte, keyID string, key int) *certs.Certificate {
	t.Helper()
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("model")}, Serial: []byte{serial}, Key: certtest.RSA(1024, key)}
	if keyID != "" {
		spec.SKID = []byte(keyID)
	}
	c, err := certs.ParseDER(certtest.Make(t, spec).DER)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is accepted depends on the key that the kernel finds first by the name in the signature, in .platform only when nowhere else is one.
func TestAccepts(t *testing.T) {
	type put struct {
		ring    string
		what    *certs.Certificate
		options []keyringtest.Option
	}
	const machine, platform = keyring.Machine, keyring.Platform
	mine, renewed, anew, bare := issue(t, 1, "id", 0), issue(t, 2, "id", 0), issue(t, 1, "new", 1), issue(t, 1, "", 0)
	namesake := issue(t, 3, "id", 2)
	hidden, described := []keyringtest.Option{keyringtest.Hidden()}, []keyringtest.Option{keyringtest.Described("another")}
	for name, c := range map[string]struct {
		put []put
		// want has y where the certificate's module is accepted: by issuer and serial number, by key id, and the same with .platform.
		want string
	}{
		"nowhere":             {nil, "nn nn"},
		"built in":            {[]put{{keyring.Builtin, mine, nil}}, "yy yy"},
		"renewed":             {[]put{{machine, renewed, nil}}, "ny ny"},
		"without key id":      {[]put{{keyring.Secondary, bare, nil}}, "yn yn"},
		"in .platform":        {[]put{{platform, mine, nil}}, "nn yy"},
		"in .blacklist":       {[]put{{keyring.Blacklist, mine, nil}}, "nn nn"},
		"hidden":              {[]put{{machine, mine, hidden}}, "nn nn"},
		"behind another":      {[]put{{machine, anew, nil}, {platform, mine, nil}}, "nn ny"},
		"after another":       {[]put{{machine, anew, nil}, {machine, mine, nil}}, "ny ny"},
		"before another":      {[]put{{machine, mine, nil}, {machine, anew, nil}}, "yy yy"},
		"own entries first":   {[]put{{keyring.Builtin, mine, nil}, {keyring.Secondary, anew, nil}}, "ny ny"},
		"replaced":            {[]put{{machine, mine, nil}, {machine, namesake, nil}}, "nn nn"},
		"another description": {[]put{{machine, mine, nil}, {machine, namesake, described}}, "yy yy"},
	} {
		k := keyringtest.New()
		for _, p := range c.put {
			k.Put(p.ring, p.what.Raw, p.options...)
		}
		if got := accepted(k, mine); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if k.Accepts(mine, certs.ByAllIDs, true) || k.Accepts(bare, certs.ByKeyID, true) {
			t.Errorf("%s: accepted by an id that no signature has", name)
		}
	}
	k := keyringtest.New()
	k.Put(machine, mine.Raw)
	k.Unlink(machine, keyring.Secondary)
	if got := accepted(k, mine); got != "nn nn" {
		t.Errorf("link cut: %s", got)
	}
}

func accepted(k *keyringtest.Kernel, c *certs.Certificate) string {
	answer := func(by certs.Lookup, platform bool) string {
		return map[bool]string{true: "y", false: "n"}[k.Accepts(c, by, platform)]
	}
	return answer(certs.ByIssuerAndSerial, false) + answer(certs.ByKeyID, false) + " " +
		answer(certs.ByIssuerAndSerial, true) + answer(certs.ByKeyID, true)
}

// Another order of the entries gives another truth, and another listing.
func TestOrder(t *testing.T) {
	mine, anew := issue(t, 1, "id", 0), issue(t, 1, "new", 1)
	k := keyringtest.New()
	first, second := k.Put(keyring.Machine, mine.Raw), k.Put(keyring.Machine, anew.Raw)
	for _, newest := range []bool{false, true} {
		k.Order = func(a, b keyring.Serial) int {
			if newest {
				a, b = b, a
			}
			return cmp.Compare(a, b)
		}
		if got := k.Accepts(mine, certs.ByIssuerAndSerial, false); got == newest {
			t.Errorf("newest first %t: accepted %t", newest, got)
		}
		rings, err := k.Rings()
		if err != nil || len(rings) != 5 {
			t.Fatalf("%d keyrings, %v", len(rings), err)
		}
		want := map[bool]keyring.Serial{false: first, true: second}[newest]
		if got := keyring.Named(rings, keyring.Machine).Keys; len(got) != 2 || got[0].Serial != want {
			t.Errorf("newest first %t: listed %v", newest, got)
		}
	}
}

// A certificate that the kernel refuses is no key; what names no key is no answer; the names of Debian's keyrings can be asked.
func TestAsk(t *testing.T) {
	mine := issue(t, 1, "id", 0)
	k := keyringtest.New()
	broken := certtest.Make(t, certtest.Spec{Break: true})
	if k.Put(keyring.Builtin, broken.DER) != 0 || k.Put(keyring.Builtin, []byte("text")) != 0 {
		t.Error("what the kernel refuses was put")
	}
	k.Put(keyring.Machine, mine.Raw)
	q, err := k.Ask(mine.Raw, keyring.ByBuiltin, keyring.BySecondary, keyring.ByRing(1))
	if err != nil || q.Refused != nil || q.Description != mine.KernelName() {
		t.Fatalf("%+v, %v", q, err)
	}
	for i, want := range []error{keyring.ErrNoVoucher, nil, keyring.ErrUnavailable} {
		if !errors.Is(q.Answers[i].Err, want) {
			t.Errorf("%s: %v, want %v", q.Answers[i].Restriction, q.Answers[i].Err, want)
		}
	}
}
