//go:build lab

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

func xzed(t *testing.T, data []byte, check byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := xz.WriterConfig{CheckSum: check, DictCap: 1 << 20}.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// What is said of a compressed module is held against Debian's kmod and the kernel, whoever of them unpacks it.
func TestLabPacked(t *testing.T) {
	key := selfSigned(t, "lab: mine", "id of mine", certtest.RSA(2048, 41))
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			bare := lab.Strip(t, lab.Module(t, kernel, "dummy"))
			module := lab.SignFile(t, "sha256", key.KeyPEM(t), key.DER, bare)
			half := len(module) / 2
			rows := []struct {
				name string
				data []byte
				sure bool // it is known whether it loads
			}{
				{"plain.ko", module, true}, {"crc32.ko.xz", xzed(t, module, xz.CRC32), true}, {"crc64.ko.xz", xzed(t, module, xz.CRC64), kernel == lab.Kernel61},
				{"packed.ko.zst", zstded(t, module), true}, {"packed.ko.gz", gzipped(t, module), false},
				{"outside.ko.xz", lab.SignFile(t, "sha256", key.KeyPEM(t), key.DER, xzed(t, bare, xz.CRC32)), true},
				{"junk.ko.xz", append(xzed(t, module, xz.CRC32), "junk"...), false},
				{"twice.ko.xz", slices.Concat(xzed(t, module[:half], xz.CRC32), xzed(t, module[half:], xz.CRC32)), false},
				{"twice.ko.zst", slices.Concat(zstded(t, module[:half]), zstded(t, module[half:])), false},
			}
			content := map[string][]byte{"mine.der": key.DER}
			commands := []lab.Command{lab.Shell("ln -s /bin/kmod /tmp/insmod && cat /sys/module/compression; true")}
			for _, r := range rows {
				content[r.name] = r.data
				commands = append(commands, kkeys("trusted", "/srv/"+r.name), lab.Shell(fmt.Sprintf("/tmp/insmod /srv/%s && rmmod dummy", r.name)))
			}
			m := lab.Machine{Kernel: kernel, Files: inGuest(t, content), Commands: []lab.Command{kkeys("enroll", "--password-file", "/srv/password", "/srv/mine.der")}}
			staged := boots(t, m)
			expect(t, staged.Outputs[0], exitYes)
			m.Variables, m.Firmware, m.Commands = staged.Variables, lab.Enroll(1, password), commands
			run := boots(t, m)
			t.Logf("the kernel unpacks %q", strings.TrimSpace(string(run.Outputs[0].Stdout)))
			for i, r := range rows {
				said, tried := run.Outputs[1+2*i], run.Outputs[2+2*i]
				loads := tried.Code == 0
				t.Logf("%-14s exit code %d, loads %t %s", r.name, said.Code, loads, tried.Stderr)
				wrong := said.Code == exitYes && !loads || said.Code == exitNo && loads || said.Code != exitYes && said.Code != exitNo && said.Code != exitUnsure
				if wrong || r.sure == (said.Code == exitUnsure) {
					t.Errorf("%s: exit code %d, and loading it: %t\n%s%s", r.name, said.Code, loads, said.Stdout, said.Stderr)
				}
			}
		})
	}
}
