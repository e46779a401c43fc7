package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/s3"
)

// What a run refers to has to stay locked for the period after the run, also what the bucket has already. So that this
// need not be locked anew with each run, locks are half a period longer, and are renewed once less than the period is
// left. To know that takes no request for each blob: a tree's SHA256SUMS is locked last, and no longer than the first of
// the tree's blobs is.

// newLock is the lock of what is sent at a time.
func newLock(o *ObjectLock, now time.Time) *s3.Lock {
	until := now.Add(o.For + o.spare() + time.Second) // a second that cutting may take
	return &s3.Lock{Compliance: o.Compliance, Until: until.UTC().Truncate(time.Second)}
}

// spare is how much longer than asked for objects are locked.
func (o *ObjectLock) spare() time.Duration { return o.For / 2 } //nolint:mnd // half

// locks is what a copier knows of locks.
type locks struct {
	blobs   blobSet // that were locked by this call
	mu      sync.Mutex
	refused error // why the object store extends none
	left    int64 // objects whose locks were not extended
}

// lasts reports whether a lock is good for as long as a new one has to be.
func (c *copier) lasts(lock *s3.Lock) bool {
	return c.holds(lock, c.lock.Until.Add(-c.opts.Lock.spare()))
}

// holds reports whether a lock holds until a time, and against as many as a new one does.
func (c *copier) holds(lock *s3.Lock, until time.Time) bool {
	return lock != nil && (lock.Compliance || !c.lock.Compliance) && !lock.Until.Before(until)
}

// base is an earlier tree of the volume whose blobs are locked for long enough. Nil is none.
type base struct {
	until  time.Time
	listed *lists.Reader
	seeker *lists.Seeker
}

func (b *base) close() {
	if b != nil {
		_ = b.listed.Close() // it was only read
	}
}

// covers reports whether a file is one of the tree's. Files are asked for in the order of the lists.
func (b *base) covers(e *lists.Entry) bool {
	if b == nil {
		return false
	}
	was, err := b.seeker.Find(e.Path)
	return err == nil && was != nil && was.SHA256 == e.SHA256
}

// findBase returns the newest earlier tree that the bucket has, if it is locked for long enough.
func (c *copier) findBase(ctx context.Context, t *runTree) (*base, error) {
	if c.lock == nil {
		return nil, nil
	}
	runs, err := c.volume.ownRuns()
	if err != nil {
		return nil, err
	}
	sortRuns(runs)
	const most = 3 // trees that are asked for
	asked := make(map[string]bool)
	for _, run := range slices.Backward(runs) {
		if compareRuns(run, t.run.info) >= 0 || run.Manifest == nil {
			continue
		}
		earlier := run.Manifest.tree(t.listed.link)
		if earlier.name == "" || earlier.name == t.listed.name || asked[earlier.name] {
			continue
		}
		if asked[earlier.name] = true; len(asked) > most {
			break
		}
		lock, err := c.bucket.objects.Retention(ctx, c.bucket.key(earlier.path()+"/"+lists.SumsName))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, bucketError(err)
		}
		if !c.lasts(lock) {
			break
		}
		return c.openBase(earlier, lock.Until), nil
	}
	return nil, nil
}

// openBase returns nil for a tree that cannot be read: then each blob is locked anew.
func (c *copier) openBase(earlier storedTree, until time.Time) *base {
	tree, err := c.volume.openTree(earlier.name)
	if err != nil {
		return nil
	}
	defer tree.Close()
	if lists.Prove(tree, earlier.digests) != nil {
		return nil
	}
	listed, err := lists.Open(tree, earlier.digests, nil)
	if err != nil {
		return nil
	}
	return &base{until: until, listed: listed, seeker: lists.NewSeeker(listed)}
}

// lastLock is the lock of the SHA256SUMS of a tree: no blob has a shorter one. It is nil if that is not known.
func (c *copier) lastLock(base *base) *s3.Lock {
	if c.lock == nil || c.locks.refused != nil {
		return nil
	}
	lock := *c.lock
	if base != nil && base.until.Before(lock.Until) {
		lock.Until = base.until
	}
	return &lock
}

