package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// fleet makes a folder with so many recorded machines: links to those of testdata.
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

// counting counts lines, and looks at the heap at each thousandth of them.
type counting struct {
	lines int
	heap  uint64 // the most that was in use after a collection, in bytes
}

func (c *counting) Write(p []byte) (int, error) {
	if c.lines++; c.lines%500 == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		c.heap = max(c.heap, m.HeapAlloc)
	}
	return len(p), nil
}

// BenchmarkAuditSnapshots audits 1,000 and 10,000 recorded machines. x-time is the time of one machine among 10,000 to that of one among 1,000;
// x-heap the largest heap in use with 10,000 to that with 1,000; ms-machine the time of one.
func BenchmarkAuditSnapshots(b *testing.B) {
	debug.SetMemoryLimit(memory)
	few, many := fleet(b, 1000), fleet(b, 10000)
	measure := func(dir string, n int) (each float64, heap uint64) {
		out := &counting{}
		start := time.Now()
		code := run(context.Background(), []string{"audit", "--snapshots", dir, "--json"}, streams{out: out, err: io.Discard, environment: os.Getenv}, nil)
		if code != exitNo || out.lines != n {
			b.Fatalf("exit code %d, %d lines of %d", code, out.lines, n)
		}
		return time.Since(start).Seconds() / float64(n), out.heap
	}
	var times, heaps, each float64
	for b.Loop() {
		one, small := measure(few, 1000)
		other, large := measure(many, 10000)
		times, heaps, each = times+other/one, heaps+float64(large)/float64(small), each+other
	}
	n := float64(b.N)
	b.ReportMetric(times/n, "x-time")
	b.ReportMetric(heaps/n, "x-heap")
	b.ReportMetric(1000*each/n, "ms-machine")
}
