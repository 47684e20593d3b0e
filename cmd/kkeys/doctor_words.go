package main

import (
	"fmt"
	"path"
	"strings"

	"kkeys/doctor"
	"kkeys/evidence"
	"kkeys/trust"
)

// describe words a diagnosis for this machine.
func (s *session) describe(f doctor.Facts, findings []doctor.Finding) diagnosisDocument {
	d := diagnosisDocument{Name: f.Name, Path: known(f.Path), Findings: []causeDocument{}}
	if f.Verdict != nil {
		d.Verdict = &f.Verdict.Value
	}
	for _, finding := range findings {
		c := causeDocument{ID: finding.ID, Cause: finding.Cause, Certainty: string(finding.Certainty), Concerns: finding.Concerns,
			Reference: known(finding.Reference), Harmless: finding.Harmless, Evidence: []string{}, Fixes: []fixDocument{}}
		c.NoWay = known(finding.NoWay)
		for _, e := range finding.Evidence {
			c.Evidence = append(c.Evidence, short(e))
		}
		for _, way := range finding.Ways {
			if fix := s.fixOf(way, f); len(fix.Commands) > 0 {
				c.Fixes = append(c.Fixes, fix)
			}
		}
		if len(finding.Ways) > 0 && len(c.Fixes) == 0 && c.NoWay == nil {
			c.NoWay = known("the command for it is not known here")
		}
		d.Findings = append(d.Findings, c)
	}
	if f.Verdict != nil && f.Verdict.Value != trust.Trusted && f.Kernel.Enforced.Answer != evidence.No && !d.causes() {
		d.Doubt = known(doubt(f))
	}
	if f.Path == "" && !f.Absent && !d.causes() {
		d.Doubt = known("no file of that name could be looked for")
	}
	return d
}

// doubt is the first thing that decides and is not known.
func doubt(f doctor.Facts) string {
	for _, g := range f.Verdict.Gates {
		if g.Decides && g.Result != trust.Pass && g.Result != trust.NotApplicable {
			return g.Name + ": " + g.Evidence
		}
	}
	return "its signature is not known to count"
}

// textMax bounds what a module, or a log, says of itself, in bytes.
const textMax = 1000

func short(text string) string {
	if len(text) <= textMax {
		return text
	}
	return strings.ToValidUTF8(text[:textMax], "") + "…"
}

// boot is what follows a request to MokManager.
const boot = "reboot"

// fixOf words one way out, to the module's being loaded.
func (s *session) fixOf(way doctor.Way, f doctor.Facts) (fix fixDocument) {
	add := func(commands ...string) {
		for _, command := range commands {
			if command != "" { // not known here
				fix.Commands = append(fix.Commands, command)
			}
		}
	}
	note := func(text string) {
		if fix.Note != nil && !strings.Contains(*fix.Note, text) {
			text = *fix.Note + "; " + text
		}
		fix.Note = &text
	}
	dkms := func(private, certificate string) { // it has a key of its own
		if strings.Contains(f.Path, "/updates/dkms/") && !strings.HasPrefix(private, "/var/lib/dkms/") {
			note(fmt.Sprintf("to have dkms sign with it from now on: (echo mok_signing_key=%s; echo mok_certificate=%s) | sudo tee /etc/dkms/framework.conf.d/kkeys.conf", argument(private), argument(certificate)))
		}
	}
	loads := true
	for _, r := range way {
		file := argument(r.Path)
		switch r.Do {
		case doctor.Sign:
			add(fmt.Sprintf("sudo kkeys sign --key %s --cert %s %s", argument(r.Private), argument(r.Certificate), file))
			dkms(r.Private, r.Certificate)
		case doctor.MakeKey, doctor.MakeAuthority:
			private, certificate := s.newKey()
			add(makeKey(r.Do, private, certificate, file)...)
			if r.Do == doctor.MakeAuthority {
				note("the kernel forgets at each boot what keyctl padd gave it: that command comes again before the module is loaded")
			}
			note("at the boot MokManager asks: Enroll MOK, Continue, Yes, the password, Reboot")
			dkms(private, certificate)
		case doctor.Enroll:
			add("sudo kkeys enroll "+argument(r.Certificate), boot)
			note("at the boot MokManager asks: Enroll MOK, Continue, Yes, the password, Reboot")
		case doctor.Confirm:
			add(boot)
			note("at the boot MokManager asks: press a key within ten seconds, Enroll MOK, Continue, Yes, the password, Reboot")
		case doctor.Cancel:
			add(fixes[trust.MendCancel])
			loads = false
		case doctor.LoadHash:
			if module := hashModules[r.Hash]; module != "" {
				add("sudo modprobe " + module)
				note("to have it at every boot: echo " + module + " | sudo tee /etc/modules-load.d/kkeys.conf")
			}
		case doctor.LoadKeys:
			add(fixes[trust.MendKeyAlgorithm])
		case doctor.TrustList:
			add(fixes[trust.MendTrustList], boot)
		case doctor.Validation:
			add(fixes[trust.MendValidation], boot)
		case doctor.SecureBoot:
			add(fixes[trust.MendSecureBoot])
			note("in the firmware's setup, switch Secure Boot on; what is not signed no longer starts then")
		case doctor.Repack:
			unpack := map[string]string{".gz": "gunzip", ".xz": "unxz", ".zst": "unzstd --rm"}[path.Ext(r.Path)]
			if unpack == "" {
				continue
			}
			add("sudo " + unpack + " " + file)
			unpacked := strings.TrimSuffix(f.Path, path.Ext(f.Path))
			if f.Chosen == f.Path {
				f.Chosen = unpacked
			}
			f.Path = unpacked
			if underModules(f.Path) {
				add("sudo depmod -a")
			}
		case doctor.Rebuild:
			add(s.rebuild(f)...)
			if strings.HasPrefix(fix.Commands[len(fix.Commands)-1], "make ") {
				note("in the folder of the module's source; or get it anew from where it came")
			}
			loads = false
		case doctor.BuildModule:
			add(s.headers(f), s.build(r, f))
		case doctor.Depmod:
			add("sudo depmod " + shellWord(f.Kernel.Release))
		case doctor.RenewImage:
			add(s.renew(f))
			loads = false
		case doctor.Reinstall:
			add(s.reinstallKernel(f))
			if !underModules(f.Path) && f.Called != "" { // the distribution's file, wherever this one lies
				f.Name = f.Called
			}
			f.Path = ""
		case doctor.Reboot:
			add(boot)
		case doctor.Unblock:
			add(s.unblock(r, f)...)
			loads = r.Path != commandLine
		case doctor.LoadFirst, doctor.Unload:
			names := make([]string, len(r.Modules))
			for i, name := range r.Modules {
				names[i] = argument(name)
			}
			add(map[doctor.Action]string{doctor.LoadFirst: "sudo modprobe -a ", doctor.Unload: "sudo modprobe -r "}[r.Do] + strings.Join(names, " "))
		}
	}
	if load := s.load(f); loads && len(fix.Commands) > 0 {
		add(load)
	}
	return fix
}

