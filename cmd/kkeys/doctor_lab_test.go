//go:build lab

package main

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ulikunitz/xz"

	"kkeys/internal/certtest"
	"kkeys/internal/lab"
)

// broken is a set-up in which a module does not load.
type broken struct {
	name   string
	file   string // in /srv
	module []byte
	id     string // of the finding that is to come first
	loads  bool   // its first way out makes the module load in this very boot
}

// workshop is what a machine has on which modules are mended: sudo, which here is root already, kmod under its names, and apt-get, which brings
// the distribution's file back. The kernel itself calls no modprobe, so that a hash which is not there stays away until somebody loads it.
const workshop = `mkdir -p /tmp/bin && for name in insmod modprobe rmmod depmod; do ln -sf /bin/kmod /tmp/bin/$name; done
printf '#!/bin/sh\nname=$1; shift; test -x /tmp/bin/$name && exec /tmp/bin/$name "$@"; exec $name "$@"\n' >/tmp/bin/sudo
printf '#!/bin/sh\ncp /srv/whole.ko /lib/modules/$(uname -r)/kernel/dummy.ko; /tmp/bin/depmod -a\n' >/tmp/bin/apt-get
mkdir -p /lib/modules/$(uname -r)/kernel
chmod +x /tmp/bin/sudo /tmp/bin/apt-get; /tmp/bin/depmod -a; echo >/proc/sys/kernel/modprobe`

// mend tries to load the module, has doctor tell why it does not, runs the first way out as it is printed, and tells whether the module is loaded then.
// A command that asks for a password finds it in a file; a reboot ends it.
func mend(file string) lab.Command { return mendAfter("/tmp/bin/insmod", file) }

// mendAfter has another program try first.
func mendAfter(insmod, file string) lab.Command {
	return lab.Shell(fmt.Sprintf(`export PATH=/tmp/bin:$PATH; cd /srv
%[2]s /srv/%[1]s 2>/tmp/error && echo "it loads already" && exit 9
kkeys doctor /srv/%[1]s --error "$(cat /tmp/error)" >/tmp/said; cat /tmp/error /tmp/said
awk '/^  (proven|likely|possible): / { n++ } n > 1 || /^    or: / || /: reboot$/ { exit } sub(/^    (fix|then): /, "")' /tmp/said |
	sed 's,kkeys \(enroll\|mok trust on\),& --password-file /srv/password,' >/tmp/fix
echo "running:"; cat /tmp/fix; sh -e /tmp/fix; lsmod | grep -c ^dummy && rmmod dummy`, file, insmod))
}

