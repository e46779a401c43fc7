package tree

import (
	"context"
	"errors"
	"fmt"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
)

const maxNamed = 100 // damaged files that are named one by one

var errOtherDigest = errors.New("its SHA-256 is not the listed one")

// proof is one file of the previous tree that is to be linked.
type proof struct {
	path  string
	size  int64
	want  string // digest
	was   lists.Entry
	mode  uint32 // as stat tells it
	flags *walk.Flags
	err   error // why it cannot be linked
}

// prover is one call of Prove.
type prover struct {
	Options
	files   *dirfd.Dir // of the previous tree
	damaged int64
}

// Prove recomputes the digests of the files that the list has marked as those of the previous tree, unless that was
// done before or the partial tree has them. It takes the mark from those that are damaged, so that they are copied,
// warns of each, and returns how many there are. It needs no Source and no Into.
func Prove(ctx context.Context, opts Options) (damaged int64, err error) {
	p := &prover{Options: opts}
	count := countOf(opts.Entries, unproven)
	if opts.Previous == nil || count.Files == 0 {
		return 0, nil
	}
	listed, err := lists.Open(opts.Previous.Dir, opts.Previous.Digests)
	if err != nil {
		return 0, err
	}
	defer listed.Close()
	if p.files, err = opts.Previous.Dir.Sub(lists.FilesDir); err != nil {
		return 0, err
	}
	defer p.files.Close()
	p.Observer.Begin(Proving, count.Files, count.Bytes)
	err = parallel.Pipeline[proof]{
		Workers: p.Workers,
		Produce: func(_ context.Context, emit func([]proof) error) error {
			return produceProofs(p.Entries, unproven, lists.NewSeeker(listed), parallel.Batcher[proof]{Emit: emit})
		},
		Worker:  p.worker,
		Collect: p.collect,
	}.Run(ctx)
	if more := p.damaged - maxNamed; more > 0 {
		p.Observer.Warn(fmt.Sprintf("%d more stored files of tree %s are damaged and were not linked", more, p.Previous.Name))
	}
	return p.damaged, err
}

// unproven reports whether a file is to be linked and was not read yet.
func unproven(f walk.Flags) bool {
	return f&walk.SameFile != 0 && f&(walk.Proven|walk.Kept) == 0
}

// countOf counts the entries that are marked so.
func countOf(l *walk.List, marked func(walk.Flags) bool) (count walk.Counts) {
	var e lists.Entry
	for c := l.Cursor(); ; {
		f := c.Next(&e)
		if f == nil {
			return count
		}
		if marked(*f) {
			count.Add(&e)
		}
	}
}

// produceProofs hands out the files that are marked so, with the digests that they should have.
func produceProofs(l *walk.List, marked func(walk.Flags) bool, listed *lists.Seeker, out parallel.Batcher[proof]) error {
	var e lists.Entry
	for c := l.Cursor(); ; {
		f := c.Next(&e)
		if f == nil {
			break
		}
		if !marked(*f) {
			continue
		}
		was, err := listed.Find(e.Path)
		if err != nil {
			return err
		}
		item := proof{path: e.Path, size: e.Size, mode: e.Mode, flags: f}
		if was != nil {
			item.want, item.was = was.SHA256, *was
		}
		if err := out.Add(item, e.Size); err != nil {
			return err
		}
	}
	if err := listed.Drain(); err != nil {
		return err
	}
	return out.Flush()
}

func (p *prover) worker() (work func(context.Context, []proof) error, done func()) {
	h := dirfd.NewHasher(p.files)
	h.Cold = true
	return proveWith(h, p.Sealer)
}

// proveWith returns a worker that recomputes the digests of files as they are stored.
func proveWith(h *dirfd.Hasher, sealer *seal.Sealer) (work func(context.Context, []proof) error, done func()) {
	return func(ctx context.Context, items []proof) error {
		for i := range items {
			it := &items[i]
			got, err := h.Digest(ctx, it.path, sealer.StoredSize(it.size))
			if err := ctx.Err(); err != nil {
				return err
			}
			if it.err = err; err == nil && got != it.want {
				it.err = errOtherDigest
			}
		}
		return nil
	}, h.Close
}

// collect marks what is proven and unmarks what is damaged.
func (p *prover) collect(items []proof) error {
	bytes := int64(0)
	for _, it := range items {
		bytes += it.size
		if it.err == nil {
			*it.flags |= walk.Proven
			continue
		}
		*it.flags &^= walk.SameFile
		if p.damaged++; p.damaged <= maxNamed {
			p.Observer.Warn(fmt.Sprintf("stored file trees/%s/%s/%s is damaged and was not linked: %v", p.Previous.Name, lists.FilesDir, lists.Escape(it.path), it.err))
		}
	}
	p.Observer.Add(int64(len(items)), bytes)
	return nil
}

// HoldsOptions says how to compare a tree with a list.
type HoldsOptions struct {
	Workers      int
	LinksOmitted bool // the tree was stored where there are no symlinks
}

// Holds returns an error if a tree has not just the entries of the list. What its files hold it does not look at, nor
// at modes and times, which storage may change.
func Holds(ctx context.Context, tree *dirfd.Dir, l *walk.List, opts HoldsOptions) error {
	names, err := tree.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !lists.IsOfTree(name) {
			return fmt.Errorf("%s is not part of a tree", lists.Escape(name))
		}
	}
	files, err := tree.Sub(lists.FilesDir)
	if err != nil {
		return err
	}
	defer files.Close()
	stored, err := walk.Scan(ctx, files, walk.Options{Workers: opts.Workers})
	if err != nil {
		return err
	}
	for _, s := range stored.Skipped {
		return fmt.Errorf("%s is a %s", s.Path, s.Type)
	}
	for _, u := range stored.Unreadable {
		return u.Err
	}
	return sameShape(l.Cursor(), stored.List.Cursor(), opts.LinksOmitted)
}

// sameShape compares the paths, the types and the targets of two lists.
func sameShape(want, got *walk.Cursor, linksOmitted bool) error {
	var w, g lists.Entry
	for {
		wanted := want.Next(&w) != nil
		for wanted && linksOmitted && w.Kind == lists.Symlink {
			wanted = want.Next(&w) != nil
		}
		stored := got.Next(&g) != nil
		switch {
		case !wanted && !stored:
			return nil
		case !stored || wanted && lists.ComparePaths(w.Path, g.Path) < 0:
			return fmt.Errorf("%s is missing", lists.Escape(w.Path))
		case !wanted || w.Path != g.Path:
			return fmt.Errorf("%s is additional", lists.Escape(g.Path))
		case w.Kind != g.Kind || w.Link != g.Link:
			return fmt.Errorf("%s is changed", lists.Escape(w.Path))
		}
	}
}
