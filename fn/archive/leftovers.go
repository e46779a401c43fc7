package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
)

// findInterrupted reads the manifest of an attempt that ended between its last writes and its last rename: its tree may
// have its final name already, while no run refers to it.
func (w *writer) findInterrupted(context.Context) error {
	m, err := w.volume.readManifest(w.partial())
	if err == nil && m.Run == w.opts.Run && sameRecipients(w.sealer, m.Encryption) {
		w.interrupted = m
	}
	return nil // in all other cases the attempt got less far, or there was none
}

// removeLeftovers removes what interrupted attempts of other runs left, and trees that have got their name while their
// runs have not.
func (w *writer) removeLeftovers(ctx context.Context) error {
	foreign := func(name string) bool {
		return name != w.partial() && name != w.databases.partial() && isLeftover(name)
	}
	if err := w.volume.putBack(w.trees); err != nil {
		return err
	}
	trees, err := w.orphans(foreign)
	if err != nil {
		return err
	}
	errs := []error{w.runs.RemoveMatching(ctx, foreign), w.trees.RemoveMatching(ctx, foreign)}
	for _, name := range trees {
		errs = append(errs, removeTree(ctx, w.trees, name))
	}
	errs = append(errs, removeStamps(w.trees))
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		w.warn(fmt.Sprintf("cannot remove what interrupted runs left: %v", err)) // which is no reason to make no backup
	}
	return ctx.Err()
}

// orphans returns the trees that only matching leftovers of runs refer to.
func (w *writer) orphans(leftover func(name string) bool) ([]string, error) {
	names, err := w.runs.Names()
	if err != nil {
		return nil, err
	}
	used, unknown, err := w.volume.usedTreesOf(w.earlier, nil)
	if err != nil || unknown != "" {
		return nil, err
	}
	if w.interrupted != nil {
		use(used, w.interrupted)
	}
	var trees []string
	for _, name := range names {
		if !leftover(name) {
			continue
		}
		m, err := w.volume.readManifest(name)
		if err != nil {
			continue // it did not get as far as that
		}
		for _, t := range m.trees() {
			if used[t.name] {
				continue
			}
			if kind, err := w.trees.Kind(t.name); err != nil || kind == 0 {
				continue
			}
			used[t.name] = true
			trees = append(trees, t.name)
		}
	}
	return trees, nil
}

func isLeftover(name string) bool {
	return strings.HasPrefix(name, partialPrefix) || strings.HasPrefix(name, removedPrefix)
}

// removeSuperseded removes the trees that an interrupted attempt of this run had finished and no run refers to.
func (w *writer) removeSuperseded(ctx context.Context) error {
	if w.interrupted == nil {
		return nil
	}
	used, unknown, err := w.volume.usedTrees()
	if err != nil || unknown != "" {
		return err
	}
	for _, t := range w.interrupted.trees() {
		if used[t.name] {
			continue
		}
		kind, err := w.trees.Kind(t.name)
		if err == nil && kind != 0 {
			err = removeTree(ctx, w.trees, t.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putBack gives their names back to trees that an interrupted run was about to replace: the runs that refer to them
// have no other tree. If the tree of some run is not known, all of them get their names back.
func (v *Volume) putBack(trees *dirfd.Dir) error {
	names, err := trees.Names()
	if err != nil || !slices.ContainsFunc(names, isRemoved) {
		return err
	}
	used, unknown, err := v.usedTrees()
	if err != nil {
		return err
	}
	for _, hidden := range names {
		name, ok := strings.CutPrefix(hidden, removedPrefix)
		if !ok || unknown == "" && !used[name] || slices.Contains(names, name) {
			continue
		}
		if err := trees.Rename(hidden, trees, name); err != nil {
			return err
		}
	}
	return trees.Sync()
}
