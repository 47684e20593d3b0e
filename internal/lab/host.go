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

// Host is a Debian system made of the lab's packages in namespaces of its own: mounts, processes, host name; the kernel is this machine's. Nothing of what it
// writes stays: its root is an overlay in memory above the packages. Its /sys is an empty folder, its /dev holds the few devices that any program needs.
type Host struct {
	Name    string
	pid     int
	network int // the process whose network namespace it has
}

// settle makes the host's root. What has to be mounted is mounted by this machine's mount(8), inside the host's namespace.
const settle = `set -eu
mount --make-rprivate /
hostname "$NAME"
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay overlay -o "lowerdir=$PACKAGES,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mkdir -p proc sys dev run/sshd tmp root usr/local/bin etc/systemd/system
chmod 1777 tmp
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys # most settings there are this machine's too
mount -t tmpfs tmpfs dev
for device in null zero urandom random; do
	touch dev/$device
	mount --bind /dev/$device dev/$device
done
mkdir -m 1777 dev/shm
ln -s /proc/self/fd dev/fd
printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\nprometheus:x:101:101::/:/bin/false\n' >etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\nprometheus:x:101:\n' >etc/group
printf '127.0.0.1 localhost %s\n' "$NAME" >etc/hosts
for applet in $(bin/busybox --list); do
	[ -e bin/$applet ] || [ -e usr/bin/$applet ] || ln -s busybox bin/$applet
done
bin/busybox ip link set lo up
echo "$NAME" >run/lab-host # the mark
exec chroot . /bin/busybox sh -c 'echo ready; exec /bin/busybox sleep 2147483647'
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
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NAME=" + h.Name, "PLACE=" + t.TempDir(), "PACKAGES=" + parts.path("")}
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
