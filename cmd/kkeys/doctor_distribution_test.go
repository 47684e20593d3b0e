package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"kkeys/doctor"
	"kkeys/kernel"
	"kkeys/machine"
)

// distributed is a session on a machine with these files, and the facts of a kernel there.
func distributed(d kernel.Distribution, release string, files map[string]string) (*session, doctor.Facts) {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return &session{machine: &machine.Machine{Files: tree}}, doctor.Facts{Name: "tree", Kernel: kernel.Status{Release: release, Distribution: d}}
}

// TestDoctorPackages: each distribution's own packages, and nothing where their names are not known.
func TestDoctorPackages(t *testing.T) {
	ubuntu, mint := kernel.Distribution{ID: "ubuntu", Like: "debian"}, kernel.Distribution{ID: "linuxmint", Like: "ubuntu debian"}
	arch, suse := kernel.Distribution{ID: "manjaro", Like: "arch"}, kernel.Distribution{ID: "opensuse-leap", Like: "suse opensuse"}
	fedora, silverblue := kernel.Distribution{ID: "fedora"}, map[string]string{"run/ostree-booted": ""}
	for _, c := range []struct {
		d                             kernel.Distribution
		release                       string
		files                         map[string]string
		reinstall, headers, initramfs string
	}{
		{kernel.Distribution{ID: "debian"}, "6.1.0-9-amd64", nil, "sudo apt-get install --reinstall linux-image-6.1.0-9-amd64", "sudo apt-get install linux-headers-6.1.0-9-amd64", "sudo update-initramfs -u -k 6.1.0-9-amd64"},
		{ubuntu, "6.8.0-31-generic", nil, "sudo apt-get install --reinstall linux-modules-6.8.0-31-generic", "sudo apt-get install linux-headers-6.8.0-31-generic", "sudo update-initramfs -u -k 6.8.0-31-generic"},
		{mint, "6.8.0-31-generic", map[string]string{"var/lib/dpkg/info/linux-modules-extra-6.8.0-31-generic.list": "/.\n"},
			"sudo apt-get install --reinstall linux-modules-6.8.0-31-generic linux-modules-extra-6.8.0-31-generic", "sudo apt-get install linux-headers-6.8.0-31-generic", "sudo update-initramfs -u -k 6.8.0-31-generic"},
		{arch, "6.9.1-zen1-1-zen", map[string]string{"lib/modules/6.9.1-zen1-1-zen/pkgbase": "linux-zen\n"}, "sudo pacman -S linux-zen", "sudo pacman -S linux-zen-headers", "sudo mkinitcpio -P"},
		{arch, "6.9.1-mine", map[string]string{"lib/modules/6.9.1-mine/pkgbase": "$(reboot)\n"}, "", "", "sudo mkinitcpio -P"},
		{suse, "6.4.0-150600.21-default", nil, "sudo zypper install --force kernel-default", "sudo zypper install kernel-default-devel", "sudo dracut --force --kver 6.4.0-150600.21-default"},
		{suse, "6.4.0-150600.8.5-azure", nil, "sudo zypper install --force kernel-azure", "sudo zypper install kernel-azure-devel", "sudo dracut --force --kver 6.4.0-150600.8.5-azure"},
		{suse, "6.4.0-150600.8-64kb", nil, "sudo zypper install --force kernel-64kb", "sudo zypper install kernel-64kb-devel", "sudo dracut --force --kver 6.4.0-150600.8-64kb"},
		{suse, "6.4.0-mine", nil, "", "", "sudo dracut --force --kver 6.4.0-mine"},
		{suse, "6.4.0-1-$(reboot)", nil, "", "", "sudo dracut --force --kver '6.4.0-1-$(reboot)'"},
		{fedora, "6.9.4-200.fc40.x86_64", nil, "sudo dnf reinstall kernel-modules-6.9.4-200.fc40.x86_64 kernel-modules-core-6.9.4-200.fc40.x86_64", "sudo dnf install kernel-devel-6.9.4-200.fc40.x86_64", "sudo dracut --force --kver 6.9.4-200.fc40.x86_64"},
		{fedora, "6.9.4-200.fc40.x86_64", silverblue, "", "", ""},
		{suse, "6.4.0-150600.21-default", map[string]string{"usr/sbin/transactional-update": ""}, "", "", ""},
		{kernel.Distribution{ID: "steamos", Like: "arch"}, "6.1.52-valve16-1-neptune-61", map[string]string{"lib/modules/6.1.52-valve16-1-neptune-61/pkgbase": "linux-neptune-61\n"}, "", "", ""},
		{kernel.Distribution{ID: "ol", Like: "fedora"}, "5.15.0-100.96.32.el9uek.x86_64", nil, "", "", "sudo dracut --force --kver 5.15.0-100.96.32.el9uek.x86_64"},
		{kernel.Distribution{ID: "void"}, "6.9.4_1", nil, "", "", ""},
	} {
		files := map[string]string{"lib/modules/" + c.release + "/modules.order": ""}
		for name, text := range c.files {
			files[name] = text
		}
		s, f := distributed(c.d, c.release, files)
		for what, is := range map[string][2]string{"reinstall": {s.reinstallKernel(f), c.reinstall}, "headers": {s.headers(f), c.headers}, "initramfs": {s.renew(f), c.initramfs}} {
			if is[0] != is[1] {
				t.Errorf("%s %s: %s: %q, want %q", c.d.ID, c.release, what, is[0], is[1])
			}
		}
	}
}

