package kernel

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestLacks(t *testing.T) {
	root := fstest.MapFS{
		"proc/sys/kernel/osrelease":  {Data: []byte("6.12.1-running\n")},
		"boot/config-6.1.0-1-amd64":  {Data: []byte("CONFIG_CRYPTO_RSA=y\nCONFIG_CRYPTO_SHA256=y\nCONFIG_CRYPTO_SHA512=m\n# CONFIG_CRYPTO_ECDSA is not set\n")},
		"boot/config-6.12.1-running": {Data: []byte("CONFIG_CRYPTO_RSA=y\nCONFIG_CRYPTO_SHA256=y\nCONFIG_CRYPTO_ECDSA=y\n")},
	}
	for _, c := range []struct{ release, hash, algorithm, curve, why string }{
		{"6.1.0-1-amd64", "sha256", "rsa", "", ""},
		{"6.1.0-1-amd64", "sha512", "rsa", "", ""}, // a module can be loaded
		{"6.1.0-1-amd64", "sha384", "rsa", "", ""},
		{"6.1.0-1-amd64", "sha256", "ecdsa", "P-256", "CONFIG_CRYPTO_ECDSA is not set (/boot/config-6.1.0-1-amd64)"},
		{"6.1.0-1-amd64", "sha1", "rsa", "", "CONFIG_CRYPTO_SHA1"},
		{"6.1.0-1-amd64", "sha3-256", "rsa", "", "do not know sha3-256"},
		{"6.12.1-running", "sha256", "ecdsa", "P-521", ""},
		{"6.12.1-running", "sha512", "rsa", "", "CONFIG_CRYPTO_SHA512"},
		{"6.7.1", "sha1", "rsa", "", "do not know sha1"},
		{"6.9.1", "sha1", "rsa", "", ""},
		{"6.7.1", "sha3-512", "rsa", "", ""},
		{"5.10.0-30", "sha256", "ecdsa", "P-256", "since Linux 5.13"},
		{"6.9.0", "sha256", "ecdsa", "P-521", "since Linux 6.10"},
		{"6.8.0-generic", "sha256", "ecdsa", "P-384", ""},
	} {
		why, _, err := Lacks(root, c.release, c.hash, c.algorithm, c.curve)
		if err != nil || (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%+v: %q, %v", c, why, err)
		}
	}
	for _, release := range []string{"", "bookworm", "../../etc", "6.1/../../etc"} {
		if _, _, err := Lacks(root, release, "sha256", "rsa", ""); err == nil {
			t.Errorf("%q is a release", release)
		}
	}
}