// load is the command that loads the module in the end.
func (s *session) load(f doctor.Facts) string {
	// modprobe loads what is there for the running kernel, and of several files its own choice.
	own := strings.Contains(f.Path, "/modules/"+f.Kernel.Release+"/") && (f.Chosen == "" || f.Chosen == f.Path)
	if f.Path == "" || underModules(f.Path) && own {
		return "sudo modprobe " + shellWord(f.Name)
	}
	return "sudo insmod " + argument(f.Path)
}

// underModules tells whether modprobe finds a file.
func underModules(file string) bool {
	return strings.HasPrefix(file, "/lib/modules/") || strings.HasPrefix(file, "/usr/lib/modules/")
}

// hashModules are the aliases by which modprobe finds a hash.
var hashModules = map[string]string{"sha1": "crypto-sha1", "sha224": "crypto-sha224", "sha256": "crypto-sha256", "sha384": "crypto-sha384", "sha512": "crypto-sha512",
	"sha3-256": "crypto-sha3-256", "sha3-384": "crypto-sha3-384", "sha3-512": "crypto-sha3-512"}

// newKey is where a key made here belongs: where the tools of this machine look for theirs, unless something is there already, or nobody can see.
func (s *session) newKey() (private, certificate string) {
	free := func(private, certificate string) bool {
		root := strings.TrimSuffix(certificate, path.Ext(certificate)) + "-root"
		return s.machine.Free(private) && s.machine.Free(certificate) && s.machine.Free(root+".priv") && s.machine.Free(root+".x509")
	}
	for _, place := range []struct{ folder, private, certificate string }{
		{"var/lib/dkms", "mok.key", "mok.pub"}, {"var/lib/shim-signed/mok", "MOK.priv", "MOK.der"}, {"root", "MOK.priv", "MOK.der"},
	} {
		private, certificate := path.Join(place.folder, place.private), path.Join(place.folder, place.certificate)
		if (s.machine.HasFolder(place.folder) || place.folder == "root") && free(private, certificate) {
			return "/" + private, "/" + certificate
		}
	}
	for n := 1; ; n++ { // some name is free; generate overwrites nothing where that cannot be seen
		private, certificate := fmt.Sprintf("root/kkeys-%d.priv", n), fmt.Sprintf("root/kkeys-%d.der", n)
		if n > namesMax || free(private, certificate) {
			return "/" + private, "/" + certificate
		}
	}
}

// makeKey makes a key that counts when it is enrolled. Of an authority the root is enrolled, and vouches for the signer until the next boot.
func makeKey(how doctor.Action, private, certificate, file string) []string {
	pair := fmt.Sprintf("--key %s --cert %s", argument(private), argument(certificate))
	sign := "sudo kkeys sign " + pair + " " + file
	if how == doctor.MakeKey {
		return []string{"sudo kkeys generate " + pair, "sudo kkeys enroll " + argument(certificate), boot, sign}
	}
	root := strings.TrimSuffix(certificate, path.Ext(certificate)) + "-root"
	return []string{fmt.Sprintf("sudo kkeys generate --profile ca %s --root-key %s.priv --root-cert %s.x509", pair, argument(root), argument(root)), "sudo kkeys enroll " + argument(root+".x509"), boot,
		"sudo sh -c \"keyctl padd asymmetric '' %:.secondary_trusted_keys < " + argument(certificate) + "\"", sign}
}
