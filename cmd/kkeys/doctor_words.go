package main

import (
	"fmt"
	"path"
	"strings"

	"kkeys/doctor"
	"kkeys/trust"
)

// describe words a diagnosis for this machine.
func (s *session) describe(f doctor.Facts, findings []doctor.Finding) diagnosisDocument {
	d := diagnosisDocument{Name: f.Name, Path: known(f.Path), Findings: []causeDocument{}}
	if f.Verdict != nil {
		d.Verdict = &f.Verdict.Value
	}
	for _, finding := range findings {
		c := causeDocument{ID: finding.ID, Cause: finding.Cause, Certainty: string(finding.Certainty), Evidence: finding.Evidence, Concerns: finding.Concerns,
			Reference: known(finding.Reference), Harmless: finding.Harmless, Fixes: []fixDocument{}}
		if c.Evidence == nil {
			c.Evidence = []string{}
		}
		for _, way := range separate(finding.Remedies) {
			if fix := s.fixOf(way, f); len(fix.Commands) > 0 {
				c.Fixes = append(c.Fixes, fix)
			}
		}
		d.Findings = append(d.Findings, c)
	}
	return d
}

// separate gives remedies that stand alone; a signature follows what makes its key trusted.
func separate(remedies []doctor.Remedy) (all [][]doctor.Remedy) {
	for i := 0; i < len(remedies); i++ {
		way := remedies[i : i+1]
		if remedies[i].Do == doctor.Enroll && i+1 < len(remedies) && remedies[i+1].Do == doctor.Sign && remedies[i+1].Certificate == remedies[i].Certificate {
			way = remedies[i : i+2]
			i++
		}
		all = append(all, way)
	}
	return all
}

// boot is what follows a request to MokManager.
const boot = "reboot"

// fixOf words one way out, to the module's being loaded.
func (s *session) fixOf(way []doctor.Remedy, f doctor.Facts) (fix fixDocument) {
	add := func(commands ...string) {
		for _, command := range commands {
			if command != "" { // not known for this distribution
				fix.Commands = append(fix.Commands, command)
			}
		}
	}
	note := func(text string) { fix.Note = &text }
	loads := true
	for _, r := range way {
		file := argument(r.Path)
		switch r.Do {
		case doctor.Sign:
			add(fmt.Sprintf("sudo kkeys sign --key %s --cert %s %s", argument(r.Private), argument(r.Certificate), file))
			if strings.Contains(f.Path, "/updates/dkms/") && !strings.HasPrefix(r.Private, "/var/lib/dkms/") {
				note(fmt.Sprintf("to have dkms sign with it from now on: printf 'mok_signing_key=%%s\\nmok_certificate=%%s\\n' %s %s | sudo tee /etc/dkms/framework.conf.d/kkeys.conf", argument(r.Private), argument(r.Certificate)))
			}
		case doctor.MakeKey:
			private, certificate := s.newKey()
			add(fmt.Sprintf("sudo kkeys generate --key %s --cert %s", argument(private), argument(certificate)), "sudo kkeys enroll "+argument(certificate), boot,
				fmt.Sprintf("sudo kkeys sign --key %s --cert %s %s", argument(private), argument(certificate), file))
			note("at the boot MokManager asks: Enroll MOK, Continue, Yes, the password, Reboot")
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
			add("sudo modprobe " + hashModules[r.Hash])
			note("to have it at every boot: echo " + hashModules[r.Hash] + " | sudo tee /etc/modules-load.d/kkeys.conf")
		case doctor.LoadKeys:
			add(fixes[trust.MendKeyAlgorithm])
		case doctor.TrustList:
			add(fixes[trust.MendTrustList], boot)
		case doctor.Validation:
			add(fixes[trust.MendValidation], boot)
		case doctor.SecureBoot:
			add(fixes[trust.MendSecureBoot])
		case doctor.Repack:
			unpack := unpackers[path.Ext(r.Path)]
			if unpack == "" {
				continue
			}
			add("sudo " + strings.Replace(unpack, " -k", "", 1) + " " + file)
			f.Path = strings.TrimSuffix(f.Path, path.Ext(f.Path))
			if underModules(f.Path) {
				add("sudo depmod -a")
			}
		case doctor.Rebuild:
			add(s.rebuild(f)...)
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
		case doctor.Reboot:
			add(boot)
		case doctor.Unblock:
			add(s.unblock(r, f)...)
			loads = r.Path != commandLine
		case doctor.AskAsRoot:
			add("sudo kkeys doctor " + argument(f.Name))
			loads = false
		}
	}
	if load := s.load(f); loads && len(fix.Commands) > 0 {
		add(load)
	}
	return fix
}

// load is the command that loads the module in the end.
func (s *session) load(f doctor.Facts) string {
	if f.Path == "" || underModules(f.Path) {
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

// newKey is where a key made here belongs: where the tools of this machine look for theirs.
func (s *session) newKey() (private, certificate string) {
	for _, place := range []struct{ folder, private, certificate string }{
		{"var/lib/dkms", "mok.key", "mok.pub"}, {"var/lib/shim-signed/mok", "MOK.priv", "MOK.der"},
	} {
		if s.machine.HasFolder(place.folder) {
			return "/" + path.Join(place.folder, place.private), "/" + path.Join(place.folder, place.certificate)
		}
	}
	return "/root/MOK.priv", "/root/MOK.der"
}
