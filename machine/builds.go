package machine

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"kkeys/kernel"
)

// Build is a module that a tool builds on this machine out of its source.
type Build struct {
	Tool    string // "dkms", "akmods"
	Package string // as the tool's commands name it: "nvidia/550.54.14", "nvidia-kmod"
	File    string // built for the release, absolute; empty where it was not
}

// Builds are the packages of DKMS and akmods that make a module of that name: those that have built it for the release first. What cannot be read
// counts as not there.
func (m *Machine) Builds(release, name string) (builds []Build) {
	trees, _ := m.expand("var/lib/dkms/*/*")
	for _, tree := range trees {
		build := Build{Tool: "dkms", Package: path.Base(path.Dir(tree)) + "/" + path.Base(tree)}
		files, _ := m.expand(tree + "/" + release + "/*/module/*")
		if i := slices.IndexFunc(files, func(f string) bool { return IsModuleName(f) && kernel.ModuleName(f) == name }); i >= 0 {
			build.File = "/" + files[i]
		} else if text, err := m.read(m.below(tree+"/source/dkms.conf"), 1<<20); err != nil || !slices.Contains(builtModules(string(text)), name) {
			continue
		}
		builds = append(builds, build)
	}
	packages, _ := m.expand("usr/src/akmods/*")
	for _, file := range packages {
		if kmod, is := strings.CutSuffix(path.Base(file), ".latest"); is && kernel.ModuleName(strings.TrimSuffix(kmod, "-kmod")) == name {
			builds = append(builds, Build{Tool: "akmods", Package: kmod})
		}
	}
	missing := func(b Build) int {
		if b.File == "" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(builds, func(a, b Build) int { return missing(a) - missing(b) })
	return builds
}

// builtModules are the names that a dkms.conf gives its modules (dkms(8), BUILT_MODULE_NAME): those that are written plainly or as the
// package's own name ($PACKAGE_NAME), which also is that of a package that gives none. Names with other variables, or with a shell's commands, are left
// out: what DKMS would make of them is not guessed.
func builtModules(text string) (names []string) {
	settings := map[string]string{}
	var built []string
	for line := range strings.Lines(text) {
		key, value, is := strings.Cut(strings.TrimSpace(line), "=")
		if !is {
			continue
		}
		value = unquote(value)
		settings[key] = value
		if strings.HasPrefix(key, "BUILT_MODULE_NAME") {
			built = append(built, value)
		}
	}
	own := settings["PACKAGE_NAME"]
	if len(built) == 0 {
		built = []string{own}
	}
	for _, name := range built {
		if name == "$PACKAGE_NAME" || name == "${PACKAGE_NAME}" {
			name = own
		}
		if name != "" && !strings.ContainsAny(name, "$`/.") {
			names = append(names, kernel.ModuleName(name))
		}
	}
	return names
}

// Images are those of an initramfs for a release, absolute: where distributions put them.
func (m *Machine) Images(release string) []string {
	places := []string{"boot/initrd.img-" + release, "boot/initramfs-" + release + ".img", "boot/initrd-" + release, "lib/modules/" + release + "/initrd"}
	if base := m.KernelPackage(release); base != "" { // Arch
		places = append(places, "boot/initramfs-"+base+".img")
	}
	return m.existing(places)
}

// KernelPackage is the package of a release's kernel, as Arch's mkinitcpio goes by it (/lib/modules/RELEASE/pkgbase); empty where that is not there or is no
// name of a package.
func (m *Machine) KernelPackage(release string) string {
	base, err := m.line("lib/modules/" + release + "/pkgbase")
	if err != nil || strings.Trim(base, "abcdefghijklmnopqrstuvwxyz0123456789@._+-") != "" || strings.HasPrefix(base, "-") || strings.HasPrefix(base, ".") {
		return ""
	}
	return base
}

// OpenImage opens an image that [Machine.Images] has found.
func (m *Machine) OpenImage(image string) (fs.File, error) {
	return m.open(strings.TrimPrefix(image, "/"))
}
