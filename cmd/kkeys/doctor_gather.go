package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"kkeys/doctor"
	"kkeys/initrd"
	"kkeys/kernel"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/trust"
)

// factsOf gathers what doctor goes by for one module, named by its file or as for modprobe.
func (s *session) factsOf(arg string, p proof, common trust.Facts, document *trustedDocument) (f doctor.Facts, err error) {
	f.Kernel, f.Processor = common.Kernel, processors[s.machine.Processor()]
	f.Modular = s.modular(common.Kernel)
	f.NewKey, f.Authority, f.Platform = trust.Barrier(common, nil), trust.WantsAuthority(common), common.PlatformCounts()
	if !s.elsewhere {
		f.Capable = kernel.MayLoad(s.machine.Files)
	}
	var data []byte
	if isFile(arg) {
		f.Name = kernel.ModuleName(arg)
		if data, err = machine.ReadFile(arg); err != nil {
			return f, failed("%w", err)
		}
		if !s.elsewhere && underModules(arg) && strings.Contains(arg, "/modules/"+f.Kernel.Release+"/") { // what holds for its name holds for the file
			if _, err := s.byName(&f, &document.envelope); err != nil {
				return f, err
			}
			if sameFile(arg, f.Chosen) {
				f.Chosen = arg
			} else { // modprobe takes another, which is not asked about
				f.Searched = false
			}
		}
		f.Path = arg
	} else {
		f.Name = kernel.ModuleName(arg)
		if data, err = s.byName(&f, &document.envelope); err != nil {
			return f, err
		}
	}
	for _, b := range s.machine.Builds(f.Kernel.Release, f.Name) {
		f.Builds = append(f.Builds, doctor.Build(b))
	}
	if data == nil {
		return f, nil
	}
	s.listAgain(&common)
	j := s.judge(f.Path, data, p, common, document)
	f.Module, f.Verdict, f.Certificate, f.Packing = &j.judged, &j.verdict, j.about.certificate, modsig.PackingOf(data)
	if signer := describeSigner(j.module.Signer); signer != nil {
		f.Signer, f.Hash = signer.String(), signer.Hash
		if signer.KeyID != nil {
			f.KeyID = *signer.KeyID
		}
	}
	if key := j.module.Result.Key; key != nil {
		f.KeyID, f.Barrier = key.Details().KeyID, trust.Barrier(common, key)
	}
	if unpacked, uerr := modsig.Unpack(data, modsig.MaxModule); uerr == nil {
		f.Content = unpacked.Module
		if f.Info, f.InfoErr = kernel.ParseInfo(unpacked.Module); f.InfoErr == nil {
			f.Called = kernel.ModuleName(f.Info.Name) // as the log calls it, whatever the file is called
		}
	}
	return f, nil
}

// byName finds and reads the module of a name that belongs to the kernel.
func (s *session) byName(f *doctor.Facts, e *envelope) ([]byte, error) {
	if s.tree == nil {
		tree, err := s.machine.ModuleTree(f.Kernel.Release)
		if err != nil {
			e.missing("modules", err)
		}
		if tree == nil {
			return nil, nil
		}
		s.tree = tree
	}
	named := s.tree.Find(f.Name)
	if named.Alias != "" {
		f.Name = named.Alias
	}
	f.Builtin, f.Searched, f.Absent, f.Unlisted = named.Builtin, true, named.Absent, named.Unlisted
	f.Chosen, f.Blocks = named.Chosen, blocks(named.Rules, f.Kernel.CommandLine, f.Name)
	if len(named.Files) == 0 {
		return nil, nil
	}
	chosen := max(0, slices.IndexFunc(named.Files, func(m machine.ModuleFile) bool { return m.Path == named.Chosen }))
	for i, file := range named.Files {
		if i != chosen {
			f.Others = append(f.Others, file.Path)
		}
	}
	f.Path = named.Files[chosen].Path
	data, err := s.machine.ReadModuleFile(named.Files[chosen], nil)
	if err != nil {
		return nil, failed("%w", err)
	}
	return data, nil
}

// blocks are the lines of modprobe.d, and the words of the kernel's command line, that keep a module from being loaded.
func blocks(rules []machine.Rule, words kernel.Parameters, name string) (all []doctor.Block) {
	for _, rule := range rules {
		if rule.Blocks || rule.ByItself || rule.Instead {
			all = append(all, doctor.Block{Where: rule.File, Text: rule.Text, ByItself: rule.ByItself, Instead: rule.Instead})
		}
	}
	var refused *doctor.Block
	for _, word := range words {
		list := strings.Split(word.Value, ",")
		switch {
		case word.Is("modprobe.blacklist") && slices.ContainsFunc(list, func(n string) bool { return kernel.ModuleName(n) == name }): // kmod's libkmod-config.c, kcmdline_parse_result
			all = append(all, doctor.Block{Where: commandLine, Text: word.Word, ByItself: true})
		case word.Is("module_blacklist"): // the last list counts, and names as modules have them (kernel/module/main.c, blacklisted)
			if refused = nil; slices.Contains(list, name) {
				refused = &doctor.Block{Where: commandLine, Text: word.Word, Kernel: true}
			}
		}
	}
	if refused != nil {
		all = append(all, *refused)
	}
	return all
}

const commandLine = "/proc/cmdline"

