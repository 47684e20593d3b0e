package machine

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestModuleTree(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	m := &Machine{Files: fstest.MapFS{
		"lib/modules/6.1/kernel/drivers/hid-wacom.ko.xz": {}, "lib/modules/6.1/updates/dkms/hid-wacom.ko": {}, "lib/modules/6.1/kernel/fs/ext4.ko": {},
		"lib/modules/6.1/modules.dep":     file("kernel/fs/ext4.ko: kernel/lib/crc16.ko\nupdates/dkms/hid-wacom.ko: kernel/drivers/hid.ko\n"),
		"lib/modules/6.1/modules.builtin": file("kernel/drivers/tty/n_null.ko\n"),
		"etc/modprobe.d/a.conf":           file("# blacklist hid_wacom\nblacklist hid-wacom\noptions hid_wacom x=1\nblacklist other\n"),
		"lib/modprobe.d/a.conf":           file("install hid_wacom /bin/false\n"), // hidden by the one in /etc
		"lib/modprobe.d/b.conf":           file("install hid_wacom \\\n  /bin/false\ninstall hid_wacom /sbin/modprobe --ignore-install hid_wacom && true x\n"),
		"etc/modprobe.d/readme.txt":       file("blacklist hid_wacom\n"),
	}}
	tree, err := m.ModuleTree("6.1")
	if err != nil {
		t.Fatal(err)
	}
	got := tree.Find("hid_wacom")
	var paths []string
	for _, f := range got.Files {
		paths = append(paths, f.Path)
	}
	if got.Chosen != "/lib/modules/6.1/updates/dkms/hid-wacom.ko" || got.Builtin || !slices.Equal(paths, []string{"/lib/modules/6.1/kernel/drivers/hid-wacom.ko.xz", got.Chosen}) {
		t.Errorf("%+v", got)
	}
	type rule struct {
		file, text       string
		first, last      int
		blocks, byItself bool
	}
	var rules []rule
	for _, r := range got.Rules {
		rules = append(rules, rule{r.File, r.Text, r.First, r.Last, r.Blocks, r.ByItself})
	}
	want := []rule{
		{"/etc/modprobe.d/a.conf", "blacklist hid-wacom", 2, 2, false, true}, {"/etc/modprobe.d/a.conf", "options hid_wacom x=1", 3, 3, false, false},
		{"/lib/modprobe.d/b.conf", "install hid_wacom    /bin/false", 1, 2, true, false},
		{"/lib/modprobe.d/b.conf", "install hid_wacom /sbin/modprobe --ignore-install hid_wacom && true x", 3, 3, false, false},
	}
	if !slices.Equal(rules, want) {
		t.Errorf("%+v", rules)
	}
	if first, last := m.RuleLines(want[2].file, want[2].text); first != 1 || last != 2 {
		t.Errorf("lines %d to %d", first, last)
	}
	if first, _ := m.RuleLines(want[2].file, "blacklist hid-wacom"); first != 0 {
		t.Errorf("line %d has what is in another file", first)
	}
	if got := tree.Find("n_null"); !got.Builtin || len(got.Files) > 0 {
		t.Errorf("%+v", got)
	}
	if _, err := m.ModuleTree("6.2"); err == nil {
		t.Error("a release that is not there")
	}
}

