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
func (t *treeWriter) findPrevious(ctx context.Context) error {
	if t.scanned == nil {
		return nil
	}
	candidates, err := t.candidates()
	if err != nil {
		return err
	}
	for _, m := range candidates {
		if err := ctx.Err(); err != nil {
			return err
		}
		shared, err := t.tryPrevious(ctx, m)
		if err == nil {
			t.share(shared, m)
			return nil
		}
		t.scanned.List.Clear(walk.SameFile | walk.Proven | walk.Doubtful)
		t.warn(fmt.Sprintf("tree %s is damaged and was not used: %v", m.tree(t.link).name, err))
	}
	return nil
}

// candidates returns the manifests whose trees may be used, best first.
func (t *treeWriter) candidates() ([]*Manifest, error) {
	var candidates []*Manifest
	seen := make(map[string]bool)
	for _, run := range slices.Backward(t.earlier) {
		m := run.Manifest
		if !t.trusts(run) {
			continue
		}
		if m == nil || !sameRecipients(t.sealer, m.Encryption) {
			continue
		}
		if name := m.tree(t.link).name; name != "" && !seen[name] {
			seen[name] = true
			candidates = append(candidates, m)
		}
	}
	if t.interrupted == nil {
		return candidates, nil
	}
	name := t.interrupted.tree(t.link).name
	if name == "" || seen[name] {
		return candidates, nil
	}
	if kind, err := t.trees.Kind(name); kind == 0 || err != nil {
		return candidates, err
	}
	return append([]*Manifest{t.interrupted}, candidates...), nil
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
func (t *treeWriter) tryPrevious(ctx context.Context, m *Manifest) (bool, error) {
	old := m.tree(t.link)
	dir, err := t.trees.Sub(old.name)
	if err != nil {
		return false, err
	}
	previous := &tree.Previous{Name: old.name, Dir: dir, Digests: old.digests, LinksOmitted: old.linksOmitted, Stamps: func() *lists.StampsReader { return t.openStamps(old.name) }}
	same, lost, err := t.compare(ctx, previous)
	if err == nil && same && t.opts.ProveLinks {
		same, err = t.proveTree(ctx, previous)
	}
	if err != nil {
		return false, errors.Join(err, dir.Close())
	}
	t.previous = previous
	if same {
		t.rebuild, err = t.lacksLink(m)
	}
	same = same && !t.rebuild
	if same && err == nil {
		t.lost.Merge(lost) // what is linked or copied is told when the tree is built
	}
	return same, err
}

// lacksLink reports whether a run has lost the link to its files, as in a copy of the volume by a tool without
// symlinks. Its tree may lack other symlinks and empty directories too, and is built anew.
func (t *treeWriter) lacksLink(m *Manifest) (bool, error) {
	if m.LinksOmitted || m == t.interrupted {
		return false, nil
	}
	run, err := t.runs.Sub(m.Run)
	if err != nil {
		return false, err
	}
	defer run.Close()
	kind, err := run.Kind(t.link)
	return kind != unix.S_IFLNK, err
}

// compare marks the scanned entries that the tree has, and reads doubtful files. It returns true if the tree has all,
// and the extended attributes that are not kept of its files.
func (t *treeWriter) compare(ctx context.Context, previous *tree.Previous) (same bool, lost walk.Lost, err error) {
	if same, lost, err = tree.Compare(t.scanned.List, previous); err != nil {
		return false, lost, err
	}
	doubtful, unchanged, err := tree.Reread(ctx, t.treeOptions(previous))
	t.restamp = doubtful > 0
	return same && unchanged, lost, err
}

// proveTree reports whether a tree that has all scanned entries is intact, to the last bit. Damaged files lose their
// marks: they are copied into a new tree, and the others are linked.
func (t *treeWriter) proveTree(ctx context.Context, previous *tree.Previous) (bool, error) {
	shape := tree.Holds(ctx, t.treeOptions(previous))
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if shape != nil {
		t.warn(fmt.Sprintf("tree %s does not hold exactly what it should and is built anew: %v", previous.Name, shape))
	}
	damaged, err := tree.Prove(ctx, t.treeOptions(previous))
	return shape == nil && damaged == 0, err
}

// share takes over the tree of a manifest if nothing has changed.
func (t *treeWriter) share(shared bool, m *Manifest) {
	t.shared = shared
	if !shared {
		return
	}
	count, old := t.scanned.List.Count, m.tree(t.link)
	t.setTree(old.digests, totalsOf(count, count), old.linksOmitted)
}
