package lab

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Host is a Debian system made of the lab's packages in namespaces of its own: mounts, processes, host name, IPC, network; the kernel is this machine's. Nothing of
// what it writes stays: its root is an overlay in memory above the packages. Its /sys is an empty folder, its /dev a few devices of its own that any program needs.
//
// It is no prison: its root is root here, with every capability. Keyrings, the clock, cgroups, /proc/sysrq-trigger and /proc/kcore are this machine's; of /proc only
// /proc/sys cannot be written. It is for programs that are trusted, and are not to meet this machine's files.
type Host struct {
	Name    string
	pid     int
	network int // the process whose network namespace it has
}

// settle mounts the host's root, inside its namespaces, and goes there. It follows no name of the packages.
const settle = `set -eu
mount --make-rprivate /
hostname "$NAME"
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay overlay -o "lowerdir=$PACKAGES,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
exec chroot "$PLACE/root" /bin/busybox sh -c "$FURNISH"
`

// furnish makes what a running system has and packages lack. It runs in the host's root: a symbolic link of the packages leads nowhere else. Devices are the host's
// own files, so that a chmod there is not one here.
const furnish = `set -eu
cd /
b=/bin/busybox
$b mkdir -p proc sys dev run/sshd tmp root usr/local/bin etc/systemd/system
$b chmod 1777 tmp
$b mount -t proc proc proc
$b mount -o bind proc/sys proc/sys
$b mount -o remount,bind,ro proc/sys proc/sys # most settings there are this machine's too
$b mount -t tmpfs tmpfs dev
$b mknod -m 666 dev/null c 1 3
$b mknod -m 666 dev/zero c 1 5
$b mknod -m 666 dev/random c 1 8
$b mknod -m 666 dev/urandom c 1 9
$b mkdir -m 1777 dev/shm
$b ln -s /proc/self/fd dev/fd
printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\nprometheus:x:101:101::/:/bin/false\n' >etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\nprometheus:x:101:\n' >etc/group
printf '127.0.0.1 localhost %s\n' "$NAME" >etc/hosts
for applet in $($b --list); do
	[ -e bin/$applet ] || [ -e usr/bin/$applet ] || $b ln -s busybox bin/$applet
done
$b ip link set lo up
echo "$NAME" >run/lab-host # the mark
echo ready
exec $b sleep 2147483647
`

// mark is the file that tells a host's root from this machine's, in which nobody may write by mistake.
const mark = "run/lab-host"

// Hosts starts systems that have one network of their own, in which there is only loopback. They end with the test. It needs root, as namespaces and mounts do.
func Hosts(t testing.TB, names ...string) []*Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("hosts in namespaces need root")
	}
	var hosts []*Host
	for _, name := range names {
		h := &Host{Name: name}
		if len(hosts) > 0 {
			h.network = hosts[0].pid
		}
		h.start(t)
		hosts = append(hosts, h)
	}
	return hosts
}

func (h *Host) start(t testing.TB) {
	t.Helper()
	parts := found(t)
	argv, flags := []string{"sh", "-c", settle}, uintptr(syscall.CLONE_NEWNS|syscall.CLONE_NEWPID|syscall.CLONE_NEWUTS|syscall.CLONE_NEWIPC)
	if h.network == 0 {
		flags |= syscall.CLONE_NEWNET
	} else {
		argv = append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", h.network)}, argv...)
	}
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NAME=" + h.Name, "FURNISH=" + furnish, "PLACE=" + t.TempDir(), "PACKAGES=" + parts.path("")}
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("making host %s (does this machine let root make namespaces?): %v", h.Name, err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // the first process of its namespace: all others there end with it
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		cmd.Process.Kill() // it may wait for something
		cmd.Wait()
		t.Fatalf("making host %s: %v: %s", h.Name, err, words.String())
	}
	h.pid = cmd.Process.Pid
}

// Files are the host's. A symbolic link there cannot lead out of it.
func (h *Host) Files(t testing.TB) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", h.pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if name, err := root.ReadFile(mark); err != nil || string(name) != h.Name+"\n" {
		t.Fatalf("/proc/%d/root is not the root of host %s: %q, %v", h.pid, h.Name, name, err)
	}
	return root
}

// Write writes a file of the host, and the folders it is in; name is absolute.
func (h *Host) Write(t testing.TB, name string, data []byte, mode os.FileMode) {
	t.Helper()
	root, name := h.Files(t), strings.TrimPrefix(name, "/")
	err := root.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = root.WriteFile(name, data, mode)
	}
	if err == nil {
		err = root.Chmod(name, mode) // the umask
	}
	if err != nil {
		t.Fatalf("host %s: %v", h.Name, err)
	}
}

// Read reads a file of the host.
func (h *Host) Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := h.Files(t).ReadFile(strings.TrimPrefix(name, "/"))
	if err != nil {
		t.Fatalf("host %s: %v", h.Name, err)
	}
	return data
}

// Command prepares a program to run on the host, as its root.
func (h *Host) Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	argv := append([]string{fmt.Sprintf("--target=%d", h.pid), "--mount", "--pid", "--uts", "--ipc", "--net", "--root", "--wdns=/root", name}, args...)
	cmd := exec.CommandContext(t.Context(), "nsenter", argv...)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	return cmd
}
