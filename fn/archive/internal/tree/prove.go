package tree

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/parallel"
	"threescale.dev/backup/fn/archive/internal/progress"
	"threescale.dev/backup/fn/archive/internal/seal"
	"threescale.dev/backup/fn/archive/internal/walk"
)

const maxNamed = 100 // damaged files that are named one by one

var errOtherDigest = errors.New("its SHA-256 is not the listed one")

// proof is one stored file that may be linked or kept, if it has the digest that it should have.
type proof struct {
	path  string
	size  int64
	want  string      // digest; empty: none will do
	was   lists.Entry // in the lists
	mode  uint32      // of the source
	flags *walk.Flags
	err   error // why it cannot be linked or kept
}

// Prove recomputes the digests of the files that are marked as those of the previous tree, unless that was done before
// or the partial tree has them. It takes the mark from damaged files, so that they are copied, warns of each, and
// returns how many there are. It needs no Source and no Into.
func Prove(ctx context.Context, opts Options) (damaged int64, err error) {
	count := countOf(opts.Entries, unproven)
	if opts.Previous == nil || count.Files == 0 {
		return 0, nil
	}
	listed, err := lists.Open(opts.Previous.Dir, opts.Previous.Digests, nil)
	if err != nil {
		return 0, err
	}
	defer listed.Close()
	files, err := opts.Previous.Dir.Sub(lists.FilesDir)
	if err != nil {
		return 0, err
	}
	defer files.Close()
	opts.Progress.Begin(progress.Verify, count.Files, count.Bytes)
	worker := func() (func(context.Context, *proof) error, func()) {
		h := dirfd.NewHasher(files)
		h.Cold = true
		return proveWith(h, opts.Sealer)
	}
	err = opts.prove(ctx, unproven, listed, worker, func(it *proof) {
		if it.err == nil {
			*it.flags |= walk.Proven
			return
		}
		*it.flags &^= walk.SameFile
		if damaged++; damaged <= maxNamed {
			opts.Warn(fmt.Sprintf("stored file trees/%s/%s/%s is damaged and was not linked: %v", opts.Previous.Name, lists.FilesDir, lists.Escape(it.path), it.err))
		}
	})
	if more := damaged - maxNamed; more > 0 {
		opts.Warn(fmt.Sprintf("%d more stored files of tree %s are damaged and were not linked", more, opts.Previous.Name))
	}
	return damaged, err
}

// prove has workers judge the files with such marks, and then decides on each, in order.
func (o *Options) prove(ctx context.Context, marked func(walk.Flags) bool, listed *lists.Reader, worker func() (func(context.Context, *proof) error, func()), decide func(*proof)) error {
	return parallel.Pipeline[proof]{
		Workers: o.Workers,
		Batch:   o.Batch,
		Produce: func(_ context.Context, add func(proof, int64) error) error {
			old := lists.NewSeeker(listed)
			for e, f := range o.Entries.All() {
				if !marked(*f) {
					continue
				}
				was, err := old.Find(e.Path)
				if err != nil {
					return err
				}
				item := proof{path: e.Path, size: e.Size, mode: e.Mode, flags: f}
				if was != nil {
					item.want, item.was = was.SHA256, *was
				}
				if err := add(item, e.Size); err != nil {
					return err
				}
			}
			return old.Drain()
		},
		Worker: worker,
		Collect: func(items []proof) error {
			bytes := int64(0)
			for i := range items {
				bytes += items[i].size
				decide(&items[i])
			}
			o.Progress.Add(int64(len(items)), bytes)
			return nil
		},
	}.Run(ctx)
}

// unproven reports whether a file is to be linked and was not read yet.
func unproven(f walk.Flags) bool {
	return f&walk.SameFile != 0 && f&(walk.Proven|walk.Kept) == 0
}

func countOf(l *walk.List, marked func(walk.Flags) bool) (count walk.Counts) {
	for e, f := range l.All() {
		if marked(*f) {
			count.Add(e)
		}
	}
	return count
}

