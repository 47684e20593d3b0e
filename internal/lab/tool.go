package lab

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
)

// libraries are the folders where Debian's amd64 packages keep shared libraries.
var libraries = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"}

// loader is the dynamic loader of the packages' C library.
const loader = "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"

// tool prepares a program of the packages to run on this machine: through the packages' own loader, with their libraries.
func (p *Parts) tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	var folders []string
	for _, folder := range libraries {
		folders = append(folders, p.path(folder))
	}
	argv := append([]string{"--library-path", strings.Join(folders, ":"), p.path(name)}, args...)
	cmd := exec.CommandContext(ctx, p.path(loader), argv...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + filepath.Join(p.Folder, "home"),
		"OPENSSL_CONF=" + p.path("/etc/ssl/openssl.cnf")}
	return cmd
}
