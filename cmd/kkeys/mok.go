package main

import (
	"bytes"
	"fmt"

	"github.com/urfave/cli/v2"

	"kkeys/evidence"
	"kkeys/mok"
)

// mok is the group of all that shim and MokManager can be asked for, besides enroll, unenroll, pending and cancel. docs/mokutil.md has the
// option of mokutil for each.
func (s *session) mok() *cli.Command {
	return group("mok", "shim's lists and settings: all that mokutil does", "Shows what shim keeps for the machine's owner, and asks MokManager to change it.",
		s.listCommand("the keys that shim trusts", trustedList), s.exportCommand(trustedList), s.testCommand(),
		s.stagingCommand(cli.Command{Name: "reset", Usage: "ask MokManager to erase every enrolled key",
			Description: "Erases all of MokList. It is also the only cure for a list that is corrupt; enroll the keys again afterwards."},
			mok.Wish{Kind: mok.Reset}, "erase all enrolled keys", nil),
		group("hash", "single programs, by their hash", "shim starts a program whose hash is enrolled, whoever signed it.",
			s.hashCommand("enroll", mok.Enroll, "ask MokManager to let shim start the programs with these hashes"),
			s.hashCommand("delete", mok.Delete, "ask MokManager to delete enrolled hashes")),
		s.blocklist(),
		s.stagingCommand(cli.Command{Name: "password", Usage: "ask MokManager to set a password of its own",
			Description: "Not a password for once: MokManager then asks for it whenever it starts, and waits for it without end, so keep it. It is typed once at the\nnext boot to set it. Whether one is set cannot be seen from here."},
			mok.Wish{Kind: mok.Password, On: true}, "set its own password", nil),
		s.stagingCommand(cli.Command{Name: "clear-password", Usage: "ask MokManager to give its own password up",
			Description: "No other password is asked for here; MokManager asks for the one it has."},
			mok.Wish{Kind: mok.Password}, "clear its own password", nil),
		s.switches("validation", mok.Validation, "shim's checks of what it starts", "Off: shim starts anything, and the kernel counts Secure Boot as off. The firmware's own Secure Boot stays as it is."),
		s.switches("use-db", mok.UseDB, "shim's use of the firmware's db", "Off: shim and the kernel ignore the keys of the firmware's db."),
		s.switches("trust", mok.TrustList, "the kernel's trust in enrolled keys for modules", "On: shim tells the kernel (since Linux 5.18) that it may take enrolled keys for modules; shim 15.6 and later do so unless asked not to."),
		s.timeoutCommand(),
		group("sbat", "revocation of loaders by generation", "SBAT: shim starts no loader of a generation below that in SbatLevel.",
			s.sbatList(), s.policyCommand(mok.SbatPolicy, "loaders")),
		group("ssp", "revocation of Windows' boot manager", "The policy by which shim keeps old boot managers of Windows from starting (Kernel_SkuSiStatus).",
			s.policyCommand(mok.SSPPolicy, "Windows' boot managers")),
		s.onOff("verbosity", mok.Verbose, "shim and MokManager tell what they do"),
		group("fallback", "fallback.efi, which makes boot entries", "Settings of the program that shim starts when it lies on a removable medium's path.",
			s.onOff("verbosity", mok.FallbackVerbose, "fallback.efi tells what it does"),
			s.onOff("noreboot", mok.FallbackNoReboot, "fallback.efi starts the first entry it made and does not reboot")),
		s.generateHash(),
	)
}

