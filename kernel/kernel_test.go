package kernel

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"kkeys/evidence"
)

// files makes a root folder of path to content.
func files(content map[string]string) fs.FS {
	root := fstest.MapFS{}
	for path, text := range content {
		root[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

const (
	lockdownPath = "sys/kernel/security/lockdown"
	release      = "proc/sys/kernel/osrelease"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name       string
		files      map[string]string
		signatures evidence.Answer
		enforced   evidence.Answer
		lockdown   string
		says       string // of enforced
	}{
		{"Debian 12, Secure Boot", map[string]string{sigEnforce: "Y\n", lockdownPath: "none [integrity] confidentiality\n"}, evidence.Yes, evidence.Yes, "integrity", "sig_enforce is Y"},
		{"lockdown alone", map[string]string{sigEnforce: "N\n", lockdownPath: "none integrity [confidentiality]\n"}, evidence.Yes, evidence.Yes, "confidentiality", "lockdown is confidentiality"},
		{"permissive", map[string]string{sigEnforce: "N\n", lockdownPath: "[none] integrity confidentiality\n"}, evidence.Yes, evidence.No, "none", "taint"},
		{"securityfs not mounted", map[string]string{sigEnforce: "N\n"}, evidence.Yes, evidence.Unknown, "", "cannot be read"},
		{"lockdown of another shape", map[string]string{sigEnforce: "N\n", lockdownPath: "none\n"}, evidence.Yes, evidence.Unknown, "", "cannot be read"},
		{"no signatures", map[string]string{"sys/module/kernel/parameters/panic": "0\n"}, evidence.No, evidence.No, "", "no sig_enforce"},
		{"no signatures, by configuration", map[string]string{"boot/config-6.1.0": "CONFIG_MODULES=y\n"}, evidence.No, evidence.No, "none", "CONFIG_MODULE_SIG is not set"},
		{"signatures by configuration alone", map[string]string{"boot/config-6.1.0": "CONFIG_MODULE_SIG=y\nCONFIG_SECURITY_LOCKDOWN_LSM=y\n"}, evidence.Yes, evidence.Unknown, "", "cannot be read"},
		{"a kernel without lockdown", map[string]string{sigEnforce: "N\n", "boot/config-6.1.0": "CONFIG_MODULE_SIG=y\n"}, evidence.Yes, evidence.No, "none", "taint"},
		{"a file that is no line", map[string]string{sigEnforce: strings.Repeat("Y", 5000), lockdownPath: "[none]\n"}, evidence.Unknown, evidence.Unknown, "none", "cannot be read"},
		{"nothing to see", map[string]string{}, evidence.Unknown, evidence.Unknown, "", "cannot be read"},
	} {
		c.files[release] = "6.1.0\n"
		s := Read(files(c.files))
		if s.Signatures.Answer != c.signatures || s.Enforced.Answer != c.enforced || s.Lockdown != c.lockdown || s.Release != "6.1.0" {
			t.Errorf("%s: signatures %v, enforced %v, lockdown %q, release %q", c.name, s.Signatures, s.Enforced, s.Lockdown, s.Release)
		}
		if !strings.Contains(s.Enforced.Evidence, c.says) {
			t.Errorf("%s: says %q, want %q", c.name, s.Enforced.Evidence, c.says)
		}
		for _, r := range []evidence.Reading{s.Signatures, s.Enforced} {
			if r.Evidence == "" || r.Source == "" {
				t.Errorf("%s: a reading without evidence or source: %+v", c.name, r)
			}
		}
	}
}

func TestReadMore(t *testing.T) {
	s := Read(files(map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "proc/sys/kernel/modules_disabled": "1\n", "proc/sys/kernel/tainted": "12288\n",
	}))
	if s.Distribution.ID != "debian" || s.ModulesDisabled != evidence.Yes || s.Taint == nil || *s.Taint != 1<<12|1<<13 {
		t.Errorf("read %+v", s)
	}
	s = Read(files(map[string]string{"usr/lib/os-release": "ID=arch\n", "proc/sys/kernel/modules_disabled": "maybe\n", "proc/sys/kernel/tainted": "-1\n"}))
	if s.Distribution.ID != "arch" || s.ModulesDisabled != evidence.Unknown || s.Taint != nil {
		t.Errorf("read %+v", s)
	}
}

func TestFIPS(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  evidence.Answer
	}{
		{map[string]string{fipsEnabled: "1\n"}, evidence.Yes}, {map[string]string{fipsEnabled: "0\n"}, evidence.No}, {map[string]string{fipsEnabled: "2\n"}, evidence.Unknown},
		{map[string]string{release: "6.1.0\n"}, evidence.No}, {nil, evidence.Unknown}, {map[string]string{release: "6.1.0\n", fipsEnabled + "/x": ""}, evidence.Unknown},
	} {
		if got := Read(files(c.files)).FIPS; got != c.want {
			t.Errorf("%v: %v, want %v", c.files, got, c.want)
		}
	}
	if got := Read(refusing{files(map[string]string{release: "6.1.0\n", fipsEnabled: "1\n"}), fipsEnabled}).FIPS; got != evidence.Unknown {
		t.Errorf("unreadable: %v", got)
	}
}

