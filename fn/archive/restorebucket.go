package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"filippo.io/age"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/refill"
	"threescale.dev/backup/fn/archive/internal/s3"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/tree"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// RestoreToBucket brings the file storage of the run into a bucket: content, names, and headers that objects had. Each
// object is written by one request, which writes nothing unless the digest of its file is proven; objects that are there
// with their content and headers are not written. What is not in a bucket's nature is left out: modes, owners, times,
// empty directories and symlinks; a warning tells of the last. After any error, or a crash, the same call can be made
// again and goes on. Two calls at a time are not noticed. Errors that callers may tell apart: UsageError, NotEmptyError,
// BucketError, IntegrityError, ErrNoIdentity, and ctx's.
func (r *Run) RestoreToBucket(ctx context.Context, bucket BucketOptions, opts RestoreOptions) (*Restored, error) {
	if err := r.restorable(opts); err != nil {
		return nil, err
	}
	t, err := r.bucketTarget(ctx, bucket, opts)
	if err != nil {
		return nil, err
	}
	defer t.bucket.Close()
	result, err := t.refill(ctx, opts.Existing)
	if err != nil {
		return nil, fmt.Errorf("cannot restore run %q into bucket %q: %w", r.info.ID, t.bucket.name, bucketError(err))
	}
	if !r.isListed() {
		result.Warnings = append(result.Warnings, unverifiedWarning)
	}
	return result, nil
}

func (r *Run) bucketTarget(ctx context.Context, bucket BucketOptions, opts RestoreOptions) (*bucketTarget, error) {
	if of, ok := r.stored.(*Bucket); ok && of.at.overlaps(locationOf(bucket)) {
		return nil, &UsageError{Err: fmt.Errorf("cannot restore run %q: the file storage and the backups in %q overlap: name another bucket or prefix for the file storage", r.info.ID, of)}
	}
	b, err := openFileBucket(bucket)
	if err != nil {
		return nil, &UsageError{Err: fmt.Errorf("cannot restore run %q: %w", r.info.ID, err)}
	}
	return &bucketTarget{
		bucket:     b,
		source:     r.source(ctx, opts),
		tree:       &r.runTree,
		identities: opts.Identities,
		progress:   &progress.Meter{Report: opts.Progress},
	}, nil
}

// bucketTarget is a bucket that a run is compared with, or brought into.
type bucketTarget struct {
	bucket     *fileBucket
	source     refill.Source
	tree       *runTree
	identities []age.Identity
	progress   *progress.Meter
}

func (t *bucketTarget) markerKey() string { return t.bucket.prefix + refill.MarkerName(t.source) }

func (t *bucketTarget) refill(ctx context.Context, existing Existing) (*Restored, error) {
	p, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	result := &Restored{Files: p.entries.Files, Bytes: p.entries.Bytes}
	if existing == Skip && !p.empty && !p.isInterrupted() {
		result.Skipped = true
		return result, nil
	}
	if done, err := t.judge(ctx, p, existing); done || err != nil {
		return result, err
	}
	if err := t.prepare(ctx, p); err != nil {
		return nil, err
	}
	replace := existing == Overwrite || existing == Mirror
	written, err := t.each(ctx, p, progress.FileStorage, func(w *bucketWriter, ctx context.Context, it *bucketItem) error {
		return w.write(ctx, it, replace)
	})
	if err != nil {
		return nil, err
	}
	result.WrittenFiles, result.WrittenBytes = written.Files, written.Bytes
	switch {
	case existing == Mirror:
		if result.Removed, err = t.removeForeign(ctx); err != nil {
			return nil, err
		}
	case p.inTheWay != "":
		result.Warnings = append(result.Warnings, fmt.Sprintf("object %q is not of the run, which has files below this key: it was left, and no backup can be made until it is deleted", t.bucket.prefix+p.inTheWay))
	}
	if n := p.entries.Symlinks; n > 0 {
		result.Warnings = append(result.Warnings, fmt.Sprintf("a bucket cannot hold symlinks: %d of the run were left out", n))
	}
	warnings, err := t.removeMarker(ctx)
	result.Warnings = append(result.Warnings, warnings...)
	return result, err
}

// prepare looks for reasons to fail before anything is written, and then writes the marker.
func (t *bucketTarget) prepare(ctx context.Context, p *bucketPlan) error {
	if first := p.firstFile; first != nil {
		opener := t.source.Opener()
		defer opener.Close()
		in, err := opener.Open(first) // with keys that do not fit, nothing is to be written
		if err == nil {
			err = in.Close()
		}
		if err != nil {
			return err
		}
	}
	if p.isInterrupted() {
		return nil
	}
	content := []byte(refill.MarkerContent(t.source))
	return t.bucket.client.PutWith(ctx, t.markerKey(), bytes.NewReader(content), int64(len(content)), dirfd.DigestOf(content), nil, false)
}

