package kernel

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"kkeys/evidence"
)

// Distribution is what os-release(5) says of the system. Its kernel need not be the running one.
type Distribution struct {
	ID      string // "debian", "opensuse-leap"; empty when not known
	Version string // VERSION_ID: "12", "24.04"; empty for rolling ones
	Like    string // ID_LIKE: IDs of those it is made from, the nearest first, with blanks between: "ubuntu debian"
}

// osReleaseMax bounds the file in bytes; real ones have a few hundred.
const osReleaseMax = 64 << 10

// ParseOSRelease reads the text of os-release: shell assignments of plain, single- or double-quoted values.
func ParseOSRelease(r io.Reader) (Distribution, error) {
	limited := &io.LimitedReader{R: r, N: osReleaseMax + 1}
	lines := bufio.NewScanner(limited)
	d := Distribution{}
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		field, wanted := map[string]*string{"ID": &d.ID, "VERSION_ID": &d.Version, "ID_LIKE": &d.Like}[name]
		if wanted {
			*field = unquote(value)
		}
	}
	if err := lines.Err(); err != nil {
		return Distribution{}, fmt.Errorf("os-release: %w", err)
	}
	if limited.N <= 0 {
		return Distribution{}, fmt.Errorf("os-release: more than %d bytes", osReleaseMax)
	}
	return d, nil
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(s)
}

// readDistribution looks in the two places of os-release(5).
func readDistribution(root fs.FS) Distribution {
	for _, path := range []string{"etc/os-release", "usr/lib/os-release"} {
		file, err := openRegular(root, path)
		if err != nil {
			continue
		}
		d, err := ParseOSRelease(file)
		file.Close()
		if err == nil {
			return d
		}
	}
	return Distribution{}
}

// Expected is what a distribution's own kernels are known to do. It explains; it proves nothing.
type Expected struct {
	// Platform: modules are checked against .platform too, by the patch "KEYS: Make use of platform keyring for module signature".
	Platform evidence.Answer
	// CodeSigning: a module's signer must have the extended key usage codeSigning (SUSE, CONFIG_CHECK_CODESIGN_EKU).
	CodeSigning evidence.Answer
	// MachineAlways: MOKs go to .machine though shim does not vouch for its list (Debian's patch of trust_moklist).
	MachineAlways evidence.Answer
}

// expectations by os-release ID; from the distributions' kernel sources and configurations as of November 2026.
var expectations = map[string]Expected{
	"debian":              {Platform: evidence.Yes, CodeSigning: evidence.No, MachineAlways: evidence.Yes},
	"fedora":              {Platform: evidence.Yes, CodeSigning: evidence.No, MachineAlways: evidence.No},
	"rhel":                {Platform: evidence.Yes, CodeSigning: evidence.No, MachineAlways: evidence.No},
	"centos":              {Platform: evidence.Yes, CodeSigning: evidence.No, MachineAlways: evidence.No},
	"almalinux":           {Platform: evidence.Yes, CodeSigning: evidence.No, MachineAlways: evidence.No},
	"rocky":               {Platform: evidence.Yes, CodeSigning: evidence.No, MachineAlways: evidence.No},
	"sles":                {Platform: evidence.Yes, CodeSigning: evidence.Yes, MachineAlways: evidence.No},
	"opensuse-leap":       {Platform: evidence.Yes, CodeSigning: evidence.Yes, MachineAlways: evidence.No},
	"opensuse-tumbleweed": {Platform: evidence.Yes, MachineAlways: evidence.No},
	"arch":                {Platform: evidence.No, CodeSigning: evidence.No, MachineAlways: evidence.No},
	"ol":                  {Platform: evidence.No, CodeSigning: evidence.No, MachineAlways: evidence.No},
}

// Expect tells what the distribution's own kernels do; all Unknown for one that is not in the table.
func (d Distribution) Expect() Expected {
	if d.ID == "ubuntu" {
		// The patch was seen up to 24.04; what came later was not looked at.
		e := Expected{CodeSigning: evidence.No, MachineAlways: evidence.No}
		if d.Version != "" && d.Version <= "24.04" {
			e.Platform = evidence.Yes
		}
		return e
	}
	return expectations[d.ID]
}
