//go:build lab

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kkeys/internal/lab"
	"kkeys/machine"
)

// partsRoot is the folder below which the lab's packages are unpacked.
func partsRoot(t *testing.T) string {
	t.Helper()
	parts, err := lab.Find()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(parts.Folder, "root")
}

// written makes files in a folder.
func written(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLabDKMS has Debian's dkms build a module for the lab's kernel and sign it with kkeys in the place of sign-file, with a key that kkeys made;
// the module then loads with Secure Boot on.
func TestLabDKMS(t *testing.T) {
	root, dir := partsRoot(t), t.TempDir()
	headers, err := filepath.Glob(root + "/usr/src/linux-headers-6.1.*-cloud-amd64")
	if err != nil || len(headers) != 1 {
		t.Fatalf("%v, %v", headers, err)
	}
	release := strings.TrimPrefix(filepath.Base(headers[0]), "linux-headers-")
	// The headers' Makefile names the others by an absolute path, which here is another.
	makefile, err := os.ReadFile(headers[0] + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	written(t, dir, map[string]string{
		"kernel/Makefile":       strings.ReplaceAll(string(makefile), "/usr/src/", root+"/usr/src/"),
		"src/tiny-1/tiny.c":     "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n",
		"src/tiny-1/Makefile":   "obj-m := tiny.o\n",
		"src/tiny-1/dkms.conf":  "PACKAGE_NAME=tiny\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME[0]=tiny\nDEST_MODULE_LOCATION[0]=/updates\n",
		"kkeys":                 string(lab.Binary(t, "kkeys/cmd/kkeys")),
		"sign-file":             "#!/bin/sh\nexec " + dir + "/kkeys sign-file \"$@\"\n",
		"installed/placeholder": "",
		"tree/placeholder":      "",
	})
	entries, err := os.ReadDir(headers[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "Makefile" {
			continue
		}
		if err := os.Symlink(filepath.Join(headers[0], e.Name()), filepath.Join(dir, "kernel", e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	key, cert := filepath.Join(dir, "mok.key"), filepath.Join(dir, "mok.pub")
	if got := runOn(t, nil, "generate", "--name", "lab: dkms", "--key", key, "--cert", cert); got.code != exitYes {
		t.Fatalf("exit code %d %s", got.code, got.err)
	}
	dkms := exec.Command("bash", root+"/usr/sbin/dkms", "build", "-m", "tiny", "-v", "1", "-k", release, "--dkmstree", dir+"/tree", "--sourcetree", dir+"/src",
		"--installtree", dir+"/installed", "--kernelsourcedir", dir+"/kernel")
	dkms.Env = append(os.Environ(), "sign_file="+dir+"/sign-file", "mok_signing_key="+key, "mok_certificate="+cert, "PATH="+os.Getenv("PATH")+":"+root+"/usr/bin:"+root+"/sbin")
	out, err := dkms.CombinedOutput()
	if err != nil {
		t.Fatalf("dkms: %v\n%s", err, out)
	}
	built, err := filepath.Glob(dir + "/tree/tiny/1/" + release + "/*/module/tiny.ko*")
	if err != nil || len(built) != 1 {
		t.Fatalf("dkms made %v: %s", built, out)
	}
	if got := runOn(t, machine.Live(), "verify", "--cert", cert, built[0]); got.code != exitYes {
		t.Fatalf("exit code %d %s%s\n%s", got.code, got.out, got.err, out)
	}
	content := map[string][]byte{}
	for name, path := range map[string]string{"mok.pub": cert, filepath.Base(built[0]): built[0]} {
		if content[name], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	m := lab.Machine{Files: inGuest(t, content), Commands: []lab.Command{labStaging("enroll", "/srv/mok.pub")}}
	staged := boots(t, m)
	expect(t, staged.Outputs[0], exitYes)
	m.Variables, m.Firmware = staged.Variables, lab.Enroll(1, password)
	m.Commands = []lab.Command{kkeys("trusted", "/srv/"+filepath.Base(built[0])), lab.Shell("insmod /srv/" + filepath.Base(built[0]) + " && rmmod tiny")}
	run := boots(t, m)
	expect(t, run.Outputs[0], exitYes, "trusted, .machine")
	expect(t, run.Outputs[1], 0)
}

// TestLabHardwareKey signs with an RSA key in a token, which SoftHSM plays, through pkcs11-tool as an external signer.
func TestLabHardwareKey(t *testing.T) {
	root, dir := partsRoot(t), t.TempDir()
	written(t, dir, map[string]string{"conf": "directories.tokendir = " + dir + "/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", "tokens/placeholder": ""})
	t.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "conf"))
	library := root + "/usr/lib/softhsm/libsofthsm2.so"
	call := func(cmd *exec.Cmd) {
		t.Helper()
		cmd.Env = append(cmd.Env, "SOFTHSM2_CONF="+filepath.Join(dir, "conf"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
		}
	}
	words := func(name string, args ...string) string { return strings.Join(lab.Tool(t, name, args...).Args, " ") }
	call(lab.Tool(t, "/usr/bin/softhsm2-util", "--module", library, "--init-token", "--free", "--label", "token", "--pin", "1234", "--so-pin", "4321"))
	signs := words("/usr/bin/pkcs11-tool", "--module", library, "--token-label", "token", "--pin", "1234", "--sign")
	for i, c := range []struct{ algorithm, command string }{
		{"rsa2048", `printf %s "$KKEYS_DIGESTINFO" | ` + words("/bin/busybox", "xxd", "-r", "-p") + " | " + signs + ` --mechanism RSA-PKCS --label "$KKEYS_KEY"`},
	} {
		key, cert, module := filepath.Join(dir, c.algorithm), filepath.Join(dir, c.algorithm+".der"), filepath.Join(dir, c.algorithm+".ko")
		if got := runOn(t, nil, "generate", "--algorithm", c.algorithm, "--name", "lab: token", "--key", key, "--cert", cert); got.code != exitYes {
			t.Fatalf("exit code %d %s", got.code, got.err)
		}
		call(lab.Tool(t, "/usr/bin/softhsm2-util", "--module", library, "--import", key, "--token", "token", "--label", c.algorithm, "--id", fmt.Sprintf("%02d", i), "--pin", "1234"))
		if err := os.Remove(key); err != nil { // it is in the token now
			t.Fatal(err)
		}
		written(t, dir, map[string]string{c.algorithm + ".ko": string(lab.Strip(t, lab.Module(t, lab.Kernel61, "dummy")))})
		for _, args := range [][]string{
			{"sign", "--signer", c.command, "--key", c.algorithm, "--cert", cert, module},
			{"sign-file", "--signer", c.command, "sha512", c.algorithm, cert, module},
		} {
			if got := runOn(t, nil, args...); got.code != exitYes {
				t.Errorf("%s: exit code %d %s", c.algorithm, got.code, got.err)
			}
			if got := runOn(t, machine.Live(), "verify", "--cert", cert, module); got.code != exitYes {
				t.Errorf("%s: exit code %d %s", c.algorithm, got.code, got.out)
			}
		}
	}
}
