// Package version has the release of a binary.
package version

import "github.com/alecthomas/kong"

// version is set by the linker: `make build VERSION=v0.1.0`.
var version = "dev"

// String is the release.
func String() string { return version }

// Flag is embedded by a command line that has --version.
type Flag struct {
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Option tells kong what the flag prints.
func Option() kong.Option { return kong.Vars{"version": version} }
