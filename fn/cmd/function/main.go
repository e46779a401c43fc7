// Command function is the composition function, and the data mover that its
// Jobs run: one image for both. Crossplane starts it without arguments.
package main

import (
	_ "time/tzdata" // the image has no file system to read time zones from

	"github.com/alecthomas/kong"
	_ "golang.org/x/crypto/x509roots/fallback" // nor certificate authorities
)

// cli is the command line.
type cli struct {
	Serve  serveCommand  `cmd:"" default:"withargs" help:"Serve the composition function (the default)."`
	Backup backupCommand `cmd:"" help:"Write one run onto a backup volume: what a composed Job's pod does."`
}

func main() {
	ctx := kong.Parse(&cli{},
		kong.Name("function"),
		kong.Description("Crossplane composition function for backups of Red Hat 3scale API Management."))
	ctx.FatalIfErrorf(ctx.Run())
}
