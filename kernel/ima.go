package kernel

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"kkeys/evidence"
)

// imaPolicy needs CAP_SYS_ADMIN to read, and CONFIG_IMA_READ_POLICY. Without that it can only be written, and is gone once a policy was loaded
// through it, unless CONFIG_IMA_WRITE_POLICY lets more follow (security/integrity/ima/ima_fs.c, ima_open_policy, ima_release_policy).
const imaPolicy = "sys/kernel/security/integrity/ima/policy"

// imaMeans is what a yes is about (security/integrity/ima/ima_main.c, ima_read_file, ima_load_data).
const imaMeans = "; a module file that IMA does not accept is refused with EACCES, also one whose key the kernel trusts"

// ima tells whether IMA appraises modules, on top of their signatures.
func (s Status) ima(root fs.FS) evidence.Reading {
	if built := s.Built("IMA_APPRAISE"); built.Answer == evidence.No {
		return built
	}
	if rule, err := readModuleRule(root); err == nil && rule == "" {
		return evidence.Reading{Answer: evidence.No, Evidence: "no rule of the IMA policy appraises modules", Source: "/" + imaPolicy}
	} else if err == nil {
		return s.appraises("the IMA policy has the rule: "+rule, "/"+imaPolicy)
	}
	if built := s.Built("IMA_APPRAISE_REQUIRE_MODULE_SIGS"); built.Answer == evidence.Yes {
		return s.appraises(built.Evidence, built.Source)
	}
	if word := s.bootPolicy(); word != "" {
		return s.appraises(word+" is on the command line, unless another policy was loaded since", "/"+commandLineFile)
	}
	if s.bootPolicyStands(root) {
		return evidence.Reading{Answer: evidence.No, Evidence: "no IMA policy was loaded since the boot, and the one of the boot does not appraise modules", Source: "/" + imaPolicy}
	}
	return evidence.Reading{Evidence: "the IMA policy cannot be read", Source: "/" + imaPolicy}
}

// appraises is a yes, but where the command line asked IMA to let pass what it does not accept. Under Secure Boot, and without
// CONFIG_IMA_APPRAISE_BOOTPARAM, the kernel ignores that (security/integrity/ima/ima_appraise.c).
func (s Status) appraises(seen, source string) evidence.Reading {
	if mode, asked := s.CommandLine.Last("ima_appraise"); asked && mode != "enforce" && s.Built("IMA_APPRAISE_BOOTPARAM").Answer != evidence.No {
		return evidence.Reading{Evidence: fmt.Sprintf("%s; but ima_appraise=%s is on the command line, which the kernel heeds without Secure Boot", seen, mode), Source: source}
	}
	return evidence.Reading{Answer: evidence.Yes, Evidence: seen + imaMeans, Source: source}
}

// bootPolicy finds the parameter by which a policy that appraises modules was chosen (security/integrity/ima/ima_policy.c, policy_setup):
// secure_boot since Linux 4.13; appraise_tcb appraises every file of root's.
func (s Status) bootPolicy() string {
	for _, value := range s.CommandLine.All("ima_policy") {
		policies := strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '|' || r == '\n' })
		if slices.Contains(policies, "secure_boot") || slices.Contains(policies, "appraise_tcb") {
			return "ima_policy=" + value
		}
	}
	if _, found := s.CommandLine.Last("ima_appraise_tcb"); found {
		return "ima_appraise_tcb"
	}
	return ""
}

// bootPolicyStands: no policy can have replaced the one of the boot, whose rules from the architecture appraise modules only in kernels that
// do not check their signatures (security/integrity/ima/ima_efi.c; arch/powerpc/kernel/ima_arch.c).
func (s Status) bootPolicyStands(root fs.FS) bool {
	for option, want := range map[string]evidence.Answer{"MODULE_SIG": evidence.Yes, "IMA_READ_POLICY": evidence.No, "IMA_WRITE_POLICY": evidence.No} {
		if s.Config == nil || s.Built(option).Answer != want {
			return false
		}
	}
	_, err := fs.Stat(root, imaPolicy)
	return err == nil && s.CommandLine != nil
}

func readModuleRule(root fs.FS) (string, error) {
	file, err := openRegular(root, imaPolicy)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return ModuleRule(file)
}

// imaPolicyMax bounds a policy in bytes; long ones have some 10 KiB.
const imaPolicyMax = 4 << 20

// ModuleRule reads a policy as IMA shows it (security/integrity/ima/ima_policy.c, ima_policy_show) and gives the first rule by which it appraises
// modules: one for MODULE_CHECK, or for every use of a file; it may have conditions besides, such as fowner=0. Empty: there is none, or an
// earlier rule without conditions exempts modules. An error is that of reading.
func ModuleRule(r io.Reader) (string, error) {
	limited := &io.LimitedReader{R: r, N: imaPolicyMax + 1}
	lines := bufio.NewScanner(limited)
	rule, decided := "", false
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if decided || len(words) == 0 || !forModules(words) {
			continue
		}
		switch {
		case words[0] == "appraise":
			rule, decided = strings.Join(words, " "), true
		case words[0] == "dont_appraise" && len(words) <= 2 && !slices.ContainsFunc(words[1:], func(w string) bool { return !strings.HasPrefix(w, "func=") }):
			decided = true
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("IMA policy: %w", err)
	}
	if limited.N <= 0 {
		return "", fmt.Errorf("IMA policy: more than %d bytes", imaPolicyMax)
	}
	return rule, nil
}

// forModules: the rule is for MODULE_CHECK or names no use, and not for another access than reading, which is what a module's file is checked for
// (ima_main.c, ima_post_read_file: MAY_READ).
func forModules(words []string) bool {
	for _, word := range words {
		if use, ok := strings.CutPrefix(word, "func="); ok && use != "MODULE_CHECK" {
			return false
		}
		if access, ok := strings.CutPrefix(word, "mask="); ok && strings.TrimPrefix(access, "^") != "MAY_READ" {
			return false
		}
	}
	return true
}
