// Command threescale-backup backs up a 3scale installation without Crossplane,
// and looks after the volumes that hold backups.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // the image has no file system to read time zones from

	"github.com/alecthomas/kong"
	_ "golang.org/x/crypto/x509roots/fallback" // nor the certificate authorities of Git servers

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/cmd/internal/version"
	"threescale.dev/backup/fn/mover"
)

// cli is the command line.
type cli struct {
	version.Flag

	Output string `short:"o" enum:"text,json" default:"text" help:"What to print: text or json."`

	Backup   backupCommand   `cmd:"" help:"Back up an installation onto a directory, without Crossplane."`
	List     listCommand     `cmd:"" help:"List the runs on a backup volume."`
	Verify   verifyCommand   `cmd:"" help:"Read a run again and compare every digest; needs no key."`
	Export   exportCommand   `cmd:"" help:"Write a run as a kustomize tree, its Secrets encrypted by SOPS."`
	Restore  restoreCommand  `cmd:"" help:"Restore a run into a directory and a Git repository on this machine."`
	Simulate simulateCommand `cmd:"" help:"Show what a ThreeScaleBackup would compose and do, on directories."`
	Check    checkCommand    `cmd:"" help:"Check an installation in a cluster, and say what is missing."`

	Controller controllerCommand `cmd:"" passthrough:"" help:"Reconcile ThreeScaleRestores in a cluster."`
}

// exitError ends the process with a code of sysexits(3).
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage wraps an error that a different command line or input mends.
func usage(err error) error { return &exitError{job.ExitUsage, err} }

func main() {
	if isChild() {
		os.Exit(child())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// checkEmpty refuses empty arguments of our own commands. They come from
// variables without a value, and kong takes an empty path for the working
// directory, which then would be written to.
func checkEmpty(args []string) error {
	if len(args) > 0 && args[0] == "controller" {
		return nil // an empty address switches something off
	}
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
	parser, err := kong.New(&c,
		kong.Name("threescale-backup"),
		version.Option(),
		kong.Description("Backups of Red Hat 3scale API Management."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		out.fail(err)
		return job.ExitUsage
	}
	if err := checkEmpty(args); err != nil {
		out.fail(err)
		return job.ExitUsage
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // help was asked for
	}
	if err != nil {
		out.fail(err)
		return job.ExitUsage
	}
	out.json = c.Output == "json"
	if err := command.Run(out); err != nil {
		out.fail(err)
		return exitCode(err)
	}
	return job.ExitOK
}

func exitCode(err error) int {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return mover.ExitCode(err)
}