// proveWith returns a worker that recomputes the digests of files as they are stored.
func proveWith(h *dirfd.Hasher, sealer *seal.Sealer) (work func(context.Context, *proof) error, done func()) {
	return func(ctx context.Context, it *proof) error {
		if it.err = errOtherDigest; it.want == "" {
			return nil
		}
		if got, err := h.Digest(ctx, it.path, sealer.StoredSize(it.size)); err != nil || got == it.want {
			it.err = err
		}
		return ctx.Err()
	}, h.Close
}

// Holds returns an error if the previous tree lacks entries of the list, or has others. It does not look at the content
// of files, nor at modes and times, which storage may change.
func Holds(ctx context.Context, opts Options) error {
	tree := opts.Previous.Dir
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
	return sameShape(opts.Entries.Source(), stored.List.Source(), opts.Previous.LinksOmitted)
}

// sameShape compares the paths, the types and the targets of two lists.
func sameShape(want, got lists.Source, linksOmitted bool) error {
	for p, err := range lists.Merge(want, got) {
		if err != nil {
			return err
		}
		if linksOmitted && p.Want != nil && p.Want.Kind == lists.Symlink {
			if p.Want = nil; p.Got == nil {
				continue
			}
		}
		switch {
		case p.Got == nil:
			return fmt.Errorf("%s is missing", lists.Escape(p.Want.Path))
		case p.Want == nil:
			return fmt.Errorf("%s is additional", lists.Escape(p.Got.Path))
		case p.Want.Kind != p.Got.Kind || p.Want.Link != p.Got.Link:
			return fmt.Errorf("%s is changed", lists.Escape(p.Want.Path))
		}
	}
	return nil
}

// Reread reads the files of the source that Compare has marked as doubtful. It marks those as the same whose content
// and extended attributes, kept or not, are the listed ones. It returns how many were doubtful, and true if all are the
// same. Without Contents encrypted files cannot be compared, and a file that cannot be read is not the same.
func Reread(ctx context.Context, opts Options) (files int64, same bool, err error) {
	count := countOf(opts.Entries, isDoubtful)
	if count.Files == 0 {
		return 0, true, nil
	}
	if opts.Sealer != nil && opts.Contents == nil {
		opts.Entries.Clear(walk.Doubtful)
		return count.Files, false, nil
	}
	listed, err := opts.Previous.open()
	if err != nil {
		return 0, false, err
	}
	defer listed.Close()
	opts.Progress.Begin(progress.Verify, count.Files, count.Bytes)
	worker := func() (func(context.Context, *proof) error, func()) {
		if opts.Objects != nil {
			return opts.proveObjects()
		}
		h := dirfd.NewHasher(opts.Source)
		prove, done := proveWith(h, nil)
		if opts.Sealer != nil {
			prove = opts.Contents.proveWith(h)
		}
		xattrs := &walk.XattrReader{Keep: opts.Keep}
		return func(ctx context.Context, it *proof) error {
			err := prove(ctx, it)
			if err == nil && it.err == nil {
				it.err = sameXattrs(h.Dirs, xattrs, it)
			}
			return err
		}, done
	}
	same = true
	err = opts.prove(ctx, isDoubtful, listed, worker, func(it *proof) {
		*it.flags &^= walk.Doubtful
		if it.err == nil {
			*it.flags |= walk.SameFile
		}
		same = same && it.err == nil
	})
	return count.Files, same, err
}

// proveWith returns what proves that sources are the plaintexts of files that are stored.
func (c *Contents) proveWith(h *dirfd.Hasher) func(context.Context, *proof) error {
	return func(ctx context.Context, it *proof) error {
		got, err := h.Digest(ctx, it.path, it.size)
		if err == nil && (it.was.Stamp == 0 || it.was.Stamp != c.stamp(it.was.SHA256, got)) {
			err = errOtherDigest
		}
		it.err = err
		return ctx.Err()
	}
}

func isDoubtful(f walk.Flags) bool { return f&walk.Doubtful != 0 }

var errOtherXattrs = errors.New("its extended attributes are not the listed ones")

// sameXattrs returns an error if a file of the source has other extended attributes than listed.
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
	if err == nil && (!slices.Equal(got.Kept, it.was.Xattrs) || got.Lost != it.was.Lost || it.mode&got.Most != it.was.Mode) {
		err = errOtherXattrs
	}
	return err
}
