package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/s3"
)

// Copy copies runs of a volume into the bucket. What the bucket has is not sent again, so that a copy that was
// interrupted goes on. A run is there once its manifest is, which is sent last. A run that cannot be read, or is not
// what its lists say, is an IntegrityError, and is not copied. Errors are also ErrRunNotFound, ErrOwned, ErrTakenOver,
// BucketError and ctx's; the result is valid with an error, too.
//
// A run that is not copied for such a reason does not keep the others from being copied.
func (b *Bucket) Copy(ctx context.Context, v *Volume, opts CopyOptions) (CopyResult, error) {
	c := &copier{bucket: b, volume: v, opts: opts, progress: &progress.Meter{Report: opts.Progress}}
	if c.opts.Workers <= 0 {
		c.opts.Workers = bucketWorkers
	}
	if opts.Lock != nil {
		c.lock = newLock(opts.Lock, time.Now())
	}
	c.owned = begin(func() error { return c.own(ctx) }) // while the first run is looked for
	c.taken = sync.OnceValue(func() error { return b.takeOver(ctx) })
	var err error
	var failed []error
	for _, id := range opts.Runs {
		if err != nil {
			break
		}
		if runErr := c.run(ctx, id); runErr != nil {
			runErr = fmt.Errorf("cannot copy run %q to bucket %q: %w", id, b, runErr)
			if !isOfRun(runErr) {
				err = runErr
				break
			}
			failed = append(failed, runErr)
		}
	}
	if err = cmp.Or(c.owned(), err); err == nil {
		c.abandonUploads(ctx)
	}
	c.tellLocks()
	c.result.Files, c.result.Bytes = c.files.Load(), c.bytes.Load()
	return c.result, errors.Join(append(failed, err)...)
}

// isOfRun reports whether an error concerns one run, and not the volume or the bucket.
func isOfRun(err error) bool {
	_, damaged := errors.AsType[*IntegrityError](err)
	_, newer := errors.AsType[*VersionError](err)
	return damaged || newer || errors.Is(err, ErrRunNotFound)
}

// copier is one call of Copy.
type copier struct {
	bucket   *Bucket
	volume   *Volume
	opts     CopyOptions
	lock     *s3.Lock     // of what is sent; nil: none
	owned    func() error // waits for own; nothing is sent before it
	taken    func() error // takeOver, likewise
	writes   bool         // taken was asked, and has succeeded
	progress *progress.Meter
	blobs    *blobSet // that the bucket has; nil: not known
	locks    locks
	files    atomic.Int64
	bytes    atomic.Int64
	result   CopyResult
}

// begin begins something, and returns what waits for its end.
func begin(do func() error) (wait func() error) {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = do()
	}()
	return func() error {
		<-done
		return err
	}
}