// TestAliases: names lead to modules as in kmod.
func TestAliases(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	m := &Machine{Files: fstest.MapFS{
		"lib/modules/6.1/updates/dkms/nvidia-current.ko":         {},
		"lib/modules/6.1/updates/dkms/nvidia-current-modeset.ko": {},
		"lib/modules/6.1/kernel/fs/ext4/ext4.ko":                 {},
		"lib/modules/6.1/kernel/a.ko":                            {},
		"lib/modules/6.1/kernel/b.ko":                            {},
		"lib/modules/6.1/kernel/new.ko":                          {},
		"lib/modules/6.1/modules.dep":                            file("updates/dkms/nvidia-current.ko:\nupdates/dkms/nvidia-current-modeset.ko:\nkernel/fs/ext4/ext4.ko:\nkernel/a.ko:\nkernel/b.ko:\n"),
		"lib/modules/6.1/modules.builtin":                        file("kernel/net/inside.ko\n"),
		"lib/modules/6.1/modules.alias":                          file("# Aliases extracted from modules themselves.\nalias ext3 ext4\nalias a b\nalias new b\nalias pci:v0000* b\nalias old-inside inside\nalias two ext3\n"),
		"etc/modprobe.d/nvidia.conf": file("install nvidia modprobe -i nvidia-current $CMDLINE_OPTS\n" +
			"install nvidia-modeset modprobe nvidia ; modprobe --ignore-install nvidia-current-modeset $CMDLINE_OPTS\ninstall nvidia_current /bin/false\n"),
		"etc/modprobe.d/own.conf": file("alias mine a\nalias char-major-10-* b\nblacklist a\nalias round about\nalias about round\ninstall circle modprobe -i ring\n" +
			"install ring modprobe -i circle\ninstall guess modprobe -i $(cat /x)\nalias gone off\nalias self self\ninstall plain modprobe a\n"),
	}}
	tree, err := m.ModuleTree("6.1")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		alias, chosen   string
		builtin, blocks bool
	}{
		"nvidia":          {alias: "nvidia_current", chosen: "updates/dkms/nvidia-current.ko"}, // its own install command does not count
		"nvidia-current":  {chosen: "updates/dkms/nvidia-current.ko", blocks: true},
		"nvidia_modeset":  {alias: "nvidia_current_modeset", chosen: "updates/dkms/nvidia-current-modeset.ko"},
		"nvidia-modeset":  {alias: "nvidia_current_modeset", chosen: "updates/dkms/nvidia-current-modeset.ko"},
		"ext3":            {alias: "ext4", chosen: "kernel/fs/ext4/ext4.ko"},
		"two":             {alias: "ext3"},                                   // no alias of an alias
		"a":               {chosen: "kernel/a.ko"},                           // modules.dep goes first
		"new":             {},                                                // its file is there, and depmod has not seen it
		"mine":            {alias: "a", chosen: "kernel/a.ko", blocks: true}, // blacklist counts for what an alias leads to
		"old_inside":      {alias: "inside", builtin: true},
		"round":           {alias: "about"},
		"circle":          {alias: "ring"},
		"guess":           {},
		"gone":            {blocks: true},
		"self":            {},
		"plain":           {},
		"char-major-10-1": {},
		"nowhere":         {},
	} {
		got := tree.Find(name)
		if want.chosen != "" {
			want.chosen = "/lib/modules/6.1/" + want.chosen
		}
		blocked := slices.ContainsFunc(got.Rules, func(r Rule) bool { return r.Blocks })
		if got.Alias != want.alias || got.Chosen != want.chosen || got.Builtin != want.builtin || blocked != want.blocks {
			t.Errorf("%s: %+v", name, got)
		}
		if (len(got.Files) > 0) != (want.chosen != "" || name == "new") {
			t.Errorf("%s: files %v", name, got.Files)
		}
	}
}

// TestParseRule: only a command that surely loads nothing keeps a module from being loaded.
func TestParseRule(t *testing.T) {
	for line, want := range map[string]struct{ blocks, instead bool }{
		"install a /bin/false":                                {blocks: true},
		"install a true # CIS 1.1.1":                          {blocks: true},
		"install a :":                                         {blocks: true},
		"install a /bin/echo no":                              {instead: true},
		"install a exit 1":                                    {instead: true},
		`install a /bin/sh -c "exit 1"`:                       {instead: true},
		"install a modprobe -i a || true":                     {},
		"install a /sbin/modprobe --ignore-install a && :":    {},
		"install a /sbin/modprobe b; /bin/true":               {},
		"install a insmod /x/a.ko":                            {},
		"install a { /usr/local/bin/prepare; modprobe -i a;}": {},
		"options a b=/bin/false":                              {},
	} {
		if rule, is := parseRule(line); !is || rule.Blocks != want.blocks || rule.Instead != want.instead {
			t.Errorf("%q: %+v", line, rule)
		}
	}
}

// denied is a file system in which some names may not be read.
type denied struct {
	fstest.MapFS
	names []string
}

func (d denied) Open(name string) (fs.File, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.Open(name)
}

func (d denied) Stat(name string) (fs.FileInfo, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.Stat(name)
}

func (d denied) ReadDir(name string) ([]fs.DirEntry, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.ReadDir(name)
}

