package machine_test

import (
	"testing"
	"testing/fstest"

	"kkeys/machine"
)

// Firmware shows itself on a UART, and not on a console that only a hypervisor has.
func TestSerialConsole(t *testing.T) {
	for active, want := range map[string]string{
		"tty0 ttyS0\n":   "ttyS0",
		"ttyAMA0\n":      "ttyAMA0",
		"tty0 hvc0\n":    "",
		"hvc0 ttyS1\n":   "ttyS1",
		"tty0\n":         "",
		"":               "",
		"ttyprintk ttyS": "ttyS",
	} {
		m := &machine.Machine{Files: fstest.MapFS{"sys/class/tty/console/active": &fstest.MapFile{Data: []byte(active)}}}
		if got := m.SerialConsole(); got != want {
			t.Errorf("%q: %q, want %q", active, got, want)
		}
	}
	if got := (&machine.Machine{Files: fstest.MapFS{}}).SerialConsole(); got != "" {
		t.Errorf("without the file: %q", got)
	}
}
