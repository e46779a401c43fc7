package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/seal"
)

// Verify reads a run again, as Volume.Verify does: every blob and object that its lists name, once. It does not look at
// what no run refers to.
func (b *Bucket) Verify(ctx context.Context, run string, opts VerifyOptions) (*VerifyReport, error) {
	return verify(ctx, b, run, opts)
}

// VerifyRuns reads all runs again, as Volume.VerifyRuns does, and each blob once, whatever runs refer to it.
func (b *Bucket) VerifyRuns(ctx context.Context, opts VerifyRunsOptions) (*VolumeReport, error) {
	return verifyRuns(ctx, b, opts)
}

// checkOrder returns warnings about the bucket as a whole.
func (b *Bucket) checkOrder(ctx context.Context) (warnings []string, err error) {
	size, err := b.size(ctx, ownerName)
	if err != nil {
		return nil, err
	}
	if size < 0 {
		warnings = append(warnings, "the bucket has no OWNER: whatever volume is copied to it next takes it over")
	}
	runs, err := b.Runs(ctx)
	newest := newestOf(runs, "")
	if err != nil || newest == nil {
		return warnings, err
	}
	if warning := clockWarning(runs, newest.ID, newest.StartTime()); warning != "" {
		warnings = append(warnings, warning)
	}
	return warnings, nil
}

// seenBlobs remembers what reading blobs came to, so that each is read once.
type seenBlobs struct {
	asked blobSet // those that are read, or will be
	bad   map[string]Problem
	lost  blobSet // those that are bad, and too many to tell why
	files int64
	bytes int64
}

func newSeenBlobs() *seenBlobs { return &seenBlobs{bad: make(map[string]Problem)} }

func (s *seenBlobs) read() (files, bytes int64) { return s.files, s.bytes }

func (s *seenBlobs) note(digest string, p *Problem) {
	switch {
	case p == nil:
	case len(s.bad) < maxProblems:
		s.bad[digest] = *p
	default:
		s.lost.add(digest, 0)
	}
}

// find returns what is wrong with a blob that was read before.
func (s *seenBlobs) find(digest string) *Problem {
	if p, ok := s.bad[digest]; ok {
		return &p
	}
	if s.lost.has(digest, 0) {
		return &Problem{Kind: Changed, Want: "sha256:" + digest}
	}
	return nil
}

// storedObject is an object of a bucket, and the digest that it should have.
type storedObject struct {
	at     string // its path in the bucket
	path   string // in problems
	digest string
	least  int64 // bytes that it should have
	most   int64 // likewise
	size   int64 // as stored; of one that was seen, as it should be
	blob   bool
	seen   bool
	bad    *Problem
}

// verifyRun reads the objects of a run by its list.
func (b *Bucket) verifyRun(ctx context.Context, c *verifier) error {
	dir := runsDir + "/" + c.info.ID
	list, err := readRunSums(b.folder(ctx, dir), c.info.Manifest)
	if err != nil {
		err = c.blame(err, Problem{Path: c.info.path(lists.SumsName), Kind: Malformed})
	}
	if err != nil {
		return err
	}
	produce := func(_ context.Context, add func(storedObject, int64) error) error {
		for _, s := range list {
			o := storedObject{at: dir + "/" + s.Path, path: c.info.path(s.Path), digest: s.SHA256, most: maxUnknownSize}
			if err := add(o, 0); err != nil {
				return err
			}
		}
		return nil
	}
	return b.prove(ctx, c, produce, func(o *storedObject) {
		c.report.Objects++
		c.report.Bytes += o.size
	})
}

// verifyTree reads the blobs that the lists of a tree name.
func (b *Bucket) verifyTree(ctx context.Context, c *verifier, t storedTree) error {
	prefix := t.path() + "/"
	sealer, err := sealerOf(c.info.Manifest)
	if err != nil {
		return err
	}
	listed, err := lists.Open(b.folder(ctx, t.path()), t.digests, nil)
	if err != nil {
		return c.blame(err, Problem{Path: prefix, Kind: Malformed})
	}
	defer listed.Close()
	if c.blobs == nil {
		c.blobs = newSeenBlobs()
	}
	if c.opts.PresenceOnly {
		return b.findBlobs(ctx, c, t, func(add func(storedObject, int64) error) error { return c.produceBlobs(listed, prefix, sealer, add) })
	}
	produce := func(_ context.Context, add func(storedObject, int64) error) error {
		return c.produceBlobs(listed, prefix, sealer, add)
	}
	return b.prove(ctx, c, produce, func(o *storedObject) {
		c.report.Files++
		c.report.Bytes += o.size
		if !o.seen {
			c.blobs.files++
			c.blobs.bytes += o.size
		}
	})
}

