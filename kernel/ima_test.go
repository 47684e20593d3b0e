package kernel

import (
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"kkeys/evidence"
)

func TestIMA(t *testing.T) {
	const (
		config    = "boot/config-6.1.0"
		appraises = "CONFIG_MODULE_SIG=y\nCONFIG_IMA_APPRAISE=y\nCONFIG_IMA_APPRAISE_BOOTPARAM=y\n"
		rule      = "appraise func=MODULE_CHECK appraise_type=imasig\n"
		closed    = "closed" // stands for a policy that cannot be read
	)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  evidence.Answer
		says  string
	}{
		{"not compiled", map[string]string{config: "CONFIG_MODULE_SIG=y\n", commandLineFile: "ima_policy=secure_boot\n"}, evidence.No, "CONFIG_IMA_APPRAISE is not set"},
		{"a rule", map[string]string{imaPolicy: "measure func=MODULE_CHECK\n" + rule}, evidence.Yes, "appraise_type=imasig; a module file"},
		{"a rule, for the log only", map[string]string{imaPolicy: rule, commandLineFile: "ima_appraise=log\n"}, evidence.Unknown, "ima_appraise=log"},
		{"a rule, for the log only, unless that is not compiled", map[string]string{config: "CONFIG_IMA_APPRAISE=y\n", imaPolicy: rule, commandLineFile: "ima_appraise=log\n"}, evidence.Yes, "EACCES"},
		{"a rule, enforced after all", map[string]string{imaPolicy: rule, commandLineFile: "ima_appraise=fix ima_appraise=enforce\n"}, evidence.Yes, "EACCES"},
		{"no rule", map[string]string{config: appraises, imaPolicy: "measure func=MODULE_CHECK\n", commandLineFile: "ima_policy=secure_boot\n"}, evidence.No, "no rule"},
		{"an empty policy", map[string]string{imaPolicy: ""}, evidence.No, "no rule"},
		{"compiled in", map[string]string{config: appraises + "CONFIG_IMA_APPRAISE_REQUIRE_MODULE_SIGS=y\n"}, evidence.Yes, "REQUIRE_MODULE_SIGS=y"},
		{"secure_boot", map[string]string{commandLineFile: "ima_policy=\"tcb|secure_boot\" ima_policy=tcb\n"}, evidence.Yes, "ima_policy=tcb|secure_boot"},
		{"appraise_tcb", map[string]string{config: appraises, commandLineFile: "ima-policy=appraise_tcb\n"}, evidence.Yes, "appraise_tcb"},
		{"appraise_tcb, the old way", map[string]string{commandLineFile: "ima_appraise_tcb\n"}, evidence.Yes, "ima_appraise_tcb"},
		{"behind the end", map[string]string{commandLineFile: "-- ima_policy=secure_boot\n"}, evidence.Unknown, "cannot be read"},
		{"another policy", map[string]string{commandLineFile: "ima_policy=secure_boots\n"}, evidence.Unknown, "cannot be read"},
		{"Debian", map[string]string{config: appraises, commandLineFile: "quiet\n", imaPolicy: closed}, evidence.No, "since the boot"},
		{"Debian, replaced", map[string]string{config: appraises, commandLineFile: "quiet\n"}, evidence.Unknown, "cannot be read"},
		{"Debian, command line unseen", map[string]string{config: appraises, imaPolicy: closed}, evidence.Unknown, "cannot be read"},
		{"more could be written", map[string]string{config: appraises + "CONFIG_IMA_WRITE_POLICY=y\n", commandLineFile: "quiet\n", imaPolicy: closed}, evidence.Unknown, "cannot be read"},
		{"for root's eyes", map[string]string{config: appraises + "CONFIG_IMA_READ_POLICY=y\n", commandLineFile: "quiet\n", imaPolicy: closed}, evidence.Unknown, "cannot be read"},
		{"signatures unchecked", map[string]string{config: strings.Replace(appraises, "CONFIG_MODULE_SIG=y\n", "", 1), commandLineFile: "quiet\n", imaPolicy: closed}, evidence.Unknown, "cannot be read"},
		{"nothing to see", nil, evidence.Unknown, "cannot be read"},
		{"nothing but a closed policy", map[string]string{commandLineFile: "quiet\n", imaPolicy: closed}, evidence.Unknown, "cannot be read"},
	} {
		content := map[string]string{release: "6.1.0\n"}
		maps.Copy(content, c.files)
		root := files(content)
		if c.files[imaPolicy] == closed {
			root = refusing{root, imaPolicy}
		}
		r := Read(root).IMA
		if r.Answer != c.want || !strings.Contains(r.Evidence, c.says) || r.Source == "" {
			t.Errorf("%s: %+v, want %v about %q", c.name, r, c.want, c.says)
		}
	}
}

