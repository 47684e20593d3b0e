package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kkeys/machine"
)

// limit is what `trusted` may take for a file without --prove.
const limit = 20 * time.Millisecond

const enrolledMachine = machines + "/6.12-enrolled.kks"

// BenchmarkTrusted runs the program itself, as a script would: on this machine's kernel; on the files of a recorded machine, with EFI variables,
// shim, its lists and certificates; and on the recording, which has to be unpacked. x-start is the ratio to a run that only prints its
// version, of-limit that to 20 ms.
func BenchmarkTrusted(b *testing.B) {
	program := filepath.Join(b.TempDir(), "kkeys")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	run := func(b *testing.B, args ...string) {
		var exit *exec.ExitError
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() == exitUsage || exit.ExitCode() == exitFailed) {
			b.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	m, err := machine.Snapshot(enrolledMachine)
	if err != nil {
		b.Fatal(err)
	}
	folder := b.TempDir()
	if err := fs.WalkDir(m.Files, ".", func(name string, d fs.DirEntry, err error) error {
		to := filepath.Join(folder, name)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		if target, err := fs.ReadLink(m.Files, name); err == nil {
			return os.Symlink(target, to)
		}
		data, err := fs.ReadFile(m.Files, name)
		if err != nil {
			return nil // its name alone was recorded
		}
		return os.WriteFile(to, data, 0o644)
	}); err != nil {
		b.Fatal(err)
	}
	certificate := "../../testdata/certs/debian-ca.der"
	for _, c := range []struct {
		name string
		args []string
	}{
		{"live", []string{"trusted", certificate}},
		{"folder", []string{"--root", folder, "trusted", certificate}},
		{"recording", []string{"--snapshot", enrolledMachine, "trusted", certificate}},
	} {
		b.Run(c.name, func(b *testing.B) {
			start := time.Now()
			for range 20 {
				run(b, "--version")
			}
			bare := time.Since(start) / 20
			for b.Loop() {
				run(b, c.args...)
			}
			each := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(each)/float64(bare), "x-start")
			b.ReportMetric(float64(each)/float64(limit), "of-limit")
			b.ReportMetric(float64(each)/float64(time.Millisecond), "ms/run")
			b.ReportMetric(0, "ns/op")
		})
	}
}
