//go:build lab

package machine_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/internal/lab"
	"kkeys/modsig"
	"kkeys/trust"
)

// expected is a verdict in short.
type expected struct {
	value trust.Value
	id    evidence.Answer
}

var (
	isTrusted = expected{trust.Trusted, evidence.Yes}
	idOnly    = expected{trust.Unknown, evidence.Yes}   // no private key
	otherKey  = expected{trust.Untrusted, evidence.Yes} // the id is there, the key is not
	absent    = expected{trust.Untrusted, evidence.No}
	undecided = expected{trust.Unknown, evidence.Unknown}
)

// cast are the keys of the lab.
type cast struct {
	enrolled, enrolledEC, db, foreign, twin, twinDB *certtest.Cert
}

// The verdict of the load probes, for both kernels and in every mode, is what happens when a module signed with the key is loaded; the
// kernel stays untainted and registers nothing.
func TestLabProve(t *testing.T) {
	c := people(t)
	enrolled, db := c.stage(t)
	for _, k := range []lab.Kernel{lab.Kernel61, lab.Kernel612} {
		for _, m := range []struct {
			mode    trust.Mode
			secure  bool
			machine lab.Machine
		}{
			{trust.Enforced, true, lab.Machine{Variables: enrolled}},
			{trust.Lockdown, false, lab.Machine{Variables: db, CommandLine: "lockdown=integrity"}},
			{trust.Enforced, false, lab.Machine{Variables: db, CommandLine: "module.sig_enforce=1"}},
			{trust.Permissive, false, lab.Machine{Variables: db}},
		} {
			t.Run(fmt.Sprintf("%s %s secure boot %v", k, m.mode, m.secure), func(t *testing.T) {
				t.Parallel()
				m.machine.Kernel = k
				c.prove(t, m.machine, m.mode, m.secure)
			})
		}
	}
}

func people(t *testing.T) cast {
	t.Helper()
	c := cast{
		enrolled:   certtest.SelfSignedWith(t, "lab: enrolled", certtest.RSA(2048, 21)),
		enrolledEC: certtest.SelfSignedWith(t, "lab: enrolled EC", certtest.ECDSA(t, elliptic.P256())),
		db:         certtest.SelfSignedWith(t, "lab: db", certtest.RSA(2048, 22)),
		foreign:    certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 23)),
	}
	// The same name, serial number and SKID over other keys.
	twin := func(of *certtest.Cert) *certtest.Cert {
		spec := of.Spec
		spec.Key = certtest.RSA(2048, 24)
		return certtest.Make(t, spec)
	}
	c.twin, c.twinDB = twin(c.enrolled), twin(c.db)
	return c
}

