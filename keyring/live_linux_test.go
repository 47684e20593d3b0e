package keyring

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// kernelOrSkip ends a test that needs the key service where there is none; in the lab there must be one.
func kernelOrSkip(t *testing.T) {
	t.Helper()
	_, err := kernelCalls{}.newRing("kkeys-test")
	if err == nil {
		return
	}
	filtered := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)
	if os.Getenv("KKEYS_GUEST") == "1" || !filtered {
		t.Fatalf("add_key: %v", err)
	}
	t.Skipf("this system lets nobody make keys: add_key: %v", err)
}

// The keyctl library and our own system call must give the same members, around the sizes at which either needs a larger buffer.
func TestMembersAgree(t *testing.T) {
	runtime.LockOSThread()
	kernelOrSkip(t)
	ring, err := kernelCalls{}.newRing("kkeys-members")
	if err != nil {
		t.Fatal(err)
	}
	var want []Serial
	for size := range 70 {
		got, err := readMembers(ring)
		library, libraryErr := members(ring)
		if err != nil || libraryErr != nil {
			t.Fatalf("%d keys: %v, library %v", size, err, libraryErr)
		}
		slices.Sort(want)
		slices.Sort(got)
		slices.Sort(library)
		if !slices.Equal(got, want) || !slices.Equal(library, want) {
			t.Fatalf("%d keys: read %v, library %v, want %v", size, got, library, want)
		}
		key, err := addRing("member-"+strconv.Itoa(size), ring)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
}

// What Live tells of the system keyrings is what the two ways of reading them tell; who may not see them is told so.
func TestLiveRings(t *testing.T) {
	kernelOrSkip(t)
	rings, err := Live{}.Rings()
	if !firstRoot() {
		if !errors.Is(err, ErrNotVisible) {
			t.Fatalf("as an ordinary user: %v, %v, want ErrNotVisible", rings, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if Named(rings, Builtin) == nil {
		t.Errorf("no %s among %d keyrings", Builtin, len(rings))
	}
	for _, ring := range rings {
		serials, err := readMembers(ring.Serial)
		if err != nil {
			t.Errorf("%s: %v", ring.Name(), err)
		}
		if got := len(ring.Keys) + len(ring.Rings) + ring.Unseen + ring.Missing; got != len(serials) {
			t.Errorf("%s: %d links told, %d read", ring.Name(), got, len(serials))
		}
	}
}

// A line of /proc/keys that anybody can forge is not believed, though it names a keyring of the kernel's.
func TestLiveRingsIgnoreForgedLines(t *testing.T) {
	runtime.LockOSThread()
	kernelOrSkip(t)
	const name = ".kkeys_forged_ring"
	forged := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("x\n3fffffff I------     1 perm 1f0b0000     0     0 keyring   " + name + ": 1\n")}})
	ring, err := kernelCalls{}.newRing("kkeys-forged")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (kernelCalls{}).add(forged.DER, ring); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	candidates, err := ParseProcKeys(bytes.NewReader(text))
	if err != nil || !slices.Contains(candidates, 0x3fffffff) {
		t.Fatalf("candidates %v, %v: the forged line is not there, so nothing is shown", candidates, err)
	}
	if rings, _ := (Live{}).Rings(); Named(rings, name) != nil {
		t.Errorf("%s was believed", name)
	}
}

// Nobody vouches for a stranger, and an inquiry leaves nothing behind however often it runs.
func TestLiveAsk(t *testing.T) {
	kernelOrSkip(t)
	stranger := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("kkeys; test\nstranger")}, SKID: []byte{1, 2, 3, 4}})
	for range 120 {
		q, err := Live{}.Ask(stranger.DER, ByBuiltin, BySecondary, ByRing(1))
		if err != nil {
			t.Fatal(err)
		}
		if q.Refused != nil || q.Description != "kkeys; test\nstranger: 01020304" {
			t.Fatalf("refused %v, description %q", q.Refused, q.Description)
		}
		for _, r := range []Restriction{ByBuiltin, BySecondary} {
			if a, asked := q.Answer(r); !asked || !errors.Is(a.Err, ErrNoVoucher) {
				t.Fatalf("%s: %v, want ErrNoVoucher", r, a.Err)
			}
		}
		// Serial 1 is no key: a restriction that cannot be set must not read as consent.
		if a, _ := q.Answer(ByRing(1)); !errors.Is(a.Err, ErrUnavailable) {
			t.Fatalf("unknown keyring: %v, want ErrUnavailable", a.Err)
		}
	}
}

