// Command mover is what the composed Jobs run. It is in the function's image, but is a
// program of its own: each pod would otherwise start all that only a gRPC server needs.
package main

import (
	"os"
	_ "time/tzdata" // the image has no file system to read time zones from

	"github.com/alecthomas/kong"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/cmd/internal/version"
)

// cli is the command line.
type cli struct {
	version.Flag

	Backup  backupCommand  `cmd:"" help:"Write one run onto a backup volume."`
	Inspect inspectCommand `cmd:"" help:"Verify one run and hand its objects over."`
	Refill  refillCommand  `cmd:"" help:"Write the file storage of one run."`
	Verify  verifyCommand  `cmd:"" help:"Read stored runs again and compare every digest."`
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
