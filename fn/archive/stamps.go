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

const (
	newStampsName     = dirfd.TemporaryPrefix + "stamps"
	newDumpStampsName = newStampsName + "-" + databasesName
)

func (t *treeWriter) newStamps() *lists.StampsWriter {
	t.stamps = lists.NewStampsWriter(t.trees, t.newStampsName())
	return t.stamps
}

func (t *treeWriter) newStampsName() string {
	if t.isDumps() {
		return newDumpStampsName
	}
	return newStampsName
}

func (t *treeWriter) openStamps(tree string) *lists.StampsReader {
	return lists.OpenStamps(t.trees, stampsPrefix+tree, tree)
}

// storeStamps writes the list. A failure is a warning: the backup is good without it.
func (t *treeWriter) storeStamps(context.Context) error {
	if t.stamps == nil && t.restamp && t.shared && !t.isDumps() {
		t.newStamps()
		old := t.openStamps(t.stored().name)
		defer old.Close()
		for e := range t.scanned.List.All() {
			if e.Kind == lists.File {
				_, lost := old.Next()
				t.stamps.Add(e.Stamp, lost)
			}
		}
	}
	if t.stamps == nil {
		return nil
	}
	if err := t.stamps.Finish(t.stored().name); err != nil {
		t.stamps = nil
		t.warn(fmt.Sprintf("cannot write the stamps of the files, so the next run reads all of them again: %v", err))
	}
	return nil
}

func (t *treeWriter) placeStamps() {
	if t.stamps != nil {
		_ = t.trees.Rename(t.newStampsName(), t.trees, stampsPrefix+t.stored().name) // as in storeStamps
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
	errs := []error{removeNewStamps(trees)}
	for _, name := range names {
		if tree, ok := strings.CutPrefix(name, stampsPrefix); ok && !there[tree] {
			errs = append(errs, trees.Remove(name))
		}
	}
	return errors.Join(errs...)
}

// removeNewStamps removes lists of stamps that were not completed.
func removeNewStamps(trees *dirfd.Dir) error {
	return errors.Join(trees.Remove(newStampsName), trees.Remove(newDumpStampsName))
}
