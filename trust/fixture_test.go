package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/kernel"
	"kkeys/keyring"
)

// kinds of certificate
func selfSigned(t *testing.T) *certs.Certificate {
	return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}}))
}

func leaf(t *testing.T) *certs.Certificate {
	ca := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("ca")}, SKID: []byte{9}})
	return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Signer: ca, Key: certtest.RSA(2048, 7)}))
}

// unverifiable is self-signed with an algorithm that kkeys does not know.
func unverifiable(t *testing.T) *certs.Certificate {
	algorithm := []byte{0x30, 5, 6, 3, 0x2a, 3, 4}
	return parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}, Algorithm: algorithm, OuterAlgorithm: algorithm}))
}

func codeSigning(t *testing.T) *certs.Certificate {
	return parse(t, certtest.SelfSignedWith(t, "me", certtest.RSA(2048, 9)))
}

// sameName is issued by a key whose name is the certificate's own: self-issued by its text, not by its signature.
func sameName(t *testing.T) *certs.Certificate {
	spec := certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1, 2, 3}}
	spec.Signer, spec.Key = certtest.Make(t, spec), certtest.RSA(2048, 7)
	return parse(t, certtest.Make(t, spec))
}

func parse(t testing.TB, made *certtest.Cert) *certs.Certificate {
	t.Helper()
	c, err := certs.ParseDER(made.DER)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	builtin, secondary, machine, platform, blacklist = keyring.Serial(1), keyring.Serial(2), keyring.Serial(3), keyring.Serial(4), keyring.Serial(5)
)

// debian gives the keyrings of a kernel with all five, .machine linked.
func debian() []keyring.Ring {
	ring := func(s keyring.Serial, name string, links ...keyring.Key) keyring.Ring {
		return keyring.Ring{Key: keyring.Key{Serial: s, Type: keyring.TypeKeyring, Description: name}, Rings: links}
	}
	b, m := ring(builtin, keyring.Builtin), ring(machine, keyring.Machine)
	return []keyring.Ring{b, ring(secondary, keyring.Secondary, b.Key, m.Key), m, ring(platform, keyring.Platform), ring(blacklist, keyring.Blacklist)}
}

// put adds an entry to a keyring.
func put(rings []keyring.Ring, name, kind, description string) []keyring.Ring {
	r := keyring.Named(rings, name)
	r.Keys = append(r.Keys, keyring.Key{Serial: r.Serial*100 + keyring.Serial(len(r.Keys)), Type: kind, Description: description})
	return rings
}

// answers makes an inquiry in which the questions named have the answers given, all others ErrNoVoucher. A key is answered for as its keyring
// is, where nothing else is given.
func answers(c *certs.Certificate, rings []keyring.Ring, given map[keyring.Restriction]error) *keyring.Inquiry {
	all := maps.Clone(given)
	if all == nil {
		all = vouched{}
	}
	for _, ring := range rings {
		for _, key := range ring.Keys {
			err, ok := given[keyring.ByRing(ring.Serial)]
			if _, own := given[keyring.ByKey(key.Serial)]; ok && !own {
				all[keyring.ByKey(key.Serial)] = err
			}
		}
	}
	q := &keyring.Inquiry{Description: c.KernelName()}
	for _, r := range Questions(rings) {
		err, ok := all[r]
		if !ok {
			err = keyring.ErrNoVoucher
		}
		q.Answers = append(q.Answers, keyring.Answer{Restriction: r, Err: err})
	}
	return q
}

// populate puts an entry of the certificate into each keyring without one for which the kernel answers that it has a key.
func populate(rings []keyring.Ring, c *certs.Certificate, given ...vouched) []keyring.Ring {
	has := func(ring keyring.Serial) bool {
		return slices.ContainsFunc(given, func(v vouched) bool {
			err, ok := v[keyring.ByRing(ring)]
			return ok && (err == nil || errors.Is(err, mismatch))
		})
	}
	for _, ring := range trusting(rings) {
		linked := ring.Name() == keyring.Secondary && (has(builtin) || has(machine))
		if !has(ring.Serial) || len(ring.Keys) > 0 || linked {
			continue
		}
		name := c.KernelName()
		if self, _ := c.SelfSigned(); !self {
			name = "its issuer: 09"
		}
		put(rings, ring.Name(), keyring.TypeAsymmetric, name)
	}
	return rings
}

func healthy() kernel.Status {
	return kernel.Status{
		Release:    "6.1.0",
		Signatures: evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is there"},
		Enforced:   evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is Y"},
		Config:     kernel.Config{"MODULE_SIG": "y"},
	}
}

var registered = evidence.Reading{Answer: evidence.Yes, Evidence: "sha256 is registered", Source: "/proc/crypto"}

type vouched = map[keyring.Restriction]error

// at makes the answers that are the same for some keyrings.
func at(err error, rings ...keyring.Serial) vouched {
	given := vouched{}
	for _, r := range rings {
		given[keyring.ByRing(r)] = err
		if r == machine || r == builtin {
			given[keyring.ByRing(secondary)], given[keyring.BySecondary] = err, err
		}
		if r == builtin {
			given[keyring.ByBuiltin] = err
		}
	}
	return given
}

var mismatch = keyring.ErrMismatch

// anewRings have an entry of the certificate that madeAnew makes, in .machine.
func anewRings() []keyring.Ring {
	return put(debian(), keyring.Machine, keyring.TypeAsymmetric, "me: 04")
}

// madeAnew adds a certificate of the same issuer and serial number with another key and key id, which is enrolled; unless change changes it.
func madeAnew(t *testing.T, change func(f *Facts, other *Namesake)) func(*Facts) {
	return func(f *Facts) {
		c := parse(t, certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{4}, Key: certtest.RSA(2048, 33)}))
		other := Namesake{Stored{c, "mok"}, answers(c, f.Rings, at(nil, machine))}
		if change != nil {
			change(f, &other)
		}
		f.Namesakes = []Namesake{other}
	}
}

// stored: the certificate was found in shim's list.
func stored(f *Facts) { f.Stored = append(f.Stored, Stored{f.Certificate, "mok"}) }

// signed makes it the signer of a module.
func signed(f *Facts) { f.Signed = true }

func platformConsulted(f *Facts) {
	f.Platform = evidence.Reading{Answer: evidence.Yes, Evidence: "proven"}
}

func merge(all ...vouched) vouched {
	merged := vouched{}
	for _, v := range all {
		maps.Copy(merged, v)
	}
	return merged
}

// unavailable: no restriction could be set, as before Linux 4.12.
func unavailable() vouched {
	given := vouched{}
	for _, r := range Questions(debian()) {
		given[r] = fmt.Errorf("%w: not supported", keyring.ErrUnavailable)
	}
	return given
}

func find(v Verdict, name string) Gate {
	for _, g := range v.Gates {
		if g.Name == name {
			return g
		}
	}
	return Gate{}
}

func show(v Verdict) string {
	var b strings.Builder
	for _, g := range v.Gates {
		fmt.Fprintf(&b, "%-15s %-20s %s\n", g.Result, g.Name, g.Evidence)
	}
	return b.String()
}
