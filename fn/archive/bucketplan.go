package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/refill"
	"threescale.dev/backup/fn/archive/internal/walk"
)

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

// bucketPlan is what follows from comparing keys and sizes.
type bucketPlan struct {
	found     *walk.Found // all that the bucket has
	marker    string      // that of an earlier try, which was interrupted; empty: there is none
	empty     bool
	foreign   string       // a key that the run does not have; empty: there is none
	inTheWay  string       // one that the run has files below
	blocked   string       // a file of the run that the bucket has keys below
	differs   string       // a file that is missing, or has another size
	firstFile *lists.Entry // of the run
	entries   walk.Counts  // of the run
}

// look lists the bucket, and compares keys and sizes. It reads no object but the marker.
func (t *bucketTarget) look(ctx context.Context) (*bucketPlan, error) {
	const limit = 4 << 10
	p := &bucketPlan{empty: true}
	content, err := t.bucket.client.Read(ctx, t.markerKey(), limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if string(content) == refill.MarkerContent(t.source) {
		p.marker = refill.MarkerName(t.source)
	}
	t.progress.Begin(progress.Scan, 0, 0)
	if p.found, err = t.bucket.scan(ctx, objectStamps{}, t.progress); err != nil {
		return nil, err
	}
	for _, odd := range p.found.Unreadable {
		p.addForeign(odd.Path)
	}
	err = t.merge(ctx, p.found, func(pair lists.Pair) error {
		switch {
		case pair.Want != nil:
			p.addWanted(pair)
		case pair.Got.Kind == lists.File:
			p.addForeign(pair.Got.Path)
		}
		return nil
	})
	return p, err
}

// isInterrupted reports whether an earlier try was interrupted.
func (p *bucketPlan) isInterrupted() bool { return p.marker != "" }

func (p *bucketPlan) addForeign(path string) {
	if p.isInterrupted() && path == p.marker {
		return
	}
	p.empty = false
	p.foreign = cmp.Or(p.foreign, path)
}

func (p *bucketPlan) addWanted(pair lists.Pair) {
	want, got := pair.Want, pair.Got
	p.entries.Add(want)
	if want.Kind == lists.File && p.firstFile == nil {
		first := *want
		p.firstFile = &first
	}
	switch {
	case got == nil:
		if want.Kind == lists.File {
			p.differs = cmp.Or(p.differs, want.Path)
		}
	case got.Kind == lists.File:
		p.empty = false
		if want.Kind == lists.Directory {
			p.inTheWay = cmp.Or(p.inTheWay, want.Path)
			p.addForeign(want.Path)
		}
		if want.Kind == lists.File && got.Size != want.Size {
			p.differs = cmp.Or(p.differs, want.Path)
		}
	case want.Kind != lists.Directory:
		p.blocked = cmp.Or(p.blocked, want.Path)
	}
}

// merge yields the entries of the run and those of the bucket side by side.
func (t *bucketTarget) merge(ctx context.Context, found *walk.Found, yield func(lists.Pair) error) error {
	source, done, err := t.source.Entries(ctx)
	if err != nil {
		return err
	}
	defer done()
	for p, err := range lists.Merge(source, found.List.Source()) {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}

func (t *bucketTarget) compare(ctx context.Context) (Comparison, error) {
	p, err := t.look(ctx)
	if err != nil {
		return Comparison{}, err
	}
	state := Comparison{Empty: p.empty, Interrupted: p.isInterrupted()}
	if p.isInterrupted() || p.foreign != "" || p.blocked != "" || p.differs != "" {
		return state, nil
	}
	differs, err := t.firstDifference(ctx, p)
	state.Same = differs == "" && err == nil
	return state, err
}

// judge returns an error if the bucket may not be written to, and true if there is nothing to write.
func (t *bucketTarget) judge(ctx context.Context, p *bucketPlan, existing Existing) (done bool, err error) {
	careful := existing == Fail || existing == Skip
	switch {
	case careful && p.isInterrupted() && p.foreign != "":
		return false, t.notEmpty(p.foreign, "is not of the run whose restore was interrupted here")
	case existing != Mirror && p.blocked != "":
		return false, t.notEmpty(p.blocked, "is the begin of keys where the run has an object")
	case !careful || p.isInterrupted() || p.empty:
		return false, nil
	case p.foreign != "":
		return false, t.notEmpty(p.foreign, "is not of the run")
	case p.differs != "":
		return false, t.notEmpty(p.differs, "is missing, or is not what it is in the run")
	}
	differs, err := t.firstDifference(ctx, p)
	if err == nil && differs != "" {
		err = t.notEmpty(differs, "has other content or headers than in the run")
	}
	return err == nil, err
}

func (t *bucketTarget) notEmpty(path, why string) error {
	return &NotEmptyError{Dir: t.bucket.name, Path: lists.Escape(path), Why: why}
}

// otherObjectError is an object that is not what it is in the run.
type otherObjectError struct{ path string }

func (e *otherObjectError) Error() string { return e.path + " differs" }

// firstDifference returns an object with other content or headers than in the run; "" if there is none.
func (t *bucketTarget) firstDifference(ctx context.Context, p *bucketPlan) (string, error) {
	_, err := t.each(ctx, p, progress.Verify, func(w *bucketWriter, ctx context.Context, it *bucketItem) error {
		same, err := w.isThere(ctx, it, true)
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
