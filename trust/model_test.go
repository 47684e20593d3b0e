package trust

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/keyring/keyringtest"
	"kkeys/modsig"
)

// crowd are certificates of few names, serial numbers, key ids and keys, so that any two are likely to share some of them.
func crowd(t testing.TB) (all []*certs.Certificate) {
	t.Helper()
	ca := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("a")}, SKID: []byte("A"), Key: certtest.RSA(1024, 3)})
	all = append(all, parse(t, ca))
	for _, cn := range []string{"a", "b"} {
		for serial := range byte(2) {
			for _, id := range []string{"", "A", "B"} {
				for key := range 3 {
					spec := certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, Serial: []byte{serial + 1}, Key: certtest.RSA(1024, key)}
					if id != "" {
						spec.SKID = []byte(id)
					}
					for _, c := range authorities(t, spec, ca) {
						all = append(all, parse(t, c))
					}
				}
			}
		}
	}
	return append(append(all, crossed(t, all)...), doubled(t, ca)...)
}

// crossed have key ids that are others' issuers and serial numbers.
func crossed(t testing.TB, others []*certs.Certificate) (all []*certs.Certificate) {
	for i := 0; i < len(others); i += 9 {
		for key := range 3 {
			spec := certtest.Spec{Subject: certtest.Name{certtest.CN(string("ab"[key%2]))}, Serial: []byte{byte(1 + i%2)}, SKID: others[i].ID0(), Key: certtest.RSA(1024, key)}
			all = append(all, parse(t, certtest.Make(t, spec)))
		}
	}
	return all
}

// doubled are certificates, and others of their names with the other key that verifies what each has signed.
func doubled(t testing.TB, ca *certtest.Cert) (all []*certs.Certificate) {
	subject := certtest.Name{certtest.CN("a")}
	for _, spec := range []certtest.Spec{{}, {SKID: []byte("A")}, {SKID: []byte("A"), AKI: &certtest.AKI{KeyID: []byte("A")}}, {AKI: &certtest.AKI{Issuer: subject, Serial: []byte{1}}}} {
		spec.Subject, spec.Serial, spec.Key = subject, []byte{1}, certtest.ECDSA(t, elliptic.P256())
		made := certtest.Make(t, spec)
		c := parse(t, made)
		all = append(all, c)
		spec.Key, spec.Signer, spec.AKI = certtest.Double(t, made), ca, nil
		for _, id := range [][]byte{nil, []byte("A"), c.ID0()} {
			for serial := range byte(2) {
				spec.SKID, spec.Serial = id, []byte{serial + 1}
				all = append(all, parse(t, certtest.Make(t, spec)))
			}
		}
	}
	return all
}

// authorities are the same certificate with the ways in which it can tell who signed it: itself by no name, by key id, by issuer and serial number, by
// both; and another.
func authorities(t testing.TB, spec certtest.Spec, ca *certtest.Cert) (all []*certtest.Cert) {
	serial := certtest.AKI{Issuer: spec.Subject, Serial: spec.Serial}
	for _, aki := range []*certtest.AKI{nil, &serial} {
		spec.AKI = aki
		all = append(all, certtest.Make(t, spec))
	}
	if spec.SKID != nil {
		both := serial
		both.KeyID = spec.SKID
		for _, aki := range []*certtest.AKI{{KeyID: spec.SKID}, &both} {
			spec.AKI = aki
			all = append(all, certtest.Make(t, spec))
		}
	}
	spec.Signer, spec.AKI = ca, &certtest.AKI{KeyID: []byte("A")}
	return append(all, certtest.Make(t, spec))
}

// arrangement is a kernel with some of them in its keyrings, and what is found on its disk and in its firmware.
type arrangement struct {
	*keyringtest.Kernel
	told   []string
	stored []Stored
	beyond bool // what ordinary users cannot know: what root did at run time, and which keys the kernel's image has
}

