package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// workOn does n pieces of work, so many at once; 0 stands for the number of processors. After a failure no new piece is begun, unless keepGoing.
// The failures come back in the order of the pieces.
func (s *session) workOn(n, atOnce int, what string, keepGoing bool, work func(i int) error) error {
	if atOnce == 0 {
		atOnce = runtime.GOMAXPROCS(0)
	}
	bar := s.progress(n, what)
	failures := make([]error, n)
	var next atomic.Int64
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range min(atOnce, n) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !stop.Load(); i = int(next.Add(1)) - 1 {
				if failures[i] = work(i); failures[i] != nil && !keepGoing {
					stop.Store(true)
				}
				bar.add()
			}
		})
	}
	workers.Wait()
	bar.end()
	return several(slices.DeleteFunc(failures, func(err error) bool { return err == nil }))
}

// bar shows how far a long command is, and how long it will take, on standard error; nothing where that is no terminal.
type bar struct{ shown *progressbar.ProgressBar }

func (s *session) progress(total int, what string) bar {
	if what == "" || s.quiet || s.json || s.prompt == nil { // a prompt needs a terminal for standard error too
		return bar{}
	}
	return bar{progressbar.NewOptions(total, progressbar.OptionSetWriter(s.err), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))}
}

func (b bar) add() {
	if b.shown != nil {
		_ = b.shown.Add(1) // fails only where the terminal does
	}
}

func (b bar) end() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}
