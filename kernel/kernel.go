// Package kernel tells what the running kernel enforces on modules: whether signatures were compiled in, whether unsigned modules are
// refused, and which options it was built with. The facts are files under /proc, /sys, /boot and /lib/modules, read through an
// fs.FS whose root is the machine's root folder.
//
// The load probe ([Prober]) is something else: it asks the running kernel to load what cannot be loaded, and needs CAP_SYS_MODULE.
//
// All the files are open to every user but the policy of IMA. sig_enforce exists since Linux 3.7 and only with CONFIG_MODULE_SIG; lockdown since 5.4 and only
// where securityfs is mounted. What a distribution patched into its kernel (Debian and Fedora consult .platform) shows in none of
// these files.
package kernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"kkeys/evidence"
)

// Status is what the kernel enforces on modules.
type Status struct {
	Release    string           // see [Release]
	Signatures evidence.Reading // CONFIG_MODULE_SIG: does this kernel check module signatures
	Enforced   evidence.Reading // are modules without a trusted signature refused (sig_enforce, or lockdown)
	SigEnforce evidence.Answer  // the parameter of that name
	Lockdown   string           // "none", "integrity", "confidentiality"; empty when not known
	Config     Config           // nil when no configuration file was found
	ConfigPath string
	// Symbols are looked for only where there is no configuration, since that takes longer than all else; see [Status.Built].
	Symbols Symbols
	// CommandLine is nil when /proc/cmdline cannot be read.
	CommandLine Parameters
	// FIPS: the kernel runs in FIPS mode (fips=1 on the command line), in which it refuses some algorithms and key sizes.
	FIPS evidence.Answer
	// IMA: does IMA appraise modules, so that a module with a trusted signature can be refused all the same.
	IMA evidence.Reading
	// BootID is random and new at each boot (/proc/sys/kernel/random/boot_id), in the form of RFC 9562, lower case; empty when unreadable.
	BootID string
	// Distribution is the system's; ModulesDisabled says that no module loads at all until the next boot (kernel.modules_disabled).
	Distribution    Distribution
	ModulesDisabled evidence.Answer
	// Taint has a bit for each reason (Documentation/admin-guide/tainted-kernels.rst: 12 out-of-tree, 13 unsigned module); nil when it
	// cannot be read.
	Taint *uint64
}

// Release is uname -r, from /proc/sys/kernel/osrelease; empty when unreadable.
func Release(root fs.FS) string {
	release, err := readLine(root, releaseFile)
	if err != nil {
		return ""
	}
	return release
}

// Read gathers the status. What cannot be read becomes Unknown with the reason as evidence; there is no error.
func Read(root fs.FS) Status {
	release := Release(root)
	s := Status{Release: release}
	s.CommandLine = readParameters(root)
	if s.Config, s.ConfigPath = findConfig(root, release); s.Config == nil {
		s.Symbols, _ = ReadSymbols(root) // without them there are no answers either
	}
	s.Signatures = signatures(root, s.Config, s.ConfigPath)
	s.Lockdown = lockdown(root, s.Config)
	s.Distribution = readDistribution(root)
	if value, err := readLine(root, "proc/sys/kernel/modules_disabled"); err == nil {
		s.ModulesDisabled = map[string]evidence.Answer{"0": evidence.No, "1": evidence.Yes}[value]
	}
	if value, err := readLine(root, "proc/sys/kernel/tainted"); err == nil {
		if bits, err := strconv.ParseUint(value, 10, 64); err == nil {
			s.Taint = &bits
		}
	}
	if value, err := readLine(root, sigEnforce); err == nil {
		s.SigEnforce = map[string]evidence.Answer{"Y": evidence.Yes, "N": evidence.No}[value]
	}
	s.Enforced = s.enforced()
	s.IMA = s.ima(root)
	s.FIPS = fips(root)
	if id, err := readLine(root, "proc/sys/kernel/random/boot_id"); err == nil && bootID.MatchString(id) {
		s.BootID = id
	}
	return s
}

var bootID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

const fipsEnabled = "proc/sys/crypto/fips_enabled"

