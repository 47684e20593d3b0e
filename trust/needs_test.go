package trust

import (
	"errors"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/keyring"
)

// Nothing but the kernel's own check of a self-signed certificate, with every gate passed, gives a yes: every single piece of
// evidence taken away or turned must cost it.
func TestTrustedNeedsEverything(t *testing.T) {
	c := selfSigned(t)
	base := func() Facts {
		rings := populate(debian(), c, at(nil, machine))
		return Facts{Certificate: c, Rings: rings, Kernel: healthy(), Hash: registered,
			Inquiry:   answers(c, rings, at(nil, machine)),
			Witnesses: map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: answers(c, rings, at(mismatch, machine)), certs.ByAllIDs: answers(c, rings, at(mismatch, machine))}}
	}
	if v := Judge(base()); v.Value != Trusted {
		t.Fatalf("the base is not trusted:\n%s", show(v))
	}
	for name, change := range map[string]func(*Facts){
		"no inquiry":         func(f *Facts) { f.Inquiry, f.InquiryErr = nil, errors.New("no") },
		"hash not there":     func(f *Facts) { f.Hash = evidence.Reading{} },
		"no answers":         func(f *Facts) { f.Inquiry.Answers = nil },
		"all answers no":     func(f *Facts) { f.Inquiry = answers(c, f.Rings, nil) },
		"answers unclear":    func(f *Facts) { f.Inquiry = answers(c, f.Rings, unavailable()) },
		"another name":       func(f *Facts) { f.Inquiry.Description += "0" },
		"refused":            func(f *Facts) { f.Inquiry.Refused = keyring.ErrMalformed },
		"rings not seen":     func(f *Facts) { f.Rings, f.RingsErr, f.Kernel.Config = nil, keyring.ErrNotVisible, nil },
		"nothing linked":     func(f *Facts) { f.Rings[1].Rings = nil; f.Inquiry.Answers[3].Err = keyring.ErrNoVoucher },
		"signatures unknown": func(f *Facts) { f.Kernel.Signatures.Answer = evidence.Unknown },
		"no signatures":      func(f *Facts) { f.Kernel.Signatures.Answer = evidence.No },
		"not self-signed":    func(f *Facts) { f.Certificate = leaf(t) },
		"no witness":         func(f *Facts) { f.Witnesses = nil },
		"witness unclear":    func(f *Facts) { f.Witnesses[certs.ByIssuerAndSerial] = answers(c, f.Rings, unavailable()) },
		"signer not found":   func(f *Facts) { f.Witnesses[certs.ByIssuerAndSerial] = answers(c, f.Rings, nil) },
		"no release":         func(f *Facts) { f.Kernel.Release = "" },
	} {
		f := base()
		change(&f)
		if v := Judge(f); v.Value == Trusted {
			t.Errorf("%s: still trusted\n%s", name, show(v))
		}
	}
}