// own makes sure that the bucket holds the runs of this volume and of no other. Of two volumes one writes nothing.
func (c *copier) own(ctx context.Context) error {
	const limit = 1 << 10
	b, owner := c.bucket, c.opts.Owner
	if owner == "" || len(owner) > limit || strings.ContainsFunc(owner, isControl) {
		return &UsageError{Err: fmt.Errorf("cannot copy to bucket %q: owner %q is not a line of at most %d bytes", b, owner, limit)}
	}
	is, err := b.read(ctx, ownerName, limit+1)
	if errors.Is(err, fs.ErrNotExist) {
		err = bucketError(b.objects.Create(ctx, b.key(ownerName), []byte(owner+"\n"), nil))
		is = []byte(owner)
		if errors.Is(err, fs.ErrExist) { // somebody was faster
			is, err = b.read(ctx, ownerName, limit+1)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot copy to bucket %q: %w", b, err)
	}
	if got := strings.TrimSuffix(string(is), "\n"); got != owner {
		return fmt.Errorf("bucket %q %w: its OWNER is %q, and this one is %q; give each volume a prefix of its own", b, ErrOwned, got, owner)
	}
	b.writer = "" // of an earlier call
	return nil
}

// run copies a run unless the bucket has it.
func (c *copier) run(ctx context.Context, id string) error {
	r, err := c.volume.OpenRun(ctx, id)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.info.State != Complete {
		return &UsageError{Err: errors.New("what APIManagerBackup wrote has no digests to copy it by")}
	}
	there, tree, err := c.look(ctx, r)
	if err := c.owned(); err != nil {
		return err
	}
	if err != nil || there && !c.opts.Mend {
		return err
	}
	if err := c.taken(); err != nil {
		return err
	}
	c.writes = true
	err = c.send(ctx, r, there, tree)
	if (errors.Is(err, unix.ESTALE) || err != nil && !notLooked(err)) && !c.volume.isThere(ctx, r.info) {
		return fmt.Errorf("it was removed: %w", ErrRunNotFound)
	}
	if err == nil && !there {
		c.result.Runs = append(c.result.Runs, id)
	}
	return err
}

// presence is whether the bucket has something.
type presence int

const (
	unknown presence = iota
	absent
	present
)

// look finds out at once whether the bucket has a run and its file storage. Before this is the writer, somebody else may be
// removing the tree that it has; one that it does not have is sent, whatever others do.
func (c *copier) look(ctx context.Context, r *Run) (there bool, tree presence, err error) {
	var has bool
	treeCtx, cancel := context.WithCancel(ctx)
	looked := begin(func() (err error) {
		has, err = c.hasTree(treeCtx, &r.runTree)
		return err
	})
	there, err = c.hasRun(ctx, r)
	if there || err != nil {
		cancel()
	}
	treeErr := looked()
	cancel()
	switch {
	case there || err != nil || treeErr != nil: // what is wrong comes again if it matters
	case !has:
		tree = absent
	case c.writes:
		tree = present
	}
	return there, tree, err
}

// hasRun reports whether the bucket has the run. It must not have another one of that name.
func (c *copier) hasRun(ctx context.Context, r *Run) (bool, error) {
	data, err := c.bucket.read(ctx, manifestPath(r.info.ID), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if got := dirfd.DigestOf(data); got != r.info.ManifestSHA256 {
		p := digestProblem(r.info.path(manifestName), r.info.ManifestSHA256, got)
		return false, fmt.Errorf("bucket has another run of that name, whose manifest.json has the digest sha256:%s: %w", got, r.damaged(p))
	}
	return true, nil
}

// send sends all of a run, the manifest last: it says that the rest is there.
func (c *copier) send(ctx context.Context, r *Run, there bool, tree presence) error {
	manifest, err := c.volume.root.ReadFile(manifestPath(r.info.ID), maxManifest)
	if err != nil {
		return err
	}
	if got := dirfd.DigestOf(manifest); got != r.info.ManifestSHA256 {
		return r.damaged(digestProblem(r.info.path(manifestName), got, r.info.ManifestSHA256))
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.sendTrees(gctx, r, tree) })
	g.Go(func() error { return c.sendObjects(gctx, r) })
	if err := g.Wait(); err != nil {
		return err
	}
	if there {
		return nil
	}
	err = bucketError(c.bucket.objects.Create(c.bucket.guarded(ctx), c.bucket.key(manifestPath(r.info.ID)), manifest, c.lock))
	if errors.Is(err, fs.ErrExist) {
		_, err = c.hasRun(ctx, r)
		return err
	}
	c.count(err, int64(len(manifest)))
	return err
}

// count counts what was sent.
func (c *copier) count(err error, size int64) {
	if err == nil {
		c.files.Add(1)
		c.bytes.Add(size)
	}
}

// sendObjects sends the objects of a run, and its list after them. There are few, and they are named by what they are
// of, so that a name does not tell whether the bucket has them.
func (c *copier) sendObjects(ctx context.Context, r *Run) error {
	list, err := r.objectSums(ctx)
	if err != nil {
		return r.unread(err, Problem{Path: r.info.path(lists.SumsName), Kind: Malformed})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.opts.Workers)
	for _, s := range list {
		g.Go(func() error { return c.sendSmall(gctx, r, s) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.sendSmall(ctx, r, lists.Sum{Path: lists.SumsName, SHA256: r.info.Manifest.Digests.Objects})
}

// sendSmall sends a file in the directory of the run.
func (c *copier) sendSmall(ctx context.Context, r *Run, s lists.Sum) error {
	at := runsDir + "/" + r.info.ID + "/" + s.Path
	data, err := c.volume.root.ReadFile(at, maxUnknownSize)
	if err != nil {
		return r.unread(err, Problem{Path: r.info.path(s.Path), Kind: Missing})
	}
	if got := dirfd.DigestOf(data); got != s.SHA256 {
		return r.damaged(digestProblem(r.info.path(s.Path), got, s.SHA256))
	}
	err = bucketError(c.bucket.objects.Put(ctx, c.bucket.key(at), bytes.NewReader(data), int64(len(data)), s.SHA256, c.lock))
	c.count(err, int64(len(data)))
	return err
}

// sendTrees sends one tree of a run after the other: a blob may be of both.
func (c *copier) sendTrees(ctx context.Context, r *Run, storage presence) (err error) {
	if r.isListed() {
		err = c.sendTree(ctx, &r.runTree, storage)
	}
	if err != nil || r.Dumps() == nil {
		return err
	}
	dumps, err := r.openDatabases()
	if err != nil {
		return err
	}
	return errors.Join(c.sendTree(ctx, dumps, unknown), dumps.close())
}

// sendTree sends a tree unless the bucket has it. Its SHA256SUMS comes last, so that the bucket has all blobs of a tree
// whose SHA256SUMS it has. Its MTREE comes first: Remove finds by it what an interrupted copy left.
func (c *copier) sendTree(ctx context.Context, t *runTree, tree presence) error {
	dir := t.listed.path()
	if tree == unknown {
		has, err := c.hasTree(ctx, t)
		if err != nil {
			return err
		}
		if has {
			tree = present
		}
	}
	if tree == present && !c.opts.Mend {
		if err := c.renew(ctx, t, dir); !errors.Is(err, errLost) {
			return err
		}
	}
	digests := t.listed.digests
	var base *base
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.sendList(gctx, t, dir, lists.MTREEName, digests.MTREE, c.lock) })
	g.Go(func() error { return c.listBlobs(gctx, t.listed.totals.Files) })
	g.Go(func() (err error) {
		base, err = c.findBase(gctx, t)
		return err
	})
	err := g.Wait()
	defer func() { base.close() }()
	if err != nil {
		return err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() error { return c.sendXattrs(gctx, t, dir) })
	g.Go(func() error { return c.sendBlobs(gctx, t, base) })
	if err := g.Wait(); err != nil {
		c.blobs, c.locks.blobs = nil, blobSet{} // some of them may not have been sent
		return err
	}
	return c.sendList(c.bucket.guarded(ctx), t, dir, lists.SumsName, digests.Files, c.lastLock(base))
}

// sendXattrs sends the list of extended attributes of a tree that has one.
func (c *copier) sendXattrs(ctx context.Context, t *runTree, dir string) error {
	digest, err := lists.XattrsDigest(t.tree)
	if err != nil {
		return t.damagedLists(err)
	}
	if digest == "" {
		return nil
	}
	return c.sendList(ctx, t, dir, lists.XattrsName, digest, c.lock)
}

// sendList sends a list of a tree.
func (c *copier) sendList(ctx context.Context, t *runTree, dir, name, digest string, lock *s3.Lock) error {
	f, err := t.tree.Open(name)
	if err != nil {
		return t.damagedLists(err)
	}
	defer f.Close()
	err = c.sendFile(ctx, dir+"/"+name, f, digest, lock)
	if isFileError(err) {
		err = t.damagedLists(fmt.Errorf("%s: %w", name, err))
	}
	return err
}

// hasTree reports whether the bucket has a tree, by the last of its objects. A list tells that by one
// request, also of what is not there.
func (c *copier) hasTree(ctx context.Context, t *runTree) (bool, error) {
	if !t.isListed() {
		return false, nil
	}
	sums, err := t.tree.Open(lists.SumsName)
	if err != nil {
		return false, t.damagedLists(err)
	}
	defer sums.Close()
	info, err := sums.Stat()
	if err != nil {
		return false, t.damagedLists(err)
	}
	last, has := t.listed.path()+"/"+lists.SumsName, false
	err = c.bucket.list(ctx, last, true, func(path string, o s3.Object) error {
		has = has || path == last && o.Size == info.Size()
		return nil
	})
	return has, err
}

// isFileError reports whether an error says that a file of the volume is not what it should be.
func isFileError(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	return !notLooked(err) && (path || errors.Is(err, s3.ErrDigest) || errors.Is(err, unix.EIO))
}

// sendFile sends an open file.
func (c *copier) sendFile(ctx context.Context, at string, f *os.File, digest string, lock *s3.Lock) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = bucketError(c.bucket.objects.Put(ctx, c.bucket.key(at), f, info.Size(), digest, lock))
	c.count(err, info.Size())
	return err
}
