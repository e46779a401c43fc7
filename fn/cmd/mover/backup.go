package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/mover"
)

// memoryLimit is soft: past it the garbage collector works harder. A run needs
// about 25 MiB of buffers and lists for 200,000 files.
const memoryLimit = 40 << 20

// lockPatience is how long a pod waits for another writer.
const lockPatience = 15 * time.Minute

// backupCommand writes one run.
type backupCommand struct {
	job.Options `embed:""`
}

// Run writes the run, prints the result as one line of JSON, and exits.
func (c *backupCommand) Run() error {
	debug.SetMemoryLimit(memoryLimit)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	env := mover.Env{Now: time.Now, LockPatience: lockPatience}
	env.Hostname, _ = os.Hostname() // only shown to another writer
	if c.Report != "" {
		reporter, err := mover.NewConfigMapReporter(c.Namespace, c.Report)
		if err != nil {
			return exit(err, job.ExitTemporary)
		}
		env.Reporter = reporter
	}
	result, err := mover.Backup(ctx, c.Options, env)
	if encodeErr := json.NewEncoder(os.Stdout).Encode(result); encodeErr != nil {
		return exit(encodeErr, job.ExitIO)
	}
	if err != nil {
		return exit(err, mover.ExitCode(err))
	}
	return nil
}

// exit prints err and ends the process: kong's own exit code is always 1.
func exit(err error, code int) error {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(code)
	return nil
}
