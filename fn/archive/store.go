package archive

import (
	"context"
	"errors"

	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/tree"
)

// storeFiles stores the file storage, or takes over the tree that has it already.
func (w *writer) storeFiles(ctx context.Context) error {
	if w.scanned == nil || w.shared {
		return errors.Join(w.trees.RemoveAll(ctx, w.partial()), w.checkSpace(nil))
	}
	into, err := w.trees.Ensure(w.partial())
	if err != nil {
		return err
	}
	defer into.Close()
	opts := w.treeOptions(w.previous)
	opts.Into, opts.Stamps = into, w.newStamps()
	return w.build(ctx, opts)
}

// treeOptions says how the tree is built, and compared with a previous one.
func (w *writer) treeOptions(previous *tree.Previous) tree.Options {
	return tree.Options{
		Source:   w.source,
		Entries:  w.scanned.List,
		Previous: previous,
		Sealer:   w.sealer,
		Stamper:  w.stamper,
		Keep:     w.keep(),
		Workers:  w.opts.Workers,
		Fsync:    w.fsync,
		Warn:     w.warn,
		Progress: w.progress,
	}
}

// build builds a tree and puts the result into the manifest.
func (w *writer) build(ctx context.Context, opts tree.Options) (err error) {
	b, err := tree.Resume(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if w.opts.ProveLinks {
		if _, err := tree.Prove(ctx, opts); err != nil {
			return err
		}
	}
	if err := w.checkSpace(b); err != nil {
		return err
	}
	result, err := b.Build(ctx)
	if err != nil {
		return err
	}
	if len(result.Unreadable) > 0 {
		return &UnreadableError{Entries: result.Unreadable}
	}
	w.setTree(result.Digests, result.Stored)
	w.lost.Merge(result.Lost)
	w.manifest.Totals.LinkedFiles, w.manifest.Totals.LinkedBytes = result.Linked.Files, result.Linked.Bytes
	w.manifest.LinksOmitted = result.LinksOmitted
	if w.opts.ProveLinks {
		w.intact, err = w.isIntact(ctx)
	}
	return err
}

// isIntact reports whether there already is an intact tree with the name of the new one, older than the previous tree.
// Somebody may be reading it, so it is not replaced without need.
func (w *writer) isIntact(ctx context.Context) (bool, error) {
	name := w.manifest.Tree
	if w.previous != nil && w.previous.Name == name {
		return false, nil // it was found wanting, else it would be shared
	}
	if kind, err := w.trees.Kind(name); kind == 0 || err != nil {
		return false, err
	}
	c := &verifier{
		volume:   w.volume,
		opts:     VerifyOptions{Workers: w.opts.Workers},
		info:     RunInfo{ID: w.opts.Run, Manifest: &w.manifest},
		progress: &progress.Meter{},
		report:   newReport(RunInfo{}, 1),
	}
	err := c.verifyTree(ctx)
	return c.report.ProblemCount == 0, err
}
