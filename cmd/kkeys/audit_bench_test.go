//go:build lab

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// lineCount counts the lines of what is written. It keeps nothing: a program that is started begins with the largest memory of whoever starts it.
type lineCount int

func (l *lineCount) Write(p []byte) (int, error) {
	*l += lineCount(bytes.Count(p, []byte("\n")))
	return len(p), nil
}

// spent runs a program and tells how many seconds of processor time it took, its largest memory in MB, and how many lines it wrote.
func spent(b *testing.B, program string, args ...string) (seconds, megabytes float64, written lineCount) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdout = &written
	_ = cmd.Run() // a finding is an exit code too
	if code := cmd.ProcessState.ExitCode(); code < 0 || code == exitUsage || code == exitFailed {
		b.Fatalf("%s %v: exit code %d", program, args, code)
	}
	megabytes = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), megabytes, written
}

// fleet makes a folder with n recorded machines: links to those of testdata.
func fleet(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	names := recordedNames(b)
	for i := range n {
		from, err := filepath.Abs(filepath.Join(machines, names[i%len(names)]+".kks"))
		if err != nil {
			b.Fatal(err)
		}
		if err := os.Symlink(from, filepath.Join(dir, fmt.Sprintf("host%05d.kks", i))); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkAuditSnapshots audits 1,000 and 10,000 recorded machines. x-time is the processor time of one machine among 10,000 to that of one among
// 1,000; x-memory the largest memory with 10,000 to that with 1,000; ms-machine the processor time of one.
func BenchmarkAuditSnapshots(b *testing.B) {
	program := built(b)
	few, many := fleet(b, 1000), fleet(b, 10000)
	var times, memories, each, most float64
	for b.Loop() {
		one, small, lines := spent(b, program, "audit", "--snapshots", few, "--json")
		other, large, more := spent(b, program, "audit", "--snapshots", many, "--json")
		if lines != 1000 || more != 10000 {
			b.Fatalf("%d and %d lines", lines, more)
		}
		times, memories, each, most = times+other/10/one, memories+large/small, each+other/10000, max(most, large)
	}
	n := float64(b.N)
	b.ReportMetric(times/n, "x-time")
	b.ReportMetric(memories/n, "x-memory")
	b.ReportMetric(1000*each/n, "ms-machine")
	b.ReportMetric(most, "MB")
}

// BenchmarkAudit audits the modules of a kernel, with all other checks. x-verify is the ratio to `verify --all`, x-cpu that of processor time; MB is the
// largest memory. What else it finds below a folder that is no machine is not looked at, only that all modules pass.
func BenchmarkAudit(b *testing.B) {
	program := built(b)
	packages, release := debianKernel(b, "6.1")
	root := b.TempDir() // a machine that runs this kernel
	for name, text := range map[string]string{"osrelease": release, "modules_disabled": "0"} {
		if err := os.MkdirAll(filepath.Join(root, "proc/sys/kernel"), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "proc/sys/kernel", name), []byte(text+"\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	files := fmt.Sprintf("--parents lib/modules/%s boot/vmlinuz-%s %s", release, release, root)
	timed(b, fmt.Sprintf("sh -c 'cd %s && (cp -al %s || cp -a %s)'", packages, files, files))
	verify := []string{"--root", root, "verify", "--all", "--kernel", release}
	audit := []string{"--root", root, "audit", "--kernel", release}
	if out, err := exec.Command(program, append(audit, "--check", "KK-MOD-002")...).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("all signed by an allowed key: 4023 of "+release)) {
		b.Fatalf("%v\n%s", err, out)
	}
	elapsed := func(args []string) (wall, cpu, memory float64) {
		start := b.Elapsed()
		cpu, memory, _ = spent(b, program, args...)
		return (b.Elapsed() - start).Seconds(), cpu, memory
	}
	var ours, theirs [2]float64
	var most float64
	for b.Loop() {
		for range 5 {
			wall, cpu, memory := elapsed(audit)
			ours[0], ours[1], most = ours[0]+wall, ours[1]+cpu, max(most, memory)
			wall, cpu, _ = elapsed(verify)
			theirs[0], theirs[1] = theirs[0]+wall, theirs[1]+cpu
		}
	}
	b.ReportMetric(ours[0]/theirs[0], "x-verify")
	b.ReportMetric(ours[1]/theirs[1], "x-cpu")
	b.ReportMetric(most, "MB")
}
