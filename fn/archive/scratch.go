package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// ScratchDir is the directory of a volume for what is made on the way to a run, such as its dumps of databases: below
// it, whoever writes a run makes a directory of the name of the run, and removes it. It is no part of a backup.
const ScratchDir = ".scratch"

// scratchAge is for how long a scratch directory of a run that is not complete may have had no change. Then the run does
// not go on: it would begin with removing it.
const scratchAge = 48 * time.Hour

// removeScratch removes the scratch directories of runs that are complete, and of those that will not be. That of the
// run that is being written stays.
func (w *writer) removeScratch(ctx context.Context) error {
	if err := w.clearScratch(ctx); err != nil && ctx.Err() == nil {
		w.warn(fmt.Sprintf("cannot remove scratch directories of earlier runs: %v", err)) // which is no reason to make no backup
	}
	return ctx.Err()
}

func (w *writer) clearScratch(ctx context.Context) error {
	scratch, err := w.volume.root.Sub(ScratchDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer scratch.Close()
	names, err := scratch.Names()
	if err != nil {
		return err
	}
	errs := make([]error, 0, len(names))
	for _, name := range names {
		complete := slices.ContainsFunc(w.earlier, func(r RunInfo) bool { return r.ID == name && r.State == Complete })
		if name != w.opts.Run && (complete || w.isStale(ctx, scratch, name)) {
			errs = append(errs, scratch.RemoveAll(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// isStale reports whether nothing of a scratch directory has changed for a long time.
func (w *writer) isStale(ctx context.Context, scratch *dirfd.Dir, name string) bool {
	before := w.opts.Now().Add(-scratchAge)
	dir, err := scratch.Sub(name)
	if err != nil {
		return false // it is none of ours
	}
	defer dir.Close()
	found, err := walk.Scan(ctx, dir, walk.Options{Workers: 1})
	if err != nil {
		return false
	}
	for e := range found.List.All() {
		if e.ModTime.After(before) {
			return false
		}
	}
	return true
}
