package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/tree"
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
		w.removeLeftovers,
		w.scanFiles,
		w.findPrevious,
		w.storeFiles,
		w.storeStamps,
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
	return &Result{Manifest: &w.manifest, ManifestSHA256: w.digest, TreeShared: w.shared}, nil
}

// alreadyComplete verifies the run if it is on the volume, else it returns nil.
func (w *writer) alreadyComplete(ctx context.Context) (*Result, error) {
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
	if err := errors.Join(w.volume.pointLatest(""), w.trees.Remove(newStampsName)); err != nil {
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
	err := errors.Join(w.runs.Close(), w.trees.Close(), w.source.Close())
	if w.previous != nil {
		err = errors.Join(err, w.previous.Dir.Close())
	}
	return err
}

// warn adds a warning to the manifest, while there is room in it.
func (w *writer) warn(message string) {
	if message == "" {
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

func (w *writer) scanFiles(ctx context.Context) error {
	if w.opts.Files == "" {
		return nil
	}
	var err error
	if w.source, err = dirfd.Open(w.opts.Files); err != nil {
		return &UnreadableError{Entries: []walk.Unreadable{{Path: ".", Err: err}}}
	}
	w.progress.Begin(progress.Scan, 0, 0)
	if w.stamper, err = walk.NewStamper(w.source, w.opts.Now()); err != nil {
		return err
	}
	w.scanned, err = walk.Scan(ctx, w.source, walk.Options{
		Workers:  w.opts.Workers,
		Source:   true,
		Stamps:   w.stamper,
		Keep:     w.keep(),
		Outside:  w.volume.root,
		Progress: w.progress.Add,
	})
	if errors.Is(err, walk.ErrInside) {
		return &UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	if len(w.scanned.Unreadable) > 0 {
		return &UnreadableError{Entries: w.scanned.Unreadable}
	}
	for _, e := range w.scanned.Skipped {
		w.manifest.Skipped = append(w.manifest.Skipped, SkippedEntry(e))
	}
	w.manifest.SkippedCount = w.scanned.SkippedCount
	w.lost.Merge(w.scanned.Lost)
	return nil
}

// keep says which extended attributes are kept. The list of them is not encrypted, so an encrypted run has none of the
// values that users chose.
func (w *writer) keep() walk.Attributes {
	if w.sealer != nil {
		return walk.AccessLists
	}
	return walk.AllAttributes
}

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
	return w.linkFiles(run)
}

// linkFiles makes the run's link to its tree, and finds out whether the volume can hold symlinks.
func (w *writer) linkFiles(run *dirfd.Dir) error {
	target := filesTarget(w.manifest.Tree)
	err := run.Symlink(target, storageName)
	if dirfd.Unsupported(err) {
		w.warn("volume cannot hold symlinks: the file LATEST names the newest run, and APIManagerRestore cannot read the volume")
		w.manifest.LinksOmitted = true
		return nil
	}
	if err != nil || w.manifest.Tree != "" {
		return err
	}
	return run.Remove(storageName)
}

// filesTarget is the target of a run's link to the files of its tree.
func filesTarget(tree string) string {
	return "../../" + treesDir + "/" + tree + "/" + lists.FilesDir
}

// storeManifest writes the manifest, and with it completes the partial run.
func (w *writer) storeManifest(context.Context) error {
	earlier, err := w.volume.ownRuns()
	if err != nil {
		return err
	}
	sortRuns(earlier)
	w.manifest.Sequence = nextSequence(earlier)
	w.warn(w.lost.Warning("extended attributes of %d files and directories are not kept: %s"))
	w.warn(clockWarning(earlier, w.opts.Run, w.manifest.StartTime))
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

// storeFiles stores the file storage, or takes over the tree that has it already.
func (w *writer) storeFiles(ctx context.Context) error {
	if w.scanned == nil || w.shared {
		return errors.Join(w.trees.RemoveAll(ctx, w.partial()), w.checkSpace(nil))
	}
	into, err := w.trees.Ensure(w.partial())
	if err != nil {
		return err
	}
	defer into.Close()
	opts := w.treeOptions(w.previous)
	opts.Into, opts.Stamps = into, w.newStamps()
	return w.build(ctx, opts)
}

// treeOptions says how the tree is built, and compared with a previous one.
func (w *writer) treeOptions(previous *tree.Previous) tree.Options {
	return tree.Options{
		Source:   w.source,
		Entries:  w.scanned.List,
		Previous: previous,
		Sealer:   w.sealer,
		Stamper:  w.stamper,
		Keep:     w.keep(),
		Workers:  w.opts.Workers,
		Fsync:    w.fsync,
		Warn:     w.warn,
		Progress: w.progress,
	}
}

// build builds the tree and puts the result into the manifest.
func (w *writer) build(ctx context.Context, opts tree.Options) (err error) {
	b, err := tree.Resume(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if w.opts.ProveLinks {
		if _, err := tree.Prove(ctx, opts); err != nil {
			return err
		}
	}
	if err := w.checkSpace(b.Entries); err != nil {
		return err
	}
	result, err := b.Build(ctx)
	if err != nil {
		return err
	}
	if len(result.Unreadable) > 0 {
		return &UnreadableError{Entries: result.Unreadable}
	}
	w.setTree(result.Digests, result.Stored)
	w.lost.Merge(result.Lost)
	w.manifest.Totals.LinkedFiles, w.manifest.Totals.LinkedBytes = result.Linked.Files, result.Linked.Bytes
	w.manifest.LinksOmitted = result.LinksOmitted
	if w.opts.ProveLinks {
		w.intact, err = w.isIntact(ctx)
	}
	return err
}

// isIntact reports whether there already is an intact tree with the name of the new one, older than the previous tree.
// Somebody may be reading it, so it is not replaced without need.
func (w *writer) isIntact(ctx context.Context) (bool, error) {
	name := w.manifest.Tree
	if w.previous != nil && w.previous.Name == name {
		return false, nil // it was found wanting, else it would be shared
	}
	if kind, err := w.trees.Kind(name); kind == 0 || err != nil {
		return false, err
	}
	c := &verifier{
		stored:   w.volume,
		opts:     VerifyOptions{Workers: w.opts.Workers},
		info:     RunInfo{ID: w.opts.Run, Manifest: &w.manifest},
		progress: &progress.Meter{},
		report:   newReport(RunInfo{}, 1),
	}
	err := w.volume.verifyTree(ctx, c)
	return c.report.ProblemCount == 0, err
}
