// Command function is the composition function. Crossplane starts it without
// arguments.
package main

import (
	_ "time/tzdata" // the image has no file system to read time zones from

	"github.com/alecthomas/kong"

	"threescale.dev/backup/fn/cmd/internal/version"
)

// cli is the command line: it only serves.
type cli struct {
	version.Flag
	serveCommand
}

func main() {
	ctx := kong.Parse(&cli{},
		kong.Name("function"),
		version.Option(),
		kong.Description("Crossplane composition function for backups of Red Hat 3scale API Management."))
	ctx.FatalIfErrorf(ctx.Run())
}
