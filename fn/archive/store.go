package archive

import (
	"context"
	"errors"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/tree"
)

// storeFiles stores the file storage, or takes over the tree that has it already.
func (w *writer) storeFiles(ctx context.Context) (err error) {
	if w.scanned == nil || w.shared {
		return errors.Join(w.trees.RemoveAll(ctx, w.partial()), w.checkSpace(nil))
	}
	source, err := dirfd.Open(w.opts.Files)
	if err != nil {
		return err
	}
	defer source.Close()
	into, err := w.trees.Ensure(w.partial())
	if err != nil {
		return err
	}
	defer into.Close()
	return w.build(ctx, tree.Options{
		Source:   source,
		Entries:  w.scanned.List,
		Into:     into,
		Previous: w.previous,
		Sealer:   w.sealer,
		Stamper:  w.stamper,
		Keep:     w.keep(),
		Stamps:   w.newStamps(),
		Workers:  w.opts.Workers,
		Fsync:    w.fsync,
		Observer: w,
	})
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
		return unreadableError(result.Unreadable)
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
		progress: newProgress(nil),
		report:   newReport(RunInfo{}, 1),
	}
	err := c.verifyTree(ctx)
	return c.report.ProblemCount == 0, err
}

// Begin makes the writer a tree.Observer.
func (w *writer) Begin(phase tree.Phase, files, bytes int64) {
	w.progress.begin(Phase(phase), files, bytes)
}

// Add makes the writer a tree.Observer.
func (w *writer) Add(files, bytes int64) { w.progress.add(files, bytes) }
