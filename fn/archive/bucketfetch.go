package archive

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
)

// Fetch copies runs of the bucket onto a volume, where each becomes a run like any other, with its sequence. A run that
// the volume has already is proven to be the same and left alone. Holder is as in WriteOptions. Errors are also
// IntegrityError, LockedError and NoSpaceError.
func (b *Bucket) Fetch(ctx context.Context, v *Volume, opts CopyOptions, holder string) (CopyResult, error) {
	var result CopyResult
	if opts.Workers <= 0 {
		opts.Workers = bucketWorkers
	}
	lock, err := v.lock(holder)
	if err != nil {
		return result, explainFull(v.root, err)
	}
	defer lock.release()
	if lock.warning != "" {
		result.Warnings = append(result.Warnings, lock.warning)
	}
	for _, id := range opts.Runs {
		f := &fetcher{bucket: b, opts: opts, result: &result}
		if err := f.run(ctx, v, id); err != nil {
			return result, fmt.Errorf("cannot copy run %q from bucket %q: %w", id, b, explainFull(v.root, err))
		}
	}
	return result, nil
}

// fetcher brings one run onto a volume. The steps that are those of Write are a writer's.
type fetcher struct {
	bucket *Bucket
	source *Run // in the bucket
	opts   CopyOptions
	w      *writer
	mu     sync.Mutex
	result *CopyResult
}

func (f *fetcher) run(ctx context.Context, v *Volume, id string) (err error) {
	if f.source, err = f.bucket.OpenRun(ctx, id); err != nil {
		return err
	}
	if there, err := f.isThere(ctx, v); there || err != nil {
		return err
	}
	f.w = &writer{
		volume:   v,
		opts:     WriteOptions{Run: id, Workers: f.opts.Workers},
		manifest: *f.source.info.Manifest,
		digest:   f.source.info.ManifestSHA256,
		progress: &progress.Meter{Report: f.opts.Progress},
	}
	// A tree that has the name was found wanting, unless it is shared.
	f.w.storage = &treeWriter{writer: f.w, link: storageName, rebuild: true}
	f.w.databases = &treeWriter{writer: f.w, link: databasesName, rebuild: true}
	f.w.manifest.Warnings = nil
	defer func() { err = errors.Join(err, f.w.close()) }()
	if err := f.w.open(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{f.w.listEarlier, f.w.removeLeftovers, f.fetchTrees, f.fetchObjects, f.w.commit} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	f.result.Runs = append(f.result.Runs, id)
	f.result.Warnings = append(f.result.Warnings, f.w.manifest.Warnings...)
	return nil
}

// isThere reports whether the volume has the run, which must be the same and intact then.
func (f *fetcher) isThere(ctx context.Context, v *Volume) (bool, error) {
	info := f.source.info
	_, err := v.find(ctx, info.ID)
	if errors.Is(err, ErrRunNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	report, err := v.Verify(ctx, info.ID, VerifyOptions{ManifestSHA256: info.ManifestSHA256, Progress: f.opts.Progress})
	if err != nil {
		return false, err
	}
	return true, report.Err()
}

// fetchObjects writes the directory of the run, its manifest last.
func (f *fetcher) fetchObjects(ctx context.Context) error {
	if err := f.w.runs.RemoveAll(ctx, f.w.partial()); err != nil {
		return err
	}
	run, err := f.w.runs.Ensure(f.w.partial())
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
	list, err := f.source.objectSums(ctx)
	if err != nil {
		return f.source.unread(err, Problem{Path: f.source.info.path(lists.SumsName), Kind: Malformed})
	}
	room := f.source.objectRoom()
	sums := lists.Sum{Path: lists.SumsName, SHA256: f.source.info.Manifest.Digests.Objects}
	manifest := lists.Sum{Path: manifestName, SHA256: f.source.info.ManifestSHA256}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(f.opts.Workers)
	for _, s := range list {
		g.Go(func() error { return f.fetchSmall(gctx, run, s, room) })
	}
	g.Go(func() error { return f.fetchSmall(gctx, run, sums, newObjectRoom(maxUnknownSize)) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := f.fetchSmall(ctx, run, manifest, newObjectRoom(maxUnknownSize)); err != nil {
		return err
	}
	return f.w.linkTrees(run)
}

// fetchSmall brings a file into the directory of the run.
func (f *fetcher) fetchSmall(ctx context.Context, run *dirfd.Dir, s lists.Sum, room *objectRoom) error {
	info := f.source.info
	data, err := room.read(f.bucket.folder(ctx, runsDir+"/"+info.ID), s.Path)
	if err != nil {
		return f.source.unread(err, Problem{Path: info.path(s.Path), Kind: Missing})
	}
	if got := dirfd.DigestOf(data); got != s.SHA256 {
		return f.source.damaged(digestProblem(info.path(s.Path), got, s.SHA256))
	}
	dirs := &dirfd.Stack{Root: run}
	defer dirs.Close()
	parent, name, err := dirs.Parent(s.Path)
	if err != nil {
		return err
	}
	f.count(int64(len(data)))
	return parent.WriteFile(name, data, f.w.fsync)
}

func (f *fetcher) count(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result.Files++
	f.result.Bytes += size
}