// fips: the file is there only with CONFIG_CRYPTO_FIPS (crypto/fips.c), so its absence is a no where there is a /proc/sys to see.
func fips(root fs.FS) evidence.Answer {
	value, err := readLine(root, fipsEnabled)
	if err == nil {
		return map[string]evidence.Answer{"0": evidence.No, "1": evidence.Yes}[value]
	}
	if _, missing := fs.Stat(root, "proc/sys/kernel"); missing == nil && errors.Is(err, fs.ErrNotExist) {
		return evidence.No
	}
	return evidence.Unknown
}

const sigEnforce = "sys/module/module/parameters/sig_enforce"

// signatures reads whether kernel/module/signing.c was compiled: its parameter sig_enforce is there exactly then.
func signatures(root fs.FS, config Config, path string) evidence.Reading {
	if value, err := readLine(root, sigEnforce); err == nil {
		return evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is there (" + value + ")", Source: "/" + sigEnforce}
	}
	switch value, known := config.Value("MODULE_SIG"); {
	case known && value == "y":
		return evidence.Reading{Answer: evidence.Yes, Evidence: "CONFIG_MODULE_SIG=y", Source: path}
	case known:
		return evidence.Reading{Answer: evidence.No, Evidence: "CONFIG_MODULE_SIG is not set: this kernel checks no module signatures", Source: path}
	}
	// Without /sys the parameter's absence means nothing.
	if _, err := fs.Stat(root, "sys/module/kernel"); err != nil {
		return evidence.Reading{Answer: evidence.Unknown, Evidence: "neither /sys/module nor a kernel configuration can be read", Source: "/" + sigEnforce}
	}
	if _, err := fs.Stat(root, sigEnforce); errors.Is(err, fs.ErrNotExist) {
		return evidence.Reading{Answer: evidence.No, Evidence: "no sig_enforce parameter: this kernel checks no module signatures", Source: "/" + sigEnforce}
	}
	return evidence.Reading{Answer: evidence.Unknown, Evidence: "sig_enforce cannot be read", Source: "/" + sigEnforce}
}

// enforced follows kernel/module/signing.c, module_sig_check: sig_enforce first, then lockdown.
func (s Status) enforced() evidence.Reading {
	switch {
	case s.Signatures.Answer == evidence.No:
		return s.Signatures
	case s.SigEnforce == evidence.Yes:
		return evidence.Reading{Answer: evidence.Yes, Evidence: "sig_enforce is Y: modules without a trusted signature are refused", Source: "/" + sigEnforce}
	case s.Lockdown == "integrity" || s.Lockdown == "confidentiality":
		return evidence.Reading{Answer: evidence.Yes, Evidence: fmt.Sprintf("lockdown is %s: modules without a trusted signature are refused", s.Lockdown), Source: "/" + lockdownFile}
	case s.SigEnforce == evidence.No && s.Lockdown == "none":
		return evidence.Reading{Answer: evidence.No, Evidence: "sig_enforce is N, lockdown is none: such modules load and taint the kernel", Source: "/" + sigEnforce}
	}
	return evidence.Reading{Answer: evidence.Unknown, Evidence: "sig_enforce or lockdown cannot be read", Source: "/" + sigEnforce}
}

const lockdownFile = "sys/kernel/security/lockdown"

// lockdown reads the mode in brackets: `none [integrity] confidentiality` (security/lockdown/lockdown.c).
func lockdown(root fs.FS, config Config) string {
	line, err := readLine(root, lockdownFile)
	if err != nil {
		if value, known := config.Value("SECURITY_LOCKDOWN_LSM"); known && value != "y" {
			return "none" // this kernel has no lockdown
		}
		return ""
	}
	_, rest, _ := strings.Cut(line, "[")
	mode, _, ok := strings.Cut(rest, "]")
	if !ok {
		return ""
	}
	return mode
}

// lineMax bounds a file of one line in bytes.
const lineMax = 4096

// readLine reads a regular file of one line, and cuts the newline.
func readLine(root fs.FS, path string) (string, error) {
	file, err := openRegular(root, path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, lineMax+1))
	if err != nil {
		return "", err
	}
	if len(data) > lineMax {
		return "", fmt.Errorf("/%s: more than %d bytes", path, lineMax)
	}
	return strings.TrimRight(string(data), "\n"), nil
}

// openRegular opens a regular file: below a folder given by name a pipe may lie in its place, and opening that would wait for ever.
func openRegular(root fs.FS, path string) (fs.File, error) {
	info, err := fs.Stat(root, path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("/%s is no regular file: %w", path, fs.ErrInvalid)
	}
	return root.Open(path)
}