func arrange(random *rand.Rand, all []*certs.Certificate) arrangement {
	a := arrangement{Kernel: keyringtest.New()}
	if random.IntN(2) == 0 {
		sign := 1 - 2*random.IntN(2)
		a.Order = func(x, y keyring.Serial) int { return sign * int(x-y) }
	}
	for range 1 + random.IntN(4) {
		c := all[random.IntN(len(all))]
		ring := []string{keyring.Builtin, keyring.Machine, keyring.Machine, keyring.Machine, keyring.Platform, keyring.Platform, keyring.Secondary}[random.IntN(7)]
		var options []keyringtest.Option
		if ring == keyring.Secondary {
			a.beyond = true
			if random.IntN(3) == 0 {
				options = append(options, keyringtest.Described("b: 42"))
			}
			if random.IntN(3) == 0 {
				options = append(options, keyringtest.Hidden())
			}
		}
		a.beyond = a.beyond || ring == keyring.Builtin && strings.Contains(strings.Join(a.told, " "), keyring.Builtin)
		a.Put(ring, c.Raw, options...)
		a.told = append(a.told, fmt.Sprintf("%s: %s", ring, describe(c)))
		if where := map[string]string{keyring.Machine: "mok", keyring.Platform: "db"}[ring]; where != "" {
			a.stored = append(a.stored, Stored{c, where})
		}
	}
	if random.IntN(6) == 0 {
		cut := []string{keyring.Builtin, keyring.Machine}[random.IntN(2)]
		a.Unlink(cut, keyring.Secondary)
		a.told = append(a.told, cut+" cut off")
	}
	for range random.IntN(3) {
		a.stored = append(a.stored, Stored{all[random.IntN(len(all))], "file:/x"})
	}
	return a
}

// describe tells a certificate from the others; of its key a few bytes do.
func describe(c *certs.Certificate) string {
	return fmt.Sprintf("%s, issuer %s, serial number %x, key id %q, key %x, AKI %q", c.Details().Subject, c.Details().Issuer, c.Serial, c.SubjectKeyID, c.RawTBS[len(c.RawTBS)/2:][:2], c.Authority)
}

// facts are what kkeys asks of this kernel about a certificate.
func (a arrangement) facts(t *testing.T, c *certs.Certificate, root bool) Facts {
	t.Helper()
	f := Facts{Certificate: c, Kernel: healthy(), Hash: registered, Algorithms: kernel.Algorithms{"ecdsa-nist-p256": true}, Stored: a.stored, Namesakes: NamesakesOf(c, a.stored), RingsErr: keyring.ErrNotVisible}
	if root {
		f.Rings, f.RingsErr = a.Rings()
	}
	ask := func(der []byte) *keyring.Inquiry {
		q, err := a.Ask(der, Questions(f.Rings)...)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	f.Inquiry, f.Witnesses = ask(c.Raw), map[certs.Lookup]*keyring.Inquiry{}
	for _, by := range certs.Lookups {
		if der, err := c.Witness(by); err == nil {
			f.Witnesses[by] = ask(der)
		}
	}
	for i := range f.Namesakes {
		f.Namesakes[i].Inquiry = ask(f.Namesakes[i].Certificate.Raw)
	}
	return f
}

// tally counts answers by what is true.
type tally map[bool]map[Value]int

func (n tally) add(accepted bool, v Value) {
	if n[accepted] == nil {
		n[accepted] = map[Value]int{}
	}
	n[accepted][v]++
}

// Whatever certificates share names, ids and keys, in whatever keyrings and order: trusted only where a module that the certificate's key
// signed is accepted, and untrusted only where it is not.
func TestVerdictsOfAModel(t *testing.T) {
	all := crowd(t)
	counts := tally{}
	for seed := range uint64(40) {
		checkSeed(t, seed, all, counts)
	}
	// These need what an ordinary user asks beyond the names: .builtin_trusted_keys, and all ids.
	for _, seed := range []uint64{76, 285} {
		checkSeed(t, seed, all, counts)
	}
	// Here root added a key that an ordinary user takes for the certificate's, and a module that is not of that one loads.
	checkSeed(t, 682, all, counts)
	t.Logf("accepted: %v, refused: %v", counts[true], counts[false])
	// Answers that are always unknown contradict nothing.
	if n := counts[true]; n[Trusted] < n[Unknown] {
		t.Errorf("accepted: %v", n)
	}
	if n := counts[false]; n[Untrusted] < 3*n[Unknown] {
		t.Errorf("refused: %v", n)
	}
}

func FuzzVerdictsOfAModel(f *testing.F) {
	all := crowd(f)
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) { checkSeed(t, seed, all, tally{}) })
}

func checkSeed(t *testing.T, seed uint64, all []*certs.Certificate, counts tally) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	a := arrange(random, all)
	for range 12 {
		c := all[random.IntN(len(all))]
		if n := len(a.stored); n > 0 && random.IntN(3) == 0 {
			c = a.stored[random.IntN(n)].Certificate
		}
		a.check(t, seed, c, counts)
		a.checkWrong(t, seed, c, all)
	}
}

