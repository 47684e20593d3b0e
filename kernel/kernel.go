// Package kernel tells what the running kernel enforces on modules: whether signatures were compiled in, whether unsigned modules are
// refused, and which options it was built with. The facts are files under /proc, /sys, /boot and /lib/modules, read through an
// fs.FS whose root is the machine's root folder.
//
// The load probe ([Prober]) is something else: it asks the running kernel to load what cannot be loaded, and needs CAP_SYS_MODULE.
//
// All the files are open to every user. sig_enforce exists since Linux 3.7 and only with CONFIG_MODULE_SIG; lockdown since 5.4 and only
// where securityfs is mounted. What a distribution patched into its kernel (Debian and Fedora consult .platform) shows in none of
// these files.
package kernel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// Answer has three values: the evidence for yes or no may not be there.
type Answer int

// The zero value is Unknown, so that what nobody looked at is not taken for a no.
const (
	Unknown Answer = iota
	Yes
	No
)

// String gives "yes", "no" or "unknown".
func (a Answer) String() string { return [...]string{"unknown", "yes", "no"}[a] }

// Reading is an answer with what it rests on.
type Reading struct {
	Answer   Answer
	Evidence string // what was seen, or why nothing could be
	Source   string // the file, absolute, as on the machine
}

// Status is what the kernel enforces on modules.
type Status struct {
	Release    string  // uname -r, from /proc/sys/kernel/osrelease; empty when unreadable
	Signatures Reading // CONFIG_MODULE_SIG: does this kernel check module signatures
	Enforced   Reading // are modules without a trusted signature refused (sig_enforce, or lockdown)
	SigEnforce Answer  // the parameter of that name
	Lockdown   string  // "none", "integrity", "confidentiality"; empty when not known
	Config     Config  // nil when no configuration file was found
	ConfigPath string
	// Distribution is the system's; ModulesDisabled says that no module loads at all until the next boot (kernel.modules_disabled).
	Distribution    Distribution
	ModulesDisabled Answer
	// Taint has a bit for each reason (Documentation/admin-guide/tainted-kernels.rst: 12 out-of-tree, 13 unsigned module); nil when it
	// cannot be read.
	Taint *uint64
}

// Read gathers the status. What cannot be read becomes Unknown with the reason as evidence; there is no error.
func Read(root fs.FS) Status {
	release, _ := readLine(root, "proc/sys/kernel/osrelease")
	s := Status{Release: release}
	s.Config, s.ConfigPath = findConfig(root, release)
	s.Signatures = signatures(root, s.Config, s.ConfigPath)
	s.Lockdown = lockdown(root, s.Config)
	s.Distribution = readDistribution(root)
	if value, err := readLine(root, "proc/sys/kernel/modules_disabled"); err == nil {
		s.ModulesDisabled = map[string]Answer{"0": No, "1": Yes}[value]
	}
	if value, err := readLine(root, "proc/sys/kernel/tainted"); err == nil {
		if bits, err := strconv.ParseUint(value, 10, 64); err == nil {
			s.Taint = &bits
		}
	}
	if value, err := readLine(root, sigEnforce); err == nil {
		s.SigEnforce = map[string]Answer{"Y": Yes, "N": No}[value]
	}
	s.Enforced = s.enforced()
	return s
}

const sigEnforce = "sys/module/module/parameters/sig_enforce"

// signatures reads whether kernel/module/signing.c was compiled: its parameter sig_enforce is there exactly then.
func signatures(root fs.FS, config Config, path string) Reading {
	if value, err := readLine(root, sigEnforce); err == nil {
		return Reading{Yes, "sig_enforce is there (" + value + ")", "/" + sigEnforce}
	}
	switch value, known := config.Value("MODULE_SIG"); {
	case known && value == "y":
		return Reading{Yes, "CONFIG_MODULE_SIG=y", path}
	case known:
		return Reading{No, "CONFIG_MODULE_SIG is not set: this kernel checks no module signatures", path}
	}
	// Without /sys the parameter's absence means nothing.
	if _, err := fs.Stat(root, "sys/module/kernel"); err != nil {
		return Reading{Unknown, "neither /sys/module nor a kernel configuration can be read", "/" + sigEnforce}
	}
	if _, err := fs.Stat(root, sigEnforce); errors.Is(err, fs.ErrNotExist) {
		return Reading{No, "no sig_enforce parameter: this kernel checks no module signatures", "/" + sigEnforce}
	}
	return Reading{Unknown, "sig_enforce cannot be read", "/" + sigEnforce}
}

// enforced follows kernel/module/signing.c, module_sig_check: sig_enforce first, then lockdown.
func (s Status) enforced() Reading {
	switch {
	case s.Signatures.Answer == No:
		return s.Signatures
	case s.SigEnforce == Yes:
		return Reading{Yes, "sig_enforce is Y: modules without a trusted signature are refused", "/" + sigEnforce}
	case s.Lockdown == "integrity" || s.Lockdown == "confidentiality":
		return Reading{Yes, fmt.Sprintf("lockdown is %s: modules without a trusted signature are refused", s.Lockdown), "/" + lockdownFile}
	case s.SigEnforce == No && s.Lockdown == "none":
		return Reading{No, "sig_enforce is N, lockdown is none: such modules load and taint the kernel", "/" + sigEnforce}
	}
	return Reading{Unknown, "sig_enforce or lockdown cannot be read", "/" + sigEnforce}
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