// removeMarker only warns where it may not: all of the run is there.
func (t *bucketTarget) removeMarker(ctx context.Context) (warnings []string, err error) {
	err = t.remove(ctx, []string{t.markerKey()})
	store, ok := errors.AsType[*s3.Error](err)
	if ok && store.Problem == s3.Denied {
		return []string{fmt.Sprintf("cannot delete object %q, which needs the right s3:DeleteObject: delete it, else another restore of this run takes all that is in the bucket for what this one left unfinished", t.markerKey())}, nil
	}
	return nil, err
}

func (t *bucketTarget) remove(ctx context.Context, keys []string) error {
	refused, err := t.bucket.client.Delete(ctx, keys)
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("cannot delete object %q: %w", refused[0].Key, refused[0].Err)
	}
	return err
}

// removeForeign removes what the run does not have, and returns how many objects those were.
func (t *bucketTarget) removeForeign(ctx context.Context) (int64, error) {
	removed := int64(0)
	for again := true; again; {
		found, err := t.bucket.scan(ctx, objectStamps{}, t.progress)
		if err != nil {
			return removed, err
		}
		again = len(found.Unreadable) == walk.MaxListed // there may be more
		keys, err := t.foreign(ctx, found)
		if err == nil {
			err = t.remove(ctx, keys)
		}
		if err != nil {
			return removed, err
		}
		removed += int64(len(keys))
	}
	return removed, nil
}

// foreign returns the keys that the run does not have, without that of the marker.
func (t *bucketTarget) foreign(ctx context.Context, found *walk.Found) ([]string, error) {
	odd := make(map[string]bool, len(found.Unreadable))
	for _, u := range found.Unreadable {
		odd[u.Path] = true
	}
	var keys []string
	err := t.merge(ctx, found, func(p lists.Pair) error {
		if p.Want != nil && p.Want.Kind == lists.File {
			delete(odd, p.Want.Path) // only what is below it goes
		}
		if p.Got != nil && p.Got.Kind == lists.File && (p.Want == nil || p.Want.Kind != lists.File) && t.bucket.prefix+p.Got.Path != t.markerKey() {
			keys = append(keys, t.bucket.prefix+p.Got.Path)
		}
		return nil
	})
	for key := range odd {
		keys = append(keys, t.bucket.prefix+key)
	}
	return keys, err
}

// bucketItem is a file on its way into the bucket.
type bucketItem struct {
	want    lists.Entry
	there   bool // an object with its key
	size    int64
	written bool
}

// each has workers treat the files of the run, and returns which of them were written.
func (t *bucketTarget) each(ctx context.Context, p *bucketPlan, phase string, work func(*bucketWriter, context.Context, *bucketItem) error) (written walk.Counts, err error) {
	t.progress.Begin(phase, p.entries.Files, p.entries.Bytes)
	err = parallel.Pipeline[bucketItem]{
		Workers: fileBucketWorkers,
		Batch:   1,
		Produce: func(ctx context.Context, add func(bucketItem, int64) error) error {
			return t.merge(ctx, p.found, func(pair lists.Pair) error {
				if pair.Want == nil || pair.Want.Kind != lists.File {
					return nil
				}
				it := bucketItem{want: *pair.Want}
				if pair.Got != nil && pair.Got.Kind == lists.File {
					it.there, it.size = true, pair.Got.Size
				}
				return add(it, pair.Want.Size)
			})
		},
		Worker: func() (func(context.Context, *bucketItem) error, func()) {
			w := &bucketWriter{bucketTarget: t, opener: t.source.Opener()}
			return func(ctx context.Context, it *bucketItem) error { return work(w, ctx, it) }, w.opener.Close
		},
		Collect: func(items []bucketItem) error {
			for i := range items {
				if items[i].written {
					written.Add(&items[i].want)
				}
				t.progress.Add(1, items[i].want.Size)
			}
			return nil
		},
	}.Run(ctx)
	return written, err
}

// bucketWriter writes objects, one at a time.
type bucketWriter struct {
	*bucketTarget

	opener  refill.Opener
	buffers [2][compareBuffer]byte
}

// write writes an object, unless it is there. Without replace, it replaces no content: what an interrupted try has written
// is whole, so that other content is somebody else's. Of headers the object store may have kept others than it was sent.
func (w *bucketWriter) write(ctx context.Context, it *bucketItem, replace bool) error {
	there, err := w.isThere(ctx, it, true)
	if there || err != nil {
		return err
	}
	if it.there && !replace {
		same, err := w.isThere(ctx, it, false)
		if err != nil {
			return err
		}
		if it.there && !same {
			return w.notEmpty(it.want.Path, "is not what the restore that was interrupted here has written")
		}
	}
	headers, err := w.headers(&it.want)
	if err != nil {
		return err
	}
	it.written = true
	return w.put(ctx, &it.want, headers, !it.there && !replace)
}