// TestModuleTreeUnread: what could not be read is told, takes nothing from the rest, and leaves no name surely absent that it might have had.
func TestModuleTreeUnread(t *testing.T) {
	const top = "lib/modules/6.1/"
	files := fstest.MapFS{
		top + "kernel/a.ko": {}, top + "extra/b.ko": {}, top + "modules.dep": {Data: []byte("kernel/a.ko:\n")}, top + "modules.builtin": {Data: []byte("kernel/c.ko\n")}, top + "modules.alias": {Data: []byte("alias d a\n")},
		"etc/modprobe.d/1.conf": {Data: []byte("options a x=1\n")}, "etc/modprobe.d/2.conf": {Data: []byte("install a /bin/false\n")}, "run/modprobe.d/3.conf": {Data: []byte("blacklist a\n")},
		"etc/modprobe.d/mask.conf": {Mode: fs.ModeDevice | fs.ModeCharDevice}, "usr/lib/modprobe.d/mask.conf": {Data: []byte("blacklist a\n")},
	}
	for _, c := range []struct {
		unread                   string
		absent, unlisted, listed bool // of a name that nothing has, and of a and b
		rules                    int
	}{
		{"", true, true, true, 3},
		{top + "extra", false, false, true, 3},
		{top + "modules.dep", false, false, false, 3},
		{top + "modules.builtin", false, true, true, 3},
		{top + "modules.alias", false, true, true, 3},
		{"etc/modprobe.d/1.conf", true, true, true, 2},
		{"run/modprobe.d", true, true, true, 2},
		{"etc/modprobe.d/mask.conf", true, true, true, 3},
	} {
		tree, err := (&Machine{Files: denied{files, []string{c.unread}}}).ModuleTree("6.1")
		if tree == nil || errors.Is(err, fs.ErrPermission) != (c.unread != "") || err != nil && !strings.Contains(err.Error(), c.unread) {
			t.Errorf("%s: %v", c.unread, err)
			continue
		}
		a, b, none := tree.Find("a"), tree.Find("b"), tree.Find("nowhere")
		if none.Absent != c.absent || (a.Chosen != "") != c.listed || b.Unlisted != c.unlisted && c.unread != top+"extra" || len(a.Rules) != c.rules {
			t.Errorf("%s: %+v, %+v, %+v", c.unread, a, b, none)
		}
		if tree.Find("c").Absent {
			t.Errorf("%s: what is built in is absent", c.unread)
		}
	}
	// modprobe goes by modules.dep.bin; without either it finds nothing.
	delete(files, top+"modules.dep")
	for _, binary := range []bool{false, true} {
		if binary {
			files[top+"modules.dep.bin"] = &fstest.MapFile{}
		}
		tree, err := (&Machine{Files: files}).ModuleTree("6.1")
		if err != nil || tree.Find("a").Unlisted == binary {
			t.Errorf("modules.dep.bin %v: %v, %+v", binary, err, tree.Find("a"))
		}
	}
}

func TestLoadedBy(t *testing.T) {
	for command, want := range map[string]string{
		"install nvidia modprobe -i nvidia-current $CMDLINE_OPTS":   "nvidia_current",
		"install a /sbin/modprobe --ignore-install --quiet b; true": "b",
		"install a modprobe -qi b":                                  "b",
		"install a modprobe x&&modprobe -i b":                       "b",
		"install a modprobe b":                                      "",
		"install a echo -i b":                                       "",
		"install a modprobe -i $b":                                  "",
		"install a":                                                 "",
		"install modprobe -i b":                                     "",
		"install a { modprobe -i b; }":                              "b",
		"install usb-storage modprobe first ; /sbin/modprobe -i usb-storage && echo": "usb_storage",
	} {
		if got := loadedBy(command); got != want {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

// TestKernelPackage: what a file says goes into a command only where it is the name of a package.
func TestKernelPackage(t *testing.T) {
	for text, want := range map[string]string{"linux-zen\n": "linux-zen", "linux": "linux", "--noconfirm": "", "a b": "", "$(reboot)": "", "": "", "../x": ""} {
		m := &Machine{Files: fstest.MapFS{"lib/modules/6.1/pkgbase": {Data: []byte(text)}}}
		if got := m.KernelPackage("6.1"); got != want {
			t.Errorf("%q: %q", text, got)
		}
		if !m.HasFile("lib/modules/6.1/pkgbase") || m.HasFile("lib/modules/6.1") || m.HasFile("run/ostree-booted") {
			t.Error("HasFile")
		}
	}
}

// FuzzParseRules: each rule stands in the lines that it names, in order, and nothing of the text is lost on the way.
func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{"", "blacklist a\n", "install a \\\n /bin/false\nblacklist b", "alias a \\", "\\\n\\\n", "# x \\\nblacklist y\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.SplitAfter(text, "\n")
		before := 0
		for _, r := range parseRules("f", text) {
			if r.First <= before || r.Last < r.First || r.Last > len(lines) {
				t.Fatalf("%q: lines %d to %d after %d", text, r.First, r.Last, before)
			}
			if joined := strings.Join(lines[r.First-1:r.Last], ""); strings.TrimSpace(strings.ReplaceAll(joined, "\\\n", " ")) != r.Text {
				t.Fatalf("%q: %q is not %q", text, r.Text, joined)
			}
			before = r.Last
		}
	})
}
