// Command build builds peers before a test needs them: all of them, or the
// ones named as arguments.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"threescale.dev/backup/test/peers"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(names) == 0 {
		names = peers.Names()
	}
	for i, name := range names {
		start := time.Now()
		path, err := peers.Binary(ctx, name)
		if err != nil {
			return err
		}
		fmt.Printf("[%d/%d] %s in %s: %s\n", i+1, len(names), name, time.Since(start).Round(time.Second), path)
	}
	return nil
}