// The kernel tells who signed: the certificate's own keyring vouches for it and for what its key issued, another key of the same
// name and id does not.
func TestLiveAskOwnRing(t *testing.T) {
	runtime.LockOSThread()
	kernelOrSkip(t)
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("kkeys test CA")}, SKID: []byte("same id")}
	ca := certtest.Make(t, spec)
	spec.Key = certtest.RSA(2048, 5)
	impostor := certtest.Make(t, spec)
	leaf := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("kkeys test leaf")}, SKID: []byte("leaf"), Signer: ca,
		AKI: &certtest.AKI{KeyID: []byte("same id")}, Key: certtest.RSA(2048, 6)})
	ring, err := kernelCalls{}.newRing("kkeys-own")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (kernelCalls{}).add(ca.DER, ring); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		der  []byte
		want error
	}{"itself": {ca.DER, nil}, "its leaf": {leaf.DER, nil}, "an impostor": {impostor.DER, ErrMismatch}} {
		q, err := Live{}.Ask(c.der, ByRing(ring))
		if err != nil || q.Refused != nil {
			t.Fatalf("%s: %v, refused %v", name, err, q)
		}
		if a, _ := q.Answer(ByRing(ring)); !errors.Is(a.Err, c.want) {
			t.Errorf("%s: %v, want %v", name, a.Err, c.want)
		}
	}
}

// A witness tells whether the kernel finds a signer by issuer and serial number, or by key id: the same key under another certificate is
// found by the latter only, and another key under the same issuer and serial number by the former, unless all ids are given.
func TestLiveWitness(t *testing.T) {
	runtime.LockOSThread()
	kernelOrSkip(t)
	key := certtest.RSA(2048, 5)
	ring, err := kernelCalls{}.newRing("kkeys-witness")
	if err != nil {
		t.Fatal(err)
	}
	make := func(serial byte, id string, key crypto.Signer) *certs.Certificate {
		c, err := certs.ParseDER(certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("kkeys witness test")}, Serial: []byte{serial}, SKID: []byte(id), Key: key}).DER)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	enrolled := make(1, "id", key)
	if _, err := (kernelCalls{}).add(enrolled.Raw, ring); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		about                  *certs.Certificate
		serial, byKeyID, byAll error
	}{
		"itself":                          {enrolled, ErrMismatch, ErrMismatch, ErrMismatch},
		"renewed":                         {make(2, "id", key), ErrNoVoucher, ErrMismatch, ErrNoVoucher},
		"another key, same serial":        {make(1, "other", certtest.RSA(2048, 6)), ErrMismatch, ErrNoVoucher, ErrNoVoucher},
		"a stranger":                      {make(3, "stranger", certtest.RSA(2048, 7)), ErrNoVoucher, ErrNoVoucher, ErrNoVoucher},
		"a stranger with a longer serial": {make(0x7f, "stranger", certtest.RSA(4096, 8)), ErrNoVoucher, ErrNoVoucher, ErrNoVoucher},
	} {
		for by, want := range map[certs.Lookup]error{certs.ByIssuerAndSerial: c.serial, certs.ByKeyID: c.byKeyID, certs.ByAllIDs: c.byAll} {
			witness, err := c.about.Witness(by)
			if err != nil {
				t.Fatal(err)
			}
			q, err := Live{}.Ask(witness, ByRing(ring))
			if err != nil || q.Refused != nil {
				t.Fatalf("%s: %v, %+v", name, err, q)
			}
			if a, _ := q.Answer(ByRing(ring)); !errors.Is(a.Err, want) {
				t.Errorf("%s, by %d: %v, want %v", name, by, a.Err, want)
			}
		}
	}
}

func TestLiveAskRefused(t *testing.T) {
	kernelOrSkip(t)
	for name, der := range map[string][]byte{"text": []byte("-----BEGIN CERTIFICATE-----"), "cut": certtest.Make(t, certtest.Spec{}).DER[:100]} {
		q, err := Live{}.Ask(der, BySecondary)
		if err != nil || !errors.Is(q.Refused, ErrMalformed) || len(q.Answers) != 0 {
			t.Errorf("%s: %+v, %v, want it refused as malformed and nothing asked", name, q, err)
		}
	}
}
