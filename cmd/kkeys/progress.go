package main

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
)

// work is many pieces of one kind.
type work struct {
	pieces    int
	atOnce    int              // so many at once; 0 stands for the number of processors
	what      string           // for the progress bar, which there is none without
	keepGoing bool             // after a failure too; else no new piece is begun
	cancel    <-chan os.Signal // after a signal no new piece is begun; may be nil
	turns     turns            // a piece begins with one, and gives it back itself when the next may begin; may be nil
	piece     func(i int) error
}

// turns bound how many work at once, by their capacity.
type turns chan struct{}

func (t turns) take() { t <- struct{}{} }
func (t turns) give() { <-t }

// workOn does the pieces. The failures come back in their order.
func (s *session) workOn(w work) error {
	if w.atOnce == 0 {
		w.atOnce = runtime.GOMAXPROCS(0)
	}
	bar := s.progress(w.pieces, w.what)
	failures := make([]error, w.pieces, w.pieces+1)
	var next atomic.Int64
	var failed, interrupted atomic.Bool
	begun := func() (i int, more bool) {
		if w.turns != nil {
			w.turns.take()
			defer func() {
				if !more {
					w.turns.give()
				}
			}()
		}
		select {
		case <-w.cancel:
			interrupted.Store(true)
		default:
		}
		if failed.Load() || interrupted.Load() {
			return 0, false
		}
		i = int(next.Add(1)) - 1
		return i, i < w.pieces
	}
	var workers sync.WaitGroup
	for range min(w.atOnce, w.pieces) {
		workers.Go(func() {
			for i, more := begun(); more; i, more = begun() {
				if failures[i] = w.piece(i); failures[i] != nil && !w.keepGoing {
					failed.Store(true)
				}
				bar.add()
			}
		})
	}
	workers.Wait()
	bar.end()
	if interrupted.Load() {
		failures = append(failures, errInterrupted)
	}
	return several(failures)
}

// changeFiles works on files that are changed in place. A signal that would end the program lets those that were begun come to their end, so that
// nothing is left beside them; a second one ends it.
func (s *session) changeFiles(w work) error {
	if s.interrupts != nil {
		signals, stop := s.interrupts()
		defer stop()
		w.cancel = signals
	}
	return s.workOn(w)
}

// bar shows how far a long command is, and how long it will take, on standard error; nothing where that is no terminal.
type bar struct{ shown *progressbar.ProgressBar }

func (s *session) progress(total int, what string) bar {
	if what == "" || s.quiet || s.json || s.prompt == nil { // a prompt needs a terminal for standard error too
		return bar{}
	}
	return bar{progressbar.NewOptions(total, progressbar.OptionSetWriter(s.err), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionSetRenderBlankState(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))}
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
