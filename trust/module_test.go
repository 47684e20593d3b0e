package trust

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/modsig"
)

func TestJudgeModule(t *testing.T) {
	c := selfSigned(t)
	trusted := func() *Facts {
		rings := populate(debian(), c, at(nil, machine))
		return &Facts{
			Certificate: c, Rings: rings, Kernel: healthy(), Hash: registered, Inquiry: answers(c, rings, at(nil, machine)),
			Witnesses: map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: answers(c, rings, at(mismatch, machine)), certs.ByAllIDs: answers(c, rings, at(mismatch, machine))},
		}
	}
	byKeyID := func() *Facts {
		f := trusted()
		f.Named = certs.ByKeyID
		f.Witnesses = map[certs.Lookup]*keyring.Inquiry{
			certs.ByIssuerAndSerial: answers(c, f.Rings, nil), certs.ByAllIDs: answers(c, f.Rings, nil), certs.ByKeyID: answers(c, f.Rings, at(mismatch, machine)),
		}
		return f
	}
	stranger := func() *Facts {
		f := trusted()
		f.Rings = debian()
		f.Inquiry, f.Witnesses = answers(c, f.Rings, nil), nil
		return f
	}
	unknownID := func() *Facts {
		f := stranger()
		f.Witnesses = map[certs.Lookup]*keyring.Inquiry{certs.ByIssuerAndSerial: answers(c, f.Rings, nil), certs.ByAllIDs: answers(c, f.Rings, nil), certs.ByKeyID: answers(c, f.Rings, nil)}
		return f
	}
	namesake := func() *Facts {
		f := unknownID()
		f.Inquiry = answers(c, f.Rings, at(mismatch, machine))
		f.Witnesses[certs.ByIssuerAndSerial] = answers(c, f.Rings, at(mismatch, machine))
		return f
	}
	unchecked := func() *Facts {
		f := unknownID()
		f.Kernel.Signatures = evidence.Reading{Answer: evidence.No, Evidence: "checks none"}
		return f
	}
	hiddenRings := func() *Facts {
		f := unknownID()
		f.Rings, f.RingsErr = nil, keyring.ErrNotVisible
		f.Inquiry = answers(c, nil, nil)
		return f
	}
	renewed := func() *Facts {
		f := byKeyID()
		f.Named, f.Signed = certs.ByIssuerAndSerial, true
		return f
	}
	valid := modsig.Result{Outcome: modsig.Valid, Key: c}
	for _, test := range []struct {
		name   string
		module Module
		key    func() *Facts
		value  Value
		gate   string
		says   string
	}{
		{"valid and trusted", Module{Result: valid, Where: "mok"}, trusted, Trusted, GateModule, "verifies with CN=me (mok)"},
		{"named by key id", Module{Result: valid}, byKeyID, Trusted, GateSigner, "as the module names it"},
		{"valid, not trusted", Module{Result: valid, Where: "file:/var/lib/dkms/mok.pub"}, stranger, Untrusted, GateModule, "/var/lib/dkms/mok.pub"},
		{"signer not known here", Module{Result: modsig.Result{Outcome: modsig.UnknownKey}}, nil, Unknown, GateModule, "no certificate found"},
		{"changed after signing", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "mok"}, trusted, Untrusted, GateModule, "changed after signing (stripped"},
		{"changed after signing, issuer and serial number not known to the kernel", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "kek"}, unknownID, Untrusted, GateModule, "or another key of that name"},
		{"wrong, keyrings not visible, named by key id", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, RingsErr: keyring.ErrNotVisible}, func() *Facts {
			f := hiddenRings()
			f.Named = certs.ByKeyID
			return f
		}, Unknown, GateModule, "or another key"},
		{"wrong, and a load probe does not find the name", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "mok"}, func() *Facts {
			f := namesake()
			f.Probes = probes("EKEYREJECTED unsigned", "EKEYREJECTED key", "", "")
			return f
		}, Untrusted, GateProbe, "no keyring that is consulted has its id"},
		{"changed after signing, key id not known to the kernel", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "kek"}, func() *Facts {
			f := unknownID()
			f.Named = certs.ByKeyID
			return f
		}, Untrusted, GateModule, "or another key of that name"},
		{"wrong, and the kernel has another key of that name", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "db"}, namesake, Unknown, GateModule, "or another key of that name"},
		{"wrong, and the kernel was not asked for the name", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "mok"}, stranger, Unknown, GateModule, "or another key of that name"},
		{"wrong, on a kernel that checks nothing", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Kernel: unchecked().Kernel}, unchecked, Untrusted, GateSignatures, "none"},
		{"wrong, keyrings not visible", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, RingsErr: keyring.ErrNotVisible}, hiddenRings, Unknown, GateModule, "or another key"},
		{"no keyring at all", Module{Result: valid, Rings: []keyring.Ring{}}, trusted, Unknown, GateModuleHash, "not seen"},
		{"algorithm not known", Module{Result: modsig.Result{Outcome: modsig.Unsupported, Err: errors.New("ML-DSA")}}, nil, Unknown, GateModule, "ML-DSA"},
		{"an ECDSA signature that is not DER", Module{Result: modsig.Result{Outcome: modsig.Unsupported, Err: fmt.Errorf("%w: %w", certs.ErrUnverifiable, modsig.ErrNotDER)}}, nil, Unknown, GateModule, "not DER"},
		{"message not supported", Module{Err: fmt.Errorf("%w: PSS", modsig.ErrUnsupported)}, nil, Unknown, GateModule, "PSS"},
		{"not signed", Module{Err: &modsig.UnsignedError{Magic: -1}}, nil, Untrusted, GateModule, "not signed"},
		{"appended to", Module{Err: &modsig.UnsignedError{Magic: 10, Appended: true, After: 7}}, nil, Untrusted, GateModule, "7 bytes were appended"},
		{"signed after compression", Module{Err: &modsig.UnsignedError{Magic: -1}, Packing: modsig.XZ, Trailing: 300, SignedOutside: true}, nil, Untrusted, GateModule, "after it was compressed"},
		{"malformed", Module{Err: modsig.ErrMalformed}, nil, Untrusted, GateModule, "malformed"},
		{"no outcome at all", Module{}, nil, Unknown, GateModule, "could not be judged"},
		{"xz with CRC64, kernel unpacks", Module{Result: valid, Packing: modsig.XZ, Check: "crc64", Unpacks: "xz"}, trusted, Unknown, GateCompression, "--check=crc32"},
		{"trusted, but brings certificates along", Module{Result: valid, Carries: true}, trusted, Unknown, GateModule, "brings certificates"},
		{"not trusted, but brings certificates along", Module{Result: valid, Carries: true}, stranger, Unknown, GateModule, "brings certificates"},
		{"too large to read", Module{Err: modsig.ErrTooLarge}, nil, Unknown, GateModule, "too large"},
		{"a filter that is not known", Module{Err: modsig.ErrFilter}, nil, Unknown, GateModule, "filter"},
		{"wrong by a certificate that is only on disk", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "file:/old.der"}, nil, Unknown, GateModule, "/old.der"},
		{"hash not registered", Module{Result: valid, Hash: evidence.Reading{Evidence: "no sha3"}}, trusted, Unknown, GateHash, "no sha3"},
		{"hash said not to be there", Module{Result: valid, Hash: evidence.Reading{Answer: evidence.No, Evidence: "no sha3"}}, trusted, Unknown, GateHash, "no sha3"},
		{"another serial number", Module{Result: valid}, renewed, Untrusted, GateSigner, "as the module names it"},
		{"xz with CRC32, kernel unpacks", Module{Result: valid, Packing: modsig.XZ, Check: "crc32", Unpacks: "xz"}, trusted, Trusted, GateCompression, "unpacks it itself"},
		{"gzip, kernel unpacks", Module{Result: valid, Packing: modsig.Gzip, Unpacks: "gzip"}, trusted, Trusted, GateCompression, "unpacks it itself"},
		{"gzip, kmod unpacks", Module{Result: valid, Packing: modsig.Gzip, Unpacks: "xz", Kmod: yes()}, trusted, Trusted, GateCompression, ""},
		{"gzip, kmod does not", Module{Result: valid, Packing: modsig.Gzip, Kmod: evidence.Reading{Answer: evidence.No, Evidence: "kmod was built without libz.so"}}, trusted, Unknown, GateCompression, "without libz.so"},
		{"gzip, kmod not found", Module{Result: valid, Packing: modsig.Gzip}, trusted, Unknown, GateCompression, "does not unpack it itself"},
		{"gzip, kmod not found, not trusted", Module{Result: valid, Packing: modsig.Gzip}, stranger, Untrusted, GateCompression, "does not unpack it itself"},
		{"more behind the stream", Module{Result: valid, Packing: modsig.XZ, Check: "crc32", Kmod: yes(), Trailing: 9}, trusted, Unknown, GateCompression, "9 bytes follow"},
		{"more behind the stream, not trusted", Module{Result: valid, Packing: modsig.XZ, Check: "crc32", Kmod: yes(), Trailing: 9}, stranger, Unknown, GateCompression, "9 bytes follow"},
		{"more behind the stream, not signed", Module{Err: &modsig.UnsignedError{Magic: -1}, Packing: modsig.Gzip, Trailing: 9}, nil, Unknown, GateModule, "may be more of the module"},
		{"more behind the stream, changed", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Packing: modsig.Gzip, Unpacks: "gzip", Trailing: 9}, trusted, Unknown, GateModule, "may be more of the module"},
		{"more behind the stream, on a kernel that checks nothing", Module{Result: valid, Packing: modsig.Gzip, Trailing: 9, Kernel: unchecked().Kernel}, unchecked, Untrusted, GateSignatures, "none"},
		{"not DER", Module{Err: modsig.ErrNotDER}, nil, Unknown, GateModule, "not DER"},
		{"a kind that is not known", Module{Err: modsig.ErrKind}, nil, Unknown, GateModule, "unknown kind"},
		{"hash on .blacklist", Module{Result: valid, Rings: put(debian(), keyring.Blacklist, keyring.TypeBlacklist, "bin:"+strings.Repeat("07", 32))}, trusted, Unknown, GateModuleHash, "is on .blacklist"},
		{"another hash on .blacklist", Module{Result: valid, Rings: put(debian(), keyring.Blacklist, keyring.TypeBlacklist, "bin:"+strings.Repeat("08", 32))}, trusted, Trusted, GateModuleHash, "is not on"},
		{".blacklist not visible", Module{Result: valid, RingsErr: keyring.ErrNotVisible}, trusted, Unknown, GateModuleHash, "not seen"},
		{".blacklist partly visible", Module{Result: valid, Rings: func() []keyring.Ring { r := debian(); r[4].Unseen = 1; return r }()}, trusted, Unknown, GateModuleHash, "could not be seen"},
		{"no .blacklist", Module{Result: valid, Rings: debian()[:4]}, trusted, Trusted, GateModuleHash, "no .blacklist"},
		{"unknown signer, not found by a load probe", Module{Result: modsig.Result{Outcome: modsig.UnknownKey}, Kernel: healthy(),
			Probes: probes("EKEYREJECTED unsigned", "EKEYREJECTED key", "", "")}, nil, Untrusted, GateProbe, "no keyring that is consulted has its id"},
		{"unknown signer, found by a load probe", Module{Result: modsig.Result{Outcome: modsig.UnknownKey}, Kernel: healthy(),
			Probes: probes("EKEYREJECTED unsigned", "EKEYREJECTED", "", "")}, nil, Unknown, GateProbe, "has a key with its id"},
		{"unknown signer, no load probe", Module{Result: modsig.Result{Outcome: modsig.UnknownKey}, Kernel: healthy(), ProbesErr: kernel.ErrNoProbe}, nil, Unknown, GateProbe, "can be asked"},
		{"wrong by a certificate on disk, not found by a load probe", Module{Result: modsig.Result{Outcome: modsig.Wrong, Key: c}, Where: "file:/old.der", Kernel: healthy(),
			Probes: probes("EPERM lockdown", "EPERM", "", "")}, nil, Untrusted, GateProbe, "lockdown refuses"},
		{"not signed, what happens to it", Module{Err: &modsig.UnsignedError{Magic: -1}, Kernel: healthy()}, nil, Untrusted, GateEnforcement, "sig_enforce is Y"},
		{"xz with CRC64, kmod unpacks", Module{Result: valid, Packing: modsig.XZ, Check: "crc64", Kmod: evidence.Reading{Answer: evidence.Yes, Evidence: "kmod was built for it"}}, trusted, Trusted, GateCompression, "kmod"},
	} {
		if test.module.Hash.Evidence == "" {
			test.module.Hash = evidence.Reading{Answer: evidence.Yes, Evidence: "registered"}
		}
		for i := range test.module.SHA256 {
			test.module.SHA256[i] = 7
		}
		if test.module.Rings == nil && test.module.RingsErr == nil {
			test.module.Rings = debian()
		}
		var key *Facts
		if test.key != nil {
			key = test.key()
		}
		v := JudgeModule(test.module, key)
		if v.Value != test.value || !strings.Contains(find(v, test.gate).Evidence, test.says) {
			t.Errorf("%s: %s, want %s; gate %s says %q\n%s", test.name, v.Value, test.value, test.gate, find(v, test.gate).Evidence, show(v))
		}
		if v.Value == Untrusted && find(v, GateModule).Result == Fail && (v.Proof != "" || v.Keyring != "") {
			t.Errorf("%s: untrusted with proof %q in %q", test.name, v.Proof, v.Keyring)
		}
	}
}
