package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"kkeys/certs"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

// signerDocument is how a module's signature names its signer.
type signerDocument struct {
	Serial    *string `json:"serial"` // with the issuer, null when the key id is given
	Issuer    *string `json:"issuer"`
	KeyID     *string `json:"key_id"`
	Hash      string  `json:"hash"`
	Algorithm string  `json:"algorithm"`
}

func (d *signerDocument) String() string {
	if d.KeyID != nil {
		return "key id " + *d.KeyID
	}
	return fmt.Sprintf("%s, serial number %s", *d.Issuer, *d.Serial)
}

func describeSigner(signer *modsig.Signer) *signerDocument {
	if signer == nil {
		return nil
	}
	d := &signerDocument{Hash: signer.Hash, Algorithm: signer.Algorithm}
	if signer.SKID != nil {
		d.KeyID = known(hex.EncodeToString(signer.SKID))
		return d
	}
	d.Issuer, d.Serial = known(certs.DistinguishedName(signer.Issuer)), known(hex.EncodeToString(signer.Serial))
	return d
}

// certificates are all that the machine shows, looked for once: the kernel's image takes longest.
func (s *session) certificates(document *trustedDocument) []machine.Found {
	if s.known == nil {
		found, unseen := s.machine.AllCertificates()
		s.known = append([]machine.Found{}, found...)
		for _, n := range unseen {
			document.missing(n.Source, n.Err)
		}
	}
	return s.known
}

// judgedModule is a module with all that its verdict was drawn from.
type judgedModule struct {
	module  machine.Module
	judged  trust.Module
	verdict trust.Verdict
	about   asked
}

// judgeModule verifies a module with every certificate known here, and judges the one that verified it.
func (s *session) judgeModule(path string, data []byte, p proof, facts trust.Facts, document *trustedDocument) ([]subjectDocument, error) {
	if p.key != nil {
		return nil, usage("--key is for a certificate, not for a module")
	}
	j := s.judge(path, data, p, facts, document)
	if errors.Is(j.module.Err, modsig.ErrDamaged) {
		return nil, failed("%s: %w", path, j.module.Err)
	}
	subject := s.describeVerdict(j.about, j.module.Result.Key, j.verdict)
	subject.Kind, subject.Signer = "module", describeSigner(j.module.Signer)
	return []subjectDocument{subject}, nil
}

func (s *session) judge(path string, data []byte, p proof, facts trust.Facts, document *trustedDocument) judgedModule {
	module := machine.ReadModule(data, s.certificates(document))
	judged := trust.Module{
		Result: module.Result, Where: module.Where, Err: module.Err, Kernel: facts.Kernel, SHA256: module.SHA256, Rings: facts.Rings, RingsErr: facts.RingsErr,
		SignedOutside: module.SignedOutside, Trailing: module.Trailing, Packing: module.Packing, Check: module.Check,
		Unpacks: s.machine.Unpacks(), Kmod: s.machine.KmodUnpacks(module.Packing), Carries: module.Carries,
	}
	about := asked{path: path, hash: p.hash}
	if file, ok := strings.CutPrefix(module.Where, "file:"); ok {
		about.certificate = file
	}
	if module.Signer != nil {
		about.hash = module.Signer.Hash
		judged.Hash = facts.Algorithms.Registered(about.hash)
	}
	if p.wanted && module.Signer != nil && !module.Carries {
		facts.Probes, facts.ProbesErr = s.machine.Prove(machine.QuestionOf(*module.Signer))
	}
	var key *trust.Facts
	if module.Result.Key != nil {
		if module.Signer.SKID != nil {
			facts.Named = certs.ByKeyID
		}
		s.inquire(&facts, module.Result.Key)
		facts.Signed = true
		key = &facts
	} else {
		judged.Probes, judged.ProbesErr = facts.Probes, facts.ProbesErr
	}
	return judgedModule{module, judged, trust.JudgeModule(judged, key), about}
}