// refusing is a root folder with a file that cannot be opened.
type refusing struct {
	fs.FS
	closed string
}

func (r refusing) Open(name string) (fs.File, error) {
	if name == r.closed {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.FS.Open(name)
}

func (r refusing) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

func TestModuleRule(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "\n\n": "", "measure func=MODULE_CHECK \n": "", "appraise func=KEXEC_KERNEL_CHECK \n": "",
		"dont_measure fsmagic=0x9fa0 \nappraise func=MODULE_CHECK appraise_type=imasig|modsig \n": "appraise func=MODULE_CHECK appraise_type=imasig|modsig",
		"appraise fowner=0 \n": "appraise fowner=0",
		"dont_appraise fsmagic=0x1021994 \nappraise func=MODULE_CHECK fowner=0":                    "appraise func=MODULE_CHECK fowner=0",
		"dont_appraise func=MODULE_CHECK \nappraise fowner=0 \n":                                   "",
		"dont_appraise \nappraise func=MODULE_CHECK \n":                                            "",
		"dont_appraise func=MODULE_CHECK uid=0 \nappraise func=MODULE_CHECK \n":                    "appraise func=MODULE_CHECK",
		"dont_appraise func=FILE_CHECK \nappraise func=MODULE_CHECK \n":                            "appraise func=MODULE_CHECK",
		"appraise func=MODULE_CHECK fowner=1 \nappraise func=MODULE_CHECK \n":                      "appraise func=MODULE_CHECK fowner=1",
		"appraise mask=MAY_EXEC fowner=0 \nappraise mask=MAY_WRITE \n":                             "",
		"appraise mask=^MAY_READ fowner=0 \n":                                                      "appraise mask=^MAY_READ fowner=0",
		"appraise func=MODULE_CHECK mask=MAY_READ \n":                                              "appraise func=MODULE_CHECK mask=MAY_READ",
		"appraise func=MODULE_CHECK mask=MAY_EXEC \nappraise mask=MAY_APPEND func=MODULE_CHECK \n": "",
		"appraise func=FILE_CHECK mask=MAY_READ \nappraise mask=MAY_READ func=FILE_CHECK \n":       "",
		"appraise func=MODULE_CHECKS \nappraises func=MODULE_CHECK\n#appraise MODULE_CHECK":        "",
	} {
		if got, err := ModuleRule(strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	failure := errors.New("no")
	if rule, err := ModuleRule(iotest.ErrReader(failure)); rule != "" || !errors.Is(err, failure) {
		t.Errorf("%q, %v", rule, err)
	}
	for name, text := range map[string]string{"long line": "appraise " + strings.Repeat("x", 1<<20), "too much": "appraise\n" + strings.Repeat("measure\n", imaPolicyMax/8)} {
		if rule, err := ModuleRule(strings.NewReader(text)); rule != "" || err == nil {
			t.Errorf("%s: %q, %v", name, rule, err)
		}
	}
	if s := Read(fstest.MapFS{imaPolicy: {Mode: fs.ModeNamedPipe}}); s.IMA.Answer != evidence.Unknown {
		t.Errorf("a pipe: %+v", s.IMA)
	}
}

func FuzzModuleRule(f *testing.F) {
	for _, seed := range []string{"appraise func=MODULE_CHECK \n", "dont_appraise\nappraise\n", "measure func=MODULE_CHECK\nappraise fowner=0", "\x00", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := ModuleRule(strings.NewReader(text))
		if err != nil && rule != "" {
			t.Fatalf("%q, %v", rule, err)
		}
		if rule == "" {
			return
		}
		if again, err := ModuleRule(strings.NewReader(rule)); again != rule || err != nil {
			t.Errorf("%q became %q, %v", rule, again, err)
		}
	})
}
