package kernel

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseLog(t *testing.T) {
	const message = "Loading of unsigned module is rejected"
	for _, head := range []string{
		"", "[    5.123456] ", "[12345.000001] ", "<5>[    5.123456] ", "[    5.123456@0] ", "[    5.123456][    T1] ", "[    5.123456] [ T1234] ", "[    5.123456] [    C0] ",
		"kern  :notice: [    5.123456] ", "kern  :err   : [    5.123456] ", "kern  :notice: [    5.123456] [ T1234] ", "kern  :err   : [Nov26 22:13] ", "kern  :notice: ",
		"[Nov26 22:13] ", "[Nov 6 22:13] ", "[  +0.000123] ", "[ +60.000000] ", "[    5.123456 <    0.000123>] ", "[    5.123456 <    0.000123 >] laptop kernel: ", "[<    0.000123>] ",
		"[Thu Nov 26 22:13:01 2026] ", "[Thu Nov  6 22:13:01 2026 <    0.000123>] ",
		"\x1b[32m[    5.123456] \x1b[0m", "\x1b[32m[Nov26 22:13] \x1b[0m\x1b[31m", "\x1b[32mkern  \x1b[0m:\x1b[0;1;31mnotice\x1b[0m: [    5.123456] ",
		"2026-11-26T22:13:01,123456+00:00 ",
		"Nov 26 22:13:01 laptop kernel: ", "Nov  6 22:13:01 laptop kernel: ", "Nov 26 22:13:01 laptop kernel: [    5.123456] ", "Nov 26 22:13:01 kernel: ", "Nov 26 22:13:01 laptop kernel[0]: ",
		"Nov 26 22:13:01.123456 laptop kernel: ", "[    5.123456] laptop kernel: ", "Thu 2026-11-26 22:13:01 UTC laptop kernel: ", "Thu 2026-11-26 22:13:01.123456 +0530 laptop kernel: ",
		"1795731181.123456 laptop kernel: ", "2026-11-26T22:13:01+0000 laptop kernel: ", "2026-11-26T22:13:01.123456+0000 laptop kernel: ", "2026-11-26 22:13:01 laptop kernel: ",
		"2026-11-26T22:13:01.123456+00:00 laptop kernel: [    5.5] ", "2026-11-26T22:13:01Z laptop kernel: ",
		"> ", ">> ", "> > [    5.123456] ", ">[    5.123456] ", "    [    5.123456] ", "\t", "> \tNov 26 22:13:01 laptop kernel: ",
	} {
		for _, end := range []string{"\n", "\r\n", "  \n", "\x1b[0m\n", ""} {
			lines := ParseLog("\n" + head + message + end)
			if len(lines) != 1 || lines[0].Message != message || lines[0].Number != 2 {
				t.Errorf("%q: %+v", head+message+end, lines)
			}
		}
	}
}

func TestParseLogKeeps(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"[    5.5] usb 1-1: new device", "usb 1-1: new device"},
		{"[drm] kernel: Loading", "[drm] kernel: Loading"},
		{"[5] Loading", "[5] Loading"},
		{"[5.5.5] Loading", "[5.5.5] Loading"},
		{"[    5.123456 < x>] Loading", "[    5.123456 < x>] Loading"},
		{"[Nov26 22:13 ", "[Nov26 22:13"},
		{"<12345>Loading", "<12345>Loading"},
		{"kern  :loud  : Loading", "kern  :loud  : Loading"},
		{"laptop kernel: Loading", "laptop kernel: Loading"}, // no time before it
		{"Nov 26 22:13 laptop kernel: Loading", "Nov 26 22:13 laptop kernel: Loading"},
		{"Nov 26 22:13:01x laptop kernel: Loading", "Nov 26 22:13:01x laptop kernel: Loading"},
		{"[    5.5] laptop kernels: Loading", "laptop kernels: Loading"},
		{"Nov 26 22:13:01 laptop irc[7]: kernel: Loading", "irc[7]: kernel: Loading"},
		{"Nov 26 22:13:01 laptop irc[7]: [    5.5] Loading", "irc[7]: [    5.5] Loading"},
		{"Nov 26 22:13:01 laptop systemd-modules-load[312]: Failed", "systemd-modules-load[312]: Failed"},
		{"[    5.5] laptop modprobe[9]: ERROR", "modprobe[9]: ERROR"},
		{"1795731181.123456 laptop modprobe: ERROR", "modprobe: ERROR"},
		{"Nov 26 22:13:01 laptop modprobe[x]: ERROR", "laptop modprobe[x]: ERROR"},
		{"[    5.5] x: modprobe[9]: ERROR", "x: modprobe[9]: ERROR"},
		{"a\x1b[1;31mb\x1b[", "ab"},
		{"a\x1b[31", "a"},
		{strings.Repeat("x", 3*longestLine), strings.Repeat("x", longestLine)},
	} {
		if lines := ParseLog(c.line); len(lines) != 1 || lines[0].Message != c.want {
			t.Errorf("%.80q: %.200s, want %.80q", c.line, fmt.Sprint(lines), c.want)
		}
	}
}

