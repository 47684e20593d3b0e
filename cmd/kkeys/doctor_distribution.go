package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"kkeys/doctor"
	"kkeys/kernel"
)

// family is a distribution, or the one that it is like, among those whose commands are known; empty for others.
func family(d kernel.Distribution) string {
	for _, id := range append([]string{d.ID}, strings.Fields(d.Like)...) {
		switch {
		case id == "debian", id == "ubuntu":
			return id
		case slices.Contains([]string{"fedora", "rhel", "centos"}, id):
			return "fedora"
		case id == "suse", id == "sles", strings.HasPrefix(id, "opensuse"):
			return "suse"
		case id == "arch":
			return "arch"
		}
	}
	return ""
}

// per are commands by family; Ubuntu's are Debian's where it has none of its own. RELEASE stands for the kernel's, FLAVOUR and PACKAGE for what is in
// its packages' names. Nothing where such a name is not known, nor where the system is an image that no package manager changes (ostree, SUSE's transactional-update, SteamOS).
func (s *session) per(f doctor.Facts, commands map[string]string) string {
	own := family(f.Kernel.Distribution)
	command, known := commands[own]
	if own == "ubuntu" && !known {
		command = commands["debian"]
	}
	if own == "fedora" && strings.Contains(f.Kernel.Release, "uek") && strings.Contains(command, "dnf") { // Oracle's own kernels are in packages of other names
		return ""
	}
	var names []string
	for _, n := range [][2]string{{"RELEASE", f.Kernel.Release}, {"FLAVOUR", flavour(f.Kernel.Release)}, {"PACKAGE", s.machine.KernelPackage(f.Kernel.Release)}} {
		if strings.Contains(command, n[0]) && n[1] == "" {
			return ""
		}
		names = append(names, n[0], shellWord(n[1]))
	}
	if s.machine.HasFile("run/ostree-booted") || s.machine.HasFile("usr/sbin/transactional-update") || f.Kernel.Distribution.ID == "steamos" {
		return ""
	}
	return strings.NewReplacer(names...).Replace(command)
}

// flavour ends a release of SUSE's: default in 6.4.0-150600.21-default (kernel-FLAVOUR is the package); empty where none does.
func flavour(release string) string {
	parts := strings.Split(release, "-")
	last := parts[len(parts)-1]
	if len(parts) < 3 || !flavours.MatchString(last) {
		return ""
	}
	return last
}

var flavours = regexp.MustCompile(`^(64kb|[a-z][a-z0-9_]*)$`)

// headers brings what modules are built against, where it is not there; of a recorded machine nobody knows.
func (s *session) headers(f doctor.Facts) string {
	if modules := "lib/modules/" + f.Kernel.Release; !s.machine.HasFolder(modules) || s.machine.HasFolder(modules+"/build") {
		return ""
	}
	return s.per(f, map[string]string{"debian": "sudo apt-get install linux-headers-RELEASE", "fedora": "sudo dnf install kernel-devel-RELEASE",
		"suse": "sudo zypper install kernel-FLAVOUR-devel", "arch": "sudo pacman -S PACKAGE-headers"})
}

// rebuild brings a module for the running kernel.
func (s *session) rebuild(f doctor.Facts) []string {
	release := shellWord(f.Kernel.Release)
	if len(f.Builds) > 0 {
		return []string{s.headers(f), s.build(doctor.Remedy{Path: f.Builds[0].Package, Tool: f.Builds[0].Tool}, f)}
	}
	if strings.Contains(f.Path, "/updates/dkms/") {
		return []string{s.headers(f), "sudo dkms autoinstall -k " + release}
	}
	return []string{s.headers(f), "make -C /lib/modules/" + release + "/build M=$PWD modules"}
}

// build has a tool build and install what it has the source of.
func (s *session) build(r doctor.Remedy, f doctor.Facts) string {
	if r.Tool == "akmods" {
		return "sudo akmods --force --kernels " + shellWord(f.Kernel.Release)
	}
	return "sudo dkms install --force " + argument(r.Path) + " -k " + shellWord(f.Kernel.Release)
}

