// Command threescale-backup backs up a 3scale installation without Crossplane,
// and looks after the volumes that hold backups.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // not every machine has time zones

	"github.com/alecthomas/kong"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/cmd/internal/version"
	"threescale.dev/backup/fn/mover"
)

// cli is the command line.
type cli struct {
	version.Flag

	Output string `short:"o" enum:"text,json" default:"text" help:"Format of the output: text or json."`

	Backup   backupCommand   `cmd:"" help:"Back up an installation into a directory, without Crossplane."`
	List     listCommand     `cmd:"" help:"List the runs on a backup volume, or in a bucket."`
	Verify   verifyCommand   `cmd:"" help:"Read a run, or all runs, again and compare every digest; needs no key."`
	Export   exportCommand   `cmd:"" help:"Write a run as a kustomize tree, with its Secrets encrypted by SOPS."`
	Restore  restoreCommand  `cmd:"" help:"Restore a run into a directory and a Git repository on this machine."`
	Load     loadCommand     `cmd:"" help:"Load databases from the dumps of a run."`
	Copy     copyCommand     `cmd:"" help:"Copy runs from a backup volume to a bucket, or back."`
	Simulate simulateCommand `cmd:"" help:"Try a ThreeScaleBackup on directories: show what it composes, and run its Jobs there."`
	Check    checkCommand    `cmd:"" help:"Check the installation in a cluster, and say what is missing; changes nothing."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// checkEmpty refuses empty arguments, as of a variable without a value: kong takes an
// empty path for the working directory, and the command would write there.
func checkEmpty(args []string) error {
	for i, arg := range args {
		if arg == "" && i > 0 {
			return fmt.Errorf("the argument after %q is empty: does a variable have no value?", args[i-1])
		}
		if strings.HasPrefix(arg, "--") && strings.HasSuffix(arg, "=") {
			return fmt.Errorf("%s is empty: does a variable have no value?", strings.TrimSuffix(arg, "="))
		}
	}
	return nil
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	out := &console{out: stdout, err: stderr}
	exited := -1
	parser := kong.Must(&c,
		kong.Name("threescale-backup"),
		version.Option(),
		kong.Description("Backups of Red Hat 3scale API Management."),
		kong.ExplicitGroups([]kong.Group{{Key: objectStoreGroup, Title: "Object store of an s3:// URL:", Description: objectStoreHelp}}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)))
	var command *kong.Context
	err := checkEmpty(args)
	if err == nil {
		command, err = parser.Parse(args)
	}
	switch {
	case exited >= 0:
		return exited // help was asked for
	case err != nil:
		out.fail(err)
		return job.ExitUsage
	}
	out.json = c.Output == "json"
	if err := command.Run(out); err != nil {
		out.fail(advise(err, os.Getenv))
		return exit.Code(err, mover.ExitCode)
	}
	return job.ExitOK
}