// findBlobs reports the blobs that the bucket does not have, or has in another size. It reads none.
func (b *Bucket) findBlobs(ctx context.Context, c *verifier, t storedTree, produce func(func(storedObject, int64) error) error) error {
	there, err := b.allBlobs(ctx, t.totals.Files)
	if err != nil {
		return err
	}
	return produce(func(o storedObject, _ int64) error {
		if !o.seen {
			o.bad = there.lacks(&o)
		}
		c.tell(&o, func(*storedObject) {})
		return ctx.Err()
	})
}

// lacks says what is wrong with a blob as far as a listing tells; nil if nothing is.
func (s *blobSet) lacks(o *storedObject) *Problem {
	size, ok := s.find(o.digest)
	switch {
	case !ok:
		return &Problem{Kind: Missing, Want: "sha256:" + o.digest}
	case int64(size-uint32(o.least)) > o.most-o.least:
		got := "another size"
		if o.most < math.MaxUint32 {
			got = fmt.Sprintf("size %d", size)
		}
		return &Problem{Kind: Changed, Got: got, Want: sizeRange(o.least, o.most)}
	}
	return nil
}

// sealerOf tells the sizes of stored files.
func sealerOf(m *Manifest) (*seal.Sealer, error) {
	if m.Encryption == nil {
		return nil, nil
	}
	return seal.New(m.Encryption.Recipients)
}

// produceBlobs hands out the files of a tree.
func (c *verifier) produceBlobs(listed *lists.Reader, prefix string, sealer *seal.Sealer, add func(storedObject, int64) error) error {
	for {
		e, err := listed.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if notLooked(err) {
			return err
		}
		if err != nil {
			return add(storedObject{seen: true, bad: &Problem{Path: prefix, Kind: Malformed, Got: err.Error()}}, 0)
		}
		if e.Kind != lists.File {
			continue
		}
		least, most := c.storedSizes(&e)
		o := storedObject{
			at:     blobPath(e.SHA256),
			path:   prefix + lists.FilesDir + "/" + lists.Escape(e.Path),
			digest: e.SHA256,
			least:  least,
			most:   most,
			blob:   true,
			size:   sealer.StoredSize(e.Size),
			seen:   !c.blobs.asked.add(e.SHA256, e.Size),
		}
		if err := add(o, e.Size); err != nil {
			return err
		}
	}
}

// prove reads objects and reports what is wrong with them; count counts those that could be read.
func (b *Bucket) prove(ctx context.Context, c *verifier, produce func(context.Context, func(storedObject, int64) error) error, count func(*storedObject)) error {
	return parallel.Pipeline[storedObject]{
		Workers: c.opts.Workers,
		Batch:   b.batch(),
		Produce: produce,
		Worker: func() (func(context.Context, *storedObject) error, func()) {
			buf := make([]byte, 32<<10)
			return func(ctx context.Context, o *storedObject) error { return b.proveOne(ctx, o, buf) }, func() {}
		},
		Collect: func(objects []storedObject) error {
			for i := range objects {
				c.tell(&objects[i], count)
			}
			return nil
		},
	}.Run(ctx)
}

// proveOne reads an object, and notes what is wrong with it. An error says that nothing is known of it.
func (b *Bucket) proveOne(ctx context.Context, o *storedObject, buf []byte) error {
	if o.seen {
		return nil
	}
	bad := func(kind ProblemKind, got string) {
		o.bad = &Problem{Kind: kind, Got: got, Want: "sha256:" + o.digest}
	}
	in, err := b.get(ctx, o.at)
	if errors.Is(err, fs.ErrNotExist) {
		bad(Missing, "")
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	o.size, err = io.CopyBuffer(struct{ io.Writer }{h}, io.LimitReader(in, o.most+1), buf)
	switch got := dirfd.SumOf(h); {
	case notLooked(err):
		return err
	case err != nil:
		bad(Changed, err.Error())
	case o.size > o.most:
		bad(Changed, fmt.Sprintf("more than %d bytes", o.most))
	case o.size < o.least:
		bad(Changed, fmt.Sprintf("size %d", o.size))
	case got != o.digest:
		bad(Changed, "sha256:"+got)
	}
	return nil
}

// tell reports on an object that was read, or that was seen before.
func (c *verifier) tell(o *storedObject, count func(*storedObject)) {
	switch {
	case !o.blob:
	case o.seen:
		o.bad = c.blobs.find(o.digest)
	default:
		c.blobs.note(o.digest, o.bad)
	}
	if o.bad == nil {
		count(o)
		c.progress.Add(1, o.size)
		return
	}
	p := *o.bad
	if o.path != "" {
		p.Path = o.path
	}
	if o.blob && p.Kind == Missing {
		p.Got = "no " + o.at
	}
	c.report.add(p)
}