func TestBootID(t *testing.T) {
	const id = "47879069-1bab-4eb9-a53c-ad3ed88c336a"
	for text, want := range map[string]string{
		id + "\n": id, id: id, strings.ToUpper(id): "", id + "x": "", " " + id: "", "47879069-1bab-4eb9-a53c-ad3ed88c336": "", "47879069_1bab_4eb9_a53c_ad3ed88c336a": "", "": "", id + "\n" + id: "",
	} {
		if got := Read(files(map[string]string{"proc/sys/kernel/random/boot_id": text})).BootID; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A pipe in place of a file is not opened: nobody writes to it.
func TestReadPipes(t *testing.T) {
	root := fstest.MapFS{release: {Mode: fs.ModeNamedPipe, Data: []byte("6.1.0\n")}, sigEnforce: {Mode: fs.ModeNamedPipe, Data: []byte("Y\n")}, "etc/os-release": {Mode: fs.ModeNamedPipe, Data: []byte("ID=x\n")}}
	if s := Read(root); s.Release != "" || s.SigEnforce != evidence.Unknown || s.Distribution.ID != "" {
		t.Errorf("read from pipes: %+v", s)
	}
}

func TestConfig(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("# Linux\nCONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH=\"sha256\"\n# CONFIG_IMA is not set\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := Read(files(map[string]string{release: "6.1.0\n", "proc/config.gz": packed.String(), "boot/config-6.1.0": "CONFIG_OTHER=y\n"}))
	if s.ConfigPath != "/proc/config.gz" {
		t.Errorf("configuration from %q", s.ConfigPath)
	}
	for option, want := range map[string]string{"MODULE_SIG": "y", "MODULE_SIG_HASH": `"sha256"`, "IMA": "n", "NEVER_HEARD": "n"} {
		if got, known := s.Config.Value(option); got != want || !known {
			t.Errorf("CONFIG_%s = %q, %v", option, got, known)
		}
	}
	if _, known := (Config)(nil).Value("MODULE_SIG"); known {
		t.Error("no configuration, and yet an answer")
	}
	// What cannot be read must not shadow the next place, nor pass for a kernel with every option off.
	s = Read(files(map[string]string{release: "6.1.0\n", "proc/config.gz": packed.String()[:30], "boot/config-6.1.0": "", "lib/modules/6.1.0/config": "CONFIG_MODULE_SIG=y\n"}))
	if s.ConfigPath != "/lib/modules/6.1.0/config" {
		t.Errorf("configuration from %q", s.ConfigPath)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comments": "# a\n# b\n", "no prefix": "MODULE_SIG=y\n", "no value": "CONFIG_MODULE_SIG\n", "cut in a comment": "CONFIG_A=y\n# CONFIG_B is n", "cut in an option": "CONFIG_A=y\nCONFIG_B=", "no name": "CONFIG_=y\n",
		"long line": "CONFIG_A=" + strings.Repeat("x", 2<<20), "too much": strings.Repeat("# "+strings.Repeat("y", 1000)+"\n", configMax/1000),
	} {
		if c, err := ParseConfig(strings.NewReader(text)); err == nil || c != nil {
			t.Errorf("%s: %d options, %v, want an error alone", name, len(c), err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{"CONFIG_MODULE_SIG=y\n# x\n", "CONFIG_A=\"=\"\n\n", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, err := ParseConfig(strings.NewReader(text))
		if (err == nil) != (len(config) > 0) {
			t.Errorf("%d options, %v", len(config), err)
		}
	})
}
