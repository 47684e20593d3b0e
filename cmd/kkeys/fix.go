package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"kkeys/internal/printable"
	"kkeys/trust"
)

// asked is what a verdict is about, as far as commands name it.
type asked struct {
	path        string // as the user gave it
	certificate string // the file of the certificate; empty when it is in none
	hash        string // that modules are signed with
}

// unpackers undo the compression of a file by its ending, and leave it there.
var unpackers = map[string]string{".gz": "gunzip -k", ".xz": "unxz -k", ".zst": "unzstd"}

// fixes are the commands for what mends a gate; words in capitals stand for parts of it.
var fixes = map[trust.Mend]string{
	trust.MendRoot:         "sudo kkeys trusted FILE",
	trust.MendProve:        "sudo kkeys trusted --prove FILE",
	trust.MendEnroll:       "sudo kkeys enroll CERTIFICATE",
	trust.MendConfirm:      "reboot",
	trust.MendCancel:       "sudo kkeys cancel",
	trust.MendSecureBoot:   "systemctl reboot --firmware-setup",
	trust.MendValidation:   "sudo kkeys mok validation on",
	trust.MendTrustList:    "sudo kkeys mok trust on",
	trust.MendReboot:       "reboot",
	trust.MendHash:         "sudo modprobe crypto-HASH",
	trust.MendUnpack:       "UNPACK FILE",
	trust.MendKeyAlgorithm: "sudo modprobe ecdsa_generic",
}

// fix words what mends a gate; empty when nothing is known to. On a recorded machine nobody can ask again.
func (s *session) fix(mend trust.Mend, about asked) string {
	unpack := unpackers[filepath.Ext(about.path)]
	if s.elsewhere && (mend == trust.MendRoot || mend == trust.MendProve) || mend == trust.MendEnroll && about.certificate == "" || mend == trust.MendUnpack && unpack == "" {
		return ""
	}
	words := strings.NewReplacer("FILE", argument(about.path), "CERTIFICATE", argument(about.certificate), "HASH", about.hash, "UNPACK", unpack)
	return words.Replace(fixes[mend])
}

// argument words a path so that neither a shell nor kkeys takes it for something else.
func argument(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return shellWord(path)
}

// shellWord quotes a word for a shell, so that a hint can be pasted. A quote stands in double quotes, so that no backslash is needed; only what a
// terminal would obey or hide takes the form $'…' with the octal numbers of its bytes, which bash, zsh and ksh read. zsh takes a word that begins with = for a command's path.
func shellWord(s string) string {
	if s != "" && s[0] != '=' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" {
		return s
	}
	if printed(s) {
		return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == '\'' || r == '\\' || !printed(s[:size]) {
			for i := range size {
				fmt.Fprintf(&b, `\%03o`, s[i])
			}
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String() + "'"
}

// printed tells whether a terminal shows a text as it is.
func printed(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// pasted is a command as a terminal may show it. Its words are quoted already, so that nothing of it is escaped, least of all a backslash; one that
// would move the cursor all the same is no command any more, and is shown as other text is.
func pasted(command string) string {
	if printed(command) {
		return command
	}
	return printable.Text(command)
}
