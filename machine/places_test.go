package machine

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
	"kkeys/machine/machinetest"
)

// An example of each place, so that no pattern is without a file that it fits.
var examples = []string{
	"var/lib/shim-signed/mok/MOK.der", "var/lib/shim-signed/mok/MOK.priv", "var/lib/dkms/mok.pub", "var/lib/dkms/mok.key",
	"etc/pki/akmods/certs/public_key.der", "etc/pki/akmods/private/private_key.priv", "etc/uefi/certs/BCA4E38E-shim.crt",
	"var/lib/sbctl/keys/db/db.pem", "var/lib/sbctl/keys/db/db.key", "usr/share/secureboot/keys/KEK/KEK.pem", "usr/share/secureboot/keys/KEK/KEK.key",
	"lib/modules/6.1/build/certs/signing_key.x509", "lib/modules/6.1/build/certs/signing_key.pem",
	"usr/src/linux-6.2/certs/signing_key.x509", "usr/src/linux-6.2/certs/signing_key.pem",
	"lib/modules/keys/a.x509", "lib/modules/keys/a.der", "lib/modules/keys/a.crt", "lib/modules/keys/a.cer",
	"etc/refind.d/keys/refind_local.cer", "etc/refind.d/keys/refind_local.crt", "etc/refind.d/keys/refind_local.key",
	"root/module-signing/MOK.der", "root/module-signing/MOK.crt", "root/module-signing/MOK.x509", "root/module-signing/MOK.priv", "root/module-signing/MOK.key",
	"root/MOK.der", "root/MOK.crt", "root/MOK.priv", "root/MOK.key",
}

func isPrivate(p string) bool {
	return slices.Contains([]string{".priv", ".key"}, path.Ext(p)) || path.Base(p) == "signing_key.pem"
}

// sealed is a file system whose private keys cannot be opened: doing so fails the test.
type sealed struct {
	fs.FS
	t *testing.T
}

func (s sealed) Open(name string) (fs.File, error) {
	if isPrivate(name) {
		s.t.Errorf("%s was opened", name)
	}
	return s.FS.Open(name)
}

func (s sealed) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(s.FS, name) }
func (s sealed) ReadLink(name string) (string, error)       { return fs.ReadLink(s.FS, name) }
func (s sealed) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(s.FS, name) }
func (s sealed) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(s.FS, name) }

func TestPlaces(t *testing.T) {
	made := machinetest.Empty(t)
	var wantFiles, wantKeys []string
	for _, p := range examples {
		if isPrivate(p) {
			made.Write(p, "a private key")
			wantKeys = append(wantKeys, "/"+p)
			continue
		}
		c := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN(p)}, SKID: []byte(p)})
		content := c.DER
		if path.Ext(p) == ".pem" || path.Ext(p) == ".crt" {
			content = c.PEM()
		}
		made.Write(p, string(content))
		wantFiles = append(wantFiles, "file:/"+p+" "+p)
	}
	if len(examples) != len(places) {
		t.Errorf("%d examples of %d places", len(examples), len(places))
	}
	m := in(t, made)
	m.Files = sealed{m.Files, t}
	found, unseen := m.Certificates()
	slices.Sort(wantFiles)
	if got := slices.Sorted(slices.Values(wheres(found))); !slices.Equal(got, wantFiles) || len(unseen) > 0 {
		t.Errorf("found %q, want %q; not seen %v", got, wantFiles, unseen)
	}
	keys, unseen := m.KeyFiles()
	var got []string
	for _, k := range keys {
		got = append(got, k.Path)
		if k.Owner == "" || k.Mode.Perm() != 0o644 || runtime.GOOS == "linux" && (k.UID == nil || *k.UID != uint32(os.Getuid())) {
			t.Errorf("%+v", k)
		}
	}
	slices.Sort(got)
	slices.Sort(wantKeys)
	if !slices.Equal(got, wantKeys) || len(unseen) > 0 {
		t.Errorf("keys %q, want %q; not seen %v", got, wantKeys, unseen)
	}
	if len(wantKeys) < 8 {
		t.Errorf("only %d private keys", len(wantKeys))
	}
}

// The build folder of an installed kernel is an absolute link, meant from the machine's own root.
func TestPlacesThroughLinks(t *testing.T) {
	made := machinetest.Empty(t)
	made.Write("usr/src/linux-6/certs/signing_key.x509", string(named(t, "build")))
	made.Link("usr/lib/modules/6/build", "/usr/src/linux-6")
	made.Link("usr/lib/modules/5/build", "/usr/src/linux-5") // its headers are not installed
	made.Link("lib", "usr/lib")
	found, unseen := in(t, made).Certificates()
	if got := wheres(found); !slices.Equal(got, []string{"file:/usr/src/linux-6/certs/signing_key.x509 build"}) || len(unseen) > 0 {
		t.Errorf("found %q, not seen %v", got, unseen)
	}
}

func TestPlacesDKMS(t *testing.T) {
	made := machinetest.Empty(t)
	made.Write("etc/dkms/framework.conf", "# mok_certificate=/no\nmok_signing_key=\"/srv/keys/signing.key\"\n  mok_certificate=/srv/keys/signing.pub # ours\nsource_tree=/usr/src\n")
	made.Write("etc/dkms/framework.conf.d/more.conf", "mok_certificate='/srv/keys/more.pub'\nmok_signing_key=pkcs11:token=x\n")
	made.Write("etc/dkms/framework.conf.d/odd.conf", "mok_certificate=/srv/$kernelver.pub\nmok_certificate=\"/srv/keys/signing.pub\"\n")
	made.Write("etc/dkms/framework.conf.d/README", "mok_certificate=/no\n")
	made.Write("srv/keys/signing.pub", string(named(t, "ours")))
	made.Write("srv/keys/more.pub", string(named(t, "more")))
	made.Write("srv/keys/signing.key", "")
	m := in(t, made)
	found, unseen := m.Certificates()
	if got := wheres(found); !slices.Equal(got, []string{"file:/srv/keys/signing.pub ours", "file:/srv/keys/more.pub more"}) {
		t.Errorf("found %q", got)
	}
	if len(unseen) != 1 || !errors.Is(unseen[0].Err, errNotPlain) || !strings.Contains(unseen[0].Err.Error(), "odd.conf") {
		t.Errorf("not seen %v", unseen)
	}
	if keys, _ := m.KeyFiles(); len(keys) != 1 || keys[0].Path != "/srv/keys/signing.key" || keys[0].Owner != dkms {
		t.Errorf("keys %+v", keys)
	}
}

