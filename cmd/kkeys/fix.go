package main

import (
	"strings"

	"kkeys/trust"
)

// fixes are the commands for what mends a gate; FILE stands for what was asked about, HASH for the hash that it needs.
var fixes = map[trust.Mend]string{
	trust.MendRoot:         "sudo kkeys trusted FILE",
	trust.MendProve:        "sudo kkeys trusted --prove FILE",
	trust.MendEnroll:       "sudo kkeys enroll FILE",
	trust.MendConfirm:      "reboot",
	trust.MendCancel:       "sudo kkeys cancel",
	trust.MendSecureBoot:   "systemctl reboot --firmware-setup",
	trust.MendValidation:   "sudo mokutil --enable-validation",
	trust.MendTrustList:    "sudo mokutil --trust-mok",
	trust.MendBootOrder:    "efibootmgr -v",
	trust.MendReboot:       "reboot",
	trust.MendHash:         "sudo modprobe crypto-HASH",
	trust.MendKeyAlgorithm: "sudo modprobe ecdsa_generic",
}

// fix words what mends a gate; empty when nothing is known to. On a recorded machine nobody can ask again.
func (s *session) fix(mend trust.Mend, path, hash string) string {
	if s.elsewhere && (mend == trust.MendRoot || mend == trust.MendProve) {
		return ""
	}
	return strings.NewReplacer("FILE", shellWord(path), "HASH", hash).Replace(fixes[mend])
}

// shellWord quotes a word for a shell, so that a hint can be pasted.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