// isThere reports whether the bucket has a file with its content, and with its headers if they count.
func (w *bucketWriter) isThere(ctx context.Context, it *bucketItem, headersCount bool) (bool, error) {
	if !it.there || it.size != it.want.Size {
		return false, nil
	}
	in, err := w.bucket.open(ctx, it.want.Path)
	if errors.Is(err, fs.ErrNotExist) {
		it.there = false
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer in.Close()
	headers, err := w.headers(&it.want)
	if err != nil {
		return false, err
	}
	if headersCount && len(headers) > 0 && !headers.Same(in.Headers) {
		return false, nil
	}
	if !w.source.Plain {
		return w.isStored(&it.want, in)
	}
	got := dirfd.NewHashed(in.ReadCloser)
	if _, err := io.Copy(io.Discard, got); err != nil {
		return false, err
	}
	return got.Prove(it.want.Path, it.want.SHA256) == nil, nil
}

// isStored reports whether content is that of a file. It reads both as far as they are the same: an encrypted run tells no
// digest of what it has encrypted, and may be in a bucket itself.
func (w *bucketWriter) isStored(e *lists.Entry, content io.Reader) (bool, error) {
	stored, err := w.opener.Open(e)
	if err != nil {
		return false, err
	}
	defer stored.Close()
	a, b := w.buffers[0][:], w.buffers[1][:]
	for {
		n, err := io.ReadFull(stored, a)
		m, contentErr := io.ReadFull(content, b)
		ended, contentEnded := isEnd(err), isEnd(contentErr)
		switch {
		case err != nil && !ended:
			return false, err
		case contentErr != nil && !contentEnded:
			return false, contentErr
		case ended != contentEnded || !bytes.Equal(a[:n], b[:m]):
			return false, nil
		case ended:
			return true, nil
		}
	}
}

// isEnd reports whether an error of io.ReadFull is the end of what was read.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// plainDigest returns the digest of a file's plaintext, which a run tells only if it is not encrypted.
func (w *bucketWriter) plainDigest(e *lists.Entry) (string, error) {
	if w.source.Plain {
		return e.SHA256, nil
	}
	in, err := w.opener.Open(e)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := dirfd.NewHashed(in)
	if _, err := io.Copy(io.Discard, h); err != nil {
		return "", err
	}
	return h.Sum(), nil
}

// headers returns those that an object had; none of a file that was none.
func (w *bucketWriter) headers(e *lists.Entry) (s3.Headers, error) {
	for _, x := range e.Xattrs {
		text := x.Value
		switch x.Name {
		default:
			continue
		case tree.HeadersXattr:
		case tree.SealedHeadersXattr:
			plain, err := seal.Open(strings.NewReader(x.Value), w.identities)
			if err != nil {
				return nil, fmt.Errorf("cannot decrypt headers of %q: %w", e.Path, err)
			}
			data, err := dirfd.ReadAtMost(plain, maxHeaders)
			if err != nil {
				return nil, fmt.Errorf("cannot decrypt headers of %q: %w", e.Path, err)
			}
			text = string(data)
		}
		headers, err := s3.DecodeHeaders(text)
		if err != nil {
			return nil, w.tree.run.damaged(Problem{Path: w.tree.filePath(e.Path), Kind: Malformed, Got: err.Error()})
		}
		return headers, nil
	}
	return nil, nil
}

const (
	maxHeaders    = 32 << 10
	inMemory      = 512 << 10 // of a file, up to which it is proven before it is sent
	compareBuffer = 32 << 10  // of each of two that are compared
)

// put writes a file; fresh, it replaces none.
func (w *bucketWriter) put(ctx context.Context, e *lists.Entry, headers s3.Headers, fresh bool) error {
	var content io.ReaderAt
	var sum string
	if e.Size <= inMemory {
		data, err := w.read(e)
		if err != nil {
			return err
		}
		content, sum = bytes.NewReader(data), dirfd.DigestOf(data)
	} else {
		var err error
		if sum, err = w.plainDigest(e); err != nil {
			return err
		}
		again := &reopened{open: func() (io.ReadCloser, error) { return w.opener.Open(e) }}
		defer again.Close()
		content = again
	}
	err := w.bucket.client.PutWith(ctx, w.bucket.prefix+e.Path, content, e.Size, sum, headers, fresh)
	switch {
	case errors.Is(err, s3.ErrDigest):
		return w.tree.run.damaged(Problem{Path: w.tree.filePath(e.Path), Kind: Changed, Got: err.Error(), Want: "sha256:" + e.SHA256})
	case errors.Is(err, fs.ErrExist):
		return w.notEmpty(e.Path, "was written by somebody else meanwhile")
	}
	return err
}

func (w *bucketWriter) read(e *lists.Entry) ([]byte, error) {
	in, err := w.opener.Open(e)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}