func TestLinesStops(t *testing.T) {
	var got []Line
	for line := range Lines("\na\n\nb\nc\n") {
		if got = append(got, line); len(got) == 2 {
			break
		}
	}
	if len(got) != 2 || got[0] != (Line{2, "a"}) || got[1] != (Line{4, "b"}) {
		t.Errorf("%+v", got)
	}
}

// aLog is a log of that many lines, of which one in a hundred tells of a module.
func aLog(lines int) string {
	var b strings.Builder
	for i := range lines {
		switch {
		case i%100 == 0:
			fmt.Fprintf(&b, "[%5d.%06d] x%d: module verification failed: signature and/or required key missing - tainting kernel\n", i/100, i, i)
		case i%3 == 0:
			fmt.Fprintf(&b, "Nov 26 22:13:01 laptop kernel: usb 1-%d: new high-speed USB device number %d using xhci_hcd\n", i%8, i)
		case i%3 == 1:
			fmt.Fprintf(&b, "Nov 26 22:13:01 laptop NetworkManager[812]: <info>  [1795731181.1234] device (wlan0): state change: config -> ip-config (reason 'none', %d)\n", i)
		default:
			fmt.Fprintf(&b, "[%5d.%06d] audit: type=1400 audit(1795731181.%d:77): apparmor=\"STATUS\" operation=\"profile_load\" profile=\"unconfined\" name=\"lsb_release\"\n", i/100, i, i)
		}
	}
	return b.String()
}

// Lines holds no line back, and what it does to one leaves nothing behind: memory does not grow with the log.
func TestLinesMemory(t *testing.T) {
	text := aLog(1000)
	found := 0
	allocations := testing.AllocsPerRun(5, func() {
		found = 0
		for line := range Lines(text) {
			if !mayTell(line.Message) {
				continue
			}
			found++
		}
	})
	if found != 10 || allocations > 10 {
		t.Errorf("%d lines, %g allocations", found, allocations)
	}
}

// BenchmarkReadLog tells how many times the time of counting newlines it takes to find what a log says of modules.
func BenchmarkReadLog(b *testing.B) {
	text := aLog(100_000)
	bare, newlines := []byte(text), 0
	b.SetBytes(int64(len(text)))
	var counting time.Duration
	for b.Loop() {
		found := 0
		for line := range Lines(text) {
			if _, ok := ReadTrouble(line.Message); ok {
				found++
			}
		}
		b.StopTimer()
		start := time.Now()
		newlines = bytes.Count(bare, []byte("\n"))
		counting += time.Since(start)
		b.StartTimer()
		if found != 1000 || newlines != 100_000 {
			b.Fatal(found, newlines)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(counting), "x-counting-newlines")
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(len(text)), "ns/byte")
}

func FuzzParseLog(f *testing.F) {
	f.Add("[    5.1] Loading of unsigned module is rejected\nNov 26 22:13:01 h kernel: x: Unknown symbol y (err -2)\n")
	f.Add("> \x1b[32mkern  :err   : [Nov26 22:13] \x1b[0mUnsupported pkey algo: 5\n[    5.1 <    0.1>] h modprobe[9]: ERROR: could not insert 'x': Bad message\n")
	f.Fuzz(func(t *testing.T, text string) {
		number := 0
		for _, line := range ParseLog(text) {
			if line.Number <= number || line.Message == "" || len(line.Message) > longestLine || !strings.Contains(text, "\x1b") && !strings.Contains(text, line.Message) {
				t.Fatalf("%+v", line)
			}
			number = line.Number
			_, ok := ReadTrouble(line.Message)
			for _, p := range patterns {
				if p.is.MatchString(line.Message) && !ok {
					t.Fatalf("%s passed over: %q", p.kind, line.Message)
				}
			}
		}
	})
}
