package machine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"kkeys/certs"
	"kkeys/kernel"
	"kkeys/modsig"
)

// probing makes load probes for a recording.
type probing struct {
	prober  kernel.Prober
	payload *kernel.Payload
	record  *probesRecord
	// What was asked about already: two certificates can have one name.
	asked     map[signerKey]bool
	strangers map[strangerKey]bool
}

// takeProbes asks the kernel about each certificate, by every name that a signature with this hash can have for it. Certificates whose keys the
// kernel cannot use for modules are passed over: no question about them can be asked later either. It stops at the first answer that makes all the
// others worthless, and that is the error, or that the kernel cannot be asked.
func takeProbes(prober kernel.Prober, files fs.FS, all []*certs.Certificate, hash string) (*probesRecord, error) {
	if prober == nil {
		return nil, kernel.ErrNotRecorded
	}
	payload, err := kernel.NewPayload(rand.Reader)
	if err != nil {
		return nil, err
	}
	p := probing{prober, payload, &probesRecord{Strangers: []strangerRecord{}, Signers: []signerRecord{}}, map[signerKey]bool{}, map[strangerKey]bool{}}
	if p.record.Broken, err = p.attempt(brokenTrailer()); err != nil {
		return nil, err
	}
	if err := reached(kernel.Errno(p.record.Broken.Errno)); err != nil {
		return nil, err
	}
	if p.record.Control, err = p.attempt(nil); err != nil {
		return nil, err
	}
	for _, c := range all {
		q, err := QuestionAbout(c, hash, nil)
		if err != nil {
			continue
		}
		for _, signer := range []*modsig.Signer{q.ByIssuer, q.BySKID} {
			if signer == nil {
				continue
			}
			if err := p.ask(*signer); err != nil {
				return nil, err
			}
		}
	}
	// Afterwards, since the kernel may load a hash when it is asked for it.
	h := hashRecord{Hash: hash}
	if algorithms, err := kernel.ReadAlgorithms(files); err == nil {
		registered := algorithms[hash]
		h.Registered = &registered
	}
	p.record.Hashes = []hashRecord{h}
	return p.record, nil
}

// reached tells from the answer to the broken signature whether the kernel came as far as looking at it.
func reached(errno kernel.Errno) error {
	switch errno {
	case kernel.EBADMSG:
		return nil
	case kernel.EPERM, kernel.EACCES:
		return fmt.Errorf("the kernel refuses before it looks at the signature, with %s: no CAP_SYS_MODULE, modules_disabled, a security module or a container's filter: %w", errno, fs.ErrPermission)
	}
	return fmt.Errorf("the kernel answers a broken signature with %s", errno)
}

// ask makes the probe for one name of a key, and before it the stranger's, unless both were made.
func (p *probing) ask(s modsig.Signer) error {
	key := keyOf(s)
	if p.asked[key] {
		return nil
	}
	p.asked[key] = true
	like := strangerKey{key.model, s.SKID != nil}
	if !p.strangers[like] {
		p.strangers[like] = true
		stranger := strangerBySKID(s)
		if !like.bySKID {
			var err error
			if stranger, err = strangerByIssuer(s); err != nil {
				return err
			}
		}
		attempt, err := p.keyless(stranger)
		if err != nil {
			return err
		}
		p.record.Strangers = append(p.record.Strangers, strangerRecord{key.model, like.bySKID, attempt})
	}
	attempt, err := p.keyless(s)
	if err != nil {
		return err
	}
	p.record.Signers = append(p.record.Signers, signerRecord{key.model, hex.EncodeToString(s.Issuer), hex.EncodeToString(s.Serial), hex.EncodeToString(s.SKID), attempt})
	return nil
}

func (p *probing) keyless(s modsig.Signer) (kernel.AttemptRecord, error) {
	trailer, err := keylessTrailer(p.payload.Bytes(), s)
	if err != nil {
		return kernel.AttemptRecord{}, err
	}
	return p.attempt(trailer)
}

// attempt makes one probe. What cannot be written down is an error, as is a kernel that took what cannot be loaded: that one is asked nothing more.
func (p *probing) attempt(trailer []byte) (kernel.AttemptRecord, error) {
	a, err := p.prober.Probe(p.payload, trailer)
	if err != nil {
		return kernel.AttemptRecord{}, err
	}
	if a.Errno == kernel.Loaded {
		return kernel.AttemptRecord{}, errors.New("the kernel says that it loaded a probe, which cannot be loaded: please report this")
	}
	r := a.Record()
	if _, err := r.Attempt(); err != nil {
		return kernel.AttemptRecord{}, err
	}
	return r, nil
}

// prove makes the load probes of a recording. Why there are none is kept.
func (r *Recording) prove(m *Machine, all []*certs.Certificate, hash string) {
	record, err := takeProbes(m.Prober, m.Files, all, hash)
	if err != nil {
		r.manifest.NoProbes = err.Error()
		r.missing("load probes", "", err)
		return
	}
	r.manifest.Probes = record
}
