//go:build lab

package modsig_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/modsig"
)

// probe is a module that can never load, so that only the answer about its signature is seen.
type probe struct {
	what   string
	module []byte
}

// body is no ELF file, and above the 64 bytes below which init_module does not look at signatures.
var body = bytes.Repeat([]byte("no ELF file at all\n"), 200)

// probes are signed in every way, by the key of c or by nobody's.
func probes(t *testing.T, c *certtest.Cert) (all []probe) {
	t.Helper()
	add := func(what string, message []byte) {
		module, err := modsig.Append(body, message)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, probe{what, module})
	}
	for _, m := range messages(t) {
		if len(m.message) > 0 {
			add(m.what, m.message)
		}
	}
	for _, file := range []string{"cms-attributes.der", "cms-content.der", "cms-pss.der", "cms-certs.der", "cms-two.der", "cms-keyid.der"} {
		add(file, read(t, file))
	}
	plain := func(module []byte) []byte { return module }
	for what, change := range map[string]func([]byte) []byte{
		"valid":            plain,
		"payload changed":  func(m []byte) []byte { m[100] ^= 1; return m },
		"newline appended": func(m []byte) []byte { return append(m, '\n') },
		"algo":             func(m []byte) []byte { m[len(m)-len(modsig.Magic)-12] = 1; return m },
		"kind 3":           func(m []byte) []byte { m[len(m)-len(modsig.Magic)-10] = 3; return m },
		"too long":         func(m []byte) []byte { m[len(m)-len(modsig.Magic)-3] = 1; return m },
		"no payload":       func(m []byte) []byte { return m[len(body):] },
	} {
		for _, skid := range []bool{false, true} {
			module, err := modsig.Sign(body, c.Key, parse(t, c.DER), "sha256", skid)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, probe{fmt.Sprintf("%s, SKID %t", what, skid), change(module)})
		}
	}
	all = append(all, probe{"unsigned", body}, loose(t, c, "valid with an indefinite length", func(der []byte) []byte {
		content := der[len(der)-int(binary.BigEndian.Uint16(der[2:])):]
		return slices.Concat([]byte{0x30, 0x80}, content, []byte{0, 0})
	}), loose(t, c, "valid with signers as a sequence", func(der []byte) []byte {
		info := bytes.LastIndex(der, []byte{0x31, 0x82}) // the last set of a length of two bytes
		der[info] = 0x30
		return der
	}))
	return append(all, chains(t, c)...)
}

// loose is a valid signature in another form than DER.
func loose(t *testing.T, c *certtest.Cert, what string, change func(der []byte) []byte) probe {
	t.Helper()
	signed, err := modsig.Sign(body, c.Key, parse(t, c.DER), "sha256", false)
	if err != nil {
		t.Fatal(err)
	}
	payload, der, err := modsig.Split(signed)
	if err != nil {
		t.Fatal(err)
	}
	module, err := modsig.Append(payload, change(bytes.Clone(der)))
	if err != nil {
		t.Fatal(err)
	}
	return probe{what, module}
}

// chains are messages with several signers, and with certificates.
func chains(t *testing.T, c *certtest.Cert) (all []probe) {
	issue := func(cn string, n int, by *certtest.Cert) *certtest.Cert {
		return certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN(cn)}, Key: certtest.RSA(2048, n), Serial: []byte{byte(n)},
			SKID: []byte(cn), Signer: by, AKI: &certtest.AKI{KeyID: by.Spec.SKID}})
	}
	middle := issue("middle", 1, c)
	leaf := issue("leaf", 2, middle)
	forged := certtest.Make(t, func(s certtest.Spec) certtest.Spec { s.Break = true; return s }(leaf.Spec))
	contrary := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("leaf")}, Key: certtest.RSA(2048, 2), Serial: []byte{2}, Signer: c,
		AKI: &certtest.AKI{Issuer: c.Spec.Subject, Serial: c.Spec.Serial, KeyID: []byte("other")}})
	ecdsa := certtest.SelfSignedWith(t, "ecdsa", certtest.ECDSA(t, elliptic.P256()))
	type list = []*certtest.Cert
	for what, test := range map[string]struct {
		signers, embedded list
		skid              bool
		change            func(*modsig.Signer)
	}{
		"leaf alone":              {list{leaf}, nil, false, nil},
		"leaf with middle":        {list{leaf}, list{leaf, middle}, false, nil},
		"whole chain":             {list{leaf}, list{leaf, middle, c}, false, nil},
		"leaf without middle":     {list{leaf}, list{leaf}, false, nil},
		"middle embedded":         {list{middle}, list{middle}, false, nil},
		"leaf by SKID":            {list{leaf}, list{leaf, middle}, true, nil},
		"forged leaf":             {list{forged}, list{forged, middle}, false, nil},
		"contrary ids":            {list{contrary}, list{contrary}, false, nil},
		"contrary ids, middle":    {list{contrary}, list{contrary, c}, false, nil},
		"stranger and own":        {list{leaf, c}, nil, false, nil},
		"own and stranger":        {list{c, leaf}, nil, false, nil},
		"own, broken":             {list{c}, nil, false, broken},
		"stranger, broken":        {list{leaf}, nil, false, broken},
		"embedded and broken":     {list{leaf}, list{leaf}, false, broken},
		"named ECDSA":             {list{c}, nil, false, func(s *modsig.Signer) { s.Algorithm = "ecdsa" }},
		"serial as SKID":          {list{c}, nil, true, func(s *modsig.Signer) { s.SKID = parse(t, c.DER).ID0() }},
		"end of the SKID":         {list{c}, nil, true, func(s *modsig.Signer) { s.SKID = s.SKID[16:] }},
		"a zero before signature": {list{c}, nil, false, func(s *modsig.Signer) { s.Signature = append([]byte{0}, s.Signature...) }},
		"ECDSA stranger":          {list{ecdsa}, nil, false, nil},
	} {
		var m modsig.Message
		for _, signer := range test.signers {
			s := signerOver(t, body, signer, "sha256", test.skid)
			if test.change != nil {
				test.change(&s)
			}
			m.Signers = append(m.Signers, s)
		}
		for _, e := range test.embedded {
			m.Certificates = append(m.Certificates, parse(t, e.DER))
		}
		der, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		module, err := modsig.Append(body, der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, probe{what, module})
	}
	return all
}

