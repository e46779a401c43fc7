package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line; `make image`, `make package` and `make push` call it.
type cli struct {
	Root     string `default:"."      type:"existingdir"     help:"Root of the repository."`
	Output   string `default:"build"  help:"Folder for what is made; binaries are in bin/linux-<architecture> there."`
	Registry string `required:""      help:"Where the images shall be, such as registry.example.com/backup."`
	Version  string `required:""      help:"Version of all of them, such as v0.1.0."`

	Image   imageCommand   `cmd:"" help:"Make the images of function and controller, as an OCI layout, and their SBOMs."`
	Package packageCommand `cmd:"" help:"Make the packages: the function with its runtime, and a configuration for each flavour."`
	Push    pushCommand    `cmd:"" help:"Push images, packages and SBOMs."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var c cli
	command := kong.Parse(&c, kong.Name("build"), kong.BindTo(ctx, (*context.Context)(nil)))
	r, err := newRelease(c.Root, c.Output, c.Registry, c.Version)
	if err == nil {
		err = command.Run(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:gocritic // Nothing is left to be undone.
	}
}