// blocklist is the group for MokListX, with the commands of the trusted list.
func (s *session) blocklist() *cli.Command {
	return group("blocklist", "what shim refuses (MokListX, mokutil's MOKX)", "shim starts nothing that is signed by a key, or has a hash, of this list. Kernels with\nCONFIG_SYSTEM_REVOCATION_LIST refuse modules signed by such a key too.",
		s.listCommand("what shim refuses", blockedList), s.exportCommand(blockedList),
		s.stagingCommand(cli.Command{Name: "enroll", Usage: "ask MokManager to block certificates", ArgsUsage: "CERT…",
			Description: "Stages the certificates for MokListX. One that is built into shim is refused: this system would no longer start."},
			mok.Wish{Kind: mok.Block}, "block %s", (*staging).toBlock),
		s.stagingCommand(cli.Command{Name: "unenroll", Usage: "ask MokManager to unblock certificates", ArgsUsage: "CERT|ID…",
			Description: "Takes them from the list to the byte, by a file, a key id, or the beginning of a SHA-256."},
			mok.Wish{Kind: mok.Unblock}, "unblock %s", (*staging).fromList),
		s.stagingCommand(cli.Command{Name: "reset", Usage: "ask MokManager to erase the blocklist", Description: "Erases all of MokListX; what is built into shim stays."},
			mok.Wish{Kind: mok.ResetBlocked}, "erase the blocklist", nil),
		group("hash", "single programs, by their hash", "shim refuses a program whose hash is in the list.",
			s.hashCommand("enroll", mok.Block, "ask MokManager to block programs by their hash"),
			s.hashCommand("delete", mok.Unblock, "ask MokManager to unblock programs")),
	)
}

func (s *session) hashCommand(name string, k mok.Kind, does string) *cli.Command {
	return s.stagingCommand(cli.Command{Name: name, Usage: does, ArgsUsage: "HEX…",
		Description: "A hash is that of the program without its signatures (Authenticode), in hex; its length tells SHA-224, SHA-256, SHA-384 and SHA-512\napart. A certificate is the better way: a hash is another one after each update."},
		mok.Wish{Kind: k}, map[mok.Kind]string{mok.Enroll: "enroll %s", mok.Delete: "delete %s", mok.Block: "block %s", mok.Unblock: "unblock %s"}[k], (*staging).fromHex)
}

// switches are the two commands, on and off, of a switch of MokManager's.
func (s *session) switches(name string, k mok.Kind, does, description string) *cli.Command {
	one := func(word string, on bool) *cli.Command {
		wish := mok.Wish{Kind: k, On: on}
		return s.stagingCommand(cli.Command{Name: word, Usage: "ask MokManager to " + wish.String(),
			Description: "MokManager asks for three characters of the password, which has 8 to 15 and lies in an EFI variable in clear until then:\nuse it nowhere else."},
			wish, wish.String(), nil)
	}
	return group(name, "switch "+does+" on or off", description, one("on", true), one("off", false))
}

// settingDocument is what changed of a setting that shim reads without asking anybody.
type settingDocument struct {
	envelope
	Variable string   `json:"variable"`
	Value    string   `json:"value"`
	Changed  bool     `json:"changed"`
	Warnings []string `json:"warnings"`
}

// change writes a setting, or deletes it.
func (s *session) change(setting mok.Setting, value string, data []byte, err error) error {
	document := &settingDocument{Variable: setting.Variable.String(), Value: value, Warnings: []string{}}
	if err == nil && (setting == mok.SbatPolicy || setting == mok.SSPPolicy) && bytes.Equal(data, []byte{mok.Policies["latest"]}) {
		s.caution(&document.Warnings, "other systems and media on this machine may no longer start")
	}
	if err == nil && setting == mok.SbatPolicy && (bytes.Equal(data, []byte{mok.Policies["latest"]}) || bytes.Equal(data, []byte{mok.Policies["delete"]})) {
		s.warnTPM(&document.Warnings, measuredSBAT)
	}
	if err == nil {
		err = s.writable()
	}
	if err == nil {
		document.Changed, err = setting.Change(s.machine.Variables, data)
	}
	if err == nil {
		when := "until it is changed again"
		switch {
		case !document.Changed:
			when = "it was so already"
		case setting.Once:
			when = "at the next start of shim, once"
		}
		s.say("%s: %s (%s)", setting.Variable.Name, value, when)
	}
	return s.finish(document, &document.envelope, exitYes, err)
}

