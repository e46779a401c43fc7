package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
)

// RemoveResult says what was removed.
type RemoveResult struct {
	Runs       []string  // of a volume: those that are gone, in the order in which they were given
	Kept       []KeptRun // likewise those that are not
	Trees      []string  // trees that no run referred to any more, sorted
	FreedBytes int64     // of the runs' and the trees' files that nothing else on the volume shares
	Warnings   []string
}

// RemoveOptions says how to remove.
type RemoveOptions struct {
	Holder string                      // as in WriteOptions
	Before func(context.Context) error // asked before each run; an error keeps that run and the ones after it; may be nil
}

// KeptRun is a run that was to be removed, and was not.
type KeptRun struct {
	Run string
	Err error // ErrRunNotFound, InUseError, or of a call
}

// Err returns why runs were not removed; nil if all were.
func (r *RemoveResult) Err() error {
	errs := make([]error, 0, len(r.Kept))
	for _, kept := range r.Kept {
		errs = append(errs, kept.Err)
	}
	return errors.Join(errs...)
}

// Remove removes runs, none of which may be Latest or UnverifiedRun, and the trees that no other run refers to. While
// the volume holds a run whose tree cannot be told, all trees stay. A run that is being read stays too. Nothing else in
// this package removes a complete run. What an interrupted call left is removed by the next, of any run. To find out what
// the others refer to it looks at all runs, once a call.
//
// Errors that callers may tell apart: UsageError and LockedError. With an error and a result, the runs of the result are
// gone, and not all that they held. Runs of which the result tells nothing were not tried.
func (v *Volume) Remove(ctx context.Context, runs []string, opts RemoveOptions) (*RemoveResult, error) {
	for _, run := range runs {
		if err := validRunID(run); err != nil {
			return nil, &UsageError{Err: fmt.Errorf("cannot remove run %q: %w", run, err)}
		}
	}
	lock, err := v.lock(opts.Holder)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	dir, err := v.root.Ensure(runsDir)
	if err != nil {
		return nil, fmt.Errorf("cannot remove runs: %w", err)
	}
	defer dir.Close()
	result := &RemoveResult{}
	if lock.warning != "" {
		result.Warnings = append(result.Warnings, lock.warning)
	}
	for _, run := range runs {
		if opts.Before != nil && opts.Before(ctx) != nil {
			break
		}
		if err := v.hide(ctx, dir, run); err != nil {
			result.Kept = append(result.Kept, KeptRun{run, fmt.Errorf("cannot remove run %q: %w", run, err)})
		} else {
			result.Runs = append(result.Runs, run)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(result.Runs) == 0 {
		return result, nil
	}
	if err := v.clear(ctx, dir, result); err != nil {
		return result, fmt.Errorf("cannot remove all of runs that are gone, such as %q: %w", result.Runs[0], err)
	}
	return result, nil
}

// hide moves the links at the root away from a run that nobody reads, and hides the run. From then on nobody can begin
// to read it, so the lock is released before its file is removed: NFS would keep the file as long as it is open.
func (v *Volume) hide(ctx context.Context, runs *dirfd.Dir, run string) error {
	if _, err := v.find(ctx, run); err != nil {
		return err
	}
	hidden := removedPrefix + run
	if err := runs.RemoveAll(ctx, hidden); err != nil {
		return err
	}
	reserved, err := v.reserve(run)
	if err != nil {
		return err
	}
	defer reserved.release() //nolint:errcheck // nothing was written to it
	if v.pointer() == run {
		if err := v.pointLatest(run); err != nil {
			return err
		}
	}
	return runs.Rename(run, runs, hidden)
}

// clear removes what is no longer in use once runs are durably hidden.
func (v *Volume) clear(ctx context.Context, runs *dirfd.Dir, result *RemoveResult) error {
	if err := runs.Sync(); err != nil {
		return err
	}
	if err := v.removeUnused(ctx, result); err != nil {
		return err
	}
	hidden := make([]string, 0, len(result.Runs))
	for _, run := range result.Runs {
		hidden = append(hidden, removedPrefix+run)
	}
	bytes, err := soleBytes(ctx, runs, hidden)
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
	runs, err := v.ownRuns()
	if err != nil {
		return err
	}
	unused, unknown, err := v.unusedTrees(runs, nil)
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

// usedTrees returns the trees that runs refer to.
func (v *Volume) usedTrees() (used map[string]bool, unknown string, err error) {
	runs, err := v.ownRuns()
	if err != nil {
		return nil, "", err
	}
	return v.usedTreesOf(runs, nil)
}

// usedTreesOf returns the trees that the runs of the volume refer to, but for some. If there are runs whose tree is not
// known, it returns one of them.
func (v *Volume) usedTreesOf(runs []RunInfo, but map[string]bool) (used map[string]bool, unknown string, err error) {
	used = make(map[string]bool)
	for _, r := range runs {
		if r.State == Partial || but[r.ID] {
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
