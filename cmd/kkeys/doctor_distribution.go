package main

import (
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
			return "debian"
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

// per are commands by family; RELEASE stands for the kernel's.
func (s *session) per(f doctor.Facts, commands map[string]string) string {
	return strings.ReplaceAll(commands[family(f.Kernel.Distribution)], "RELEASE", shellWord(f.Kernel.Release))
}

// headers brings what modules are built against, where it is not there; of a recorded machine nobody knows.
func (s *session) headers(f doctor.Facts) string {
	if modules := "lib/modules/" + f.Kernel.Release; !s.machine.HasFolder(modules) || s.machine.HasFolder(modules+"/build") {
		return ""
	}
	return s.per(f, map[string]string{"debian": "sudo apt-get install linux-headers-RELEASE", "fedora": "sudo dnf install kernel-devel-RELEASE",
		"suse": "sudo zypper install kernel-default-devel", "arch": "sudo pacman -S linux-headers"})
}

// rebuild brings a module for the running kernel.
func (s *session) rebuild(f doctor.Facts) []string {
	release := shellWord(f.Kernel.Release)
	if s.machine.HasFolder("var/lib/dkms") {
		return []string{s.headers(f), "sudo dkms autoinstall -k " + release}
	}
	return []string{s.headers(f), "make -C /lib/modules/" + release + "/build M=$PWD modules"}
}

// build has a tool build and install what it has the source of.
func (s *session) build(r doctor.Remedy, f doctor.Facts) string {
	if r.Tool == "akmods" {
		return "sudo akmods --force --kernels " + shellWord(f.Kernel.Release)
	}
	return "sudo dkms install " + argument(r.Path) + " -k " + shellWord(f.Kernel.Release)
}

// renew makes the initramfs anew.
func (s *session) renew(f doctor.Facts) string {
	return s.per(f, map[string]string{"debian": "sudo update-initramfs -u -k RELEASE", "fedora": "sudo dracut --force --kver RELEASE", "suse": "sudo dracut --force --kver RELEASE", "arch": "sudo mkinitcpio -P"})
}

// plain are names and words that need no care in a regular expression.
var plain = regexp.MustCompile(`^[A-Za-z0-9_=,-]+$`)

// unblock takes out a line of modprobe.d, or a word of the kernel's command line. A file of the distribution's is covered by one of its name in
// /etc, in which the line is taken out (modprobe.d(5)).
func (s *session) unblock(r doctor.Remedy, f doctor.Facts) (commands []string) {
	if r.Path == commandLine {
		if word := strings.ReplaceAll(r.Text, "modprobe.blacklist", "modprobe_blacklist"); !plain.MatchString(word) {
			return nil
		}
		return []string{s.per(f, map[string]string{"debian": "sudo sed -i 's/ *" + strings.ReplaceAll(r.Text, ".", `\.`) + "//' /etc/default/grub", "fedora": "sudo grubby --update-kernel=ALL --remove-args=" + r.Text}),
			s.per(f, map[string]string{"debian": "sudo update-grub"}), s.per(f, map[string]string{"debian": boot, "fedora": boot})}
	}
	words := strings.Fields(r.Text)
	if len(words) < 2 || !plain.MatchString(words[0]) || !plain.MatchString(words[1]) {
		return nil
	}
	file := r.Path
	if !strings.HasPrefix(file, "/etc/") {
		file = "/etc/modprobe.d/" + path.Base(r.Path)
		commands = append(commands, "sudo cp "+argument(r.Path)+" "+argument(file))
	}
	return append(commands, "sudo sed -i '/^[[:space:]]*"+words[0]+"[[:space:]][[:space:]]*"+words[1]+"\\([[:space:]]\\|$\\)/s/^/#/' "+argument(file))
}

// reinstallKernel brings back the files of the kernel's package.
func (s *session) reinstallKernel(f doctor.Facts) string {
	return s.per(f, map[string]string{"debian": "sudo apt-get install --reinstall linux-image-RELEASE", "fedora": "sudo dnf reinstall kernel-modules-RELEASE kernel-modules-core-RELEASE",
		"suse": "sudo zypper install --force kernel-default", "arch": "sudo pacman -S linux"})
}