func (s *session) onOff(name string, setting mok.Setting, does string) *cli.Command {
	return &cli.Command{Name: name, Usage: does + ": on or off", ArgsUsage: "on|off", Description: "Writes " + setting.Variable.Name + ", or deletes it.",
		Action: func(c *cli.Context) error {
			switch word := c.Args().First(); {
			case c.NArg() == 1 && word == "on":
				return s.change(setting, word, []byte{1}, nil)
			case c.NArg() == 1 && word == "off":
				return s.change(setting, word, nil, nil)
			}
			return s.change(setting, "", nil, usage("say on or off"))
		}}
}

func (s *session) policyCommand(setting mok.Setting, of string) *cli.Command {
	return &cli.Command{Name: "policy", Usage: "which revocations of " + of + " shim applies at its next start", ArgsUsage: "latest|automatic|delete|default",
		Description: "latest: all that this shim knows; automatic: those that it applies by itself; delete: none, and only without Secure Boot.\ndefault takes the setting back. shim reads and deletes the setting at its next start. latest can keep other systems' loaders on this machine from starting.",
		Action: func(c *cli.Context) error {
			word := c.Args().First()
			value, known := mok.Policies[word]
			switch {
			case c.NArg() == 1 && word == "default":
				return s.change(setting, word, nil, nil)
			case c.NArg() != 1 || !known:
				return s.change(setting, "", nil, usage("say latest, automatic, delete or default"))
			case value == mok.Policies["delete"] && mok.ReadState(s.machine.Variables, s.machine.Files).SecureBoot.Answer == evidence.Yes:
				return s.change(setting, word, nil, fmt.Errorf("%w: shim deletes revocations only with Secure Boot off, and it is on", mok.ErrNoChange))
			}
			return s.change(setting, word, []byte{value}, nil)
		}}
}

func (s *session) timeoutCommand() *cli.Command {
	return &cli.Command{Name: "timeout", Usage: "how long MokManager waits for a key at its next start", ArgsUsage: "SECONDS|default",
		Description: "-1 is for ever; default is 10 seconds. It counts once. 0 is refused: with it a key in the first second loses the request.\n`kkeys enroll --timeout` does the same together with a request.",
		UsageText:   "   kkeys mok timeout 60\n   kkeys mok timeout -1",
		Action: func(c *cli.Context) error {
			word := c.Args().First()
			if c.NArg() != 1 {
				return s.change(mok.MokTimeout, "", nil, usage("say how many seconds, or default"))
			}
			if word == "default" {
				return s.change(mok.MokTimeout, word, nil, nil)
			}
			n, err := seconds("timeout", word)
			if err == nil && n == mok.UsualTimeout {
				return s.change(mok.MokTimeout, "default", nil, nil)
			}
			var data []byte
			if err == nil {
				data, err = mok.TimeoutData(n)
			}
			return s.change(mok.MokTimeout, fmt.Sprint(n), data, err)
		}}
}

type passwordHashDocument struct {
	envelope
	Hash     string   `json:"hash"`
	Warnings []string `json:"warnings"`
}

// generateHash hashes a password for --hash-file, on a machine that need not be the one it is for.
func (s *session) generateHash() *cli.Command {
	return &cli.Command{Name: "generate-hash", Usage: "hash a password for --hash-file", Flags: passwordFlags(mok.Record)[:1],
		Description: "Asks for a password, or reads it, and prints its SHA-512-crypt hash, as mkpasswd and mokutil do. MokManager asks for that password.",
		Action: func(c *cli.Context) error {
			document := &passwordHashDocument{Warnings: []string{}}
			err := s.checkPasswordFlags(c, mok.Record)
			if c.NArg() > 0 {
				err = usage("a password on the command line can be seen by everybody: use --password-file")
			}
			if err == nil {
				document.Hash, err = s.hashed(c, func(text string) { s.caution(&document.Warnings, text) })
			}
			if err == nil {
				s.say("%s", document.Hash)
			}
			return s.finish(document, &document.envelope, exitYes, err)
		}}
}

func (s *session) hashed(c *cli.Context, caution func(string)) (string, error) {
	secret, _, err := s.secret(c, mok.Record, caution)
	if err != nil {
		return "", err
	}
	auth, ok := secret.(mok.Auth)
	if !ok {
		return "", failed("no password record")
	}
	return auth.Crypt(), nil
}
