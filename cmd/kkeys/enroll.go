package main

import (
	"github.com/urfave/cli/v2"

	"kkeys/mok"
)

func (s *session) enroll() *cli.Command {
	return s.stagingCommand(cli.Command{
		Name:      "enroll",
		Usage:     "ask shim's MokManager to enroll certificates at the next boot",
		ArgsUsage: "[CERT…]",
		Description: "Stages a MOK enrolment in EFI variables, after looking for what would make it stop the next boot or be useless.\n" +
			"Whoever sits at the console confirms it at the next boot with a one-time password. Nothing is written\n" +
			"when anything speaks against it.\n\n" +
			"Without a file it looks where dkms, akmods, shim-signed and rEFInd keep the keys they made, and asks which.",
		UsageText: "   kkeys enroll cert.der\n   kkeys enroll cert.pem --generate-password --timeout -1\n   kkeys enroll cert.der --dry-run",
	}, mok.Wish{Kind: mok.Enroll}, "enroll %s", (*staging).fromFiles)
}

func (s *session) unenroll() *cli.Command {
	return s.stagingCommand(cli.Command{
		Name:      "unenroll",
		Usage:     "ask MokManager to delete enrolled certificates",
		ArgsUsage: "CERT|ID…",
		Description: "Stages a MOK deletion. The certificate is taken from shim's list, to the byte, by a file that holds it, its key id, or\n" +
			"the beginning of its SHA-256 (8 digits at least; `kkeys mok list` shows both). What is built into shim cannot go.",
		UsageText: "   kkeys unenroll cert.der\n   kkeys unenroll 4f5e2a90b1c3",
	}, mok.Wish{Kind: mok.Delete}, "delete %s", (*staging).fromList)
}
