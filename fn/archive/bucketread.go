package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/s3"
)

// The names of the layout in a bucket, beside those of a volume.
const (
	blobsDir  = "blobs"
	ownerName = "OWNER"
)

// bucketWorkers is how many requests are made at a time: their time is spent on the way, not here.
const bucketWorkers = 128

func (b *Bucket) words() (preposition, noun string) { return "in", "bucket" }

func (b *Bucket) workers() int { return bucketWorkers }

func (b *Bucket) batch() int { return 1 }

// key returns the key of an object by its path in the layout.
func (b *Bucket) key(path string) string { return b.prefix + path }

// blobPath returns the path of the stored file that has a digest.
func blobPath(digest string) string { return blobsDir + "/" + digest[:2] + "/" + digest }

// blobDigest returns the digest in the path of a blob; what else is below blobs is not ours.
func blobDigest(path string) (digest string, ok bool) {
	digest = path[strings.LastIndexByte(path, '/')+1:]
	return digest, lists.IsDigest(digest) && path == blobPath(digest)
}

func manifestPath(run string) string { return runsDir + "/" + run + "/" + manifestName }

// get opens an object by its path.
func (b *Bucket) get(ctx context.Context, path string) (io.ReadCloser, error) {
	in, err := b.objects.Get(ctx, b.key(path))
	if err != nil {
		return nil, bucketError(err)
	}
	return bucketReader{in}, nil
}

// bucketReader tells errors of the object store apart.
type bucketReader struct{ io.ReadCloser }

func (r bucketReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	return n, bucketError(err)
}

// read reads a small object by its path.
func (b *Bucket) read(ctx context.Context, path string, limit int64) ([]byte, error) {
	data, err := b.objects.Read(ctx, b.key(path), limit)
	return data, bucketError(err)
}

// size returns the size of an object by its path, or -1 if there is none.
func (b *Bucket) size(ctx context.Context, path string) (int64, error) {
	object, err := b.objects.Stat(ctx, b.key(path))
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	return object.Size, bucketError(err)
}

// list yields what has a prefix, by paths in the layout.
func (b *Bucket) list(ctx context.Context, prefix string, recursive bool, yield func(path string, o s3.Object) error) error {
	for o, err := range b.objects.List(ctx, b.key(prefix), recursive) {
		if err != nil {
			return bucketError(err)
		}
		if err := yield(strings.TrimPrefix(o.Key, b.prefix), o); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bucket) folder(ctx context.Context, dir string) folder { return bucketFolder{ctx, b, dir} }

// bucketFolder reads the objects below a prefix.
type bucketFolder struct {
	ctx    context.Context
	bucket *Bucket
	dir    string
}

func (f bucketFolder) OpenHashed(name string) (*dirfd.HashedFile, error) {
	in, err := f.bucket.get(f.ctx, f.dir+"/"+name)
	if err != nil {
		return nil, err
	}
	return dirfd.NewHashed(in), nil
}

func (f bucketFolder) ReadFile(path string, limit int64) ([]byte, error) {
	return f.bucket.read(f.ctx, f.dir+"/"+path, limit)
}

// bucketFiles opens blobs by the digests of entries.
type bucketFiles struct {
	ctx    context.Context
	bucket *Bucket
}

func (f *bucketFiles) open(e *Entry) (io.ReadCloser, error) {
	if !lists.IsDigest(e.SHA256) {
		return nil, fmt.Errorf("entry %q has no digest", e.Path)
	}
	return f.bucket.get(f.ctx, blobPath(e.SHA256))
}

func (f *bucketFiles) Close() {}

// Runs lists the runs, oldest first, as Volume.Runs does. What has no manifest is no run: it is being copied, or
// removed.
func (b *Bucket) Runs(ctx context.Context) ([]RunInfo, error) {
	runs, err := b.readRuns(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list runs of bucket %q: %w", b, err)
	}
	sortRuns(runs)
	return runs, nil
}

func (b *Bucket) readRuns(ctx context.Context) ([]RunInfo, error) {
	ids, err := b.runIDs(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]*RunInfo, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bucketWorkers)
	for i, id := range ids {
		g.Go(func() (err error) {
			found[i], err = b.readRun(ctx, id)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var runs []RunInfo
	for _, info := range found {
		if info != nil {
			runs = append(runs, *info)
		}
	}
	return runs, nil
}

const maxRuns = 100_000 // in a bucket

// runIDs returns the IDs below which there are objects.
func (b *Bucket) runIDs(ctx context.Context) ([]string, error) {
	var ids []string
	err := b.list(ctx, runsDir+"/", false, func(p string, _ s3.Object) error {
		if id := path.Base(p); strings.HasSuffix(p, "/") && validRunID(id) == nil {
			ids = append(ids, id)
		}
		if len(ids) > maxRuns {
			return &BucketError{BucketIncompatible, fmt.Errorf("there are more than %d runs", maxRuns)}
		}
		return nil
	})
	return ids, err
}

// readRun describes the run of an ID, or returns nil if there is none.
func (b *Bucket) readRun(ctx context.Context, id string) (*RunInfo, error) {
	data, err := b.read(ctx, manifestPath(id), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if notLooked(err) {
		return nil, err
	}
	info := decodeRun(id, data, err)
	return &info, nil
}

// find returns the run of an ID, or the newest one for Latest.
func (b *Bucket) find(ctx context.Context, id string) (RunInfo, error) {
	if validRunID(id) == nil {
		info, err := b.readRun(ctx, id)
		if err != nil {
			return RunInfo{}, fmt.Errorf("cannot read run %q in bucket %q: %w", id, b, err)
		}
		if info != nil {
			return *info, nil
		}
	}
	runs, err := b.Runs(ctx)
	if err != nil {
		return RunInfo{}, err
	}
	return findRun(b, runs, id)
}

// Pointed returns the newest run if it is newer than the newest complete one, and cannot be read; else nil. Nothing in
// a bucket points to a run. A manifest that is damaged tells no sequence, so IDs are compared, too: they begin with the
// time of the run.
func (b *Bucket) Pointed(ctx context.Context) (*RunInfo, error) {
	runs, err := b.Runs(ctx)
	if err != nil {
		return nil, err
	}
	complete := newestOf(runs, "")
	var pointed *RunInfo
	for i := range runs {
		run := &runs[i]
		newer := complete == nil || run.ID > complete.ID || run.sequence() > complete.sequence()
		if run.State != Complete && newer && (pointed == nil || run.ID > pointed.ID) {
			pointed = run
		}
	}
	return pointed, nil
}

// OpenRun opens a run, as Volume.OpenRun does. It reads no more than the manifest.
func (b *Bucket) OpenRun(ctx context.Context, id string) (*Run, error) {
	info, err := b.find(ctx, id)
	if err != nil {
		return nil, err
	}
	r := newRun(b, info)
	if err := r.unreadable(id); err != nil {
		return nil, err
	}
	return r, nil
}

// hold holds nothing: in a bucket, one who reads a run that is removed finds that it is gone.
func (b *Bucket) hold(string) (*runLock, error) { return nil, nil }

func (b *Bucket) isThere(ctx context.Context, info RunInfo) bool {
	size, err := b.size(ctx, manifestPath(info.ID))
	return err != nil || size >= 0
}
