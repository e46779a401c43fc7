package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// write is Write under the lock. In this order of the steps, it is safe to stop after each.
func (w *writer) write(ctx context.Context) (result *Result, err error) {
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(); err != nil {
		return nil, err
	}
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	if done, err := w.alreadyComplete(ctx); done != nil || err != nil {
		return done, err
	}
	steps := []func(context.Context) error{
		w.findInterrupted,
		w.listEarlier,
		w.removeLeftovers,
		w.removeScratch,
		w.each((*treeWriter).scan),
		w.each((*treeWriter).findPrevious),
		w.each((*treeWriter).store),
		w.each((*treeWriter).storeStamps),
		w.storeObjects,
		w.storeManifest,
		w.commit,
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &Result{Manifest: &w.manifest, ManifestSHA256: w.digest, TreeShared: w.storage.shared}, nil
}

// listEarlier reads the manifests of all runs of the volume. There may be very many, so each step looks at this list.
func (w *writer) listEarlier(context.Context) (err error) {
	w.earlier, err = w.volume.ownRuns()
	sortRuns(w.earlier)
	return err
}

// both returns the writers of the run's trees.
func (w *writer) both() [2]*treeWriter { return [...]*treeWriter{w.storage, w.databases} }

// each is a step for each of the trees.
func (w *writer) each(step func(*treeWriter, context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, t := range w.both() {
			if err := step(t, ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// alreadyComplete verifies the run if it is on the volume, else it returns nil.
func (w *writer) alreadyComplete(ctx context.Context) (*Result, error) {
	if kind, err := w.runs.Kind(w.opts.Run); kind == 0 || err != nil {
		return nil, err
	}
	info, err := w.volume.find(ctx, w.opts.Run)
	if errors.Is(err, ErrRunNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	report, err := w.volume.Verify(ctx, w.opts.Run, VerifyOptions{Workers: w.opts.Workers, Progress: w.opts.Progress})
	if err != nil {
		return nil, err
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	if err := errors.Join(w.volume.pointLatest(""), removeNewStamps(w.trees)); err != nil {
		return nil, err
	}
	return &Result{Manifest: info.Manifest, ManifestSHA256: info.ManifestSHA256, AlreadyComplete: true}, nil
}

// open opens the directories of runs and trees, and warns if other entries have the names of the operator's view.
func (w *writer) open() (err error) {
	if w.fsync, err = isFUSE(w.volume.root); err != nil {
		return err
	}
	if w.runs, err = w.volume.root.Ensure(runsDir); err != nil {
		return err
	}
	if w.trees, err = w.volume.root.Ensure(treesDir); err != nil {
		return err
	}
	foreign, err := w.volume.foreignNames()
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		w.warn(fmt.Sprintf("%s at the root of the volume is not ours and stays: APIManagerRestore cannot read this run", strings.Join(foreign, ", ")))
	}
	return nil
}

func (w *writer) close() error {
	err := errors.Join(w.runs.Close(), w.trees.Close())
	for _, t := range w.both() {
		err = errors.Join(err, t.close())
	}
	return err
}

// warn adds a warning to the manifest, while there is room in it. Both trees may have the same one.
func (w *writer) warn(message string) {
	if message == "" || slices.Contains(w.manifest.Warnings, message) {
		return
	}
	w.warned += len(message)
	if len(w.manifest.Warnings) < walk.MaxListed && w.warned < walk.MaxListedBytes {
		w.manifest.Warnings = append(w.manifest.Warnings, message)
		return
	}
	const more = "there are more warnings than are listed here"
	if last := len(w.manifest.Warnings) - 1; last < 0 || w.manifest.Warnings[last] != more {
		w.manifest.Warnings = append(w.manifest.Warnings, more)
	}
}

func (w *writer) partial() string { return partialPrefix + w.opts.Run }

// storeObjects writes all of the partial run but its manifest.
func (w *writer) storeObjects(ctx context.Context) error {
	if err := w.runs.RemoveAll(ctx, w.partial()); err != nil {
		return err
	}
	run, err := w.runs.Ensure(w.partial())
	if err != nil {
		return err
	}
	defer run.Close()
	for _, name := range objectDirs() {
		d, err := run.Ensure(name)
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	dirs := &dirfd.Stack{Root: run}
	defer dirs.Close()
	var list []byte
	for _, o := range w.objects {
		data, err := w.sealer.Seal(o.Data)
		if err != nil {
			return fmt.Errorf("cannot encrypt object %q: %w", o.Path, err)
		}
		path := storedPath(o, w.sealer)
		parent, name, err := dirs.Parent(path)
		if err != nil {
			return err
		}
		if err := parent.WriteFile(name, data, w.fsync); err != nil {
			return err
		}
		list = lists.AppendSum(list, lists.Sum{SHA256: dirfd.DigestOf(data), Path: path})
		w.manifest.Totals.Objects++
		w.manifest.Totals.ObjectBytes += int64(len(o.Data))
	}
	w.manifest.Digests.Objects = dirfd.DigestOf(list)
	if err := run.WriteFile(lists.SumsName, list, w.fsync); err != nil {
		return err
	}
	return w.linkTrees(run)
}

// linkTrees makes the run's links to its trees, and finds out whether the volume can hold symlinks.
func (w *writer) linkTrees(run *dirfd.Dir) error {
	for _, link := range treeLinks() {
		name := w.manifest.tree(link).name
		err := run.Symlink(filesTarget(name), link)
		if dirfd.Unsupported(err) {
			w.warn("volume cannot hold symlinks: the file LATEST names the newest run, and APIManagerRestore cannot read the volume")
			w.manifest.LinksOmitted = true
			return nil
		}
		if err == nil && name == "" {
			err = run.Remove(link)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// filesTarget is the target of a run's link to the files of its tree.
func filesTarget(tree string) string {
	return "../../" + treesDir + "/" + tree + "/" + lists.FilesDir
}

// storeManifest writes the manifest, and with it completes the partial run.
func (w *writer) storeManifest(ctx context.Context) error {
	if err := w.listEarlier(ctx); err != nil { // again: where there are no locks, another writer may have been faster
		return err
	}
	w.manifest.Sequence = nextSequence(w.earlier)
	w.warn(w.lost.Warning("extended attributes of %d files and directories are not kept: %s"))
	w.warn(clockWarning(w.earlier, w.opts.Run, w.manifest.StartTime))
	w.manifest.CompletionTime = w.opts.Now().UTC()
	data, err := encodeManifest(&w.manifest)
	if err != nil {
		return err
	}
	w.digest = dirfd.DigestOf(data)
	run, err := w.runs.Sub(w.partial())
	if err != nil {
		return err
	}
	return errors.Join(run.WriteFile(manifestName, data, w.fsync), run.Close())
}
