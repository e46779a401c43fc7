package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// findPrevious looks for the newest tree to link from, and for changes since that tree.
func (w *writer) findPrevious(ctx context.Context) error {
	if w.scanned == nil {
		return nil
	}
	candidates, err := w.candidates()
	if err != nil {
		return err
	}
	for _, m := range candidates {
		if err := ctx.Err(); err != nil {
			return err
		}
		shared, err := w.tryPrevious(ctx, m)
		if err == nil {
			w.share(shared, m)
			return nil
		}
		w.scanned.List.Clear(walk.SameFile | walk.Proven | walk.Doubtful)
		w.warn(fmt.Sprintf("tree %s is damaged and was not used: %v", m.Tree, err))
	}
	return nil
}

// candidates returns the manifests whose trees may be used, best first.
func (w *writer) candidates() ([]*Manifest, error) {
	runs, err := w.volume.ownRuns()
	if err != nil {
		return nil, err
	}
	sortRuns(runs)
	var candidates []*Manifest
	seen := make(map[string]bool)
	for _, run := range slices.Backward(runs) {
		m := run.Manifest
		if !w.trusts(run) {
			continue
		}
		if m != nil && m.Tree != "" && sameRecipients(w.sealer, m.Encryption) && !seen[m.Tree] {
			seen[m.Tree] = true
			candidates = append(candidates, m)
		}
	}
	if w.interrupted == nil || seen[w.interrupted.Tree] {
		return candidates, nil
	}
	if kind, err := w.trees.Kind(w.interrupted.Tree); kind == 0 || err != nil {
		return candidates, err
	}
	return append([]*Manifest{w.interrupted}, candidates...), nil
}

// trusts reports whether a run is what was written, as far as the known digests say: files that are linked become part
// of the new run.
func (w *writer) trusts(run RunInfo) bool {
	want, known := w.opts.Known[run.ID]
	switch {
	case len(w.opts.Known) == 0 || known && run.ManifestSHA256 == want:
		return true
	case known && run.State == Complete:
		w.warn(fmt.Sprintf("run %q was replaced and was not used: its manifest.json has SHA-256 %s, and %s was written", run.ID, run.ManifestSHA256, want))
	}
	return false
}

// tryPrevious compares the scan with a tree. It returns true if they are the same, and the tree can be shared.
func (w *writer) tryPrevious(ctx context.Context, m *Manifest) (bool, error) {
	dir, err := w.trees.Sub(m.Tree)
	if err != nil {
		return false, err
	}
	previous := &tree.Previous{Name: m.Tree, Dir: dir, Digests: m.Digests.lists(), LinksOmitted: m.LinksOmitted, Stamps: func() *lists.StampsReader { return w.openStamps(m.Tree) }}
	same, lost, err := w.compare(ctx, previous)
	if err == nil && same && w.opts.ProveLinks {
		same, err = w.proveTree(ctx, previous)
	}
	if err != nil {
		return false, errors.Join(err, dir.Close())
	}
	w.previous = previous
	if same {
		w.rebuild, err = w.lacksLink(m)
	}
	same = same && !w.rebuild
	if same && err == nil {
		w.lost.Merge(lost) // what is linked or copied is told when the tree is built
	}
	return same, err
}

// lacksLink reports whether a run has lost the link to its files, as in a copy of the volume by a tool without
// symlinks. Its tree may lack other symlinks and empty directories too, and is built anew.
func (w *writer) lacksLink(m *Manifest) (bool, error) {
	if m.LinksOmitted || m == w.interrupted {
		return false, nil
	}
	run, err := w.runs.Sub(m.Run)
	if err != nil {
		return false, err
	}
	defer run.Close()
	kind, err := run.Kind(storageName)
	return kind != unix.S_IFLNK, err
}

// compare marks the scanned entries that the tree has, and reads doubtful files. It returns true if the tree has all,
// and the extended attributes that are not kept of its files.
func (w *writer) compare(ctx context.Context, previous *tree.Previous) (same bool, lost walk.Lost, err error) {
	if same, lost, err = tree.Compare(w.scanned.List, previous); err != nil {
		return false, lost, err
	}
	doubtful, unchanged, err := tree.Reread(ctx, w.treeOptions(previous))
	w.restamp = doubtful > 0
	return same && unchanged, lost, err
}

// proveTree reports whether a tree that has all scanned entries is intact, to the last bit. Damaged files lose their
// marks: they are copied into a new tree, and the others are linked.
func (w *writer) proveTree(ctx context.Context, previous *tree.Previous) (bool, error) {
	shape := tree.Holds(ctx, w.treeOptions(previous))
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if shape != nil {
		w.warn(fmt.Sprintf("tree %s does not hold exactly what it should and is built anew: %v", previous.Name, shape))
	}
	damaged, err := tree.Prove(ctx, w.treeOptions(previous))
	return shape == nil && damaged == 0, err
}

// share takes over the tree of a manifest if nothing has changed.
func (w *writer) share(shared bool, m *Manifest) {
	w.shared = shared
	if !shared {
		return
	}
	count := w.scanned.List.Count
	w.setTree(m.Digests.lists(), count)
	w.manifest.LinksOmitted = m.LinksOmitted
	w.manifest.Totals.LinkedFiles, w.manifest.Totals.LinkedBytes = count.Files, count.Bytes
}

func (w *writer) setTree(digests lists.Digests, count walk.Counts) {
	w.manifest.Digests.MTREE, w.manifest.Digests.Files = digests.MTREE, digests.Files
	w.manifest.Tree = lists.TreeName(digests.MTREE, digests.Files)
	w.manifest.Totals.Files, w.manifest.Totals.Bytes = count.Files, count.Bytes
	w.manifest.Totals.Directories, w.manifest.Totals.Symlinks = count.Dirs, count.Symlinks
}
