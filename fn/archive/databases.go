package archive

import (
	"context"
	"errors"

	"filippo.io/age"

	"threescale.dev/backup/fn/recorded"
)

// Dumps returns the databases that the run holds.
func (r *Run) Dumps() []recorded.Dump {
	if r.info.Manifest == nil || r.info.Manifest.Databases == nil {
		return nil
	}
	return r.info.Manifest.Databases.Dumps
}

// ExtractOptions says what to extract.
type ExtractOptions struct {
	Databases  []string // names of dumps; empty: all
	Identities []age.Identity
	Workers    int
	Progress   func(Progress)
}

// ExtractDatabases writes the dumps into an empty directory, <name>/ each, decrypted and proven.
func (r *Run) ExtractDatabases(ctx context.Context, dir string, opts ExtractOptions) error {
	return errors.New("not built")
}
