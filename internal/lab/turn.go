package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// seats is how many machines may run at a time on this host, over all processes: emulation keeps a core busy.
const seats = 2

// turn waits for a seat and returns how to leave it. A seat is a lock on a file, so it is free when its process is gone.
func (p *Parts) turn(ctx context.Context) (leave func(), err error) {
	for {
		for seat := range seats {
			file, err := os.OpenFile(filepath.Join(p.Folder, fmt.Sprint("seat-", seat)), os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				return nil, err
			}
			err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if err == nil {
				return func() { file.Close() }, nil
			}
			file.Close()
			if !errors.Is(err, syscall.EWOULDBLOCK) { // another process, or another machine of this one, sits there
				return nil, fmt.Errorf("taking a seat: %w", err)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
