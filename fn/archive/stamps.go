package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// Beside each tree lies a list of stamps of its files' sources, from when they were last known to hold what is stored.
// By it the next run need not read unchanged files. It is no part of a backup: without it, more is read.

const newStampsName = dirfd.TemporaryPrefix + "stamps"

func (w *writer) newStamps() *lists.StampsWriter {
	w.stamps = lists.NewStampsWriter(w.trees, newStampsName)
	return w.stamps
}

func (w *writer) openStamps(tree string) *lists.StampsReader {
	return lists.OpenStamps(w.trees, stampsPrefix+tree, tree)
}

// storeStamps writes the list. A failure is a warning: the backup is good without it.
func (w *writer) storeStamps(context.Context) error {
	if w.stamps == nil && w.restamp && w.shared {
		w.newStamps()
		old := w.openStamps(w.manifest.Tree)
		defer old.Close()
		for e := range w.scanned.List.All() {
			if e.Kind == lists.File {
				_, lost := old.Next()
				w.stamps.Add(e.Stamp, lost)
			}
		}
	}
	if w.stamps == nil {
		return nil
	}
	if err := w.stamps.Finish(w.manifest.Tree); err != nil {
		w.stamps = nil
		w.warn(fmt.Sprintf("cannot write the stamps of the files, so the next run reads all of them again: %v", err))
	}
	return nil
}

func (w *writer) placeStamps() {
	if w.stamps != nil {
		_ = w.trees.Rename(newStampsName, w.trees, stampsPrefix+w.manifest.Tree) // as in storeStamps
	}
}

// removeStamps removes the lists of trees that are gone.
func removeStamps(trees *dirfd.Dir) error {
	names, err := trees.Names()
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	errs := []error{trees.Remove(newStampsName)}
	for _, name := range names {
		if tree, ok := strings.CutPrefix(name, stampsPrefix); ok && !there[tree] {
			errs = append(errs, trees.Remove(name))
		}
	}
	return errors.Join(errs...)
}