// runs runs a command of the doctor's on a file of this test's instead of the one that it names.
func runs(t *testing.T, command, named, file string) string {
	t.Helper()
	command = strings.ReplaceAll(strings.TrimPrefix(command, "sudo "), named, file)
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDoctorUnblockAtBoot: of a list only the module's own name goes.
func TestDoctorUnblockAtBoot(t *testing.T) {
	for _, c := range []struct{ word, before, after, grubby string }{
		{"module_blacklist=nouveau,tree", "quiet module_blacklist=nouveau,tree splash", "quiet module_blacklist=nouveau splash", " --args=module_blacklist=nouveau"},
		{"module_blacklist=tree,nouveau", "module_blacklist=tree,nouveau", "module_blacklist=nouveau", " --args=module_blacklist=nouveau"},
		{"module_blacklist=tree", "quiet module_blacklist=tree", "quiet", ""},
		{"module_blacklist=tree", "quiet module_blacklist=tree module_blacklist=tree2", "quiet module_blacklist=tree2", ""},
		{"modprobe.blacklist=tree,a-b", "modprobe.blacklist=tree,a-b x=modprobe_blacklist", "modprobe.blacklist=a-b x=modprobe_blacklist", " --args=modprobe.blacklist=a-b"},
		{"module_blacklist=tree", "module_blacklist=tree-house", "module_blacklist=tree-house", ""},
	} {
		s, f := distributed(kernel.Distribution{ID: "debian"}, "6.1", nil)
		remedy := doctor.Remedy{Path: commandLine, Text: c.word}
		commands := s.unblock(remedy, f)
		if len(commands) != 3 || !slices.Equal(commands[1:], []string{"sudo update-grub", "reboot"}) {
			t.Errorf("%s: %q", c.word, commands)
			continue
		}
		line := func(text string) string { return "GRUB_CMDLINE_LINUX=\"" + text + "\"\n" }
		file := filepath.Join(t.TempDir(), "grub")
		if err := os.WriteFile(file, []byte(line(c.before)), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runs(t, commands[0], "/etc/default/grub", file); got != line(c.after) {
			t.Errorf("%s: %q, want %q", commands[0], got, line(c.after))
		}
		f.Kernel.Distribution.ID = "fedora"
		if got, want := s.unblock(remedy, f)[0], "sudo grubby --update-kernel=ALL --remove-args="+c.word+c.grubby; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		f.Kernel.Distribution.ID = "void"
		if got := strings.Join(s.unblock(remedy, f), ""); got != "" {
			t.Errorf("%q where nothing is known", got)
		}
	}
	s, f := distributed(kernel.Distribution{ID: "debian"}, "6.1", nil)
	for _, word := range []string{`module_blacklist="tree,x"`, "module_blacklist=tree,'$(reboot)'", "module_blacklist=other", "module_blacklist=a/b,tree"} {
		if got := s.unblock(doctor.Remedy{Path: commandLine, Text: word}, f); got != nil {
			t.Errorf("%s: %q", word, got)
		}
	}
}

// TestDoctorUnblockFile: what kmod reads after the command has no such rule, and all others.
func TestDoctorUnblockFile(t *testing.T) {
	const before = "blacklist nouveau\ninstall tree \\\n  /bin/false\ninstall trees /bin/false\nblacklist tree\n"
	s, f := distributed(kernel.Distribution{}, "6.1", map[string]string{"etc/modprobe.d/own.conf": before, "usr/lib/modprobe.d/theirs.conf": before, "etc/modprobe.d/odd.conf": "x\ninstall tree;x /bin/false\n"})
	for _, c := range []struct{ file, text, after string }{
		{"/etc/modprobe.d/own.conf", "install tree    /bin/false", "blacklist nouveau\n#install tree \\\n#  /bin/false\ninstall trees /bin/false\nblacklist tree\n"},
		{"/etc/modprobe.d/own.conf", "blacklist tree", "blacklist nouveau\ninstall tree \\\n  /bin/false\ninstall trees /bin/false\n#blacklist tree\n"},
		{"/usr/lib/modprobe.d/theirs.conf", "install tree    /bin/false", "blacklist nouveau\n#install tree \\\n#  /bin/false\ninstall trees /bin/false\nblacklist tree\n"},
		{"/etc/modprobe.d/odd.conf", "install tree;x /bin/false", "x\n#install tree;x /bin/false\n"},
	} {
		commands := s.unblock(doctor.Remedy{Path: c.file, Text: c.text}, f)
		own := "/etc/modprobe.d/" + filepath.Base(c.file)
		if c.file != own {
			if len(commands) != 2 || commands[0] != "test -e "+own+" || sudo cp "+c.file+" "+own {
				t.Errorf("%q", commands)
				continue
			}
			commands = commands[1:]
		}
		text, err := s.machine.Files.(fstest.MapFS).ReadFile(strings.TrimPrefix(c.file, "/"))
		file := filepath.Join(t.TempDir(), "conf")
		if err != nil || os.WriteFile(file, text, 0o600) != nil || len(commands) != 1 {
			t.Fatal(err, commands)
		}
		if got := runs(t, commands[0], own, file); got != c.after {
			t.Errorf("%s: %q, want %q", commands[0], got, c.after)
		}
	}
	if got := s.unblock(doctor.Remedy{Path: "/etc/modprobe.d/odd.conf", Text: "install $(reboot) /bin/false"}, f); got != nil {
		t.Errorf("%q for a line that is not there", got)
	}
}