// TestLabDoctor: in each of these set-ups the module does not load, doctor names the cause, and its way out, run as printed, makes it load.
func TestLabDoctor(t *testing.T) {
	for _, kernel := range kernels {
		t.Run(string(kernel), func(t *testing.T) {
			t.Parallel()
			mine, foreign := certtest.SelfSignedWith(t, "lab: mine", certtest.RSA(2048, 11)), certtest.SelfSignedWith(t, "lab: foreign", certtest.RSA(2048, 12))
			spec := mine.Spec
			spec.Key = certtest.RSA(2048, 13)
			twin := certtest.Make(t, spec)
			whole := lab.Module(t, kernel, "dummy")
			stripped := lab.Strip(t, whole)
			bare := bytes.Replace(stripped, []byte("intree=Y"), []byte("intree=N"), 1) // somebody's driver
			by := func(c *certtest.Cert, hash string, module []byte) []byte {
				return lab.SignFile(t, hash, c.KeyPEM(t), c.DER, module)
			}
			tampered := by(mine, "sha256", bare)
			tampered[bytes.Index(tampered, []byte("license=GPL"))-2] ^= 1
			cases := []broken{
				{"unsigned", "unsigned.ko", bare, "unsigned", true},
				{"foreign key", "foreign.ko", by(foreign, "sha256", bare), "unknown-key", true},
				{"stripped", "stripped.ko", stripped, "stripped", true},
				{"tampered", "tampered.ko", tampered, "wrong-signature", true},
				{"another key of the name", "twin.ko", by(twin, "sha256", bare), "wrong-signature", true},
				{"another kernel's", "magic.ko", by(mine, "sha256", bytes.Replace(bare, []byte(" SMP "), []byte(" SMX "), 1)), "made-for-another-kernel", false},
			}
			if kernel == lab.Kernel61 {
				cases = append(cases, broken{"sha512", "sha512.ko", by(mine, "sha512", bare), "hash-missing", true})
			} else {
				cases = append(cases, broken{"signed after it was compressed", "outside.ko.xz", by(mine, "sha256", xzed(t, bare, xz.CRC32)), "signed-outside", true},
					broken{"CRC64", "crc64.ko.xz", xzed(t, by(mine, "sha256", bare), xz.CRC64), "xz-check", true})
			}
			files := inGuest(t, map[string][]byte{"whole.ko": whole, "declined.ko": by(mine, "sha256", bare), "untrusted.ko": by(mine, "sha256", bare)})
			for _, c := range cases {
				files["/srv/"+c.file] = lab.File{Data: c.module, Mode: 0o644}
			}
			files["/var/lib/shim-signed/mok/MOK.der"] = lab.File{Data: mine.DER, Mode: 0o644}
			files["/var/lib/shim-signed/mok/MOK.priv"] = lab.File{Data: mine.KeyPEM(t), Mode: 0o600}
			if kernel == lab.Kernel61 {
				files["/lib/modules/"+kernel.Release(t)+"/kernel/crypto/sha512_generic.ko"] = lab.File{Data: lab.Module(t, kernel, "sha512_generic"), Mode: 0o644}
			}
			files["/etc/os-release"] = lab.File{Data: []byte("ID=debian\nVERSION_ID=12\n"), Mode: 0o644}
			l := &life{t: t, kernel: kernel, files: files}
			l.boot(nil, labStaging("enroll", "/var/lib/shim-signed/mok/MOK.der"))

			// Declined: the way out is to ask again, and to confirm.
			out := l.boot(lab.Decline(), lab.Shell(workshop), mend("declined.ko"))
			expect(t, out[1], 1, "the request to enroll its key came to nothing", "kkeys enroll --password-file")

			commands := []lab.Command{lab.Shell(workshop), lab.Shell("/tmp/bin/insmod /srv/declined.ko && /tmp/bin/rmmod dummy")}
			for _, c := range cases {
				if c.id == "xz-check" { // only a program that leaves the unpacking to the kernel meets it
					commands = append(commands, mendAfter("/init insmod", c.file))
					continue
				}
				commands = append(commands, mend(c.file))
			}
			out = l.boot(lab.Enroll(1, password), append(commands, labStaging("mok", "trust", "off"))...)
			expect(t, out[1], 0)
			for i, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					code := 0
					if !c.loads {
						code = 1
					}
					expect(t, out[2+i], code, words(c.id))
				})
			}
			expect(t, out[2+len(cases)], exitYes)

			// A list that is not trusted keeps no module from loading on Debian, whose kernels ask .platform, too: nothing is found, and nothing is wrong.
			out = l.boot(lab.ChangeTrust(password), lab.Shell(workshop), kkeys("doctor", "/srv/untrusted.ko", "--prove"), lab.Shell("/tmp/bin/insmod /srv/untrusted.ko"))
			expect(t, out[1], exitYes, "nothing is wrong that can be seen")
			expect(t, out[2], 0)
		})
	}
}

// words are how the finding begins in the text for people.
func words(id string) string {
	return map[string]string{
		"unsigned": "proven: it is not signed", "unknown-key": "the key that signed it is not one that the kernel trusts", "stripped": "likely: it is one of the kernel's own modules and has lost its signature",
		"wrong-signature": "proven: the signature is not one of the key that it names over these bytes", "made-for-another-kernel": "proven: it was built for a kernel with other options", "hash-missing": "the kernel has no sha512 at hand", "signed-outside": "it was signed after it was compressed",
		"xz-check": "likely: it was compressed with the check crc64",
	}[id]
}
