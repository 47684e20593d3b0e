package main

import (
	"path"
	"strings"

	"kkeys/kernel"
)

// reinstalls bring MokManager back, by os-release ID. ARCH and GRUB stand for what Debian calls the architecture, EFI for what EFI does.
var reinstalls = map[string]string{
	"debian": "sudo apt-get install --reinstall shim-signed shim-helpers-ARCH-signed grub-efi-GRUB-signed",
	"ubuntu": "sudo apt-get install --reinstall shim-signed grub-efi-GRUB-signed",
	"fedora": "sudo dnf reinstall shim-EFI",
	"rhel":   "sudo dnf reinstall shim-EFI",
	"suse":   "sudo zypper install --force shim",
}

// architectures by their name in those of EFI's programs: ARCH and GRUB of Debian.
var architectures = map[string][2]string{"x64": {"amd64", "amd64"}, "aa64": {"arm64", "arm64"}, "ia32": {"i386", "ia32"}}

// reinstall is the command that brings MokManager back on this machine, empty where it is not known.
func (s *session) reinstall() string {
	chain, _ := s.machine.NextBoot()
	return reinstallOn(s.machine.Kernel().Distribution, chain.Manager)
}

// reinstallOn words it for a distribution, or one that it is like, where MokManager is to have this path: mmx64.efi.
func reinstallOn(d kernel.Distribution, manager string) string {
	efi := strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(path.Base(manager)), ".efi"), "mm")
	debian, known := architectures[efi]
	if !known {
		return ""
	}
	for _, id := range append([]string{d.ID}, strings.Fields(d.Like)...) {
		if command := reinstalls[id]; command != "" {
			return strings.NewReplacer("ARCH", debian[0], "GRUB", debian[1], "EFI", efi).Replace(command)
		}
	}
	return ""
}
