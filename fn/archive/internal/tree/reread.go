package tree

import (
	"context"
	"errors"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// Reread reads those files of the source that Compare has marked as doubtful, and marks as the same those that have the
// content and the extended attributes, kept or not, that the previous tree's lists tell. It returns how many are
// doubtful, and true if all are the same. What is encrypted cannot be compared, and what cannot be read is not the same.
func Reread(ctx context.Context, opts Options) (files int64, same bool, err error) {
	r := &rereader{Options: opts, same: true}
	count := countOf(opts.Entries, isDoubtful)
	if count.Files == 0 {
		return 0, true, nil
	}
	if opts.Sealer != nil {
		opts.Entries.Clear(walk.Doubtful)
		return count.Files, false, nil
	}
	listed, err := opts.Previous.open()
	if err != nil {
		return 0, false, err
	}
	defer listed.Close()
	opts.Progress.Begin(progress.Verify, count.Files, count.Bytes)
	err = parallel.Pipeline[proof]{
		Workers: opts.Workers,
		Produce: func(_ context.Context, add func(proof, int64) error) error {
			return produceProofs(opts.Entries, isDoubtful, lists.NewSeeker(listed), add)
		},
		Worker:  r.worker,
		Collect: r.collect,
	}.Run(ctx)
	return count.Files, r.same, err
}

// rereader is one call of Reread.
type rereader struct {
	Options
	same bool
}

func isDoubtful(f walk.Flags) bool { return f&walk.Doubtful != 0 }

var errOtherXattrs = errors.New("its extended attributes are not the listed ones")

// worker reads files and what belongs to them.
func (r *rereader) worker() (work func(context.Context, *proof) error, done func()) {
	h := dirfd.NewHasher(r.Source)
	prove, done := proveWith(h, nil)
	xattrs := &walk.XattrReader{Keep: r.Keep}
	return func(ctx context.Context, it *proof) error {
		err := prove(ctx, it)
		if err == nil && it.err == nil {
			it.err = sameXattrs(h.Dirs, xattrs, it)
		}
		return err
	}, done
}

// sameXattrs compares what a file of the source has with what is listed.
func sameXattrs(dirs *dirfd.Stack, xattrs *walk.XattrReader, it *proof) error {
	parent, name, err := dirs.Parent(it.path)
	if err != nil {
		return err
	}
	f, err := parent.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := xattrs.Read(int(f.Fd()))
	if err == nil && (!lists.SameXattrs(got.Kept, it.was.Xattrs) || got.Lost != it.was.Lost || it.mode&got.Most != it.was.Mode) {
		err = errOtherXattrs
	}
	return err
}

// collect decides on what was read.
func (r *rereader) collect(items []proof) error {
	bytes := int64(0)
	for _, it := range items {
		bytes += it.size
		*it.flags &^= walk.Doubtful
		if it.err == nil {
			*it.flags |= walk.SameFile
		}
		r.same = r.same && it.err == nil
	}
	r.Progress.Add(int64(len(items)), bytes)
	return nil
}
