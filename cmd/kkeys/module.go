package main

import (
	"encoding/hex"
	"fmt"

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

// judgeModule verifies a module with every certificate known here, and judges the one that verified it.
func (s *session) judgeModule(path string, data []byte, p proof, facts trust.Facts, document *trustedDocument) (subjectDocument, error) {
	if p.key != nil {
		return subjectDocument{}, usage("--key is for a certificate, not for a module")
	}
	known, unseen := s.machine.AllCertificates()
	for _, n := range unseen {
		document.missing(n.Source, n.Err)
	}
	module := machine.ReadModule(data, known)
	judged := trust.Module{
		Result: module.Result, Where: module.Where, Err: module.Err,
		SignedOutside: module.SignedOutside, Check: module.Check, Unpacks: s.machine.Unpacks(),
	}
	var key *trust.Facts
	if module.Result.Outcome == modsig.Valid {
		if module.Signer.SKID != nil {
			facts.Named = certs.ByKeyID
		}
		s.inquire(&facts, module.Result.Key)
		if p.wanted {
			facts.Probes, facts.ProbesErr = s.machine.Prove(machine.QuestionOf(*module.Signer))
		}
		key = &facts
	}
	subject := s.describeVerdict(path, module.Result.Key, trust.JudgeModule(judged, key))
	subject.Kind, subject.Signer = "module", describeSigner(module.Signer)
	return subject, nil
}
