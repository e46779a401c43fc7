package tree

import (
	"context"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// Reread reads those files of the source that Compare has marked as doubtful, and marks as the same those that have the
// content that the previous tree's list tells. It returns how many are doubtful, and true if all are the same. What is
// encrypted cannot be compared, and what cannot be read is not the same.
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
	listed, err := lists.Open(opts.Previous.Dir, opts.Previous.Digests)
	if err != nil {
		return 0, false, err
	}
	defer listed.Close()
	opts.Observer.Begin(Proving, count.Files, count.Bytes)
	err = parallel.Pipeline[proof]{
		Workers: opts.Workers,
		Produce: func(_ context.Context, emit func([]proof) error) error {
			return produceProofs(opts.Entries, isDoubtful, lists.NewSeeker(listed), parallel.Batcher[proof]{Emit: emit})
		},
		Worker: func() (func(context.Context, []proof) error, func()) {
			return proveWith(dirfd.NewHasher(opts.Source), nil)
		},
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
	r.Observer.Add(int64(len(items)), bytes)
	return nil
}
