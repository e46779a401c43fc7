package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
)

// commit makes the run durable, and then visible. Once it has begun, nothing cancels it.
func (w *writer) commit(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	w.progress.Begin(progress.Sync, 0, 0)
	if err := w.volume.root.SyncFS(); err != nil {
		return err
	}
	if err := w.each((*treeWriter).place)(ctx); err != nil {
		return err
	}
	if err := w.runs.Rename(w.partial(), w.runs, w.opts.Run); err != nil {
		return err
	}
	if err := w.runs.Sync(); err != nil {
		return err
	}
	if err := w.confirm(); err != nil {
		return fmt.Errorf("volume loses what is in a directory when it is renamed, so it cannot hold a backup: %w", err)
	}
	for _, t := range w.both() {
		t.placeStamps()
	}
	runs := append(slices.Clone(w.earlier), RunInfo{ID: w.opts.Run, State: Complete, Manifest: &w.manifest, ManifestSHA256: w.digest})
	return errors.Join(w.volume.pointTo(newestOf(runs, "")), w.removeSuperseded(ctx))
}

// confirm reads back what has got its final name: some file systems in user space lose what is in a directory when they
// rename it, without an error.
func (w *writer) confirm() error {
	run, err := w.runs.Sub(w.opts.Run)
	if err != nil {
		return err
	}
	err = errors.Join(run.Prove(manifestName, w.digest), run.Close())
	for _, t := range w.both() {
		if err == nil && t.stored().name != "" && !t.shared {
			err = t.check()
		}
	}
	return err
}

// replaceTree puts the partial tree in place of one that may be damaged.
func (t *treeWriter) replaceTree(ctx context.Context, name string) error {
	err := t.trees.Exchange(t.partial(), name)
	if err == nil {
		return t.trees.RemoveAll(ctx, t.partial())
	}
	if !dirfd.Unsupported(err) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return t.replaceInSteps(ctx, name)
}

// replaceInSteps is replaceTree where two names cannot be exchanged. Between its renames, earlier runs have no tree: if
// it ends there, putBack gives it to them again.
func (t *treeWriter) replaceInSteps(ctx context.Context, name string) error {
	hidden := removedPrefix + name
	if err := t.trees.Rename(name, t.trees, hidden); err != nil {
		return err
	}
	if err := t.trees.Rename(t.partial(), t.trees, name); err != nil {
		return errors.Join(err, t.trees.Rename(hidden, t.trees, name))
	}
	return errors.Join(t.trees.Sync(), t.trees.RemoveAll(ctx, hidden))
}

// check proves the lists of the tree that has the name, and that it has files.
func (t *treeWriter) check() error {
	stored := t.stored()
	tree, err := t.trees.Sub(stored.name)
	if err != nil {
		return err
	}
	defer tree.Close()
	if kind, err := tree.Kind(lists.FilesDir); kind != unix.S_IFDIR {
		return errors.Join(errors.New("it has no files"), err)
	}
	return lists.Prove(tree, stored.digests)
}
