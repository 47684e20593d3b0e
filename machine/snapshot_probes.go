package machine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"kkeys/kernel"
	"kkeys/modsig"
)

// probesRecord is what load probes without a private key showed, as a snapshot holds it. All were made with one payload; the controls were made
// once, the strangers once for each hash, algorithm and way to name a key.
type probesRecord struct {
	Control   kernel.AttemptRecord `json:"control"`
	Broken    kernel.AttemptRecord `json:"broken"`
	Hashes    []hashRecord         `json:"hashes"`
	Strangers []strangerRecord     `json:"strangers"`
	Signers   []signerRecord       `json:"signers"`
}

// hashRecord tells whether the kernel had the hash registered after the last probe with it, and is of a release that reads it in signatures; null: /proc/crypto was not read.
type hashRecord struct {
	Hash       string `json:"hash"`
	Registered *bool  `json:"registered"`
}

// model is what the probes of one comparison have in common.
type model struct {
	Hash      string `json:"hash"`
	Algorithm string `json:"algorithm"`
}

// strangerRecord is the probe that names a key that is nowhere.
type strangerRecord struct {
	model
	BySKID  bool                 `json:"by_skid"`
	Attempt kernel.AttemptRecord `json:"attempt"`
}

// signerRecord is the probe that names a key: by issuer and serial number, or by SKID; in hex, the others empty.
type signerRecord struct {
	model
	Issuer  string               `json:"issuer,omitempty"`
	Serial  string               `json:"serial,omitempty"`
	SKID    string               `json:"skid,omitempty"`
	Attempt kernel.AttemptRecord `json:"attempt"`
}

// signerKey is how a probe is found again.
type signerKey struct {
	model
	issuer, serial, skid string // the bytes
}

func keyOf(s modsig.Signer) signerKey {
	return signerKey{model{s.Hash, s.Algorithm}, string(s.Issuer), string(s.Serial), string(s.SKID)}
}

// probed is [probesRecord] ready to answer.
type probed struct {
	control, broken *kernel.Attempt
	hashes          map[string]kernel.Algorithms
	strangers       map[strangerKey]*kernel.Attempt
	signers         map[signerKey]*kernel.Attempt
	missing         error // why there is nothing to answer from
}

type strangerKey struct {
	model
	bySKID bool
}

// errNotProbed: nobody asked for load probes when the machine was recorded.
var errNotProbed = errors.New("it was recorded without load probes (kkeys snapshot --prove)")

// answer gives the probes for a question that was asked when the machine was recorded, and [kernel.ErrNotRecorded] for every other one.
func (p *probed) answer(q Question) (*kernel.Probes, error) {
	none := func(why error) (*kernel.Probes, error) {
		return nil, fmt.Errorf("%w: %w", kernel.ErrNotRecorded, why)
	}
	switch {
	case q.ByIssuer == nil && q.BySKID == nil:
		return nil, ErrQuestion
	case p.missing != nil:
		return none(p.missing)
	case q.Private != nil:
		return none(errors.New("no probe was signed when it was recorded"))
	}
	probes := &kernel.Probes{Control: p.control, Broken: p.broken}
	for _, one := range []struct {
		signer         *modsig.Signer
		bySKID         bool
		stranger, into **kernel.Attempt
	}{{q.ByIssuer, false, &probes.Stranger, &probes.Keyless}, {q.BySKID, true, &probes.StrangerSKID, &probes.KeylessSKID}} {
		if one.signer == nil {
			continue
		}
		key := keyOf(*one.signer)
		if *one.into = p.signers[key]; *one.into == nil {
			return none(fmt.Errorf("no load probe with %s was made for this key", key.Hash))
		}
		*one.stranger = p.strangers[strangerKey{key.model, one.bySKID}]
		probes.Hash = p.hashes[key.Hash].Registered(key.Hash)
	}
	return probes, nil
}

// read makes the record ready. An error says which part is not what a recording writes.
func (r *probesRecord) read() (*probed, error) {
	p := &probed{hashes: map[string]kernel.Algorithms{}, strangers: map[strangerKey]*kernel.Attempt{}, signers: map[signerKey]*kernel.Attempt{}}
	var err error
	if p.control, err = r.Control.Attempt(); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if p.broken, err = r.Broken.Attempt(); err != nil {
		return nil, fmt.Errorf("broken: %w", err)
	}
	for _, h := range r.Hashes {
		if _, twice := p.hashes[h.Hash]; twice || !slices.Contains(kernel.Hashes, h.Hash) {
			return nil, fmt.Errorf("hash %.80q is unknown or stands twice", h.Hash)
		}
		p.hashes[h.Hash] = nil
		if h.Registered != nil {
			p.hashes[h.Hash] = kernel.Algorithms{}
			if *h.Registered {
				p.hashes[h.Hash][h.Hash] = true
			}
		}
	}
	for i, s := range r.Strangers {
		key := strangerKey{s.model, s.BySKID}
		if _, known := p.hashes[s.Hash]; !known || s.Algorithm == "" || p.strangers[key] != nil {
			return nil, fmt.Errorf("stranger %d: it has no hash or algorithm, or stands twice", i)
		}
		if p.strangers[key], err = s.Attempt.Attempt(); err != nil {
			return nil, fmt.Errorf("stranger %d: %w", i, err)
		}
	}
	for i, s := range r.Signers {
		key, err := s.key()
		if err != nil {
			return nil, fmt.Errorf("signer %d: %w", i, err)
		}
		if p.signers[key] != nil || p.strangers[strangerKey{s.model, key.skid != ""}] == nil {
			return nil, fmt.Errorf("signer %d: it stands twice, or has no stranger to be compared with", i)
		}
		if p.signers[key], err = s.Attempt.Attempt(); err != nil {
			return nil, fmt.Errorf("signer %d: %w", i, err)
		}
	}
	return p, nil
}

// key is the signer that the probe named.
func (s signerRecord) key() (signerKey, error) {
	key := signerKey{model: s.model}
	for _, part := range []struct {
		text string
		into *string
	}{{s.Issuer, &key.issuer}, {s.Serial, &key.serial}, {s.SKID, &key.skid}} {
		b, err := hex.DecodeString(part.text)
		if err != nil || hex.EncodeToString(b) != part.text {
			return signerKey{}, fmt.Errorf("%.80q is not lower-case hex", part.text)
		}
		*part.into = string(b)
	}
	// The name of an issuer may be empty, a number never is.
	if (key.serial == "") == (key.skid == "") || key.skid != "" && key.issuer != "" {
		return signerKey{}, errors.New("it is not named by either issuer and serial number or SKID")
	}
	return key, nil
}

// probes makes a snapshot's probes ready.
func (m manifest) probes() (*probed, error) {
	switch {
	case m.Probes != nil && m.NoProbes != "":
		return nil, errors.New("probes: there are some, and a reason why there are none")
	case m.NoProbes != "":
		return &probed{missing: errors.New(m.NoProbes)}, nil
	case m.Probes == nil:
		return &probed{missing: errNotProbed}, nil
	}
	p, err := m.Probes.read()
	if err != nil {
		return nil, fmt.Errorf("probes: %w", err)
	}
	return p, nil
}
