package trust

import (
	"strings"
	"testing"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
)

// attempt makes one from words: "EKEYREJECTED", "EKEYREJECTED key" with the line about an unavailable key, "EKEYREJECTED unreadable".
func attempt(words string) *kernel.Attempt {
	if words == "" {
		return nil
	}
	errno, rest, _ := strings.Cut(words, " ")
	untainted := uint64(0)
	a := &kernel.Attempt{Errno: kernel.Errno(errno), TaintBefore: &untainted, TaintAfter: &untainted}
	if errno == "loaded" {
		a.Errno = kernel.Loaded
	}
	for _, word := range strings.Fields(rest) {
		message, facility := map[string]string{
			"unsigned": "Loading of unsigned module is rejected", "key": "Loading of module with unavailable key is rejected",
			"crypto": "Loading of module with unsupported crypto is rejected", "otherwise": "Loading of module by a reason of tomorrow is rejected",
			"lockdown": "Lockdown: kkeys: unsigned module loading is restricted; see man kernel_lockdown.7",
			"forged":   "Loading of module with unavailable key is rejected",
		}[word], 0
		switch word {
		case "unreadable":
			a.LogProblem = "open /dev/kmsg: permission denied"
			continue
		case "tainted":
			tainted := uint64(8192)
			a.TaintAfter = &tainted
			continue
		case "taint?":
			a.TaintAfter = nil
			continue
		case "forged":
			facility = 1
		}
		a.Log = append(a.Log, kernel.Record{Level: 5, Facility: facility, Message: message})
	}
	return a
}

// probes makes them from words in the order unsigned, keyless, keyless-skid, signed; broken and strangers are those of a healthy kernel.
func probes(control, keyless, skid, signed string) *kernel.Probes {
	stranger := map[string]string{"ENOEXEC": "ENOEXEC", "EPERM": "EPERM", "EKEYREJECTED": "EKEYREJECTED key"}[strings.Fields(control)[0]]
	if strings.Contains(control, "unreadable") {
		stranger = "EKEYREJECTED unreadable"
	}
	p := &kernel.Probes{Control: attempt(control), Broken: attempt("EBADMSG"), Keyless: attempt(keyless), KeylessSKID: attempt(skid), Signed: attempt(signed),
		Hash: evidence.Reading{Answer: evidence.Yes, Evidence: "sha256 is registered"}}
	if keyless != "" {
		p.Stranger = attempt(stranger)
	}
	if skid != "" {
		p.StrangerSKID = attempt(stranger)
	}
	return p
}

const (
	permissive = "ENOEXEC"
	lockdown   = "EPERM lockdown"
	enforced   = "EKEYREJECTED unsigned"
	unread     = "EKEYREJECTED unreadable" // enforced, the log cannot be read
	rejected   = "EKEYREJECTED"
	noKey      = "EKEYREJECTED key"
)

