package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"kkeys/internal/lab/wire"
)

// hardware is what a machine is made of: files on this machine.
type hardware struct {
	secureBoot bool   // the firmware knows it; on if its variables say so
	variables  string // NVRAM, changed by the machine
	disk       string
}

// session is one time from power-on to power-off or reset.
type session struct {
	console *Console
	reports []wire.Report
	cause   error // why it was ended from outside, or how QEMU failed
}

// ErrMokManager says that MokManager appeared where nothing was said about what to do there.
var ErrMokManager = errors.New("MokManager appeared and nobody is to answer it")

// ErrRefused says that shim stopped the machine.
var ErrRefused = errors.New("shim refused to boot")

// power runs the machine until it powers off or resets. The firmware function, if any, drives the console meanwhile.
func (p *Parts) power(ctx context.Context, h hardware, firmware func(*Console) error) (*session, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := p.qemu(ctx, h)
	keys, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	s := &session{console: newConsole(ctx, keys, guard(firmware != nil, stop))}
	var complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = s.console, &complaints
	results, resultsEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer results.Close()
	cmd.ExtraFiles = []*os.File{resultsEnd}

	// The kernel ends QEMU should this process die; it does so when the thread dies that started it, hence the lock.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	resultsEnd.Close()
	if err != nil {
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	var beside sync.WaitGroup
	beside.Go(func() { stopOn(s.read(results), stop) })
	if firmware != nil {
		beside.Go(func() { stopOn(firmware(s.console), stop) })
	}
	err = cmd.Wait()
	s.console.end()
	beside.Wait()
	if s.cause = context.Cause(ctx); s.cause == nil && err != nil {
		s.cause = fmt.Errorf("QEMU: %w: %s", err, complaints.Bytes())
	}
	return s, nil
}

func stopOn(err error, stop context.CancelCauseFunc) {
	if err != nil {
		stop(err)
	}
}

// guard ends the machine as soon as it shows that it will never reach the system.
func guard(attended bool, stop context.CancelCauseFunc) func(text string) {
	return func(text string) {
		_, what, wrong := strings.Cut(text, "Something has gone seriously wrong")
		switch {
		case !attended && (strings.Contains(text, "MOK management") || strings.Contains(text, protected)): // prompt or menu; password
			stop(ErrMokManager)
		case wrong && strings.Contains(what, "failed"): // not before shim has said what failed
			stop(ErrRefused)
		}
	}
}

// read collects the guest's reports until the line closes.
func (s *session) read(line io.Reader) error {
	decoder := json.NewDecoder(line)
	for {
		var r wire.Report
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the guest's reports: %w", err)
		}
		s.reports = append(s.reports, r)
		if r.Cut {
			return ErrCut
		}
	}
}

// qemu prepares the process. Its standard streams are the serial line, descriptor 3 is the guest's port for reports.
func (p *Parts) qemu(ctx context.Context, h hardware) *exec.Cmd {
	code := "/usr/share/OVMF/OVMF_CODE_4M.fd"
	args := []string{"-L", p.path("/usr/share/qemu"), "-L", p.path("/usr/share/seabios"),
		"-machine", "q35,smm=on,accel=tcg", "-cpu", "max", "-m", "1024", "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-net", "none", "-monitor", "none", "-no-reboot"}
	if h.secureBoot {
		code = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	args = append(args,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+comma(p.path(code)),
		"-drive", "if=pflash,format=raw,unit=1,file="+comma(h.variables),
		"-drive", "if=none,id=disk,format=raw,cache=unsafe,file="+comma(h.disk),
		"-device", "virtio-blk-pci,drive=disk",
		"-serial", "stdio",
		"-device", "virtio-serial-pci", "-chardev", "file,id=results,path=/dev/fd/3",
		"-device", "virtserialport,chardev=results")
	cmd := p.tool(ctx, "/usr/bin/qemu-system-x86_64", args...)
	cmd.Env = append(cmd.Env, "QEMU_MODULE_DIR="+p.path("/usr/lib/x86_64-linux-gnu/qemu"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// comma doubles the commas of a file name, as QEMU's option syntax wants it.
func comma(path string) string { return strings.ReplaceAll(path, ",", ",,") }