// errLost says that the bucket does not have an object that it was believed to have.
var errLost = errors.New("the bucket has lost it")

// retainBlob locks a blob that the bucket has, or returns errLost.
func (c *copier) retainBlob(ctx context.Context, s *sending) error {
	if !s.retain {
		return nil
	}
	return c.retain(ctx, blobPath(s.entry.SHA256))
}

// retain locks an object that the bucket has, or returns errLost. An object store that does not let this user do so does not keep a run
// from being copied: a warning says so.
func (c *copier) retain(ctx context.Context, path string) error {
	c.locks.mu.Lock()
	refused := c.locks.refused
	if refused != nil {
		c.locks.left++
	}
	c.locks.mu.Unlock()
	if refused != nil {
		return nil
	}
	err := bucketError(c.bucket.objects.Retain(ctx, c.bucket.key(path), *c.lock))
	if errors.Is(err, fs.ErrNotExist) {
		return errLost
	}
	e, ok := errors.AsType[*BucketError](err)
	if !ok || e.Problem != BucketDenied && e.Problem != BucketIncompatible {
		return err
	}
	if lock, err := c.bucket.objects.Retention(ctx, c.bucket.key(path)); err == nil && c.holds(lock, c.lock.Until) {
		return nil // a lock cannot be shortened
	}
	c.locks.mu.Lock()
	defer c.locks.mu.Unlock()
	c.locks.refused = err
	c.locks.left++
	return nil
}

// tellLocks warns of locks that were not extended.
func (c *copier) tellLocks() {
	if c.locks.refused != nil {
		c.result.Warnings = append(c.result.Warnings, fmt.Sprintf("the locks of %d objects that runs share were not extended: %v", c.locks.left, c.locks.refused))
	}
}

// renew is extend, which leaves nothing noted that it did not do.
func (c *copier) renew(ctx context.Context, t *runTree, dir string) error {
	err := c.extend(ctx, t, dir)
	if err != nil {
		c.blobs, c.locks.blobs = nil, blobSet{} // some of them may not have been locked, or not be there
	}
	return err
}

// extend locks a tree that the bucket has anew, once less than the period is left. It is errLost if something of it is not
// there.
func (c *copier) extend(ctx context.Context, t *runTree, dir string) error {
	if c.lock == nil {
		return nil
	}
	lock, err := c.bucket.objects.Retention(ctx, c.bucket.key(dir+"/"+lists.SumsName))
	if errors.Is(err, fs.ErrNotExist) {
		return errLost
	}
	if err != nil || c.lasts(lock) {
		return bucketError(err)
	}
	if err := c.extendBlobs(ctx, t); err != nil {
		return err
	}
	names := []string{lists.MTREEName, lists.XattrsName, lists.SumsName}
	if xattrs, err := lists.XattrsDigest(t.tree); xattrs == "" || err != nil {
		names = slices.Delete(names, 1, 2)
	}
	for _, name := range names {
		if err := c.retain(ctx, dir+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) extendBlobs(ctx context.Context, t *runTree) error {
	listed, err := lists.Open(t.tree, t.listed.digests, nil)
	if err != nil {
		return t.damagedLists(err)
	}
	defer listed.Close()
	return parallel.Pipeline[string]{
		Workers: c.opts.Workers,
		Batch:   c.bucket.batch(),
		Produce: func(_ context.Context, add func(string, int64) error) error {
			for {
				e, err := listed.Next()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return t.damagedLists(err)
				}
				if e.Kind != lists.File || !c.locks.blobs.add(e.SHA256, 0) {
					continue
				}
				if err := add(blobPath(e.SHA256), 0); err != nil {
					return err
				}
			}
		},
		Worker: func() (func(context.Context, *string) error, func()) {
			return func(ctx context.Context, path *string) error { return c.retain(ctx, *path) }, func() {}
		},
		Collect: func([]string) error { return nil },
	}.Run(ctx)
}
