//go:build linux

// Command agent is the lab guest's /init: it sets the machine up as a Debian system would have it, runs the job's commands,
// reports and powers off. As `/init insmod FILE` it loads a module that the kernel is to unpack itself. What goes wrong in the set-up is reported, or shown on the console, and ends the boot.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kkeys/internal/lab/wire"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "insmod" && os.Getpid() != 1 {
		os.Exit(insmod(os.Args[2]))
	}
	// Process 1 must not end: the kernel would panic. What has no port to be reported on goes to the console.
	if err := session(); err != nil {
		fmt.Println("lab agent:", err)
	}
	syscall.Sync()
	err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Println("lab agent: power off:", err)
	select {}
}

// session is the guest's life between start and power-off. Its error is what could not be reported.
func session() error {
	if err := mountAll(early); err != nil {
		return err
	}
	os.Clearenv() // the kernel hands its unknown parameters over
	for name, value := range map[string]string{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C", "TERM": "dumb"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	job, err := readJob()
	if err != nil {
		return err
	}
	for _, path := range job.Modules {
		if err := load(path); err != nil {
			return err
		}
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	defer port.Close()
	report := json.NewEncoder(port)
	if err := setUp(job); err != nil {
		return report.Encode(wire.Report{Failure: err.Error()})
	}
	if err := report.Encode(wire.Report{Ready: true}); err != nil {
		return err
	}
	for _, c := range job.Commands {
		if err := report.Encode(wire.Report{Started: strings.Join(c.Argv, " ")}); err != nil {
			return err
		}
		output, cut, err := run(c)
		if err != nil {
			return report.Encode(wire.Report{Failure: err.Error()})
		}
		if cut {
			if err := report.Encode(wire.Report{Cut: true}); err != nil {
				return err
			}
			select {} // until the power is gone
		}
		if err := report.Encode(wire.Report{Output: output}); err != nil {
			return err
		}
	}
	if err := syscall.Unmount(esp, 0); err != nil {
		return report.Encode(wire.Report{Failure: fmt.Sprintf("unmounting %s: %v", esp, err)})
	}
	log, err := kernelLog()
	if err != nil {
		return report.Encode(wire.Report{Failure: err.Error()})
	}
	return report.Encode(wire.Report{Log: log})
}

// openPort opens the port to report on. The kernel makes its node before it knows the port itself: until it does, opening gives ENXIO
// (drivers/char/virtio_console.c, add_port and port_fops_open).
func openPort() (*os.File, error) {
	for try := 1; ; try++ {
		ports, err := filepath.Glob(wire.Ports)
		if err == nil && len(ports) != 1 {
			err = fmt.Errorf("no port to report on: %v", ports)
		} else if err == nil {
			// Not by os.OpenFile, which would make it one that does not block: then the kernel takes a report without waiting for the host to
			// have it (drivers/char/virtio_console.c, port_fops_write), and the power may go off first.
			var fd int
			if fd, err = syscall.Open(ports[0], syscall.O_WRONLY|syscall.O_CLOEXEC, 0); err == nil {
				return os.NewFile(uintptr(fd), ports[0]), nil
			}
		}
		if try == 200 {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// execute runs one command to its end.
func execute(c wire.Command) *wire.Output {
	if len(c.Argv) == 0 {
		return &wire.Output{Code: -1, Failure: "the command is empty"}
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = "/root"
	if c.UID != 0 {
		id := uint32(c.UID)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
		cmd.Dir = "/tmp"
	}
	cmd.WaitDelay = 5 * time.Second // for what the command left running with our pipes open
	err := cmd.Run()
	out := &wire.Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out.Code = exit.ExitCode()
	} else if err != nil {
		out.Code = -1
	}
	if out.Code == -1 {
		out.Failure = err.Error()
	}
	return out
}

// kernelLog is the whole kernel log.
func kernelLog() ([]string, error) {
	const readAll, sizeOfBuffer = 3, 10 // SYSLOG_ACTION_READ_ALL, SYSLOG_ACTION_SIZE_BUFFER
	size, err := syscall.Klogctl(sizeOfBuffer, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the size of the kernel log: %w", err)
	}
	// The rendered text is longer than the records: each line gains its level and time.
	log := make([]byte, 2*size)
	n, err := syscall.Klogctl(readAll, log)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel log: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(log[:n]), "\n"), "\n"), nil
}
