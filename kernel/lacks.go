package kernel

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Lacks tells why a kernel of this release is known not to verify modules with such a hash, kind of key ("rsa", "ecdsa") and curve; empty when it
// may. It goes by the release, and by the configuration where one is found below the root, of which it gives the path; distributions bring changes
// to older kernels, so that a reason from the release alone is what their kernels are known for, and no proof. Errors: a release that is not
// understood.
func Lacks(root fs.FS, release, hash, algorithm, curve string) (why, config string, err error) {
	major, minor, ok := version(release)
	if !ok || release != path.Base(release) {
		return "", "", fmt.Errorf("%.40q is no release of Linux, such as 6.1.0-18-amd64", release)
	}
	options, config := configOf(root, release)
	switch {
	case !ReadInSignatures(release, hash):
		return fmt.Sprintf("kernels of release %d.%d do not know %s in signatures: %s", major, minor, hash, unread), config, nil
	case algorithm == "ecdsa" && Before(release, 5, 13):
		return "kernels know ECDSA keys since Linux 5.13", config, nil
	case curve == "P-521" && Before(release, 6, 10):
		return "kernels know P-521 since Linux 6.10", config, nil
	}
	for _, needs := range []struct {
		is     bool
		option string
	}{
		{algorithm == "ecdsa", "CRYPTO_ECDSA"}, {algorithm == "rsa", "CRYPTO_RSA"}, {hash == "sha1", "CRYPTO_SHA1"}, {strings.HasPrefix(hash, "sha3-"), "CRYPTO_SHA3"},
		{hash == "sha224" || hash == "sha256", "CRYPTO_SHA256"}, {hash == "sha384" || hash == "sha512", "CRYPTO_SHA512"},
	} {
		if value, known := options.Value(needs.option); needs.is && known && value == "n" {
			return fmt.Sprintf("CONFIG_%s is not set (%s)", needs.option, config), config, nil
		}
	}
	return "", config, nil
}

// version are the first two numbers of a release.
func version(release string) (major, minor int, ok bool) {
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor, n == 2
}

// Before tells whether a release is surely older than a version.
func Before(release string, major, minor int) bool {
	a, b, ok := version(release)
	return ok && (a < major || a == major && b < minor)
}

// configOf finds the configuration of a kernel that need not be the running one.
func configOf(root fs.FS, release string) (Config, string) {
	if release == Release(root) {
		return findConfig(root, release)
	}
	return findIn(root, configPaths(release))
}
