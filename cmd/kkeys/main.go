// Command kkeys shows, proves and mends the trust of a Linux kernel in module signing keys.
package main

import (
	"context"
	"os"

	"kkeys/machine"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], standardStreams(), machine.Live()))
}
