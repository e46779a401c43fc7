package archive

import (
	"context"
	"errors"
	"fmt"

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
	if w.manifest.Tree != "" && !w.shared {
		if err := w.placeTree(ctx); err != nil {
			return err
		}
	}
	if w.shared {
		// Where there are no locks, another writer may have removed it since it was found.
		if kind, err := w.trees.Kind(w.manifest.Tree); kind == 0 {
			return errors.Join(fmt.Errorf("tree %s, which was to be shared, was removed by another writer", w.manifest.Tree), err)
		}
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
	w.placeStamps()
	return errors.Join(w.volume.pointLatest(""), w.removeSuperseded(ctx))
}

// confirm reads back what has got its final name: some file systems in user space lose what is in a directory when they
// rename it, without an error.
func (w *writer) confirm() error {
	run, err := w.runs.Sub(w.opts.Run)
	if err != nil {
		return err
	}
	err = errors.Join(run.Prove(manifestName, w.digest), run.Close())
	if err != nil || w.manifest.Tree == "" || w.shared {
		return err
	}
	return w.checkTree(w.manifest.Tree)
}

// placeTree gives the partial tree its name, unless a good tree has it already. With ProveLinks, a tree that is not
// proven to be intact is replaced by the new one, whose files are: that mends the runs that share a damaged tree.
func (w *writer) placeTree(ctx context.Context) error {
	name := w.manifest.Tree
	kind, err := w.trees.Kind(name)
	if err != nil {
		return err
	}
	switch {
	case kind == 0:
		err = w.trees.Rename(w.partial(), w.trees, name)
	case w.opts.ProveLinks && !w.intact || w.rebuild || w.checkTree(name) != nil:
		err = w.replaceTree(ctx, name)
	default:
		err = w.trees.RemoveAll(ctx, w.partial())
	}
	return errors.Join(err, w.trees.Sync())
}

// replaceTree puts the partial tree in place of one that may be damaged.
func (w *writer) replaceTree(ctx context.Context, name string) error {
	err := w.trees.Exchange(w.partial(), name)
	if err == nil {
		return w.trees.RemoveAll(ctx, w.partial())
	}
	if !dirfd.Unsupported(err) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return w.replaceInSteps(ctx, name)
}

// replaceInSteps is replaceTree where two names cannot be exchanged. Between its renames, earlier runs have no tree: if
// it ends there, putBack gives it to them again.
func (w *writer) replaceInSteps(ctx context.Context, name string) error {
	hidden := removedPrefix + name
	if err := w.trees.Rename(name, w.trees, hidden); err != nil {
		return err
	}
	if err := w.trees.Rename(w.partial(), w.trees, name); err != nil {
		return errors.Join(err, w.trees.Rename(hidden, w.trees, name))
	}
	return errors.Join(w.trees.Sync(), w.trees.RemoveAll(ctx, hidden))
}

// checkTree proves the lists of a tree, and that it has files.
func (w *writer) checkTree(name string) error {
	tree, err := w.trees.Sub(name)
	if err != nil {
		return err
	}
	defer tree.Close()
	if kind, err := tree.Kind(lists.FilesDir); kind != unix.S_IFDIR {
		return errors.Join(errors.New("it has no files"), err)
	}
	return lists.Prove(tree, w.manifest.Digests.lists())
}