// enforcement is what the files say of each mode.
func enforcement(m Mode) kernel.Status {
	return map[Mode]kernel.Status{
		Permissive: {Lockdown: "none", Enforced: evidence.Reading{Answer: evidence.No, Evidence: "sig_enforce is N, lockdown is none"}},
		Lockdown:   {Lockdown: "integrity", Enforced: evidence.Reading{Answer: evidence.Yes, Evidence: "lockdown is integrity"}},
		Enforced:   {SigEnforce: evidence.Yes, Lockdown: "integrity", Enforced: evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is Y"}},
	}[m]
}

func TestProbeTable(t *testing.T) {
	tried := map[row]bool{}
	for _, c := range []struct {
		control, keyless, signed string
		row                      row
		value                    Value
		id                       evidence.Answer
		says                     string
	}{
		{permissive, rejected, "ENOEXEC", row{Permissive, quiet, passed}, Trusted, evidence.Yes, "accepts a signature"},
		{permissive, rejected, rejected, row{Permissive, quiet, quiet}, Untrusted, evidence.Yes, "another key"},
		{permissive, rejected, "", row{Permissive, quiet, none}, Unknown, evidence.Yes, "keyless"},
		{permissive, "ENOEXEC", "ENOEXEC", row{Permissive, passed, passed}, Untrusted, evidence.No, "taint"},
		{permissive, "ENOEXEC", "", row{Permissive, passed, none}, Untrusted, evidence.No, "taint"},

		{lockdown, rejected, "ENOEXEC", row{Lockdown, quiet, passed}, Trusted, evidence.Yes, "accepts a signature"},
		{lockdown, rejected, rejected, row{Lockdown, quiet, quiet}, Untrusted, evidence.Yes, "another key"},
		{lockdown, rejected, "", row{Lockdown, quiet, none}, Unknown, evidence.Yes, "keyless"},
		{lockdown, "EPERM", "EPERM", row{Lockdown, policy, policy}, Untrusted, evidence.No, "lockdown"}, // its line is rate-limited
		{lockdown, "EPERM lockdown", "", row{Lockdown, policy, none}, Untrusted, evidence.No, "lockdown"},

		{enforced, rejected, "ENOEXEC", row{Enforced, quiet, passed}, Trusted, evidence.Yes, "accepts a signature"},
		{enforced, rejected, rejected, row{Enforced, quiet, quiet}, Untrusted, evidence.Yes, "another key"},
		{enforced, rejected, "", row{Enforced, quiet, none}, Unknown, evidence.Yes, "keyless"},
		{enforced, noKey, noKey, row{Enforced, policy, policy}, Untrusted, evidence.No, "refused"},
		{enforced, noKey, "", row{Enforced, policy, none}, Untrusted, evidence.No, "refused"},

		{unread, unread, "ENOEXEC", row{Enforced, blind, passed}, Trusted, evidence.Yes, "accepts a signature"},
		{unread, unread, unread, row{Enforced, blind, blind}, Untrusted, evidence.Unknown, "does not accept"},
		{unread, unread, "", row{Enforced, blind, none}, Unknown, evidence.Unknown, "log"},
	} {
		p := probes(c.control, c.keyless, "", c.signed)
		v := JudgeProbes(p, enforcement(c.row.mode))
		if v.Value != c.value || v.ID != c.id || v.Mode != c.row.mode || v.Warning != "" || !strings.Contains(v.Evidence, c.says) {
			t.Errorf("%+v: %+v, want %s, id %s, %q", c.row, v, c.value, c.id, c.says)
		}
		// What the files say may be unknown: the controls suffice.
		if u := JudgeProbes(p, kernel.Status{}); u.Value != v.Value || u.ID != v.ID {
			t.Errorf("%+v without the files: %+v", c.row, u)
		}
		tried[c.row] = true

		// An unusable hash takes away what it could have caused, and no more.
		p.Hash = evidence.Reading{Evidence: "sha512 is not loaded"}
		w := JudgeProbes(p, enforcement(c.row.mode))
		if table[c.row].hashed && (w.Value != Unknown || w.ID != evidence.Unknown || !strings.Contains(w.Evidence, "sha512")) || !table[c.row].hashed && w != v {
			t.Errorf("%+v without the hash: %+v", c.row, w)
		}
	}
	for r := range table {
		if !tried[r] {
			t.Errorf("row %+v has no test", r)
		}
	}
}

// What stands outside of the table is unknown, and so is everything whose controls are not what they should be.
func TestProbesUnknown(t *testing.T) {
	for _, c := range []struct {
		name   string
		probes *kernel.Probes
		mode   Mode // that the files tell of
		change func(*kernel.Probes)
		says   string
	}{
		{"payload refused first, enforced", probes(permissive, "ENOEXEC", "", "ENOEXEC"), Enforced, nil, "before it looks at the signature"},
		{"payload refused first, locked down", probes(permissive, "ENOEXEC", "", "ENOEXEC"), Lockdown, nil, "before it looks at the signature"},
		{"payload refused first, permissive", probes(permissive, "ENOEXEC", "", "ENOEXEC"), Permissive, func(p *kernel.Probes) { p.Broken = attempt("ENOEXEC") }, "5.11"},
		{"no capability", probes("EPERM", "EPERM", "", "EPERM"), Lockdown, func(p *kernel.Probes) { p.Broken = attempt("EPERM") }, "CAP_SYS_MODULE"},
		{"a security module", probes("EPERM", "EPERM", "", ""), Enforced, func(p *kernel.Probes) {
			for _, a := range []**kernel.Attempt{&p.Control, &p.Broken, &p.Stranger, &p.Keyless} {
				*a = attempt("EACCES")
			}
		}, "security module"},
		{"EPERM without lockdown", probes("EPERM", "EPERM", "", ""), Permissive, nil, "something else"},
		{"EPERM under enforcement", probes("EPERM", "EPERM", "", ""), Enforced, nil, "something else"},
		{"EKEYREJECTED without enforcement", probes(enforced, noKey, "", ""), Permissive, nil, "not enforced"},
		{"ENOKEY, before Linux 5.4", probes("ENOKEY", "ENOKEY", "", ""), Enforced, nil, "ENOKEY"},
		{"a broken signature passes", probes(permissive, "ENOEXEC", "", ""), Permissive, func(p *kernel.Probes) { p.Broken = attempt("ENOMEM") }, "ENOMEM"},
		{"no controls", probes(permissive, rejected, "", ""), Permissive, func(p *kernel.Probes) { p.Control = nil }, "controls"},
		{"no order control", probes(permissive, rejected, "", ""), Permissive, func(p *kernel.Probes) { p.Broken = nil }, "controls"},
		{"no stranger", probes(permissive, rejected, "", "ENOEXEC"), Permissive, func(p *kernel.Probes) { p.Stranger = nil }, "does not exist"},
		{"no stranger by SKID", probes(permissive, rejected, rejected, "ENOEXEC"), Permissive, func(p *kernel.Probes) { p.StrangerSKID = nil }, "does not exist"},
		{"nothing asked", probes(permissive, "", "", ""), Permissive, nil, "no probe named"},
		{"only signed", probes(permissive, "", "", "ENOEXEC"), Permissive, nil, "no probe named"},
		{"a stranger is known", probes(permissive, rejected, "", "ENOEXEC"), Permissive, func(p *kernel.Probes) { p.Stranger = attempt(rejected) }, "does not exist"},
		{"a stranger is known, enforced", probes(enforced, rejected, "", ""), Enforced, func(p *kernel.Probes) { p.Stranger = attempt(rejected) }, "does not exist"},
		{"the hash is not there, enforced", probes(enforced, "EKEYREJECTED crypto", "", "EKEYREJECTED crypto"), Enforced, func(p *kernel.Probes) {
			p.Stranger, p.Hash = attempt("EKEYREJECTED crypto"), evidence.Reading{Evidence: "sha512 is not loaded"}
		}, "did not look for the key: sha512 is not loaded"},
		{"a stranger passes, enforced", probes(enforced, rejected, "", "ENOEXEC"), Enforced, func(p *kernel.Probes) { p.Stranger = attempt("ENOEXEC") }, "does not exist"},
		{"unsupported crypto", probes(enforced, "EKEYREJECTED crypto", "", ""), Enforced, nil, "known meaning"},
		{"taken for unsigned", probes(enforced, "EKEYREJECTED unsigned", "", ""), Enforced, nil, "known meaning"},
		{"a reason of tomorrow", probes(enforced, "EKEYREJECTED otherwise", "", ""), Enforced, nil, "known meaning"},
		{"another process is refused too", probes(enforced, "EKEYREJECTED key unsigned", "", ""), Enforced, nil, "known meaning"},
		{"enforcement switched on meanwhile", probes(permissive, noKey, "", ""), Permissive, nil, "known meaning"},
		{"the control's line was not found", probes("EKEYREJECTED", rejected, "", ""), Enforced, nil, "log"},
		{"the control's line is another", probes("EKEYREJECTED otherwise", rejected, "", ""), Enforced, nil, "log"},
		{"log lost during the probe", probes(enforced, "EKEYREJECTED unreadable", "", ""), Enforced, nil, "log"},
		{"the line is a process's", probes("EKEYREJECTED forged", noKey, "", ""), Enforced, nil, "log"},
		{"keyless refused, signed passes, lockdown", probes(lockdown, "EPERM", "", "ENOEXEC"), Lockdown, nil, "known meaning"},
		{"keyless refused, signed passes, enforced", probes(enforced, noKey, "", "ENOEXEC"), Enforced, nil, "known meaning"},
		{"keyless passes, signed is known", probes(permissive, "ENOEXEC", "", rejected), Permissive, nil, "known meaning"},
		{"keyless passes under lockdown", probes(lockdown, "ENOEXEC", "", "ENOEXEC"), Lockdown, nil, "known meaning"},
		{"out of memory", probes(lockdown, "ENOMEM", "", ""), Lockdown, nil, "known meaning"},
		{"loaded", probes(permissive, "loaded", "", ""), Permissive, nil, "loaded the keyless probe"},
		{"tainted", probes(permissive, rejected, "", "ENOEXEC tainted"), Permissive, nil, "from 0 to 8192 during the signed probe"},
		{"the control tainted", probes(permissive, rejected, "", "ENOEXEC"), Permissive, func(p *kernel.Probes) { p.Control = attempt("ENOEXEC tainted") }, "taint"},
		{"issuer known, SKID not", probes(lockdown, rejected, "EPERM", ""), Lockdown, nil, "another SKID"},
		{"SKID known, issuer not", probes(lockdown, "EPERM", rejected, ""), Lockdown, nil, "sign-file -k"},
		{"by SKID out of memory", probes(lockdown, rejected, "ENOMEM", ""), Lockdown, nil, "by SKID"},
	} {
		if c.change != nil {
			c.change(c.probes)
		}
		v := JudgeProbes(c.probes, enforcement(c.mode))
		if v.Value != Unknown || !strings.Contains(v.Evidence, c.says) {
			t.Errorf("%s: %+v, want unknown, %q", c.name, v, c.says)
		}
		if warned := strings.Contains(c.name, "loaded") || strings.Contains(c.name, "tainted"); warned != (v.Warning != "") {
			t.Errorf("%s: warning %q", c.name, v.Warning)
		}
		if v.ID == evidence.Yes && v.Warning == "" {
			t.Errorf("%s: the id counts as known", c.name)
		}
	}
}

func TestProbesBothIDs(t *testing.T) {
	for _, c := range []struct {
		keyless, skid, signed string
		value                 Value
		id                    evidence.Answer
	}{
		{rejected, rejected, "ENOEXEC", Trusted, evidence.Yes},
		{rejected, rejected, rejected, Untrusted, evidence.Yes},
		{rejected, rejected, "", Unknown, evidence.Yes},
		{noKey, noKey, "", Untrusted, evidence.No},
		{noKey, noKey, noKey, Untrusted, evidence.No},
		{rejected, noKey, rejected, Untrusted, evidence.Yes},
		{rejected, noKey, "ENOEXEC", Trusted, evidence.Yes},
		{"", rejected, "", Unknown, evidence.Yes},
		{"", noKey, "", Untrusted, evidence.No},
	} {
		if v := JudgeProbes(probes(enforced, c.keyless, c.skid, c.signed), enforcement(Enforced)); v.Value != c.value || v.ID != c.id {
			t.Errorf("%q, %q, %q: %+v, want %s, %s", c.keyless, c.skid, c.signed, v, c.value, c.id)
		}
	}
}

func TestProbesSeen(t *testing.T) {
	v := JudgeProbes(probes(enforced, rejected, "EKEYREJECTED taint?", "ENOEXEC"), enforcement(Enforced))
	const want = "unsigned EKEYREJECTED (unsigned module), broken EBADMSG, stranger EKEYREJECTED (unavailable key), stranger-skid EKEYREJECTED (unavailable key), " +
		"keyless EKEYREJECTED, keyless-skid EKEYREJECTED, signed ENOEXEC"
	if v.Seen != want || v.Value != Trusted {
		t.Errorf("%+v, want %q", v, want)
	}
}

func TestProbesSeenWithoutLog(t *testing.T) {
	v := JudgeProbes(probes(unread, unread, "", ""), enforcement(Enforced))
	const want = "unsigned EKEYREJECTED, broken EBADMSG, stranger EKEYREJECTED, keyless EKEYREJECTED; kernel log: open /dev/kmsg: permission denied"
	if v.Seen != want {
		t.Errorf("%q, want %q", v.Seen, want)
	}
}

func TestPlatformConsulted(t *testing.T) {
	for _, c := range []struct {
		control, keyless, skid string
		want                   evidence.Answer
	}{
		{enforced, rejected, rejected, evidence.Yes},
		{permissive, rejected, "", evidence.Yes},
		{enforced, noKey, noKey, evidence.No},
		{enforced, noKey, "", evidence.Unknown}, // another certificate of the same name may stand there
		{enforced, rejected, noKey, evidence.Unknown},
		{unread, unread, unread, evidence.Unknown},
	} {
		r := PlatformConsulted(probes(c.control, c.keyless, c.skid, ""), kernel.Status{})
		if r.Answer != c.want || !strings.Contains(r.Evidence, "broken EBADMSG") || r.Source == "" {
			t.Errorf("%q, %q, %q: %+v, want %v", c.control, c.keyless, c.skid, r, c.want)
		}
	}
}

func TestOnlyIn(t *testing.T) {
	const entry, asymmetric = "me: 010203", keyring.TypeAsymmetric
	c := selfSigned(t)
	for name, k := range map[string]struct {
		rings func() []keyring.Ring
		want  bool
	}{
		"there": {func() []keyring.Ring { return put(debian(), keyring.Platform, asymmetric, entry) }, true},
		"there, and others elsewhere": {func() []keyring.Ring {
			return put(put(debian(), keyring.Platform, asymmetric, entry), keyring.Machine, asymmetric, "you: 04")
		}, true},
		"there and revoked": {func() []keyring.Ring {
			return put(put(debian(), keyring.Platform, asymmetric, entry), keyring.Blacklist, asymmetric, entry)
		}, true},
		"nowhere":      {debian, false},
		"another name": {func() []keyring.Ring { return put(debian(), keyring.Platform, asymmetric, "you: 010203") }, false},
		"elsewhere":    {func() []keyring.Ring { return put(debian(), keyring.Machine, asymmetric, entry) }, false},
		"there and elsewhere": {func() []keyring.Ring {
			return put(put(debian(), keyring.Platform, asymmetric, entry), keyring.Machine, asymmetric, entry)
		}, false},
		"there, and the id elsewhere": {func() []keyring.Ring {
			return put(put(debian(), keyring.Platform, asymmetric, entry), keyring.Machine, asymmetric, "you: 010203")
		}, false},
		"there, and an entry without id elsewhere": {func() []keyring.Ring {
			return put(put(debian(), keyring.Platform, asymmetric, entry), keyring.Secondary, asymmetric, "mine")
		}, false},
		"there, and some not seen elsewhere": {func() []keyring.Ring {
			r := put(debian(), keyring.Platform, asymmetric, entry)
			r[0].Unseen = 1
			return r
		}, false},
		"there, and another keyring linked": {func() []keyring.Ring {
			r := put(debian(), keyring.Platform, asymmetric, entry)
			r[1].Rings = append(r[1].Rings, keyring.Key{Serial: 6, Type: keyring.TypeKeyring, Description: ".other"})
			return r
		}, false},
		"as no key": {func() []keyring.Ring { return put(debian(), keyring.Platform, keyring.TypeBlacklist, entry) }, false},
		"not seen":  {func() []keyring.Ring { return nil }, false},
	} {
		if got := OnlyIn(k.rings(), c, keyring.Platform); got != k.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
