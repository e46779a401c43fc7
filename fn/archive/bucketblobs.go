package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// sending is a stored file on its way into the bucket.
type sending struct {
	entry  lists.Entry
	has    bool        // the bucket has it
	retain bool        // it is to be locked if the bucket has it
	done   walk.Counts // files that are done with it: it, and those before it that there is nothing to do for
}

// sendBlobs sends the files of a tree that the bucket does not have.
func (c *copier) sendBlobs(ctx context.Context, t *runTree, base *base) error {
	totals := t.listed.totals
	if t.files == nil && totals.Files > 0 {
		return t.run.damaged(Problem{Path: t.listed.path() + "/" + lists.FilesDir, Kind: Missing})
	}
	if t.files == nil {
		return nil
	}
	c.progress.Begin(progress.FileStorage, totals.Files, totals.Bytes)
	var rest walk.Counts
	err := parallel.Pipeline[sending]{
		Workers: c.opts.Workers,
		Batch:   c.bucket.batch(),
		Produce: func(ctx context.Context, add func(sending, int64) error) (err error) {
			rest, err = c.produce(ctx, t, base, add)
			return err
		},
		Worker: func() (func(context.Context, *sending) error, func()) {
			dirs := &dirfd.Stack{Root: t.files}
			return func(ctx context.Context, s *sending) error { return c.sendBlob(ctx, t, dirs, s) }, dirs.Close
		},
		Collect: func(sent []sending) error {
			for i := range sent {
				c.progress.Add(sent[i].done.Files, sent[i].done.Bytes)
			}
			return nil
		},
	}.Run(ctx)
	if err == nil {
		c.progress.Add(rest.Files, rest.Bytes)
	}
	return err
}

// listBlobs finds out which blobs the bucket has, once: a request tells of a thousand. What an interrupted copy sent of
// others is gone on with.
func (c *copier) listBlobs(ctx context.Context, files int64) error {
	if c.blobs != nil {
		return nil
	}
	var blobs *blobSet
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		blobs, err = c.bucket.allBlobs(ctx, files)
		return err
	})
	g.Go(func() error {
		return bucketError(c.bucket.objects.FindUploads(ctx, c.bucket.key(blobsDir+"/"), func(key string) bool {
			_, ours := blobDigest(strings.TrimPrefix(key, c.bucket.prefix))
			return ours
		}))
	})
	err := g.Wait()
	if err == nil {
		c.blobs = blobs
	}
	return err
}

// abandonUploads ends the uploads that nobody goes on with: there is no other writer.
func (c *copier) abandonUploads(ctx context.Context) {
	if err := c.bucket.objects.AbandonUploads(c.bucket.guarded(ctx)); err != nil {
		c.result.Warnings = append(c.result.Warnings, fmt.Sprintf("parts of files that an interrupted copy sent stay in the bucket: %v", err))
	}
}

// allBlobs lists the blobs of the bucket, of which one run has so many. A list has a thousand, and tells only at its end
// where the next one begins; so, if there are more, several are asked for at a time, by the first digits.
func (b *Bucket) allBlobs(ctx context.Context, files int64) (*blobSet, error) {
	const ofList = 1000
	digits := []string{""}
	if files > ofList {
		digits = strings.Split("0123456789abcdef", "")
	}
	var mu sync.Mutex
	blobs := &blobSet{}
	g, ctx := errgroup.WithContext(ctx)
	for _, digit := range digits {
		g.Go(func() error {
			return b.list(ctx, blobsDir+"/"+digit, true, func(path string, o s3.Object) error {
				if digest, ok := blobDigest(path); ok {
					mu.Lock()
					defer mu.Unlock()
					blobs.add(digest, o.Size)
				}
				return nil
			})
		})
	}
	return blobs, g.Wait()
}

// produce hands out the files of a tree that there is something to do for, and returns how many were behind the last of
// them. Files in between would be in the way of those that are sent: they are collected in order. A blob counts as one
// that the bucket has once it is on its way.
func (c *copier) produce(ctx context.Context, t *runTree, base *base, add func(sending, int64) error) (rest walk.Counts, _ error) {
	listed, err := lists.Open(t.tree, t.listed.digests, nil)
	if err != nil {
		return rest, t.damagedLists(err)
	}
	defer listed.Close()
	sizes := &sizer{encrypted: t.run.info.Manifest.Encryption != nil, dirs: &dirfd.Stack{Root: t.files}}
	defer sizes.dirs.Close()
	for {
		e, err := listed.Next()
		if errors.Is(err, io.EOF) {
			return rest, nil
		}
		if err != nil {
			return rest, t.damagedLists(err)
		}
		if err := ctx.Err(); err != nil {
			return rest, err
		}
		if e.Kind != lists.File {
			continue
		}
		rest.Add(&e)
		s := sending{entry: e, has: !c.blobs.add(e.SHA256, sizes.of(&e))}
		if c.lock != nil && !base.covers(&e) && c.locks.blobs.add(e.SHA256, 0) {
			s.retain = s.has // else it is sent with a lock
		}
		if s.has && !s.retain {
			continue
		}
		s.done, rest = rest, walk.Counts{}
		if err := add(s, e.Size); err != nil {
			return rest, err
		}
	}
}

// sizer tells the sizes of stored files.
type sizer struct {
	encrypted bool
	dirs      *dirfd.Stack
}

// of returns the size of a stored file, or -1 if that cannot be told.
func (s *sizer) of(e *lists.Entry) int64 {
	if !s.encrypted {
		return e.Size
	}
	parent, name, err := s.dirs.Parent(e.Path)
	if err != nil {
		return -1
	}
	st, err := dirfd.LstatAt(parent.FD, name)
	if err != nil {
		return -1
	}
	return st.Size
}

// sendBlob sends a file.
func (c *copier) sendBlob(ctx context.Context, t *runTree, dirs *dirfd.Stack, s *sending) error {
	e := &s.entry
	if s.has {
		if err := c.retainBlob(ctx, s); !errors.Is(err, errLost) {
			return err
		}
	}
	unread := func(kind ProblemKind, err error) error {
		return t.run.unread(err, Problem{Path: t.filePath(e.Path), Kind: kind, Want: "sha256:" + e.SHA256})
	}
	parent, name, err := dirs.Parent(e.Path)
	if err != nil {
		return unread(Missing, err)
	}
	f, err := parent.Open(name)
	if err != nil {
		return unread(Missing, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return unread(Changed, err)
	}
	if t.run.info.Manifest.Encryption == nil && info.Size() != e.Size {
		return unread(Changed, fmt.Errorf("size %d", info.Size()))
	}
	err = c.sendFile(ctx, blobPath(e.SHA256), f, e.SHA256, c.lock)
	if isFileError(err) {
		return unread(Changed, err)
	}
	return err
}
