package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// apt is Debian's apt-get with a state of its own.
type apt struct {
	config   string // a configuration file read after the system's
	archives string // where downloaded packages are
}

// settings is the configuration: an empty package database and private folders. The system's hooks are cleared, since they
// would act on the system; so are indexes beside the package lists.
const settings = `Dir::State "%[1]s/state";
Dir::State::Lists "%[1]s/lists";
Dir::State::status "%[1]s/dpkg/status";
Dir::Cache "%[1]s/cache";
Dir::Cache::archives "%[1]s/archives";
APT::Sandbox::User "root";
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear Acquire::IndexTargets::deb::DEP-11;
Acquire::Languages "none";
Acquire::Retries "3";
`

func newApt(folder string) (*apt, error) {
	for _, name := range []string{"state", "lists/partial", "dpkg", "cache", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "dpkg/status"), nil, 0o644); err != nil {
		return nil, err
	}
	a := &apt{config: filepath.Join(folder, "apt.conf"), archives: filepath.Join(folder, "archives")}
	return a, os.WriteFile(a.config, fmt.Appendf(nil, settings, folder), 0o644)
}

func (a *apt) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--config-file", a.config, "--quiet=2"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// unpack unpacks packages below root, running none of their scripts, and returns "package version" of each.
func unpack(ctx context.Context, archives []string, root string) ([]string, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	var names []string
	for _, archive := range archives {
		out, err := exec.CommandContext(ctx, "dpkg-deb", "--show", "--showformat", "${Package} ${Version}", archive).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w: %s", archive, err, out)
		}
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "--extract", archive, root).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w: %s", archive, err, out)
		}
		names = append(names, string(out))
	}
	return names, nil
}