// copies finds, in the images of an initramfs for the kernel, other modules of the names that were found in its folder.
func (s *session) copies(facts []doctor.Facts, e *envelope) {
	wanted := map[string]*doctor.Facts{}
	for i, f := range facts {
		if f.Searched && f.Content != nil {
			wanted[f.Name] = &facts[i]
		}
	}
	if len(wanted) == 0 {
		return
	}
	for _, image := range s.machine.Images(facts[0].Kernel.Release) {
		if err := s.copiesIn(image, wanted); err != nil {
			e.missing(image, err)
		}
	}
}

func (s *session) copiesIn(image string, wanted map[string]*doctor.Facts) error {
	file, err := s.machine.OpenImage(image)
	if err != nil {
		return err
	}
	defer file.Close()
	return eachModule(file, func(entry initrd.File, data []byte) {
		f := wanted[kernel.ModuleName(entry.Name)]
		if f == nil || !strings.Contains(entry.Name, "modules/"+f.Kernel.Release+"/") {
			return
		}
		unpacked, err := modsig.Unpack(data, modsig.MaxModule)
		if err != nil || bytes.Equal(unpacked.Module, f.Content) { // what is damaged does not load from there
			return
		}
		_, _, err = modsig.Split(unpacked.Module)
		f.Copies = append(f.Copies, doctor.Copy{Image: image, Entry: entry.Name, Unsigned: errors.Is(err, modsig.ErrUnsigned)})
	})
}

// sameFile tells whether two paths lead to one file.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, oerr := os.Stat(b)
	return err == nil && oerr == nil && os.SameFile(one, other)
}

// processors are debug/elf's names of what the kernel calls its own (uname -m).
var processors = map[string]string{"x86_64": "EM_X86_64", "i686": "EM_386", "aarch64": "EM_AARCH64", "armv7l": "EM_ARM", "riscv64": "EM_RISCV", "ppc64le": "EM_PPC64", "s390x": "EM_S390", "loongarch64": "EM_LOONGARCH"}

// keyPairs are the private keys at the places where tools keep them, with the certificate beside each, and how the kernel stands to it. A private key
// is not opened: the names belong together.
func (s *session) keyPairs(common trust.Facts, e *envelope) (pairs []doctor.Key) {
	keys, unseen := s.machine.KeyFiles()
	for _, n := range unseen {
		e.missing(n.Source, n.Err)
	}
	for _, key := range keys {
		for _, stored := range common.Stored {
			file, is := strings.CutPrefix(stored.Where, "file:")
			if !is || !beside(key.Path, file) {
				continue
			}
			facts := common
			s.inquire(&facts, stored.Certificate)
			pairs = append(pairs, doctor.Key{Private: key.Path, Certificate: file, Trusted: trust.Judge(facts).Value, Barrier: trust.Barrier(common, stored.Certificate)})
			break
		}
	}
	slices.SortStableFunc(pairs, func(a, b doctor.Key) int { return rank(a) - rank(b) })
	return pairs
}

func rank(k doctor.Key) int {
	return map[trust.Value]int{trust.Trusted: 0, trust.Unknown: 1, trust.Untrusted: 2}[k.Trusted]
}

// beside tells whether a private key and a certificate have one name, in one folder or in those that akmods has for the two.
func beside(private, certificate string) bool {
	stem := func(p string) string { return strings.TrimSuffix(path.Base(p), path.Ext(p)) }
	one, other := path.Dir(private), path.Dir(certificate)
	return stem(private) == stem(certificate) && (one == other || path.Dir(one) == path.Dir(other) && path.Base(one) == "private" && path.Base(other) == "certs")
}

// machineFindings are those of `status`, and what the log says of certificates that the kernel did not take at boot.
func (s *session) machineFindings(said []doctor.Said, document *doctorDocument) {
	status := &statusDocument{Findings: []findingDoc{}}
	quiet := s.quiet
	s.quiet = true // its screen is not wanted
	s.runStatus(status, false)
	s.quiet = quiet
	document.Machine = status.Findings
	document.also(status.NotSeen)
	lines := func(id, message, then string, is func(doctor.Said) bool) {
		found := slices.DeleteFunc(slices.Clone(said), func(t doctor.Said) bool { return !is(t) })
		if len(found) == 0 {
			return
		}
		last, more := found[len(found)-1], ""
		if n := len(found) - 1; n > 0 {
			more = fmt.Sprintf(", and %s like it", count(n, "line", "lines"))
		}
		document.Machine = append(document.Machine, finding(id, message+": "+last.Where+": "+last.Line+more+then, ""))
	}
	lines("certificate-refused-at-boot", "the kernel did not take a certificate that was handed to it", "", func(t doctor.Said) bool {
		return t.Kind == kernel.SaidCertificate || t.Kind == kernel.SaidRevoked
	})
	lines("module-refused", "the kernel refused a module, and does not say which", "; name it to have it looked at", func(t doctor.Said) bool {
		return t.Module == "" && slices.Contains(refusals, t.Kind)
	})
}

// refusals are what the kernel says when it refuses a module; most name none.
var refusals = []kernel.Kind{kernel.SaidUnsigned, kernel.SaidKey, kernel.SaidCrypto, kernel.SaidRejected, kernel.SaidLockdown, kernel.SaidUntrusted, kernel.SaidCodeSigning,
	kernel.SaidBlacklisted, kernel.SaidTrailer, kernel.SaidIMA}
