package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kkeys/efivars"
	"kkeys/internal/certtest"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/machine/machinetest"
	"kkeys/mok"
)

// In scripts kkeys runs for a machine whose kernel cannot be asked; --root names its files.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kkeys": func() {
			os.Exit(run(context.Background(), os.Args[1:], standardStreams(), &machine.Machine{
				Files: os.DirFS(os.DevNull), Keyrings: keyring.Recorded{Err: keyring.ErrNotVisible}, Variables: machine.Live().Variables,
			}))
		},
	})
}

// TestScripts runs testdata/*.txtar. Each finds in its folder a machine that was booted through shim (machine), one that has no EFI
// (noefi), and certificates.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			made := machinetest.Installed(t)
			if err := os.Rename(made.Dir, filepath.Join(env.WorkDir, "machine")); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Join(env.WorkDir, "noefi/sys/firmware/acpi"), 0o755); err != nil {
				return err
			}
			for name, content := range specimens(t) {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode, "schema": schema, "variables": variables, "mirror": mirror, "pack": pack},
	})
}

// specimens are the certificate files that the scripts name.
func specimens(t *testing.T) map[string][]byte {
	one := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("one")}, SKID: []byte{1}})
	two := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("two")}, SKID: []byte{2}})
	evil := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("evil; \x1b[31m\n\u202ename")}, SKID: []byte{3}})
	module, _ := signedModule(t, certtest.Spec{Subject: certtest.Name{certtest.CN("one")}, SKID: []byte{1}}, false)
	return map[string][]byte{
		"one.der": one.DER, "one.pem": one.PEM(), "two.der": two.DER, "evil.der": evil.DER,
		"zero.var":     {byte(mok.Attributes), 0, 0, 0, 0, 0, 0, 0},
		"both.pem":     append(one.PEM(), two.PEM()...),
		"trailing.der": append(bytes.Clone(one.DER), 0),
		"cut.der":      one.DER[:len(one.DER)-1],
		"key.pem":      one.KeyPEM(t),
		"empty.der":    {},
		"it's one.der": one.DER,
		"request.var":  request(t, one.DER),
		"broken.var":   append(request(t, one.DER), "behind it"...),
		"hashes.var":   hashes(t),
		"odd.var":      append([]byte{6, 0, 0, 0}, request(t, one.KeyPEM(t))[4:]...),
		"list.var":     request(t, one.DER)[4:],
		"blocked.var":  append([]byte{6, 0, 0, 0}, hashes(t)[4:]...),
		"damaged.var":  append([]byte{6, 0, 0, 0}, request(t, one.DER)[4:99]...),
		"sbat.var":     append([]byte{6, 0, 0, 0}, "sbat,1,2025021800\nshim,4\ngrub,5\n"...),
		"module.ko":    module,
		"module.ko.gz": gzipped(t, module),
		"initrd.img":   append(newc("early", nil), gzipped(t, newc("lib/modules/1/one.ko", module))...),
		"bad.img":      gzipped(t, newc("lib/modules/1/one.ko", module)[:900]),
		"unsigned.ko":  []byte("\x7fELF, and no more than that"),
		"driver.ko":    moduleELF(t, elf.EM_X86_64, "name=driver", "vermagic=6.1.0-1-amd64 SMP mod_unload modversions "),
		"one.p7b":      pkcs7(t, one.DER),
		"damaged.efi":  damaged(machinetest.Program(0x8664, ".text")),
	}
}

// pkcs7 is a SignedData with certificates and no signature, as .p7b files are.
func pkcs7(t *testing.T, ders ...[]byte) []byte {
	t.Helper()
	type content struct {
		Type asn1.ObjectIdentifier
		Data asn1.RawValue `asn1:"optional"`
	}
	inner, err := asn1.Marshal(struct {
		Version      int
		Algorithms   asn1.RawValue
		Content      content
		Certificates asn1.RawValue
		Signers      asn1.RawValue
	}{
		1, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true}, content{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}},
		asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: bytes.Join(ders, nil)}, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(content{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: inner}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// damaged flips a bit of the program.
func damaged(program []byte) []byte {
	program[len(program)/4] ^= 1
	return program
}

// request is the file of an EFI variable that holds a request for one key.
func request(t *testing.T, der []byte) []byte {
	lists, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, der)})
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{byte(mok.Attributes), 0, 0, 0}, lists...)
}

