package doctor

import (
	"slices"
	"strings"
	"testing"

	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/modsig"
	"kkeys/trust"
)

// ids are those of findings, with their certainty.
func ids(findings []Finding) (all []string) {
	for _, f := range findings {
		all = append(all, f.ID+" "+string(f.Certainty))
	}
	return all
}

func TestDiagnose(t *testing.T) {
	said := func(line string) []Said {
		trouble, ok := kernel.ReadTrouble(line)
		if !ok {
			t.Fatal(line)
		}
		return []Said{{Trouble: trouble, Line: line, Where: "log, line 1"}}
	}
	no, filtered := evidence.Reading{Answer: evidence.No, Evidence: "no CAP_SYS_MODULE"}, evidence.Reading{Evidence: "a filter"}
	expired := &trust.Verdict{Value: trust.Trusted, Gates: []trust.Gate{{Name: trust.GateValidity, Result: trust.Pass, Evidence: "it expired on 2020-01-01"}}}
	signed := func(value trust.Value, failure kernel.Errno, gates ...trust.Gate) Facts {
		return Facts{LogRead: true, Module: &trust.Module{}, Failure: failure, Verdict: &trust.Verdict{Value: value, Gates: gates}}
	}
	listed := trust.Gate{Name: trust.GateRevocation, Result: trust.ResultUnknown, Met: true, Evidence: "it is revoked in .blacklist; not every kernel acts on that"}
	for _, c := range []struct {
		why  string
		f    Facts
		want []string
	}{
		{"nothing", Facts{}, nil},
		{"a container", Facts{Capable: no}, []string{"no-capability possible"}},
		{"a container, refused", Facts{Capable: no, Failure: "EPERM"}, []string{"no-capability likely"}},
		{"a filter", Facts{Capable: filtered}, nil},
		{"a filter, refused", Facts{Capable: filtered, Failure: "EPERM"}, []string{"no-capability possible", "errno possible"}},
		{"a filter, and lockdown speaks", Facts{Capable: filtered, Failure: "EPERM", Said: said("Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7")}, []string{"unsigned likely"}},
		{"forbidden at boot", Facts{Name: "nouveau", Failure: "EPERM", Said: said("Module nouveau is blacklisted")}, []string{"forbidden-at-boot likely"}},
		{"another is forbidden", Facts{Name: "driver", Said: said("Module nouveau is blacklisted")}, nil},
		{"an alias is cut", Facts{Blocks: []Block{{Where: "a.conf", Text: "blacklist x", ByItself: true}}}, []string{"not-by-itself likely"}},
		{"an alias is cut, and modprobe failed", Facts{Failure: "ENODEV", Blocks: []Block{{Where: "a.conf", Text: "blacklist x", ByItself: true}}}, []string{"not-by-itself possible", "errno possible"}},
		{"not searched", Facts{Name: "x"}, nil},
		{"searched, and not all was seen", Facts{Name: "x", Searched: true}, nil},
		{"not there", Facts{Name: "x", Searched: true, Absent: true}, []string{"not-found proven"}},
		{"modules.dep was not read", Facts{Searched: true, Path: "/x.ko"}, nil},
		{"modules.dep lacks it", Facts{Searched: true, Unlisted: true, Path: "/x.ko"}, []string{"depmod proven"}},
		{"a command in its place", Facts{Blocks: []Block{{Where: "a.conf", Text: "install x /bin/echo no", Instead: true}}}, []string{"run-instead possible"}},
		{"another copy, unsigned", Facts{Searched: true, Path: "/x.ko", Chosen: "/x.ko", Copies: []Copy{{Image: "/boot/i", Entry: "x.ko", Unsigned: true}}}, []string{"image-differs likely"}},
		{"another copy", Facts{Searched: true, Path: "/x.ko", Chosen: "/x.ko", Copies: []Copy{{Image: "/boot/i", Entry: "x.ko"}}}, []string{"image-differs possible"}},
		{"modules.dep names what is gone", Facts{Searched: true, Path: "/x.ko", Chosen: "/y/x.ko"}, []string{"depmod proven"}},
		{"dkms's overrides the kernel's", Facts{Searched: true, Path: "/updates/dkms/x.ko", Chosen: "/updates/dkms/x.ko", Others: []string{"/kernel/x.ko"}}, nil},
		{"no file, and a notice", Facts{Failure: "EKEYREJECTED", LogRead: true, Said: said("Loading of module with unavailable key is rejected")}, []string{"unknown-key likely"}},
		{"no file, and another notice", Facts{Failure: "EKEYREJECTED", LogRead: true, Said: said("Loading of unsigned module is rejected")}, []string{"unsigned likely"}},
		{"no file, and two notices", Facts{Failure: "EKEYREJECTED", LogRead: true, Said: append(said("Loading of unsigned module is rejected"), said("Loading of module with unavailable key is rejected")...)},
			[]string{"unknown-key possible", "errno possible"}},
		{"no file, and no notice", Facts{Failure: "EKEYREJECTED", LogRead: true}, []string{"wrong-signature possible", "errno possible"}},
		{"no file, and no log", Facts{Failure: "EKEYREJECTED"}, []string{"errno possible"}},
		{"no file, and lockdown", Facts{Failure: "EPERM", LogRead: true, Said: said("Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7")}, []string{"unsigned likely"}},
		{"an old log", Facts{Name: "x", Kernel: kernel.Status{Release: "6.2"}, Info: &kernel.Info{Vermagic: "6.2 SMP "}, Said: said("x: version magic '6.2 SMP ' should be '6.1 SMP '")}, nil},
		{"another kernel's", Facts{Name: "x", Kernel: kernel.Status{Release: "6.2"}, Info: &kernel.Info{Vermagic: "6.1 SMP "}, Said: said("x: version magic '6.1 SMP ' should be '6.2 SMP '")}, []string{"made-for-another-kernel proven"}},
		{"another kernel's, and no file", Facts{Name: "x", Kernel: kernel.Status{Release: "6.2"}, Said: said("x: version magic '6.1 SMP ' should be '6.2 SMP '")}, []string{"made-for-another-kernel likely"}},
		{"an old log, and no file", Facts{Name: "x", Kernel: kernel.Status{Release: "6.3"}, Said: said("x: version magic '6.1 SMP ' should be '6.2 SMP '")}, nil},
		{"another kernel's, symbols have versions", Facts{Kernel: kernel.Status{Release: "6.2"}, Info: &kernel.Info{Vermagic: "6.1 SMP modversions "}}, []string{"made-for-another-kernel proven"}},
		{"tainting, and no file", Facts{Name: "x", Said: said("x: module verification failed: signature and/or required key missing - tainting kernel")}, []string{"unsigned likely"}},
		{"no modules at all", Facts{Modular: no}, []string{"no-modules proven"}},
		{"the kernel cannot verify", Facts{Hash: "sha256", Failure: "EKEYREJECTED", Module: &trust.Module{Hash: evidence.Reading{Answer: evidence.Yes}}, Verdict: &trust.Verdict{Value: trust.Unknown},
			Said: said("Loading of module with unsupported crypto is rejected")}, []string{"key-unsupported likely"}},
		{"two for the same", Facts{Name: "x", Said: said("x: exports duplicate symbol y (owned by z)")}, []string{"duplicate-symbol likely"}},
		{"an earlier attempt's", Facts{Name: "x", Failure: "EKEYREJECTED", Said: said("x: exports duplicate symbol y (owned by z)")}, []string{"errno possible"}},
		{"an install line", Facts{Name: "x", Said: said("modprobe: ERROR: Error running install command '/bin/false' for module x: retcode 1")}, []string{"blocked likely"}},
		{"another's hash", Facts{Module: &trust.Module{SHA256: [32]byte{1}}, Said: said("Module hash 02 is blacklisted")}, nil},
		{"revoked, and refused", signed(trust.Unknown, "EKEYREJECTED", listed), []string{"revoked likely"}},
		{"in dbx, and refused", signed(trust.Unknown, "EKEYREJECTED", trust.Gate{Name: trust.GateForbidden, Result: trust.Fail, Evidence: "it is in dbx"}), []string{"revoked likely"}},
		{"revoked, and nothing was tried", signed(trust.Unknown, "", listed), nil},
		{"revoked, and it counts all the same", signed(trust.Trusted, "EKEYREJECTED", listed), []string{"errno possible"}},
		{"revoked, and not there", signed(trust.Unknown, "EKEYREJECTED", listed, trust.Gate{Name: trust.GatePresent, Result: trust.Fail}), []string{"unknown-key likely"}},
		{"BER", Facts{Module: &trust.Module{Err: modsig.ErrNotDER}}, nil},
		{"expired", Facts{Verdict: expired, Failure: "EKEYREJECTED"}, []string{"errno possible", "expired proven"}},
	} {
		if got := ids(Diagnose(c.f)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// TestPlatform: what keeps a key from .machine is no cause where .platform counts.
func TestPlatform(t *testing.T) {
	notice := Said{Trouble: kernel.Trouble{Kind: kernel.SaidKey}, Line: "Loading of module with unavailable key is rejected"}
	for _, c := range []struct {
		present  trust.Result
		platform evidence.Answer
		want     []string
	}{
		{trust.Pass, evidence.Yes, nil},
		{trust.Fail, evidence.Yes, []string{"enrolled-not-loaded likely"}},
		{trust.Fail, evidence.No, []string{"no-authority likely"}},
		{trust.Pass, evidence.Unknown, []string{"no-authority likely"}},
	} {
		f := Facts{Module: &trust.Module{}, Platform: c.platform, Said: []Said{notice}, Verdict: &trust.Verdict{Value: trust.Unknown, Gates: []trust.Gate{
			{Name: trust.GatePresent, Result: c.present}, {Name: trust.GateConsulted, Result: trust.ResultUnknown}, {Name: trust.GateEnrolled, Result: trust.Pass}, {Name: trust.GateAuthority, Result: trust.Fail},
		}}}
		if got := ids(Diagnose(f)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestUnverifiable: what kernels before 5.4 refused with ENOPKG, also where they do not enforce signatures, does not load all the same.
func TestUnverifiable(t *testing.T) {
	for _, c := range []struct {
		release   string
		failure   kernel.Errno
		tolerated bool
	}{
		{"4.19.0-26-amd64", "ENOPKG", false}, {"5.3.18-57-default", "ENOPKG", false}, {"5.4.0-1", "ENOPKG", true}, {"6.1", "ENOPKG", true}, {"", "ENOPKG", true},
		{"4.19.0-26-amd64", "", true}, // nothing was tried, and the distribution may have brought what tolerates it
	} {
		missing := evidence.Reading{Answer: evidence.No}
		f := Facts{Module: &trust.Module{Hash: missing}, Hash: "sha512", Failure: c.failure, Kernel: kernel.Status{Release: c.release, Enforced: evidence.Reading{Answer: evidence.No}}}
		got := Diagnose(f)
		if len(got) == 0 || got[0].ID != "hash-missing" || strings.HasPrefix(got[0].Cause, "it loads here all the same") != c.tolerated {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// TestOfKernel: nobody's package brings back what it did not bring.
func TestOfKernel(t *testing.T) {
	const release = "6.1.0-1"
	in, out := &kernel.Info{InTree: true, Vermagic: release + " SMP "}, &kernel.Info{Vermagic: release + " SMP "}
	below := "/lib/modules/" + release + "/kernel/x.ko"
	for _, c := range []struct {
		path   string
		info   *kernel.Info
		builds []Build
		want   bool
	}{
		{below, in, nil, true}, {"/tmp/x.ko", in, nil, true}, {below, nil, nil, true}, {below, out, nil, false}, {below, in, []Build{{Tool: "dkms"}}, false},
		{below, nil, []Build{{Tool: "dkms"}}, false}, {"/lib/modules/6.2/kernel/x.ko", nil, nil, false}, {"/lib/modules/" + release + "/updates/x.ko", nil, nil, false},
	} {
		if got := (Facts{Path: c.path, Info: c.info, Builds: c.builds, Kernel: kernel.Status{Release: release}}).ofKernel(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestLastResorts: they are offered only where they change something, the least first.
func TestLastResorts(t *testing.T) {
	yes, no := evidence.Yes, evidence.No
	status := func(enforced evidence.Answer, lockdown string, config kernel.Config, words ...string) kernel.Status {
		var p kernel.Parameters
		for _, w := range words {
			name, value, set := strings.Cut(w, "=")
			p = append(p, kernel.Parameter{Name: name, Value: value, Set: set, Word: w})
		}
		return kernel.Status{Enforced: evidence.Reading{Answer: enforced}, Lockdown: lockdown, Config: config, CommandLine: p}
	}
	for _, c := range []struct {
		why                 string
		k                   kernel.Status
		secureBoot, shim    evidence.Answer
		want                []Action
		lockdown, noMention string // in, and not in, what is said of lockdown
	}{
		{"nothing is enforced", status(no, "none", nil), yes, yes, nil, "", ""},
		{"all of it", status(yes, "integrity", nil, "module.sig_enforce=1"), yes, yes, []Action{EnforceOff, LockdownLift, ValidationOff, SecureBootOff}, "where the kernel has that", ""},
		{"no shim", status(yes, "integrity", kernel.Config{"ALLOW_LOCKDOWN_LIFT_BY_SYSRQ": "y"}), yes, no, []Action{LockdownLift, SecureBootOff}, "until the next boot;", "where the kernel"},
		{"a kernel without the key", status(yes, "confidentiality", kernel.Config{"MODULE_SIG": "y"}), no, no, []Action{LockdownLift}, "does nothing on this kernel", "until"},
		{"a word that switches nothing on", status(yes, "none", nil, "module.sig_enforce=0"), no, yes, nil, "", ""},
		{"a kernel built to enforce", status(yes, "none", kernel.Config{"MODULE_SIG_FORCE": "y"}, "module.sig_enforce"), no, yes, nil, "", ""},
		{"no Secure Boot", status(yes, "none", nil, "module.sig_enforce"), no, yes, []Action{EnforceOff}, "", ""},
	} {
		var got []Action
		for _, r := range LastResorts(c.k, c.secureBoot, c.shim) {
			got = append(got, r.Do)
			if r.Price == "" || r.Do == LockdownLift && (!strings.Contains(r.Price, c.lockdown) || c.noMention != "" && strings.Contains(r.Price, c.noMention)) {
				t.Errorf("%s: %s: %q", c.why, r.Do, r.Price)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// TestNoWay: where nothing that is enrolled would count, no enrolment is advised.
func TestNoWay(t *testing.T) {
	barrier := func(mend trust.Mend) trust.Gate {
		return trust.Gate{Name: trust.GateMachine, Result: trust.Fail, Evidence: "no .machine", Mend: mend}
	}
	key := Key{Private: "k", Certificate: "c", Trusted: trust.Untrusted}
	for _, c := range []struct {
		why  string
		f    Facts
		want string // the actions of the ways, or why there are none
	}{
		{"a trusted key", Facts{Keys: []Key{{Trusted: trust.Trusted}, key}, NewKey: barrier("")}, "sign"},
		{"a key to enroll", Facts{Keys: []Key{key}}, "enroll sign"},
		{"a barrier before it", Facts{Keys: []Key{{Barrier: barrier(trust.MendTrustList)}}, NewKey: barrier(trust.MendTrustList)}, "trust-list enroll sign"},
		{"a leaf where an authority is wanted", Facts{Keys: []Key{{Barrier: barrier("")}}, Authority: true}, "make-authority"},
		{"no key", Facts{}, "make-key"},
		{"nothing helps", Facts{Keys: []Key{{Barrier: barrier("")}}, NewKey: barrier("")}, "no key that is enrolled would count: no .machine"},
	} {
		finding := c.f.resigned(Finding{})
		var got []string
		for _, way := range finding.Ways {
			for _, r := range way {
				got = append(got, string(r.Do))
			}
		}
		if text := strings.Join(got, " ") + finding.NoWay; text != c.want {
			t.Errorf("%s: %q, want %q", c.why, text, c.want)
		}
	}
}
