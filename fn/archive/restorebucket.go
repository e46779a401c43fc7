package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
	if err := t.refill(ctx, opts.Existing); err != nil {
		return nil, fmt.Errorf("cannot restore run %q into bucket %q: %w", r.info.ID, t.bucket.name, bucketError(err))
	}
	if !r.isListed() {
		t.result.Warnings = append(t.result.Warnings, unverifiedWarning)
	}
	return &t.result, nil
}

// CompareBucket compares a bucket with the file storage of the run, as Compare does a directory.
func (r *Run) CompareBucket(ctx context.Context, bucket BucketOptions, opts RestoreOptions) (Comparison, error) {
	t, err := r.bucketTarget(ctx, bucket, opts)
	if err != nil {
		return Comparison{}, err
	}
	defer t.bucket.Close()
	state, err := t.compare(ctx)
	if err != nil {
		return Comparison{}, fmt.Errorf("cannot compare run %q with bucket %q: %w", r.info.ID, t.bucket.name, bucketError(err))
	}
	return state, nil
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

// bucketTarget is a bucket that a run is compared with, or brought into. It is for one call.
type bucketTarget struct {
	bucket     *fileBucket
	source     refill.Source
	tree       *runTree
	identities []age.Identity
	progress   *progress.Meter

	found   *walk.Found
	marked  bool // an earlier try was interrupted
	replace bool // objects that appear meanwhile too
	plan    bucketPlan
	written walk.Counts
	result  Restored
}

// bucketPlan is what follows from comparing keys and sizes.
type bucketPlan struct {
	empty     bool
	foreign   string // a key that the run does not have; empty: there is none
	inTheWay  string // one that the run has files below
	blocked   string // a file of the run that the bucket has keys below
	differs   string // a file that is missing, or has another size
	firstFile *lists.Entry
	entries   walk.Counts // of the run
}

func (t *bucketTarget) markerKey() string { return t.bucket.prefix + refill.MarkerName(t.source) }

// look lists the bucket, and compares keys and sizes. It reads no object but the marker.
func (t *bucketTarget) look(ctx context.Context) error {
	const limit = 4 << 10
	marker, err := t.bucket.client.Read(ctx, t.markerKey(), limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.marked = string(marker) == refill.MarkerContent(t.source)
	t.progress.Begin(progress.Scan, 0, 0)
	if t.found, err = t.bucket.scan(ctx, objectStamps{}, t.progress); err != nil {
		return err
	}
	t.plan = bucketPlan{empty: true}
	for _, odd := range t.found.Unreadable {
		t.addForeign(odd.Path)
	}
	return t.merge(ctx, func(p lists.Pair) error {
		switch {
		case p.Want != nil:
			t.addWanted(p)
		case p.Got.Kind == lists.File:
			t.addForeign(p.Got.Path)
		}
		return nil
	})
}

func (t *bucketTarget) addForeign(path string) {
	if t.isMarker(path) {
		return
	}
	t.plan.empty = false
	if t.plan.foreign == "" {
		t.plan.foreign = path
	}
}

// isMarker reports whether a key is that of the marker of this run, as far as it is ours.
func (t *bucketTarget) isMarker(path string) bool {
	return t.marked && t.bucket.prefix+path == t.markerKey()
}

func (t *bucketTarget) addWanted(p lists.Pair) {
	want, got := p.Want, p.Got
	t.plan.entries.Add(want)
	if want.Kind == lists.File && t.plan.firstFile == nil {
		first := *want
		t.plan.firstFile = &first
	}
	switch {
	case got == nil:
		if want.Kind == lists.File && t.plan.differs == "" {
			t.plan.differs = want.Path
		}
	case got.Kind == lists.File:
		t.plan.empty = false
		if want.Kind == lists.Directory {
			t.plan.inTheWay = cmp.Or(t.plan.inTheWay, want.Path)
			t.addForeign(want.Path)
		}
		if want.Kind == lists.File && got.Size != want.Size && t.plan.differs == "" {
			t.plan.differs = want.Path
		}
	case want.Kind != lists.Directory && t.plan.blocked == "":
		t.plan.blocked = want.Path
	}
}

// merge yields the entries of the run and those of the bucket side by side.
func (t *bucketTarget) merge(ctx context.Context, yield func(lists.Pair) error) error {
	source, done, err := t.source.Entries(ctx)
	if err != nil {
		return err
	}
	defer done()
	for p, err := range lists.Merge(source, t.found.List.Source()) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = yield(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *bucketTarget) compare(ctx context.Context) (Comparison, error) {
	if err := t.look(ctx); err != nil {
		return Comparison{}, err
	}
	state := Comparison{Empty: t.plan.empty, Interrupted: t.marked}
	if t.marked || t.plan.foreign != "" || t.plan.blocked != "" || t.plan.differs != "" {
		return state, nil
	}
	differs, err := t.firstDifference(ctx)
	state.Same = differs == "" && err == nil
	return state, err
}

func (t *bucketTarget) refill(ctx context.Context, existing Existing) error {
	if err := t.look(ctx); err != nil {
		return err
	}
	t.result.Files, t.result.Bytes = t.plan.entries.Files, t.plan.entries.Bytes
	if existing == Skip && !t.plan.empty && !t.marked {
		t.result.Skipped = true
		return nil
	}
	if done, err := t.judge(ctx, existing); done || err != nil {
		return err
	}
	t.replace = existing == Overwrite || existing == Mirror
	if err := t.prepare(ctx); err != nil {
		return err
	}
	if err := t.fill(ctx); err != nil {
		return err
	}
	switch {
	case existing == Mirror:
		if err := t.removeForeign(ctx); err != nil {
			return err
		}
	case t.plan.inTheWay != "":
		t.result.Warnings = append(t.result.Warnings, fmt.Sprintf("object %q is not of the run, which has files below this key: it was left, and no backup can be made until it is deleted", t.bucket.prefix+t.plan.inTheWay))
	}
	if n := t.plan.entries.Symlinks; n > 0 {
		t.result.Warnings = append(t.result.Warnings, fmt.Sprintf("a bucket cannot hold symlinks: %d of the run were left out", n))
	}
	t.result.WrittenFiles, t.result.WrittenBytes = t.written.Files, t.written.Bytes
	return t.removeMarker(ctx)
}

// removeMarker warns where it may not: all of the run is there.
func (t *bucketTarget) removeMarker(ctx context.Context) error {
	err := t.remove(ctx, []string{t.markerKey()})
	store, ok := errors.AsType[*s3.Error](err)
	if ok && store.Problem == s3.Denied {
		t.result.Warnings = append(t.result.Warnings, fmt.Sprintf("cannot delete object %q, which needs the right s3:DeleteObject: delete it, else another restore of this run takes all that is in the bucket for what this one left unfinished", t.markerKey()))
		return nil
	}
	return err
}

// judge returns an error if the bucket may not be written to, and true if there is nothing to write.
func (t *bucketTarget) judge(ctx context.Context, existing Existing) (done bool, err error) {
	careful := existing == Fail || existing == Skip
	switch {
	case careful && t.marked && t.plan.foreign != "":
		return false, t.notEmpty(t.plan.foreign, "is not of the run whose restore was interrupted here")
	case existing != Mirror && t.plan.blocked != "":
		return false, t.notEmpty(t.plan.blocked, "is the begin of keys where the run has an object")
	case !careful || t.marked || t.plan.empty:
		return false, nil
	case t.plan.foreign != "":
		return false, t.notEmpty(t.plan.foreign, "is not of the run")
	case t.plan.differs != "":
		return false, t.notEmpty(t.plan.differs, "is missing, or is not what it is in the run")
	}
	differs, err := t.firstDifference(ctx)
	if err == nil && differs != "" {
		err = t.notEmpty(differs, "has other content or headers than in the run")
	}
	return err == nil, err
}

func (t *bucketTarget) notEmpty(path, why string) error {
	return &NotEmptyError{Dir: t.bucket.name, Path: lists.Escape(path), Why: why}
}

// prepare looks for reasons to fail before anything is written, and then writes the marker.
func (t *bucketTarget) prepare(ctx context.Context) error {
	if first := t.plan.firstFile; first != nil {
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
	if t.marked {
		return nil
	}
	content := []byte(refill.MarkerContent(t.source))
	return t.bucket.client.PutWith(ctx, t.markerKey(), bytes.NewReader(content), int64(len(content)), dirfd.DigestOf(content), nil, false)
}

func (t *bucketTarget) remove(ctx context.Context, keys []string) error {
	refused, err := t.bucket.client.Delete(ctx, keys)
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("cannot delete object %q: %w", refused[0].Key, refused[0].Err)
	}
	return err
}

// removeForeign removes what the run does not have.
func (t *bucketTarget) removeForeign(ctx context.Context) (err error) {
	for again := true; again; {
		if t.found, err = t.bucket.scan(ctx, objectStamps{}, t.progress); err != nil {
			return err
		}
		again = len(t.found.Unreadable) == walk.MaxListed // there may be more
		odd := make(map[string]bool, len(t.found.Unreadable))
		for _, u := range t.found.Unreadable {
			odd[u.Path] = true
		}
		var keys []string
		err = t.merge(ctx, func(p lists.Pair) error {
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
		if err == nil {
			err = t.remove(ctx, keys)
		}
		if err != nil {
			return err
		}
		t.result.Removed += int64(len(keys))
	}
	return nil
}

// bucketItem is a file on its way into the bucket.
type bucketItem struct {
	want    lists.Entry
	there   bool // an object with its key
	size    int64
	written bool
}

// each has workers treat the files of the run.
func (t *bucketTarget) each(ctx context.Context, phase string, work func(*bucketWriter, context.Context, *bucketItem) error) error {
	count := t.plan.entries
	t.progress.Begin(phase, count.Files, count.Bytes)
	return parallel.Pipeline[bucketItem]{
		Workers: fileBucketWorkers,
		Batch:   1,
		Produce: func(ctx context.Context, add func(bucketItem, int64) error) error {
			return t.merge(ctx, func(p lists.Pair) error {
				if p.Want == nil || p.Want.Kind != lists.File {
					return nil
				}
				it := bucketItem{want: *p.Want}
				if p.Got != nil && p.Got.Kind == lists.File {
					it.there, it.size = true, p.Got.Size
				}
				return add(it, p.Want.Size)
			})
		},
		Worker: func() (func(context.Context, *bucketItem) error, func()) {
			w := &bucketWriter{bucketTarget: t, opener: t.source.Opener()}
			return func(ctx context.Context, it *bucketItem) error { return work(w, ctx, it) }, w.opener.Close
		},
		Collect: func(items []bucketItem) error {
			for i := range items {
				if items[i].written {
					t.written.Add(&items[i].want)
				}
				t.progress.Add(1, items[i].want.Size)
			}
			return nil
		},
	}.Run(ctx)
}

func (t *bucketTarget) fill(ctx context.Context) error {
	return t.each(ctx, progress.FileStorage, (*bucketWriter).one)
}

// otherObjectError is an object that is not what it is in the run.
type otherObjectError struct{ path string }

func (e *otherObjectError) Error() string { return e.path + " differs" }

// firstDifference returns an object with other content or headers than in the run; "" if there is none.
func (t *bucketTarget) firstDifference(ctx context.Context) (string, error) {
	err := t.each(ctx, progress.Verify, func(w *bucketWriter, ctx context.Context, it *bucketItem) error {
		same, err := w.isThere(ctx, it)
		if err == nil && !same {
			err = &otherObjectError{it.want.Path}
		}
		return err
	})
	if other, ok := errors.AsType[*otherObjectError](err); ok {
		return other.path, nil
	}
	return "", err
}

// bucketWriter writes objects, one at a time.
type bucketWriter struct {
	*bucketTarget

	opener refill.Opener
}

// one writes an object, unless it is there.
func (w *bucketWriter) one(ctx context.Context, it *bucketItem) error {
	there, err := w.isThere(ctx, it)
	if there || err != nil {
		return err
	}
	headers, err := w.headers(&it.want)
	if err != nil {
		return err
	}
	it.written = true
	return w.put(ctx, it, headers)
}

// isThere reports whether the bucket has a file with its content and headers.
func (w *bucketWriter) isThere(ctx context.Context, it *bucketItem) (bool, error) {
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
	if len(headers) > 0 && !maps.Equal(headers, in.Headers) {
		return false, nil
	}
	got := dirfd.NewHashed(in.ReadCloser)
	if _, err := io.Copy(io.Discard, got); err != nil {
		return false, err
	}
	want, err := w.plainDigest(&it.want)
	return err == nil && got.Prove(it.want.Path, want) == nil, err
}

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
	maxHeaders = 32 << 10
	inMemory   = 512 << 10 // of a file, up to which it is proven before it is sent
)

// put writes a file. Unless all is to be replaced, it replaces only what was there when the bucket was listed.
func (w *bucketWriter) put(ctx context.Context, it *bucketItem, headers s3.Headers) error {
	e := &it.want
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
	err := w.bucket.client.PutWith(ctx, w.bucket.prefix+e.Path, content, e.Size, sum, headers, !it.there && !w.replace)
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