// stage gives the variables of two machines: one with Secure Boot and a key enrolled through MokManager, one without Secure Boot whose
// db holds keys.
func (c cast) stage(t *testing.T) (enrolled, db []byte) {
	t.Helper()
	const password = "lab Pass.123"
	staging, err := lab.Machine{
		Files:    map[string]lab.File{"/srv/key.der": {Data: c.enrolled.DER, Mode: 0o644}, "/srv/ec.der": {Data: c.enrolledEC.DER, Mode: 0o644}, "/srv/password": {Data: []byte(password + "\n" + password + "\n"), Mode: 0o600}},
		Commands: []lab.Command{lab.Shell("mokutil --import /srv/key.der /srv/ec.der < /srv/password")},
	}.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	if out := staging.Outputs[0]; out.Code != 0 {
		t.Fatalf("mokutil: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	manager, err := lab.Machine{Variables: staging.Variables, Firmware: lab.Enroll(2, password)}.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, c.db.DER)})
	if err != nil {
		t.Fatal(err)
	}
	// The variables of a machine without Secure Boot hold no platform key: a firmware that knows Secure Boot leaves it off, and lets db be written.
	plain, err := lab.Machine{SecureBootOff: true}.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	written, err := lab.Machine{
		Variables: plain.Variables, Files: map[string]lab.File{"/srv/db": {Data: append(unsignedUpdate(), lists...), Mode: 0o644}},
		Commands: []lab.Command{lab.Shell("cat /srv/db > /sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f")},
	}.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	if out := written.Outputs[0]; out.Code != 0 {
		t.Fatalf("writing db: %d %s%s", out.Code, out.Stdout, out.Stderr)
	}
	return manager.Variables, written.Variables
}

// unsignedUpdate is what stands before the new content of an authenticated variable (UEFI 2.10 section 8.2.2): the attributes, a time and an empty
// signature, which a firmware without a platform key takes.
func unsignedUpdate() []byte {
	head := []byte{0x27, 0, 0, 0, 2024 & 0xff, 2024 >> 8, 1, 1, 15: 0, 20: 24, 24: 0, 25: 2, 26: 0xf1, 27: 0x0e}
	return append(head, 0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7) // EFI_CERT_TYPE_PKCS7_GUID
}

// prove boots the machine, probes for every key, then loads modules signed with them.
func (c cast) prove(t *testing.T, m lab.Machine, mode trust.Mode, secure bool) {
	module := lab.Module(t, m.Kernel, "dummy")
	payload, message, err := modsig.Split(module)
	if err != nil {
		t.Fatal(err)
	}
	build, err := modsig.Decode(message)
	if err != nil {
		t.Fatal(err)
	}
	subjects := []subject{
		{Name: "builtin", Signer: &build.Signers[0]},
		{Name: "enrolled", DER: c.enrolled.DER, Private: c.enrolled.PKCS8(t)},
		{Name: "enrolled, keyless", DER: c.enrolled.DER},
		{Name: "enrolled, sha512", DER: c.enrolled.DER, Private: c.enrolled.PKCS8(t), Hash: "sha512"},
		{Name: "db", DER: c.db.DER, Private: c.db.PKCS8(t)},
		{Name: "db, sha512", DER: c.db.DER, Private: c.db.PKCS8(t), Hash: "sha512"},
		{Name: "enrolled EC", DER: c.enrolledEC.DER, Private: c.enrolledEC.PKCS8(t)},
		{Name: "foreign", DER: c.foreign.DER, Private: c.foreign.PKCS8(t)},
		{Name: "twin", DER: c.twin.DER, Private: c.twin.PKCS8(t)},
		{Name: "twin of db", DER: c.twinDB.DER, Private: c.twinDB.PKCS8(t)},
	}
	text, err := json.Marshal(subjects)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]lab.File{
		subjectsFile:          {Data: text, Mode: 0o644},
		"/srv/machine.test":   {Data: lab.TestBinary(t, "kkeys/machine"), Mode: 0o755},
		"/srv/builtin.ko":     {Data: module, Mode: 0o644},
		"/srv/enrolled.ko":    signed(t, c.enrolled, payload),
		"/srv/db.ko":          signed(t, c.db, payload),
		"/srv/enrolled EC.ko": signed(t, c.enrolledEC, payload),
		"/srv/foreign.ko":     signed(t, c.foreign, payload),
		"/srv/twin.ko":        signed(t, c.twin, payload),
		"/srv/twin of db.ko":  signed(t, c.twinDB, payload),
	}
	test := lab.Command{Argv: []string{"/srv/machine.test", "-test.v", "-test.run", "^TestLiveProve$"}, Env: []string{"KKEYS_GUEST=1"}}
	user := test
	user.UID = 65534
	m.Files = files
	m.Commands = []lab.Command{test, user,
		lab.Shell("unshare -m sh -c 'mount --bind /dev/null /dev/kmsg && KKEYS_GUEST=1 /srv/machine.test -test.v -test.run ^TestLiveProve$'")}
	// With sha512 loaded, what was undecided is decided.
	const hash, hashed = 3, 4
	loadHash := lab.Shell("true")
	if m.Kernel == lab.Kernel61 {
		m.Files["/srv/sha512.ko"] = lab.File{Data: lab.Module(t, m.Kernel, "sha512_generic"), Mode: 0o644}
		loadHash = lab.Shell("insmod /srv/sha512.ko")
	}
	m.Commands = append(m.Commands, loadHash, test)
	loads := []string{"builtin", "enrolled", "enrolled EC", "db", "foreign", "twin", "twin of db"}
	for _, name := range loads {
		// Each load is judged by whether the kernel called it unsigned or unknown, that is by its taint, which does not go away.
		m.Commands = append(m.Commands, lab.Shell(fmt.Sprintf(`insmod "/srv/%s.ko" && cat /sys/module/dummy/taint && rmmod dummy`, name)))
	}
	run, err := m.Boot(t)
	if err != nil {
		t.Fatal(err)
	}
	all := outcomes(t, run.Outputs[0])
	c.compare(t, all, expectations(m.Kernel, secure), mode)
	ordinary := outcomes(t, run.Outputs[1])
	if len(ordinary) < len(subjects) {
		t.Errorf("an ordinary user probed for %d keys", len(ordinary))
	}
	for name, o := range ordinary {
		if o.Verdict.Value != trust.Unknown || !strings.Contains(o.Verdict.Evidence, "CAP_SYS_MODULE") {
			t.Errorf("an ordinary user, %s: %+v", name, o.Verdict)
		}
	}
	blind := outcomes(t, run.Outputs[2])
	c.compare(t, blind, withoutLog(expectations(m.Kernel, secure), mode), mode)

	if out := run.Outputs[hash]; out.Code != 0 {
		t.Errorf("loading sha512: %d %s", out.Code, out.Stderr)
	}
	want := expectations(m.Kernel, secure)
	want["enrolled, sha512"], want["db, sha512"] = want["enrolled"], want["db"]
	c.compare(t, outcomes(t, run.Outputs[hashed]), want, mode)

	for i, name := range loads {
		out := run.Outputs[hashed+1+i]
		loaded := out.Code == 0 && len(bytes.TrimSpace(out.Stdout)) == 0 // and without taint
		t.Logf("%s: insmod %d %q %s", name, out.Code, out.Stdout, out.Stderr)
		if want := all[name].Verdict; loaded != (want.Value == trust.Trusted || name == "builtin" && want.ID == evidence.Yes) {
			t.Errorf("%s: insmod %d, %q, but %+v", name, out.Code, out.Stdout, want)
		}
	}
}

func signed(t *testing.T, c *certtest.Cert, payload []byte) lab.File {
	return lab.File{Data: lab.SignFile(t, "sha256", c.KeyPEM(t), c.DER, payload), Mode: 0o644}
}

// expectations: which keys the machine has, by what was done to it.
func expectations(k lab.Kernel, secure bool) map[string]expected {
	want := map[string]expected{
		"builtin": idOnly, "foreign": absent,
		"enrolled": absent, "enrolled, keyless": absent, "twin": absent, "enrolled, sha512": absent,
		"db": absent, "twin of db": absent, "enrolled EC": absent, "db, sha512": absent,
		"Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1": absent,
	}
	if secure {
		want["enrolled"], want["enrolled, keyless"], want["twin"], want["enrolled, sha512"] = isTrusted, idOnly, otherKey, isTrusted
		if k == lab.Kernel612 { // 6.1 is built without ECDSA
			want["enrolled EC"] = isTrusted
		}
		want["Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1"] = idOnly
	} else {
		want["db"], want["twin of db"], want["db, sha512"] = isTrusted, otherKey, isTrusted
	}
	// Debian 6.1 has sha512 in a module, which nothing in the guest has loaded.
	if k == lab.Kernel61 {
		want["enrolled, sha512"], want["db, sha512"] = undecided, undecided
	}
	return want
}

// withoutLog: what is left where the log cannot be read.
func withoutLog(want map[string]expected, mode trust.Mode) map[string]expected {
	if mode != trust.Enforced {
		return want
	}
	for name, w := range want {
		signed := name != "builtin" && name != "enrolled, keyless" && !strings.Contains(name, "Debian")
		switch {
		case w == isTrusted:
		case w.value == trust.Untrusted && signed:
			want[name] = expected{trust.Untrusted, evidence.Unknown}
		default:
			want[name] = undecided
		}
	}
	return want
}

func (c cast) compare(t *testing.T, all map[string]outcome, want map[string]expected, mode trust.Mode) {
	t.Helper()
	platform := 0
	for name, o := range all {
		t.Logf("%s: %s, id %s; %s\n\t%s", name, o.Verdict.Value, o.Verdict.ID, o.Verdict.Evidence, o.Verdict.Seen)
		if o.OnlyIn {
			platform++
			t.Logf("\tplatform: %+v", o.Platform)
			// The Debian patch is in both kernels.
			if o.Platform.Answer != evidence.Yes && o.Verdict.ID != evidence.Unknown {
				t.Errorf("%s: .platform is consulted: %+v", name, o.Platform)
			}
		}
		if o.Verdict.Mode != mode || o.Verdict.Warning != "" {
			t.Errorf("%s: mode %q, warning %q", name, o.Verdict.Mode, o.Verdict.Warning)
		}
		_, short, _ := strings.Cut(name, "mok: ")
		for _, n := range []string{name, short} {
			if w, ok := want[n]; ok {
				if got := (expected{o.Verdict.Value, o.Verdict.ID}); got != w {
					t.Errorf("%s: %+v, want %+v\n%s\n%s", n, got, w, o.Verdict.Evidence, o.Verdict.Seen)
				}
				delete(want, n)
			}
		}
	}
	if len(want) > 0 || platform == 0 {
		t.Errorf("not probed: %v; %d only in .platform", want, platform)
	}
}

// outcomes are what the guest's test printed; it must have passed.
func outcomes(t *testing.T, out lab.Output) map[string]outcome {
	t.Helper()
	text := string(out.Stdout)
	if out.Code != 0 || !strings.Contains(text, "--- PASS: TestLiveProve") {
		t.Errorf("exit code %d %s\n%s%s", out.Code, out.Failure, text, out.Stderr)
	}
	all := map[string]outcome{}
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, resultMark); ok {
			var o outcome
			if err := json.Unmarshal([]byte(rest), &o); err != nil {
				t.Fatal(err)
			}
			all[o.Name] = o
		}
	}
	return all
}
