package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/kernel"
	"kkeys/machine"
	"kkeys/machine/machinetest"
	"kkeys/modsig"
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
			got.out, got.err, want.out, want.err = same.Replace(got.out), same.Replace(got.err), withoutRoot(same.Replace(want.out)), withoutRoot(same.Replace(want.err))
			if got != want {
				t.Errorf("%s%s: of the machine: exit code %d\n%s%s\nof its snapshot: exit code %d\n%s%s", args, form, want.code, want.out, want.err, got.code, got.out, got.err)
			}
		}
	}
	if got := runOn(t, nil, "--snapshot", file, "trusted", dir+"/stranger.der"); got.code == exitYes || !strings.Contains(got.err, "cannot be asked") {
		t.Errorf("about a certificate that was not asked about: exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

// What load probes showed is answered from the snapshot as on the machine; what was not asked, and a private key, is not.
func TestSnapshotProves(t *testing.T) {
	plain, dir := debian(t)
	m := *plain
	m.Files = union{m.Files, os.DirFS(placed(t, dir))}
	certificates, err := machine.CertificateFile(dir + "/one.der")
	if err != nil {
		t.Fatal(err)
	}
	m.Prober = enforcing{certificates[0]}
	file := filepath.Join(t.TempDir(), "machine.kks")
	got := runOn(t, &m, "snapshot", "--prove", "--json", file)
	var document snapshotDocument
	if err := json.Unmarshal([]byte(got.out), &document); err != nil || document.Probed == nil || *document.Probed != 4 {
		t.Fatalf("%v, %s", err, got.out)
	}
	for _, args := range []string{"trusted --prove " + dir + "/one.der", "trusted --prove --json " + dir + "/one.der " + dir + "/two.der"} {
		want := runOn(t, &m, strings.Fields(args)...)
		got := runOn(t, nil, append([]string{"--snapshot", file}, strings.Fields(args)...)...)
		want.out = withoutRoot(strings.ReplaceAll(want.out, dir+"/efivars", "/"+efivars.DefaultDir))
		if got != want || !strings.Contains(got.out, "keyless") {
			t.Errorf("%s: of the machine: exit code %d\n%s%s\nof its snapshot: exit code %d\n%s%s", args, want.code, want.out, want.err, got.code, got.out, got.err)
		}
	}
	if got := runOn(t, nil, "--snapshot", file, "trusted", "--prove", "--hash", "sha512", dir+"/one.der"); !strings.Contains(got.out, "no load probe with sha512") {
		t.Errorf("another hash: exit code %d\n%s%s", got.code, got.out, got.err)
	}

	// Who may not ask gets the rest, and is told; who does not want to is told how.
	m.Prober = refusingProber{}
	if got := runOn(t, &m, "snapshot", "--prove", "--force", file); got.code != exitUnsure || !strings.Contains(got.out, "load probes for 0 names of keys") || !strings.Contains(got.err, "not seen: load probes: the kernel refuses before it looks") {
		t.Errorf("not root: exit code %d\n%s%s", got.code, got.out, got.err)
	}
	m.Prober = nil
	if got := runOn(t, &m, "snapshot", "--force", file); !strings.Contains(got.out, "no load probes (--prove makes them)") || strings.Contains(got.err, "load probes") {
		t.Errorf("without: exit code %d\n%s%s", got.code, got.out, got.err)
	}
	if got := runOn(t, nil, "--snapshot", file, "trusted", "--prove", dir+"/one.der"); !strings.Contains(got.out, "recorded without load probes") {
		t.Errorf("without, asked: exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

// enforcing is a kernel that enforces signatures and has one key.
type enforcing struct{ key *certs.Certificate }

func (e enforcing) Probe(payload *kernel.Payload, trailer []byte) (*kernel.Attempt, error) {
	untainted := uint64(0)
	a := &kernel.Attempt{Errno: kernel.EKEYREJECTED, TaintBefore: &untainted, TaintAfter: &untainted}
	refused := func(why string) { a.Log = []kernel.Record{{Level: 5, Message: "Loading of " + why + " is rejected"}} }
	_, der, err := modsig.Split(append(bytes.Clone(payload.Bytes()), trailer...))
	switch {
	case errors.Is(err, modsig.ErrUnsigned):
		refused("unsigned module")
		return a, nil
	case err != nil:
		a.Errno = kernel.EBADMSG
		return a, nil
	}
	message, err := modsig.Decode(der)
	if err != nil {
		return nil, err
	}
	if id := message.Signers[0].ID(); !bytes.Equal(id, e.key.ID0()) && !bytes.Equal(id, e.key.ID1()) {
		refused("module with unavailable key")
	}
	return a, nil
}

// refusingProber is the kernel of an ordinary user.
type refusingProber struct{}

func (refusingProber) Probe(*kernel.Payload, []byte) (*kernel.Attempt, error) {
	return &kernel.Attempt{Errno: kernel.EPERM}, nil
}

// rootHints are the hints to run the same command as root, which help nothing where the machine is a recording.
var rootHints = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?m)^kkeys: hint: sudo .*\n`), ""},
	{regexp.MustCompile(`(?m)^  fix: sudo kkeys trusted .*\n`), ""},
	{regexp.MustCompile(`,\n *"hint": "sudo [^\n]*"`), ""},
	{regexp.MustCompile(`"fix": "sudo kkeys trusted [^\n]*"`), `"fix": null`},
}

func withoutRoot(text string) string {
	for _, hint := range rootHints {
		text = hint.pattern.ReplaceAllString(text, hint.instead)
	}
	return text
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
