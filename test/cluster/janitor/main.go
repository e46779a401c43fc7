//go:build linux

// Command janitor cleans the machine up when its harness is gone without having
// done so: interrupted, panicked or killed. The harness holds the other end of
// its standard input; when that ends, it looks whether there is a record left.
//
// It inherited the harness's lock, so that the next cluster waits for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"threescale.dev/backup/test/cluster/machine"
)

func main() {
	// What interrupts the harness must not interrupt this.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "janitor:", err)
		os.Exit(1)
	}
}

func run() error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("cannot wait for harness: %w", err)
	}
	state, err := machine.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // The harness did it.
	}
	if err != nil {
		return err
	}
	if err := state.Undo(context.Background()); err != nil {
		return err
	}
	// The harness would have removed our folder, log and program.
	return os.RemoveAll(filepath.Dir(os.Args[0]))
}