// check asks about one certificate in every way.
func (a arrangement) check(t *testing.T, seed uint64, c *certs.Certificate, counts tally) {
	t.Helper()
	for i, root := range []bool{true, false, true, false} {
		base := a.facts(t, c, root)
		if i >= 2 {
			base = forget(rand.New(rand.NewPCG(seed, uint64(i))), base)
		}
		for _, by := range []certs.Lookup{certs.ByIssuerAndSerial, certs.ByKeyID} {
			if by == certs.ByKeyID && c.SubjectKeyID == nil {
				continue
			}
			for _, signed := range []bool{true, false} {
				for _, platform := range []evidence.Answer{evidence.Yes, evidence.No, evidence.Unknown} {
					f := base
					f.Named, f.Signed, f.Platform.Answer = by, signed, platform
					if !signed && by == certs.ByKeyID {
						continue // a certificate is asked about as sign-file names it
					}
					v := Judge(f)
					for _, consulted := range []bool{true, false} {
						if platform != evidence.Unknown && consulted != (platform == evidence.Yes) {
							continue
						}
						accepted := a.Accepts(c, by, consulted)
						if root && i == 0 && platform != evidence.Unknown {
							counts.add(accepted, v.Value)
						}
						beyond := !root && a.beyond
						read := find(v, GatePresent).Source == listing // where nothing was answered, and descriptions show no issuer
						if v.Value == Trusted && !accepted && !beyond || v.Value == Untrusted && accepted && !read {
							t.Errorf("seed %d, root %t, by %v, of a module %t, platform %v: %s, and accepted is %t\n%s\n%s\n%s",
								seed, root, by, signed, platform, v.Value, accepted, describe(c), strings.Join(a.told, "\n"), show(v))
						}
					}
				}
			}
		}
	}
}

// forget takes evidence away: answers that the kernel could not give, keys that it does not show, certificates that were not asked about.
func forget(random *rand.Rand, f Facts) Facts {
	lost := func(q *keyring.Inquiry) *keyring.Inquiry {
		if random.IntN(8) == 0 {
			return nil
		}
		less := *q
		less.Answers = slices.Clone(q.Answers)
		for i := range less.Answers {
			if random.IntN(6) == 0 {
				less.Answers[i].Err = []error{keyring.ErrUnavailable, keyring.ErrCrypto, keyring.ErrExcluded, keyring.ErrNotRecorded}[random.IntN(4)]
			}
		}
		return &less
	}
	f.Inquiry = lost(f.Inquiry)
	for by, q := range f.Witnesses {
		f.Witnesses[by] = lost(q)
	}
	f.Namesakes = slices.Clone(f.Namesakes)
	for i, n := range f.Namesakes {
		f.Namesakes[i].Inquiry = lost(n.Inquiry)
	}
	for i := range f.Rings {
		if ring := &f.Rings[i]; len(ring.Keys) > 0 && random.IntN(6) == 0 {
			ring.Keys, ring.Unseen = ring.Keys[1:], ring.Unseen+1
		}
	}
	return f
}

// checkWrong asks about modules whose signatures name one certificate and are another key's. They may load all the same, where the kernel finds that
// other key by the name; never is one trusted that does not verify.
func (a arrangement) checkWrong(t *testing.T, seed uint64, c *certs.Certificate, all []*certs.Certificate) {
	t.Helper()
	for _, other := range all {
		if other.SameKey(c) || !bytes.Equal(other.ID0(), c.ID0()) || !bytes.Equal(other.SubjectKeyID, c.SubjectKeyID) {
			continue
		}
		for _, root := range []bool{true, false} {
			f := a.facts(t, c, root)
			f.Signed = true
			m := Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "mok", Hash: registered, Kernel: f.Kernel, Rings: f.Rings, RingsErr: f.RingsErr, SHA256: [32]byte{1}}
			v := JudgeModule(m, &f)
			beyond := !root && a.beyond // the no rests on what an ordinary user takes for the certificate's key
			if v.Value == Trusted || v.Value == Untrusted && !beyond && (a.Accepts(other, f.Named, true) || a.Accepts(other, f.Named, false)) {
				t.Errorf("seed %d, root %t, a module that is not of this key: %s\n%s\n%s\n%s", seed, root, v.Value, describe(c), strings.Join(a.told, "\n"), show(v))
			}
		}
		return // one of them, whose key is as good as any
	}
}
