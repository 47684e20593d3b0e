package main

import (
	"errors"
	"io/fs"

	"kkeys/evidence"
	"kkeys/kernel"
)

// modular: a kernel with modules has both files (kernel/module/main.c, module_sysctl_init; kernel/module/procfs.c, proc_modules_init), but not everywhere
// is all of /proc to be seen. Below --root there may be none of it, and only the configuration tells.
func (s *session) modular(status kernel.Status) evidence.Reading {
	const disabled, modules = "proc/sys/kernel/modules_disabled", "proc/modules"
	for _, file := range []string{disabled, modules} {
		switch _, err := fs.Stat(s.machine.Files, file); {
		case err == nil:
			return evidence.Reading{Answer: evidence.Yes, Source: "/" + file}
		case !errors.Is(err, fs.ErrNotExist):
			return evidence.Reading{Evidence: err.Error(), Source: "/" + file}
		}
	}
	if built := status.Built("MODULES"); built.Answer != evidence.Unknown {
		return built
	}
	if status.Release == "" || s.elsewhere && !s.recording {
		return evidence.Reading{Evidence: "there is neither /" + disabled + " nor /" + modules, Source: "/" + modules}
	}
	return evidence.Reading{Answer: evidence.No, Evidence: "this kernel was built without loadable modules: there is neither /" + disabled + " nor /" + modules, Source: "/" + modules}
}
