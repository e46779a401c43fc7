package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/cmd/internal/memory"
	"threescale.dev/backup/fn/mover"
)

// umask leaves the volume's group what its user may. A later run's user may be
// another one: OpenShift gives each namespace its own, all in group 0.
const umask = 0o007

// lockPatience is how long a pod waits for another writer.
const lockPatience = 15 * time.Minute

// backupCommand writes one run.
type backupCommand struct {
	job.Options `embed:""`
}

// Run writes the run.
func (c *backupCommand) Run() error {
	return run(c.Namespace, c.Report, nil, func(ctx context.Context, env mover.Env) (job.Result, error) {
		return mover.Backup(ctx, c.Options, env)
	})
}

// inspectCommand verifies one run and hands its objects over.
type inspectCommand struct {
	job.InspectOptions `embed:""`
}

// Run inspects the run.
func (c *inspectCommand) Run() error {
	return run(c.Namespace, c.Report, c.Handover, func(ctx context.Context, env mover.Env) (job.Inspection, error) {
		return mover.Inspect(ctx, c.InspectOptions, env)
	})
}

// refillCommand writes the file storage of one run.
type refillCommand struct {
	job.RefillOptions `embed:""`
}

// Run refills the file storage.
func (c *refillCommand) Run() error {
	return run(c.Namespace, c.Report, nil, func(ctx context.Context, env mover.Env) (job.RefillResult, error) {
		return mover.Refill(ctx, c.RefillOptions, env)
	})
}

// verifyCommand reads stored runs again.
type verifyCommand struct {
	job.VerifyOptions `embed:""`
}

// Run verifies the runs.
func (c *verifyCommand) Run() error {
	return run(c.Namespace, c.Report, nil, func(ctx context.Context, env mover.Env) (job.Verification, error) {
		return mover.Verify(ctx, c.VerifyOptions, env)
	})
}

// run does the work, prints what came of it as one line of JSON, and exits.
func run[T any](namespace, reportName string, handover []string, work func(context.Context, mover.Env) (T, error)) error {
	memory.Limit()
	syscall.Umask(umask)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	env := mover.Env{Now: time.Now, LockPatience: lockPatience}
	env.Hostname, _ = os.Hostname() // only shown to another writer
	if reportName != "" || len(handover) > 0 {
		client, err := mover.NewClient(namespace)
		if err != nil {
			return exit(err, job.ExitTemporary)
		}
		if reportName != "" {
			env.Reporter = client.Reporter(reportName)
		}
		if len(handover) > 0 {
			env.Handover = client.Handover(handover)
		}
	}
	result, err := work(ctx, env)
	text, encodeErr := json.Marshal(result)
	if encodeErr == nil {
		_, encodeErr = fmt.Println(string(job.PrintableJSON(text)))
	}
	if encodeErr != nil {
		return exit(encodeErr, job.ExitIO)
	}
	if err != nil {
		return exit(err, mover.ExitCode(err))
	}
	return nil
}

// exit prints err, which may name what is on a volume, and ends the process:
// kong's own exit code is always 1.
func exit(err error, code int) error {
	fmt.Fprintln(os.Stderr, "error:", job.Printable(err.Error()))
	os.Exit(code)
	return nil
}
