// Command mover is what the composed Jobs run. It is in the function's image, but is a
// program of its own: each pod would otherwise start all that only a gRPC server needs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // the image has no file system to read time zones from

	"github.com/alecthomas/kong"
	_ "golang.org/x/crypto/x509roots/fallback" // the image has no certificates either

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/cmd/internal/memory"
	"threescale.dev/backup/fn/cmd/internal/version"
	"threescale.dev/backup/fn/mover"
)

// cli is the command line.
type cli struct {
	version.Flag

	Backup  backupCommand  `cmd:"" help:"Write one run onto a backup volume."`
	Prepare prepareCommand `cmd:"" help:"Make a pod ready for dumps of databases."`
	Dump    dumpCommand    `cmd:"" help:"Dump one database into a scratch directory."`
	Inspect inspectCommand `cmd:"" help:"Verify one run and hand its objects over."`
	Refill  refillCommand  `cmd:"" help:"Write the file storage of one run."`
	Extract extractCommand `cmd:"" help:"Write the dumps of one run into a directory."`
	Load    loadCommand    `cmd:"" help:"Load databases from the dumps of one run."`
	Verify  verifyCommand  `cmd:"" help:"Read stored runs again and compare every digest."`
	Copy    copyCommand    `cmd:"" help:"Copy runs from a backup volume to a bucket."`
}

func main() {
	parser := kong.Must(&cli{},
		kong.Name("mover"),
		version.Option(),
		kong.Description("Data mover of backups of Red Hat 3scale API Management."))
	ctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		_ = exit(err, job.ExitUsage) // no retry helps
	}
	parser.FatalIfErrorf(ctx.Run())
}

// umask gives the group of the volume the rights of the owner: a later run may have
// another user. OpenShift gives each namespace a user of its own, all in group 0.
const umask = 0o007

// lockPatience is how long a pod waits for another writer.
const lockPatience = 15 * time.Minute

// backupCommand writes one run.
type backupCommand struct {
	job.Options `embed:""`
}

// Run writes the run.
func (c *backupCommand) Run() error {
	return run(mover.Backup, c.Options, output{c.Namespace, c.Report, nil})
}

// prepareCommand makes a pod ready for dumps.
type prepareCommand struct {
	job.PrepareOptions `embed:""`
}

// Run prepares the pod.
func (c *prepareCommand) Run() error {
	return run(mover.Prepare, c.PrepareOptions, output{c.Namespace, c.Report, nil})
}

// dumpCommand dumps one database.
type dumpCommand struct {
	job.DumpOptions `embed:""`
}

// Run dumps the database.
func (c *dumpCommand) Run() error {
	return run(mover.Dump, c.DumpOptions, output{c.Namespace, c.Report, nil})
}

// inspectCommand verifies one run and hands its objects over.
type inspectCommand struct {
	job.InspectOptions `embed:""`
}

// Run inspects the run.
func (c *inspectCommand) Run() error {
	return run(mover.Inspect, c.InspectOptions, output{c.Namespace, c.Report, c.Handover})
}

// refillCommand writes the file storage of one run.
type refillCommand struct {
	job.RefillOptions `embed:""`
}

// Run refills the file storage.
func (c *refillCommand) Run() error {
	return run(mover.Refill, c.RefillOptions, output{c.Namespace, c.Report, nil})
}

// extractCommand writes the dumps of one run into a directory.
type extractCommand struct {
	job.ExtractOptions `embed:""`
}

// Run extracts the dumps.
func (c *extractCommand) Run() error {
	return run(mover.Extract, c.ExtractOptions, output{c.Namespace, c.Report, nil})
}

// loadCommand loads databases.
type loadCommand struct {
	job.LoadOptions `embed:""`
}

// Run loads the databases.
func (c *loadCommand) Run() error {
	return run(mover.Load, c.LoadOptions, output{c.Namespace, c.Report, nil})
}

// verifyCommand reads stored runs again.
type verifyCommand struct {
	job.VerifyOptions `embed:""`
}

// Run verifies the runs.
func (c *verifyCommand) Run() error {
	return run(mover.Verify, c.VerifyOptions, output{c.Namespace, c.Report, nil})
}

// copyCommand copies runs to a bucket.
type copyCommand struct {
	job.CopyOptions `embed:""`
}

// Run copies the runs.
func (c *copyCommand) Run() error {
	return run(mover.Copy, c.CopyOptions, output{c.Namespace, c.Report, nil})
}

// output names what a command writes to in the cluster: a ConfigMap, and Secrets.
type output struct {
	namespace, report string
	handover          []string
}

// run does the work, prints its result as one line of JSON, and exits.
func run[O, R any](work func(context.Context, O, mover.Env) (R, error), options O, to output) error {
	memory.Limit()
	memory.Save()
	syscall.Umask(umask)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	env := mover.Env{Now: time.Now, LockPatience: lockPatience}
	env.Hostname, _ = os.Hostname() // only shown to another writer
	if to.report != "" || len(to.handover) > 0 {
		client, err := mover.NewClient(to.namespace)
		if err != nil {
			return exit(err, job.ExitTemporary)
		}
		if to.report != "" {
			env.Reporter = client.Reporter(to.report)
		}
		if len(to.handover) > 0 {
			env.Handover = client.Handover(to.handover)
		}
	}
	result, err := work(ctx, options, env)
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

// exit prints err, which may quote names on a volume, and ends the process: kong's own
// exit code is always 1.
func exit(err error, code int) error {
	fmt.Fprintln(os.Stderr, "error:", job.Printable(err.Error()))
	os.Exit(code)
	return nil
}
