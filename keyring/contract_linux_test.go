package keyring_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/keyring/keyringtest"
)

// outcomes are all that a certificate or a restriction can meet with.
var outcomes = []error{keyring.ErrNoVoucher, keyring.ErrMismatch, keyring.ErrCrypto, keyring.ErrExcluded, keyring.ErrMalformed, keyring.ErrRejected,
	keyring.ErrQuota, keyring.ErrUnavailable}

func outcome(err error) string {
	for _, sentinel := range outcomes {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return fmt.Sprint(err)
}

// draw makes certificates whose names, serial numbers, key ids and keys come out of so small a pool that they collide.
type draw struct {
	*testing.T
	*rand.Rand
	made []*certtest.Cert
}

func pick[T any](d *draw, from ...T) T { return from[d.IntN(len(from))] }

func (d *draw) name() certtest.Name { return certtest.Name{certtest.CN(pick(d, "kkeys A", "kkeys B"))} }

func (d *draw) serial() []byte { return []byte{pick[byte](d, 1, 2)} }

// id is a key id; one of them is what issuer and serial number of another certificate come to, for the kernel compares an id with both.
func (d *draw) id() []byte {
	return pick(d, []byte("x"), []byte("y"), []byte("z"), append([]byte{1}, certtest.Name{certtest.CN("kkeys A")}.Content()...))
}

// authority names the signer truly in a part of all cases, else whomever.
func (d *draw) authority(signer certtest.Spec) *certtest.AKI {
	keyID, serial, issuer := signer.SKID, signer.Serial, signer.Issuer
	if d.IntN(3) == 0 {
		keyID, serial, issuer = d.id(), d.serial(), d.name()
	}
	switch d.IntN(5) {
	case 0:
		return nil
	case 1:
		return &certtest.AKI{KeyID: keyID}
	case 2:
		return &certtest.AKI{Issuer: issuer, Serial: serial}
	case 3:
		return &certtest.AKI{Serial: serial, KeyID: pick(d, nil, []byte{})} // the kernel ignores a serial number alone, and finds no empty id
	}
	return &certtest.AKI{KeyID: keyID, Issuer: issuer, Serial: serial}
}

// certificate makes one more, issued by itself or by one made before.
func (d *draw) certificate() []byte {
	spec := certtest.Spec{Subject: d.name(), Serial: d.serial(), SKID: d.id(), Key: certtest.RSA(pick(d, 1024, 1024, 2048), d.IntN(2)),
		Break: d.IntN(12) == 0} // with SHA-256: of others it is not known that every kernel has them loaded
	if d.IntN(4) == 0 {
		spec.SKID = nil
	}
	signer := spec
	signer.Issuer = spec.Subject
	if len(d.made) > 0 && d.IntN(2) == 0 {
		spec.Signer = pick(d, d.made...)
		signer = spec.Signer.Spec
	}
	if d.IntN(6) == 0 {
		spec.Issuer = d.name()
	}
	spec.AKI = d.authority(signer)
	if d.IntN(10) == 0 {
		spec.Key = certtest.RSA(1040, 0) // the kernel's driver does not take that size
	}
	d.made = append(d.made, certtest.Make(d.T, spec))
	return d.made[len(d.made)-1].DER
}

// sides are the running kernel and the model with the same keyrings: one, and two that it links.
type sides struct {
	*testing.T
	model *keyringtest.Kernel
	ring  map[string]keyring.Serial // of the running kernel
	// live and modelled are the same questions, about each keyring and key, to either side.
	live, modelled []keyring.Restriction
}

func newSides(t *testing.T) *sides {
	s := &sides{T: t, model: keyringtest.New(), ring: map[string]keyring.Serial{}}
	top, err := keyring.NewRing("kkeys-contract")
	if err != nil {
		t.Fatal(err)
	}
	s.ring["top"] = top
	s.same(top, s.model.Ring("top"))
	for _, name := range []string{"left", "right"} {
		if s.ring[name], err = keyring.AddRing(name, top); err != nil {
			t.Fatal(err)
		}
		s.same(s.ring[name], s.model.Ring(name))
		s.model.Link(name, "top")
	}
	return s
}

func (s *sides) same(live, model keyring.Serial) {
	s.live, s.modelled = append(s.live, keyring.ByRing(live)), append(s.modelled, keyring.ByRing(model))
}

// put adds a certificate on both sides, now and then under a description of its own or out of the reach of lookups.
func (s *sides) put(d *draw, der []byte) {
	name, description := pick(d, "top", "top", "left", "right"), pick(d, "", "", "", "", "described")
	var options []keyringtest.Option
	if description != "" {
		options = append(options, keyringtest.Described(description))
	}
	hidden := d.IntN(8) == 0
	if hidden {
		options = append(options, keyringtest.Hidden())
	}
	live, err := keyring.AddKey(keyring.TypeAsymmetric, description, der, s.ring[name])
	model := s.model.Put(name, der, options...)
	if (err == nil) != (model != 0) {
		s.Fatalf("put: kernel %v, model %v", err, model)
	}
	if err != nil {
		return
	}
	if hidden {
		const viewSetattr = 0x21010000 // include/linux/key.h
		if err := unix.KeyctlSetperm(int(live), viewSetattr); err != nil {
			s.Fatal(err)
		}
	}
	s.same(live, model)
}

// compare asks both sides about one certificate and counts the answers by kind.
func (s *sides) compare(der []byte, counted map[string]int) {
	live, err := keyring.Live{}.Ask(der, s.live...)
	if err != nil {
		s.Fatal(err)
	}
	model, err := s.model.Ask(der, s.modelled...)
	if err != nil {
		s.Fatal(err)
	}
	if outcome(live.Refused) != outcome(model.Refused) || live.Description != model.Description || len(live.Answers) != len(model.Answers) {
		s.Errorf("add: kernel %q, %v, model %q, %v", live.Description, live.Refused, model.Description, model.Refused)
		return
	}
	if live.Refused != nil {
		counted["refused: "+outcome(live.Refused)]++
	}
	for i, answer := range live.Answers {
		if errors.Is(model.Answers[i].Err, keyring.ErrUnavailable) {
			continue // a key that was replaced: the kernel may have it for a while
		}
		counted[outcome(answer.Err)]++
		if outcome(answer.Err) != outcome(model.Answers[i].Err) {
			s.Errorf("question %d: kernel %v, model %v", i, answer.Err, model.Answers[i].Err)
		}
	}
}

// arrange makes one arrangement out of a seed and asks about every certificate in it, about some that are not, and about their witnesses.
func arrange(t *testing.T, seed uint64, counted map[string]int) {
	d := &draw{t, rand.New(rand.NewPCG(seed, 0)), nil}
	var pool [][]byte
	for range 3 + d.IntN(4) {
		pool = append(pool, d.certificate())
	}
	s := newSides(t)
	defer func() {
		if err := keyring.Discard(s.ring["top"]); err != nil {
			t.Error(err)
		}
	}()
	for range 2 + d.IntN(4) {
		s.put(d, pick(d, pool...))
	}
	for _, der := range pool {
		s.compare(der, counted)
		c, err := certs.ParseDER(der)
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range certs.Lookups {
			witness, err := c.Witness(by)
			if errors.Is(err, certs.ErrNoWitness) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			s.compare(witness, counted)
		}
	}
}

// The model answers as the running kernel does, for arrangements of certificates that get in each other's way. Also where it depends on the
// order of the entries: so few of them lie in one node of the kernel's array, whose order the model knows.
func TestContractLive(t *testing.T) {
	runtime.LockOSThread()
	keyring.KernelOrSkip(t)
	counted := map[string]int{}
	seeds := 200
	if os.Getenv("KKEYS_GUEST") == "1" {
		seeds = 15 // in software emulation
	}
	for seed := range uint64(seeds) {
		arrange(t, seed, counted)
		if t.Failed() {
			t.Fatalf("arrangement %d", seed)
		}
	}
	t.Log(counted)
	// Arrangements that never get into each other's way would prove nothing.
	for _, met := range []error{nil, keyring.ErrNoVoucher, keyring.ErrMismatch} {
		if n := counted[outcome(met)]; n < 2*seeds {
			t.Errorf("%d answers of the kind %v", n, met)
		}
	}
}
