// Command kkeys shows, proves and mends the trust of a Linux kernel in module signing keys.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"kkeys/machine"
)

// memory is what the garbage collector keeps the program to, in bytes, as far as what it works on is less.
const memory = 128 << 20

func main() {
	debug.SetMemoryLimit(memory)
	os.Exit(run(context.Background(), os.Args[1:], standardStreams(), machine.Live()))
}