// Errnos with which busybox's insmod ends, in a kernel that enforces signatures.
var answers = map[int][]string{
	8:  {"valid"},              // ENOEXEC: the signature was accepted, the payload is no ELF file
	74: {"malformed"},          // EBADMSG
	22: {"malformed", "wrong"}, // EINVAL: from the parser, or a certificate in the message whose key did not sign
	90: {"malformed"},          // EMSGSIZE
}

// reasons are what the kernel logs beside EKEYREJECTED; without any of them a known key's signature was wrong, or there are
// attributes.
var reasons = map[string]string{
	"Loading of unsigned module": "unsigned", "with unsupported crypto": "unsupported", "with unavailable key": "unknown key",
}

// differs are the answers of a kernel that are meant to be others than ours: what it does not know yet, or knows no more.
var differs = map[string]map[lab.Kernel]string{
	"SHA3-512":  {lab.Kernel61: "unsupported"},
	"MD5":       {lab.Kernel61: "unknown key"},
	"ML-DSA-65": {lab.Kernel61: "unsupported", lab.Kernel612: "unsupported"},
}

// TestKernelAgrees enrols a key, lets the kernel look at all probes and compares what it says with Split, Decode and Verify.
func TestKernelAgrees(t *testing.T) {
	for _, kernel := range []lab.Kernel{lab.Kernel61, lab.Kernel612} {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			c := owner(t)
			all := probes(t, c)
			files := map[string]lab.File{"/root/mine.der": {Data: c.DER, Mode: 0o644}}
			for i, p := range all {
				files[fmt.Sprintf("/root/probe-%03d.ko", i)] = lab.File{Data: p.module, Mode: 0o644}
			}
			run, err := lab.Machine{Kernel: kernel, Files: files, Commands: []lab.Command{{
				Argv: []string{"sh", "-c", "mokutil --import mine.der"}, Stdin: []byte("password\npassword\n")}}}.Boot(t)
			if err != nil {
				t.Fatal(err)
			}
			run, err = lab.Machine{Kernel: kernel, Files: files, Variables: run.Variables, Firmware: lab.Enroll(1, "password"),
				CommandLine: "printk.devkmsg=on log_buf_len=4M", Commands: []lab.Command{
					lab.Shell(`for f in probe-*.ko; do echo "kkeys: $f" > /dev/kmsg; insmod $f; echo $?; done`)}}.Boot(t)
			if err != nil {
				t.Fatal(err)
			}
			codes := strings.Fields(string(run.Outputs[0].Stdout))
			logs := strings.Split(run.Log(), "kkeys: probe-")[1:]
			if len(codes) != len(all) || len(logs) != len(all) {
				t.Fatalf("%d codes and %d logs of %d probes: %s", len(codes), len(logs), len(all), run.Outputs[0].Stderr)
			}
			for i, p := range all {
				want := kernelSays(codes[i], logs[i])
				got := ourAnswer(t, p.module, parse(t, c.DER))
				if meant, known := differs[p.what][kernel]; known {
					got = meant
				}
				if got == "not DER" { // no verdict; what it must not be called is malformed
					if strings.HasPrefix(p.what, "valid") && !slices.Contains(want, "valid") {
						t.Errorf("%s: the kernel says %s (%s)", p.what, want, codes[i])
					}
					t.Logf("%s: the kernel says %s", p.what, want)
					continue
				}
				if !slices.Contains(want, got) {
					t.Errorf("%s: the kernel says %s (%s), we say %s\n%s", p.what, want, codes[i], got, logs[i])
				}
			}
		})
	}
}

// kernelSays gives the classes that an errno and the log beside it can mean.
func kernelSays(code, log string) []string {
	n, _ := strconv.Atoi(code) // 0 is no answer: nothing here loads
	if answer, known := answers[n]; known {
		return answer
	}
	for text, reason := range reasons {
		if strings.Contains(log, text) {
			return []string{reason}
		}
	}
	if n != 129 { // EKEYREJECTED
		return nil
	}
	return []string{"wrong"}
}

// ourAnswer puts the outcomes into the kernel's classes.
func ourAnswer(t *testing.T, module []byte, trusted *certs.Certificate) string {
	payload, der, err := modsig.Split(module)
	var m *modsig.Message
	if err == nil {
		m, err = modsig.Decode(der)
	}
	if err == nil {
		return m.Verify(payload, []*certs.Certificate{trusted}).Outcome.String()
	}
	class := name(t, err)
	if kernels := map[string]string{"kind": "unsupported", "attached": "malformed", "attributes": "wrong"}[class]; kernels != "" {
		return kernels
	}
	return class
}