// renew makes the initramfs anew.
func (s *session) renew(f doctor.Facts) string {
	return s.per(f, map[string]string{"debian": "sudo update-initramfs -u -k RELEASE", "fedora": "sudo dracut --force --kver RELEASE", "suse": "sudo dracut --force --kver RELEASE", "arch": "sudo mkinitcpio -P"})
}

// plain are names and words that need no care in a regular expression.
var plain = regexp.MustCompile(`^[A-Za-z0-9_=,-]+$`)

// unblock takes out a line of modprobe.d, or a name of the kernel's command line. A file of the distribution's is covered by one of its name in
// /etc, in which the line is taken out (modprobe.d(5)).
func (s *session) unblock(r doctor.Remedy, f doctor.Facts) (commands []string) {
	if r.Path == commandLine {
		return s.unblockAtBoot(r.Text, f)
	}
	file, words := r.Path, append(strings.Fields(r.Text), "", "")
	named := plain.MatchString(words[0]) && plain.MatchString(words[1])
	first, last := s.machine.RuleLines(r.Path, r.Text)
	if !named && first == 0 {
		return nil
	}
	if !strings.HasPrefix(file, "/etc/") {
		file = "/etc/modprobe.d/" + path.Base(r.Path)
		commands = append(commands, "test -e "+argument(file)+" || sudo cp "+argument(r.Path)+" "+argument(file)) // another line's remedy may have made it
	}
	if last > first || !named { // a line that is continued is all commented out, by the numbers
		return append(commands, fmt.Sprintf("sudo sed -i '%d,%ds/^/#/' %s", first, last, argument(file)))
	}
	return append(commands, "sudo sed -i '/^[[:space:]]*"+words[0]+"[[:space:]][[:space:]]*"+words[1]+"\\([[:space:]]\\|$\\)/s/^/#/' "+argument(file))
}

// unblockAtBoot takes the module's name out of a list on the kernel's command line (module_blacklist=nouveau,tree), and the word where nothing else is
// in it.
func (s *session) unblockAtBoot(word string, f doctor.Facts) []string {
	key, list, _ := strings.Cut(word, "=")
	if key = strings.ReplaceAll(key, ".", `\.`); !plain.MatchString(strings.ReplaceAll(key, `\.`, "")) || !plain.MatchString(list) {
		return nil
	}
	kept := slices.DeleteFunc(strings.Split(list, ","), func(n string) bool { return kernel.ModuleName(n) == f.Name })
	if len(kept) > strings.Count(list, ",") { // it is in the list by another name
		return nil
	}
	edit, add := "s/ *"+key+"="+list+`\([^A-Za-z0-9_,-]\|$\)/\1/g`, ""
	if len(kept) > 0 {
		rest := "=" + strings.Join(kept, ",")
		edit = "s/" + key + "=" + list + `\([^A-Za-z0-9_,-]\|$\)/` + key + rest + `\1/g`
		add = " --args=" + strings.ReplaceAll(key, `\.`, ".") + rest
	}
	return []string{s.per(f, map[string]string{"debian": "sudo sed -i '" + edit + "' /etc/default/grub", "fedora": "sudo grubby --update-kernel=ALL --remove-args=" + word + add}),
		s.per(f, map[string]string{"debian": "sudo update-grub"}), s.per(f, map[string]string{"debian": boot, "fedora": boot})}
}

// reinstallKernel brings back the files of the kernel's package that has the modules. Ubuntu's are in two, of which the second need not be there.
func (s *session) reinstallKernel(f doctor.Facts) string {
	extra := ""
	if s.machine.HasFile("var/lib/dpkg/info/linux-modules-extra-" + f.Kernel.Release + ".list") {
		extra = " linux-modules-extra-RELEASE"
	}
	return s.per(f, map[string]string{"debian": "sudo apt-get install --reinstall linux-image-RELEASE", "ubuntu": "sudo apt-get install --reinstall linux-modules-RELEASE" + extra,
		"fedora": "sudo dnf reinstall kernel-modules-RELEASE kernel-modules-core-RELEASE", "suse": "sudo zypper install --force kernel-FLAVOUR", "arch": "sudo pacman -S PACKAGE"})
}
