// Command controller reconciles ThreeScaleRestores in a cluster. Its flags are
// those that Flux' controllers have.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the image has no file system to read time zones from

	_ "golang.org/x/crypto/x509roots/fallback" // nor the certificate authorities of Git servers

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/commit/githubapp"
	"threescale.dev/backup/fn/confine"
)

// childName is the first argument of the processes that the controller starts for what tenants control.
// They are no command for users, and confine themselves before anything else is done.
const childName = "child"

func main() {
	if len(os.Args) > 1 && os.Args[1] == childName {
		os.Exit(confine.Serve(os.Args[2:], os.Stdin, os.Stdout, commit.Worker{GitHubApp: githubapp.Login}.Do))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves until ctx ends, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := serve(ctx, args, stdout, stderr)
	if err == nil {
		return job.ExitOK
	}
	exit.Print(stderr, err)
	return exit.Code(err, func(error) int { return job.ExitIO })
}
