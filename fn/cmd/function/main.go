// Command function is the composition function. Crossplane starts it without
// arguments.
package main

import (
	_ "time/tzdata" // the image has no file system to read time zones from

	"github.com/alecthomas/kong"
	_ "golang.org/x/crypto/x509roots/fallback" // nor certificate authorities
)

func main() {
	ctx := kong.Parse(&serveCommand{},
		kong.Name("function"),
		kong.Description("Crossplane composition function for backups of Red Hat 3scale API Management."))
	ctx.FatalIfErrorf(ctx.Run())
}