// hashes is the file of an EFI variable with two SHA-256.
func hashes(t *testing.T) []byte {
	list := efivars.SignatureList{Type: efivars.SHA256, Signatures: []efivars.Signature{{Data: bytes.Repeat([]byte{7}, 32)}, {Data: bytes.Repeat([]byte{8}, 32)}}}
	lists, err := efivars.EncodeSignatureLists([]efivars.SignatureList{list})
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0x27, 0, 0, 0}, lists...)
}

// newc is a cpio archive with one file (Documentation/driver-api/early-userspace/buffer-format.rst).
func newc(name string, content []byte) []byte {
	var b bytes.Buffer
	for _, f := range []struct {
		name    string
		mode    int
		content []byte
	}{{name, 0o100644, content}, {"TRAILER!!!", 0, nil}} {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, f.mode, 0, 0, 1, 0, len(f.content), 0, 0, 0, 0, len(f.name)+1, 0, f.name)
		b.Write(make([]byte, -b.Len()&3))
		b.Write(f.content)
		b.Write(make([]byte, -b.Len()&3))
	}
	return b.Bytes()
}

// exitCode runs kkeys and checks its exit code: `code N kkeys …`.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND …")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// pack makes an initramfs of one file: `pack IMAGE NAME FILE`.
func pack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: pack IMAGE NAME FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), newc(args[1], []byte(ts.ReadFile(args[2]))), 0o600))
}

// schema validates the last standard output: `schema list`.
func schema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schema NAME")
	}
	if err := validate(args[0], []byte(ts.ReadFile("stdout"))); err != nil {
		ts.Fatalf("%v", err)
	}
}

// variables checks which request variables the machine has: `variables machine MokNew MokAuth`.
func variables(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: variables MACHINE [NAME…]")
	}
	entries, err := os.ReadDir(ts.MkAbs(filepath.Join(args[0], "sys/firmware/efi/efivars")))
	ts.Check(err)
	var found []string
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), "-")
		if strings.HasPrefix(name, "Mok") && !strings.HasSuffix(name, "RT") {
			found = append(found, name)
		}
	}
	if got, want := strings.Join(found, " "), strings.Join(args[1:], " "); got != want {
		ts.Fatalf("request variables %q, want %q", got, want)
	}
}

// mirror sets what shim left at boot: `mirror machine MokListRT one.der two.der`, or a mark, `mirror machine MokSBStateRT`.
func mirror(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mirror MACHINE NAME [CERT…]")
	}
	data := []byte{1}
	if len(args) > 2 {
		var lists []efivars.SignatureList
		for _, file := range args[2:] {
			lists = append(lists, efivars.X509List(efivars.Shim, []byte(ts.ReadFile(file))))
		}
		var err error
		data, err = efivars.EncodeSignatureLists(lists)
		ts.Check(err)
	}
	path := ts.MkAbs(filepath.Join(args[0], "sys/firmware/efi/efivars", mok.Variable(args[1]).String()))
	ts.Check(os.WriteFile(path, append([]byte{byte(efivars.BootService | efivars.Runtime), 0, 0, 0}, data...), 0o600))
}

// validate holds a document against docs/schema.
func validate(name string, document []byte) error {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	if decoder.More() {
		return os.ErrInvalid
	}
	file, err := schemaFile(name)
	if err != nil {
		return err
	}
	compiled, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// schemaFile is the one that tells of a command's documents: several commands share one.
func schemaFile(name string) (string, error) {
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if filepath.Base(file) == name+".json" || bytes.Contains(text, []byte(`"kkeys.`+name+`/v1"`)) {
			return file, nil
		}
	}
	return "", fmt.Errorf("no schema for %s", name)
}

// schemaDir is where the schemas are; scripts run elsewhere, so it is absolute.
var schemaDir = func() string {
	dir, err := filepath.Abs("../../docs/schema")
	if err != nil {
		return err.Error()
	}
	return dir
}()
