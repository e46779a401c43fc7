package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// RemoveResult says what was removed besides the run.
type RemoveResult struct {
	Trees      []string // trees that no run referred to any more, sorted
	FreedBytes int64    // of the run's and the trees' files that nothing else on the volume shares
	Warnings   []string
}

// Remove removes the run of an ID, which is neither Latest nor UnverifiedRun, and the trees that no other run refers
// to. While the volume holds a run whose tree cannot be told, all trees stay. A run that is being read stays too.
// Nothing else in this package removes a complete run. What an interrupted call left is removed by the next, of any
// run. The holder is as in WriteOptions. Errors that callers may tell apart: UsageError, LockedError, InUseError,
// ErrRunNotFound. With an error and a result, the run is gone, and not all that it held.
func (v *Volume) Remove(ctx context.Context, run, holder string) (*RemoveResult, error) {
	if err := validRunID(run); err != nil {
		return nil, &UsageError{Err: fmt.Errorf("cannot remove run %q: %w", run, err)}
	}
	lock, err := v.lock(holder)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	if _, err := v.find(ctx, run); err != nil {
		return nil, fmt.Errorf("cannot remove run %q: %w", run, err)
	}
	runs, err := v.root.Sub(runsDir)
	if err != nil {
		return nil, fmt.Errorf("cannot remove run %q: %w", run, err)
	}
	defer runs.Close()
	hidden := removedPrefix + run
	if err := runs.RemoveAll(ctx, hidden); err != nil {
		return nil, fmt.Errorf("cannot remove run %q: %w", run, err)
	}
	if err := v.hide(runs, run, hidden); err != nil {
		return nil, fmt.Errorf("cannot remove run %q: %w", run, err)
	}
	result := &RemoveResult{}
	if lock.warning != "" {
		result.Warnings = append(result.Warnings, lock.warning)
	}
	if err := v.clear(ctx, runs, hidden, result); err != nil {
		return result, fmt.Errorf("cannot remove all of run %q, which is gone: %w", run, err)
	}
	return result, nil
}

// hide moves the links at the root away from a run that nobody reads, and hides the run. From then on nobody can begin
// to read it, so the lock is released before its file is removed: NFS would keep the file as long as it is open.
func (v *Volume) hide(runs *dirfd.Dir, run, hidden string) error {
	reserved, err := v.reserve(run)
	if err != nil {
		return err
	}
	defer reserved.release() //nolint:errcheck // nothing was written to it
	if err := v.pointLatest(run); err != nil {
		return err
	}
	return errors.Join(runs.Rename(run, runs, hidden), runs.Sync())
}

// clear removes what is no longer in use once a run is hidden.
func (v *Volume) clear(ctx context.Context, runs *dirfd.Dir, hidden string, result *RemoveResult) error {
	if err := v.removeUnused(ctx, result); err != nil {
		return err
	}
	bytes, err := soleBytes(ctx, runs, []string{hidden})
	if err != nil {
		return err
	}
	result.FreedBytes += bytes
	return errors.Join(runs.RemoveMatching(ctx, isRemoved), runs.Sync()) // last: they tell a writer which trees may go
}

// isRemoved reports whether a name is that of a run or a tree that was being removed.
func isRemoved(name string) bool { return strings.HasPrefix(name, removedPrefix) }

// removeUnused removes the trees that no run refers to.
func (v *Volume) removeUnused(ctx context.Context, result *RemoveResult) error {
	trees, err := v.root.Sub(treesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer trees.Close()
	if err := v.putBack(trees); err != nil {
		return err
	}
	unused, unknown, err := v.unusedTrees()
	if err != nil {
		return err
	}
	if unknown != "" {
		result.Warnings = append(result.Warnings, fmt.Sprintf("no tree was removed, since the tree of run %q is not known", unknown))
		return nil
	}
	errs := []error{trees.RemoveMatching(ctx, isRemoved)} // what cannot be removed does not keep the rest
	for _, name := range unused {
		bytes, err := soleBytes(ctx, trees, []string{name}) // far cheaper than what follows
		if err == nil {
			err = removeTree(ctx, trees, name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		result.Trees = append(result.Trees, name)
		result.FreedBytes += bytes
	}
	return errors.Join(append(errs, removeStamps(trees), trees.Sync())...)
}

// removeTree hides a tree and then removes it, so that no tree is ever there in part.
func removeTree(ctx context.Context, trees *dirfd.Dir, name string) error {
	hidden := removedPrefix + name
	if err := trees.RemoveAll(ctx, hidden); err != nil {
		return err
	}
	if err := errors.Join(trees.Rename(name, trees, hidden), trees.Sync()); err != nil {
		return err
	}
	return trees.RemoveAll(ctx, hidden)
}

// usedTrees returns the trees that runs other than the given ones refer to. If there are runs whose tree is not known,
// it returns one of them.
func (v *Volume) usedTrees(but ...string) (used map[string]bool, unknown string, err error) {
	runs, err := v.ownRuns()
	if err != nil {
		return nil, "", err
	}
	used = make(map[string]bool)
	for _, r := range runs {
		if r.State == Partial || slices.Contains(but, r.ID) {
			continue // a partial one takes no tree over before it has its name, and finds out what is there when it goes on
		}
		if r.Manifest != nil {
			use(used, r.Manifest)
		}
		ok := v.useLinked(used, r.ID)
		if r.State == Unsupported || !ok && r.Manifest == nil {
			unknown = r.ID // a newer format may have more trees than the link tells
		}
	}
	return used, unknown, v.useAside(used)
}

// useAside adds the trees of entries that were set aside: each may be a good run.
func (v *Volume) useAside(used map[string]bool) error {
	names, err := v.aside()
	for _, name := range names {
		v.useLinked(used, name)
		if m, err := v.readManifest(name); err == nil { // else it is no run
			use(used, m)
		}
	}
	return err
}

// use adds the trees of a run.
func use(used map[string]bool, m *Manifest) {
	for _, t := range m.trees() {
		used[t.name] = true
	}
}

// useLinked adds the trees that a run's links lead to. It returns false if it has no link to a file storage: then not
// even that tree is known without the manifest.
func (v *Volume) useLinked(used map[string]bool, run string) bool {
	d, err := v.openRun(run)
	if err != nil {
		return false
	}
	defer d.Close()
	known := false
	for _, link := range treeLinks() {
		if tree, ok := linkedTree(d, link); ok {
			used[tree] = true
			known = known || link == storageName
		}
	}
	return known
}

// linkedTree returns the tree that a run's link leads to.
func linkedTree(run *dirfd.Dir, link string) (string, bool) {
	target, err := run.Readlink(link)
	if err != nil {
		return "", false
	}
	rest, ok := strings.CutPrefix(target, "../../"+treesDir+"/")
	name, isFiles := strings.CutSuffix(rest, "/"+lists.FilesDir)
	return name, ok && isFiles && lists.IsDigest(name)
}
