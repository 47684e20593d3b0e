package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/machine/machinetest"
)

// Whatever is asked of a machine with keyrings, its snapshot says the same, byte for byte, in both forms.
func TestSnapshotAnswersTheSame(t *testing.T) {
	m, dir := debian(t)
	file := filepath.Join(t.TempDir(), "machine.kks")
	// one.der is where Debian keeps its key, so the kernel is asked about it; two.der is in db; of stranger.der the snapshot knows nothing.
	withFiles := *m
	withFiles.Files = union{m.Files, os.DirFS(placed(t, dir))}
	if got := runOn(t, &withFiles, "snapshot", file); got.code != exitYes && got.code != exitUnsure {
		t.Fatalf("exit code %d\n%s%s", got.code, got.out, got.err)
	}
	for _, args := range []string{
		"list", "list machine platform", "list --blacklist", "list .none", "status", "pending", "list --cert " + dir + "/one.der",
		"trusted " + dir + "/one.der", "trusted " + dir + "/two.der", "enroll --dry-run " + dir + "/one.der",
	} {
		for _, form := range []string{"", " --json", " --quiet"} {
			want := runOn(t, &withFiles, strings.Fields(args+form)...)
			got := runOn(t, nil, append([]string{"--snapshot", file}, strings.Fields(args+form)...)...)
			// A hint repeats the command; the machine of this test keeps its variables elsewhere.
			same := strings.NewReplacer("--snapshot "+file+" ", "", dir+"/efivars", "/"+efivars.DefaultDir)
			got.out, got.err, want.out, want.err = same.Replace(got.out), same.Replace(got.err), same.Replace(want.out), same.Replace(want.err)
			if got != want {
				t.Errorf("%s%s: of the machine: exit code %d\n%s%s\nof its snapshot: exit code %d\n%s%s", args, form, want.code, want.out, want.err, got.code, got.out, got.err)
			}
		}
	}
	if got := runOn(t, nil, "--snapshot", file, "trusted", dir+"/stranger.der"); got.code == exitYes || !strings.Contains(got.err, "cannot be asked") {
		t.Errorf("about a certificate that was not asked about: exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

// placed is a root folder with one.der where Debian keeps the key of a machine.
func placed(t *testing.T, dir string) string {
	der, err := os.ReadFile(filepath.Join(dir, "one.der"))
	if err != nil {
		t.Fatal(err)
	}
	made := &machinetest.Machine{T: t, Dir: t.TempDir()}
	made.Write("var/lib/shim-signed/mok/MOK.der", string(der))
	return made.Dir
}

// The commands that read say the same of a folder and of its snapshot, but for the folder's name.
func TestSnapshotOfFolder(t *testing.T) {
	made := machinetest.Installed(t)
	made.Write("proc/sys/kernel/osrelease", "6.1.0-test\n")
	made.Write("sys/module/module/parameters/sig_enforce", "N\n")
	made.Write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
	made.Write("etc/os-release", "ID=debian\nPRETTY_NAME=Debian\n")
	made.Write("one.der", string(specimens(t)["one.der"]))
	made.Write("var/lib/dkms/mok.pub", string(specimens(t)["two.der"]))
	file := filepath.Join(t.TempDir(), "folder.kks")
	if got := runOn(t, nil, "--root", made.Dir, "snapshot", file); got.code != exitUnsure { // it has no keyrings
		t.Fatalf("exit code %d\n%s%s", got.code, got.out, got.err)
	}
	certificate := filepath.Join(made.Dir, "one.der")
	for _, args := range []string{"list", "status", "pending", "trusted " + certificate, "enroll --dry-run " + certificate} {
		for _, form := range []string{"", " --json"} {
			want := runOn(t, nil, append([]string{"--root", made.Dir}, strings.Fields(args+form)...)...)
			got := runOn(t, nil, append([]string{"--snapshot", file}, strings.Fields(args+form)...)...)
			same := func(s string) string {
				return strings.NewReplacer("--root "+made.Dir+" ", "", made.Dir+"/sys", "/sys", "--snapshot "+file+" ", "", "openat ", "open ", "statat ", "stat ").Replace(s)
			}
			if got.code != want.code || same(got.out) != same(want.out) || same(got.err) != same(want.err) {
				t.Errorf("%s%s: of the folder: exit code %d\n%s%s\nof its snapshot: exit code %d\n%s%s", args, form, want.code, want.out, want.err, got.code, got.out, got.err)
			}
		}
	}
}

// union is two root folders in one: the first that has a file gives it, and folders are those of the first that has one.
type union struct{ first, second fs.FS }

func (u union) Open(name string) (fs.File, error) {
	file, err := u.first.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return u.second.Open(name)
	}
	return file, err
}