func TestParseDKMS(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"mok_certificate=":             "",
		"mok_certificate=/a/../b":      "b",
		"mok_certificate=\"/a b\"":     "error",
		"mok_certificate=/a*":          "error",
		"mok_certificate=/":            "error",
		"mok_certificate=\"/a":         "error",
		"mok_certificate=a":            "error",
		"mok_certificate=$(x)":         "error",
		"mok_signing_key=pkcs11:a":     "",
		"mok_signing_key=/k":           "k",
		"other=/a\nMOK_CERTIFICATE=/b": "",
		"mok_certificate=" + strings.Repeat("/a", 1<<16): "error",
	} {
		told, err := parseDKMS([]byte(text))
		got := ""
		if len(told) > 0 {
			got = told[0].pattern
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%.60q: %q, %v", text, got, err)
		}
	}
}

// A named file that is no certificate, or cannot be read, is told; a guess is passed over.
func TestPlacesUnseen(t *testing.T) {
	made := machinetest.Empty(t)
	made.Write("var/lib/dkms/mok.pub", "no certificate")
	made.Write("var/lib/shim-signed/mok/MOK.der", string(certtest.SelfSigned(t, "x").KeyPEM(t)))
	made.Write("etc/uefi/certs/a.crt", strings.Repeat(" ", fileMax+1))
	made.Write("root/MOK.der", "no certificate")
	made.Write("lib/modules/keys/a.der/b", "a folder")
	found, unseen := in(t, made).Certificates()
	want := map[string]error{"/var/lib/dkms/mok.pub": certs.ErrNotCertificate, "/var/lib/shim-signed/mok/MOK.der": certs.ErrPrivateKey, "/etc/uefi/certs/a.crt": nil}
	if len(found) > 0 || len(unseen) != len(want) {
		t.Errorf("found %q, not seen %v", wheres(found), unseen)
	}
	for _, u := range unseen {
		if err, ok := want[u.Source]; !ok || err != nil && !errors.Is(u.Err, err) {
			t.Errorf("not seen: %v", u)
		}
	}
}

// locked refuses to list some folders.
type locked struct {
	fs.FS
	dirs []string
}

func (l locked) Stat(name string) (fs.FileInfo, error) {
	for _, dir := range l.dirs {
		if strings.HasPrefix(name, dir+"/") {
			return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrPermission}
		}
	}
	return fs.Stat(l.FS, name)
}

func (l locked) ReadDir(name string) ([]fs.DirEntry, error) {
	if slices.Contains(l.dirs, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return fs.ReadDir(l.FS, name)
}

// What an ordinary user may not see is told, but about guesses only where a private key may be.
func TestPlacesDenied(t *testing.T) {
	made := machinetest.Empty(t)
	for _, p := range []string{"var/lib/dkms/mok.pub", "etc/pki/akmods/private/a.priv", "etc/uefi/certs/a.crt", "root/MOK.der"} {
		made.Write(p, string(named(t, "x")))
	}
	m := in(t, made)
	m.Files = locked{m.Files, []string{"var/lib/dkms", "etc/pki/akmods/private", "etc/uefi/certs", "root", "root/module-signing"}}
	found, unseen := m.Certificates()
	var sources []string
	for _, u := range unseen {
		sources = append(sources, u.Source)
		if !errors.Is(u.Err, fs.ErrPermission) {
			t.Errorf("%v", u)
		}
	}
	if len(found) > 0 || !slices.Equal(sources, []string{"/var/lib/dkms/mok.pub", "/etc/uefi/certs/*.crt"}) {
		t.Errorf("found %q, not seen %q", wheres(found), sources)
	}
	keys, unseen := m.KeyFiles()
	sources = nil
	for _, u := range unseen {
		sources = append(sources, u.Source)
		if !errors.Is(u.Err, fs.ErrPermission) {
			t.Errorf("%v", u)
		}
	}
	want := []string{"/var/lib/dkms/mok.key", "/etc/pki/akmods/private/*.priv", "/root/module-signing/*.priv", "/root/module-signing/*.key", "/root/MOK.priv", "/root/MOK.key"}
	if len(keys) > 0 || !slices.Equal(sources, want) {
		t.Errorf("keys %v, not seen %q", keys, sources)
	}
}

// FuzzDKMS: what is told is a path without anything that a pattern or a shell would take apart.
func FuzzDKMS(f *testing.F) {
	f.Add("mok_certificate=\"/var/lib/dkms/mok.pub\"\nmok_signing_key=/k # x")
	f.Add("mok_certificate=/../a$b\n")
	f.Add("mok_certificate=/\xa8") // no UTF-8
	f.Fuzz(func(t *testing.T, text string) {
		told, _ := parseDKMS([]byte(text))
		for _, p := range told {
			if !fs.ValidPath(p.pattern) || p.pattern == "." || strings.ContainsAny(p.pattern, "*$\"'") {
				t.Errorf("%q", p.pattern)
			}
		}
	})
}
